// SPDX-License-Identifier: GPL-3.0-or-later
// For the summary: which threads do the work, and in which of the program's own functions. Where
// an application server has a part for each of its tasks, each has its answer here.
#include <stdlib.h>

#include "report/kinds.h"
#include "util/guard.h"

#define LEAST_SHARE 0.05 // of the weight: worth a sentence
#define KINDS 4
#define HALF 0.5
#define ALL 0.95
#define MOST 0.6 // of a kind's weight: what a function has in which it mostly is

struct sums { // by function
    uint64_t *weight, *depth;
    size_t *seen; // in which stack, from 1
};

static void sums_deinit(struct sums *sums)
{
    free(sums->weight);
    free(sums->depth);
    free(sums->seen);
}

// The stacks of a kind: the weight of each function of one's own code, and how far it is from the
// innermost one, times the weight. Returns the weight of all.
static uint64_t add_up(const struct page *page, const struct kinds *kinds, size_t kind,
                       struct sums *sums)
{
    const struct prof_report *profile = page->profile;
    uint64_t all = 0;
    for (size_t i = 0; i < profile->stack_count; i++) {
        const struct prof_stack *stack = &profile->stacks[i];
        uint64_t weight = weigh_stack(&page->weigh, stack), depth = 0;
        uint32_t thread = weight ? page_thread_of(page, stack) : UINT32_MAX;
        if (thread == UINT32_MAX || kinds->of_thread[thread] != kind)
            continue;
        all += weight;
        for (size_t k = 0; k < stack->frame_count; k++) {
            uint32_t function = profile->frame_function[stack->frames[k]];
            if (!page->own_code[function] || sums->seen[function] == i + 1)
                continue;
            sums->seen[function] = i + 1;
            sums->weight[function] += weight;
            sums->depth[function] += weight * depth++;
        }
    }
    return all;
}

// Of the functions that most of the weight is in, the innermost and the outermost one; UINT32_MAX:
// there is none.
static void find_ends(const struct prof_report *profile, const struct sums *sums, uint64_t all,
                      uint32_t *ret_inner, uint32_t *ret_outer)
{
    double least = 0, most = -1;
    *ret_inner = *ret_outer = UINT32_MAX;
    for (uint32_t i = 0; i < profile->function_count; i++) {
        if (!all || (double)sums->weight[i] < MOST * (double)all)
            continue;
        double depth = (double)sums->depth[i] / (double)sums->weight[i];
        if (*ret_inner == UINT32_MAX || depth < least) {
            least = depth;
            *ret_inner = i;
        }
        if (depth > most) {
            most = depth;
            *ret_outer = i;
        }
    }
}

static void say_where(struct plain *line, const struct page *page, const struct kinds *kinds,
                      size_t kind)
{
    const struct prof_report *profile = page->profile;
    size_t count = profile->function_count + 1;
    GUARD(sums_deinit)
    struct sums sums = {calloc(count, sizeof(*sums.weight)), calloc(count, sizeof(*sums.depth)),
                        calloc(count, sizeof(*sums.seen))};
    if (!sums.weight || !sums.depth || !sums.seen) {
        line->failed = true;
        return;
    }
    uint32_t inner, outer;
    uint64_t all = add_up(page, kinds, kind, &sums);
    find_ends(profile, &sums, all, &inner, &outer);
    if (inner == UINT32_MAX)
        return;
    plain_str(line, ", ");
    plain_percent(line, weigh_ratio(sums.weight[inner], all));
    plain_str(line, " % of that in ");
    names_say(line, &page->names, page_function(page, inner));
    if (outer != inner) {
        plain_str(line, ", below ");
        names_say(line, &page->names, page_function(page, outer));
    }
}

static void say_kind(struct page *page, const struct kinds *kinds, size_t index)
{
    const struct kind *kind = &kinds->list.items[index];
    const struct prof_thread *thread = &page->profile->threads[kind->first];
    GUARD(plain_deinit) struct plain line = {0};
    plain_percent(&line, weigh_share(&page->weigh, kind->weight));
    plain_add(&line, " %% %s is of ", page->weigh.base_words);
    if (kind->threads == 1) {
        page_say_thread(&line, page, thread->name, thread->pid, thread->tid);
    } else {
        kind_say(&line, kind);
        plain_str(&line, " (");
        plain_things(&line, kind->threads, "thread");
        plain_str(&line, ")");
    }
    plain_str(&line, thread->known_to_python ? "" : ", unknown to Python");
    say_where(&line, page, kinds, index);
    plain_str(&line, ".");
    doc_bullet(page->doc, "Work", plain_text(&line));
    page->failed |= line.failed;
}

// The heaviest after those that were `said`; SIZE_MAX: none is worth it.
static size_t next_kind(const struct page *page, const struct kinds *kinds, const bool *said)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < kinds->list.count; i++) {
        uint64_t weight = kinds->list.items[i].weight;
        if (!said[i] && weigh_share(&page->weigh, weight) >= LEAST_SHARE &&
            (best == SIZE_MAX || weight > kinds->list.items[best].weight))
            best = i;
    }
    return best;
}

void page_say_work(struct page *page)
{
    GUARD(kinds_deinit) struct kinds kinds = {0};
    if (page->weigh.fell_back || page->weigh.kind == REPORT_WEIGHT_WALL)
        return; // all threads are alike
    bool found = kinds_find(page, &kinds);
    AUTO_FREE bool *said = found ? calloc(kinds.list.count + 1, sizeof(*said)) : NULL;
    if (!said) {
        page->failed = true;
        return;
    }
    size_t order[KINDS], count = 0;
    while (count < KINDS && (order[count] = next_kind(page, &kinds, said)) != SIZE_MAX)
        said[order[count++]] = true;
    if (count < 2)
        return; // the hottest functions say it all
    for (size_t i = 0; i < count; i++)
        say_kind(page, &kinds, order[i]);
}

// ---- Above a library's function ------------------------------------------------------------------

// The innermost function of one's own code in a stack whose own function is `index`; UINT32_MAX: none.
static uint32_t own_code_above(const struct page *page, const struct prof_stack *stack,
                               uint32_t index)
{
    const struct prof_report *profile = page->profile;
    size_t at = 0;
    while (at < stack->frame_count &&
           profile->functions[profile->frame_function[stack->frames[at]]].kind == SNAP_NATIVE)
        at++;
    at = at == stack->frame_count ? 0 : at;
    if (!stack->frame_count || profile->frame_function[stack->frames[at]] != index)
        return UINT32_MAX;
    for (; at < stack->frame_count; at++)
        if (page->own_code[profile->frame_function[stack->frames[at]]])
            return profile->frame_function[stack->frames[at]];
    return UINT32_MAX;
}

void page_say_below(struct plain *line, const struct page *page, uint32_t index, uint32_t named)
{
    const struct prof_report *profile = page->profile;
    if (page->own_code[index])
        return;
    AUTO_FREE uint64_t *weights = calloc(profile->function_count + 1, sizeof(*weights));
    uint32_t best = UINT32_MAX;
    line->failed |= !weights;
    for (size_t i = 0; weights && i < profile->stack_count; i++) {
        uint32_t own = own_code_above(page, &profile->stacks[i], index);
        if (own == UINT32_MAX)
            continue;
        weights[own] += weigh_stack(&page->weigh, &profile->stacks[i]);
        if (best == UINT32_MAX || weights[own] > weights[best])
            best = own;
    }
    if (best == UINT32_MAX || best == named)
        return;
    double share = weigh_ratio(weights[best], weigh_own(&page->weigh, &profile->functions[index]));
    if (share < HALF)
        return;
    plain_str(line, share < ALL ? ", mostly below " : ", below ");
    names_say(line, &page->names, page_function(page, best));
}
