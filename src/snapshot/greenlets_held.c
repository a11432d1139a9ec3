// SPDX-License-Identifier: GPL-3.0-or-later
// Which locks greenlets have, and so for whom others wait: see greenlets.h. A lock of gevent or eventlet
// does not say who has it, and is whatever others wait for: that is asked once all were read.
#include "cpython/lock.h"
#include "snapshot/greenlets.h"
#include "util/bisect.h"
#include "util/guard.h"
#include "util/hash.h"

#define FRAMES_MAX 64
#define HELD_MAX 8 // of one frame
#define SLOTS_MAX (10u << 20) // of all in one snapshot

static struct err *out_of_memory(void)
{
    return err_create(ERR_NO_MEMORY, "locks of greenlets");
}

static struct err *add(struct greenlets *g, uint64_t object)
{
    struct greenlet_held held = {object, (uint32_t)g->out->greenlets.count};
    return vec_push(&g->held, held) ? NULL : out_of_memory();
}

// `ret_any`: its code has something of the kind at that instruction, whatever it is now.
static struct err *read_frame(struct greenlets *g, const struct py_frame *frame, uint64_t awaited,
                              bool *ret_any)
{
    struct py_decoder *dec = &g->process->dec;
    struct py_acquired acquired[HELD_MAX];
    struct py_slots slots;
    AUTO_ERR struct err *err = py_slots_read(dec, frame, &slots);
    *ret_any = err != NULL;
    if (err)
        return NULL;
    g->slots += slots.count;
    for (uint32_t i = slots.locals; i < slots.live; i++) {
        uint64_t manager =
            slots.objects[i] ? py_with_manager(dec, &slots, i, "__exit__") : 0;
        *ret_any |= manager != 0;
        if (manager)
            TRY(add(g, manager));
    }
    size_t count = py_acquired(dec, frame, &slots, PY_ACQUIRE, acquired, HELD_MAX);
    *ret_any |= count > 0;
    for (size_t i = 0; i < count; i++)
        // What nobody gives back, and what it waits for itself, are signals.
        if (acquired[i].given_back && acquired[i].object != awaited)
            TRY(add(g, acquired[i].object));
    return NULL;
}

struct err *greenlets_read_held(struct greenlets *g, const struct py_stack *stack,
                                const struct snap_await *await)
{
    for (size_t i = 0; i < stack->frames.count && i < FRAMES_MAX && g->slots < SLOTS_MAX; i++) {
        const struct py_frame *frame = &stack->frames.items[i];
        uint64_t site =
            hash_u64(hash_u64(HASH_SEED, frame->code_addr), (uint64_t)frame->offset_bytes);
        uint64_t *plain = &g->plain_sites[site % GREENLET_SITES];
        bool any = true;
        if (*plain == site)
            continue;
        TRY(read_frame(g, frame, await->object, &any));
        if (!any)
            *plain = site;
    }
    return NULL;
}

static int by_object(const void *left, const void *right)
{
    const struct greenlet_held *a = left, *b = right;
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    return a->greenlet < b->greenlet ? -1 : a->greenlet > b->greenlet;
}

// The only one that has it: where several do, it lets several through, and each of them may give back.
static uint32_t holder_of(const struct greenlets *g, uint64_t object)
{
    uint32_t holder = SNAP_NO_INDEX;
    for (size_t i = bisect(g->held.count, at, g->held.items[at].object < object);
         i < g->held.count && g->held.items[i].object == object; i++) {
        if (holder != SNAP_NO_INDEX && holder != g->held.items[i].greenlet)
            return SNAP_NO_INDEX;
        holder = g->held.items[i].greenlet;
    }
    return holder;
}

void greenlets_link_held(struct greenlets *g)
{
    if (g->held.count)
        qsort(g->held.items, g->held.count, sizeof(*g->held.items), by_object);
    for (size_t i = g->first; i < g->out->greenlets.count; i++) {
        struct snap_await *await = &g->out->greenlets.items[i].await;
        if ((await->kind == SNAP_AWAIT_LOCK || await->kind == SNAP_AWAIT_SEMAPHORE) &&
            await->object)
            await->holder = holder_of(g, await->object);
    }
    vec_foreach (thread, &g->snapshot->threads) {
        struct snap_wait *wait = thread->details ? &thread->details->wait : NULL;
        if (!wait || wait->kind != SNAP_WAIT_LOCK || !wait->object || wait->holder ||
            wait->owner)
            continue;
        uint32_t holder = holder_of(g, wait->object);
        if (holder != SNAP_NO_INDEX)
            wait->holder = g->out->greenlets.items[holder].object;
    }
}
