// SPDX-License-Identifier: GPL-3.0-or-later
// Native thread pools, and the Python call that waits for them. A pool's threads carry nothing that
// names their master, so the link is drawn from time alone, and only where it is tight.
#include "profile/profile_private.h"

#define TOGETHER_MIN 0.8 // of the pool's busy snapshots in which the call goes on, and the reverse
#define SNAPSHOTS_MIN 5  // less is coincidence

static bool is_native(const struct snap_thread *thread)
{
    return !thread->known_to_python && thread->tid != thread->pid;
}

void prof_count_pool(struct profile *profile, const struct snapshot *snapshot)
{
    struct prof_pool *pool = &profile->sum.pool;
    uint64_t working = 0;
    vec_foreach (thread, &snapshot->threads)
        working += !thread->left_out && is_native(thread) && snap_state_works(thread->state);
    profile->pool_works = working > 0;
    pool->samples_working += working;
    pool->snapshots += working > 0;
}

static bool goes_with(const struct prof_pool *pool, const struct prof_pair *pair)
{
    return (double)pair->with_pool >= TOGETHER_MIN * (double)pool->snapshots &&
           (double)pair->with_pool >= TOGETHER_MIN * (double)pair->active;
}

void prof_find_pool(const struct profile *profile, const uint32_t *order, const uint32_t *place,
                    struct prof_report *report)
{
    struct prof_pool *pool = &report->pool;
    const struct prof_pair *best = NULL;
    pool->function = pool->thread = UINT32_MAX;
    for (size_t i = 0; i < report->thread_count; i++) {
        const struct prof_thread *t = &report->threads[i];
        if (!t->known_to_python && t->tid != t->pid && t->cpu_ns) {
            pool->threads++;
            pool->cpu_ns += t->cpu_ns;
        }
    }
    if (pool->snapshots < SNAPSHOTS_MIN)
        return;
    vec_foreach (pair, &profile->pairs)
        if (profile->threads.items[pair->thread].t.known_to_python && goes_with(pool, pair) &&
            (!best || pair->with_pool > best->with_pool))
            best = pair;
    if (!best)
        return;
    pool->function = place[best->function];
    pool->together = best->with_pool;
    for (size_t i = 0; i < report->thread_count; i++)
        if (order[i] == best->thread)
            pool->thread = (uint32_t)i;
}
