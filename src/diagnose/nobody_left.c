// SPDX-License-Identifier: GPL-3.0-or-later
// nobody-left: a thread waits for what another one of its process has to do, and all of them wait like
// that, without a time limit: a queue that is full and has lost its consumers, join() of a queue whose
// workers are gone or wait for more, a barrier at which one is missing, a semaphore that was not released.
//
// Who waits for an item, for an event, or to be notified may just be idle, and be woken by a signal's
// handler or an extension's thread. So these alone are no trouble, and the verdict only says that nobody is
// left. What counts is a wait that nobody has to pass the time.
#include "diagnose/stack.h"

// What nobody does any more, and what to do about it. No row: it may be idle.
static const struct {
    const char *nobody, *advice;
} rows[SNAP_WAIT_COUNT] = {
    [SNAP_WAIT_LOCK] = {"release it",
                        "Who had it ended without its release(), or wants it again while it has it. Take "
                        "locks by `with`, and one that its holder may want again has to be an RLock."},
    [SNAP_WAIT_SEMAPHORE] = {"release it",
                             "Who had it ended without its release(), by an exception perhaps: take "
                             "semaphores by `with`."},
    [SNAP_WAIT_BARRIER] = {"come to it",
                           "Fewer threads came than it was made for: one ended before, by an exception "
                           "perhaps, or never began. A time limit of wait() breaks it for all."},
    [SNAP_WAIT_QUEUE_PUT] = {"take from it",
                             "Its consumers have ended, by an exception perhaps, or wait themselves. Catch "
                             "exceptions inside of a consumer's loop, and give put() a time limit."},
    [SNAP_WAIT_QUEUE_JOIN] = {"do them",
                              "Each get() needs its task_done(), even if the work fails: call it in "
                              "`finally`. A worker that an exception ended calls none."},
    [SNAP_WAIT_FUTURE] = {"set it",
                          "No thread has this job. Was it submitted at all, or to a pool or an event loop "
                          "whose threads wait themselves? Give result() a time limit."},
};

// It goes on only if another thread of its process lets it.
static bool depends(const struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    return wait && snap_wait_is_internal(wait->kind) && wait->kind != SNAP_WAIT_GIL &&
           !diag_has_limit(wait) && !diag_is_shared(diag, wait);
}

// All of them at one moment, and for a while: of one that was taken later than the others another may have
// been woken meanwhile.
static bool stands(const struct diag *diag, uint32_t thread)
{
    bool still = diag->threads[thread].held_still || diag->last->stopped || diag->source->of_core;
    return still && !diag_ran_lately(diag, thread);
}

bool diag_nobody_left(const struct diag *diag, pid_t pid)
{
    size_t count = 0;
    for (uint32_t i = 0; i < diag->count; i++) {
        if (diag->threads[i].pid != pid)
            continue;
        if (!depends(diag, i) || !stands(diag, i))
            return false;
        count += diag->threads[i].known_to_python;
    }
    return count > 0;
}

// A job that stands in the queue of a pool is the business of executor-deadlock.
bool diag_is_stuck(const struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    return wait && rows[wait->kind].nobody && wait->owner_known == SNAP_NOT_KNOWN &&
           depends(diag, thread) && !wait->queue && (wait->kind != SNAP_WAIT_SEMAPHORE || wait->gives_back);
}

struct stuck {
    uint32_t first; // thread; DIAG_NONE: all of the group may be idle
    size_t count;   // that wait as it does: of a queue others may wait for items
};

static struct stuck find_stuck(const struct diag *diag, const struct diag_group *group)
{
    struct stuck stuck = {.first = DIAG_NONE};
    for (size_t i = 0; i < group->count; i++) {
        uint32_t thread = diag->waiters.items[group->first + i];
        if (stuck.first == DIAG_NONE && diag_is_stuck(diag, thread))
            stuck.first = thread;
        stuck.count += stuck.first != DIAG_NONE &&
                       diag_wait(diag, thread)->kind == diag_wait(diag, stuck.first)->kind;
    }
    return stuck;
}

// Somebody waits for an item, for news, or to be notified: what is there may be a service at rest, whose
// workers meet at the barrier once there is work.
static bool may_be_at_rest(const struct diag *diag, pid_t pid)
{
    for (uint32_t i = 0; i < diag->count; i++) {
        const struct snap_wait *wait = diag->threads[i].pid == pid ? diag_wait(diag, i) : NULL;
        if (wait && (wait->kind == SNAP_WAIT_QUEUE_GET || wait->kind == SNAP_WAIT_EVENT ||
                     wait->kind == SNAP_WAIT_CONDITION))
            return true;
    }
    return false;
}

static void say_others(struct draft *draft, pid_t pid)
{
    struct diag *diag = draft->diag;
    size_t told = 0;
    for (uint32_t i = 0; i < diag->count && told < DIAG_TOLD_MAX; i++) {
        if (diag->threads[i].pid != pid || !diag->threads[i].known_to_python)
            continue;
        say_thread(&draft->text, diag, i);
        plain_str(&draft->text, " is ");
        say_doing(&draft->text, diag, i);
        plain_str(&draft->text, ".");
        draft_evidence(draft);
        told++;
    }
}

static void tell(struct diag *diag, const struct stuck *stuck)
{
    uint32_t first = stuck->first;
    pid_t pid = diag->threads[first].pid;
    const struct snap_wait *wait = diag_wait(diag, first);
    const struct snap_frame *at = stack_waiting(diag, first);
    size_t all = diag_python_threads(diag, pid);
    struct draft draft;
    draft_begin(&draft, diag, DIAG_HIGH, SNAP_INFERRED, (double)stuck->count / (double)(all ? all : 1));
    if (stuck->count == 1)
        say_thread(&draft.text, diag, first);
    else
        say_of_threads(&draft.text, stuck->count, all);
    plain_str(&draft.text, stuck->count == 1 ? " waits for " : " wait for ");
    say_wanted(&draft.text, diag, wait);
    if (at) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, at);
        draft_name(&draft, at->function);
    }
    plain_add(&draft.text, ", and nobody is left to %s: ", rows[wait->kind].nobody);
    if (all > 1)
        plain_add(&draft.text, "all %zu threads wait for each other, or for work.", all);
    else
        plain_str(&draft.text, "the process has no other thread.");
    draft_title(&draft);
    say_others(&draft, pid);
    draft_advice(&draft, rows[wait->kind].advice);
    draft_end(&draft);
}

static bool has_severe(const struct diag *diag)
{
    vec_foreach (finding, &diag->out->findings)
        if (finding->severity == DIAG_HIGH)
            return true;
    return false;
}

static bool was_told(const pid_t *told, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (told[i] == pid)
            return true;
    return false;
}

// Of each process once, of the most threads that wait for one thing. What other rules found says more.
void rule_nobody_left(struct diag *diag)
{
    pid_t looked[DIAG_TOLD_MAX], asked = 0;
    size_t count = 0;
    bool rests = false; // the process `asked`
    if (has_severe(diag))
        return;
    for (size_t i = 0; i < diag->groups.count && count < DIAG_TOLD_MAX; i++) {
        const struct diag_group *group = &diag->groups.items[i];
        struct stuck stuck = find_stuck(diag, group);
        if (stuck.first == DIAG_NONE || was_told(looked, count, group->pid))
            continue;
        bool barrier = diag_wait(diag, stuck.first)->kind == SNAP_WAIT_BARRIER;
        if (barrier && asked != group->pid) {
            asked = group->pid;
            rests = may_be_at_rest(diag, asked);
        }
        if (barrier && rests)
            continue;
        looked[count++] = group->pid;
        bool lasts = !diag->profile || diag_lasts(diag, stuck.first);
        if (lasts && diag_nobody_left(diag, group->pid))
            tell(diag, &stuck);
    }
}
