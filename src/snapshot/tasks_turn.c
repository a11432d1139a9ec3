// SPDX-License-Identifier: GPL-3.0-or-later
// Whose turn it is: see tasks.h. A thread's stack is of the snapshot's moment, what asyncio calls the
// current task was read a little later. So it counts only if its coroutine's frame is on the stack. Steps
// are short, and often the next task has its turn by then: the task is then the one whose coroutine's
// frame is on the stack, where it stays for as long as the coroutine lives, in a step or not.
#include <string.h>

#include "snapshot/details_build.h"
#include "snapshot/python.h"
#include "snapshot/tasks.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"
#include "util/limits.h"

#define AWAITERS_MAX 64 // tasks behind each other

// ---- Where a coroutine runs ----------------------------------------------------------------------

static struct snap_thread *thread_of(const struct tasks *tasks, size_t stack)
{
    size_t owner = tasks->owners[stack];
    if (owner == SIZE_MAX)
        return NULL;
    vec_foreach (thread, &tasks->snapshot->threads)
        if (thread->tid && thread->tid == tasks->in->threads[owner].tid)
            return thread;
    return NULL;
}

// How many of the thread's frames it and what it runs are. Stacks of one thread are innermost first.
static uint32_t count_frames(const struct tasks *tasks, const struct snap_thread *thread,
                             size_t stack, size_t index)
{
    const struct snap_input *in = tasks->in;
    AUTO_FREE const struct py_stack **mine = calloc(in->stack_count + 1, sizeof(*mine));
    size_t count = 0, at = 0;
    for (size_t i = 0; mine && i < in->stack_count; i++) {
        if (tasks->owners[i] != tasks->owners[stack])
            continue;
        at = i == stack ? count : at;
        mine[count++] = &in->stacks[i];
    }
    struct details_thread of = {.in = in, .stacks = mine, .stack_count = count, .thread = thread};
    uint32_t frame = mine ? details_frame(&of, at, index) : UINT32_MAX;
    return frame == UINT32_MAX ? 0 : frame + 1;
}

struct task_place tasks_place(const struct tasks *tasks, uint64_t frame)
{
    const struct snap_input *in = tasks->in;
    struct task_place place = {0};
    for (size_t s = 0; frame && s < in->stack_count; s++) {
        for (size_t i = 0; i < in->stacks[s].frames.count; i++) {
            const struct py_frame *have = &in->stacks[s].frames.items[i];
            if (have->addr != frame || !(have->flags & PY_FRAME_GENERATOR))
                continue;
            place.thread = thread_of(tasks, s);
            place.frames = place.thread ? count_frames(tasks, place.thread, s, i) : 0;
            if (!place.frames)
                place.thread = NULL;
            return place;
        }
    }
    return place;
}

// ---- Who waits for it ----------------------------------------------------------------------------

static struct err *add_awaiting(struct tasks *tasks, const struct py_future *task,
                                struct snap_turn *turn)
{
    uint64_t end;
    bool running;
    vec_clear(&tasks->frames);
    vec_clear(&tasks->shown);
    struct err *err =
        py_await_chain(tasks->in->process, task->coro, &tasks->frames, &end, &running);
    if (err && err_code(err) == ERR_NO_MEMORY)
        return err;
    err_destroy(err);
    struct py_stack stack = {.frames = tasks->frames};
    AUTO_FREE uint64_t *tokens = calloc(tasks->frames.count + 1, sizeof(*tokens));
    if (!tokens || !snap_python_push(&turn->awaiting, &stack, tokens, 0, tasks->frames.count))
        return err_create(ERR_NO_MEMORY, "tasks");
    return NULL;
}

// From the task to the one that waits for it, and on; where several do, the first one.
static struct err *follow_awaiters(struct tasks *tasks, const struct py_future *task,
                                   struct snap_turn *turn)
{
    struct py_objects awaiters = {0};
    struct py_future at = *task;
    struct err *err = NULL;
    turn->root = task->name;
    for (int i = 0; i < AWAITERS_MAX && !err; i++) {
        vec_clear(&awaiters);
        err = py_future_awaiters(tasks->futures, &at, &awaiters, NULL);
        if (err || !awaiters.count)
            break;
        struct err *unread = py_future_read(tasks->futures, awaiters.items[0], &at);
        bool good = !unread && at.kind == PY_TASK && at.coro && at.object != task->object;
        err_destroy(unread);
        if (!good)
            break;
        turn->root = at.name;
        err = add_awaiting(tasks, &at, turn);
    }
    vec_deinit(&awaiters);
    return err;
}

// ---- Each thread ---------------------------------------------------------------------------------

static struct err *set_turn(struct tasks *tasks, const struct py_future *task,
                            const struct task_place *place)
{
    struct snap_turn *turn = calloc(1, sizeof(*turn));
    if (!turn)
        return err_create(ERR_NO_MEMORY, "tasks");
    snap_turn_destroy(place->thread->turn);
    place->thread->turn = turn;
    turn->task = task->object;
    turn->name = task->name;
    turn->coroutine = tasks_coroutine_name(tasks, task->coro);
    turn->frames = place->frames;
    return follow_awaiters(tasks, task, turn);
}

static struct err *read_turn(struct tasks *tasks, const struct py_running *running)
{
    struct py_future task;
    struct py_generator generator;
    struct err *err = py_future_read(tasks->futures, running->task, &task);
    if (!err && (task.kind != PY_TASK || !task.coro))
        return NULL;
    if (!err)
        err = py_generator_read(tasks->dec, task.coro, &generator);
    if (err) {
        bool out = err_code(err) == ERR_NO_MEMORY;
        if (out)
            return err;
        err_destroy(err);
        return NULL;
    }
    struct task_place place = tasks_place(tasks, generator.frame);
    return place.thread ? set_turn(tasks, &task, &place) : NULL;
}

// ---- By the frames of coroutines -----------------------------------------------------------------

struct turn_frame { // of a generator, on the stack of a thread whose turn is not known
    uint64_t addr, code;
};

struct turn_frames {
    VEC(struct turn_frame) list;
    struct hash_index by_addr;
};

static struct err *list_frames(const struct tasks *tasks, struct turn_frames *ret)
{
    const struct snap_input *in = tasks->in;
    for (size_t s = 0; s < in->stack_count; s++) {
        const struct snap_thread *thread = thread_of(tasks, s);
        if (!thread || thread->turn)
            continue;
        vec_foreach (frame, &in->stacks[s].frames) {
            if (!(frame->flags & PY_FRAME_GENERATOR) || !frame->code_addr)
                continue;
            if (!hash_index_reserve(&ret->by_addr, 1) ||
                !vec_push(&ret->list, (struct turn_frame){frame->addr, frame->code_addr}))
                return err_create(ERR_NO_MEMORY, "tasks");
            hash_index_add(&ret->by_addr, hash_u64(HASH_SEED, frame->addr),
                           (uint32_t)ret->list.count - 1);
        }
    }
    return NULL;
}

// Its memory may be another coroutine's by now.
static bool is_still(const struct tasks *tasks, const struct task_entry *entry,
                     const struct turn_frame *frame)
{
    struct py_generator generator;
    struct err *err = py_generator_read(tasks->dec, entry->future.coro, &generator);
    bool still = !err && generator.frame == frame->addr && generator.code == frame->code;
    err_destroy(err);
    return still;
}

// A task that begins inside of another one's step (3.12+, eager) is the one whose turn it is.
static struct err *take_turn(struct tasks *tasks, const struct task_entry *entry)
{
    struct task_place place = tasks_place(tasks, entry->frame);
    if (!place.thread || (place.thread->turn && place.thread->turn->frames <= place.frames))
        return NULL;
    return set_turn(tasks, &entry->future, &place);
}

static struct err *find_turns(struct tasks *tasks, const struct turn_frames *frames)
{
    vec_foreach (entry, &tasks->entries) {
        struct hash_probe probe = hash_probe(&frames->by_addr, hash_u64(HASH_SEED, entry->frame));
        uint32_t id;
        while ((id = hash_probe_next(&probe)) != HASH_NONE)
            if (frames->list.items[id].addr == entry->frame)
                break;
        if (id != HASH_NONE && entry->frame && is_still(tasks, entry, &frames->list.items[id]))
            TRY(take_turn(tasks, entry));
    }
    return NULL;
}

struct err *tasks_turns(struct tasks *tasks)
{
    struct turn_frames frames = {0};
    vec_foreach (running, &tasks->running)
        if (running->task && !py_is_none(tasks->futures, running->task))
            TRY(read_turn(tasks, running));
    struct err *err = list_frames(tasks, &frames);
    if (!err && frames.list.count)
        err = find_turns(tasks, &frames);
    vec_deinit(&frames.list);
    hash_index_deinit(&frames.by_addr);
    return err;
}
