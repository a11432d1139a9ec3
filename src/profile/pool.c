// SPDX-License-Identifier: GPL-3.0-or-later
// Native thread pools, and the Python call that waits for them. A pool's threads carry nothing that
// names their master, so the link is drawn from time alone, and only where it is tight.
#include "profile/profile_private.h"

#define TOGETHER_MIN 0.8 // of the pool's busy snapshots in which the call goes on, and the reverse
#define SNAPSHOTS_MIN 5  // less is coincidence
#define RESTS_MIN 3      // beside a pool that never rests, as one that spins, all calls go on

static bool is_native(const struct snap_thread *thread)
{
    return !thread->known_to_python && thread->tid != thread->pid;
}

bool prof_count_pool(struct profile *profile, const struct snapshot *snapshot)
{
    vec_foreach (entry, &profile->processes)
        entry->pool_works = false;
    vec_foreach (thread, &snapshot->threads) {
        uint32_t id;
        if (thread->left_out || !is_native(thread) || !snap_state_works(thread->state))
            continue;
        if (!prof_process(profile, thread->pid, &id))
            return false;
        struct prof_process_entry *entry = &profile->processes.items[id];
        entry->pool.samples_working++;
        entry->pool.snapshots += !entry->pool_works;
        entry->pool_works = true;
    }
    return true;
}

static bool goes_with(const struct prof_pool *pool, const struct prof_pair *pair)
{
    return (double)pair->with_pool >= TOGETHER_MIN * (double)pool->snapshots &&
           (double)pair->with_pool >= TOGETHER_MIN * (double)pair->active;
}

// The process whose pool used the most CPU time; 0: none did.
static bool find_pool(struct profile *profile, const struct prof_report *report,
                      struct prof_pool *ret, pid_t *ret_pid, uint64_t *ret_rests)
{
    *ret_pid = 0;
    *ret_rests = 0;
    vec_foreach (entry, &profile->processes)
        entry->pool.threads = entry->pool.cpu_ns = 0;
    for (size_t i = 0; i < report->thread_count; i++) {
        const struct prof_thread *t = &report->threads[i];
        uint32_t id;
        if (t->known_to_python || t->tid == t->pid || !t->cpu_ns)
            continue;
        if (!prof_process(profile, t->pid, &id))
            return false;
        profile->processes.items[id].pool.threads++;
        profile->processes.items[id].pool.cpu_ns += t->cpu_ns;
    }
    vec_foreach (entry, &profile->processes) {
        if (entry->pool.cpu_ns < ret->cpu_ns || !(entry->pool.threads || entry->pool.snapshots))
            continue;
        if (*ret_pid && entry->pool.cpu_ns == ret->cpu_ns)
            continue;
        *ret = entry->pool;
        *ret_pid = entry->p.pid;
        *ret_rests = entry->p.snapshots - ret->snapshots;
    }
    return true;
}

bool prof_find_pool(struct profile *profile, const uint32_t *order, const uint32_t *place,
                    struct prof_report *report)
{
    struct prof_pool *pool = &report->pool;
    const struct prof_pair *best = NULL;
    pid_t pid;
    uint64_t rests;
    if (!find_pool(profile, report, pool, &pid, &rests))
        return false;
    pool->function = pool->thread = UINT32_MAX;
    if (pool->snapshots < SNAPSHOTS_MIN || rests < RESTS_MIN)
        return true;
    vec_foreach (pair, &profile->pairs) {
        const struct prof_thread *t = &profile->threads.items[pair->thread].t;
        if (t->known_to_python && t->pid == pid && goes_with(pool, pair) &&
            (!best || pair->with_pool > best->with_pool))
            best = pair;
    }
    if (!best)
        return true;
    pool->function = place[best->function];
    pool->together = best->with_pool;
    for (size_t i = 0; i < report->thread_count; i++)
        if (order[i] == best->thread)
            pool->thread = (uint32_t)i;
    return true;
}
