// SPDX-License-Identifier: GPL-3.0-or-later
// Threads of the run: what they were seen doing, the CPU time they used, and in which functions.
#include "profile/profile_private.h"

static bool same_thread(const struct prof_thread *t, const struct snap_thread *thread)
{
    return t->pid == thread->pid && t->tid == thread->tid &&
           (t->tid || t->python_id == thread->python_id);
}

static bool add_thread(struct profile *profile, const struct snap_thread *thread,
                       uint32_t *ret_thread)
{
    struct prof_thread_entry entry = {
        .t = {.pid = thread->pid, .tid = thread->tid, .python_id = thread->python_id},
    };
    if (!vec_push(&profile->threads, entry))
        return false;
    *ret_thread = (uint32_t)profile->threads.count - 1;
    return true;
}

static uint64_t hash_thread(const struct snap_thread *thread)
{
    uint64_t hash =
        hash_u64(HASH_SEED, (uint64_t)(uint32_t)thread->pid << 32 | (uint32_t)thread->tid);
    return thread->tid ? hash : hash_u64(hash, thread->python_id);
}

uint32_t prof_find_thread(const struct profile *profile, const struct snap_thread *thread)
{
    struct hash_probe probe = hash_probe(&profile->thread_index, hash_thread(thread));
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (same_thread(&profile->threads.items[id].t, thread))
            return id;
    return HASH_NONE;
}

bool prof_thread(struct profile *profile, const struct snap_thread *thread, uint32_t *ret_thread)
{
    *ret_thread = prof_find_thread(profile, thread);
    if (*ret_thread != HASH_NONE)
        return true;
    if (profile->threads.count < PROF_THREADS_MAX) {
        if (!hash_index_reserve(&profile->thread_index, 1) ||
            !add_thread(profile, thread, ret_thread))
            return false;
        hash_index_add(&profile->thread_index, hash_thread(thread), *ret_thread);
        return true;
    }
    if (profile->spare_thread == HASH_NONE) {
        struct snap_thread spare = {.pid = thread->pid};
        if (!add_thread(profile, &spare, &profile->spare_thread))
            return false;
    }
    *ret_thread = profile->spare_thread;
    return true;
}

// The latest of what can change, Python's name before the kernel's.
static void learn(struct prof_thread *t, const struct snap_thread *thread)
{
    if (thread->name && (!t->name || t->name_from_kernel || !thread->name_from_kernel)) {
        t->name = thread->name;
        t->name_from_kernel = thread->name_from_kernel;
    }
    if (thread->python_id)
        t->python_id = thread->python_id;
    t->known_to_python |= thread->known_to_python;
}

// *ret is NULL when the bound is met.
static bool find_pair(struct profile *profile, uint32_t thread, uint32_t function,
                      struct prof_pair **ret)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)thread << 32 | function);
    struct hash_probe probe = hash_probe(&profile->pair_index, hash);
    uint32_t id;
    *ret = NULL;
    while ((id = hash_probe_next(&probe)) != HASH_NONE) {
        struct prof_pair *pair = &profile->pairs.items[id];
        if (pair->thread == thread && pair->function == function) {
            *ret = pair;
            return true;
        }
    }
    if (profile->pairs.count >= PROF_PAIRS_MAX)
        return true;
    struct prof_pair pair = {.thread = thread, .function = function};
    if (!hash_index_reserve(&profile->pair_index, 1) || !vec_push(&profile->pairs, pair))
        return false;
    id = (uint32_t)profile->pairs.count - 1;
    hash_index_add(&profile->pair_index, hash, id);
    *ret = &profile->pairs.items[id];
    return true;
}

// Its own function, and the innermost one of Python: the first is what the thread is in, the second
// what may wait for a pool (in a call, or in an operator, which is none).
static bool count_pairs(struct profile *profile, const struct prof_sample *sample)
{
    const struct snap_thread *thread = sample->thread;
    bool active = sample->works || thread->state == SNAP_LOCK_WAIT;
    struct prof_pair *pair;
    if (!find_pair(profile, sample->thread_id, prof_path_function(profile, sample->own), &pair))
        return false;
    if (pair) {
        pair->own++;
        pair->own_working += sample->works;
    }
    size_t python = 0;
    while (python < thread->frames.count && thread->frames.items[python].kind != SNAP_PYTHON)
        python++;
    if (!active || python == thread->frames.count)
        return true;
    if (!find_pair(profile, sample->thread_id, prof_path_function(profile, python), &pair))
        return false;
    if (pair) {
        pair->active++;
        pair->with_pool += profile->processes.items[sample->process_id].pool_works;
    }
    return true;
}

bool prof_count_thread(struct profile *profile, const struct prof_sample *sample)
{
    const struct snap_thread *thread = sample->thread;
    struct prof_thread_entry *entry = &profile->threads.items[sample->thread_id];
    struct prof_thread *t = &entry->t;
    if (sample->thread_id != profile->spare_thread)
        learn(t, thread);
    t->samples++;
    t->states[thread->state]++;
    t->gil_held += thread->has_holds_gil && thread->holds_gil;
    t->in_gc += thread->in_gc;
    t->on_cpu += thread->on_cpu;
    if (thread->has_cpu) {
        t->has_cpu = true;
        t->cpu_ns += thread->cpu_ns;
        t->cpu_between_ns += thread->cpu_ns - sample->cpu_ns;
    }
    bool listed = entry->seen && entry->seen + 1 >= profile->sum.snapshots;
    if (!listed && !vec_push(&profile->present, sample->thread_id))
        return false;
    entry->seen = entry->counted = profile->sum.snapshots;
    return !profile->path.count || count_pairs(profile, sample);
}

// Of threads that are not in this snapshot nothing is compared any more.
void prof_threads_gone(struct profile *profile)
{
    size_t kept = 0;
    vec_foreach (id, &profile->present) {
        struct prof_thread_entry *entry = &profile->threads.items[*id];
        if (entry->seen == profile->sum.snapshots)
            profile->present.items[kept++] = *id;
        else
            vec_deinit(&entry->calls);
    }
    profile->present.count = kept;
}

// A thread that a filter left out of this snapshot has its calls compared with those of the last one
// that counted: as if it had been seen in them all the time.
void prof_keep_calls(struct profile *profile, const struct snap_thread *thread)
{
    uint32_t id = prof_find_thread(profile, thread);
    if (id == HASH_NONE || id == profile->spare_thread)
        return;
    struct prof_thread_entry *entry = &profile->threads.items[id];
    if (entry->seen && entry->seen + 1 == profile->sum.snapshots)
        entry->seen = profile->sum.snapshots;
}
