// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks of event loops, beside the tables by thread: which of them have the processor, and where they
// wait. A kind of tasks is a row, not each of 10,000 that serve a request.
#include <stdlib.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_TASKS 12
#define USUAL_SITES 15
#define TASK_COLUMNS 32
#define HOT_SHARE 0.2

// ---- By CPU --------------------------------------------------------------------------------------

static int by_weight(const void *left, const void *right, void *arg)
{
    const struct page *page = arg;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    uint64_t of_a = weigh_task(&page->weigh, &page->profile->tasks[a]);
    uint64_t of_b = weigh_task(&page->weigh, &page->profile->tasks[b]);
    return of_a != of_b ? (of_a > of_b ? -1 : 1) : (a > b) - (a < b);
}

static bool is_its_own_root(const struct prof_task *task)
{
    return task->root_coroutine == task->coroutine && task->root_name == task->name;
}

static void add_task(struct page *page, const struct prof_task *task)
{
    GUARD(plain_deinit) struct plain row = {0};
    const struct strtab *strings = page->names.strings;
    double share = weigh_share(&page->weigh, weigh_task(&page->weigh, task));
    if (page->pythons > 1 && task->pid)
        plain_add(&row, "%d", (int)task->pid);
    plain_str(&row, DOC_NEXT);
    plain_percent(&row, share);
    plain_str(&row, " %" DOC_NEXT);
    if (page->weigh.kind == REPORT_WEIGHT_SAMPLES && task->high > task->low)
        plain_range(&row, task->low, task->high);
    plain_str(&row, DOC_NEXT);
    if (task->cpu_ns)
        plain_duration(&row, task->cpu_ns);
    plain_str(&row, DOC_NEXT);
    if (task->samples > task->samples_working)
        plain_count(&row, task->samples - task->samples_working);
    plain_str(&row, DOC_NEXT);
    if (task->tasks) {
        plain_str(&row, ">=");
        plain_count(&row, task->tasks);
    }
    plain_str(&row, DOC_NEXT);
    if (task->coroutine || task->name)
        names_task(&row, strings, task->coroutine, task->name, TASK_COLUMNS);
    else
        plain_str(&row, "(others)");
    plain_str(&row, DOC_NEXT);
    if (!task->root_coroutine && !task->root_name)
        plain_str(&row, "(not known)");
    else if (!is_its_own_root(task))
        names_task(&row, strings, task->root_coroutine, task->root_name, TASK_COLUMNS);
    plain_str(&row, DOC_NEXT);
    page_function_cell(&row, page, task->hottest);
    doc_row(page->doc, share >= HOT_SHARE ? DOC_HOT : DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

// What threads that run tasks do outside of them.
static uint64_t weight_of_loops(const struct page *page)
{
    const struct prof_report *profile = page->profile;
    AUTO_FREE bool *has_tasks = calloc(profile->thread_count + 1, sizeof(*has_tasks));
    uint64_t weight = 0;
    if (!has_tasks)
        return 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < profile->stack_count; i++) {
            const struct prof_stack *stack = &profile->stacks[i];
            uint32_t thread = page_thread_of(page, stack);
            if (thread == UINT32_MAX)
                continue;
            if (stack->task < profile->task_count)
                has_tasks[thread] = true;
            else if (pass && has_tasks[thread])
                weight += weigh_stack(&page->weigh, stack);
        }
    }
    return weight;
}

static void add_loops(struct page *page)
{
    GUARD(plain_deinit) struct plain line = {0};
    uint64_t weight = weight_of_loops(page);
    if (!weight)
        return;
    plain_str(&line, "Outside of tasks these threads spend ");
    plain_percent(&line, weigh_share(&page->weigh, weight));
    plain_add(&line, " %% %s: in the event loop itself, its callbacks, or other code.",
              page->weigh.base_words);
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}

void page_tasks_by_cpu(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "PID", .right = true},
        {.title = "SHARE", .right = true},
        {.title = "95 %", .right = true, .drop = 2},
        {.title = "CPU", .right = true},
        {.title = "WAITING", .right = true, .drop = 1},
        {.title = "TASKS", .right = true},
        {.title = "TASK", .code = true, .least = 16},
        {.title = "AWAITED BY", .code = true, .least = 12},
        {.title = "MOSTLY IN", .code = true, .keep = PLAIN_KEEP_END, .least = 20},
    };
    const struct prof_report *profile = page->profile;
    AUTO_FREE uint32_t *order = calloc(profile->task_count + 1, sizeof(*order));
    size_t count = 0;
    if (!order) {
        page->failed = true;
        return;
    }
    for (size_t i = 0; i < profile->task_count; i++)
        if (weigh_task(&page->weigh, &profile->tasks[i]))
            order[count++] = (uint32_t)i;
    if (!count)
        return;
    qsort_r(order, count, sizeof(*order), by_weight, page);
    GUARD(plain_deinit) struct plain title = {0};
    plain_add(&title, "Tasks by CPU (%s; WAITING: samples in which it blocked its event loop)",
              page->weigh.base_words);
    doc_section(page->doc, plain_text(&title), "task", 2, 20);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_TASKS, count);
    for (size_t i = 0; i < rows; i++)
        add_task(page, &profile->tasks[order[i]]);
    doc_more(page->doc, count - rows);
    add_loops(page);
    page->failed |= title.failed;
}

// ---- Where they wait -----------------------------------------------------------------------------

static void name_cell(struct plain *row, const struct page *page, uint32_t frame)
{
    uint32_t function = page->profile->frame_function[frame];
    names_function(row, &page->names, page_function(page, function), TASK_COLUMNS);
}

// "worker app.py:7": the line at which it waits, not that of the function.
static void frame_cell(struct plain *row, const struct page *page, uint32_t index)
{
    const struct snap_frame *frame = &page->profile->frames[index];
    const struct prof_function *function =
        page_function(page, page->profile->frame_function[index]);
    name_cell(row, page, index);
    if (function->kind != SNAP_PYTHON || !function->file)
        return;
    plain_str(row, " ");
    names_path(row, &page->names, function->file);
    if (frame->line >= 0 && !page->options->no_lines)
        plain_add(row, ":%d", (int)frame->line);
}

// The innermost frame of the task that is the program's own; UINT32_MAX: the task has no frames.
static uint32_t own_frame(const struct page *page, const struct prof_await_site *site)
{
    for (size_t i = 0; i < site->task_frames; i++)
        if (page->own_code[page->profile->frame_function[site->frames[i]]])
            return site->frames[i];
    return site->task_frames ? site->frames[0] : UINT32_MAX;
}

static void add_mean(struct plain *row, const struct prof_await_site *site)
{
    double mean = weigh_ratio(site->samples, site->of_snapshots);
    if (mean < 0.05)
        plain_str(row, "<0.1");
    else if (mean < 9.95)
        plain_add(row, "%.1f", mean);
    else
        plain_count(row, (uint64_t)(mean + 0.5));
}

static void add_site(struct page *page, const struct prof_await_site *site)
{
    GUARD(plain_deinit) struct plain row = {0};
    uint32_t own = own_frame(page, site);
    if (page->pythons > 1 && site->pid)
        plain_add(&row, "%d", (int)site->pid);
    plain_str(&row, DOC_NEXT);
    add_mean(&row, site);
    plain_str(&row, DOC_NEXT);
    plain_count(&row, site->most);
    plain_add(&row, DOC_NEXT "%s" DOC_NEXT, snap_await_name(names_usual_await(site)));
    if (site->since_ns) {
        plain_str(&row, ">=");
        plain_duration(&row, site->since_ns);
    }
    plain_str(&row, DOC_NEXT);
    if (own != UINT32_MAX)
        frame_cell(&row, page, own);
    else
        names_task(&row, page->names.strings, site->coroutine, 0, TASK_COLUMNS);
    plain_str(&row, DOC_NEXT);
    if (own != UINT32_MAX && own != site->frames[0])
        name_cell(&row, page, site->frames[0]);
    plain_str(&row, DOC_NEXT);
    if (site->frame_count > site->task_frames)
        name_cell(&row, page, site->frames[site->frame_count - 1]);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

void page_await_sites(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "PID", .right = true},
        {.title = "TASKS", .right = true},
        {.title = "MOST", .right = true},
        {.title = "FOR"},
        {.title = "LONGEST", .right = true},
        {.title = "WHERE", .code = true, .keep = PLAIN_KEEP_END, .least = 20},
        {.title = "IN", .code = true, .least = 10, .drop = 1},
        {.title = "AWAITED BY", .code = true, .least = 12},
    };
    const struct prof_report *profile = page->profile;
    if (!profile->await_site_count)
        return;
    doc_section(page->doc, "Where tasks wait (TASKS: on average, MOST: at once)", "place", 4, 15);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_SITES, profile->await_site_count);
    for (size_t i = 0; i < rows; i++)
        add_site(page, &profile->await_sites[i]);
    doc_more(page->doc, profile->await_site_count - rows);
}
