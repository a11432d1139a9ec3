// SPDX-License-Identifier: GPL-3.0-or-later
// What waits in several processes as one list: see snap_suspended_take(), snapshot/suspended.h.
#include <stdlib.h>

#include "snapshot/suspended.h"
#include "util/guard.h"

// How indexes of the one are called in the other.
struct shift {
    uint32_t *stacks;
    uint32_t loops, tasks, greenlets;
};

static uint32_t moved(uint32_t index, uint32_t by)
{
    return index == SNAP_NO_INDEX ? SNAP_NO_INDEX : index + by;
}

static uint32_t stack_of(const struct shift *shift, uint32_t stack)
{
    return stack == SNAP_NO_INDEX ? SNAP_NO_INDEX : shift->stacks[stack];
}

static bool map_stacks(struct snap_suspended *to, const struct snap_suspended *from,
                       uint32_t *stacks)
{
    for (size_t i = 0; i < from->stacks.count; i++)
        if (!snap_suspended_stack(to, from->stacks.items[i].items, from->stacks.items[i].count,
                                  &stacks[i]))
            return false;
    return true;
}

static void take_await(struct snap_await *await, uint32_t by)
{
    await->holder = moved(await->holder, by);
    vec_foreach (index, &await->tasks)
        *index = moved(*index, by);
}

// There is room for all.
static void take_items(struct snap_suspended *to, struct snap_suspended *from,
                       const struct shift *shift)
{
    vec_foreach (loop, &from->loops) {
        loop->current = moved(loop->current, shift->tasks);
        to->loops.items[to->loops.count++] = *loop;
    }
    vec_foreach (task, &from->tasks) {
        task->loop = moved(task->loop, shift->loops);
        task->stack = stack_of(shift, task->stack);
        take_await(&task->await, shift->tasks);
        vec_foreach (index, &task->awaited_by)
            *index = moved(*index, shift->tasks);
        to->tasks.items[to->tasks.count++] = *task;
    }
    vec_foreach (greenlet, &from->greenlets) {
        greenlet->parent = moved(greenlet->parent, shift->greenlets);
        greenlet->stack = stack_of(shift, greenlet->stack);
        take_await(&greenlet->await, shift->greenlets);
        to->greenlets.items[to->greenlets.count++] = *greenlet;
    }
    vec_foreach (generator, &from->generators) {
        generator->stack = stack_of(shift, generator->stack);
        to->generators.items[to->generators.count++] = *generator;
    }
    // They are the other's now.
    from->loops.count = from->tasks.count = 0;
    from->greenlets.count = from->generators.count = 0;
}

bool snap_suspended_take(struct snap_suspended *to, struct snap_suspended *from)
{
    AUTO_FREE uint32_t *stacks = calloc(from->stacks.count + 1, sizeof(*stacks));
    struct shift shift = {stacks, (uint32_t)to->loops.count, (uint32_t)to->tasks.count,
                          (uint32_t)to->greenlets.count};
    if (!stacks || !map_stacks(to, from, stacks) ||
        !vec_reserve(&to->loops, to->loops.count + from->loops.count) ||
        !vec_reserve(&to->tasks, to->tasks.count + from->tasks.count) ||
        !vec_reserve(&to->greenlets, to->greenlets.count + from->greenlets.count) ||
        !vec_reserve(&to->generators, to->generators.count + from->generators.count))
        return false;
    take_items(to, from, &shift);
    to->tasks_left_out += from->tasks_left_out;
    to->greenlets_left_out += from->greenlets_left_out;
    to->generators_left_out += from->generators_left_out;
    to->moment = false; // each process is looked at for itself
    return true;
}
