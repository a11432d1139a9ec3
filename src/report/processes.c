// SPDX-License-Identifier: GPL-3.0-or-later
// The processes of a report over several: what each of them does, when it was there, and which have
// no stacks.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS 20
#define NAMED_BYSTANDERS 12
#define COMMAND_COLUMNS 48
#define BUSY_SHARE 0.1 // of a processor

static const struct snap_process *find_process(const struct page *page, pid_t pid)
{
    const struct snap_process *process = snap_process_of(page->input->source, pid);
    return process->pid == pid ? process : NULL;
}

static bool same_command(const struct snap_process *a, const struct snap_process *b)
{
    return a->argc == b->argc && a->exe == b->exe &&
           (!a->argc || memcmp(a->argv, b->argv, a->argc * sizeof(*a->argv)) == 0);
}

// "Processes 4711, 4712, 4715 and 3 more"
void page_say_processes(struct page *page, struct plain *line)
{
    const struct snap_source *source = page->input->source;
    size_t named = 0;
    if (page->pythons <= 1) {
        plain_add(line, "Process %d", (int)snap_process_first(page->input->source)->pid);
        return;
    }
    plain_str(line, "Processes ");
    for (size_t i = 0; i < snap_process_count(source) && named < 4; i++) {
        const struct snap_process *process = snap_process_at(source, i);
        if (!process->why)
            plain_add(line, named++ ? ", %d" : "%d", (int)process->pid);
    }
    if (page->pythons > named)
        plain_add(line, " and %zu more", page->pythons - named);
}

bool page_same_python(const struct page *page)
{
    const struct snap_source *source = page->input->source;
    const struct snap_process *first = snap_process_first(page->input->source);
    for (size_t i = 0; i < snap_process_count(source); i++) {
        const struct snap_process *process = snap_process_at(source, i);
        if (!process->why && (process->python_version != first->python_version ||
                              process->python_build != first->python_build))
            return false;
    }
    return true;
}

void page_say_busiest_process(struct page *page)
{
    const struct prof_report *profile = page->profile;
    const struct prof_process *busiest = profile->processes;
    uint64_t cpu_ns = 0;
    size_t busy = 0;
    if (page->pythons <= 1 || !profile->process_count || busiest->cpu_share < BUSY_SHARE)
        return;
    for (size_t i = 0; i < profile->process_count; i++) {
        cpu_ns += profile->processes[i].cpu_ns;
        busy += profile->processes[i].cpu_share >= BUSY_SHARE;
    }
    GUARD(plain_deinit) struct plain line = {0};
    plain_add(&line, "process %d used ", (int)busiest->pid);
    plain_percent(&line, busiest->cpu_share);
    plain_str(&line, " % of a processor, ");
    plain_percent(&line, weigh_ratio(busiest->cpu_ns, cpu_ns));
    plain_str(&line, " % of all the processes' CPU time");
    const struct prof_function *hottest = page_function(page, busiest->hottest);
    if (hottest) {
        plain_str(&line, ", most of it in ");
        names_say(&line, &page->names, hottest);
    }
    plain_add(&line, busy > 1 ? "; %zu of %zu used more than a tenth of one." : ".", busy,
              page->pythons);
    doc_bullet(page->doc, "Process", plain_text(&line));
    page->failed |= line.failed;
}

// ---- Rows ----------------------------------------------------------------------------------------

// All run what the heading says.
static bool all_alike(const struct page *page)
{
    const struct snap_source *source = page->input->source;
    for (size_t i = 0; i < snap_process_count(source); i++) {
        const struct snap_process *process = snap_process_at(source, i);
        if (!process->why && !same_command(process, snap_process_first(page->input->source)))
            return false;
    }
    return page_same_python(page);
}

static void add_command(struct plain *row, const struct page *page,
                        const struct snap_process *process)
{
    const struct snap_process *first = snap_process_first(page->input->source);
    if (all_alike(page))
        return;
    page_say_command(row, page, process, COMMAND_COLUMNS);
    if (process->python_version && process->python_version != first->python_version) {
        plain_str(row, " (");
        plain_id(row, page->names.strings, process->python_version, 12, PLAIN_KEEP_START);
        plain_str(row, ")");
    }
}

// When it was there, if not all the time: "1.2 s - 1.5 s", "from 1.2 s".
static void add_times(struct plain *row, const struct page *page,
                      const struct snap_process *process)
{
    if (!process->snapshots || (!process->ended && process->snapshots >= page->profile->snapshots))
        return;
    if (!process->ended) {
        plain_str(row, "from ");
        plain_duration(row, process->first_ns);
    } else if (process->first_ns == 0) {
        plain_str(row, "until ");
        plain_duration(row, process->last_ns);
    } else {
        plain_duration(row, process->first_ns);
        plain_str(row, " - ");
        plain_duration(row, process->last_ns);
    }
}

// Where it works, or else where its own code waits.
static uint32_t usual_function(const struct page *page, const struct prof_process *process)
{
    const struct prof_report *profile = page->profile;
    if (process->samples_working && process->hottest != UINT32_MAX)
        return process->hottest;
    for (size_t i = 0; i < profile->stack_count; i++) { // most samples first
        if (profile->stacks[i].pid != process->pid)
            continue;
        struct stack_place place = page_place_of(page, &profile->stacks[i]);
        return place.own != UINT32_MAX        ? place.own
               : place.function != UINT32_MAX ? place.function
                                              : place.leaf;
    }
    return process->top_frame;
}

static void add_row(struct page *page, const struct prof_process *process)
{
    const struct snap_process *facts = find_process(page, process->pid);
    GUARD(plain_deinit) struct plain row = {0};
    if (process->pid)
        plain_add(&row, "%d", (int)process->pid);
    plain_str(&row, DOC_NEXT);
    if (facts && facts->parent)
        plain_add(&row, "%d", (int)facts->parent);
    plain_str(&row, DOC_NEXT);
    if (process->has_cpu)
        plain_percent(&row, process->cpu_share);
    plain_add(&row, DOC_NEXT "%llu" DOC_NEXT, (unsigned long long)process->threads);
    page_state_cells(&row, process->states, process->samples);
    if (facts)
        add_times(&row, page, facts);
    plain_str(&row, DOC_NEXT);
    page_function_cell(&row, page, usual_function(page, process));
    plain_str(&row, DOC_NEXT);
    if (facts)
        add_command(&row, page, facts);
    doc_row(page->doc, process->has_cpu && process->cpu_share >= 0.5 ? DOC_HOT : DOC_NORMAL, 1,
            plain_text(&row));
    page->failed |= row.failed;
}

static void add_table(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "PID", .right = true},
        {.title = "PARENT", .right = true, .drop = 3},
        {.title = "CPU", .right = true},
        {.title = "THREADS", .right = true},
        PAGE_STATE_COLUMNS,
        {.title = "SEEN"},
        {.title = "MOSTLY IN", .code = true, .keep = PLAIN_KEEP_END, .least = 24},
        {.title = "RUNS", .code = true, .keep = PLAIN_KEEP_START, .least = 12},
    };
    const struct prof_report *profile = page->profile;
    doc_section(page->doc,
                "Processes (CPU: % of one processor; states: % of their threads' samples)",
                "process", 1, 20);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_ROWS, profile->process_count);
    for (size_t i = 0; i < rows; i++)
        add_row(page, &profile->processes[i]);
    doc_more(page->doc, profile->process_count - rows);
}

// ---- A dump's ------------------------------------------------------------------------------------

struct sum {
    uint64_t threads, states[SNAP_STATE_COUNT], cpu_ns;
};

static void add_dump_row(struct page *page, const struct snapshot *snapshot,
                         const struct snap_process *process)
{
    GUARD(plain_deinit) struct plain row = {0};
    struct sum sum = {0};
    vec_foreach (thread, &snapshot->threads) {
        if (thread->pid != process->pid)
            continue;
        sum.threads++;
        sum.states[thread->state < SNAP_STATE_COUNT ? thread->state : SNAP_UNKNOWN]++;
        sum.cpu_ns += thread->has_cpu ? thread->cpu_ns : 0;
    }
    plain_add(&row, "%d" DOC_NEXT, (int)process->pid);
    if (process->parent)
        plain_add(&row, "%d", (int)process->parent);
    plain_str(&row, DOC_NEXT);
    uint64_t window_ns = snap_window_of(snapshot, process->pid);
    if (window_ns)
        plain_percent(&row, weigh_ratio(sum.cpu_ns, window_ns));
    plain_str(&row, DOC_NEXT);
    plain_count(&row, sum.threads);
    plain_str(&row, DOC_NEXT);
    const char *comma = "";
    for (int state = 0; state < SNAP_STATE_COUNT; state++) {
        if (!sum.states[state])
            continue;
        plain_str(&row, comma);
        plain_count(&row, sum.states[state]);
        plain_add(&row, " %s", snap_state_name((enum snap_state)state));
        comma = ", ";
    }
    plain_str(&row, DOC_NEXT);
    add_command(&row, page, process);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

static void add_dump_table(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "PID", .right = true},
        {.title = "PARENT", .right = true, .drop = 1},
        {.title = "CPU", .right = true},
        {.title = "THREADS", .right = true},
        {.title = "STATES"},
        {.title = "RUNS", .code = true, .keep = PLAIN_KEEP_START, .least = 12},
    };
    const struct snap_source *source = page->input->source;
    doc_section(page->doc, "Processes (CPU: % of one processor)", "process", 1, 20);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_ROWS, page->pythons), shown = 0;
    for (size_t i = 0; i < snap_process_count(source) && shown < rows; i++) {
        const struct snap_process *process = snap_process_at(source, i);
        if (process->why)
            continue;
        add_dump_row(page, page->input->snapshots[0], process);
        shown++;
    }
    doc_more(page->doc, page->pythons - rows);
}

// ---- Those without stacks ------------------------------------------------------------------------

// "No stacks (not a Python process): sleep 60 (4713), nginx (4714)", a line for each reason.
static void add_others(struct page *page, size_t from)
{
    const struct snap_source *source = page->input->source;
    uint32_t why = snap_process_at(source, from)->why;
    GUARD(plain_deinit) struct plain line = {0};
    size_t count = 0;
    plain_str(&line, "No stacks (");
    plain_id(&line, page->names.strings, why, 300, PLAIN_KEEP_START);
    plain_str(&line, "): ");
    for (size_t i = from; i < snap_process_count(source); i++) {
        const struct snap_process *process = snap_process_at(source, i);
        if (process->why != why || count++ >= NAMED_BYSTANDERS)
            continue;
        plain_str(&line, count > 1 ? ", " : "");
        page_say_command(&line, page, process, COMMAND_COLUMNS);
        plain_add(&line, " (%d)", (int)process->pid);
    }
    if (count > NAMED_BYSTANDERS)
        plain_add(&line, " and %zu more", count - NAMED_BYSTANDERS);
    plain_str(&line, ".");
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}

void page_processes(struct page *page)
{
    const struct snap_source *source = page->input->source;
    size_t count = snap_process_count(source);
    if (count <= 1)
        return;
    if (page->pythons > 1 && page->profile)
        add_table(page);
    else if (page->pythons > 1)
        add_dump_table(page);
    if (page->pythons < count)
        doc_section(page->doc, page->pythons > 1 ? NULL : "Processes", NULL, 0, 0);
    for (size_t i = 0; i < count; i++) {
        bool said = !snap_process_at(source, i)->why;
        for (size_t k = 0; k < i && !said; k++)
            said = snap_process_at(source, k)->why == snap_process_at(source, i)->why;
        if (!said)
            add_others(page, i);
    }
}
