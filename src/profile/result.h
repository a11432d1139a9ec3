// SPDX-License-Identifier: GPL-3.0-or-later
// A report in the making: where the items of the profile's tables went.
#ifndef PROFILE_RESULT_H
#define PROFILE_RESULT_H

#include "profile/profile_private.h"
#include "util/guard.h"

struct prof_result {
    struct profile *profile;
    struct prof_report *report;
    uint32_t *function_place, *frame_place, *task_place; // new number of each
};

// For qsort_r: how an item of each table compares. Larger counts first.
#define MORE_FIRST(a, b)               \
    do {                               \
        if ((a) != (b))                \
            return (a) > (b) ? -1 : 1; \
    } while (0)
#define LESS_FIRST(a, b) MORE_FIRST(b, a)

void *prof_array(size_t count, size_t item_bytes);
uint32_t *prof_order(size_t count, int (*compare)(const void *, const void *, void *), void *arg);
// Where each item went: the reverse of an order.
uint32_t *prof_places(const uint32_t *order, size_t count);
int prof_compare_text(const struct strtab *strings, uint32_t a, uint32_t b);

// result_tasks.c: tasks, before the stacks; the hottest function of each, behind them; await sites, whose
// frames follow those of all stacks
bool prof_copy_tasks(struct prof_result *result);
bool prof_find_hottest_of_tasks(struct prof_result *result);
bool prof_copy_awaits(struct prof_result *result);
// result_tree.c
bool prof_copy_tree(struct prof_result *result);
// result_processes.c; after the threads
bool prof_copy_processes(struct prof_result *result);

#endif
