// SPDX-License-Identifier: GPL-3.0-or-later
// Who of the program calls a function that is not its own: a hot json.loads() says little without that.
#include <stdlib.h>

#include "diagnose/stack.h"
#include "util/guard.h"

static size_t find_function(const struct diag *diag, const struct stack *stack, uint32_t function)
{
    size_t i = 0;
    while (i < stack->count && diag->profile->frame_function[stack->index[i]] != function)
        i++;
    return i;
}

// The frame of the program's own code further out; SIZE_MAX: none.
static size_t find_own(const struct diag *diag, const struct stack *stack, size_t from)
{
    for (size_t i = from; i < stack->count; i++) {
        const struct snap_frame *frame = stack_frame(stack, i);
        if (frame->kind == SNAP_PYTHON && frame->file && stack_origin(diag, frame) == SNAP_OWN_CODE)
            return i;
    }
    return SIZE_MAX;
}

// Of the working samples of the function: how many each caller has, and which has the most.
bool say_own_caller(struct plain *out, struct diag *diag, uint32_t function)
{
    const struct prof_report *profile = diag->profile;
    AUTO_FREE uint64_t *counts = calloc(profile->function_count + 1, sizeof(*counts));
    const struct snap_frame *best = NULL;
    uint64_t all = 0, most = 0;
    if (!counts) {
        diag->failed = true;
        return false;
    }
    for (size_t i = 0; i < profile->stack_count; i++) {
        const struct prof_stack *from = &profile->stacks[i];
        struct stack stack = stack_of_profile(profile, from);
        size_t at = snap_state_works(from->state) ? find_function(diag, &stack, function) : stack.count;
        if (at == stack.count)
            continue;
        all += from->samples;
        size_t own = find_own(diag, &stack, at);
        uint32_t index = own == SIZE_MAX ? UINT32_MAX : profile->frame_function[stack.index[own]];
        if (index == function)
            return false; // it is the program's own
        if (index >= profile->function_count)
            continue;
        counts[index] += from->samples;
        if (counts[index] > most) {
            most = counts[index];
            best = stack_frame(&stack, own);
        }
    }
    if (!best)
        return false;
    plain_str(out, most == all ? ", called by " : ", most often called by ");
    say_frame(out, diag, best);
    return true;
}
