// SPDX-License-Identifier: GPL-3.0-or-later
// loop-asleep: an event loop waits for events, and none can come, or its own work does not wake it.
//
// A loop goes on by a timer, a descriptor that it watches, a signal that it handles, or another
// thread. Where it has none of the first three and no thread is left that could do something for it,
// its tasks wait for each other, whatever they call it: a lock that was never released, a queue that
// nobody empties, a future that nobody sets. But a program at rest whose consumers wait for items or
// for news, or which waits "for ever" and is ended by a signal, looks the same: where that is all, it
// is told as what it is, and not as an alarm.
//
// A callback that another thread adds is seen when the loop wakes, and call_soon() does not wake it
// (CPython: Lib/asyncio/base_events.py; call_soon_threadsafe() does). So a loop may sleep on although
// it has work.
#include "diagnose/tasks.h"

// A loop that wakes by itself that soon is only late.
#define LATE_NS 1000000000ll

// In its own waiting for events, and not in a handler that a signal started there.
static bool is_polling(const struct diag *diag, uint32_t thread)
{
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    const struct snap_wait *wait = diag_wait(diag, thread);
    const char *const want[][2] = {{"/selectors.py", "select"},
                                   {"asyncio/base_events.py", "_run_once"}};
    size_t met = 0;
    for (size_t i = 0; i < stack.count && met < 2; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        if (frame->kind != SNAP_PYTHON)
            continue;
        if (!stack_is(diag, frame, want[met][0], want[met][1]))
            return false;
        met++;
    }
    return met == 2 && wait && wait->kind == SNAP_WAIT_POLL;
}

// A thread of an executor that waits for a job. CPython: Lib/concurrent/futures/thread.py: _worker() takes
// them out of a queue, _WorkItem.run() runs one.
static bool is_idle_worker(const struct diag *diag, uint32_t thread)
{
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    if (snap_state_works(diag->threads[thread].state))
        return false;
    for (size_t i = 0; i < stack.count; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        if (stack_is(diag, frame, "concurrent/futures/thread.py", "_worker"))
            return true;
        if (stack_is(diag, frame, "concurrent/futures/thread.py", "run") ||
            (frame->kind == SNAP_PYTHON && stack_origin(diag, frame) != SNAP_LIBRARY))
            return false;
    }
    return false;
}

static bool waits_for(const struct diag *diag, uint32_t thread, uint32_t other)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    return wait && !diag_has_limit(wait) && diag->graph.next[thread] == other;
}

// No other thread of the process, native ones included, will do anything for the loop.
static bool is_left_alone(const struct diag *diag, uint32_t thread)
{
    for (uint32_t i = 0; i < diag->count; i++)
        if (i != thread && diag->threads[i].pid == diag->threads[thread].pid &&
            !is_idle_worker(diag, i) && !waits_for(diag, i, thread))
            return false;
    return true;
}

enum need { NO_NEED, AT_REST, NEEDS_ANOTHER, FROM_OUTSIDE };

// What somebody would have to do for the task to go on: another one of the loop, or the world.
static enum need need_of(const struct snap_task *task)
{
    switch (task->state) {
    case SNAP_TASK_FINISHED:
        return NO_NEED;
    case SNAP_TASK_WAITING:
        break;
    default:
        return FROM_OUTSIDE;
    }
    switch (task->await.kind) {
    case SNAP_AWAIT_TASK:
    case SNAP_AWAIT_SEVERAL:
    case SNAP_AWAIT_EVENT:
    case SNAP_AWAIT_CONDITION:
    case SNAP_AWAIT_QUEUE_GET:
        return AT_REST;
    case SNAP_AWAIT_FUTURE: // `await asyncio.Future()` in the task that runs until a signal comes
        return task->awaited_by.count ? NEEDS_ANOTHER : AT_REST;
    case SNAP_AWAIT_LOCK:
    case SNAP_AWAIT_SEMAPHORE:
    case SNAP_AWAIT_BARRIER:
    case SNAP_AWAIT_QUEUE_PUT:
    case SNAP_AWAIT_QUEUE_JOIN:
        return NEEDS_ANOTHER;
    default:
        return FROM_OUTSIDE;
    }
}

// What the most demanding task of the loop needs. Where one ended by an exception that nobody has seen,
// those that wait for items or for news may have waited for that one.
static enum need need_of_loop(const struct diag *diag, uint32_t loop)
{
    enum need most = NO_NEED;
    bool broke = false;
    vec_foreach (task, &diag_suspended(diag)->tasks) {
        if (task->loop != loop)
            continue;
        most = need_of(task) > most ? need_of(task) : most;
        broke |= task->state == SNAP_TASK_FINISHED && task->exception;
    }
    return most == AT_REST && broke ? NEEDS_ANOTHER : most;
}

static void begin(struct draft *draft, struct diag *diag, uint32_t thread,
                  enum diag_severity severity)
{
    draft_begin(draft, diag, severity, SNAP_INFERRED, 1);
    plain_str(&draft->text, "The event loop of ");
    say_thread(&draft->text, diag, thread);
}

static void name_places(struct draft *draft, uint32_t loop)
{
    const struct snap_tasks *tasks = &diag_suspended(draft->diag)->tasks;
    for (uint32_t i = 0; i < tasks->count; i++) {
        bool leaf = tasks->items[i].loop == loop && !tasks->items[i].await.tasks.count;
        const struct snap_frame *own = leaf && task_lives(&tasks->items[i])
                                           ? task_own(draft->diag, i)
                                           : NULL;
        if (own)
            draft_name(draft, own->function);
    }
}

static void tell_forever(struct diag *diag, uint32_t loop, uint32_t thread, enum need need)
{
    struct draft draft;
    begin(&draft, diag, thread, need == NEEDS_ANOTHER ? DIAG_HIGH : DIAG_LOW);
    plain_str(&draft.text, " sleeps, and nothing is left in this process that could wake it (no "
                           "timer, no descriptor, no thread at work): ");
    say_waiting_tasks(&draft.text, diag, loop);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    plain_str(&draft.text, "It waits for events without a time limit, watches no descriptor but the "
                           "one by which other threads wake it, has no timer, no callback that is "
                           "due, and no handler of a signal.");
    draft_evidence(&draft);
    name_places(&draft, loop);
    draft_advice(&draft, "Who should have released, filled, emptied or set what they wait for? Look "
                         "for one that ended early, by an exception too, and for two that wait for "
                         "each other.");
    draft_end(&draft);
}

static void tell_unwoken(struct diag *diag, uint32_t loop, uint32_t thread, bool wakes)
{
    const struct snap_loop *its = &diag_suspended(diag)->loops.items[loop];
    const struct snap_tasks *tasks = &diag_suspended(diag)->tasks;
    struct draft draft;
    begin(&draft, diag, thread, wakes ? DIAG_MEDIUM : DIAG_HIGH);
    plain_str(&draft.text, " sleeps although ");
    plain_things(&draft.text, (uint64_t)its->ready, "callback");
    plain_add(&draft.text, " of it %s due, and nothing wakes it",
              its->ready == 1 ? "is" : "are");
    plain_str(&draft.text, wakes ? " before something else does" : "");
    for (uint32_t i = 0, told = 0; i < tasks->count && !told; i++) {
        const struct snap_frame *own =
            tasks->items[i].loop == loop && tasks->items[i].state == SNAP_TASK_READY
                ? task_own(diag, i)
                : NULL;
        if (!own)
            continue;
        plain_str(&draft.text, ": ");
        say_task(&draft.text, diag, i);
        plain_str(&draft.text, " could go on in ");
        say_frame(&draft.text, diag, own);
        draft_name(&draft, own->function);
        told++;
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    plain_str(&draft.text, "A loop looks for such before it sleeps: this was added afterwards, in "
                           "another thread or in a handler of a signal, by call_soon() or by setting "
                           "a future or an event.");
    draft_evidence(&draft);
    draft_advice(&draft, "Other threads may touch a loop by loop.call_soon_threadsafe() and "
                         "asyncio.run_coroutine_threadsafe() only: "
                         "loop.call_soon_threadsafe(future.set_result, ...). asyncio's debug mode "
                         "finds the call.");
    draft_end(&draft);
}

static void look_at(struct diag *diag, uint32_t loop)
{
    const struct snap_loop *its = &diag_suspended(diag)->loops.items[loop];
    uint32_t thread = loop_thread(diag, loop);
    if (thread == DIAG_NONE || its->ready < 0 || its->scheduled < 0 || !is_polling(diag, thread))
        return;
    const struct snap_wait *wait = diag_wait(diag, thread);
    bool alone = is_left_alone(diag, thread);
    // Whoever added a callback may be about to wake the loop: no thread may be left that could.
    if (its->ready > 0) {
        bool late = its->scheduled == 0 || wait->timeout_ns >= LATE_NS;
        if (alone && late)
            tell_unwoken(diag, loop, thread, its->scheduled > 0 || its->watched != 0);
        return;
    }
    enum need need = need_of_loop(diag, loop);
    bool closed = its->scheduled == 0 && its->watched == 0 && its->signals == 0;
    if (alone && closed && wait->timeout_ns < 0 && (need == AT_REST || need == NEEDS_ANOTHER))
        tell_forever(diag, loop, thread, need);
}

void rule_loop_asleep(struct diag *diag)
{
    const struct snap_loops *loops = &diag_suspended(diag)->loops;
    if (!tasks_of_one_moment(diag) || diag_suspended(diag)->tasks_left_out ||
        diag_has_told(diag, "task-cycle"))
        return;
    size_t told = diag->out->findings.count + DIAG_TOLD_MAX;
    for (uint32_t i = 0; i < loops->count && diag->out->findings.count < told; i++)
        look_at(diag, i);
}
