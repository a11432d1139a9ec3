// SPDX-License-Identifier: GPL-3.0-or-later
// The series behind the confidence bounds: how many threads worked in each snapshot, and in which
// function. Kept in at most 512 items by summing neighbouring ones (profile/interval.h).
#include "profile/profile_private.h"

// Sums neighbouring points; gives back memory that is no longer needed.
static void halve(struct prof_series *series)
{
    size_t kept = 0;
    for (size_t i = 0; i < series->count; i++) {
        struct prof_point point = {series->items[i].at / 2, series->items[i].count};
        if (kept && series->items[kept - 1].at == point.at)
            series->items[kept - 1].count += point.count;
        else
            series->items[kept++] = point;
    }
    series->count = kept;
    if (kept && series->capacity >= 4 * kept) {
        struct prof_point *smaller = realloc(series->items, 2 * kept * sizeof(*smaller));
        if (smaller) {
            series->items = smaller;
            series->capacity = 2 * kept;
        }
    }
}

static void halve_all(struct profile *profile)
{
    profile->points = 0;
    vec_foreach (entry, &profile->functions) {
        halve(&entry->self);
        halve(&entry->total);
        halve(&entry->own);
        profile->points += entry->self.count + entry->total.count + entry->own.count;
    }
    vec_foreach (entry, &profile->tasks) {
        halve(&entry->working);
        profile->points += entry->working.count;
    }
    for (size_t i = 0; i < profile->items; i++) {
        uint32_t count = profile->working[i];
        profile->working[i] = 0;
        profile->working[i / 2] += count;
    }
    profile->items = (profile->items + 1) / 2;
    profile->group *= 2;
}

void prof_series_next(struct profile *profile)
{
    size_t item = (profile->sum.snapshots - 1) / profile->group;
    if (item >= PROF_ITEMS_MAX) {
        halve_all(profile);
        item = (profile->sum.snapshots - 1) / profile->group;
    }
    if (item == profile->items)
        profile->working[profile->items++] = 0;
}

bool prof_series_count(struct profile *profile, struct prof_series *series)
{
    uint32_t item = (uint32_t)profile->items - 1;
    if (series->count && series->items[series->count - 1].at == item) {
        series->items[series->count - 1].count++;
        return true;
    }
    profile->points++;
    return vec_push(series, (struct prof_point){item, 1});
}

void prof_series_bound(struct profile *profile)
{
    while (profile->points > PROF_POINTS_MAX && profile->items > 1)
        halve_all(profile);
}
