// SPDX-License-Identifier: GPL-3.0-or-later
// The comparison of two runs as a whole: load, and the order of its lists.
#include <math.h>
#include <stdlib.h>

#include "profile/diff_private.h"
#include "util/guard.h"

double diff_per(double amount, double whole)
{
    return whole > 0 ? amount / whole : NAN;
}

static void set_load(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff)
{
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *report = runs[side].report;
        uint64_t seen_ns = report->cpu_on_stacks_ns + report->cpu_between_ns;
        uint64_t cpu_ns = report->has_process_cpu ? report->process_cpu_ns : seen_ns;
        double snapshots = (double)report->snapshots;
        diff->processors.side[side] = diff_per((double)cpu_ns, (double)report->duration_ns);
        diff->threads.side[side] = diff_per((double)report->samples, snapshots);
        diff->works.side[side] = diff_per((double)report->samples_working, snapshots);
    }
}

// ---- Orders --------------------------------------------------------------------------------------

static int by_growth(double left, double right)
{
    // What is not known counts as none.
    left = isnan(left) ? 0 : left;
    right = isnan(right) ? 0 : right;
    return (left < right) - (left > right);
}

static double growth(const struct diff_rate *rate)
{
    return rate->side[DIFF_AFTER] - rate->side[DIFF_BEFORE];
}

static int compare_functions(const void *left, const void *right, void *arg)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    const struct diff_function *f = arg;
    int order = by_growth(f[a].own.change, f[b].own.change);
    order = order ? order : by_growth(f[a].total.change, f[b].total.change);
    return order ? order : (a > b) - (a < b);
}

static int compare_stacks(const void *left, const void *right)
{
    const struct diff_stack *a = left, *b = right;
    int order = by_growth(a->work.change, b->work.change);
    if (order)
        return order;
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (a->functions[i] != b->functions[i])
            return a->functions[i] < b->functions[i] ? -1 : 1;
    return (a->count > b->count) - (a->count < b->count);
}

static int compare_threads(const void *left, const void *right)
{
    const struct diff_thread *a = left, *b = right;
    int order = by_growth(growth(&a->cpu), growth(&b->cpu));
    for (int side = 0; side < DIFF_SIDES && !order; side++)
        order = (a->first[side] > b->first[side]) - (a->first[side] < b->first[side]);
    return order;
}

static int compare_waits(const void *left, const void *right)
{
    const struct diff_wait *a = left, *b = right;
    int order = by_growth(growth(&a->threads), growth(&b->threads));
    if (order)
        return order;
    if (a->state != b->state)
        return a->state < b->state ? -1 : 1;
    return (a->function > b->function) - (a->function < b->function);
}

// Before anything refers to a function by its number, but for function_of.
static bool sort_functions(struct prof_diff *diff)
{
    size_t count = diff->function_count;
    AUTO_FREE uint32_t *order = calloc(count + 1, sizeof(*order));
    struct diff_function *sorted = calloc(count + 1, sizeof(*sorted));
    if (!order || !sorted)
        return free(sorted), false;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, count, sizeof(*order), compare_functions, diff->functions);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = diff->functions[order[i]];
        for (int side = 0; side < DIFF_SIDES; side++)
            if (sorted[i].index[side] != DIFF_NONE)
                diff->function_of[side][sorted[i].index[side]] = (uint32_t)i;
    }
    free(diff->functions);
    diff->functions = sorted;
    return true;
}

static bool fill(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff)
{
    set_load(runs, diff);
    if (!diff_match_functions(runs, diff) || !sort_functions(diff) ||
        !diff_match_stacks(runs, diff) || !diff_match_threads(runs, diff) || !diff_test(runs, diff))
        return false;
    if (diff->stack_count)
        qsort(diff->stacks, diff->stack_count, sizeof(*diff->stacks), compare_stacks);
    if (diff->thread_count)
        qsort(diff->threads_by_name, diff->thread_count, sizeof(*diff->threads_by_name),
              compare_threads);
    if (diff->wait_count)
        qsort(diff->waits, diff->wait_count, sizeof(*diff->waits), compare_waits);
    return true;
}

struct err *prof_diff_create(const struct diff_input runs[DIFF_SIDES], struct prof_diff **ret)
{
    struct prof_diff *diff = calloc(1, sizeof(*diff));
    if (!diff || !fill(runs, diff)) {
        prof_diff_destroy(diff);
        return err_create(ERR_NO_MEMORY, "no memory for the comparison");
    }
    *ret = diff;
    return NULL;
}

void prof_diff_destroy(struct prof_diff *diff)
{
    if (!diff)
        return;
    free(diff->functions);
    free(diff->stacks);
    free(diff->threads_by_name);
    free(diff->waits);
    for (int side = 0; side < DIFF_SIDES; side++)
        free(diff->function_of[side]);
    free(diff->stack_functions);
    free(diff);
}
