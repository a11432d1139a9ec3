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

bool prof_thread(struct profile *profile, const struct snap_thread *thread, uint32_t *ret_thread)
{
    uint64_t hash =
        hash_u64(HASH_SEED, (uint64_t)(uint32_t)thread->pid << 32 | (uint32_t)thread->tid);
    if (!thread->tid)
        hash = hash_u64(hash, thread->python_id);
    struct prof_probe probe = prof_probe(&profile->thread_index, hash);
    while ((*ret_thread = prof_probe_next(&probe)) != PROF_NONE)
        if (same_thread(&profile->threads.items[*ret_thread].t, thread))
            return true;
    if (profile->threads.count < PROF_THREADS_MAX) {
        if (!prof_index_reserve(&profile->thread_index, 1) ||
            !add_thread(profile, thread, ret_thread))
            return false;
        prof_index_add(&profile->thread_index, hash, *ret_thread);
        return true;
    }
    if (profile->spare_thread == PROF_NONE) {
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

static bool count_pair(struct profile *profile, const struct prof_sample *sample, uint32_t function)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)sample->thread_id << 32 | function);
    struct prof_probe probe = prof_probe(&profile->pair_index, hash);
    uint32_t id;
    while ((id = prof_probe_next(&probe)) != PROF_NONE) {
        const struct prof_pair *pair = &profile->pairs.items[id];
        if (pair->thread == sample->thread_id && pair->function == function)
            break;
    }
    if (id == PROF_NONE) {
        if (profile->pairs.count >= PROF_PAIRS_MAX)
            return true;
        struct prof_pair pair = {.thread = sample->thread_id, .function = function};
        if (!prof_index_reserve(&profile->pair_index, 1) || !vec_push(&profile->pairs, pair))
            return false;
        id = (uint32_t)profile->pairs.count - 1;
        prof_index_add(&profile->pair_index, hash, id);
    }
    profile->pairs.items[id].self++;
    profile->pairs.items[id].self_working += sample->works;
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
    entry->seen = profile->sum.snapshots;
    return !profile->path.count || count_pair(profile, sample, prof_path_function(profile, 0));
}

// Of threads that are not in this snapshot nothing is compared any more.
void prof_threads_gone(struct profile *profile)
{
    size_t kept = 0;
    vec_foreach(id, &profile->present) {
        struct prof_thread_entry *entry = &profile->threads.items[*id];
        if (entry->seen == profile->sum.snapshots)
            profile->present.items[kept++] = *id;
        else
            vec_deinit(&entry->calls);
    }
    profile->present.count = kept;
}
