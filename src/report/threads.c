// SPDX-License-Identifier: GPL-3.0-or-later
// The thread table, like top -H: who uses the processor, who waits for what. Many idle threads of
// one kind are one row.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS    40
#define IDLE_UNFOLDED 12 // so many idle threads are listed one by one
#define FOLD_LEAST    3
#define IDLE_WORKING  0.05 // of its samples at most
#define IDLE_CPU      0.01 // of one processor

struct idle {
    uint32_t index;
    enum snap_state state; // in which it is mostly
    char *stem;            // the name with each number as "#"
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

static enum snap_state usual_state(const struct prof_thread *thread)
{
    enum snap_state usual = SNAP_UNKNOWN;
    for (int state = 0; state < SNAP_STATE_COUNT; state++)
        if (thread->states[state] > thread->states[usual])
            usual = (enum snap_state)state;
    return usual;
}

static char *stem_of(const char *name, size_t size)
{
    char *stem = malloc(size + 1), *at = stem;
    for (size_t i = 0; stem && i < size; i++) {
        bool digit = isdigit((unsigned char)name[i]);
        if (!digit || i == 0 || !isdigit((unsigned char)name[i - 1]))
            *at++ = digit ? '#' : name[i];
    }
    if (stem)
        *at = '\0';
    return stem;
}

static int compare_kind(const struct page *page, const struct idle *a, const struct idle *b)
{
    const struct prof_thread *threads = page->profile->threads;
    int order = strcmp(a->stem, b->stem);
    if (order)
        return order;
    if (a->state != b->state)
        return a->state < b->state ? -1 : 1;
    uint32_t left = threads[a->index].top_frame, right = threads[b->index].top_frame;
    return (left > right) - (left < right);
}

static int by_kind(const void *left, const void *right, void *arg)
{
    const struct idle *a = left, *b = right;
    int order = compare_kind(arg, a, b);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

// ---- Rows ----------------------------------------------------------------------------------------

// One thread, or several put together: the sums, and how many.
struct sum {
    struct prof_thread all;
    size_t count;
    uint32_t first, last; // indexes
};

static void add_to_sum(struct sum *sum, const struct prof_report *profile, uint32_t index)
{
    const struct prof_thread *thread = &profile->threads[index];
    if (sum->count++ == 0) {
        sum->all = *thread;
        sum->first = sum->last = index;
        return;
    }
    sum->last = index;
    sum->all.samples += thread->samples;
    sum->all.cpu_share += thread->cpu_share;
    for (int state = 0; state < SNAP_STATE_COUNT; state++)
        sum->all.states[state] += thread->states[state];
}

static void add_states(struct plain *row, const struct prof_thread *thread)
{
    for (int state = 0; state < SNAP_STATE_COUNT; state++) {
        if (thread->states[state]) {
            double share = weigh_ratio(thread->states[state], thread->samples);
            if (share < 0.005)
                plain_str(row, "<1");
            else
                plain_add(row, "%.0f", share * 100);
        }
        plain_str(row, DOC_NEXT);
    }
}

static void add_row(struct page *page, const struct sum *sum)
{
    const struct prof_thread *thread = &sum->all;
    const struct prof_thread *threads = page->profile->threads;
    GUARD(plain_deinit) struct plain row = {0};
    if (sum->count > 1)
        plain_add(&row, "x %zu", sum->count);
    else
        plain_add(&row, "%d", (int)thread->tid);
    plain_str(&row, DOC_NEXT);
    page_thread_name(&row, page, thread->name, thread->known_to_python);
    if (sum->count > 1) {
        plain_str(&row, " ... ");
        page_thread_name(&row, page, threads[sum->last].name, true);
    }
    plain_str(&row, DOC_NEXT);
    if (thread->has_cpu)
        plain_percent(&row, thread->cpu_share);
    plain_str(&row, DOC_NEXT);
    add_states(&row, thread);
    page_function_cell(&row, page, usual[sum->first]);
    doc_row(page->doc, thread->has_cpu && thread->cpu_share >= 0.5 ? DOC_HOT : DOC_NORMAL,
            sum->count, plain_text(&row));
    page->failed |= row.failed;
}

// ---- Folding -------------------------------------------------------------------------------------

// Marks in `folded` the threads that share a row. The kinds are left in `idle`, sorted.
static size_t fold(struct page *page, struct idle *idle, bool *folded)
{
    const struct prof_report *profile = page->profile;
    size_t count = 0;
    for (size_t i = 0; i < profile->thread_count; i++) {
        const struct prof_thread *thread = &profile->threads[i];
        if (!is_idle(thread))
            continue;
        const char *name = strtab_get(page->names.strings, thread->name);
        idle[count].stem =
            stem_of(name ? name : "", strtab_size(page->names.strings, thread->name));
        idle[count].state = usual_state(thread);
        idle[count].index = (uint32_t)i;
        page->failed |= !idle[count].stem;
        count++;
    }
    if (page->failed || count <= IDLE_UNFOLDED || page->options->full)
        return count;
    qsort_r(idle, count, sizeof(*idle), by_kind, page);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count; next++)
            if (compare_kind(page, &idle[i], &idle[next]) != 0)
                break;
        for (size_t k = i; next - i >= FOLD_LEAST && k < next; k++)
            folded[idle[k].index] = true;
    }
    return count;
}

static void add_folded(struct page *page, const struct idle *idle, size_t count,
                       const bool *folded)
{
    for (size_t i = 0, next; i < count; i = next) {
        next = i + 1;
        if (!folded[idle[i].index])
            continue;
        struct sum sum = {0};
        add_to_sum(&sum, page->profile, idle[i].index);
        for (; next < count && compare_kind(page, &idle[i], &idle[next]) == 0; next++)
            add_to_sum(&sum, page->profile, idle[next].index);
        add_row(page, &sum);
    }
}

static void add_rows(struct page *page, struct idle *idle, bool *folded)
{
    const struct prof_report *profile = page->profile;
    size_t count = fold(page, idle, folded), alone = 0;
    for (size_t i = 0; i < profile->thread_count; i++)
        alone += !folded[i];
    size_t rows = page_rows(page, USUAL_ROWS, alone), shown = 0;
    for (size_t i = 0; i < profile->thread_count && shown < rows; i++) {
        if (folded[i])
            continue;
        struct sum sum = {0};
        add_to_sum(&sum, profile, (uint32_t)i);
        add_row(page, &sum);
        shown++;
    }
    if (!page->failed)
        add_folded(page, idle, count, folded);
    doc_more(page->doc, alone - rows);
    for (size_t i = 0; i < count; i++)
        free(idle[i].stem);
}

void page_threads(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "TID", .right = true},
        {.title = "THREAD", .code = true, .least = 18},
        {.title = "CPU", .right = true},
        [3 + SNAP_RUNNING] = {.title = "RUN", .tight = true, .right = true},
        [3 + SNAP_RUNNABLE] = {.title = "READY", .tight = true, .right = true, .drop = 1},
        [3 + SNAP_GIL_WAIT] = {.title = "GIL", .tight = true, .right = true},
        [3 + SNAP_LOCK_WAIT] = {.title = "LOCK", .tight = true, .right = true},
        [3 + SNAP_IO_WAIT] = {.title = "IO", .tight = true, .right = true},
        [3 + SNAP_SLEEP] = {.title = "SLEEP", .tight = true, .right = true},
        [3 + SNAP_UNKNOWN] = {.title = "?", .tight = true, .right = true, .drop = 2},
        {.title = "MOSTLY IN", .code = true, .keep = PLAIN_KEEP_END, .least = 24},
    };
    const struct prof_report *profile = page->profile;
    AUTO_FREE struct idle *idle = calloc(profile->thread_count + 1, sizeof(*idle));
    AUTO_FREE bool *folded = calloc(profile->thread_count + 1, sizeof(*folded));
    if (!idle || !folded) {
        page->failed = true;
        return;
    }
    doc_section(page->doc, "Threads (CPU: % of one processor; states: % of the snapshots)",
                "threads", 1, 40);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    add_rows(page, idle, folded);
}
