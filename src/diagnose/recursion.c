// SPDX-License-Identifier: GPL-3.0-or-later
// runaway-recursion: a deep stack that is the same few functions over and over.
#include "diagnose/stack.h"

// sys.getrecursionlimit() is 1000 by default: what comes near it dies soon, what is past it has raised it.
#define DEPTH_MIN 900
#define DEPTH_HIGH 5000
// Functions that call each other in turn.
#define PERIOD_MAX 8
// Of the frames, those that repeat the one a period further out.
#define REPEATS 0.9

// The shortest period in which the Python frames repeat; 0: they do not.
static size_t period_of(const struct stack *stack, const uint32_t *python, size_t count)
{
    for (size_t period = 1; period <= PERIOD_MAX; period++) {
        size_t same = 0;
        for (size_t i = 0; i + period < count; i++)
            same += stack_same_function(stack_frame(stack, python[i]),
                                        stack_frame(stack, python[i + period]));
        if ((double)same >= REPEATS * (double)count)
            return period;
    }
    return 0;
}

static void tell(struct diag *diag, uint32_t thread, const struct stack *stack,
                 const uint32_t *python, size_t count, size_t period)
{
    bool overflow = diag->threads[thread].crashed && diag->source->crash.fault == SNAP_FAULT_STACK;
    struct draft draft;
    draft_begin(&draft, diag, overflow || count >= DEPTH_HIGH ? DIAG_HIGH : DIAG_MEDIUM,
                overflow ? SNAP_OBSERVED : SNAP_INFERRED, -1);
    say_thread(&draft.text, diag, thread);
    plain_str(&draft.text, " is ");
    plain_count(&draft.text, count);
    plain_str(&draft.text, " calls deep, nearly all of them of ");
    for (size_t i = 0; i < period; i++) {
        // The outer end of the innermost period: what calls what, in the order of the calls.
        const struct snap_frame *frame = stack_frame(stack, python[period - 1 - i]);
        plain_str(&draft.text, i ? " > " : "");
        say_frame(&draft.text, diag, frame);
        draft_name(&draft, frame->function);
    }
    plain_str(&draft.text, overflow ? "; its stack overflowed." : ".");
    draft_title(&draft);
    draft_advice(&draft,
                 "Look for the end that is never met: a structure that contains itself, an "
                 "attribute hook or __repr__ that calls itself. Deep data needs a loop with a "
                 "list of what is left, not a higher recursion limit.");
    draft_end(&draft);
}

void rule_recursion(struct diag *diag)
{
    size_t told = diag->out->findings.count + DIAG_TOLD_MAX;
    VEC(uint32_t) python = {0};
    for (uint32_t i = 0; i < diag->count && diag->out->findings.count < told; i++) {
        struct stack stack = stack_of_thread(&diag->threads[i]);
        vec_clear(&python);
        if (stack.count < DEPTH_MIN)
            continue;
        for (uint32_t j = 0; j < stack.count; j++)
            if (stack_frame(&stack, j)->kind == SNAP_PYTHON)
                diag->failed |= !vec_push(&python, j);
        size_t period =
            python.count < DEPTH_MIN ? 0 : period_of(&stack, python.items, python.count);
        if (period)
            tell(diag, i, &stack, python.items, python.count, period);
    }
    vec_deinit(&python);
}
