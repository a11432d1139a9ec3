// SPDX-License-Identifier: GPL-3.0-or-later
// Which differences are more than noise: the families of functions, native code and stacks.
#include <math.h>
#include <stdlib.h>

#include "profile/diff_private.h"
#include "util/guard.h"

struct pair {
    struct share side[DIFF_SIDES];
};

// What is known of each function of the comparison.
struct shares {
    struct pair *own, *total;
};

struct family {
    struct hypothesis *items;
    struct hypothesis **scratch;
    struct diff_share **of; // of each item
    size_t count;
};

static void shares_deinit(struct shares *shares)
{
    free(shares->own);
    free(shares->total);
}

static void family_deinit(struct family *family)
{
    free(family->items);
    free(family->scratch);
    free(family->of);
}

static bool family_init(struct family *family, size_t room)
{
    *family = (struct family){
        .items = calloc(room + 1, sizeof(*family->items)),
        .scratch = calloc(room + 1, sizeof(struct hypothesis *)),
        .of = calloc(room + 1, sizeof(struct diff_share *)),
    };
    return family->items && family->scratch && family->of;
}

static bool whole(const struct share *share)
{
    return share->part >= share->whole;
}

static void family_add(struct family *family, const struct pair *pair, struct diff_share *ret)
{
    const struct share *before = &pair->side[DIFF_BEFORE], *after = &pair->side[DIFF_AFTER];
    struct hypothesis *item = &family->items[family->count];
    share_difference(before, after, SHARE_95, &ret->low, &ret->high);
    ret->verdict = DIFF_RARE;
    if (whole(before) && whole(after)) { // all of both: there is nothing to tell apart
        ret->low = ret->high = 0;
        ret->verdict = DIFF_NOISE;
        return;
    }
    if (before->part + after->part == 0)
        return;
    item->p_value = share_p_value(before, after);
    item->least_p_value =
        share_least_p_value(before->part + after->part, before->whole, after->whole);
    family->of[family->count++] = ret;
}

// The number tested. *ret_rejected grows by those that are more than noise.
static size_t family_test(struct family *family, double alpha, size_t *ret_rejected)
{
    size_t tested = hypotheses_test(family->items, family->scratch, family->count, alpha);
    for (size_t i = 0; i < family->count; i++) {
        struct diff_share *share = family->of[i];
        if (!family->items[i].tested)
            continue;
        share->p_value = family->items[i].p_value;
        share->verdict = !family->items[i].rejected ? DIFF_NOISE
                         : share->change > 0        ? DIFF_MORE
                                                    : DIFF_LESS;
        *ret_rejected += family->items[i].rejected;
    }
    return tested;
}

static struct share share_of(const struct diff_input *run, const struct diff_share *share, int side,
                             double low, double high)
{
    const struct prof_report *report = run->report;
    return share_of_bounds(share->samples[side], report->samples_working, report->snapshots, low,
                           high);
}

static void fill_shares(const struct diff_input runs[DIFF_SIDES], const struct prof_diff *diff,
                        struct shares *shares)
{
    static const struct prof_function nothing;
    uint64_t snapshots[DIFF_SIDES] = {runs[DIFF_BEFORE].report->snapshots,
                                      runs[DIFF_AFTER].report->snapshots};
    for (size_t i = 0; i < diff->function_count; i++) {
        const struct diff_function *function = &diff->functions[i];
        struct pair *own = &shares->own[i], *total = &shares->total[i];
        for (int side = 0; side < DIFF_SIDES; side++) {
            uint32_t index = function->index[side];
            const struct prof_function *f =
                index == DIFF_NONE ? &nothing : &runs[side].report->functions[index];
            own->side[side] = share_of(&runs[side], &function->own, side, f->own_low, f->own_high);
            total->side[side] =
                share_of(&runs[side], &function->total, side, f->total_low, f->total_high);
        }
        share_pair(&own->side[DIFF_BEFORE], snapshots[DIFF_BEFORE], &own->side[DIFF_AFTER],
                   snapshots[DIFF_AFTER]);
        share_pair(&total->side[DIFF_BEFORE], snapshots[DIFF_BEFORE], &total->side[DIFF_AFTER],
                   snapshots[DIFF_AFTER]);
    }
}

// Own samples are among the total ones: the same number of them are the same samples.
static bool same_samples(const struct diff_function *function)
{
    return function->own.samples[DIFF_BEFORE] == function->total.samples[DIFF_BEFORE] &&
           function->own.samples[DIFF_AFTER] == function->total.samples[DIFF_AFTER];
}

static bool is_native(const struct diff_input runs[DIFF_SIDES],
                      const struct diff_function *function)
{
    int side = function->index[DIFF_AFTER] != DIFF_NONE ? DIFF_AFTER : DIFF_BEFORE;
    return runs[side].report->functions[function->index[side]].kind == SNAP_NATIVE &&
           !function->own.samples[DIFF_BEFORE] && !function->own.samples[DIFF_AFTER];
}

// What is the same samples is one hypothesis: total of a chain of callers, and own where it is all of
// the total. Native code below Python is a family of its own: there are many such functions, and
// what they do counts for the Python function above them already.
static bool test_functions(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff,
                           const struct shares *shares)
{
    GUARD(family_deinit) struct family functions = {0};
    GUARD(family_deinit) struct family natives = {0};
    AUTO_FREE uint32_t *root = calloc(diff->function_count + 1, sizeof(*root));
    if (!root || !diff_find_chains(runs, diff, root) ||
        !family_init(&functions, 2 * diff->function_count) ||
        !family_init(&natives, diff->function_count))
        return false;
    for (size_t i = 0; i < diff->function_count; i++) {
        struct diff_function *function = &diff->functions[i];
        bool native = is_native(runs, function);
        if (!same_samples(function))
            family_add(&functions, &shares->own[i], &function->own);
        if (root[i] == i)
            family_add(native ? &natives : &functions, &shares->total[i], &function->total);
    }
    diff->tested = family_test(&functions, DIFF_ALPHA - DIFF_ALPHA_NATIVE, &diff->rejected);
    diff->natives_tested = family_test(&natives, DIFF_ALPHA_NATIVE, &diff->rejected);
    for (size_t i = 0; i < diff->function_count; i++) {
        struct diff_function *function = &diff->functions[i];
        function->total = diff->functions[root[i]].total;
        if (same_samples(function))
            function->own = function->total;
    }
    return true;
}

// A stack has no bounds of its own. Its samples are some of those of each function on it, and are
// taken to be as correlated as those of the one that has the fewest others.
static struct share share_of_stack(const struct shares *shares, const struct diff_stack *stack,
                                   int side)
{
    const struct share *like = &shares->own[stack->functions[0]].side[side];
    for (size_t i = 0; i < stack->count; i++) {
        const struct share *total = &shares->total[stack->functions[i]].side[side];
        if (total->effect > 0 && (!(like->effect > 0) || total->part < like->part))
            like = total;
    }
    return share_like(like, stack->work.samples[side]);
}

static bool test_stacks(struct prof_diff *diff, const struct shares *shares)
{
    GUARD(family_deinit) struct family family;
    if (!family_init(&family, diff->stack_count))
        return false;
    for (size_t i = 0; i < diff->stack_count; i++) {
        struct diff_stack *stack = &diff->stacks[i];
        struct pair pair;
        if (!stack->count)
            continue;
        for (int side = 0; side < DIFF_SIDES; side++)
            pair.side[side] = share_of_stack(shares, stack, side);
        family_add(&family, &pair, &stack->work);
    }
    size_t rejected = 0;
    diff->stacks_tested = family_test(&family, DIFF_ALPHA, &rejected);
    // Stacks are only looked at where a function stands out.
    for (size_t i = 0; i < family.count && !diff->rejected; i++)
        if (family.items[i].rejected)
            family.of[i]->verdict = DIFF_NOISE;
    return true;
}

bool diff_test(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff)
{
    GUARD(shares_deinit) struct shares shares = {0};
    diff->testable = true;
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *report = runs[side].report;
        diff->testable &= report->snapshots >= DIFF_LEAST_SNAPSHOTS && report->samples_working > 0;
    }
    for (size_t i = 0; i < diff->function_count; i++)
        diff->functions[i].own.p_value = diff->functions[i].total.p_value = 1;
    for (size_t i = 0; i < diff->stack_count; i++)
        diff->stacks[i].work.p_value = 1;
    if (!diff->testable)
        return true;
    shares.own = calloc(diff->function_count + 1, sizeof(*shares.own));
    shares.total = calloc(diff->function_count + 1, sizeof(*shares.total));
    if (!shares.own || !shares.total)
        return false;
    fill_shares(runs, diff, &shares);
    return test_functions(runs, diff, &shares) && test_stacks(diff, &shares);
}
