// SPDX-License-Identifier: GPL-3.0-or-later
// One snapshot of a live process: see sample/sampler.h.
#include "sample/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "sample/sample_private.h"
#include "util/guard.h"

#define STOP_DEADLINE_NS 250000000u // for threads that are waited for one by one
#define WHOLE_DEADLINE_NS 50000000u // for all of them at once, where nothing else will do
#define PASSES 6 // in the last one, what still does not sleep through its reading is stopped

static void close_python(struct sampler *sampler)
{
    unwinder_destroy(sampler->unwinder);
    py_process_close(sampler->process);
    image_destroy(sampler->image);
    sampler->unwinder = NULL;
    sampler->process = NULL;
    sampler->image = NULL;
    if (sampler->tracks)
        tracks_forget(sampler);
}

static struct err *open_python(struct sampler *sampler)
{
    struct image_options options = {.debuginfod = sampler->debuginfod};
    TRY(image_open(sampler->live->target, &options, &sampler->image));
    struct err *err =
        py_process_open(sampler->live->target, sampler->image, sampler->strings, &sampler->process);
    if (!err && !sampler->no_native)
        err = unwinder_create(sampler->live->target, sampler->image, &sampler->unwinder);
    if (err)
        close_python(sampler);
    sampler->images_changed = true;
    return err;
}

struct err *sampler_open(pid_t pid, struct strtab *strings, const struct sampler_options *options,
                         struct sampler **ret)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler));
    if (!sampler)
        return err_create(ERR_NO_MEMORY, "sampler");
    sampler->strings = strings;
    sampler->stop = options->stop;
    sampler->no_native = options->no_native;
    sampler->debuginfod = options->debuginfod;
    sampler->max_pause_ns = options->max_pause_ns;
    sampler->read_cost = 1024;
    sampler->list = mem_copy_create();
    sampler->still = mem_copy_create();
    sampler->copy = mem_copy_create();
    struct err *err = NULL;
    sampler->codes = mem_copy_create();
    if (!tracks_create(sampler) || !sampler->list || !sampler->still || !sampler->copy ||
        !sampler->codes)
        err = err_create(ERR_NO_MEMORY, "sampler");
    if (!err)
        err = live_open(pid, &sampler->live);
    if (!err && sampler->live->can_read)
        err = open_python(sampler);
    if (err) {
        sampler_close(sampler);
        return err;
    }
    *ret = sampler;
    return NULL;
}

void sampler_close(struct sampler *sampler)
{
    if (!sampler)
        return;
    close_python(sampler);
    tracks_destroy(sampler);
    live_close(sampler->live);
    mem_copy_destroy(sampler->list);
    mem_copy_destroy(sampler->still);
    mem_copy_destroy(sampler->copy);
    mem_copy_destroy(sampler->codes);
    vec_deinit(&sampler->list_prefetch);
    vec_deinit(&sampler->prefetch);
    vec_deinit(&sampler->code_prefetch);
    vec_deinit(&sampler->last_used);
    vec_deinit(&sampler->names);
    free(sampler);
}

void sample_deinit(struct sample *sample)
{
    py_state_deinit(&sample->state);
}

// ---- names --------------------------------------------------------------------------------------

static bool has_name(const struct sampler *sampler, uint64_t ident)
{
    vec_foreach (name, &sampler->names)
        if (name->ident == ident)
            return true;
    return false;
}

// Names, once the target runs again. They are kept until a thread shows up that was not there
// before: idents and thread states are used again by the threads that follow, TIDs are not.
static void read_names(struct sampler *sampler, struct sample *ret)
{
    size_t nameless = 0;
    bool changed = false;
    vec_foreach (thread, &sampler->live->threads)
        changed |= thread->fresh;
    vec_foreach (thread, &ret->state.threads)
        nameless += !has_name(sampler, thread->ident);
    ret->names = &sampler->names;
    // A thread enters threading's table a moment after it has started.
    if (!changed && nameless == sampler->nameless && sampler->names.count)
        return;
    struct pass pass = {.sampler = sampler};
    uint64_t last = 0;
    vec_clear(&sampler->names);
    gather_use(&pass, sampler->list, true);
    vec_foreach (thread, &ret->state.threads) {
        if (thread->interp == last)
            continue;
        last = thread->interp;
        // Without names the stacks are still worth having.
        err_destroy(py_thread_names(sampler->process, thread->interp, &sampler->names));
    }
    sampler->nameless = 0;
    vec_foreach (thread, &ret->state.threads)
        sampler->nameless += !has_name(sampler, thread->ident);
}

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
        thread->wanted = sampler->stop != STOP_NONE && !track->kept &&
                         (!thread->asleep || track->needs_stop || pass->number == PASSES - 1);
        thread->insist = track->needs_stop || pass->number == PASSES - 1;
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
    sample->stops++;
    if (pause_ns > sample->longest_ns)
        sample->longest_ns = pause_ns;
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
        if (thread->state == LIVE_STOPPED || (thread->asleep && live_held_still(thread)))
            continue;
        struct py_stack *stack = &all->stacks.items[i];
        py_stack_deinit(stack);
        py_stack_init(stack, &pass->sample->state.threads.items[i], false);
        stack->chain_done = true;
        stack->cut = err_create(ERR_TIMEOUT, "it ran on while it was read");
        thread->has_regs = false;
    }
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
    }
    return err;
}

// The threads took so long to stop that there was no time left to copy.
static bool came_too_late(const struct pass *pass, const struct stop_times *times)
{
    return pass->out_of_budget && pass->number < PASSES - 1 &&
           times->stopped_ns - times->begin_ns > pass->sampler->max_pause_ns / 2;
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
        native_unwind(pass, i);
        thread->held_still = pass->number == 0 && thread->state == LIVE_STOPPED;
        track_of(sampler, i)->decoded = false;
        track_of(sampler, i)->needs_stop = false;
    }
    for (size_t i = 0; i < sampler->live->threads.count; i++)
        if (is_held(pass, i))
            track_of(sampler, i)->pending = false;
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
    pass->budget_end_ns = times.begin_ns + allowed_ns;
    pass->stopped = true;
    if (!err && times.begin_ns)
        err = gather(pass, is_held);
    live_resume(live, &times);
    pass->stopped = false;
    count_stop(pass, &times);
    pass->sample->copied_bytes += mem_copy_bytes(sampler->copy);
    if (!err && came_too_late(pass, &times)) {
        begin_again(pass, is_held);
        pass->sample->skipped = skipped;
        forget_stop(pass);
    } else if (!err && times.begin_ns) {
        accept_held(pass);
    }
    if (!err)
        err = take_late(pass);
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
    for (size_t i = 0; i < sampler->tracks->jobs.count; i++)
        if (sampler->tracks->jobs.items[i].owner == index)
            tracks_reset_job(sampler, pass->sample, i);
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
        still[i] = thread->asleep && live_held_still(thread);
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
        if (thread->asleep && !native_unwind(pass, i)) {
            want_registers(pass, i);
            continue;
        }
        track->clock = thread->before;
        track->decoded = thread->asleep;
        track->pending = false;
    }
    free(still);
}

static struct err *run_pass(struct pass *pass)
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
    }
    if (stop)
        TRY(stop_and_copy(pass));
    if (!pass->whole)
        accept_sleepers(pass);
    return NULL;
}

// ---- the snapshot -------------------------------------------------------------------------------

// Up to 3.12 a subinterpreter's thread state does not say who runs it; only stacks that all stand
// still do.
static bool wants_whole(const struct sampler *sampler, const struct sample *sample)
{
    if (sampler->stop == STOP_NONE)
        return false;
    return sampler->stop == STOP_ALL || sample->state.cut ||
           (sample->state.interpreters > 1 && sampler->process->dec.layout.version <= 0x030c);
}

static bool is_nobody(const struct pass *pass, size_t thread)
{
    (void)pass;
    (void)thread;
    return false;
}

// A thread state that no thread runs was left behind by fork(), and never changes; or its thread
// was about to start or to end. Two readings tell: what is not the same in both is no stack.
static void check_orphans(struct pass *pass)
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

static size_t count_pending(const struct sampler *sampler)
{
    size_t pending = 0;
    vec_foreach (track, &sampler->tracks->tracks)
        pending += track->pending;
    return pending;
}

// Thread states of threads that have ended meanwhile are left out, as their threads are.
static void drop_ended(struct sampler *sampler, struct sample *ret)
{
    struct sampler_tracks *all = sampler->tracks;
    size_t kept = 0;
    for (size_t i = 0; i < all->jobs.count; i++) {
        const struct job *job = &all->jobs.items[i];
        bool ended = job->lost || (job->owner != SIZE_MAX &&
                                   sampler->live->threads.items[job->owner].state == LIVE_GONE);
        if (ended) {
            py_stack_deinit(&all->stacks.items[i]);
            continue;
        }
        all->jobs.items[kept] = *job;
        all->stacks.items[kept] = all->stacks.items[i];
        all->owners.items[kept] = all->owners.items[i];
        ret->state.threads.items[kept++] = ret->state.threads.items[i];
    }
    all->jobs.count = all->stacks.count = all->owners.count = ret->state.threads.count = kept;
}

static void sum_up(struct sampler *sampler, struct sample *ret)
{
    struct sampler_tracks *all = sampler->tracks;
    drop_ended(sampler, ret);
    for (size_t i = 0; i < all->stacks.count; i++)
        all->stacks.items[i].thread.holds_gil = ret->state.threads.items[i].holds_gil;
    vec_clear(&all->indexes);
    vec_foreach (job, &all->jobs)
        all->indexes.items[all->indexes.count++] = job->owner;
    ret->owners = all->indexes.items;
    ret->atomic = true;
    vec_foreach (thread, &sampler->live->threads) {
        ret->threads_stopped += thread->stopped_by_us;
        ret->atomic &= thread->held_still || thread->state == LIVE_GONE;
    }
    ret->stacks = all->stacks.items;
    ret->stack_count = all->stacks.count;
    ret->natives = sampler->unwinder ? all->natives.items : NULL;
    for (size_t i = 0; i < ret->stack_count; i++)
        if (!all->jobs.items[i].done && !ret->stacks[i].cut)
            ret->stacks[i].cut = err_create(ERR_TIMEOUT, "its thread never held still");
    // What a thread that is gone left behind is nobody's stack.
    for (size_t i = 0; i < sampler->live->threads.count; i++)
        if (sampler->live->threads.items[i].state == LIVE_GONE || track_of(sampler, i)->pending)
            vec_clear(&all->natives.items[i].frames);
}

static struct err *take_stacks(struct sampler *sampler, struct sample *ret)
{
    struct sampler_tracks *all = sampler->tracks;
    native_refresh(sampler);
    vec_foreach (track, &all->tracks)
        track->pending = true;
    TRY(gather_list(sampler, ret));
    struct pass pass = {.sampler = sampler, .sample = ret};
    pass.whole = wants_whole(sampler, ret);
    do {
        TRY(run_pass(&pass));
        pass.number++;
        pass.whole = false;
    } while (count_pending(sampler) && pass.number < PASSES);
    ret->passes = pass.number;
    check_orphans(&pass);
    TRY(tracks_find_runners(sampler, ret));
    sum_up(sampler, ret);
    read_names(sampler, ret);
    py_codes_trim(sampler->process->dec.codes);
    return NULL;
}

static struct err *take_once(struct sampler *sampler, struct sample *ret)
{
    struct sampler_tracks *all = sampler->tracks;
    TRY(live_look(sampler->live));
    TRY(tracks_sync(sampler));
    if (!sampler->process)
        return NULL;
    struct py_stacks stacks = all->last;
    all->last = all->stacks;
    all->stacks = stacks;
    struct proc_tids owners = all->last_owners;
    all->last_owners = all->owners;
    all->owners = owners;
    struct err *err = take_stacks(sampler, ret);
    if (err)
        tracks_forget(sampler);
    return err;
}

struct err *sampler_take(struct sampler *sampler, struct sample *ret)
{
    memset(ret, 0, sizeof(*ret));
    sampler->live->woken_ns = live_now_ns();
    bool between = !sampler->process && sampler->live->can_read;
    struct err *err = between ? NULL : take_once(sampler, ret);
    bool lost = !err && sampler->process && ret->state.cut && !ret->state.threads.count;
    if (lost || between) {
        // The runtime is not where it was: another program runs there now, or Python has ended.
        sample_deinit(ret);
        memset(ret, 0, sizeof(*ret));
        close_python(sampler);
        vec_clear(&sampler->prefetch);
        vec_clear(&sampler->last_used);
        vec_clear(&sampler->list_prefetch);
        err = live_refresh(sampler->live);
        if (!err)
            err = open_python(sampler);
        if (!err)
            err = take_once(sampler, ret);
        ret->changed_program = !err;
    }
    if (err) {
        sample_deinit(ret);
        return err;
    }
    live_account(sampler->live);
    return NULL;
}
