// SPDX-License-Identifier: GPL-3.0-or-later
// Which threads greenlets belong to, and which ones run: see greenlets.h.
//
// A greenlet's part of the C stack lies on its thread's. At the top of a thread's stack the C library
// keeps what pthread_self() points to (glibc: nptl/allocatestack.c; musl: src/thread/pthread_create.c),
// so that the next such address above tells the thread; above all of them is the main thread's stack.
#include "snapshot/greenlets.h"
#include "util/guard.h"
#include "util/hash.h"

struct owner {
    uint64_t ident;
    struct snap_thread *thread;
};

struct owners {
    VEC(struct owner) by_ident; // but the main thread
    struct snap_thread *main;
};

struct group {
    uint64_t group;
    pid_t tid;
};

struct groups {
    VEC(struct group) items;
    struct hash_index index;
};

uint32_t greenlets_index(const struct greenlets *g, uint64_t object)
{
    struct hash_probe probe = hash_probe(&g->by_object, hash_u64(HASH_SEED, object));
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (g->out->greenlets.items[id].object == object)
            return id;
    return SNAP_NO_INDEX;
}

// ---- Threads ------------------------------------------------------------------------------------

static int by_ident(const void *left, const void *right)
{
    const struct owner *a = left, *b = right;
    return a->ident < b->ident ? -1 : a->ident > b->ident;
}

static bool list_owners(const struct greenlets *g, struct owners *ret)
{
    vec_foreach (thread, &g->snapshot->threads) {
        if (thread->tid == thread->pid)
            ret->main = thread;
        else if (thread->python_id &&
                 !vec_push(&ret->by_ident, (struct owner){thread->python_id, thread}))
            return false;
    }
    if (ret->by_ident.count)
        qsort(ret->by_ident.items, ret->by_ident.count, sizeof(struct owner), by_ident);
    return true;
}

static struct snap_thread *owner_of_stack(const struct owners *owners, uint64_t addr)
{
    size_t low = 0, high = owners->by_ident.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (owners->by_ident.items[middle].ident < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low < owners->by_ident.count ? owners->by_ident.items[low].thread : owners->main;
}

static struct group *find_group(const struct groups *groups, uint64_t group)
{
    struct hash_probe probe = hash_probe(&groups->index, hash_u64(HASH_SEED, group));
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (groups->items.items[id].group == group)
            return &groups->items.items[id];
    return NULL;
}

static bool list_groups(const struct greenlets *g, const struct owners *owners, struct groups *ret)
{
    for (size_t i = 0; i < g->extras.count; i++) {
        const struct greenlet_extra *extra = &g->extras.items[i];
        if (!extra->started || g->out->greenlets.items[g->first + i].is_main || !extra->group ||
            find_group(ret, extra->group))
            continue;
        const struct snap_thread *thread = owner_of_stack(owners, extra->stack_stop);
        struct group group = {extra->group, thread ? thread->tid : 0};
        if (!hash_index_reserve(&ret->index, 1) || !vec_push(&ret->items, group))
            return false;
        hash_index_add(&ret->index, hash_u64(HASH_SEED, extra->group),
                       (uint32_t)ret->items.count - 1);
    }
    return true;
}

// One that has not begun will run where its parent does.
static pid_t thread_of(const struct greenlets *g, const struct groups *groups, size_t index)
{
    for (int depth = 0; depth < 64; depth++) {
        const struct greenlet_extra *extra = &g->extras.items[index - g->first];
        const struct group *group = extra->group ? find_group(groups, extra->group) : NULL;
        if (group)
            return group->tid;
        uint32_t parent = extra->parent ? greenlets_index(g, extra->parent) : SNAP_NO_INDEX;
        if (parent == SNAP_NO_INDEX || parent < g->first)
            break;
        index = parent;
    }
    // A thread's first one, without others: there may be but one thread.
    return g->snapshot->threads.count == 1 ? g->snapshot->threads.items[0].tid : 0;
}

// ---- Those that run -----------------------------------------------------------------------------

static const struct py_stack *stack_of(const struct greenlets *g, const struct snap_thread *thread)
{
    for (size_t i = 0; i < g->in->stack_count; i++)
        if (thread->python_id && g->in->stacks[i].thread.ident == thread->python_id)
            return &g->in->stacks[i];
    return NULL;
}

static struct err *take_frames(struct greenlets *g, const struct greenlet_running *running)
{
    struct snap_greenlet *greenlet = &g->out->greenlets.items[running->index];
    struct snap_thread *thread = NULL;
    vec_foreach (each, &g->snapshot->threads)
        if (greenlet->tid && each->tid == greenlet->tid)
            thread = each;
    const struct py_stack *stack = thread ? stack_of(g, thread) : NULL;
    const struct py_greenlet *read = &running->as_read;
    if (!stack || !stack->frames.count || !greenlets_hold_thread(g, stack) ||
        !greenlets_hold(g, read->words_addr, read->words, 8 * read->word_count))
        return NULL;
    greenlet->cut = thread->cut;
    return snap_suspended_stack(g->out, thread->frames.items, thread->frames.count,
                                &greenlet->stack)
               ? NULL
               : err_create(ERR_NO_MEMORY, "greenlets");
}

// ---- All of it ----------------------------------------------------------------------------------

// One that waits for another one's end.
static bool link_await(const struct greenlets *g, struct snap_await *await)
{
    uint32_t other =
        await->kind == SNAP_AWAIT_TASK ? greenlets_index(g, await->object) : SNAP_NO_INDEX;
    if (other == SNAP_NO_INDEX)
        return true;
    if (!await->what)
        await->what = g->out->greenlets.items[other].name;
    await->task_count = 1;
    return vec_push(&await->tasks, other);
}

static struct err *settle(struct greenlets *g, struct owners *owners, struct groups *groups)
{
    if (!list_owners(g, owners) || !list_groups(g, owners, groups))
        return err_create(ERR_NO_MEMORY, "greenlets");
    for (size_t i = g->first; i < g->out->greenlets.count; i++) {
        struct snap_greenlet *greenlet = &g->out->greenlets.items[i];
        const struct greenlet_extra *extra = &g->extras.items[i - g->first];
        greenlet->tid = thread_of(g, groups, i);
        if (extra->parent)
            greenlet->parent = greenlets_index(g, extra->parent);
        if (!link_await(g, &greenlet->await))
            return err_create(ERR_NO_MEMORY, "greenlets");
    }
    vec_foreach (running, &g->running)
        TRY(take_frames(g, running));
    return NULL;
}

struct err *greenlets_settle(struct greenlets *g)
{
    struct owners owners = {0};
    struct groups groups = {0};
    struct err *err = settle(g, &owners, &groups);
    vec_deinit(&owners.by_ident);
    vec_deinit(&groups.items);
    hash_index_deinit(&groups.index);
    return err;
}
