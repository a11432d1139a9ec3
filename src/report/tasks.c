// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks of event loops: what each loop does, and the tasks by where they wait. In a dump with their
// frames, in a hotspot report as a table.
#include <stdlib.h>

#include "report/page.h"
#include "report/task_words.h"
#include "util/guard.h"

#define NAMED_TASKS 8 // of one group
#define USUAL_GROUPS 40
#define USUAL_ROWS 12
#define LOOPS_SHOWN 8
#define EXCEPTIONS_SHOWN 5
#define EXCEPTION_COLUMNS 200
#define NAME_COLUMNS 40
#define MOST 0.5 // of all tasks: the place where they wait is worth a sentence

static void say_bullet(struct page *page, const char *label, struct plain *line)
{
    doc_bullet(page->doc, label, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void say_code(struct plain *line, const struct page *page, uint32_t id, size_t columns)
{
    plain_str(line, PLAIN_CODE);
    plain_id(line, page->names.strings, id, columns, PLAIN_KEEP_START);
    plain_str(line, PLAIN_CODE_END);
}

const struct snap_suspended *page_suspended(const struct page *page)
{
    return page->moment ? page->moment->suspended : NULL;
}

// ---- The summary ---------------------------------------------------------------------------------

// "9,998 of them wait in serve server.py:33 [read]"
static void say_most(struct plain *line, const struct page *page, const struct task_groups *groups,
                     size_t count)
{
    const struct task_group *most = NULL;
    vec_foreach (group, &groups->list)
        most = !most || group->count > most->count ? group : most;
    if (!most || most->count < 2 || (double)most->count < MOST * (double)count ||
        !task_groups_frames(groups, most->stack)->count)
        return;
    const uint32_t *indexes = groups->order + most->first;
    plain_str(line, " ");
    if (most->count < count)
        plain_count(line, most->count);
    else
        plain_str(line, "All");
    plain_str(line, " of them are in " PLAIN_CODE);
    task_say_place(line, page, task_groups_frames(groups, most->stack));
    plain_str(line, PLAIN_CODE_END);
    size_t before = line->size;
    plain_str(line, " [");
    task_say_await(line, page, groups, most, indexes);
    plain_str(line, "]");
    if (!line->failed && line->size == before + 3)
        line->bytes[line->size = before] = '\0';
    plain_str(line, ".");
}

void page_say_suspended(struct page *page, bool of_greenlets)
{
    GUARD(task_groups_deinit) struct task_groups groups = {0};
    GUARD(plain_deinit) struct plain line = {0};
    const struct snap_suspended *suspended = page_suspended(page);
    size_t states[16] = {0}, count = 0;
    if (!task_groups_init(&groups, suspended, of_greenlets)) {
        page->failed = true;
        return;
    }
    vec_foreach (group, &groups.list) {
        states[group->state] += group->count;
        count += group->count;
    }
    if (!count)
        return;
    plain_things(&line, count, of_greenlets ? "greenlet" : "task");
    if (!of_greenlets && suspended->loops.count > 1) {
        plain_str(&line, " of ");
        plain_things(&line, suspended->loops.count, "event loop");
    }
    const char *comma = ": ";
    for (unsigned state = 0; state < ARRAY_SIZE(states); state++)
        if (states[state]) {
            plain_str(&line, comma);
            plain_count(&line, states[state]);
            plain_add(&line, " %s", task_groups_state_name(&groups, state));
            comma = ", ";
        }
    plain_str(&line, ".");
    say_most(&line, page, &groups, count);
    say_bullet(page, of_greenlets ? "Greenlets" : "Tasks", &line);
}

// ---- Loops ---------------------------------------------------------------------------------------

struct loop_tasks { // of a loop
    size_t all, ready;
};

static void say_thread_of(struct plain *line, const struct page *page, const struct snap_loop *loop)
{
    const struct snap_thread *thread =
        loop->tid ? page_last_thread(page, loop->pid, loop->tid) : NULL;
    if (thread)
        page_say_thread(line, page, thread->name, thread->pid, thread->tid);
    else if (loop->tid)
        plain_add(line, "thread %d", (int)loop->tid);
    else
        plain_str(line, "a thread that is not known");
}

static void say_step(struct plain *line, const struct snap_loop *loop)
{
    if (loop->same_snapshots < 2)
        return;
    plain_str(line, ", the same step for ");
    plain_things(line, loop->same_snapshots, "snapshot");
    if (loop->same_ns) {
        plain_str(line, " (");
        plain_duration(line, loop->same_ns);
        plain_str(line, ")");
    }
}

static void say_loop(struct page *page, struct plain *line, const struct snap_suspended *suspended,
                     const struct snap_loop *loop, const struct loop_tasks *tasks)
{
    if (loop->type) {
        say_code(line, page, loop->type, NAME_COLUMNS);
        plain_str(line, " of ");
    }
    say_thread_of(line, page, loop);
    plain_str(line, ": ");
    plain_things(line, tasks->all, "task");
    if (tasks->ready) {
        plain_str(line, ", ");
        plain_count(line, tasks->ready);
        plain_str(line, tasks->ready == 1 ? " is ready to run" : " are ready to run");
    }
    if (loop->current < suspended->tasks.count) {
        const struct snap_task *task = &suspended->tasks.items[loop->current];
        const struct task_groups all = {.suspended = suspended};
        plain_str(line, "; the loop runs ");
        task_say_name(line, page, &all, loop->current);
        if (task->coroutine && task->name && task->coroutine != task->name) {
            plain_str(line, " of ");
            task_say_coroutine(line, page, task->coroutine);
        }
        say_step(line, loop);
    }
    if (loop->ready > 0) {
        plain_str(line, "; ");
        plain_things(line, (uint64_t)loop->ready, "callback");
        plain_str(line, loop->ready == 1 ? " is due" : " are due");
    }
    if (loop->scheduled > 0) {
        plain_str(line, loop->ready > 0 ? ", " : "; ");
        plain_things(line, (uint64_t)loop->scheduled, "timer");
    }
    plain_str(line, ".");
    say_bullet(page, "Loop", line);
}

static void say_loops(struct page *page, struct plain *line, const struct snap_suspended *suspended)
{
    AUTO_FREE struct loop_tasks *tasks = calloc(suspended->loops.count + 1, sizeof(*tasks));
    if (!tasks) {
        page->failed = true;
        return;
    }
    vec_foreach (task, &suspended->tasks) {
        if (task->loop >= suspended->loops.count || task->state == SNAP_TASK_FINISHED)
            continue;
        tasks[task->loop].all++;
        tasks[task->loop].ready += task->state == SNAP_TASK_READY;
    }
    size_t count = suspended->loops.count, others = 0;
    size_t shown = page->options->full || count <= LOOPS_SHOWN + 1 ? count : LOOPS_SHOWN;
    for (size_t i = 0; i < count; i++)
        if (i < shown)
            say_loop(page, line, suspended, &suspended->loops.items[i], &tasks[i]);
        else
            others += tasks[i].all;
    if (shown == count)
        return;
    plain_count(line, count - shown);
    plain_str(line, " more event loops with ");
    plain_things(line, others, "task");
    plain_str(line, "; --full shows them.");
    say_bullet(page, "Loop", line);
}

void page_say_turn(struct plain *plain, const struct page *page, const struct snap_thread *thread)
{
    const struct snap_turn *turn = thread->turn;
    const struct snap_suspended *suspended = page_suspended(page);
    plain_str(plain, "runs task ");
    say_code(plain, page, turn->name ? turn->name : turn->coroutine, NAME_COLUMNS);
    for (size_t i = 0; suspended && i < suspended->loops.count; i++) {
        const struct snap_loop *loop = &suspended->loops.items[i];
        if (loop->pid != thread->pid || loop->tid != thread->tid || loop->same_snapshots < 2)
            continue;
        plain_str(plain, " for ");
        plain_things(plain, loop->same_snapshots, "snapshot");
        return;
    }
}

// ---- Exceptions that nobody retrieved ------------------------------------------------------------

static int by_exception(const void *left, const void *right, void *arg)
{
    const struct snap_task *tasks = arg;
    uint32_t i = *(const uint32_t *)left, k = *(const uint32_t *)right;
    if (tasks[i].exception != tasks[k].exception)
        return tasks[i].exception < tasks[k].exception ? -1 : 1;
    if (tasks[i].coroutine != tasks[k].coroutine)
        return tasks[i].coroutine < tasks[k].coroutine ? -1 : 1;
    return (i > k) - (i < k);
}

struct failure { // tasks that failed alike
    uint32_t first, count, task;
};

static int by_count(const void *left, const void *right)
{
    const struct failure *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return (a->task > b->task) - (a->task < b->task);
}

static void say_failure(struct page *page, struct plain *line, const struct task_groups *all,
                        const struct failure *failure, const uint32_t *indexes)
{
    const struct snap_task *task = &all->suspended->tasks.items[failure->task];
    if (failure->count > 1)
        plain_things(line, failure->count, "task");
    else
        plain_str(line, "task");
    if (task->coroutine) {
        plain_str(line, " of ");
        task_say_coroutine(line, page, task->coroutine);
    }
    plain_str(line, " (");
    task_say_names(line, page, all, indexes, failure->count, 3);
    plain_str(line, ") ended with ");
    say_code(line, page, task->exception, page->options->full ? 0 : EXCEPTION_COLUMNS);
    plain_str(line, ", which nobody retrieved.");
    say_bullet(page, "Exception", line);
}

static void say_failures(struct page *page, struct plain *line,
                         const struct snap_suspended *suspended)
{
    const struct snap_task *tasks = suspended->tasks.items;
    const struct task_groups all = {.suspended = suspended};
    size_t count = 0, kinds = 0, others = 0;
    AUTO_FREE uint32_t *order = calloc(suspended->tasks.count + 1, sizeof(*order));
    AUTO_FREE struct failure *failures = calloc(suspended->tasks.count + 1, sizeof(*failures));
    if (!order || !failures) {
        page->failed = true;
        return;
    }
    for (uint32_t i = 0; i < suspended->tasks.count; i++)
        if (tasks[i].state == SNAP_TASK_FINISHED && tasks[i].exception)
            order[count++] = i;
    qsort_r(order, count, sizeof(*order), by_exception, (void *)(uintptr_t)tasks);
    for (uint32_t i = 0; i < count; i++) {
        const struct snap_task *task = &tasks[order[i]], *before = i ? &tasks[order[i - 1]] : NULL;
        if (!before || before->exception != task->exception || before->coroutine != task->coroutine)
            failures[kinds++] = (struct failure){.first = i, .task = order[i]};
        failures[kinds - 1].count++;
    }
    qsort(failures, kinds, sizeof(*failures), by_count);
    size_t shown = page->options->full || kinds <= EXCEPTIONS_SHOWN + 1 ? kinds : EXCEPTIONS_SHOWN;
    for (size_t i = 0; i < kinds; i++)
        if (i < shown)
            say_failure(page, line, &all, &failures[i], order + failures[i].first);
        else
            others += failures[i].count;
    if (shown == kinds)
        return;
    plain_things(line, others, "more task");
    plain_str(line, " ended with exceptions that nobody retrieved; --full shows them.");
    say_bullet(page, "Exception", line);
}

// ---- Where they wait -----------------------------------------------------------------------------

// "asked to end"; of several "3 asked to end"
static void add_mark(struct plain *line, size_t marked, size_t count, const char *words)
{
    if (!marked)
        return;
    plain_str(line, ", ");
    if (count > 1) {
        plain_count(line, marked);
        plain_str(line, " ");
    }
    plain_str(line, words);
}

static void say_who(struct plain *head, const struct page *page, const struct task_groups *groups,
                    const struct task_group *group)
{
    const uint32_t *indexes = groups->order + group->first;
    struct task_view view = task_groups_view(groups, *indexes);
    if (group->count == 1) {
        plain_str(head, groups->of_greenlets ? "Greenlet " : "Task ");
        task_say_name(head, page, groups, *indexes);
    } else {
        plain_things(head, group->count, groups->of_greenlets ? "greenlet" : "task");
    }
    if (group->coroutine && (group->count > 1 || (view.name && view.name != view.coroutine))) {
        plain_str(head, " of ");
        task_say_coroutine(head, page, group->coroutine);
    }
    const struct snap_greenlet *parent =
        group->parent != SNAP_NO_INDEX ? &groups->suspended->greenlets.items[group->parent] : NULL;
    if (parent && !parent->is_hub && !parent->is_main) {
        plain_str(head, " below ");
        task_say_name(head, page, groups, group->parent);
    }
}

static void add_heading(struct page *page, const struct task_groups *groups,
                        const struct task_group *group)
{
    const uint32_t *indexes = groups->order + group->first;
    const char *state = task_state_words(groups, group->state);
    GUARD(plain_deinit) struct plain head = {0}, await = {0};
    say_who(&head, page, groups, group);
    plain_add(&head, "%s%s", !*state ? "" : group->count == 1 ? ": " : ", each ", state);
    task_say_await(&await, page, groups, group, indexes);
    if (await.size) {
        task_say_times(&await, group);
        plain_add(&head, " [%s]", plain_text(&await));
    } else {
        task_say_times(&head, group);
    }
    add_mark(&head, group->cancelling, group->count, "asked to end");
    add_mark(&head, group->cut, group->count,
             group->count == 1 ? "stack incomplete" : "with an incomplete stack");
    if (group->count > 1) {
        plain_str(&head, ": ");
        task_say_names(&head, page, groups, indexes, group->count,
                       page->options->full ? group->count : NAMED_TASKS);
    }
    doc_head(page->doc, DOC_NORMAL, group->count, plain_text(&head));
    page->failed |= head.failed || await.failed;
}

// The thread whose stack has the frames of what runs; NULL: none is known.
static const struct snap_thread *
runner_of(const struct page *page, const struct task_groups *groups, const struct task_group *group)
{
    uint32_t index = groups->order[group->first];
    if (!group->runs || group->count > 1)
        return NULL;
    if (groups->of_greenlets) {
        const struct snap_greenlet *greenlet = &groups->suspended->greenlets.items[index];
        return page_last_thread(page, greenlet->pid, greenlet->tid);
    }
    const struct snap_task *task = &groups->suspended->tasks.items[index];
    vec_foreach (thread, &page->moment->threads)
        if (thread->turn && thread->turn->task == task->object && thread->pid == task->pid)
            return thread;
    return NULL;
}

void page_add_group(struct page *page, const struct task_groups *groups,
                    const struct task_group *group)
{
    const struct snap_frames *frames = task_groups_frames(groups, group->stack);
    const struct snap_thread *runner = runner_of(page, groups, group);
    GUARD(plain_deinit) struct plain line = {0};
    add_heading(page, groups, group);
    if (runner) {
        plain_str(&line, "  (on the stack of ");
        page_say_thread(&line, page, runner->name, runner->pid, runner->tid);
        plain_str(&line, ")");
    } else if (!frames->count) {
        plain_str(&line, "  (no frame)");
    }
    if (line.size) {
        plain_unmark(&line);
        doc_line(page->doc, DOC_FAINT, 0, plain_text(&line));
    } else {
        // What a greenlet is inside of, the Python frame next to it says.
        page->inner_hidden = groups->of_greenlets && !page->options->full;
        page->python_only = group->natives_differ;
        page_frames(page, frames, true, NULL);
        page->inner_hidden = page->python_only = false;
    }
    page->failed |= line.failed;
}

static void add_row(struct page *page, const struct task_groups *groups,
                    const struct task_group *group)
{
    const uint32_t *indexes = groups->order + group->first;
    GUARD(plain_deinit) struct plain row = {0};
    plain_count(&row, group->count);
    plain_add(&row, DOC_NEXT "%s" DOC_NEXT, task_groups_state_name(groups, group->state));
    task_say_await(&row, page, groups, group, indexes);
    plain_str(&row, DOC_NEXT);
    if (group->since_ns)
        plain_duration(&row, group->since_ns);
    plain_str(&row, DOC_NEXT);
    task_say_place(&row, page, task_groups_frames(groups, group->stack));
    plain_str(&row, DOC_NEXT);
    task_say_names(&row, page, groups, indexes, group->count, 2);
    plain_unmark(&row);
    doc_row(page->doc, DOC_NORMAL, group->count, plain_text(&row));
    page->failed |= row.failed;
}

void page_add_groups(struct page *page, const struct task_groups *groups)
{
    static const struct doc_column columns[] = {
        {.title = "COUNT", .right = true},
        {.title = "STATE"},
        {.title = "WAITS FOR", .code = true, .keep = PLAIN_KEEP_START, .least = 24},
        {.title = "SINCE", .right = true},
        {.title = "WHERE", .code = true, .keep = PLAIN_KEEP_START, .least = 20},
        {.title = "WHO", .code = true, .keep = PLAIN_KEEP_START, .least = 10, .drop = 1},
    };
    size_t rows = page_rows(page, page->profile ? USUAL_ROWS : USUAL_GROUPS, groups->list.count);
    if (page->profile)
        doc_table(page->doc, columns, ARRAY_SIZE(columns));
    for (size_t i = 0; i < groups->list.count; i++)
        if (i >= rows)
            doc_more(page->doc, groups->list.items[i].count);
        else if (page->profile)
            add_row(page, groups, &groups->list.items[i]);
        else
            page_add_group(page, groups, &groups->list.items[i]);
}

static bool has_failures(const struct snap_suspended *suspended)
{
    vec_foreach (task, &suspended->tasks)
        if (task->state == SNAP_TASK_FINISHED && task->exception)
            return true;
    return false;
}

static void add_overview(struct page *page, const struct snap_suspended *suspended)
{
    GUARD(plain_deinit) struct plain line = {0};
    bool of_moments =
        !suspended->moment && suspended->tasks.count > 1 && !page->input->source->of_core;
    if (!suspended->loops.count && !suspended->tasks_left_out && !of_moments &&
        !has_failures(suspended))
        return;
    doc_section(page->doc, page->profile ? "Tasks (in the last snapshot)" : "Tasks", NULL, 0, 0);
    say_loops(page, &line, suspended);
    say_failures(page, &line, suspended);
    if (suspended->tasks_left_out) {
        plain_things(&line, suspended->tasks_left_out, "task");
        plain_str(&line, " that ran while read, or beyond the bound of what is read.");
        say_bullet(page, "Left out", &line);
    }
    if (of_moments)
        doc_bullet(page->doc, "Moment",
                   "what is said of each task is true for itself; not all of it may hold at one "
                   "moment.");
}

void page_tasks(struct page *page)
{
    GUARD(task_groups_deinit) struct task_groups groups = {0};
    const struct snap_suspended *suspended = page_suspended(page);
    if (!suspended)
        return;
    if (!task_groups_init(&groups, suspended, false)) {
        page->failed = true;
        return;
    }
    add_overview(page, suspended);
    // A run's own table says where they waited over all of it (by_task.c).
    if (!groups.list.count || (page->profile && page->profile->await_site_count))
        return;
    doc_section(page->doc,
                page->profile ? "Where tasks wait (in the last snapshot)"
                              : "Where tasks wait (innermost frame first)",
                "task", page->profile ? 3 : 0, page->profile ? 15 : 35);
    page_add_groups(page, &groups);
}
