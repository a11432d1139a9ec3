// SPDX-License-Identifier: GPL-3.0-or-later
// executor-deadlock: all threads of a ThreadPoolExecutor wait for results of jobs that stand in its own
// queue, themselves or through others (or in that of another executor to which the same happens).
// Nobody is left to run these jobs. A wait with a time limit ends, so it is less than a deadlock.
#include <string.h>

#include "diagnose/executors.h"
#include "util/guard.h"

#define POOLS_MAX 64

struct pool {
    uint32_t first; // thread
    size_t threads;
    bool moves; // one of its threads may come to an end, or it would start a further one
    bool limited;
};
VEC_DEFINE(pools, struct pool);

// Where the chain of those that the thread waits for ends.
static const struct snap_wait *root_of(const struct diag *diag, uint32_t thread)
{
    for (size_t i = 0; i < diag->count && diag->graph.next[thread] != DIAG_NONE; i++)
        thread = diag->graph.next[thread];
    return diag_wait(diag, thread);
}

static size_t pool_of(const struct diag *diag, const struct pools *pools, uint32_t thread)
{
    size_t at = 0;
    while (at < pools->count && !executor_same(diag, pools->items[at].first, thread))
        at++;
    return at;
}

static bool find_pools(const struct diag *diag, struct pools *pools)
{
    for (uint32_t i = 0; i < diag->count; i++) {
        bool busy;
        if (!executor_thread(diag, i, &busy))
            continue;
        size_t at = pool_of(diag, pools, i);
        struct pool fresh = {.first = i};
        if (at == POOLS_MAX)
            continue;
        if (at == pools->count && !vec_push(pools, fresh))
            return false;
        const struct snap_wait *wait = diag_wait(diag, i), *root = root_of(diag, i);
        struct pool *pool = &pools->items[at];
        pool->threads++;
        pool->moves |= !busy || diag->threads[i].pool_has_room || !root || !root->queue;
        pool->limited |= (wait && diag_has_limit(wait)) || (root && diag_has_limit(root));
    }
    return true;
}

// The pool whose threads take jobs from that queue; pools->count: none of these.
static size_t pool_of_queue(const struct diag *diag, const struct pools *pools, pid_t pid, uint64_t queue)
{
    for (uint32_t i = 0; i < diag->count; i++) {
        const struct snap_thread *t = &diag->threads[i];
        if (t->pid == pid && t->details && t->details->work_queue == queue)
            return pool_of(diag, pools, i);
    }
    return pools->count;
}

// A pool moves, too, if one of its threads waits for a job of a pool that moves.
static bool spread(const struct diag *diag, struct pools *pools)
{
    bool changed = false;
    for (uint32_t i = 0; i < diag->count; i++) {
        bool busy;
        size_t at = executor_thread(diag, i, &busy) ? pool_of(diag, pools, i) : pools->count;
        if (at == pools->count || pools->items[at].moves)
            continue;
        size_t of = pool_of_queue(diag, pools, diag->threads[i].pid, root_of(diag, i)->queue);
        if (of == pools->count || pools->items[of].moves)
            changed = pools->items[at].moves = true;
    }
    return changed;
}

static void say_waits(struct plain *text, const struct diag *diag, uint32_t thread)
{
    const struct snap_frame *at = stack_waiting(diag, thread);
    const struct snap_wait *wait = diag_wait(diag, thread);
    say_thread(text, diag, thread);
    plain_str(text, " waits for ");
    say_wanted(text, diag, wait);
    if (at) {
        plain_str(text, " in ");
        say_frame(text, diag, at);
    }
    if (wait->queue)
        plain_str(text, ", which no thread has begun");
}

// A thread of the pool that waits for such a job itself, if there is one.
static uint32_t best_of(const struct diag *diag, const struct pool *pool)
{
    for (uint32_t i = pool->first; i < diag->count; i++)
        if (executor_same(diag, pool->first, i) && diag_wait(diag, i) && diag_wait(diag, i)->queue)
            return i;
    return pool->first;
}

static void tell(struct diag *diag, const struct pool *pool)
{
    uint32_t first = best_of(diag, pool);
    size_t all = diag_python_threads(diag, diag->threads[first].pid);
    struct draft draft;
    draft_begin(&draft, diag, pool->limited ? DIAG_MEDIUM : DIAG_HIGH, SNAP_OBSERVED,
                all ? (double)pool->threads / (double)all : -1);
    say_executor(&draft.text, diag, first, pool->threads);
    plain_str(&draft.text, pool->threads == 1 ? " waits for a job that only itself could run: "
                                              : " wait for jobs that only they could run: ");
    say_waits(&draft.text, diag, first);
    plain_str(&draft.text, pool->limited ? ", until a time limit ends it." : ".");
    draft_title(&draft);
    for (uint32_t i = pool->first, told = 0; i < diag->count && told < DIAG_TOLD_MAX; i++) {
        bool busy;
        if (!executor_same(diag, pool->first, i) ||
            !executor_thread(diag, i, &busy))
            continue;
        const struct snap_frame *at = stack_waiting(diag, i);
        say_waits(&draft.text, diag, i);
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
        if (at)
            draft_name(&draft, at->function);
        told++;
    }
    draft_advice(&draft,
                 "A job must not wait for a job of its own executor: give those inside to another "
                 "executor, or let whoever submits them wait for them. Only a restart ends this.");
    draft_end(&draft);
}

static void pools_deinit(struct pools *pools)
{
    vec_deinit(pools);
}

void rule_executor_deadlock(struct diag *diag)
{
    GUARD(pools_deinit) struct pools pools = {0};
    bool any = false;
    size_t told = 0;
    for (uint32_t i = 0; i < diag->count; i++)
        any |= diag_wait(diag, i) && diag_wait(diag, i)->queue;
    if (!any)
        return;
    diag->failed |= !find_pools(diag, &pools);
    while (spread(diag, &pools))
        ;
    vec_foreach (pool, &pools)
        if (!pool->moves && told++ < DIAG_TOLD_MAX)
            tell(diag, pool);
}
