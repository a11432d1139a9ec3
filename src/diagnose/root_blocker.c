// SPDX-License-Identifier: GPL-3.0-or-later
// root-blocker: threads wait for a lock, directly or through others, and the one that has it waits for
// something else, or works. Waiting for the end of a thread or for a result is not enough: that is
// what a main thread does all day.
#include "diagnose/stack.h"

// One waiter is a glimpse of any lock. Three at once, and half of all threads, are a queue.
#define QUEUE_THREADS 3
#define QUEUE_SHARE 0.5
// Of a thread's samples: it waited in all but a few snapshots, in one call.
#define LASTING_SHARE 0.9

// Who has the lock waits for work, and hands the lock on when it has some: leader and followers
// (accept() under a lock, one thread that polls for all). That is how an idle server looks.
static bool is_leader(const struct diag *diag, uint32_t root)
{
    const struct snap_wait *wait = diag_wait(diag, root);
    return wait &&
           (wait->kind == SNAP_WAIT_ACCEPT || (wait->kind == SNAP_WAIT_POLL && wait->fd_count > 1));
}

// The one of the waiters whose lock names the holder.
static uint32_t speaker(const struct diag *diag, const struct diag_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        uint32_t thread = diag->waiters.items[group->first + i];
        if (diag->graph.next[thread] == group->owner)
            return thread;
    }
    return diag->waiters.items[group->first];
}

static const struct snap_frame *frame_of(const struct diag *diag, uint32_t thread, uint32_t from)
{
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    return stack_own_from(diag, &stack, from < stack.count ? from : 0);
}

// One call of the function that waits was seen in nearly all snapshots: it is one wait, not many.
static bool is_one_call(const struct diag *diag, const struct snap_frame *frame, uint64_t samples)
{
    for (size_t i = 0; frame && i < diag->profile->function_count; i++) {
        const struct prof_function *function = &diag->profile->functions[i];
        if (function->kind == SNAP_PYTHON && function->function == frame->function &&
            function->file == frame->file && function->line == frame->first_line)
            return (double)function->longest_snapshots >= LASTING_SHARE * (double)samples;
    }
    return false;
}

static bool lasts(const struct diag *diag, const struct diag_group *group)
{
    uint32_t first = speaker(diag, group);
    const struct snap_thread *waiter = &diag->threads[first];
    if (diag_longest_wait(diag, group) >= DIAG_LASTING_NS)
        return true;
    const struct prof_thread *thread = diag_profiled(diag, waiter->pid, waiter->tid);
    return thread && thread->samples >= DIAG_SNAPSHOTS_MIN &&
           (double)thread->states[SNAP_LOCK_WAIT] >= LASTING_SHARE * (double)thread->samples &&
           is_one_call(diag, frame_of(diag, first, diag_wait(diag, first)->waiting),
                       thread->samples);
}

// The holder waits for what another thread of the process has to do, without a time limit, and all
// others wait behind it: nobody is left to do it.
static bool nobody_left(const struct diag *diag, uint32_t root, size_t behind, size_t all)
{
    const struct snap_wait *wait = diag_wait(diag, root);
    return wait && snap_wait_is_internal(wait->kind) && !diag_has_limit(wait) && behind + 1 >= all;
}

// In a single snapshot: each of them ran a moment ago, so that nobody waits for long. How long a moment
// is tells the window of CPU times, a tenth of a second (src/cli/loop.c).
static bool queue_moves(const struct diag *diag, const struct diag_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (!diag_ran_lately(diag, diag->waiters.items[group->first + i]))
            return false;
    return !diag->profile;
}

static enum diag_severity severity_of(const struct diag *diag, const struct diag_group *group,
                                      size_t behind, size_t all)
{
    uint32_t root = group->owner;
    bool few = behind < QUEUE_THREADS && (double)behind < QUEUE_SHARE * (double)all;
    if (snap_state_works(diag->threads[root].state)) // it will let go, for all that is known
        return few && (diag->source->of_core || diag_ran_lately(diag, speaker(diag, group)))
                   ? DIAG_LOW
                   : DIAG_MEDIUM;
    bool moves = diag_ran_lately(diag, root) || diag_ran_lately(diag, speaker(diag, group)) ||
                 diag_naps(diag, root);
    bool queue = !moves && behind >= QUEUE_THREADS && (double)behind >= QUEUE_SHARE * (double)all;
    if (nobody_left(diag, root, behind, all) || lasts(diag, group) || (queue && !diag->profile))
        return DIAG_HIGH;
    if (diag->profile || queue_moves(diag, group))
        return DIAG_LOW; // it does not last: the business of lock-convoy
    // A moment of a program that runs: few wait, and the holder is served from outside before long.
    const struct snap_wait *wait = diag_wait(diag, root);
    bool outside = !wait || !snap_wait_is_internal(wait->kind);
    return outside && few && !diag->source->of_core ? DIAG_LOW : DIAG_MEDIUM;
}

static void say_evidence(struct draft *draft, const struct diag_group *group)
{
    struct diag *diag = draft->diag;
    uint32_t root = group->owner, first = speaker(diag, group);
    const struct snap_wait *wait = diag_wait(diag, first);
    const struct snap_frames *frames = &diag->threads[root].frames;
    if (wait->owner_frame < frames->count) {
        say_thread(&draft->text, diag, root);
        plain_str(&draft->text, " has it in ");
        say_frame(&draft->text, diag, &frames->items[wait->owner_frame]);
        plain_str(&draft->text, wait->owner_known == SNAP_OBSERVED
                                    ? "; the lock names it as its owner."
                                    : "; that is concluded from its frame.");
        draft_evidence(draft);
    }
    const struct snap_frame *at = frame_of(diag, first, wait->waiting);
    if (at) {
        plain_things(&draft->text, group->count, "thread");
        plain_str(&draft->text, group->count == 1 ? " waits for it directly, in "
                                                  : " wait for it directly, the first one in ");
        say_frame(&draft->text, diag, at);
        plain_str(&draft->text, ".");
        draft_evidence(draft);
        draft_name(draft, at->function);
    }
    uint64_t since = diag_longest_wait(diag, group);
    if (since) {
        plain_str(&draft->text, "The longest of these waits lasts at least ");
        plain_duration(&draft->text, since);
        plain_str(&draft->text, ".");
        draft_evidence(draft);
    }
}

static void tell(struct diag *diag, const struct diag_group *group)
{
    uint32_t root = group->owner, first = speaker(diag, group);
    const struct snap_wait *wait = diag_wait(diag, first);
    const struct snap_frame *at = frame_of(diag, first, wait->waiting);
    const struct snap_frame *has = frame_of(diag, root, wait->owner_frame);
    size_t behind = diag->graph.behind[root], all = diag_python_threads(diag, group->pid);
    all = all > behind ? all : behind + 1;
    struct draft draft;
    draft_begin(&draft, diag, severity_of(diag, group, behind, all), wait->owner_known,
                (double)behind / (double)all);
    say_of_threads(&draft.text, behind, all);
    plain_str(&draft.text, behind == 1 ? " waits for " : " wait, directly or through others, for ");
    say_wanted(&draft.text, diag, wait);
    if (at) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, at);
    }
    plain_str(&draft.text, ", held by ");
    say_thread(&draft.text, diag, root);
    plain_str(&draft.text, ", ");
    say_itself(&draft.text, diag, root);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    say_evidence(&draft, group);
    if (has)
        draft_name(&draft, has->function);
    if (nobody_left(diag, root, behind, all))
        draft_advice(&draft,
                     "Nobody is left who could end that wait: all other threads stand behind "
                     "it. Do not wait for another thread while holding a lock it needs.");
    else
        draft_advice(&draft, "Look at what the holder waits for, and give it a time limit. Do not "
                             "hold the lock over calls that may take long.");
    draft_end(&draft);
}

// Many wait for one lock, and nobody can be named.
static void tell_unknown(struct diag *diag, const struct diag_group *group)
{
    uint32_t first = speaker(diag, group);
    const struct snap_wait *wait = diag_wait(diag, first);
    const struct snap_frame *at = frame_of(diag, first, wait->waiting);
    size_t all = diag_python_threads(diag, group->pid);
    all = all > group->count ? all : group->count;
    struct draft draft;
    draft_begin(&draft, diag, queue_moves(diag, group) ? DIAG_LOW : DIAG_MEDIUM, SNAP_OBSERVED,
                (double)group->count / (double)all);
    say_of_threads(&draft.text, group->count, all);
    plain_str(&draft.text, " wait for ");
    say_wanted(&draft.text, diag, wait);
    if (at) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, at);
        draft_name(&draft, at->function);
    }
    plain_str(&draft.text, "; which thread holds it is not known.");
    draft_title(&draft);
    draft_advice(&draft,
                 "A plain lock does not say who holds it. Look for a thread that is between "
                 "its acquire() and release(), or for a missing release(); with an RLock the "
                 "holder is known.");
    draft_end(&draft);
}

// The last lock of its chain: the holder waits for no lock, and what it waits for may be whatever.
static bool is_last(const struct diag *diag, const struct diag_group *groups, size_t i)
{
    const struct snap_wait *wait = diag_wait(diag, groups[i].owner);
    if (wait && diag_is_lock(wait->kind) && diag->graph.next[groups[i].owner] != DIAG_NONE)
        return false;
    for (size_t j = 0; j < i; j++)
        if (groups[j].owner == groups[i].owner && diag_is_lock(groups[j].kind))
            return false;
    return !diag_ends_in_ring(diag, groups[i].owner);
}

// A ring has no end: those who stand behind it are part of the deadlock.
void rule_root_blocker(struct diag *diag)
{
    size_t told = 0;
    for (size_t i = 0; i < diag->groups.count && told < DIAG_TOLD_MAX; i++) {
        const struct diag_group *group = &diag->groups.items[i];
        if (!diag_is_lock(group->kind))
            continue;
        const struct snap_wait *wait = diag_wait(diag, diag->waiters.items[group->first]);
        if (group->owner == DIAG_NONE) {
            bool known = wait->owner_gone || wait->owner_known != SNAP_NOT_KNOWN;
            if (!known && group->kind != SNAP_WAIT_CONDITION && group->count >= QUEUE_THREADS &&
                (!diag->profile || lasts(diag, group))) {
                tell_unknown(diag, group);
                told++;
            }
        } else if (is_last(diag, diag->groups.items, i) && !is_leader(diag, group->owner)) {
            tell(diag, group);
            told++;
        }
    }
}
