// SPDX-License-Identifier: GPL-3.0-or-later
// The 95 % bounds of every function's and task's share of the working samples, from the series kept
// of it.
#include <math.h>

#include "profile/interval.h"
#include "profile/profile_private.h"

// To a millionth: as exact as they are written, so that what is read back is the same number.
static double rounded(double share)
{
    return round(share * 1e6) / 1e6;
}

static void bounds_of(struct interval *interval, const struct prof_series *series, double *ret_low,
                      double *ret_high)
{
    uint32_t at[PROF_ITEMS_MAX], count[PROF_ITEMS_MAX];
    for (size_t i = 0; i < series->count; i++) {
        at[i] = series->items[i].at;
        count[i] = series->items[i].count;
    }
    interval_sparse(interval, at, count, series->count, ret_low, ret_high);
    *ret_low = rounded(*ret_low);
    *ret_high = rounded(*ret_high);
}

bool prof_function_bounds(const struct profile *profile, const uint32_t *from, size_t count,
                          struct prof_function *ret, double *ret_unseen_high)
{
    struct interval *interval =
        interval_create(profile->working, profile->items, profile->sum.snapshots);
    if (!interval)
        return false;
    // Never seen at work: the same for all of them.
    static const struct prof_series none;
    double none_low, none_high;
    bounds_of(interval, &none, &none_low, &none_high);
    for (size_t i = 0; i < count; i++) {
        const struct prof_function_entry *entry = &profile->functions.items[from[i]];
        struct prof_function *f = &ret[i];
        f->self_low = f->total_low = f->own_low = none_low;
        f->self_high = f->total_high = f->own_high = none_high;
        if (entry->self.count)
            bounds_of(interval, &entry->self, &f->self_low, &f->self_high);
        if (entry->total.count)
            bounds_of(interval, &entry->total, &f->total_low, &f->total_high);
        if (entry->own.count)
            bounds_of(interval, &entry->own, &f->own_low, &f->own_high);
    }
    *ret_unseen_high = none_high;
    interval_destroy(interval);
    return true;
}

bool prof_task_bounds(const struct profile *profile, const uint32_t *from, size_t count,
                      struct prof_task *ret)
{
    if (!count)
        return true;
    struct interval *interval =
        interval_create(profile->working, profile->items, profile->sum.snapshots);
    if (!interval)
        return false;
    for (size_t i = 0; i < count; i++)
        bounds_of(interval, &profile->tasks.items[from[i]].working, &ret[i].low, &ret[i].high);
    interval_destroy(interval);
    return true;
}
