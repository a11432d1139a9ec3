// SPDX-License-Identifier: GPL-3.0-or-later
// Greenlets: what each thread's hub has, and the greenlets by where they are.
#include <stdlib.h>

#include "report/page.h"
#include "report/task_words.h"
#include "util/guard.h"

#define THREADS_SHOWN 8

static int by_thread(const void *left, const void *right, void *arg)
{
    const struct snap_greenlet *items = arg;
    uint32_t i = *(const uint32_t *)left, k = *(const uint32_t *)right;
    if (items[i].pid != items[k].pid)
        return items[i].pid < items[k].pid ? -1 : 1;
    uint32_t a = (uint32_t)items[i].tid - 1, b = (uint32_t)items[k].tid - 1; // 0 comes last
    if (a != b)
        return a < b ? -1 : 1;
    return (i > k) - (i < k);
}

static void say_thread(struct plain *line, const struct page *page,
                       const struct snap_greenlet *greenlet)
{
    const struct snap_thread *thread =
        greenlet->tid ? page_last_thread(page, greenlet->pid, greenlet->tid) : NULL;
    if (thread)
        page_say_thread(line, page, thread->name, thread->pid, thread->tid);
    else if (greenlet->tid)
        plain_add(line, "thread %d", (int)greenlet->tid);
    else
        plain_str(line, "a thread that is not known");
}

// Those of one thread: order[0..count).
static void say_greenlets(struct page *page, const struct task_groups *all, const uint32_t *order,
                          size_t count)
{
    const struct snap_greenlet *items = all->suspended->greenlets.items;
    GUARD(plain_deinit) struct plain line = {0};
    size_t others = 0;
    bool hub = false, running = false;
    say_thread(&line, page, &items[order[0]]);
    plain_str(&line, ": ");
    plain_things(&line, count, "greenlet");
    for (size_t i = 0; i < count; i++) {
        const struct snap_greenlet *greenlet = &items[order[i]];
        const struct snap_greenlet *parent =
            greenlet->parent != SNAP_NO_INDEX ? &items[greenlet->parent] : NULL;
        hub |= greenlet->is_hub;
        others += parent && !parent->is_hub && !parent->is_main;
        if (greenlet->state != SNAP_GREENLET_RUNNING)
            continue;
        plain_str(&line, running ? ", " : "; now runs ");
        task_say_name(&line, page, all, order[i]);
        plain_str(&line, greenlet->is_hub && greenlet->name ? ", the hub" : "");
        running = true;
    }
    plain_str(&line, hub || !items[order[0]].tid ? "" : "; no hub");
    if (others) {
        plain_str(&line, "; ");
        plain_count(&line, others);
        plain_str(&line, others == 1 ? " has another greenlet as its parent"
                                     : " have other greenlets as their parents");
    }
    plain_str(&line, ".");
    doc_bullet(page->doc, "Thread", plain_text(&line));
    page->failed |= line.failed;
}

static void say_threads(struct page *page, const struct task_groups *all)
{
    const struct snap_greenlets *greenlets = &all->suspended->greenlets;
    size_t count = greenlets->count, threads = 0, others = 0;
    AUTO_FREE uint32_t *order = calloc(count + 1, sizeof(*order));
    if (!order) {
        page->failed = true;
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof(*order), by_thread, greenlets->items);
    for (size_t i = 0, next; i < count; i = next) {
        const struct snap_greenlet *first = &greenlets->items[order[i]];
        for (next = i + 1; next < count && greenlets->items[order[next]].pid == first->pid &&
                           greenlets->items[order[next]].tid == first->tid;)
            next++;
        if (++threads <= THREADS_SHOWN || page->options->full)
            say_greenlets(page, all, order + i, next - i);
        else
            others += next - i;
    }
    if (!others)
        return;
    GUARD(plain_deinit) struct plain line = {0};
    plain_things(&line, others, "greenlet");
    plain_str(&line, " of other threads; --full shows them.");
    doc_bullet(page->doc, "Thread", plain_text(&line));
    page->failed |= line.failed;
}

void page_greenlets(struct page *page)
{
    GUARD(task_groups_deinit) struct task_groups groups = {0};
    const struct snap_suspended *suspended = page_suspended(page);
    if (!suspended || !suspended->greenlets.count)
        return;
    if (!task_groups_init(&groups, suspended, true)) {
        page->failed = true;
        return;
    }
    doc_section(page->doc, page->profile ? "Greenlets (in the last snapshot)" : "Greenlets", NULL,
                0, 0);
    say_threads(page, &groups);
    if (suspended->greenlets_left_out) {
        GUARD(plain_deinit) struct plain line = {0};
        plain_things(&line, suspended->greenlets_left_out, "greenlet");
        plain_str(&line, " that ran while read, or beyond the bound of what is read.");
        doc_bullet(page->doc, "Left out", plain_text(&line));
        page->failed |= line.failed;
    }
    doc_section(page->doc,
                page->profile ? "Where greenlets wait (in the last snapshot)"
                              : "Where greenlets wait (innermost frame first)",
                "greenlet", page->profile ? 3 : 0, page->profile ? 15 : 35);
    page_add_groups(page, &groups);
}
