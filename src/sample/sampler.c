// SPDX-License-Identifier: GPL-3.0-or-later
// One snapshot of a live process: see sample/sampler.h.
#include "sample/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "sample/sample_private.h"
#include "util/guard.h"

#define NAMES_PATIENCE_NS 2000000000u

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
    struct image_options options = {.debuginfod = sampler->debuginfod, .files = sampler->files};
    TRY(image_open(sampler->live->target, &options, &sampler->image));
    struct err *err =
        py_process_open(sampler->live->target, sampler->image, sampler->strings, &sampler->process);
    if (!err && !sampler->no_native)
        err = unwinder_create(sampler->live->target, sampler->image, &sampler->unwinder);
    if (err)
        close_python(sampler);
    sampler->images_changed = true;
    sampler->maps_read_ns = live_now_ns();
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
    sampler->files = options->files;
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
        err = live_tell_end(sampler->live, open_python(sampler));
    else if (!err && live_is_ending(sampler->live))
        err = err_create(ERR_GONE, "process %d has ended", pid);
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

void sampler_watch(struct sampler *sampler, void (*watch)(void *watcher, struct mem_copy *copy),
                   void *watcher)
{
    struct mem_copy *copies[] = {sampler->list, sampler->still, sampler->copy, sampler->codes};
    sampler->watch = watch;
    sampler->watcher = watcher;
    for (size_t i = 0; i < ARRAY_SIZE(copies); i++)
        mem_copy_keep_log(copies[i], watch);
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
    uint64_t now_ns = live_now_ns();
    if (changed || nameless != sampler->nameless)
        sampler->names_until_ns = now_ns + NAMES_PATIENCE_NS;
    else if (sampler->names.count && (!nameless || now_ns > sampler->names_until_ns))
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
    vec_foreach (track, &all->tracks) {
        track->pending = true;
        track->retries = 0;
    }
    TRY(gather_list(sampler, ret));
    show(sampler, sampler->list);
    struct pass pass = {.sampler = sampler, .sample = ret};
    pass.whole = wants_whole(sampler, ret);
    do {
        TRY(pass_run(&pass));
        pass.number++;
        pass.whole = false;
    } while (count_pending(sampler) && pass.number < PASS_COUNT);
    pass_check_orphans(&pass);
    TRY(tracks_find_runners(sampler, ret));
    sum_up(sampler, ret);
    read_names(sampler, ret);
    show(sampler, sampler->list);
    py_codes_trim(sampler->process->dec.codes);
    return NULL;
}

// The list of thread states may be torn at a moment, but not twice in a row.
static bool is_lost(const struct sampler *sampler, const struct sample *sample)
{
    return sampler->process && sample->state.cut && !sample->state.threads.count;
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

// What was read of a process while it ended is in pieces, or nothing.
static struct err *check_end(const struct sampler *sampler)
{
    bool empty = true;
    vec_foreach (thread, &sampler->live->threads)
        empty &= thread->state == LIVE_GONE;
    if (!empty && (!sampler->live->can_read || live_has_memory(sampler->live)))
        return NULL;
    struct err *err = live_tell_end(sampler->live, err_create(ERR_NOT_FOUND, "no memory"));
    if (err_code(err) == ERR_GONE)
        return err;
    err_destroy(err); // it is becoming another program, which the next snapshot tells
    return NULL;
}

struct err *sampler_take(struct sampler *sampler, struct sample *ret)
{
    memset(ret, 0, sizeof(*ret));
    sampler->live->woken_ns = live_now_ns();
    bool between = !sampler->process && sampler->live->can_read;
    struct err *err = between ? NULL : take_once(sampler, ret);
    if (!err && is_lost(sampler, ret)) {
        sample_deinit(ret);
        memset(ret, 0, sizeof(*ret));
        err = take_once(sampler, ret);
    }
    if (between || (!err && is_lost(sampler, ret))) {
        // The runtime is not where it was: another program runs there now, or Python has ended.
        sample_deinit(ret);
        memset(ret, 0, sizeof(*ret));
        close_python(sampler);
        vec_clear(&sampler->prefetch);
        vec_clear(&sampler->last_used);
        vec_clear(&sampler->list_prefetch);
        vec_clear(&sampler->names);
        err = live_refresh(sampler->live);
        if (!err)
            err = open_python(sampler);
        if (!err)
            err = take_once(sampler, ret);
        ret->changed_program = !err;
    }
    if (!err)
        err = check_end(sampler);
    if (err) {
        sample_deinit(ret);
        return live_tell_end(sampler->live, err);
    }
    live_account(sampler->live);
    return NULL;
}
