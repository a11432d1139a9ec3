// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks of event loops written by hand, with the stacks of snap_maker.h.
#ifndef TESTS_TASK_MAKER_H
#define TESTS_TASK_MAKER_H

#include "snap_maker.h"

static void make_frames(struct strtab *strings, const char *stack, struct snap_frames *ret)
{
    while (*(stack += strspn(stack, " "))) {
        struct snap_frame frame = make_frame(strings, stack);
        if (frame.kind == SNAP_PYTHON)
            frame.flags |= SNAP_FRAME_GENERATOR;
        if (!vec_push(ret, frame))
            abort();
        stack += strcspn(stack, " ");
    }
}

// `frames` of the thread's innermost frames are the task's; those of `awaiting` wait for it, the
// outermost of which is of the task `root`.
static inline void make_turn(struct strtab *strings, struct snap_thread *thread, const char *name,
                             const char *coroutine, uint32_t frames, const char *root,
                             const char *awaiting)
{
    struct snap_turn *turn = calloc(1, sizeof(*turn));
    if (!turn)
        abort();
    turn->task = 0x1000 + strtab_add_cstr(strings, name);
    turn->name = strtab_add_cstr(strings, name);
    turn->coroutine = strtab_add_cstr(strings, coroutine);
    turn->frames = frames;
    turn->root = strtab_add_cstr(strings, root);
    make_frames(strings, awaiting, &turn->awaiting);
    thread->turn = turn;
}

static inline uint32_t make_loop(struct snapshot *snapshot, pid_t pid, pid_t tid)
{
    if (!snapshot->suspended && !(snapshot->suspended = snap_suspended_create()))
        abort();
    struct snap_loop loop = {.pid = pid, .tid = tid, .current = SNAP_NO_INDEX};
    if (!vec_push(&snapshot->suspended->loops, loop))
        abort();
    return (uint32_t)snapshot->suspended->loops.count - 1;
}

// A task of that loop that waits; its stack is that of its coroutine. It moves when the next is made.
static inline struct snap_task *make_task(struct strtab *strings, struct snapshot *snapshot,
                                          uint32_t loop, const char *name, const char *coroutine,
                                          enum snap_await_kind kind, const char *stack)
{
    struct snap_suspended *suspended = snapshot->suspended;
    struct snap_task task = {
        .pid = suspended->loops.items[loop].pid,
        .object = 0x2000 + suspended->tasks.count,
        .name = strtab_add_cstr(strings, name),
        .coroutine = strtab_add_cstr(strings, coroutine),
        .loop = loop,
        .state = SNAP_TASK_WAITING,
        .stack = SNAP_NO_INDEX,
        .await = {.kind = kind, .fd = -1, .left_ns = -1, .holder = SNAP_NO_INDEX},
    };
    struct snap_frames frames = {0};
    make_frames(strings, stack, &frames);
    if ((frames.count &&
         !snap_suspended_stack(suspended, frames.items, frames.count, &task.stack)) ||
        !vec_push(&suspended->tasks, task))
        abort();
    vec_deinit(&frames);
    return &suspended->tasks.items[suspended->tasks.count - 1];
}

// The last task made is awaited by the one with that index.
static inline void make_awaiter(struct snapshot *snapshot, uint32_t awaiter)
{
    struct snap_suspended *suspended = snapshot->suspended;
    struct snap_await *await = &suspended->tasks.items[awaiter].await;
    if (!vec_push(&await->tasks, (uint32_t)suspended->tasks.count - 1) ||
        !snap_suspended_link(suspended))
        abort();
    await->task_count = await->tasks.count;
}

#endif
