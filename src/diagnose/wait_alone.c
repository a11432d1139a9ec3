// SPDX-License-Identifier: GPL-3.0-or-later
// wait-alone: the only thread of a process waits, without a time limit, for what only another one could bring
// about: the result of a future, an item of a queue, room in it, all of a barrier. run_coroutine_threadsafe()
// called in the loop's own thread, and result() on what it returns, is the best known of them.
//
// Native threads may come into Python and do it: so there must be none, either. A handler of a signal
// may set an event and notify a condition, and programs wait so for their end: these are none of it. For
// locks there is fork-held-lock.
#include "diagnose/tasks.h"

static bool is_alone(const struct diag *diag, uint32_t thread)
{
    for (uint32_t i = 0; i < diag->count; i++)
        if (i != thread && diag->threads[i].pid == diag->threads[thread].pid)
            return false;
    return diag->threads[thread].known_to_python;
}

// What another thread would have to do; NULL: none has to.
static const char *missing(enum snap_wait_kind kind)
{
    switch (kind) {
    case SNAP_WAIT_FUTURE:
        return "set it";
    case SNAP_WAIT_QUEUE_GET:
        return "put one";
    case SNAP_WAIT_QUEUE_PUT:
        return "take one out";
    case SNAP_WAIT_QUEUE_JOIN:
        return "do them";
    case SNAP_WAIT_BARRIER:
        return "come to it";
    default:
        return NULL;
    }
}

static void tell(struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    const struct snap_thread *t = &diag->threads[thread];
    bool loop = thread_loop(diag, t->pid, t->tid) != DIAG_NONE;
    struct stack stack = stack_of_thread(t);
    const struct snap_frame *own =
        stack_own_from(diag, &stack, wait->waiting < stack.count ? wait->waiting : 0);
    struct draft draft;
    // Handlers of signals may put into a queue.SimpleQueue.
    draft_begin(&draft, diag, wait->kind == SNAP_WAIT_QUEUE_GET ? DIAG_MEDIUM : DIAG_HIGH,
                SNAP_INFERRED, 1);
    say_thread(&draft.text, diag, thread);
    plain_str(&draft.text, " waits for ");
    say_wanted(&draft.text, diag, wait);
    if (own) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, own);
        draft_name(&draft, own->function);
    }
    plain_add(&draft.text, ", and this process has no other thread that could %s",
              missing(wait->kind));
    if (loop) {
        plain_str(&draft.text, "; the event loop of this thread stands still meanwhile");
        say_turn(&draft.text, diag, thread);
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    plain_str(&draft.text, "It waits without a time limit, and is the only thread.");
    draft_evidence(&draft);
    if (loop)
        add_turn_evidence(&draft, thread);
    draft_advice(&draft,
                 loop ? "What a loop has to do cannot be waited for in the loop's own thread: await it. "
                        "run_coroutine_threadsafe() is for other threads."
                      : "Was what should have done it never started, did it end early, or was this "
                        "process forked without it?");
    draft_end(&draft);
}

void rule_wait_alone(struct diag *diag)
{
    size_t told = 0;
    if (diag_has_told(diag, "task-cycle") || diag_has_told(diag, "executor-deadlock"))
        return;
    for (uint32_t i = 0; i < diag->count && told < DIAG_TOLD_MAX; i++) {
        const struct snap_wait *wait = diag_wait(diag, i);
        if (!wait || wait->timeout_ns >= 0 || !missing(wait->kind) || diag_is_shared(diag, wait) ||
            diag->graph.next[i] != DIAG_NONE || !is_alone(diag, i))
            continue;
        tell(diag, i);
        told++;
    }
}
