// SPDX-License-Identifier: GPL-3.0-or-later
// Whose turn it is: see tasks.h. A thread's stack is of the snapshot's moment, what asyncio calls the
// current task was read a little later. So it counts only if its coroutine's frame is on the stack.
#include <string.h>

#include "snapshot/details_build.h"
#include "snapshot/python.h"
#include "snapshot/tasks.h"
#include "util/guard.h"
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

static int by_address(const void *left, const void *right)
{
    const struct task_frame *a = left, *b = right;
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

struct err *tasks_find_frames(struct tasks *tasks)
{
    const struct snap_input *in = tasks->in;
    for (uint32_t s = 0; s < in->stack_count; s++) {
        for (uint32_t i = 0; i < in->stacks[s].frames.count; i++) {
            const struct py_frame *frame = &in->stacks[s].frames.items[i];
            if ((frame->flags & PY_FRAME_GENERATOR) &&
                !vec_push(&tasks->on_stacks, (struct task_frame){frame->addr, s, i}))
                return err_create(ERR_NO_MEMORY, "tasks");
        }
    }
    if (tasks->on_stacks.count)
        qsort(tasks->on_stacks.items, tasks->on_stacks.count, sizeof(*tasks->on_stacks.items),
              by_address);
    return NULL;
}

struct task_place tasks_place(const struct tasks *tasks, uint64_t frame)
{
    struct task_place place = {0};
    struct task_frame key = {.addr = frame};
    const struct task_frame *found =
        frame && tasks->on_stacks.count
            ? bsearch(&key, tasks->on_stacks.items, tasks->on_stacks.count, sizeof(key), by_address)
            : NULL;
    if (!found)
        return place;
    place.thread = thread_of(tasks, found->stack);
    place.frames = place.thread ? count_frames(tasks, place.thread, found->stack, found->index) : 0;
    if (!place.frames)
        place.thread = NULL;
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
    turn->root = tasks_name(tasks, task->name);
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
        turn->root = tasks_name(tasks, at.name);
        err = add_awaiting(tasks, &at, turn);
    }
    vec_deinit(&awaiters);
    return err;
}

// ---- Each thread ---------------------------------------------------------------------------------

static struct err *new_turn(struct snap_thread *thread, uint32_t frames)
{
    struct snap_turn *turn = calloc(1, sizeof(*turn));
    if (!turn)
        return err_create(ERR_NO_MEMORY, "tasks");
    snap_turn_destroy(thread->turn);
    thread->turn = turn;
    turn->frames = frames;
    return NULL;
}

static struct err *set_turn(struct tasks *tasks, const struct py_future *task,
                            const struct task_place *place)
{
    TRY(new_turn(place->thread, place->frames));
    struct snap_turn *turn = place->thread->turn;
    turn->task = task->object;
    turn->name = tasks_name(tasks, task->name);
    turn->coroutine = tasks_coroutine_name(tasks, task->coro);
    TRY(follow_awaiters(tasks, task, turn));
    return tasks_step(tasks, task->loop, place->thread);
}

// `frame` 0: wherever the task's coroutine runs.
static struct err *read_turn(struct tasks *tasks, uint64_t object, uint64_t frame)
{
    struct py_future task;
    struct py_generator generator;
    struct err *err = py_future_read(tasks->futures, object, &task);
    if (!err && (task.kind != PY_TASK || !task.coro))
        return NULL;
    if (!err)
        err = py_generator_read(tasks->dec, task.coro, &generator);
    if (err && err_code(err) == ERR_NO_MEMORY)
        return err;
    if (err || (frame && generator.frame != frame)) {
        err_destroy(err);
        return NULL;
    }
    struct task_place place = tasks_place(tasks, generator.frame);
    return place.thread && !place.thread->turn ? set_turn(tasks, &task, &place) : NULL;
}

// ---- By the stack alone --------------------------------------------------------------------------

static bool is_file(const struct tasks *tasks, const struct py_frame *frame, const char *file)
{
    const char *path = strtab_get(tasks->in->strings, frame->file);
    return path && strstr(path, file);
}

// The frame of the coroutine that Handle._run() has stepped into; between them stands at most the
// implementation of tasks in Python. UINT32_MAX: none.
static size_t stepped_into(const struct tasks *tasks, const struct py_stack *stack)
{
    size_t run = stack->frames.count;
    for (size_t i = 0; i < stack->frames.count && run == stack->frames.count; i++) {
        const char *name = strtab_get(tasks->in->strings, stack->frames.items[i].name);
        bool asyncio = name && strcmp(name, "_run") == 0 &&
                       is_file(tasks, &stack->frames.items[i], "/asyncio/events.py");
        bool trio = name && strcmp(name, "unrolled_run") == 0 &&
                    is_file(tasks, &stack->frames.items[i], "/trio/_core/_run.py");
        if (asyncio || trio)
            run = i;
    }
    for (size_t i = run < stack->frames.count ? run : 0; i-- > 0;) {
        const struct py_frame *frame = &stack->frames.items[i];
        if (frame->flags & PY_FRAME_GENERATOR)
            return i;
        if (!is_file(tasks, frame, "/asyncio/tasks.py"))
            break;
    }
    return SIZE_MAX;
}

// The loop went on since the thread was looked at. Its task may be one that was there before, and has
// that coroutine still; else only the coroutine is known.
static struct err *turn_of_stack(struct tasks *tasks, const struct py_stack *stack)
{
    size_t index = stepped_into(tasks, stack);
    if (index == SIZE_MAX)
        return NULL;
    const struct py_frame *frame = &stack->frames.items[index];
    struct task_place place = tasks_place(tasks, frame->addr);
    if (!place.thread || place.thread->turn)
        return NULL;
    uint64_t known = tasks_known_by_frame(tasks, frame->addr);
    if (known)
        TRY(read_turn(tasks, known, frame->addr));
    if (place.thread->turn)
        return NULL;
    TRY(new_turn(place.thread, place.frames));
    place.thread->turn->coroutine = frame->qualname ? frame->qualname : frame->name;
    return NULL;
}

struct err *tasks_turns(struct tasks *tasks)
{
    vec_foreach (running, &tasks->running)
        if (running->task && !py_is_none(tasks->futures, running->task))
            TRY(read_turn(tasks, running->task, 0));
    for (size_t i = 0; tasks->imported && i < tasks->in->stack_count; i++)
        TRY(turn_of_stack(tasks, &tasks->in->stacks[i]));
    return NULL;
}
