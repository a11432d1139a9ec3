// SPDX-License-Identifier: GPL-3.0-or-later
// The thread table, like top -H: who uses the processor, who waits for what. Many idle threads of
// one kind are one row.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS 20
#define IDLE_UNFOLDED 12 // so many idle threads are listed one by one
#define FOLD_LEAST 3
#define IDLE_WORKING 0.05 // of its samples at most
#define IDLE_CPU 0.01     // of one processor

struct idle {
    uint32_t index;
    enum snap_state state; // in which it is mostly
    char *stem;            // the name with each number as "*"
};

struct table {
    struct page *page;
    uint32_t *usual;   // the function each thread is mostly in, as a reader wants it named
    struct idle *idle; // sorted by kind
    size_t idle_count;
    bool *folded; // by thread: it shares a row
};

static uint64_t working(const struct prof_thread *thread)
{
    return thread->states[SNAP_RUNNING] + thread->states[SNAP_RUNNABLE];
}

static bool is_idle(const struct prof_thread *thread)
{
    return weigh_ratio(working(thread), thread->samples) <= IDLE_WORKING &&
           (!thread->has_cpu || thread->cpu_share <= IDLE_CPU);
}

enum snap_state page_usual_state(const struct prof_thread *thread)
{
    enum snap_state usual = SNAP_UNKNOWN;
    for (int state = 0; state < SNAP_STATE_COUNT; state++)
        if (thread->states[state] > thread->states[usual])
            usual = (enum snap_state)state;
    return usual;
}

static int compare_kind(const struct table *table, const struct idle *a, const struct idle *b)
{
    int order = strcmp(a->stem, b->stem);
    if (order)
        return order;
    if (a->state != b->state)
        return a->state < b->state ? -1 : 1;
    const struct prof_thread *threads = table->page->profile->threads;
    if (threads[a->index].known_to_python != threads[b->index].known_to_python)
        return threads[a->index].known_to_python ? -1 : 1;
    uint32_t left = table->usual[a->index], right = table->usual[b->index];
    return (left > right) - (left < right);
}

static int by_kind(const void *left, const void *right, void *arg)
{
    const struct idle *a = left, *b = right;
    int order = compare_kind(arg, a, b);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

void page_mostly_in(const struct page *page, uint32_t *ret)
{
    const struct prof_report *profile = page->profile;
    for (size_t i = 0; i < profile->thread_count; i++) {
        const struct prof_thread *thread = &profile->threads[i];
        bool works = working(thread) * 2 >= thread->samples;
        ret[i] = works ? thread->hottest : UINT32_MAX;
    }
    for (size_t i = 0; i < profile->stack_count; i++) { // most samples first
        const struct prof_stack *stack = &profile->stacks[i];
        uint32_t index = page_thread_of(page, stack);
        if (index == UINT32_MAX || ret[index] != UINT32_MAX ||
            stack->state != page_usual_state(&profile->threads[index]))
            continue;
        struct stack_place place = page_place_of(page, stack);
        ret[index] = place.own != UINT32_MAX        ? place.own
                     : place.function != UINT32_MAX ? place.function
                                                    : place.leaf;
    }
    for (size_t i = 0; i < profile->thread_count; i++)
        if (ret[i] == UINT32_MAX)
            ret[i] = profile->threads[i].top_frame;
}

// ---- Rows ----------------------------------------------------------------------------------------

// One thread, or several put together: the sums, and how many.
struct sum {
    struct prof_thread all;
    size_t count;
    bool same_process;
    uint32_t first;   // index
    const char *stem; // of several
};

static void add_to_sum(struct sum *sum, const struct prof_report *profile, uint32_t index)
{
    const struct prof_thread *thread = &profile->threads[index];
    if (sum->count++ == 0) {
        sum->all = *thread;
        sum->first = index;
        sum->same_process = true;
        return;
    }
    sum->same_process &= thread->pid == sum->all.pid;
    sum->all.samples += thread->samples;
    sum->all.cpu_share += thread->cpu_share;
    for (int state = 0; state < SNAP_STATE_COUNT; state++)
        sum->all.states[state] += thread->states[state];
}

void page_state_cells(struct plain *row, const uint64_t states[SNAP_STATE_COUNT], uint64_t samples)
{
    for (int state = 0; state < SNAP_STATE_COUNT; state++) {
        double share = weigh_ratio(states[state], samples);
        if (states[state] && share < 0.005)
            plain_str(row, "<1");
        else if (states[state])
            plain_add(row, "%.0f", share * 100);
        plain_str(row, DOC_NEXT);
    }
}

static void add_row(const struct table *table, const struct sum *sum)
{
    struct page *page = table->page;
    const struct prof_thread *thread = &sum->all;
    GUARD(plain_deinit) struct plain row = {0};
    if (page->pythons > 1 && sum->same_process)
        plain_add(&row, "%d", (int)thread->pid);
    plain_str(&row, DOC_NEXT);
    if (sum->count > 1)
        plain_add(&row, "x %zu", sum->count);
    else
        plain_add(&row, "%d", (int)thread->tid);
    plain_str(&row, DOC_NEXT);
    if (sum->count > 1) {
        plain_safe(&row, sum->stem, strlen(sum->stem));
        plain_str(&row, thread->known_to_python ? "" : " [native]");
    } else {
        page_thread_name(&row, page, thread->name, thread->known_to_python);
    }
    plain_str(&row, DOC_NEXT);
    if (thread->has_cpu)
        plain_percent(&row, thread->cpu_share);
    plain_str(&row, DOC_NEXT);
    page_state_cells(&row, thread->states, thread->samples);
    page_function_cell(&row, page, table->usual[sum->first]);
    doc_row(page->doc, thread->has_cpu && thread->cpu_share >= 0.5 ? DOC_HOT : DOC_NORMAL,
            sum->count, plain_text(&row));
    page->failed |= row.failed;
}

// ---- Folding -------------------------------------------------------------------------------------

static void fold(struct table *table)
{
    struct page *page = table->page;
    const struct prof_report *profile = page->profile;
    for (size_t i = 0; i < profile->thread_count; i++) {
        const struct prof_thread *thread = &profile->threads[i];
        if (!is_idle(thread))
            continue;
        const char *name = strtab_get(page->names.strings, thread->name);
        struct idle *idle = &table->idle[table->idle_count++];
        idle->stem = names_stem(name ? name : "", strtab_size(page->names.strings, thread->name));
        idle->state = page_usual_state(thread);
        idle->index = (uint32_t)i;
        page->failed |= !idle->stem;
    }
    if (page->failed || table->idle_count <= IDLE_UNFOLDED || page->options->full)
        return;
    qsort_r(table->idle, table->idle_count, sizeof(*table->idle), by_kind, table);
    for (size_t i = 0, next; i < table->idle_count; i = next) {
        for (next = i + 1; next < table->idle_count; next++)
            if (compare_kind(table, &table->idle[i], &table->idle[next]) != 0)
                break;
        for (size_t k = i; next - i >= FOLD_LEAST && k < next; k++)
            table->folded[table->idle[k].index] = true;
    }
}

static void add_folded(const struct table *table)
{
    for (size_t i = 0, next; i < table->idle_count; i = next) {
        next = i + 1;
        if (!table->folded[table->idle[i].index])
            continue;
        struct sum sum = {.stem = table->idle[i].stem};
        add_to_sum(&sum, table->page->profile, table->idle[i].index);
        for (; next < table->idle_count; next++) {
            if (compare_kind(table, &table->idle[i], &table->idle[next]) != 0)
                break;
            add_to_sum(&sum, table->page->profile, table->idle[next].index);
        }
        add_row(table, &sum);
    }
}

static void add_rows(struct table *table)
{
    struct page *page = table->page;
    const struct prof_report *profile = page->profile;
    page_mostly_in(page, table->usual);
    fold(table);
    size_t alone = 0;
    for (size_t i = 0; i < profile->thread_count; i++)
        alone += !table->folded[i];
    size_t rows = page_rows(page, USUAL_ROWS, alone), shown = 0;
    for (size_t i = 0; i < profile->thread_count && shown < rows; i++) {
        if (table->folded[i])
            continue;
        struct sum sum = {0};
        add_to_sum(&sum, profile, (uint32_t)i);
        add_row(table, &sum);
        shown++;
    }
    if (!page->failed)
        add_folded(table);
    doc_more(page->doc, alone - rows);
}

static void table_deinit(struct table *table)
{
    for (size_t i = 0; i < table->idle_count; i++)
        free(table->idle[i].stem);
    free(table->idle);
    free(table->folded);
    free(table->usual);
}

void page_threads(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "PID", .right = true},
        {.title = "TID", .right = true},
        {.title = "THREAD", .code = true, .least = 18},
        {.title = "CPU", .right = true},
        PAGE_STATE_COLUMNS,
        {.title = "MOSTLY IN", .code = true, .keep = PLAIN_KEEP_END, .least = 24},
    };
    const struct prof_report *profile = page->profile;
    size_t count = profile->thread_count + 1;
    GUARD(table_deinit)
    struct table table = {.page = page,
                          .usual = calloc(count, sizeof(*table.usual)),
                          .idle = calloc(count, sizeof(*table.idle)),
                          .folded = calloc(count, sizeof(*table.folded))};
    if (!table.usual || !table.idle || !table.folded) {
        page->failed = true;
        return;
    }
    doc_section(page->doc, "Threads (CPU: % of one processor; states: % of the snapshots it was in)",
                "thread", 1, 40);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    add_rows(&table);
}
