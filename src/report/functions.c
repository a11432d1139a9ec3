// SPDX-License-Identifier: GPL-3.0-or-later
// The two function tables: by what a function did itself, and by what it and its callees did. What
// a Python function did itself includes the native code it called that has no name in Python.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS 12
#define HOT_SHARE 0.2

struct ranked {
    uint32_t index;
    bool plumbing; // library code that does nothing but call one function: last
    uint64_t weight, second;
};

static int by_weight(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->plumbing != b->plumbing)
        return a->plumbing ? 1 : -1;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    if (a->second != b->second)
        return a->second > b->second ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

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

// A function belongs in a table when it has weight there; a native one only where nothing of Python
// is above it: the others have a table of their own.
static void add_table(struct page *page, const struct doc_column *columns, size_t count,
                      const char *title, unsigned priority, bool by_total)
{
    const struct prof_report *profile = page->profile;
    AUTO_FREE struct ranked *ranked = calloc(profile->function_count + 1, sizeof(*ranked));
    AUTO_FREE bool *plumbing = calloc(profile->function_count + 1, sizeof(*plumbing));
    if (!ranked || !plumbing) {
        page->failed = true;
        return;
    }
    if (by_total)
        mark_plumbing(page, plumbing);
    size_t there = 0, worthy = 0;
    for (size_t i = 0; i < profile->function_count; i++) {
        uint64_t self = weigh_own(&page->weigh, &profile->functions[i]);
        uint64_t total = weigh_total(&page->weigh, &profile->functions[i]);
        uint64_t weight = by_total ? total : self;
        if (!weight || (!self && profile->functions[i].kind == SNAP_NATIVE))
            continue;
        ranked[there++] =
            (struct ranked){(uint32_t)i, plumbing[i], weight, by_total ? self : total};
        worthy += !plumbing[i];
    }
    if (there == 0)
        return;
    qsort(ranked, there, sizeof(*ranked), by_weight);
    GUARD(plain_deinit) struct plain heading = {0};
    plain_add(&heading, "%s (%s", title, page->weigh.base_words);
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
        add_function(page, &profile->functions[ranked[i].index], by_total);
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
    add_table(page, by_self, ARRAY_SIZE(by_self), "Functions by their own work", 2, false);
    add_table(page, by_total, ARRAY_SIZE(by_total), "Functions with all they call", 3, true);
}
