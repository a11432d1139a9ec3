// SPDX-License-Identifier: GPL-3.0-or-later
// What the verdict on a quiet process says of its main thread, of those that this one waits for, and of one
// that does not look idle.
#include "diagnose/tasks.h"
#include "diagnose/verdict.h"

// The main thread, and so many of those behind each other that it waits for.
#define THREADS_TOLD 3

static bool is_one_process(const struct diag *diag)
{
    for (uint32_t i = 1; i < diag->count; i++)
        if (diag->threads[i].pid != diag->threads[0].pid)
            return false;
    return diag->count > 0;
}

static uint32_t main_of(const struct diag *diag, pid_t pid)
{
    return numbers_find(diag->numbers, diag->count, pid, pid);
}

// The main thread of the child that it waits for; DIAG_NONE: none that is looked at.
static uint32_t child_of(const struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    return wait && wait->kind == SNAP_WAIT_CHILD && wait->owner ? main_of(diag, wait->owner) : DIAG_NONE;
}

// Of several processes one that waits for another one: else none of them is the one that is meant.
static uint32_t find_main(const struct diag *diag)
{
    if (!is_one_process(diag)) {
        uint32_t i = 0;
        while (i < diag->count && child_of(diag, i) == DIAG_NONE)
            i++;
        return i < diag->count ? i : DIAG_NONE;
    }
    uint32_t found = main_of(diag, diag->threads[0].pid);
    return found == DIAG_NONE && diag->count == 1 ? 0 : found;
}

void say_nobody_left(struct plain *text, const struct diag *diag)
{
    if (is_one_process(diag) && diag_nobody_left(diag, diag->threads[0].pid))
        plain_str(text, ", but no thread is left that could wake another");
}

static void say_thread_doing(struct plain *text, const struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    plain_str(text, "; ");
    say_thread(text, diag, thread);
    if (!is_one_process(diag))
        plain_add(text, " of process %d", (int)diag->threads[thread].pid);
    plain_str(text, " is ");
    say_doing(text, diag, thread);
    if (wait && wait->since_ns) {
        plain_str(text, ", for at least ");
        plain_duration(text, wait->since_ns);
    }
}

// It waits for whatever its tasks or greenlets wait for, which are told of themselves.
static bool is_loop(const struct diag *diag, uint32_t thread)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    const struct snap_wait *wait = diag_wait(diag, thread);
    return (suspended->tasks.count || suspended->greenlets.count) &&
           (!wait || !snap_wait_is_internal(wait->kind));
}

void say_main_thread(struct plain *text, const struct diag *diag)
{
    uint32_t at = find_main(diag);
    bool stuck = !is_one_process(diag);
    for (size_t told = 0; told < THREADS_TOLD && at != DIAG_NONE; told++) {
        const struct snap_thread *thread = &diag->threads[at];
        if (snap_state_works(thread->state) || thread->state == SNAP_UNKNOWN || is_loop(diag, at))
            break;
        say_thread_doing(text, diag, at);
        stuck |= diag_is_stuck(diag, at);
        uint32_t next = diag->graph.next[at];
        at = next == DIAG_NONE ? child_of(diag, at) : next;
    }
    for (uint32_t i = 0; i < diag->count && !stuck; i++)
        if ((stuck = diag_is_stuck(diag, i)))
            say_thread_doing(text, diag, i);
}
