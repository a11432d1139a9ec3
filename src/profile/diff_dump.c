// SPDX-License-Identifier: GPL-3.0-or-later
// Two snapshots side by side: which threads moved, and which stand where they stood.
#include <stdlib.h>
#include <string.h>

#include "profile/diff_private.h"
#include "util/guard.h"

struct entry {
    const struct strtab *strings;
    const struct snap_thread *thread;
    uint32_t index;
    int side;
};

static int by_tid(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->thread->pid != b->thread->pid)
        return a->thread->pid < b->thread->pid ? -1 : 1;
    return (a->thread->tid > b->thread->tid) - (a->thread->tid < b->thread->tid);
}

static int by_name(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return diff_compare_text(a->strings, a->thread->name, b->strings, b->thread->name);
}

struct matching {
    int (*compare)(const void *, const void *);
};

static int in_order(const void *left, const void *right, void *arg)
{
    const struct entry *a = left, *b = right;
    int order = ((struct matching *)arg)->compare(a, b);
    if (order)
        return order;
    if (a->side != b->side)
        return a->side - b->side;
    return (a->index > b->index) - (a->index < b->index);
}

static bool same_place(const struct diff_dump_input dumps[DIFF_SIDES], const struct snap_frame *a,
                       const struct snap_frame *b)
{
    const struct strtab *left = dumps[DIFF_BEFORE].strings, *right = dumps[DIFF_AFTER].strings;
    return a->kind == b->kind && a->line == b->line && a->first_line == b->first_line &&
           diff_compare_text(left, a->function, right, b->function) == 0 &&
           diff_compare_text(left, a->qualname, right, b->qualname) == 0 &&
           diff_compare_text(left, a->file, right, b->file) == 0 &&
           diff_compare_text(left, a->module, right, b->module) == 0;
}

static void compare_stacks(const struct diff_dump_input dumps[DIFF_SIDES], bool same_process,
                           const struct snap_thread *before, const struct snap_thread *after,
                           struct diff_motion_thread *ret)
{
    size_t left = before->frames.count, right = after->frames.count, common = 0;
    bool same_calls = same_process;
    for (; common < left && common < right; common++) {
        const struct snap_frame *a = &before->frames.items[left - 1 - common];
        const struct snap_frame *b = &after->frames.items[right - 1 - common];
        if (!same_place(dumps, a, b))
            break;
        // Builtins and native frames of Python's own have none where the call is not known.
        same_calls &= a->activation == b->activation && (a->activation || a->kind != SNAP_PYTHON);
    }
    ret->has_cpu = same_process && before->has_cpu && after->has_cpu &&
                   after->cpu_total_ns >= before->cpu_total_ns;
    ret->cpu_ns = ret->has_cpu ? after->cpu_total_ns - before->cpu_total_ns : 0;
    // Who used no processor time did not leave its call.
    same_calls |= ret->has_cpu && ret->cpu_ns == 0;
    ret->common = common;
    ret->motion = common < left || common < right ? DIFF_MOVED
                  : same_calls && left            ? DIFF_SAME_CALLS
                                                  : DIFF_SAME_PLACE;
}

// A thread of a name only where the name is one thread's in both; all others came or went.
static void pair_up(const struct diff_dump_input dumps[DIFF_SIDES], bool same_process,
                    const struct entry *entries, size_t count, struct diff_motion_thread *ret,
                    size_t *ret_count)
{
    bool one_each = count == 2 && entries[0].side != entries[1].side &&
                    (same_process ? entries[0].thread->tid != 0 : entries[0].thread->name != 0);
    for (size_t i = 0; i < count; i++) {
        struct diff_motion_thread *item = &ret[(*ret_count)++];
        *item = (struct diff_motion_thread){.thread = {DIFF_NONE, DIFF_NONE}};
        item->thread[entries[i].side] = entries[i].index;
        item->motion = entries[i].side == DIFF_BEFORE ? DIFF_ENDED : DIFF_APPEARED;
        if (!one_each)
            continue;
        item->thread[DIFF_AFTER] = entries[1].index;
        compare_stacks(dumps, same_process, entries[0].thread, entries[1].thread, item);
        return;
    }
}

static int by_motion(const void *left, const void *right)
{
    static const int rank[] = {[DIFF_MOVED] = 0,
                               [DIFF_APPEARED] = 1,
                               [DIFF_ENDED] = 2,
                               [DIFF_SAME_PLACE] = 3,
                               [DIFF_SAME_CALLS] = 4};
    const struct diff_motion_thread *a = left, *b = right;
    if (a->motion != b->motion)
        return rank[a->motion] - rank[b->motion];
    if (a->cpu_ns != b->cpu_ns)
        return a->cpu_ns > b->cpu_ns ? -1 : 1;
    for (int side = 0; side < DIFF_SIDES; side++)
        if (a->thread[side] != b->thread[side])
            return a->thread[side] < b->thread[side] ? -1 : 1;
    return 0;
}

struct err *diff_dumps(const struct diff_dump_input dumps[DIFF_SIDES], bool same_process,
                       struct diff_motion_thread **ret, size_t *ret_count)
{
    size_t count =
        dumps[DIFF_BEFORE].snapshot->threads.count + dumps[DIFF_AFTER].snapshot->threads.count;
    AUTO_FREE struct entry *entries = calloc(count + 1, sizeof(*entries));
    AUTO_FREE struct diff_motion_thread *items = calloc(count + 1, sizeof(*items));
    if (!entries || !items)
        return err_create(ERR_NO_MEMORY, "no memory for the comparison");
    size_t at = 0, item_count = 0;
    for (int side = 0; side < DIFF_SIDES; side++)
        vec_foreach (thread, &dumps[side].snapshot->threads) {
            uint32_t index = (uint32_t)(thread - dumps[side].snapshot->threads.items);
            entries[at++] = (struct entry){dumps[side].strings, thread, index, side};
        }
    struct matching matching = {same_process ? by_tid : by_name};
    qsort_r(entries, count, sizeof(*entries), in_order, &matching);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && matching.compare(&entries[i], &entries[next]) == 0;)
            next++;
        pair_up(dumps, same_process, &entries[i], next - i, items, &item_count);
    }
    qsort(items, item_count, sizeof(*items), by_motion);
    *ret = TAKE(items);
    *ret_count = item_count;
    return NULL;
}
