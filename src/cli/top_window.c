// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/top_window.h.
#include "cli/top_window.h"

#include "util/guard.h"

// Bounds what counting them costs, too: some 50 ms of processor time. 100 snapshots of 100 threads with
// 30 frames each are 30 to 50 MB.
#define BYTES_MAX ((size_t)48 << 20)

static size_t bytes_of(const struct snapshot *snapshot)
{
    const struct snap_suspended *suspended = snapshot->suspended;
    size_t bytes = sizeof(*snapshot);
    if (suspended) {
        bytes += suspended->tasks.capacity * sizeof(*suspended->tasks.items);
        bytes += suspended->greenlets.capacity * sizeof(*suspended->greenlets.items);
        vec_foreach (stack, &suspended->stacks)
            bytes += stack->capacity * sizeof(*stack->items);
    }
    vec_foreach (thread, &snapshot->threads)
        bytes += sizeof(*thread) + thread->frames.capacity * sizeof(*thread->frames.items);
    return bytes;
}

static void let_go(struct top_window *window, struct snapshot *snapshot)
{
    if (snapshot == window->shown)
        window->orphan = snapshot;
    else
        snapshot_destroy(snapshot);
}

void top_window_clear(struct top_window *window)
{
    vec_foreach (item, &window->items)
        let_go(window, item->snapshot);
    vec_clear(&window->items);
    window->bytes = 0;
}

void top_window_deinit(struct top_window *window)
{
    window->shown = NULL;
    top_window_clear(window);
    vec_deinit(&window->items);
    snapshot_destroy(window->orphan);
    window->orphan = NULL;
}

static void drop_first(struct top_window *window, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        window->bytes -= window->items.items[i].bytes;
        let_go(window, window->items.items[i].snapshot);
    }
    window->items.count -= count;
    memmove(window->items.items, window->items.items + count,
            window->items.count * sizeof(*window->items.items));
}

void top_window_add(struct top_window *window, struct snapshot *snapshot, uint64_t own_cpu_ns)
{
    struct top_window_item item = {snapshot, own_cpu_ns, bytes_of(snapshot)};
    if (!vec_push(&window->items, item)) {
        snapshot_destroy(snapshot);
        return;
    }
    window->bytes += item.bytes;
    size_t leave = 0, bytes = window->bytes;
    for (; leave + 1 < window->items.count; leave++) {
        const struct top_window_item *old = &window->items.items[leave];
        if (old->snapshot->at_ns + TOP_WINDOW_NS > snapshot->at_ns && bytes <= BYTES_MAX)
            break;
        bytes -= old->bytes;
    }
    drop_first(window, leave);
}

struct prof_report *top_window_report(const struct top_window *window, struct strtab *strings,
                                      uint64_t interval_ns)
{
    struct prof_run run = {.interval_ns = interval_ns};
    struct profile *profile = window->items.count ? profile_create(strings) : NULL;
    if (!profile)
        return NULL;
    const struct snapshot *first = window->items.items[0].snapshot, *last = first;
    bool added = true;
    vec_foreach (item, &window->items) {
        last = item->snapshot;
        added = added && profile_add(profile, last);
        run.own_cpu_ns += item->own_cpu_ns;
    }
    // CPU time is what was used since the snapshot before, of the first one, too.
    run.duration_ns = last->at_ns - first->at_ns + first->cpu_window_ns;
    struct prof_report *report = added ? profile_report(profile, &run) : NULL;
    profile_destroy(profile);
    return report;
}

const struct snap_suspended *top_window_suspended(const struct top_window *window)
{
    if (window->shown && window->shown->suspended)
        return window->shown->suspended;
    for (size_t i = window->items.count; i-- > 0;)
        if (window->items.items[i].snapshot->suspended)
            return window->items.items[i].snapshot->suspended;
    return NULL;
}

const struct snapshot *top_window_show(struct top_window *window)
{
    size_t count = window->items.count;
    if (count) {
        snapshot_destroy(window->orphan);
        window->orphan = NULL;
        window->shown = window->items.items[count - 1].snapshot;
    }
    return window->shown;
}
