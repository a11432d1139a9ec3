// SPDX-License-Identifier: GPL-3.0-or-later
// The two function tables: by what a function did itself, and by what it and its callees did. What
// a Python function did itself includes the native code it called that has no name in Python.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "report/sort.h"
#include "util/guard.h"

#define USUAL_ROWS 12
#define HOT_SHARE 0.2

static void add_share(struct plain *row, const struct page *page, uint64_t weight, double low,
                      double high)
{
    if (weight) {
        plain_percent(row, weigh_share(&page->weigh, weight));
        plain_str(row, " %");
    }
    plain_str(row, DOC_NEXT);
    if (weight && page->weigh.kind == REPORT_WEIGHT_SAMPLES && high > low)
        plain_range(row, low, high);
    plain_str(row, DOC_NEXT);
}

static void add_function(struct page *page, const struct prof_function *function, bool by_total)
{
    GUARD(plain_deinit) struct plain row = {0};
    uint64_t self = weigh_own(&page->weigh, function);
    uint64_t total = weigh_total(&page->weigh, function);
    uint64_t cpu_ns = by_total ? function->total_cpu_ns : function->own_cpu_ns;
    uint64_t waiting = by_total ? function->total - function->total_working
                                : function->own - function->own_working;
    if (by_total)
        add_share(&row, page, total, function->total_low, function->total_high);
    else
        add_share(&row, page, self, function->own_low, function->own_high);
    uint64_t other = by_total ? self : total;
    if (other) {
        plain_percent(&row, weigh_share(&page->weigh, other));
        plain_str(&row, " %");
    }
    plain_str(&row, DOC_NEXT);
    if (cpu_ns)
        plain_duration(&row, cpu_ns);
    plain_str(&row, DOC_NEXT);
    if (waiting)
        plain_count(&row, waiting);
    plain_str(&row, DOC_NEXT);
    plain_str(&row, function->activations ? ">=" : "");
    if (function->activations)
        plain_count(&row, function->activations);
    plain_str(&row, DOC_NEXT);
    if (function->longest_snapshots > 1)
        plain_duration(&row, function->longest_ns);
    plain_str(&row, DOC_NEXT);
    names_function(&row, &page->names, function, 60);
    plain_str(&row, DOC_NEXT);
    names_place(&row, &page->names, function);
    double share = weigh_share(&page->weigh, by_total ? total : self);
    doc_row(page->doc, !by_total && share >= HOT_SHARE ? DOC_HOT : DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

// threading's _bootstrap and the like: all their time is one callee's.
static void mark_plumbing(const struct page *page, bool *plumbing)
{
    const struct prof_report *profile = page->profile;
    for (size_t i = 0; i < profile->edge_count; i++) {
        const struct prof_edge *edge = &profile->edges[i];
        const struct prof_function *caller = page_function(page, edge->caller);
        if (caller && !page->own_code[edge->caller] && weigh_own(&page->weigh, caller) == 0 &&
            weigh_edge(&page->weigh, edge) == weigh_total(&page->weigh, caller))
            plumbing[edge->caller] = true;
    }
}

static bool is_hidden(const struct page *page, const struct prof_function *function)
{
    return page->options->hide_boilerplate &&
           names_is_boilerplate(page->names.strings, function->kind, function->file,
                                function->function);
}

// A function belongs in a table when it has weight there; a native one only where nothing of Python
// is above it: the others have a table of their own.
static bool belongs(const struct page *page, const struct prof_function *function,
                    enum report_sort kind)
{
    uint64_t self = weigh_own(&page->weigh, function);
    if (is_hidden(page, function))
        return false;
    if (kind == REPORT_SORT_WAITING)
        return sort_value(&page->weigh, kind, function) != 0;
    if (function->kind == SNAP_NATIVE)
        return self != 0 || (kind == REPORT_SORT_SELF && weigh_self(&page->weigh, function));
    return sort_value(&page->weigh, kind == REPORT_SORT_NAME ? REPORT_SORT_TOTAL : kind, function);
}

// The functions that belong in the table in their order, plumbing last; how many there are, and how
// many of them are no plumbing.
static bool choose(const struct page *page, enum report_sort kind, uint32_t *ret_order,
                   size_t *ret_count, size_t *ret_worthy)
{
    size_t all = page->profile->function_count;
    AUTO_FREE uint32_t *order = calloc(all + 1, sizeof(*order));
    AUTO_FREE bool *plumbing = calloc(all + 1, sizeof(*plumbing));
    if (!order || !plumbing)
        return false;
    if (kind == REPORT_SORT_TOTAL)
        mark_plumbing(page, plumbing);
    sort_functions(page->input, &page->weigh, kind, order);
    *ret_count = 0;
    for (int last = 0; last < 2; last++) {
        for (size_t i = 0; i < all; i++)
            if (plumbing[order[i]] == last &&
                belongs(page, &page->profile->functions[order[i]], kind))
                ret_order[(*ret_count)++] = order[i];
        if (!last)
            *ret_worthy = *ret_count;
    }
    return true;
}

static void add_table(struct page *page, const struct doc_column *columns, size_t count,
                      enum report_sort kind, unsigned priority)
{
    const struct prof_report *profile = page->profile;
    AUTO_FREE uint32_t *order = calloc(profile->function_count + 1, sizeof(*order));
    size_t there = 0, worthy = 0;
    if (!order || !choose(page, kind, order, &there, &worthy)) {
        page->failed = true;
        return;
    }
    if (there == 0)
        return;
    GUARD(plain_deinit) struct plain heading = {0};
    plain_add(&heading, "%s (%s", sort_title(kind), page->weigh.base_words);
    if (page->weigh.kind == REPORT_WEIGHT_CPU) {
        plain_str(&heading, ": ");
        plain_duration(&heading, page->weigh.base);
    } else {
        plain_str(&heading, ": ");
        plain_things(&heading, page->weigh.base, "sample");
    }
    plain_str(&heading, ")");
    doc_section(page->doc, plain_text(&heading), "function", priority, 25);
    doc_table(page->doc, columns, count);
    size_t rows = page_rows(page, worthy < USUAL_ROWS ? worthy : USUAL_ROWS, there);
    for (size_t i = 0; i < rows; i++)
        add_function(page, &profile->functions[order[i]], kind == REPORT_SORT_TOTAL);
    doc_more(page->doc, there - rows);
    page->failed |= heading.failed;
}

#define REST_OF_COLUMNS                                                                         \
    {.title = "CPU", .right = true, .drop = 3}, {.title = "WAITING", .right = true, .drop = 4}, \
        {.title = "CALLS", .right = true, .drop = 1},                                           \
        {.title = "LONGEST", .right = true, .drop = 2},                                         \
        {.title = "FUNCTION", .code = true, .least = 28},                                       \
    {                                                                                           \
        .title = "PLACE", .code = true, .keep = PLAIN_KEEP_END, .least = 24                     \
    }

void page_functions(struct page *page)
{
    static const struct doc_column by_self[] = {
        {.title = "SELF", .right = true},
        {.title = "95 %", .right = true},
        {.title = "TOTAL", .right = true},
        REST_OF_COLUMNS,
    };
    static const struct doc_column by_total[] = {
        {.title = "TOTAL", .right = true},
        {.title = "95 %", .right = true},
        {.title = "SELF", .right = true},
        REST_OF_COLUMNS,
    };
    enum report_sort sort = page->options->sort;
    if (sort != REPORT_SORT_TOTAL)
        add_table(page, by_self, ARRAY_SIZE(by_self), sort ? sort : REPORT_SORT_OWN, 2);
    if (sort == REPORT_SORT_DEFAULT || sort == REPORT_SORT_TOTAL)
        add_table(page, by_total, ARRAY_SIZE(by_total), REPORT_SORT_TOTAL, 3);
}
