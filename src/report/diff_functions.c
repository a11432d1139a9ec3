// SPDX-License-Identifier: GPL-3.0-or-later
// The tables of functions: hotter and colder by their own work, then with all they call.
#include <math.h>
#include <stdlib.h>

#include "report/diff_page.h"
#include "util/guard.h"

#define USUAL_ROWS 12

// Which functions a table has.
struct choice {
    const char *title;
    bool total;     // by what it did with all it calls, else by itself
    bool native;    // native code below Python only; else all but that
    int sign;       // of the change
    bool in_before; // it was seen at work in A
    bool in_after;  // ... in B
    unsigned priority;
};

static const struct diff_share *share_of(const struct diff_function *function, bool total)
{
    return total ? &function->total : &function->own;
}

// With all they call, only what the tables of their own work do not say already.
static bool chosen(const struct diff_page *page, const struct choice *choice, uint32_t index)
{
    const struct names *names;
    const struct diff_function *function = &page->diff->functions[index];
    const struct diff_share *share = share_of(function, choice->total);
    if (share->change * choice->sign <= 0)
        return false;
    if (choice->total)
        return share->change != function->own.change &&
               (diff_function_of(page, index, &names)->kind == SNAP_NATIVE) == choice->native;
    return (share->samples[DIFF_BEFORE] > 0) == choice->in_before &&
           (share->samples[DIFF_AFTER] > 0) == choice->in_after;
}

struct ranked {
    uint32_t index;
    bool beyond;
    double change;
};

// What is more than noise first, then by the size of the change.
static int by_rank(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->beyond != b->beyond)
        return a->beyond ? -1 : 1;
    if (a->change != b->change)
        return a->change > b->change ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static void add_share_cells(struct plain *row, const struct diff_share *share)
{
    diff_points(row, share->change);
    plain_str(row, DOC_NEXT);
    if (share->verdict != DIFF_UNKNOWN) {
        diff_points(row, share->low);
        plain_str(row, " to ");
        diff_points(row, share->high);
    }
    plain_str(row, DOC_NEXT);
    plain_str(row, diff_verdict_word(share->verdict));
    plain_str(row, DOC_NEXT);
    for (int side = 0; side < DIFF_SIDES; side++) {
        if (share->samples[side]) {
            plain_percent(row, share->share[side]);
            plain_str(row, " %");
        }
        plain_str(row, DOC_NEXT);
    }
}

static void add_rate_cells(struct plain *row, const struct diff_rate *rate)
{
    for (int side = 0; side < DIFF_SIDES; side++) {
        if (rate->side[side] > 0)
            diff_rate(row, rate->side[side]);
        plain_str(row, DOC_NEXT);
    }
}

static void add_row(struct diff_page *page, const struct choice *choice, uint32_t index)
{
    const struct diff_function *function = &page->diff->functions[index];
    const struct diff_share *share = share_of(function, choice->total);
    GUARD(plain_deinit) struct plain row = {0};
    add_share_cells(&row, share);
    add_rate_cells(&row, choice->total ? &function->total_cpu : &function->own_cpu);
    diff_function_cells(&row, page, index);
    doc_row(page->doc, share->verdict == DIFF_MORE ? DOC_HOT : DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

static void add_table(struct diff_page *page, const struct choice *choice)
{
    static const struct doc_column columns[] = {
        {.title = "POINTS", .right = true},
        {.title = "95 %", .right = true, .drop = 1},
        {.title = "DIFFERS"},
        {.title = "A", .right = true},
        {.title = "B", .right = true},
        {.title = "CPU A", .right = true, .drop = 2},
        {.title = "CPU B", .right = true, .drop = 2},
        {.title = "FUNCTION", .code = true, .least = 22},
        {.title = "PLACE", .code = true, .keep = PLAIN_KEEP_END, .least = 16},
    };
    const struct prof_diff *diff = page->diff;
    AUTO_FREE struct ranked *ranked = calloc(diff->function_count + 1, sizeof(*ranked));
    size_t there = 0, beyond = 0;
    for (size_t i = 0; ranked && i < diff->function_count; i++) {
        const struct diff_share *share = share_of(&diff->functions[i], choice->total);
        if (!chosen(page, choice, (uint32_t)i))
            continue;
        ranked[there++] = (struct ranked){(uint32_t)i, diff_beyond(share), fabs(share->change)};
        beyond += diff_beyond(share);
    }
    page->failed |= !ranked;
    if (!there)
        return;
    qsort(ranked, there, sizeof(*ranked), by_rank);
    doc_section(page->doc, choice->title, "function", choice->priority, 20);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = diff_rows(page, diff_usual(beyond, USUAL_ROWS), there);
    for (size_t i = 0; i < rows; i++)
        add_row(page, choice, ranked[i].index);
    doc_more(page->doc, there - rows);
}

void diff_page_functions(struct diff_page *page)
{
    static const struct choice choices[] = {
        {"Hotter by their own work", false, false, 1, true, true, 2},
        {"Seen at work in B only", false, false, 1, false, true, 3},
        {"Colder by their own work", false, false, -1, true, true, 2},
        {"Seen at work in A only", false, false, -1, true, false, 3},
        {"Hotter with all they call", true, false, 1, true, true, 4},
        {"Colder with all they call", true, false, -1, true, true, 4},
        {"Native code that got hotter", true, true, 1, true, true, 5},
        {"Native code that got colder", true, true, -1, true, true, 5},
    };
    for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
        add_table(page, &choices[i]);
}
