// SPDX-License-Identifier: GPL-3.0-or-later
// What the sampler remembers of threads from one snapshot to the next, and which thread of the
// kernel runs which thread state.
#include <stdlib.h>
#include <string.h>

#include "sample/sample_private.h"
#include "util/guard.h"

bool tracks_create(struct sampler *sampler)
{
    sampler->tracks = calloc(1, sizeof(*sampler->tracks));
    return sampler->tracks;
}

static void drop_stacks(struct py_stacks *stacks)
{
    vec_foreach (stack, stacks)
        py_stack_deinit(stack);
    vec_clear(stacks);
}

void tracks_forget(struct sampler *sampler)
{
    struct sampler_tracks *all = sampler->tracks;
    drop_stacks(&all->stacks);
    drop_stacks(&all->last);
    vec_clear(&all->owners);
    vec_clear(&all->last_owners);
    vec_clear(&all->jobs);
    vec_foreach (track, &all->tracks)
        *track = (struct track){.tid = track->tid};
}

void tracks_destroy(struct sampler *sampler)
{
    struct sampler_tracks *all = sampler->tracks;
    if (!all)
        return;
    tracks_forget(sampler);
    vec_foreach (native, &all->natives)
        unwind_stack_deinit(native);
    vec_deinit(&all->natives);
    vec_deinit(&all->tracks);
    vec_deinit(&all->jobs);
    vec_deinit(&all->indexes);
    vec_deinit(&all->stacks);
    vec_deinit(&all->owners);
    vec_deinit(&all->last);
    vec_deinit(&all->last_owners);
    free(all);
    sampler->tracks = NULL;
}

static bool same_threads(const struct sampler_tracks *all, const struct live_threads *threads)
{
    if (all->tracks.count != threads->count)
        return false;
    for (size_t i = 0; i < threads->count; i++)
        if (all->tracks.items[i].tid != threads->items[i].tid)
            return false;
    return true;
}

struct err *tracks_sync(struct sampler *sampler)
{
    struct sampler_tracks *all = sampler->tracks;
    const struct live_threads *threads = &sampler->live->threads;
    if (same_threads(all, threads))
        return NULL;
    sampler->maps_stale = true; // new threads have new stacks
    VEC(struct track) tracks = {0};
    struct unwind_stacks natives = {0};
    if (!vec_reserve(&tracks, threads->count) || !vec_reserve(&natives, threads->count)) {
        vec_deinit(&tracks);
        vec_deinit(&natives);
        return err_create(ERR_NO_MEMORY, "threads");
    }
    size_t old = 0;
    vec_foreach (thread, threads) { // both are in the order of TIDs
        for (; old < all->tracks.count && all->tracks.items[old].tid < thread->tid; old++)
            unwind_stack_deinit(&all->natives.items[old]);
        bool known = old < all->tracks.count && all->tracks.items[old].tid == thread->tid;
        tracks.items[tracks.count++] =
            known ? all->tracks.items[old] : (struct track){.tid = thread->tid};
        natives.items[natives.count++] = known ? all->natives.items[old] : (struct unwind_stack){0};
        old += known;
    }
    for (; old < all->tracks.count; old++)
        unwind_stack_deinit(&all->natives.items[old]);
    vec_deinit(&all->tracks);
    vec_deinit(&all->natives);
    all->tracks.items = tracks.items;
    all->tracks.count = tracks.count;
    all->tracks.capacity = tracks.capacity;
    all->natives = natives;
    return NULL;
}

void tracks_reset_job(struct sampler *sampler, const struct sample *sample, size_t index)
{
    struct job *job = &sampler->tracks->jobs.items[index];
    struct py_stack *stack = &sampler->tracks->stacks.items[index];
    job->fresh = job->begun = job->done = false;
    py_stack_deinit(stack);
    py_stack_init(stack, &sample->state.threads.items[index], false);
}

static struct py_kernel_thread *kernel_threads(const struct sampler *sampler)
{
    const struct live_threads *threads = &sampler->live->threads;
    struct py_kernel_thread *kernel = calloc(threads->count + 1, sizeof(*kernel));
    if (!kernel)
        return NULL;
    for (size_t i = 0; i < threads->count; i++) {
        // pthread_self() is known of those that are stopped. What was known of others may be another
        // thread's now: a thread that ends hands its place on before it is gone.
        const struct live_thread *thread = &threads->items[i];
        if (thread->state != LIVE_GONE)
            kernel[i] = (struct py_kernel_thread){
                (uint64_t)thread->ns_tid, thread->state == LIVE_STOPPED ? thread->regs.tls : 0,
                thread->has_regs ? thread->regs.sp : 0};
    }
    return kernel;
}

static struct err *find_owners(struct sampler *sampler, struct sample *sample)
{
    struct sampler_tracks *all = sampler->tracks;
    const struct live_threads *threads = &sampler->live->threads;
    AUTO_FREE struct py_kernel_thread *kernel = kernel_threads(sampler);
    if (!kernel)
        return err_create(ERR_NO_MEMORY, "threads");
    struct mem *mem = mem_copy_view(sampler->list);
    for (size_t i = 0; i < sample->state.threads.count; i++) {
        size_t owner = py_owner_of(sampler->live->target, mem, &sample->state.threads.items[i], 0,
                                   kernel, threads->count);
        all->jobs.items[i].owner = owner;
        all->owners.items[i] = owner == SIZE_MAX ? 0 : threads->items[owner].tid;
    }
    return NULL;
}

struct err *tracks_find_runners(struct sampler *sampler, struct sample *sample)
{
    struct sampler_tracks *all = sampler->tracks;
    if (sample->state.interpreters < 2 || sampler->process->dec.layout.version > 0x030c)
        return NULL;
    AUTO_FREE struct py_kernel_thread *kernel = kernel_threads(sampler);
    if (!kernel)
        return err_create(ERR_NO_MEMORY, "threads");
    for (size_t i = 0; i < all->jobs.count; i++) {
        const struct py_stack *stack = &all->stacks.items[i];
        if (stack->thread.interp_id > 0)
            all->jobs.items[i].owner =
                py_owner_of(sampler->live->target, NULL, &stack->thread, stack->outermost_shim,
                            kernel, sampler->live->threads.count);
    }
    return NULL;
}

struct err *tracks_assign(struct sampler *sampler, struct sample *sample)
{
    struct sampler_tracks *all = sampler->tracks;
    size_t count = sample->state.threads.count;
    drop_stacks(&all->stacks);
    if (!vec_reserve(&all->jobs, count) || !vec_reserve(&all->stacks, count) ||
        !vec_reserve(&all->owners, count) || !vec_reserve(&all->indexes, count + 1))
        return err_create(ERR_NO_MEMORY, "threads");
    all->jobs.count = all->stacks.count = all->owners.count = count;
    for (size_t i = 0; i < count; i++) {
        all->jobs.items[i] = (struct job){.owner = SIZE_MAX};
        py_stack_init(&all->stacks.items[i], &sample->state.threads.items[i], false);
    }
    return count ? find_owners(sampler, sample) : NULL;
}

// Where the stack of `tstate` was in the last snapshot; threads keep their order, so it is near.
static size_t find_last(const struct sampler_tracks *all, uint64_t tstate, size_t *hint)
{
    for (size_t step = 0; step < all->last.count; step++) {
        size_t at = (*hint + step) % all->last.count;
        if (all->last.items[at].thread.tstate == tstate) {
            *hint = at + 1;
            return at;
        }
    }
    return SIZE_MAX;
}

void tracks_keep(struct sampler *sampler, const struct sample *sample)
{
    struct sampler_tracks *all = sampler->tracks;
    size_t hint = 0;
    for (size_t i = 0; i < all->jobs.count; i++) {
        struct job *job = &all->jobs.items[i];
        struct py_stack *stack = &all->stacks.items[i];
        struct track *track = job->owner == SIZE_MAX ? NULL : track_of(sampler, job->owner);
        if (!track || !track->kept)
            continue;
        size_t last = find_last(all, stack->thread.tstate, &hint);
        if (last == SIZE_MAX || all->last_owners.items[last] != track->tid) {
            track->kept = track->decoded = false; // a thread state that was not known before
            continue;
        }
        struct py_thread thread = stack->thread;
        py_stack_deinit(stack);
        *stack = all->last.items[last];
        stack->thread = thread;
        py_stack_init(&all->last.items[last], &(struct py_thread){0}, false);
        job->begun = job->done = true;
    }
    // One new thread state is enough to have all of that thread's read.
    for (size_t i = 0; i < all->jobs.count; i++) {
        const struct job *job = &all->jobs.items[i];
        if (job->done && !track_of(sampler, job->owner)->kept)
            tracks_reset_job(sampler, sample, i);
    }
}
