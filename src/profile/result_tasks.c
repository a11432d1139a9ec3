// SPDX-License-Identifier: GPL-3.0-or-later
// The tasks of a report, the function that each was at work in most, and where tasks wait.
#include "profile/result.h"

// ---- Tasks ---------------------------------------------------------------------------------------

static int compare_tasks(const void *left, const void *right, void *arg)
{
    const struct profile *profile = arg;
    const struct prof_task *a = &profile->tasks.items[*(const uint32_t *)left].t;
    const struct prof_task *b = &profile->tasks.items[*(const uint32_t *)right].t;
    MORE_FIRST(a->samples_working, b->samples_working);
    MORE_FIRST(a->samples, b->samples);
    MORE_FIRST(a->cpu_ns, b->cpu_ns);
    LESS_FIRST(a->pid, b->pid);
    const uint32_t names[][2] = {{a->coroutine, b->coroutine},
                                 {a->name, b->name},
                                 {a->root_coroutine, b->root_coroutine},
                                 {a->root_name, b->root_name}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int order = prof_compare_text(profile->strings, names[i][0], names[i][1]);
        if (order)
            return order;
    }
    return 0;
}

bool prof_copy_tasks(struct prof_result *result)
{
    struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t count = profile->tasks.count;
    AUTO_FREE uint32_t *order = prof_order(count, compare_tasks, profile);
    if (!order || !(result->task_place = prof_places(order, count)) ||
        !(report->tasks = prof_array(count, sizeof(*report->tasks))))
        return false;
    report->task_count = count;
    for (size_t i = 0; i < count; i++) {
        report->tasks[i] = profile->tasks.items[order[i]].t;
        report->tasks[i].hottest = UINT32_MAX;
    }
    return prof_task_bounds(profile, order, count, report->tasks);
}

struct share { // of a task's working samples
    uint32_t task, function;
    uint64_t samples;
};

static int by_task_and_function(const void *left, const void *right)
{
    const struct share *a = left, *b = right;
    LESS_FIRST(a->task, b->task);
    LESS_FIRST(a->function, b->function);
    return 0;
}

// The innermost function with a name in Python, as prof_function.own counts it.
static uint32_t own_of(const struct prof_report *report, const struct prof_stack *stack)
{
    size_t i = 0;
    while (i < stack->frame_count && report->frames[stack->frames[i]].kind == SNAP_NATIVE)
        i++;
    return report->frame_function[stack->frames[i < stack->frame_count ? i : 0]];
}

static size_t collect(const struct prof_report *report, struct share *shares)
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < report->stack_count; i++) {
        const struct prof_stack *stack = &report->stacks[i];
        if (stack->task < report->task_count && stack->frame_count &&
            snap_state_works(stack->state))
            shares[count++] = (struct share){stack->task, own_of(report, stack), stack->samples};
    }
    qsort(shares, count, sizeof(*shares), by_task_and_function);
    for (size_t i = 0; i < count; i++) {
        if (kept && by_task_and_function(&shares[kept - 1], &shares[i]) == 0)
            shares[kept - 1].samples += shares[i].samples;
        else
            shares[kept++] = shares[i];
    }
    return kept;
}

// Of those seen equally often the hotter one of the report. Where so many samples are in no stack that
// they could change it, there is none.
bool prof_find_hottest_of_tasks(struct prof_result *result)
{
    struct prof_report *report = result->report;
    AUTO_FREE struct share *shares = prof_array(report->stack_count, sizeof(*shares));
    if (!shares)
        return false;
    size_t count = collect(report, shares);
    for (size_t i = 0, next; i < count; i = next) {
        struct prof_task *task = &report->tasks[shares[i].task];
        uint64_t first = 0, second = 0, seen = 0;
        for (next = i; next < count && shares[next].task == shares[i].task; next++) {
            uint64_t samples = shares[next].samples;
            seen += samples;
            if (samples > first) {
                second = first;
                first = samples;
                task->hottest = shares[next].function;
            } else if (samples > second) {
                second = samples;
            }
        }
        uint64_t missing = task->samples_working - seen;
        if (missing && second + missing >= first)
            task->hottest = UINT32_MAX;
    }
    return true;
}

// ---- Await sites ---------------------------------------------------------------------------------

static int compare_sites(const void *left, const void *right, void *strings)
{
    const struct prof_await_site *a = left, *b = right;
    MORE_FIRST(a->samples, b->samples);
    MORE_FIRST(a->most, b->most);
    MORE_FIRST(a->snapshots, b->snapshots);
    MORE_FIRST(a->since_ns, b->since_ns);
    LESS_FIRST(a->pid, b->pid);
    LESS_FIRST(a->tid, b->tid);
    LESS_FIRST(a->task_frames, b->task_frames);
    LESS_FIRST(a->frame_count, b->frame_count);
    for (size_t i = 0; i < a->frame_count; i++)
        LESS_FIRST(a->frames[i], b->frames[i]);
    return prof_compare_text(strings, a->coroutine, b->coroutine);
}

// Sites at which only tasks wait that do not count were made for those that wait for them.
bool prof_copy_awaits(struct prof_result *result)
{
    struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t frames = profile->stack_frames.count;
    if (!(report->await_sites = prof_array(profile->awaits.count, sizeof(*report->await_sites))))
        return false;
    for (size_t i = 0; i < profile->await_frames.count; i++)
        report->stack_frames[frames + i] = result->frame_place[profile->await_frames.items[i]];
    vec_foreach (entry, &profile->awaits) {
        uint32_t process;
        if (!entry->s.samples)
            continue;
        if (!prof_process(profile, entry->s.pid, &process))
            return false;
        struct prof_await_site *site = &report->await_sites[report->await_site_count++];
        *site = entry->s;
        site->frames = report->stack_frames + frames + entry->first;
        site->of_snapshots = profile->processes.items[process].task_snapshots;
    }
    qsort_r(report->await_sites, report->await_site_count, sizeof(*report->await_sites),
            compare_sites, profile->strings);
    return true;
}
