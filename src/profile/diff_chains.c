// SPDX-License-Identifier: GPL-3.0-or-later
// Functions whose samples are the very same ones: a caller that does nothing but call one function,
// which nobody else calls. threading's start-up is such a chain, and so is much of a framework. What
// is told of one of them is told of all, so they are one hypothesis and not many.
#include <stdlib.h>

#include "profile/diff_private.h"
#include "util/guard.h"

#define CHAIN_MAX 64 // a longer one is cut: more hypotheses than needed

// The caller in each run that shares all samples with the function; DIFF_NONE: there is none.
static void find_callers(const struct diff_input *run, const struct prof_diff *diff, int side,
                         uint32_t *caller)
{
    const struct prof_report *report = run->report;
    for (size_t i = 0; i < report->edge_count; i++) {
        const struct prof_edge *edge = &report->edges[i];
        if (edge->caller >= report->function_count || edge->callee >= report->function_count)
            continue;
        uint64_t samples = report->functions[edge->callee].total_working;
        if (samples && edge->caller != edge->callee && edge->total_working == samples &&
            report->functions[edge->caller].total_working == samples)
            caller[diff->function_of[side][edge->callee]] = diff->function_of[side][edge->caller];
    }
}

static bool at_work(const struct prof_diff *diff, uint32_t function, int side)
{
    return diff->functions[function].total.samples[side] > 0;
}

// The same caller in both runs, or in the only one in which any of the two was at work.
static uint32_t common_caller(const struct prof_diff *diff, uint32_t *const caller[DIFF_SIDES],
                              uint32_t function)
{
    uint32_t found = caller[DIFF_BEFORE][function];
    if (found == DIFF_NONE)
        found = caller[DIFF_AFTER][function];
    for (int side = 0; side < DIFF_SIDES && found != DIFF_NONE; side++)
        if (caller[side][function] != found &&
            (at_work(diff, function, side) || at_work(diff, found, side)))
            found = DIFF_NONE;
    return found;
}

bool diff_find_chains(const struct diff_input runs[DIFF_SIDES], const struct prof_diff *diff,
                      uint32_t *ret_root)
{
    size_t count = diff->function_count;
    AUTO_FREE uint32_t *before = calloc(count + 1, sizeof(*before));
    AUTO_FREE uint32_t *after = calloc(count + 1, sizeof(*after));
    if (!before || !after)
        return false;
    uint32_t *const caller[DIFF_SIDES] = {before, after};
    for (int side = 0; side < DIFF_SIDES; side++) {
        for (size_t i = 0; i < count; i++)
            caller[side][i] = DIFF_NONE;
        find_callers(&runs[side], diff, side, caller[side]);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i, above;
        unsigned steps = 0;
        while (steps < CHAIN_MAX && (above = common_caller(diff, caller, at)) != DIFF_NONE) {
            at = above;
            steps++;
        }
        // Functions that call each other have no outermost one.
        ret_root[i] = steps < CHAIN_MAX ? at : i;
    }
    return true;
}
