// SPDX-License-Identifier: GPL-3.0-or-later
// See report/waits.h.
#include "report/waits.h"

#include <stdlib.h>

#include "util/guard.h"

#define BY(a, b)                       \
    do {                               \
        if ((a) != (b))                \
            return (a) < (b) ? -1 : 1; \
    } while (0)

bool waits_is_lock(enum snap_wait_kind kind)
{
    return kind == SNAP_WAIT_LOCK || kind == SNAP_WAIT_RLOCK || kind == SNAP_WAIT_LOGGING ||
           kind == SNAP_WAIT_IMPORT || kind == SNAP_WAIT_PYMUTEX || kind == SNAP_WAIT_MUTEX;
}

// What tells waits apart. Which lock it is does; idle threads, each with a queue of its own, wait alike,
// and so do those of a pool's connections to one peer.
static int compare(const struct wait_one *a, const struct wait_one *b)
{
    const struct snap_wait *x = a->wait, *y = b->wait;
    BY(a->thread->pid, b->thread->pid);
    BY(x->kind, y->kind);
    BY(x->what, y->what);
    if (waits_is_lock(x->kind))
        BY(x->object, y->object);
    BY(x->owner, y->owner);
    BY(x->owner_known, y->owner_known);
    return 0;
}

static int by_wait(const void *left, const void *right)
{
    const struct wait_one *a = left, *b = right;
    int order = compare(a, b);
    return order ? order : (a->thread > b->thread) - (a->thread < b->thread);
}

static int by_size(const void *left, const void *right, void *arg)
{
    const struct wait_group *a = left, *b = right;
    const struct wait_one *ones = arg;
    bool a_owned = ones[a->first].wait->owner != 0, b_owned = ones[b->first].wait->owner != 0;
    if (a_owned != b_owned)
        return a_owned ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    BY(ones[a->first].thread, ones[b->first].thread);
    return 0;
}

bool waits_find(const struct snapshot *snapshot, struct waits *ret)
{
    *ret = (struct waits){0};
    for (size_t i = 0; snapshot && i < snapshot->threads.count; i++) {
        const struct snap_thread *thread = &snapshot->threads.items[i];
        if (thread->left_out || !thread->details || thread->details->wait.kind == SNAP_WAIT_NONE)
            continue;
        if (!vec_push(&ret->ones, ((struct wait_one){thread, &thread->details->wait})))
            return false;
    }
    if (!ret->ones.count)
        return true;
    qsort(ret->ones.items, ret->ones.count, sizeof(*ret->ones.items), by_wait);
    for (size_t i = 0; i < ret->ones.count; i++) {
        if ((i == 0 || compare(&ret->ones.items[i - 1], &ret->ones.items[i]) != 0) &&
            !vec_push(&ret->groups, (struct wait_group){.first = i}))
            return false;
        struct wait_group *group = &ret->groups.items[ret->groups.count - 1];
        group->count++;
        if (ret->ones.items[i].wait->since_ns > group->since_ns)
            group->since_ns = ret->ones.items[i].wait->since_ns;
    }
    qsort_r(ret->groups.items, ret->groups.count, sizeof(*ret->groups.items), by_size,
            ret->ones.items);
    return true;
}

void waits_deinit(struct waits *waits)
{
    vec_deinit(&waits->ones);
    vec_deinit(&waits->groups);
}

// ---- Locks ---------------------------------------------------------------------------------------

static int by_lock(const void *left, const void *right)
{
    const struct lock_use *a = left, *b = right;
    BY(a->pid, b->pid);
    BY(a->object, b->object);
    BY(a->waiter, b->waiter); // the holder first
    BY(a->holder, b->holder);
    BY(a->what, b->what);
    return 0;
}

bool lock_uses_find(const struct snapshot *snapshot, struct lock_uses *ret)
{
    for (size_t i = 0; snapshot && i < snapshot->threads.count; i++) {
        const struct snap_thread *thread = &snapshot->threads.items[i];
        const struct snap_details *details = thread->details;
        if (!details || thread->left_out)
            continue;
        const struct snap_wait *wait = &details->wait;
        uint64_t object = wait->object ? wait->object : wait->address;
        if (waits_is_lock(wait->kind) && object &&
            !vec_push(ret, ((struct lock_use){thread->pid, object, wait->what, wait->type,
                                              wait->owner, wait->owner_known, thread->tid})))
            return false;
        vec_foreach (held, &details->held)
            if (held->object &&
                !vec_push(ret, ((struct lock_use){thread->pid, held->object, held->what, held->type,
                                                  thread->tid, held->known, 0})))
                return false;
    }
    if (ret->count)
        qsort(ret->items, ret->count, sizeof(*ret->items), by_lock);
    return true;
}
