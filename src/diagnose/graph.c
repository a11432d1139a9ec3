// SPDX-License-Identifier: GPL-3.0-or-later
// The wait-for graph. A thread waits for one thing, and one thread has it: each node has one edge at
// most. Threads for which nobody waits are taken away one after the other, each handing on how many
// stood behind it; what is left in the end are the rings. Linear, whatever the values say.
#include <string.h>

#include "diagnose/diag.h"
#include "util/bisect.h"
#include "util/guard.h"

// What is told of is bounded in any case; a process of 40,000 threads may have 20,000 pairs.
#define CHAINS_MAX 100
// Of a shorter run, of which the first look and the last one may come late on a busy machine.
#define LASTING_SHARE 0.6
// A chain of so many threads has no end: it is a ring.
#define CHAIN_MAX 1000

// One that had to be stopped for its registers has not moved, either, though its clock has, if there are
// details of it: those are only read of a thread that sleeps where it slept.
static bool is_still(const struct diag *diag, const struct snap_thread *thread)
{
    return thread->held_still || (thread->was_stopped && thread->details) || diag->last->stopped ||
           diag->source->of_core;
}

const struct snap_wait *diag_wait(const struct diag *diag, uint32_t thread)
{
    const struct snap_thread *t = &diag->threads[thread];
    if (!t->details || t->details->wait.kind == SNAP_WAIT_NONE || !is_still(diag, t))
        return NULL;
    return &t->details->wait;
}

bool diag_has_limit(const struct snap_wait *wait)
{
    return wait->limited || wait->timeout_ns >= 0 || wait->left_ns >= 0;
}

bool diag_is_lock(enum snap_wait_kind kind)
{
    switch (kind) {
    case SNAP_WAIT_LOCK:
    case SNAP_WAIT_RLOCK:
    case SNAP_WAIT_CONDITION: // its lock: for the condition itself there is no owner
    case SNAP_WAIT_IMPORT:
    case SNAP_WAIT_LOGGING:
    case SNAP_WAIT_PYMUTEX:
    case SNAP_WAIT_MUTEX:
        return true;
    default:
        return false;
    }
}

// CPython: Modules/_multiprocessing/semaphore.c.
bool diag_is_shared(const struct diag *diag, const struct snap_wait *wait)
{
    return strtab_is(diag->strings, wait->type, "_multiprocessing.SemLock");
}

bool diag_ran_lately(const struct diag *diag, uint32_t thread)
{
    const struct snap_thread *t = &diag->threads[thread];
    return !diag->source->of_core && t->has_cpu && t->cpu_ns > 0 &&
           snap_window_of(diag->last, t->pid) > 0;
}

bool diag_naps(const struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    if (!wait || wait->kind != SNAP_WAIT_SLEEP)
        return false;
    int64_t left = wait->left_ns >= 0 ? wait->left_ns : wait->timeout_ns;
    return left >= 0 && left < (int64_t)DIAG_LASTING_NS;
}

size_t diag_python_threads(const struct diag *diag, pid_t pid)
{
    size_t count = 0;
    for (size_t i = 0; i < diag->count; i++)
        count += diag->threads[i].pid == pid && diag->threads[i].known_to_python;
    return count;
}

bool diag_is_alone(const struct diag *diag, uint32_t thread)
{
    pid_t pid = diag->threads[thread].pid;
    size_t at = bisect(diag->count, i, diag->numbers[i].pid < pid);
    for (; at < diag->count && diag->numbers[at].pid == pid; at++)
        if (diag->numbers[at].index != thread &&
            diag->threads[diag->numbers[at].index].known_to_python)
            return false;
    return diag->threads[thread].known_to_python;
}

bool diag_is_lasting(const struct diag *diag, uint64_t since_ns)
{
    return since_ns >= DIAG_LASTING_NS ||
           (since_ns && diag->profile &&
            (double)since_ns >= LASTING_SHARE * (double)diag->profile->duration_ns);
}

bool diag_lasts(const struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    return wait && diag_is_lasting(diag, wait->since_ns);
}

uint64_t diag_longest_wait(const struct diag *diag, const struct diag_group *group)
{
    uint64_t longest = 0;
    for (size_t i = 0; i < group->count; i++) {
        const struct snap_wait *wait = diag_wait(diag, diag->waiters.items[group->first + i]);
        longest = wait->since_ns > longest ? wait->since_ns : longest;
    }
    return longest;
}

bool diag_ends_in_ring(const struct diag *diag, uint32_t thread)
{
    for (size_t i = 0; i < CHAIN_MAX; i++)
        if ((thread = diag->graph.next[thread]) == DIAG_NONE)
            return false;
    return true;
}

// ---- Edges ---------------------------------------------------------------------------------------

static void find_owners(struct diag *diag)
{
    for (uint32_t i = 0; i < diag->count; i++)
        diag->numbers[i] = (struct diag_number){diag->threads[i].pid, diag->threads[i].tid, i};
    numbers_sort(diag->numbers, diag->count);
    for (uint32_t i = 0; i < diag->count; i++) {
        const struct snap_wait *wait = diag_wait(diag, i);
        diag->graph.next[i] = diag->graph.deepest[i] = DIAG_NONE;
        if (!wait || !wait->owner || wait->owner_known == SNAP_NOT_KNOWN || wait->owner_gone)
            continue;
        uint32_t owner =
            numbers_find(diag->numbers, diag->count, diag->threads[i].pid, wait->owner);
        if (owner != DIAG_NONE && is_still(diag, &diag->threads[owner]))
            diag->graph.next[i] = owner;
    }
}

// Leaves in `waits_left` how many of those who wait directly were not handed on: in the end they
// are none, but for the threads of a ring.
static bool hand_on(struct diag *diag, uint32_t *waits_left)
{
    struct diag_graph *g = &diag->graph;
    VEC(uint32_t) free_ones = {0};
    AUTO_FREE uint32_t *depth = calloc(diag->count + 1, sizeof(*depth));
    bool ok = depth && vec_reserve(&free_ones, diag->count + 1);
    for (uint32_t i = 0; i < diag->count; i++)
        if (g->next[i] != DIAG_NONE)
            waits_left[g->next[i]]++;
    for (uint32_t i = 0; ok && i < diag->count; i++)
        if (waits_left[i] == 0)
            ok = vec_push(&free_ones, i);
    for (size_t at = 0; ok && at < free_ones.count; at++) {
        uint32_t from = free_ones.items[at], to = g->next[from];
        if (to == DIAG_NONE)
            continue;
        g->behind[to] += g->behind[from] + 1;
        if (g->deepest[to] == DIAG_NONE || depth[from] + 1 > depth[to]) {
            depth[to] = depth[from] + 1;
            g->deepest[to] = from;
        }
        if (--waits_left[to] == 0)
            ok = vec_push(&free_ones, to);
    }
    vec_deinit(&free_ones);
    return ok;
}

// ---- Chains --------------------------------------------------------------------------------------

static bool add_thread(struct diag *diag, struct diag_chain *chain, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    if (diag->graph.next[thread] != DIAG_NONE && wait->owner_known < chain->certainty)
        chain->certainty = wait->owner_known;
    return vec_push(&chain->threads, thread);
}

// From its first thread on, and they are not met again.
static bool add_ring(struct diag *diag, uint32_t start, uint32_t *waits_left)
{
    struct diag_chain chain = {.cycle = true, .certainty = SNAP_OBSERVED};
    bool ok = true;
    uint32_t at = start;
    do {
        ok = ok && add_thread(diag, &chain, at);
        chain.behind += diag->graph.behind[at];
        waits_left[at] = 0;
        at = diag->graph.next[at];
    } while (at != start);
    if (ok && vec_push(&diag->out->chains, chain))
        return true;
    vec_deinit(&chain.threads);
    return false;
}

static bool add_root(struct diag *diag, uint32_t root)
{
    struct diag_chain chain = {.certainty = SNAP_OBSERVED, .behind = diag->graph.behind[root]};
    uint32_t start = root;
    while (diag->graph.deepest[start] != DIAG_NONE)
        start = diag->graph.deepest[start];
    bool ok = true;
    for (uint32_t at = start; ok && at != DIAG_NONE; at = diag->graph.next[at])
        ok = add_thread(diag, &chain, at);
    if (ok && vec_push(&diag->out->chains, chain))
        return true;
    vec_deinit(&chain.threads);
    return false;
}

static int by_weight(const void *left, const void *right)
{
    const struct diag_chain *a = left, *b = right;
    if (a->cycle != b->cycle)
        return a->cycle ? -1 : 1;
    if (a->behind != b->behind)
        return a->behind > b->behind ? -1 : 1;
    return a->threads.items[0] < b->threads.items[0] ? -1 : 1;
}

static bool find_chains(struct diag *diag, uint32_t *waits_left)
{
    const struct diag_graph *g = &diag->graph;
    for (uint32_t i = 0; i < diag->count; i++) {
        bool ring = waits_left[i] > 0, root = g->next[i] == DIAG_NONE && g->behind[i];
        if ((ring && !add_ring(diag, i, waits_left)) || (root && !add_root(diag, i)))
            return false;
    }
    struct diag_chains *chains = &diag->out->chains;
    if (chains->count)
        qsort(chains->items, chains->count, sizeof(*chains->items), by_weight);
    while (chains->count > CHAINS_MAX) {
        chains->count--;
        vec_deinit(&chains->items[chains->count].threads);
    }
    return true;
}

// ---- Groups --------------------------------------------------------------------------------------

static uint64_t object_of(const struct snap_wait *wait)
{
    return wait->object ? wait->object : wait->lock ? wait->lock : wait->address;
}

struct keyed {
    pid_t pid;
    uint64_t object;
    uint32_t thread;
};

static int by_object(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    return a->thread < b->thread ? -1 : a->thread > b->thread;
}

static int by_size(const void *left, const void *right)
{
    const struct diag_group *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static bool add_to_group(struct diag *diag, const struct keyed *waiter)
{
    struct diag_groups *groups = &diag->groups;
    struct diag_group *group = groups->count ? &groups->items[groups->count - 1] : NULL;
    if (!group || group->pid != waiter->pid || group->object != waiter->object) {
        struct diag_group fresh = {.pid = waiter->pid,
                                   .object = waiter->object,
                                   .kind = diag_wait(diag, waiter->thread)->kind,
                                   .first = diag->waiters.count,
                                   .owner = DIAG_NONE};
        if (!vec_push(groups, fresh))
            return false;
        group = &groups->items[groups->count - 1];
    }
    if (group->owner == DIAG_NONE)
        group->owner = diag->graph.next[waiter->thread];
    group->count++;
    return vec_push(&diag->waiters, waiter->thread);
}

static bool group_waits(struct diag *diag)
{
    AUTO_FREE struct keyed *all = calloc(diag->count + 1, sizeof(*all));
    size_t count = 0;
    if (!all)
        return false;
    for (uint32_t i = 0; i < diag->count; i++) {
        const struct snap_wait *wait = diag_wait(diag, i);
        if (wait && object_of(wait) && snap_wait_is_internal(wait->kind))
            all[count++] = (struct keyed){diag->threads[i].pid, object_of(wait), i};
    }
    qsort(all, count, sizeof(*all), by_object);
    for (size_t i = 0; i < count; i++)
        if (!add_to_group(diag, &all[i]))
            return false;
    if (diag->groups.count)
        qsort(diag->groups.items, diag->groups.count, sizeof(*diag->groups.items), by_size);
    memset(diag->group_of, 0xff, diag->count * sizeof(*diag->group_of)); // DIAG_NONE
    for (uint32_t i = 0; i < diag->groups.count; i++)
        for (size_t j = 0; j < diag->groups.items[i].count; j++)
            diag->group_of[diag->waiters.items[diag->groups.items[i].first + j]] = i;
    return true;
}

bool graph_build(struct diag *diag)
{
    struct diag_graph *g = &diag->graph;
    g->next = calloc(diag->count + 1, sizeof(*g->next));
    g->behind = calloc(diag->count + 1, sizeof(*g->behind));
    g->deepest = calloc(diag->count + 1, sizeof(*g->deepest));
    AUTO_FREE uint32_t *waits_left = calloc(diag->count + 1, sizeof(*waits_left));
    diag->numbers = calloc(diag->count + 1, sizeof(*diag->numbers));
    diag->group_of = calloc(diag->count + 1, sizeof(*diag->group_of));
    if (!g->next || !g->behind || !g->deepest || !waits_left || !diag->numbers || !diag->group_of)
        return false;
    find_owners(diag);
    return hand_on(diag, waits_left) && find_chains(diag, waits_left) && group_waits(diag);
}

void graph_deinit(struct diag *diag)
{
    free(diag->graph.next);
    free(diag->graph.behind);
    free(diag->graph.deepest);
    free(diag->numbers);
    free(diag->group_of);
    vec_deinit(&diag->groups);
    vec_deinit(&diag->waiters);
}
