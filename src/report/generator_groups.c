// SPDX-License-Identifier: GPL-3.0-or-later
// See generator_groups.h.
#include "report/generator_groups.h"

#include <stdlib.h>

static int compare_places(const struct snap_generator *a, const struct snap_generator *b)
{
    if (a->stack != b->stack)
        return a->stack < b->stack ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return a->begun - b->begun;
}

static int by_place(const void *left, const void *right, void *arg)
{
    const struct snap_generator *items = arg;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    int order = compare_places(&items[a], &items[b]);
    return order ? order : (a > b) - (a < b);
}

static int by_count(const void *left, const void *right, void *arg)
{
    const struct generator_group *a = left, *b = right;
    const uint32_t *order = arg;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return order[a->first] < order[b->first] ? -1 : 1;
}

bool generator_groups_init(struct generator_groups *groups, const struct snap_suspended *suspended)
{
    const struct snap_generators *from = &suspended->generators;
    *groups = (struct generator_groups){.suspended = suspended};
    groups->order = calloc(from->count + 1, sizeof(*groups->order));
    if (!groups->order)
        return false;
    for (uint32_t i = 0; i < from->count; i++)
        groups->order[i] = i;
    qsort_r(groups->order, from->count, sizeof(*groups->order), by_place, from->items);
    for (uint32_t i = 0; i < from->count; i++) {
        const struct snap_generator *generator = &from->items[groups->order[i]];
        if (i && compare_places(&from->items[groups->order[i - 1]], generator) == 0) {
            groups->list.items[groups->list.count - 1].count++;
            continue;
        }
        struct generator_group group = {
            .first = i,
            .count = 1,
            .stack = generator->stack,
            .kind = generator->kind,
            .begun = generator->begun,
        };
        if (!vec_push(&groups->list, group))
            return false;
    }
    if (groups->list.count)
        qsort_r(groups->list.items, groups->list.count, sizeof(*groups->list.items), by_count,
                groups->order);
    return true;
}

void generator_groups_deinit(struct generator_groups *groups)
{
    free(groups->order);
    vec_deinit(&groups->list);
}
