// SPDX-License-Identifier: GPL-3.0-or-later
// See tasks.h.
#include "diagnose/tasks.h"

#include "util/guard.h"

const struct snap_suspended *diag_suspended(const struct diag *diag)
{
    static const struct snap_suspended nothing;
    return diag->last->suspended ? diag->last->suspended : &nothing;
}

struct stack stack_of_suspended(const struct diag *diag, uint32_t stack)
{
    const struct snap_stacks *stacks = &diag_suspended(diag)->stacks;
    if (stack >= stacks->count)
        return (struct stack){0};
    return (struct stack){.frames = stacks->items[stack].items,
                          .count = stacks->items[stack].count};
}

const struct snap_frame *task_own(const struct diag *diag, uint32_t task)
{
    struct stack stack = stack_of_suspended(diag, diag_suspended(diag)->tasks.items[task].stack);
    return stack_own(diag, &stack);
}

bool task_lives(const struct snap_task *task)
{
    return task->state != SNAP_TASK_FINISHED;
}

// Tasks are read after the target was let go, so it does not matter whether it was stopped.
bool tasks_of_one_moment(const struct diag *diag)
{
    return diag_suspended(diag)->moment || diag->source->of_core;
}

bool task_still(const struct diag *diag, const struct snap_task *task)
{
    return task->state == SNAP_TASK_WAITING &&
           (tasks_of_one_moment(diag) || task->stood || task->since_ns > 0);
}

size_t tasks_living(const struct diag *diag, pid_t pid)
{
    size_t count = 0;
    vec_foreach (task, &diag_suspended(diag)->tasks)
        count += task->pid == pid && task_lives(task);
    return count;
}

// ---- Loops ---------------------------------------------------------------------------------------

uint32_t loop_thread(const struct diag *diag, uint32_t loop)
{
    const struct snap_loops *loops = &diag_suspended(diag)->loops;
    if (loop >= loops->count || !loops->items[loop].tid)
        return DIAG_NONE;
    return numbers_find(diag->numbers, diag->count, loops->items[loop].pid, loops->items[loop].tid);
}

uint32_t thread_loop(const struct diag *diag, pid_t pid, pid_t tid)
{
    const struct snap_loops *loops = &diag_suspended(diag)->loops;
    for (uint32_t i = 0; tid && i < loops->count; i++)
        if (loops->items[i].pid == pid && loops->items[i].tid == tid)
            return i;
    return DIAG_NONE;
}

uint32_t thread_task(const struct diag *diag, uint32_t thread)
{
    const struct snap_thread *t = &diag->threads[thread];
    const struct snap_suspended *suspended = diag_suspended(diag);
    uint32_t loop = thread_loop(diag, t->pid, t->tid);
    uint32_t current = loop == DIAG_NONE ? DIAG_NONE : suspended->loops.items[loop].current;
    if (current < suspended->tasks.count)
        return current;
    for (uint32_t i = 0; t->turn && t->turn->task && i < suspended->tasks.count; i++)
        if (suspended->tasks.items[i].pid == t->pid &&
            suspended->tasks.items[i].object == t->turn->task)
            return i;
    return DIAG_NONE;
}

// Marks the task and all that wait for it, directly or through others.
static bool mark_awaiting(const struct snap_tasks *tasks, uint32_t task, bool *marked)
{
    VEC(uint32_t) found = {0};
    bool ok = vec_push(&found, task);
    marked[task] = true;
    for (size_t at = 0; ok && at < found.count; at++)
        vec_foreach (by, &tasks->items[found.items[at]].awaited_by) {
            if (*by >= tasks->count || marked[*by])
                continue;
            marked[*by] = true;
            ok = ok && vec_push(&found, *by);
        }
    vec_deinit(&found);
    return ok;
}

size_t loop_behind(struct diag *diag, uint32_t loop, uint32_t current)
{
    const struct snap_tasks *tasks = &diag_suspended(diag)->tasks;
    AUTO_FREE bool *marked = calloc(tasks->count + 1, sizeof(*marked));
    size_t count = 0;
    if (!marked || (current < tasks->count && !mark_awaiting(tasks, current, marked))) {
        diag->failed = true;
        return 0;
    }
    for (uint32_t i = 0; i < tasks->count; i++)
        count += tasks->items[i].loop == loop && task_lives(&tasks->items[i]) && !marked[i];
    return count;
}

// ---- Words ---------------------------------------------------------------------------------------

void say_task(struct plain *out, const struct diag *diag, uint32_t task)
{
    const struct snap_task *t = &diag_suspended(diag)->tasks.items[task];
    uint32_t name = t->name ? t->name : t->coroutine;
    if (!name) {
        plain_str(out, "a task without a name");
        return;
    }
    plain_str(out, t->name ? "task " : "a task of ");
    say_code(out, diag, name);
}

// With the name of the object, and where it has none.
static const struct {
    const char *named, *unnamed;
} awaited_words[SNAP_AWAIT_COUNT] = {
    [SNAP_AWAIT_NONE] = {NULL, "something"},
    [SNAP_AWAIT_TASK] = {"task", "a task"},
    [SNAP_AWAIT_SEVERAL] = {NULL, "several tasks"},
    [SNAP_AWAIT_FUTURE] = {"future", "a future"},
    [SNAP_AWAIT_SLEEP] = {NULL, "the end of a sleep"},
    [SNAP_AWAIT_LOCK] = {"lock", "a lock"},
    [SNAP_AWAIT_EVENT] = {"event", "an event"},
    [SNAP_AWAIT_CONDITION] = {"condition", "a condition"},
    [SNAP_AWAIT_SEMAPHORE] = {"semaphore", "a semaphore"},
    [SNAP_AWAIT_BARRIER] = {"barrier", "a barrier"},
    [SNAP_AWAIT_QUEUE_GET] = {"an item of queue", "an item of a queue"},
    [SNAP_AWAIT_QUEUE_PUT] = {"room in queue", "room in a queue"},
    [SNAP_AWAIT_QUEUE_JOIN] = {"the tasks of queue", "the tasks of a queue"},
    [SNAP_AWAIT_READ] = {"input from", "input"},
    [SNAP_AWAIT_WRITE] = {"output to", "output"},
    [SNAP_AWAIT_CONNECT] = {"the connection to", "a connection that it opens"},
    [SNAP_AWAIT_ACCEPT] = {"a connection to", "a connection"},
    [SNAP_AWAIT_EXECUTOR] = {NULL, "a job of an executor"},
    [SNAP_AWAIT_CHILD] = {"child process", "a child process"},
    [SNAP_AWAIT_YIELD] = {NULL, "its next turn"},
    [SNAP_AWAIT_OTHER] = {"awaitable", "an awaitable"},
};

void say_awaited(struct plain *out, const struct diag *diag, const struct snap_await *await)
{
    enum snap_await_kind kind = await->kind < SNAP_AWAIT_COUNT ? await->kind : SNAP_AWAIT_NONE;
    bool known = await->tasks.count && await->tasks.items[0] < diag_suspended(diag)->tasks.count;
    if (kind == SNAP_AWAIT_TASK && known) {
        say_task(out, diag, await->tasks.items[0]);
    } else if (kind == SNAP_AWAIT_SEVERAL && await->task_count) {
        plain_things(out, await->task_count, "task");
    } else if (await->what && awaited_words[kind].named) {
        plain_add(out, "%s ", awaited_words[kind].named);
        say_code(out, diag, await->what);
    } else {
        plain_str(out, awaited_words[kind].unnamed);
        if (kind == SNAP_AWAIT_OTHER && await->type) {
            plain_str(out, " of class ");
            say_code(out, diag, await->type);
        }
    }
}

void say_task_itself(struct plain *out, const struct diag *diag, uint32_t task)
{
    static const char *const words[SNAP_TASK_STATE_COUNT] = {
        [SNAP_TASK_UNKNOWN] = "in an unknown state",
        [SNAP_TASK_CREATED] = "not begun",
        [SNAP_TASK_RUNNING] = "running",
        [SNAP_TASK_READY] = "ready to run",
        [SNAP_TASK_WAITING] = "waiting for ",
        [SNAP_TASK_FINISHED] = "finished",
    };
    const struct snap_task *t = &diag_suspended(diag)->tasks.items[task];
    enum snap_task_state state = t->state < SNAP_TASK_STATE_COUNT ? t->state : SNAP_TASK_UNKNOWN;
    plain_add(out, "itself %s", words[state]);
    if (state == SNAP_TASK_WAITING)
        say_awaited(out, diag, &t->await);
    const struct snap_frame *own = task_own(diag, task);
    if (own) {
        plain_str(out, " in ");
        say_frame(out, diag, own);
    }
}

void say_greenlet(struct plain *out, const struct diag *diag, uint32_t index)
{
    const struct snap_greenlet *greenlet = &diag_suspended(diag)->greenlets.items[index];
    if (greenlet->is_hub) {
        plain_str(out, "a callback of its loop");
    } else if (greenlet->is_main) {
        plain_str(out, "the main greenlet");
    } else if (greenlet->name) {
        plain_str(out, "greenlet ");
        say_code(out, diag, greenlet->name);
    } else {
        plain_str(out, "a greenlet");
    }
}

void say_turn(struct plain *out, struct diag *diag, uint32_t thread)
{
    const struct snap_thread *t = &diag->threads[thread];
    uint32_t task = thread_task(diag, thread), loop = thread_loop(diag, t->pid, t->tid);
    if (task != DIAG_NONE) {
        plain_str(out, ", in ");
        say_task(out, diag, task);
    } else if (t->turn && t->turn->name) {
        plain_str(out, ", in task ");
        say_code(out, diag, t->turn->name);
    }
    size_t behind = loop == DIAG_NONE ? 0 : loop_behind(diag, loop, task);
    if (behind) {
        plain_str(out, "; ");
        plain_things(out, behind, "task");
        plain_add(out, " of the loop %s behind it", behind == 1 ? "waits" : "wait");
    }
}

void add_turn_evidence(struct draft *draft, uint32_t thread)
{
    const struct snap_thread *t = &draft->diag->threads[thread];
    uint32_t number = thread_loop(draft->diag, t->pid, t->tid);
    if (number == DIAG_NONE)
        return;
    const struct snap_loop *loop = &diag_suspended(draft->diag)->loops.items[number];
    if (loop->same_snapshots > 1) {
        plain_str(&draft->text, "The last ");
        plain_things(&draft->text, loop->same_snapshots, "snapshot");
        plain_str(&draft->text, " show the same step of the same task, for at least ");
        plain_duration(&draft->text, loop->same_ns);
        plain_str(&draft->text, ".");
        draft_evidence(draft);
    }
    if (loop->ready > 0) {
        plain_things(&draft->text, (uint64_t)loop->ready, "callback");
        plain_add(&draft->text, " of the loop %s for a turn.", loop->ready == 1 ? "waits" : "wait");
        draft_evidence(draft);
    }
}

void say_of_tasks(struct plain *out, size_t count, size_t all)
{
    plain_count(out, count);
    plain_str(out, " of ");
    plain_things(out, all, "task");
}
