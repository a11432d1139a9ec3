// SPDX-License-Identifier: GPL-3.0-or-later
// The tables of threads by name, and of the places where threads wait.
#include <math.h>
#include <stdlib.h>

#include "report/diff_page.h"
#include "util/guard.h"

#define USUAL_THREADS 15
#define USUAL_WAITS 10
#define FEW 5         // rows that are shown although nothing changed there
#define CHANGED 0.005 // what shows in the columns
#define NAME_COLUMNS 40

struct order {
    uint32_t index;
    double change; // its size
};

static int by_change(const void *left, const void *right)
{
    const struct order *a = left, *b = right;
    if (a->change != b->change)
        return a->change > b->change ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static struct order order_of(uint32_t index, const struct diff_rate *rate)
{
    double change = rate->side[DIFF_AFTER] - rate->side[DIFF_BEFORE];
    return (struct order){index, isnan(change) ? 0 : fabs(change)};
}

// Most change first. The rows that are shown by default: those in which something changed.
static size_t sort_rows(struct order *order, size_t count, size_t usual)
{
    size_t changed = 0;
    for (size_t i = 0; i < count; i++)
        changed += order[i].change >= CHANGED;
    qsort(order, count, sizeof(*order), by_change);
    return changed < FEW ? FEW : changed < usual ? changed : usual;
}

// ---- Threads -------------------------------------------------------------------------------------

static void add_name(struct plain *row, const struct diff_page *page,
                     const struct diff_thread *thread)
{
    int side = thread->first[DIFF_AFTER] != DIFF_NONE ? DIFF_AFTER : DIFF_BEFORE;
    const struct report_input *input = page->of->inputs[side];
    uint32_t name = input->profile->threads[thread->first[side]].name;
    bool several = thread->threads[DIFF_BEFORE] != 1 || thread->threads[DIFF_AFTER] != 1;
    const char *text = strtab_get(input->strings, name);
    AUTO_FREE char *stem = names_stem(text ? text : "", strtab_size(input->strings, name));
    page->doc->failed |= !stem;
    if (several && thread->numbered && stem)
        plain_safe(row, stem, strlen(stem));
    else
        plain_id(row, input->strings, name, NAME_COLUMNS, PLAIN_KEEP_START);
}

static void add_working(struct plain *row, const struct diff_thread *thread, int side)
{
    const uint64_t *states = thread->states[side];
    uint64_t works = states[SNAP_RUNNING] + states[SNAP_RUNNABLE];
    if (thread->samples[side]) {
        plain_percent(row, (double)works / (double)thread->samples[side]);
        plain_str(row, " %");
    }
}

// In which waiting state it was most.
static const char *usual_wait(const struct diff_thread *thread, int side)
{
    int usual = -1;
    for (int state = SNAP_GIL_WAIT; state < SNAP_UNKNOWN; state++)
        if (thread->states[side][state] &&
            (usual < 0 || thread->states[side][state] > thread->states[side][usual]))
            usual = state;
    return usual < 0 ? "" : snap_state_name((enum snap_state)usual);
}

static void add_thread(struct diff_page *page, const struct diff_thread *thread)
{
    GUARD(plain_deinit) struct plain row = {0};
    diff_signed(&row, thread->cpu.side[DIFF_AFTER] - thread->cpu.side[DIFF_BEFORE]);
    plain_str(&row, DOC_NEXT);
    for (int side = 0; side < DIFF_SIDES; side++) {
        if (thread->threads[side])
            diff_rate(&row, thread->cpu.side[side]);
        plain_str(&row, DOC_NEXT);
    }
    for (int side = 0; side < DIFF_SIDES; side++) {
        add_working(&row, thread, side);
        plain_str(&row, DOC_NEXT);
    }
    for (int side = 0; side < DIFF_SIDES; side++)
        plain_add(&row, "%s" DOC_NEXT, usual_wait(thread, side));
    // How many there are of a name, where it is not one in each.
    bool one_each = thread->threads[DIFF_BEFORE] == 1 && thread->threads[DIFF_AFTER] == 1;
    for (int side = 0; side < DIFF_SIDES; side++) {
        if (!one_each)
            plain_add(&row, "%zu", thread->threads[side]);
        plain_str(&row, DOC_NEXT);
    }
    add_name(&row, page, thread);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

void diff_page_threads(struct diff_page *page)
{
    static const struct doc_column columns[] = {
        {.title = "CHANGE", .right = true},
        {.title = "CPU A", .right = true},
        {.title = "CPU B", .right = true},
        {.title = "WORKS A", .right = true},
        {.title = "WORKS B", .right = true},
        {.title = "WAITS A", .drop = 2},
        {.title = "WAITS B", .drop = 2},
        {.title = "SUCH IN A", .right = true, .drop = 1},
        {.title = "SUCH IN B", .right = true, .drop = 1},
        {.title = "NAME", .code = true, .least = 16},
    };
    const struct prof_diff *diff = page->diff;
    AUTO_FREE struct order *order = calloc(diff->thread_count + 1, sizeof(*order));
    page->failed |= !order;
    if (!order || !diff->thread_count)
        return;
    for (size_t i = 0; i < diff->thread_count; i++)
        order[i] = order_of((uint32_t)i, &diff->threads_by_name[i].cpu);
    size_t usual = sort_rows(order, diff->thread_count, USUAL_THREADS);
    doc_section(page->doc, "Threads by name (processors)", "thread", 3, 15);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = diff_rows(page, usual, diff->thread_count);
    for (size_t i = 0; i < rows; i++)
        add_thread(page, &diff->threads_by_name[order[i].index]);
    doc_more(page->doc, diff->thread_count - rows);
}

// ---- Waiting -------------------------------------------------------------------------------------

static void add_wait(struct diff_page *page, const struct diff_wait *wait)
{
    GUARD(plain_deinit) struct plain row = {0};
    diff_signed(&row, wait->threads.side[DIFF_AFTER] - wait->threads.side[DIFF_BEFORE]);
    plain_str(&row, DOC_NEXT);
    for (int side = 0; side < DIFF_SIDES; side++) {
        if (wait->samples[side])
            diff_rate(&row, wait->threads.side[side]);
        plain_str(&row, DOC_NEXT);
    }
    plain_add(&row, "%s" DOC_NEXT, snap_state_name(wait->state));
    diff_function_cells(&row, page, wait->function);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

void diff_page_waits(struct diff_page *page)
{
    static const struct doc_column columns[] = {
        {.title = "CHANGE", .right = true},
        {.title = "A", .right = true},
        {.title = "B", .right = true},
        {.title = "STATE"},
        {.title = "FUNCTION", .code = true, .least = 28},
        {.title = "PLACE", .code = true, .keep = PLAIN_KEEP_END, .least = 24},
    };
    const struct prof_diff *diff = page->diff;
    AUTO_FREE struct order *order = calloc(diff->wait_count + 1, sizeof(*order));
    page->failed |= !order;
    if (!order || !diff->wait_count)
        return;
    for (size_t i = 0; i < diff->wait_count; i++)
        order[i] = order_of((uint32_t)i, &diff->waits[i].threads);
    size_t usual = sort_rows(order, diff->wait_count, USUAL_WAITS);
    doc_section(page->doc, "Where threads wait (on average)", "place", 4, 15);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = diff_rows(page, usual, diff->wait_count);
    for (size_t i = 0; i < rows; i++)
        add_wait(page, &diff->waits[order[i].index]);
    doc_more(page->doc, diff->wait_count - rows);
}
