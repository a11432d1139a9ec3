// SPDX-License-Identifier: GPL-3.0-or-later
// The report of a profile: copies of its tables, sorted, with every number of an item rewritten to
// its new place. Ties are broken by names and numbers, so that equal runs give equal reports.
#include "profile/result.h"

#include <math.h>

int prof_compare_text(const struct strtab *strings, uint32_t a, uint32_t b)
{
    if (a == b || !a || !b)
        return (a > b) - (a < b);
    size_t a_size = strtab_size(strings, a), b_size = strtab_size(strings, b);
    int order =
        memcmp(strtab_get(strings, a), strtab_get(strings, b), a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_functions(const void *left, const void *right, void *arg)
{
    const struct profile *profile = arg;
    const struct prof_function *a = &profile->functions.items[*(const uint32_t *)left].f;
    const struct prof_function *b = &profile->functions.items[*(const uint32_t *)right].f;
    MORE_FIRST(a->self_working, b->self_working);
    MORE_FIRST(a->total_working, b->total_working);
    MORE_FIRST(a->self, b->self);
    MORE_FIRST(a->total, b->total);
    uint32_t names[][2] = {{a->function, b->function},
                           {a->qualname, b->qualname},
                           {a->file, b->file},
                           {a->module, b->module}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int order = prof_compare_text(profile->strings, names[i][0], names[i][1]);
        if (order)
            return order;
    }
    LESS_FIRST(a->line, b->line);
    LESS_FIRST(a->kind, b->kind);
    return 0;
}

static int compare_frames(const void *left, const void *right, void *arg)
{
    const struct prof_result *result = arg;
    const struct prof_frame_entry *frames = result->profile->frames.items;
    const struct prof_frame_entry *a = &frames[*(const uint32_t *)left];
    const struct prof_frame_entry *b = &frames[*(const uint32_t *)right];
    LESS_FIRST(result->function_place[a->function], result->function_place[b->function]);
    LESS_FIRST(a->frame.line, b->frame.line);
    return 0;
}

static int compare_lines(const void *left, const void *right)
{
    const struct prof_line *a = left, *b = right;
    MORE_FIRST(a->self_working, b->self_working);
    MORE_FIRST(a->total_working, b->total_working);
    MORE_FIRST(a->self, b->self);
    MORE_FIRST(a->total, b->total);
    LESS_FIRST(a->function, b->function);
    LESS_FIRST(a->line, b->line);
    return 0;
}

static int compare_edges(const void *left, const void *right)
{
    const struct prof_edge *a = left, *b = right;
    MORE_FIRST(a->total_working, b->total_working);
    MORE_FIRST(a->total, b->total);
    LESS_FIRST(a->caller, b->caller);
    LESS_FIRST(a->callee, b->callee);
    return 0;
}

static int compare_stacks(const void *left, const void *right, void *arg)
{
    const struct prof_stack *stacks = arg;
    const struct prof_stack *a = &stacks[*(const uint32_t *)left];
    const struct prof_stack *b = &stacks[*(const uint32_t *)right];
    MORE_FIRST(a->samples, b->samples);
    MORE_FIRST(a->cpu_ns, b->cpu_ns);
    LESS_FIRST(a->pid, b->pid);
    LESS_FIRST(a->tid, b->tid);
    LESS_FIRST(a->state, b->state);
    LESS_FIRST(a->holds_gil, b->holds_gil);
    LESS_FIRST(a->frame_count, b->frame_count);
    for (size_t i = 0; i < a->frame_count; i++)
        LESS_FIRST(a->frames[i], b->frames[i]);
    LESS_FIRST(a->task, b->task);
    LESS_FIRST(a->task_frames, b->task_frames);
    LESS_FIRST(a->awaiting_count, b->awaiting_count);
    for (size_t i = a->frame_count; i < a->frame_count + a->awaiting_count; i++)
        LESS_FIRST(a->frames[i], b->frames[i]);
    return 0;
}

static int compare_threads(const void *left, const void *right, void *arg)
{
    const struct profile *profile = arg;
    const struct prof_thread *a = &profile->threads.items[*(const uint32_t *)left].t;
    const struct prof_thread *b = &profile->threads.items[*(const uint32_t *)right].t;
    MORE_FIRST(a->cpu_ns, b->cpu_ns);
    MORE_FIRST(a->samples, b->samples);
    LESS_FIRST(a->pid, b->pid);
    LESS_FIRST(a->tid, b->tid);
    LESS_FIRST(a->python_id, b->python_id);
    return (*(const uint32_t *)left > *(const uint32_t *)right) -
           (*(const uint32_t *)left < *(const uint32_t *)right);
}

static int compare_u64(const void *left, const void *right)
{
    LESS_FIRST(*(const uint64_t *)left, *(const uint64_t *)right);
    return 0;
}

// An array of at least one item, so that NULL always means that memory is out.
void *prof_array(size_t count, size_t item_bytes)
{
    return calloc(count ? count : 1, item_bytes);
}

// 0, 1, 2, ... in the order of `compare`
uint32_t *prof_order(size_t count, int (*compare)(const void *, const void *, void *), void *arg)
{
    uint32_t *order = prof_array(count, sizeof(*order));
    for (size_t i = 0; order && i < count; i++)
        order[i] = (uint32_t)i;
    if (order)
        qsort_r(order, count, sizeof(*order), compare, arg);
    return order;
}

uint32_t *prof_places(const uint32_t *order, size_t count)
{
    uint32_t *place = prof_array(count, sizeof(*place));
    for (size_t i = 0; place && i < count; i++)
        place[order[i]] = (uint32_t)i;
    return place;
}

static bool copy_functions(struct prof_result *result)
{
    struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t count = profile->functions.count;
    AUTO_FREE uint32_t *order = prof_order(count, compare_functions, profile);
    if (!order || !(result->function_place = prof_places(order, count)) ||
        !(report->functions = prof_array(count, sizeof(*report->functions))))
        return false;
    report->function_count = count;
    for (size_t i = 0; i < count; i++) {
        report->functions[i] = profile->functions.items[order[i]].f;
        report->functions[i].id = (uint32_t)i;
        report->functions[i].inferred = report->functions[i].kind == SNAP_BUILTIN;
    }
    return prof_function_bounds(profile, order, count, report->functions, &report->unseen_high);
}

static bool copy_frames(struct prof_result *result)
{
    struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t count = profile->frames.count;
    AUTO_FREE uint32_t *order = prof_order(count, compare_frames, result);
    if (!order || !(result->frame_place = prof_places(order, count)) ||
        !(report->frames = prof_array(count, sizeof(*report->frames))) ||
        !(report->frame_function = prof_array(count, sizeof(*report->frame_function))) ||
        !(report->lines = prof_array(count, sizeof(*report->lines))))
        return false;
    report->frame_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct prof_frame_entry *entry = &profile->frames.items[order[i]];
        uint32_t function = result->function_place[entry->function];
        report->frames[i] = entry->frame;
        report->frame_function[i] = function;
        report->functions[function].inferred &= !!(entry->frame.flags & SNAP_FRAME_INFERRED);
        if (entry->frame.line < 0)
            continue;
        struct prof_line *line = &report->lines[report->line_count++];
        *line = entry->counts;
        line->function = function;
        line->line = entry->frame.line;
    }
    qsort(report->lines, report->line_count, sizeof(*report->lines), compare_lines);
    return true;
}

static bool copy_edges(struct prof_result *result)
{
    const struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    if (!(report->edges = prof_array(profile->edges.count, sizeof(*report->edges))))
        return false;
    report->edge_count = profile->edges.count;
    for (size_t i = 0; i < report->edge_count; i++) {
        report->edges[i] = profile->edges.items[i].e;
        report->edges[i].caller = result->function_place[report->edges[i].caller];
        report->edges[i].callee = result->function_place[report->edges[i].callee];
    }
    qsort(report->edges, report->edge_count, sizeof(*report->edges), compare_edges);
    return true;
}

static bool copy_moments(struct prof_result *result, const uint32_t *stack_place)
{
    const struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t moments = profile->moments.count, stacks = profile->moment_stacks.count;
    if (!(report->moments = prof_array(moments, sizeof(*report->moments))) ||
        !(report->moment_stacks = prof_array(stacks, sizeof(*report->moment_stacks))))
        return false;
    report->moment_count = moments;
    for (size_t i = 0; i < moments; i++)
        report->moments[i] = profile->moments.items[i];
    for (size_t i = 0; i < stacks; i++)
        report->moment_stacks[i] = stack_place[profile->moment_stacks.items[i]];
    return true;
}

static bool copy_stacks(struct prof_result *result)
{
    const struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t frames = profile->stack_frames.count;
    if (!(report->stack_frames =
              prof_array(frames + profile->await_frames.count, sizeof(*report->stack_frames))) ||
        !(report->stacks = prof_array(profile->stacks.count, sizeof(*report->stacks))))
        return false;
    for (size_t i = 0; i < frames; i++)
        report->stack_frames[i] = result->frame_place[profile->stack_frames.items[i]];
    size_t count = report->stack_count = profile->stacks.count;
    AUTO_FREE struct prof_stack *stacks = prof_array(count, sizeof(*stacks));
    if (!stacks)
        return false;
    for (size_t i = 0; i < count; i++) {
        stacks[i] = profile->stacks.items[i].s;
        stacks[i].frames = report->stack_frames + profile->stacks.items[i].first;
        if (stacks[i].task != HASH_NONE)
            stacks[i].task = result->task_place[stacks[i].task];
    }
    AUTO_FREE uint32_t *order = prof_order(count, compare_stacks, stacks);
    AUTO_FREE uint32_t *place = order ? prof_places(order, count) : NULL;
    if (!place)
        return false;
    for (size_t i = 0; i < count; i++)
        report->stacks[i] = stacks[order[i]];
    return copy_moments(result, place);
}

// The functions that a thread was seen in most: at work, and at all.
static bool find_hottest(struct prof_result *result, const uint32_t *order)
{
    const struct profile *profile = result->profile;
    size_t count = profile->threads.count;
    AUTO_FREE uint32_t *place = prof_places(order, count);
    AUTO_FREE uint64_t *most = prof_array(count, sizeof(*most));
    AUTO_FREE uint64_t *most_working = prof_array(count, sizeof(*most_working));
    if (!place || !most || !most_working)
        return false;
    vec_foreach (pair, &profile->pairs) {
        if (!pair->own)
            continue; // counted for its pool only
        struct prof_thread *t = &result->report->threads[place[pair->thread]];
        uint32_t function = result->function_place[pair->function];
        if (pair->own_working > most_working[pair->thread] ||
            (pair->own_working && pair->own_working == most_working[pair->thread] &&
             function < t->hottest)) {
            most_working[pair->thread] = pair->own_working;
            t->hottest = function;
        }
        if (pair->own > most[pair->thread] ||
            (pair->own == most[pair->thread] && function < t->top_frame)) {
            most[pair->thread] = pair->own;
            t->top_frame = function;
        }
    }
    return true;
}

static bool copy_threads(struct prof_result *result)
{
    struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t count = profile->threads.count;
    AUTO_FREE uint32_t *order = prof_order(count, compare_threads, profile);
    if (!order || !(report->threads = prof_array(count, sizeof(*report->threads))))
        return false;
    report->thread_count = count;
    for (size_t i = 0; i < count; i++) {
        struct prof_thread *t = &report->threads[i];
        *t = profile->threads.items[order[i]].t;
        t->hottest = t->top_frame = UINT32_MAX;
    }
    return prof_find_pool(profile, order, result->function_place, report) &&
           find_hottest(result, order);
}

// The median: the mean of the two in the middle where their number is even. The 95th percentile:
// the smallest pause that at least 95 % of all do not exceed.
static bool find_pauses(const struct profile *profile, struct prof_report *report)
{
    size_t count = profile->pauses.count;
    if (!count)
        return true;
    AUTO_FREE uint64_t *pauses = prof_array(count, sizeof(*pauses));
    if (!pauses)
        return false;
    memcpy(pauses, profile->pauses.items, count * sizeof(*pauses));
    qsort(pauses, count, sizeof(*pauses), compare_u64);
    uint64_t low = pauses[(count - 1) / 2], high = pauses[count / 2];
    report->pause_median_ns = low + (high - low) / 2;
    report->pause_p95_ns = pauses[(count * 95 + 99) / 100 - 1];
    return true;
}

// Clocks of threads and of the process are not read at the same moment: the difference may be
// slightly negative, which says that nothing was missed.
static void settle_cpu(struct prof_report *report)
{
    uint64_t seen = report->cpu_on_stacks_ns + report->cpu_between_ns;
    if (report->has_process_cpu && report->process_cpu_ns > seen)
        report->cpu_unseen_ns = report->process_cpu_ns - seen;
}

// Of no time there is no share.
void prof_report_shares(struct prof_report *report)
{
    double duration_ns = report->duration_ns ? (double)report->duration_ns : INFINITY;
    report->pause_share = (double)report->pause_total_ns / duration_ns;
    report->own_cpu_share = (double)report->own_cpu_ns / duration_ns;
    for (size_t i = 0; i < report->thread_count; i++)
        report->threads[i].cpu_share = (double)report->threads[i].cpu_ns / duration_ns;
    for (size_t i = 0; i < report->process_count; i++)
        report->processes[i].cpu_share = (double)report->processes[i].cpu_ns / duration_ns;
}

struct prof_report *profile_report(struct profile *profile, const struct prof_run *run)
{
    struct prof_report *report = prof_array(1, sizeof(*report));
    if (!report)
        return NULL;
    *report = profile->sum;
    report->interval_ns = run->interval_ns;
    report->duration_ns = run->duration_ns;
    report->missed = run->missed;
    report->own_cpu_ns = run->own_cpu_ns;
    settle_cpu(report);
    struct prof_result result = {.profile = profile, .report = report};
    bool done = find_pauses(profile, report) && copy_functions(&result) && copy_frames(&result) &&
                copy_edges(&result) && prof_copy_tasks(&result) && copy_stacks(&result) &&
                prof_copy_awaits(&result) && prof_find_hottest_of_tasks(&result) &&
                prof_copy_tree(&result) && copy_threads(&result) && prof_copy_processes(&result);
    free(result.function_place);
    free(result.frame_place);
    free(result.task_place);
    if (done) {
        prof_report_shares(report);
        return report;
    }
    prof_report_destroy(report);
    return NULL;
}

void prof_report_destroy(struct prof_report *report)
{
    if (!report)
        return;
    free(report->functions);
    free(report->lines);
    free(report->edges);
    free(report->nodes);
    free(report->frames);
    free(report->frame_function);
    free(report->stacks);
    free(report->moments);
    free(report->moment_stacks);
    free(report->threads);
    free(report->processes);
    free(report->stack_frames);
    free(report->tasks);
    free(report->await_sites);
    free(report);
}
