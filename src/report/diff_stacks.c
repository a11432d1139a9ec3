// SPDX-License-Identifier: GPL-3.0-or-later
// The tables of stacks at work, outermost function first: hotter and colder.
#include <math.h>
#include <stdlib.h>

#include "report/diff_page.h"
#include "util/guard.h"

#define USUAL_ROWS 8
#define STACK_FRAMES 12 // innermost ones that a cell names
#define STACK_FRAMES_FULL 100

static void add_frames(struct plain *row, const struct diff_page *page,
                       const struct diff_stack *stack)
{
    size_t most = page->options->full ? STACK_FRAMES_FULL : STACK_FRAMES;
    size_t count = stack->count < most ? stack->count : most;
    plain_str(row, count < stack->count ? "... > " : "");
    for (size_t i = count; i-- > 0;) {
        const struct names *names;
        const struct prof_function *function = diff_function_of(page, stack->functions[i], &names);
        names_function(row, names, function, 40);
        plain_str(row, i ? " > " : "");
    }
}

static void add_row(struct diff_page *page, const struct diff_stack *stack)
{
    GUARD(plain_deinit) struct plain row = {0};
    const struct diff_share *work = &stack->work;
    diff_points(&row, work->change);
    plain_str(&row, DOC_NEXT);
    if (work->verdict != DIFF_UNKNOWN) {
        diff_points(&row, work->low);
        plain_str(&row, " to ");
        diff_points(&row, work->high);
    }
    plain_add(&row, DOC_NEXT "%s" DOC_NEXT, diff_verdict_word(work->verdict));
    for (int side = 0; side < DIFF_SIDES; side++) {
        if (work->samples[side]) {
            plain_percent(&row, work->share[side]);
            plain_str(&row, " %");
        }
        plain_str(&row, DOC_NEXT);
    }
    add_frames(&row, page, stack);
    doc_row(page->doc, work->verdict == DIFF_MORE ? DOC_HOT : DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

// The list is sorted by change: from one end the hotter ones, from the other the colder. What is
// more than noise comes first.
static void add_table(struct diff_page *page, int sign)
{
    static const struct doc_column columns[] = {
        {.title = "POINTS", .right = true},
        {.title = "95 %", .right = true, .drop = 1},
        {.title = "DIFFERS"},
        {.title = "A", .right = true},
        {.title = "B", .right = true},
        {.title = "STACK", .code = true, .keep = PLAIN_KEEP_END, .least = 40},
    };
    const struct prof_diff *diff = page->diff;
    size_t there = 0, beyond = 0;
    for (size_t i = 0; i < diff->stack_count; i++)
        if (diff->stacks[i].work.change * sign > 0) {
            there++;
            beyond += diff_beyond(&diff->stacks[i].work);
        }
    if (!there)
        return;
    doc_section(page->doc, sign > 0 ? "Stacks that got hotter" : "Stacks that got colder", "stack",
                3, 20);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = diff_rows(page, diff_usual(beyond, USUAL_ROWS), there), left = rows;
    for (int first = 1; first >= 0; first--)
        for (size_t k = 0; k < diff->stack_count && left; k++) {
            const struct diff_stack *stack =
                &diff->stacks[sign > 0 ? k : diff->stack_count - 1 - k];
            if (stack->work.change * sign > 0 && diff_beyond(&stack->work) == first) {
                add_row(page, stack);
                left--;
            }
        }
    doc_more(page->doc, there - rows);
}

void diff_page_stacks(struct diff_page *page)
{
    add_table(page, 1);
    add_table(page, -1);
}
