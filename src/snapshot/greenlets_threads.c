// SPDX-License-Identifier: GPL-3.0-or-later
// Which threads greenlets belong to, and which ones run: see greenlets.h.
//
// A greenlet's part of the C stack lies on its thread's. At the top of a thread's stack the C
// library keeps what pthread_self() points to (glibc: nptl/allocatestack.c; musl:
// src/thread/pthread_create.c), so that the next such address above tells the thread; above all of
// them is the main thread's stack.
#include <string.h>

#include "snapshot/greenlets.h"
#include "util/bisect.h"
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
    size_t at = bisect(owners->by_ident.count, i, owners->by_ident.items[i].ident < addr);
    return at < owners->by_ident.count ? owners->by_ident.items[at].thread : owners->main;
}

struct greenlet_group *greenlets_group(const struct greenlets *g, uint64_t group)
{
    struct hash_probe probe = hash_probe(&g->by_group, hash_u64(HASH_SEED, group));
    for (uint32_t id; group && (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (g->groups.items[id].group == group)
            return &g->groups.items[id];
    return NULL;
}

static const struct py_stack *stack_of(const struct greenlets *g, const struct snap_thread *thread)
{
    for (size_t i = 0; thread && i < g->in->stack_count; i++)
        if (thread->python_id && g->in->stacks[i].thread.ident == thread->python_id)
            return &g->in->stacks[i];
    return NULL;
}

static bool add_group(struct greenlets *g, uint64_t group)
{
    if (!hash_index_reserve(&g->by_group, 1) ||
        !vec_push(&g->groups, (struct greenlet_group){.group = group}))
        return false;
    hash_index_add(&g->by_group, hash_u64(HASH_SEED, group), (uint32_t)g->groups.count - 1);
    return true;
}

static void find_counter(const struct greenlets *g, const struct snap_thread *thread,
                         struct greenlet_group *group)
{
    const struct py_layout *lay = &g->process->dec.layout;
    const struct py_stack *stack = stack_of(g, thread);
    if (!stack || !g->in->heap || !py_layout_has(lay, PY_TS_context_ver))
        return;
    group->counter = stack->thread.tstate + py_offset(lay, PY_TS_context_ver);
    AUTO_ERR struct err *err = mem_read_u64(g->in->heap, group->counter, &group->first);
    group->seen = group->first;
    if (err)
        group->counter = 0;
}

static bool take_group(struct greenlets *g, const struct owners *owners,
                       const struct py_greenlet *greenlet)
{
    struct greenlet_group *group = greenlets_group(g, greenlet->group);
    g->strays |= !greenlet->group && greenlet->state != PY_GREENLET_DEAD;
    if (!greenlet->group || (!group && !add_group(g, greenlet->group)))
        return !greenlet->group;
    group = greenlets_group(g, greenlet->group);
    group->gone |= greenlet->gone;
    group->switches |= !greenlet->is_main && greenlet->state != PY_GREENLET_DEAD;
    bool started =
        greenlet->state == PY_GREENLET_RUNNING || greenlet->state == PY_GREENLET_SUSPENDED;
    if (greenlet->is_main || !started || group->tid)
        return true;
    const struct snap_thread *thread = owner_of_stack(owners, greenlet->stack_stop);
    if (thread) {
        group->tid = thread->tid;
        find_counter(g, thread, group);
    }
    return true;
}

// What is read here is not recorded: a capture has what is read of each later on.
static struct err *look_through(struct greenlets *g, struct py_decoder *dec,
                                const struct owners *owners)
{
    struct py_greenlet greenlet;
    vec_foreach (known, &g->known->items) {
        AUTO_ERR struct err *err =
            py_greenlet_read(dec, &g->known->build, known->object, &greenlet);
        known->group = err ? 0 : greenlet.group;
        if (!err && !take_group(g, owners, &greenlet))
            return err_create(ERR_NO_MEMORY, "greenlets");
    }
    return NULL;
}

struct err *greenlets_know_groups(struct greenlets *g)
{
    struct owners owners = {0};
    struct py_decoder dec = {0};
    const struct py_decoder *like = &g->process->dec;
    struct mem *mem = mem_create_cached(g->in->heap ? g->in->heap : g->in->target->mem);
    struct err *err = mem && list_owners(g, &owners)
                          ? py_decoder_init(&dec, &like->layout, mem, like->strings)
                          : err_create(ERR_NO_MEMORY, "greenlets");
    // Twice: where fields lie is only known once a thread's first one was met.
    bool again = !err && !g->known->build.user;
    if (!err)
        err = look_through(g, &dec, &owners);
    if (!err && again && g->known->build.user)
        err = look_through(g, &dec, &owners);
    // In a capture the types must be found, too.
    memset(g->known->build.types, 0, sizeof(g->known->build.types));
    py_decoder_deinit(&dec);
    mem_destroy(mem);
    vec_deinit(&owners.by_ident);
    return err;
}

// One that has not begun will run where its parent does.
static pid_t thread_of(const struct greenlets *g, size_t index)
{
    for (int depth = 0; depth < 64; depth++) {
        const struct greenlet_extra *extra = &g->extras.items[index - g->first];
        const struct greenlet_group *group = greenlets_group(g, extra->group);
        if (group && group->tid)
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

// By what it runs, as py_greenlet_name() does where it has the frames.
static bool may_name(const struct snap_greenlet *greenlet)
{
    return !greenlet->is_main && !greenlet->is_hub;
}

static struct err *take_frames(struct greenlets *g, const struct greenlet_running *running)
{
    struct snap_greenlet *greenlet = &g->out->greenlets.items[running->index];
    struct snap_thread *thread = NULL;
    vec_foreach (each, &g->snapshot->threads)
        if (greenlet->tid && each->tid == greenlet->tid)
            thread = each;
    const struct py_stack *stack = thread ? stack_of(g, thread) : NULL;
    bool same = false;
    if (stack && stack->frames.count)
        TRY(greenlets_hold_thread(g, stack, &running->as_read, &same));
    if (!same)
        return NULL;
    greenlet->cut = thread->cut;
    greenlet->is_hub |= py_greenlet_is_hub(&g->process->dec, &running->as_read, stack);
    for (size_t i = thread->frames.count; i-- > 0 && !greenlet->name && may_name(greenlet);) {
        const struct snap_frame *frame = &thread->frames.items[i];
        if (frame->kind == SNAP_PYTHON)
            greenlet->name = frame->qualname ? frame->qualname : frame->function;
    }
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
    await->task_count = 1;
    return vec_push(&await->tasks, other);
}

struct err *greenlets_settle(struct greenlets *g)
{
    bool moment;
    for (size_t i = g->first; i < g->out->greenlets.count; i++) {
        struct snap_greenlet *greenlet = &g->out->greenlets.items[i];
        const struct greenlet_extra *extra = &g->extras.items[i - g->first];
        greenlet->tid = thread_of(g, i);
        if (extra->parent)
            greenlet->parent = greenlets_index(g, extra->parent);
        if (!link_await(g, &greenlet->await))
            return err_create(ERR_NO_MEMORY, "greenlets");
    }
    greenlets_link_held(g);
    vec_foreach (running, &g->running)
        TRY(take_frames(g, running));
    TRY(greenlets_hold_all(g, &moment));
    g->out->moment = g->out->moment && moment;
    return NULL;
}
