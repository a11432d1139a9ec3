// SPDX-License-Identifier: GPL-3.0-or-later
// See report/async.h. The counts of the profile and what is different in async stacks: so samples beyond
// the bound on distinct stacks stay counted.
#include "report/async.h"

#include <math.h>
#include <stdlib.h>

#include "util/guard.h"

enum { IN_TASK = 1, IN_LOOP = 2, WAITS_FOR_IT = 4 }; // where a function is in a stack

struct counting {
    const struct prof_report *profile;
    struct prof_function *functions;
    uint8_t *places; // by function: of the stack at hand
};

static void mark(struct counting *counting, const uint32_t *frames, size_t count, uint8_t place)
{
    for (size_t i = 0; i < count; i++)
        counting->places[counting->profile->frame_function[frames[i]]] |= place;
}

// Once for each function, however often it is in the stack.
static void count_stack(struct counting *counting, const struct prof_stack *stack, size_t i)
{
    uint32_t function = counting->profile->frame_function[stack->frames[i]];
    struct prof_function *f = &counting->functions[function];
    uint8_t places = counting->places[function];
    uint64_t working = snap_state_works(stack->state) ? stack->samples : 0;
    counting->places[function] = 0;
    if (places == IN_LOOP) {
        f->total -= stack->samples;
        f->total_working -= working;
        f->total_cpu_ns -= stack->cpu_ns;
    } else if (places == WAITS_FOR_IT) {
        f->total += stack->samples;
        f->total_working += working;
        f->total_cpu_ns += stack->cpu_ns;
    }
}

static void add_stacks(struct counting *counting)
{
    for (size_t i = 0; i < counting->profile->stack_count; i++) {
        const struct prof_stack *stack = &counting->profile->stacks[i];
        size_t of_task = stack->task_frames, all = stack->frame_count;
        if (stack->task >= counting->profile->task_count || !of_task)
            continue;
        mark(counting, stack->frames, of_task, IN_TASK);
        mark(counting, stack->frames + of_task, all - of_task, IN_LOOP);
        mark(counting, stack->frames + all, stack->awaiting_count, WAITS_FOR_IT);
        for (size_t k = 0; k < all + stack->awaiting_count; k++)
            count_stack(counting, stack, k);
    }
}

static void add_sites(struct counting *counting)
{
    const struct prof_report *profile = counting->profile;
    for (size_t i = 0; i < profile->await_site_count; i++) {
        const struct prof_await_site *site = &profile->await_sites[i];
        mark(counting, site->frames, site->frame_count, IN_TASK);
        for (size_t k = 0; k < site->frame_count; k++) {
            uint32_t function = profile->frame_function[site->frames[k]];
            struct prof_function *f = &counting->functions[function];
            f->self += k == 0 ? site->samples : 0;
            f->own += k == 0 ? site->samples : 0;
            f->total += counting->places[function] ? site->samples : 0;
            counting->places[function] = 0;
        }
    }
}

struct prof_function *async_functions(const struct prof_report *profile)
{
    size_t count = profile->function_count;
    AUTO_FREE uint8_t *places = calloc(count + 1, sizeof(*places));
    struct prof_function *functions = calloc(count + 1, sizeof(*functions));
    if (!places || !functions) {
        free(functions);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        functions[i] = profile->functions[i];
        functions[i].total_low = functions[i].total_high = NAN;
    }
    struct counting counting = {profile, functions, places};
    add_stacks(&counting);
    add_sites(&counting);
    return functions;
}
