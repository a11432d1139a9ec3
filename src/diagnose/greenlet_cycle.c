// SPDX-License-Identifier: GPL-3.0-or-later
// greenlet-cycle: greenlets that wait for each other in a ring, through locks and semaphores or by waiting
// for each other's end. No thread shows it: the hub goes on with all others, or sleeps.
//
// Each waits for one other at most (one that waits for several is in no ring), so all rings are apart and
// are found by walking along.
#include "diagnose/tasks.h"
#include "util/guard.h"

// Longer rings are told in full in the evidence only.
#define TITLE_NODES 3
#define EVIDENCE_NODES 30

struct ring {
    struct diag *diag;
    const struct snap_greenlets *greenlets;
    const uint32_t *next; // of each greenlet; DIAG_NONE
    uint32_t first;
    size_t count, behind; // behind: those that wait for it, directly or through others
};

static bool is_held(const struct snap_await *await)
{
    return await->kind == SNAP_AWAIT_LOCK || await->kind == SNAP_AWAIT_SEMAPHORE;
}

static uint32_t next_of(const struct snap_greenlets *greenlets, uint32_t index)
{
    const struct snap_greenlet *greenlet = &greenlets->items[index];
    const struct snap_await *await = &greenlet->await;
    uint32_t other = DIAG_NONE;
    if (greenlet->state != SNAP_GREENLET_SUSPENDED || greenlet->is_hub)
        return DIAG_NONE;
    if (is_held(await))
        other = await->holder;
    else if (await->kind == SNAP_AWAIT_TASK && await->task_count == 1 && await->tasks.count)
        other = await->tasks.items[0];
    if (other >= greenlets->count || greenlets->items[other].pid != greenlet->pid ||
        (other == index && !is_held(await)))
        return DIAG_NONE;
    return greenlets->items[other].state == SNAP_GREENLET_SUSPENDED ? other : DIAG_NONE;
}

// ---- Telling -------------------------------------------------------------------------------------

static void say_place(struct draft *draft, const struct ring *ring, uint32_t index, bool name)
{
    struct stack stack = stack_of_suspended(ring->diag, ring->greenlets->items[index].stack);
    const struct snap_frame *own = stack_own(ring->diag, &stack);
    if (!own)
        return;
    plain_str(&draft->text, " in ");
    say_frame(&draft->text, ring->diag, own);
    if (name)
        draft_name(draft, own->function);
}

// "greenlet `a` holds lock `x` and waits for lock `y` in `f` (app.py:3), held by greenlet `b`"
static void say_member(struct draft *draft, const struct ring *ring, uint32_t before,
                       uint32_t index)
{
    struct plain *text = &draft->text;
    const struct snap_await *await = &ring->greenlets->items[index].await;
    const struct snap_await *held = &ring->greenlets->items[before].await;
    say_greenlet(text, ring->diag, index);
    if (before != index && is_held(held)) {
        plain_str(text, " holds ");
        if (held->what && held->what != await->what)
            say_awaited(text, ring->diag, held);
        else
            plain_str(text, held->kind == SNAP_AWAIT_LOCK ? "a lock" : "a semaphore");
        plain_str(text, " and");
    }
    plain_str(text, " waits for ");
    if (is_held(await)) {
        say_awaited(text, ring->diag, await);
    } else {
        plain_str(text, "the end of ");
        say_greenlet(text, ring->diag, ring->next[index]);
    }
    say_place(draft, ring, index, true);
    if (is_held(await) && before != index) {
        plain_str(text, ", held by ");
        say_greenlet(text, ring->diag, ring->next[index]);
    }
}

static void say_title(struct draft *draft, const struct ring *ring)
{
    struct plain *text = &draft->text;
    size_t told = ring->count > TITLE_NODES ? TITLE_NODES : ring->count;
    uint32_t last = ring->first, at = ring->first;
    if (ring->count == 1) {
        say_member(draft, ring, at, at);
        plain_str(text, ", which it holds itself.");
        return;
    }
    for (size_t i = 0; i < told; i++, at = ring->next[at]) {
        plain_str(text, i == 0 ? "" : i + 1 < told || told < ring->count ? ", " : " and ");
        say_greenlet(text, ring->diag, at);
    }
    if (told < ring->count)
        plain_add(text, " and %zu more", ring->count - told);
    plain_str(text,
              ring->count == 2 ? " wait for each other: " : " wait for each other in a ring: ");
    while (ring->next[last] != ring->first)
        last = ring->next[last];
    at = ring->first;
    for (size_t i = 0; i < (told < ring->count ? 1 : told); i++, at = ring->next[at]) {
        plain_str(text, i ? "; " : "");
        say_member(draft, ring, last, at);
        last = at;
    }
    plain_str(text, ".");
}

static void tell(const struct ring *ring, enum diag_severity severity)
{
    struct draft draft;
    size_t all = 0;
    uint32_t before = ring->first, at;
    vec_foreach (greenlet, ring->greenlets)
        all += greenlet->pid == ring->greenlets->items[ring->first].pid && !greenlet->is_hub;
    draft_begin(&draft, ring->diag, severity, SNAP_INFERRED,
                all ? (double)(ring->count + ring->behind) / (double)all : -1);
    say_title(&draft, ring);
    draft_title(&draft);
    while (ring->next[before] != ring->first)
        before = ring->next[before];
    at = ring->first;
    for (size_t i = 0; i < ring->count && i < EVIDENCE_NODES; i++, at = ring->next[at]) {
        say_member(&draft, ring, before, at);
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
        before = at;
    }
    if (ring->behind) {
        plain_things(&draft.text, ring->behind, "further greenlet");
        plain_add(&draft.text, " %s behind them, directly or through others.",
                  ring->behind == 1 ? "waits" : "wait");
        draft_evidence(&draft);
    }
    draft_advice(&draft, "Take locks in the same order everywhere, take none twice that is no RLock, and "
                         "give waits for them a time limit. Only killing one of these greenlets ends "
                         "this.");
    draft_end(&draft);
}

// ---- Finding -------------------------------------------------------------------------------------

// Each greenlet was read at a moment of its own. Who waits for another one's end does so until it ends, and
// none of these had when it was read; who holds one lock and wants another was read with both, so where such
// make a ring, locks are not taken in one order. A semaphore may let more through than those that are seen.
static bool holds(const struct ring *ring, enum diag_severity *ret)
{
    bool ends = true, locks = true, still = true, semaphores = false;
    uint32_t at = ring->first;
    for (size_t i = 0; i < ring->count; i++, at = ring->next[at]) {
        const struct snap_greenlet *greenlet = &ring->greenlets->items[at];
        bool held = is_held(&greenlet->await);
        ends &= !held;
        locks &= held;
        semaphores |= greenlet->await.kind == SNAP_AWAIT_SEMAPHORE;
        still &= greenlet->since_ns > 0;
    }
    *ret = semaphores ? DIAG_MEDIUM : DIAG_HIGH;
    return ends || locks || still || diag_suspended(ring->diag)->moment ||
           ring->diag->source->of_core;
}

// `ring_of`: the first greenlet of the ring that one comes to, itself if it is in it; `walk`: whose walk
// came by first.
static void walk_all(struct ring *ring, uint32_t *walk, uint32_t *ring_of, size_t *behind)
{
    for (uint32_t i = 0; i < ring->greenlets->count; i++) {
        uint32_t at = i, end = DIAG_NONE;
        for (; at != DIAG_NONE && walk[at] == DIAG_NONE; at = ring->next[at])
            walk[at] = i;
        if (at == DIAG_NONE || walk[i] != i)
            continue;
        if (walk[at] == i) {
            end = at;
            do {
                ring_of[at] = end;
                at = ring->next[at];
            } while (at != end);
        } else {
            end = ring_of[at];
        }
        for (at = i; end != DIAG_NONE && ring_of[at] == DIAG_NONE; at = ring->next[at]) {
            ring_of[at] = end;
            behind[end]++;
        }
    }
}

static void tell_all(struct ring *ring, const uint32_t *ring_of, const size_t *behind)
{
    size_t told = 0;
    for (uint32_t i = 0; i < ring->greenlets->count && told < DIAG_TOLD_MAX; i++) {
        enum diag_severity severity;
        if (ring_of[i] != i)
            continue;
        ring->first = i;
        ring->behind = behind[i];
        ring->count = 1;
        for (uint32_t at = ring->next[i]; at != i; at = ring->next[at])
            ring->count++;
        if (!holds(ring, &severity))
            continue;
        tell(ring, severity);
        told++;
    }
}

void rule_greenlet_cycle(struct diag *diag)
{
    struct ring ring = {.diag = diag, .greenlets = &diag_suspended(diag)->greenlets};
    size_t count = ring.greenlets->count;
    if (!count)
        return;
    AUTO_FREE uint32_t *next = malloc(count * sizeof(*next)), *walk = malloc(count * sizeof(*walk)),
                       *ring_of = malloc(count * sizeof(*ring_of));
    AUTO_FREE size_t *behind = calloc(count, sizeof(*behind));
    if (!next || !walk || !ring_of || !behind) {
        diag->failed = true;
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        next[i] = next_of(ring.greenlets, i);
        walk[i] = ring_of[i] = DIAG_NONE;
    }
    ring.next = next;
    walk_all(&ring, walk, ring_of, behind);
    tell_all(&ring, ring_of, behind);
}
