// SPDX-License-Identifier: GPL-3.0-or-later
// One way through the steps of a snapshot, for the threads that are still to be taken: sleepers are
// copied as they sleep, others under a stop. See sample/sampler.h.
#include <stdlib.h>

#include "sample/sample_private.h"
#include "util/guard.h"

#define STOP_DEADLINE_NS 250000000u // for threads that are waited for one by one
#define WHOLE_DEADLINE_NS 50000000u // for all of them at once, where nothing else will do

// ---- selections ---------------------------------------------------------------------------------

static bool is_asleep(const struct pass *pass, size_t index)
{
    const struct track *track = track_of(pass->sampler, index);
    const struct live_thread *thread = &pass->sampler->live->threads.items[index];
    if (!track->pending || track->kept || thread->wanted || thread->state == LIVE_GONE)
        return false;
    return thread->asleep || pass->sampler->stop == STOP_NONE;
}

static bool is_wanted(const struct pass *pass, size_t index)
{
    return track_of(pass->sampler, index)->pending &&
           (pass->whole || pass->sampler->live->threads.items[index].wanted);
}

// Those that could not be stopped are read as they are, and say so.
static bool is_held(const struct pass *pass, size_t index)
{
    const struct live_thread *thread = &pass->sampler->live->threads.items[index];
    return is_wanted(pass, index) && !thread->late &&
           (thread->state == LIVE_STOPPED || thread->state == LIVE_UNSTOPPED);
}

// ---- one pass -----------------------------------------------------------------------------------

// Which of the pending threads to stop. True: some.
static bool plan(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    bool any = false;
    for (size_t i = 0; i < sampler->live->threads.count; i++) {
        struct live_thread *thread = &sampler->live->threads.items[i];
        struct track *track = track_of(sampler, i);
        thread->wanted = thread->insist = false; // what was taken is not stopped again
        if (!track->pending)
            continue;
        if (pass->number > 0)
            live_look_again(sampler->live, thread);
        if (thread->state == LIVE_GONE) {
            track->pending = false;
            continue;
        }
        track->kept = pass->number == 0 && thread->asleep && track->decoded &&
                      thread->before.cpu_ns == track->clock.cpu_ns &&
                      thread->before.slices == track->clock.slices;
        bool last = pass->number == PASS_COUNT - 1;
        // One that has not answered an earlier stop (a vfork parent) will not answer this one.
        bool can = sampler->stop != STOP_NONE && !(thread->lingering && thread->asleep);
        thread->insist = track->needs_stop || last;
        thread->wanted = can && !track->kept && (!thread->asleep || thread->insist);
        any |= thread->wanted;
    }
    return any || pass->whole;
}

static void count_stop(struct pass *pass, const struct stop_times *times)
{
    if (!times->begin_ns)
        return;
    uint64_t pause_ns = times->end_ns - times->begin_ns;
    struct sample *sample = pass->sample;
    sample->pause_ns += pause_ns;
    sample->overran |= pause_ns > pass->sampler->max_pause_ns;
}

static void finish(struct pass *pass, pass_select *select)
{
    struct sampler *sampler = pass->sampler;
    struct sampler_tracks *all = sampler->tracks;
    gather_use(pass, pass->copy, true);
    for (size_t i = 0; i < all->jobs.count; i++) {
        struct job *job = &all->jobs.items[i];
        if (job->done || !job->begun || (job->owner != SIZE_MAX && !select(pass, job->owner)))
            continue;
        struct py_stack *stack = &all->stacks.items[i];
        py_stack_finish(sampler->process, stack);
        // A stack may be kept for longer than the cache keeps its code objects.
        vec_foreach (frame, &stack->frames)
            frame->code = NULL;
        job->done = true;
    }
}

// A thread that could not be stopped, and ran, has a stack of several moments: of none.
static void drop_torn(struct pass *pass)
{
    struct sampler_tracks *all = pass->sampler->tracks;
    for (size_t i = 0; i < all->jobs.count; i++) {
        const struct job *job = &all->jobs.items[i];
        if (job->owner == SIZE_MAX || !is_held(pass, job->owner))
            continue;
        struct live_thread *thread = &pass->sampler->live->threads.items[job->owner];
        if (thread->state == LIVE_STOPPED ||
            (thread->asleep && live_held_still(pass->sampler->live, thread)))
            continue;
        struct py_stack *stack = &all->stacks.items[i];
        py_stack_deinit(stack);
        py_stack_init(stack, &pass->sample->state.threads.items[i], false);
        stack->chain_done = true;
        stack->cut = err_create(ERR_TIMEOUT, "it ran on while it was read");
        thread->has_regs = false;
    }
}

static void reset_jobs_of(struct pass *pass, size_t thread)
{
    struct sampler *sampler = pass->sampler;
    for (size_t i = 0; i < sampler->tracks->jobs.count; i++)
        if (sampler->tracks->jobs.items[i].owner == thread)
            tracks_reset_job(sampler, pass->sample, i);
}

// To be read anew.
static void begin_again(struct pass *pass, pass_select *select)
{
    const struct sampler_tracks *all = pass->sampler->tracks;
    for (size_t i = 0; i < all->jobs.count; i++) {
        const struct job *job = &all->jobs.items[i];
        if (job->owner != SIZE_MAX && select(pass, job->owner))
            tracks_reset_job(pass->sampler, pass->sample, i);
    }
}

// A late thread is stopped for itself alone.
static struct err *take_late(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    struct stop_times times;
    struct live_thread *thread;
    struct err *err = NULL;
    while (!err && live_next_late(sampler->live, STOP_DEADLINE_NS, &times, &thread)) {
        pass->stopped = true;
        pass->budget_end_ns = times.begin_ns + sampler->max_pause_ns;
        pass->out_of_budget = false;
        mem_copy_clear(sampler->copy);
        gather_use(pass, sampler->copy, false);
        begin_again(pass, is_held);
        err = gather(pass, is_held);
        live_resume(sampler->live, &times);
        pass->stopped = false;
        count_stop(pass, &times);
        drop_torn(pass);
        finish(pass, is_held);
        for (size_t i = 0; i < sampler->live->threads.count; i++) {
            if (is_held(pass, i)) {
                native_unwind(pass, i);
                track_of(sampler, i)->pending = false;
            }
        }
        show(sampler, sampler->copy);
    }
    return err;
}

// The threads took so long to stop that there was no time left to copy.
static bool came_too_late(const struct pass *pass, const struct stop_times *times)
{
    return pass->out_of_budget && pass->number < PASS_COUNT - 1 &&
           times->stopped_ns - times->begin_ns > pass->sampler->max_pause_ns / 2;
}

// They run again: what their registers were is of no more use.
static void forget_stop(struct pass *pass)
{
    for (size_t i = 0; i < pass->sampler->live->threads.count; i++) {
        struct live_thread *thread = &pass->sampler->live->threads.items[i];
        if (!is_held(pass, i) || thread->state != LIVE_STOPPED)
            continue;
        thread->state = LIVE_RUNNING;
        thread->has_regs = false;
    }
}

// What was stopped is taken: nothing more is wanted of it.
static void accept_held(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    drop_torn(pass);
    gather_check_codes(pass, is_held);
    gather_remember(pass, is_held);
    finish(pass, is_held);
    for (size_t i = 0; i < sampler->live->threads.count; i++) {
        struct live_thread *thread = &sampler->live->threads.items[i];
        if (!is_held(pass, i))
            continue;
        struct track *track = track_of(sampler, i);
        native_unwind(pass, i);
        track->needs_stop = false;
        if (pass->number < PASS_COUNT - 1 && native_wants_more(pass, i)) {
            track->needs_stop = true;
            reset_jobs_of(pass, i);
            continue;
        }
        thread->held_still = pass->number == 0 && thread->state == LIVE_STOPPED;
        track->decoded = false;
        track->pending = false;
    }
    show(sampler, sampler->copy);
    forget_stop(pass);
}

static struct err *stop_and_copy(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    struct live *live = sampler->live;
    struct stop_times times = {0};
    uint64_t interrupted = live->interrupted_calls;
    size_t skipped = pass->sample->skipped;
    TRY(gather_rehearse(pass, is_wanted));
    mem_copy_clear(sampler->copy);
    gather_use_rehearsed(pass, sampler->copy);
    pass->listed = pass->settled = pass->out_of_budget = false;
    uint64_t allowed_ns = sampler->max_pause_ns;
    if (pass->whole && allowed_ns < WHOLE_DEADLINE_NS)
        allowed_ns = WHOLE_DEADLINE_NS;
    struct err *err = live_stop(live, pass->whole, allowed_ns, &times);
    if (!err)
        err = tracks_sync(sampler);
    for (size_t i = 0; !err && pass->whole && i < live->threads.count; i++)
        track_of(sampler, i)->pending = live->threads.items[i].state != LIVE_GONE;
    // The list of threads may be another one now: owners are found anew.
    vec_foreach (job, &sampler->tracks->jobs)
        job->owner = pass->whole ? SIZE_MAX : job->owner;
    pass->budget_end_ns = times.begin_ns + allowed_ns;
    pass->stopped = true;
    if (!err && times.begin_ns)
        err = gather(pass, is_held);
    live_resume(live, &times);
    pass->stopped = false;
    count_stop(pass, &times);
    if (!err && came_too_late(pass, &times)) {
        begin_again(pass, is_held);
        pass->sample->skipped = skipped;
        forget_stop(pass);
    } else if (!err && times.begin_ns) {
        accept_held(pass);
    }
    if (!err)
        err = take_late(pass);
    struct live_thread *late;
    if (err)
        live_next_late(live, 0, &times, &late); // they are left to the SIGCHLD handler
    pass->sample->interrupted_calls += live->interrupted_calls - interrupted;
    return err;
}

// The thread is to be stopped in the next pass, unless another one is that can teach the same.
static void want_registers(struct pass *pass, size_t index)
{
    struct sampler *sampler = pass->sampler;
    const struct unwind_stack *natives = sampler->tracks->natives.items;
    struct track *track = track_of(sampler, index);
    track->needs_stop = true;
    for (size_t i = 0; i < index; i++)
        if (track_of(sampler, i)->needs_stop && natives[i].end_addr == natives[index].end_addr)
            track->needs_stop = false;
    reset_jobs_of(pass, index);
}

// Sleepers whose clock still reads the same did not run while they were read.
static void accept_sleepers(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    bool torn_is_fine = sampler->stop == STOP_NONE;
    bool *still = calloc(sampler->live->threads.count + 1, sizeof(*still));
    if (!still)
        return;
    for (size_t i = 0; i < sampler->live->threads.count; i++) {
        struct live_thread *thread = &sampler->live->threads.items[i];
        struct track *track = track_of(sampler, i);
        if (!track->pending || !(track->kept || is_asleep(pass, i)))
            continue;
        still[i] = thread->asleep && live_held_still(sampler->live, thread);
        thread->held_still = still[i] && pass->number == 0;
        if (still[i] && track->kept)
            track->pending = false;
        track->kept = track->kept && still[i];
        still[i] |= torn_is_fine;
    }
    pass->copy = sampler->still;
    // What did not hold still is thrown away, and read anew.
    struct sampler_tracks *all = sampler->tracks;
    for (size_t i = 0; i < all->jobs.count; i++) {
        size_t owner = all->jobs.items[i].owner;
        if (owner != SIZE_MAX && track_of(sampler, owner)->pending && !still[owner] &&
            sampler->live->threads.items[owner].state != LIVE_STOPPED)
            tracks_reset_job(sampler, pass->sample, i);
    }
    finish(pass, is_asleep);
    for (size_t i = 0; i < sampler->live->threads.count; i++) {
        struct live_thread *thread = &sampler->live->threads.items[i];
        struct track *track = track_of(sampler, i);
        if (!track->pending || !still[i] || !is_asleep(pass, i))
            continue;
        if (thread->asleep && !native_unwind(pass, i) && live_may_stop(sampler->live, thread)) {
            want_registers(pass, i);
            continue;
        }
        track->clock = thread->before;
        // What a stop may still complete is not kept.
        track->decoded =
            thread->asleep && sampler->tracks->natives.items[i].end != UNWIND_END_REGISTER;
        track->pending = false;
    }
    show(sampler, sampler->still);
    free(still);
}

struct err *pass_run(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    bool stop = plan(pass);
    if (pass->number == 0 && !pass->whole) {
        tracks_keep(sampler, pass->sample);
        vec_foreach (job, &sampler->tracks->jobs)
            job->fresh = job->owner == SIZE_MAX || is_asleep(pass, job->owner);
    }
    if (!pass->whole) {
        mem_copy_clear(sampler->still);
        gather_use(pass, sampler->still, sampler->stop == STOP_NONE);
        TRY(gather(pass, is_asleep));
        show(sampler, sampler->still);
    }
    if (stop)
        TRY(stop_and_copy(pass));
    if (!pass->whole)
        accept_sleepers(pass);
    return NULL;
}

// ---- thread states without a thread -------------------------------------------------------------

static bool is_nobody(const struct pass *pass, size_t thread)
{
    (void)pass;
    (void)thread;
    return false;
}

// A thread state that no thread runs was left behind by fork(), and never changes; or its thread
// was about to start or to end. Two readings tell: what is not the same in both is no stack.
void pass_check_orphans(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    struct sampler_tracks *all = sampler->tracks;
    struct py_stacks before = {0};
    VEC(size_t) indexes = {0};
    for (size_t i = 0; i < all->jobs.count; i++) {
        struct py_stack *stack = &all->stacks.items[i];
        if (all->jobs.items[i].owner != SIZE_MAX || !stack->frames.count ||
            !vec_push(&indexes, i) || !vec_push(&before, *stack))
            continue;
        py_stack_init(stack, &before.items[before.count - 1].thread, false);
        tracks_reset_job(sampler, pass->sample, i);
    }
    if (before.count) {
        mem_copy_clear(sampler->still);
        gather_use(pass, sampler->still, false);
        err_destroy(gather(pass, is_nobody));
        finish(pass, is_nobody);
        show(sampler, sampler->still);
    }
    for (size_t k = 0; k < before.count; k++) {
        struct py_stack *now = &all->stacks.items[indexes.items[k]];
        struct py_stack *then = &before.items[k];
        bool same = now->frames.count == then->frames.count;
        for (size_t i = 0; same && i < now->frames.count; i++)
            same = now->frames.items[i].addr == then->frames.items[i].addr &&
                   now->frames.items[i].instr == then->frames.items[i].instr &&
                   now->frames.items[i].fingerprint == then->frames.items[i].fingerprint;
        if (!same)
            all->jobs.items[indexes.items[k]].lost = true;
        py_stack_deinit(then);
    }
    vec_deinit(&before);
    vec_deinit(&indexes);
}
