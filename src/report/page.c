// SPDX-License-Identifier: GPL-3.0-or-later
// The frame of every report: heading, the order of the sections, CPU accounting, notes, and how to
// get the same report again.
#include "report/page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/export.h"
#include "util/guard.h"

#define COMMAND_COLUMNS 72
#define NOTE_COLUMNS 400
#define THREAD_COLUMNS 32

size_t page_rows(const struct page *page, size_t usual, size_t there)
{
    size_t rows = page->options->top ? page->options->top : page->options->full ? there : usual;
    return rows < there ? rows : there;
}

const struct prof_function *page_function(const struct page *page, uint32_t index)
{
    return index < page->profile->function_count ? &page->profile->functions[index] : NULL;
}

void page_say_thread(struct plain *plain, const struct page *page, uint32_t name, pid_t pid,
                     pid_t tid)
{
    plain_str(plain, PLAIN_CODE);
    plain_id(plain, page->names.strings, name, THREAD_COLUMNS, PLAIN_KEEP_START);
    if (tid && page->pythons > 1 && tid != pid)
        plain_add(plain, " (%d, process %d)", (int)tid, (int)pid);
    else if (tid)
        plain_add(plain, " (%d)", (int)tid);
    plain_str(plain, PLAIN_CODE_END);
}

void page_thread_name(struct plain *plain, const struct page *page, uint32_t name,
                      bool known_to_python)
{
    plain_id(plain, page->names.strings, name, THREAD_COLUMNS, PLAIN_KEEP_START);
    plain_str(plain, known_to_python ? "" : " [native]");
}

void page_function_cell(struct plain *plain, const struct page *page, uint32_t index)
{
    const struct prof_function *function = page_function(page, index);
    if (!function)
        return;
    names_function(plain, &page->names, function, 48);
    size_t before = plain->size;
    plain_str(plain, " ");
    names_place(plain, &page->names, function);
    if (plain->size == before + 1 && !plain->failed)
        plain->bytes[plain->size = before] = '\0';
}

struct stack_place page_place_of(const struct page *page, const struct prof_stack *stack)
{
    struct stack_place place = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < stack->frame_count && place.own == UINT32_MAX; i++) {
        uint32_t index = page->profile->frame_function[stack->frames[i]];
        const struct prof_function *function = page_function(page, index);
        if (!function)
            continue;
        if (place.leaf == UINT32_MAX)
            place.leaf = index;
        // A builtin says in Python's words what the native code below it is there for.
        if (place.function == UINT32_MAX && function->kind == SNAP_BUILTIN &&
            page_function(page, place.leaf)->kind == SNAP_NATIVE)
            place.leaf = index;
        if (place.function == UINT32_MAX && function->kind == SNAP_PYTHON)
            place.function = index;
        if (page->own_code[index])
            place.own = index;
    }
    return place;
}

static int by_tid(const void *left, const void *right)
{
    const struct page_thread *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    return (a->tid > b->tid) - (a->tid < b->tid);
}

uint32_t page_thread_of(const struct page *page, const struct prof_stack *stack)
{
    const struct page_thread wanted = {stack->pid, stack->tid, 0};
    const struct page_thread *found =
        bsearch(&wanted, page->threads, page->profile->thread_count, sizeof(wanted), by_tid);
    return found ? found->index : UINT32_MAX;
}

const struct snap_thread *page_last_thread(const struct page *page, pid_t pid, pid_t tid)
{
    const struct snapshot *last = page->moment;
    const struct page_thread wanted = {pid, tid, 0};
    const struct page_thread *found =
        last ? bsearch(&wanted, page->last, last->threads.count, sizeof(wanted), by_tid) : NULL;
    return found ? &last->threads.items[found->index] : NULL;
}

// ---- Heading -------------------------------------------------------------------------------------

void page_say_command(struct plain *plain, const struct page *page,
                      const struct snap_process *process, size_t columns)
{
    plain_str(plain, PLAIN_CODE);
    names_program(plain, page->names.strings, process, columns);
    plain_str(plain, PLAIN_CODE_END);
}

static void add_named(struct plain *plain, const struct page *page, const char *before, uint32_t id)
{
    if (!id)
        return;
    plain_add(plain, "%s" PLAIN_CODE, before);
    plain_id(plain, page->names.strings, id, COMMAND_COLUMNS, PLAIN_KEEP_END);
    plain_str(plain, PLAIN_CODE_END);
}

// "Process 4711 on web-3, Python 3.11.7 (release, x86_64), /usr/bin/python3.11, 2026-..."
static void add_identity(struct page *page)
{
    const struct snap_source *source = page->input->source;
    const struct snap_process *process = &source->process;
    GUARD(plain_deinit) struct plain line = {0};
    pid_t pid = process->pid ? process->pid : source->pid;
    if (source->others.count)
        page_say_processes(page, &line);
    else if (pid)
        plain_add(&line, "Process %d", (int)pid);
    else
        plain_str(&line, "Process of unknown pid");
    add_named(&line, page, " on ", source->host);
    if (page->pythons > 1)
        process = snap_process_first(page->input->source);
    if (process->python_version) {
        add_named(&line, page, ", Python ", process->python_version);
        add_named(&line, page, " ", process->python_build);
        plain_str(&line, page_same_python(page) ? "" : " and others");
    } else {
        plain_str(&line, ", Python version not known");
    }
    add_named(&line, page, " ", source->arch);
    add_named(&line, page, ", ", process->exe);
    if (source->taken_at_ns) {
        plain_str(&line, ", ");
        plain_time(&line, source->taken_at_ns);
    }
    plain_str(&line, ".");
    doc_text(page->doc, plain_text(&line));
    if (source->kind != SNAP_LIVE) {
        plain_clear(&line);
        plain_str(&line, source->kind == SNAP_CORE ? "From the core" : "From the capture");
        add_named(&line, page, " ", source->path);
        plain_str(&line, ".");
        doc_text(page->doc, plain_text(&line));
    }
    page->failed |= line.failed;
}

// What was taken out of the report, or was not.
static void add_secrecy(struct page *page)
{
    uint64_t hidden = page_hidden_values(page);
    if (page->input->shows_secrets) {
        doc_text(page->doc,
                 "This report may hold passwords and keys: it was made with --show-secrets.");
    } else if (hidden) {
        GUARD(plain_deinit) struct plain line = {0};
        plain_things(&line, hidden, "value");
        plain_str(&line, hidden == 1
                             ? " that looks like a secret is hidden; --show-secrets shows it."
                             : " that look like secrets are hidden; --show-secrets shows them.");
        doc_text(page->doc, plain_text(&line));
        page->failed |= line.failed;
    }
}

static void add_state_of_report(struct page *page)
{
    add_secrecy(page);
    if (page->input->interim)
        doc_text(page->doc, "Interim report: this is what was seen so far; the run goes on.");
    if (page->input->interrupted)
        doc_text(page->doc, "Interrupted: this is what was seen until then.");
    if (!page->input->source->complete)
        doc_text(page->doc, "Incomplete: the notes at the end say what is missing.");
}

// "The target stood still for 4.2 ms in all (0.04 % of the time): median 84 us, p95 0.11 ms, ..."
static void say_pauses(struct plain *line, const struct page *page)
{
    const struct prof_report *profile = page->profile;
    const struct {
        const char *words;
        uint64_t ns;
    } rows[] = {{": median ", profile->pause_median_ns},
                {", p95 ", profile->pause_p95_ns},
                {", at the longest ", profile->pause_max_ns}};
    if (page->input->source->of_core)
        return;
    if (!profile->pause_total_ns) {
        plain_str(line, "The target was never stopped.");
    } else {
        plain_str(line, page->pythons > 1 ? "Each process stood still for at most "
                                          : "The target stood still for ");
        plain_duration(line, profile->pause_total_ns);
        plain_str(line, " in all (");
        plain_percent(line, profile->pause_share);
        plain_str(line, " % of the time)");
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            plain_str(line, rows[i].words);
            plain_duration(line, rows[i].ns);
        }
        plain_str(line, ".");
    }
    if (profile->interrupted_calls) {
        plain_str(line, " ");
        plain_things(line, profile->interrupted_calls, "system call");
        plain_str(line, profile->interrupted_calls == 1 ? " was" : " were");
        plain_str(line, " interrupted (EINTR).");
    }
    if (profile->own_cpu_ns && profile->duration_ns) {
        plain_str(line, " pycore itself used ");
        plain_percent(line, profile->own_cpu_share);
        plain_str(line, " % of a processor.");
    }
}

static void add_run(struct page *page)
{
    const struct prof_report *profile = page->profile;
    GUARD(plain_deinit) struct plain line = {0};
    plain_things(&line, profile->snapshots, "snapshot");
    if (profile->interval_ns) {
        plain_str(&line, ", one every ");
        plain_duration(&line, profile->interval_ns);
    }
    if (profile->duration_ns) {
        plain_str(&line, ", over ");
        plain_duration(&line, profile->duration_ns);
    }
    plain_str(&line, "; ");
    plain_things(&line, profile->thread_count, "thread");
    plain_str(&line, ". ");
    say_pauses(&line, page);
    if (profile->missed) {
        plain_str(&line, " ");
        plain_things(&line, profile->missed, "moment");
        plain_str(&line, " for a snapshot came too late.");
    }
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}

static void add_title(struct page *page)
{
    GUARD(plain_deinit) struct plain title = {0};
    plain_str(&title, page->profile ? "Hotspots of " : "Threads of ");
    if (page->pythons > 1)
        plain_add(&title, "%zu processes: ", page->pythons);
    page_say_command(&title, page, snap_process_first(page->input->source), COMMAND_COLUMNS);
    doc_title(page->doc, plain_text(&title));
    page->failed |= title.failed;
}

static void add_heading(struct page *page)
{
    add_title(page);
    GUARD(plain_deinit) struct plain title = {0}, whole = {0};
    doc_section(page->doc, NULL, NULL, 0, 0);
    add_identity(page);
    if (page->profile)
        add_run(page);
    if (page->names.root) {
        plain_str(&title, "Files are below " PLAIN_CODE);
        plain_safe(&whole, page->names.root, page->names.root_size);
        plain_clip(&title, plain_text(&whole), COMMAND_COLUMNS, PLAIN_KEEP_END);
        plain_str(&title, PLAIN_CODE_END " or in the Python installation.");
        doc_text(page->doc, plain_text(&title));
    }
    add_state_of_report(page);
    page->failed |= title.failed;
}

// ---- Notes ---------------------------------------------------------------------------------------

VEC_DEFINE(note_ids, uint32_t);

// Notes are few but for the threads' own, of which there may be one for each of thousands.
static void collect(struct page *page, struct note_ids *ids, const struct snap_notes *notes)
{
    for (size_t i = 0; notes && i < notes->count; i++) {
        bool known = false;
        vec_foreach (id, ids)
            known |= *id == notes->items[i];
        if (!known && !vec_push(ids, notes->items[i]))
            page->failed = true;
    }
}

// What met a bound of the profile.
static void add_dropped(struct page *page)
{
    const struct prof_report *profile = page->profile;
    const struct {
        uint64_t count;
        const char *thing, *words;
    } rows[] = {
        {profile->dropped_stacks, "sample",
         " beyond the bound on distinct stacks: counted by function and thread, but in no stack"},
        {profile->dropped_tree, "sample", " of these missing in the call tree"},
        {profile->dropped_functions, "frame",
         " beyond the bound on functions: booked to one without a name"},
        {profile->dropped_edges, "call",
         " beyond the bound on callers and callees: not counted there"},
        {profile->dropped_awaits, "sample",
         " of tasks that wait beyond the bound on places where they do: not counted"},
    };
    GUARD(plain_deinit) struct plain note = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!rows[i].count)
            continue;
        plain_clear(&note);
        plain_things(&note, rows[i].count, rows[i].thing);
        plain_str(&note, rows[i].words);
        doc_bullet(page->doc, "", plain_text(&note));
    }
    page->failed |= note.failed;
}

static void add_notes(struct page *page)
{
    GUARD(guard_free) uint32_t *owned = NULL;
    struct note_ids ids = {0};
    const struct report_input *input = page->input;
    collect(page, &ids, input->notes);
    collect(page, &ids, &input->source->notes);
    for (size_t i = 0; i < input->snapshot_count; i++)
        collect(page, &ids, &input->snapshots[i]->notes);
    owned = ids.items;
    bool dropped = page->profile && (page->profile->dropped_stacks || page->profile->dropped_tree ||
                                     page->profile->dropped_functions ||
                                     page->profile->dropped_edges || page->profile->dropped_awaits);
    if (ids.count == 0 && !dropped)
        return;
    doc_section(page->doc, "Notes", "note", 1, 20);
    if (dropped)
        add_dropped(page);
    GUARD(plain_deinit) struct plain note = {0};
    vec_foreach (id, &ids) {
        plain_clear(&note);
        plain_id(&note, page->names.strings, *id, NOTE_COLUMNS, PLAIN_KEEP_START);
        doc_bullet(page->doc, "", plain_text(&note));
    }
    page->failed |= note.failed;
}

static void add_command(struct page *page)
{
    GUARD(plain_deinit) struct plain line = {0};
    const char *command = page->input->command, *version = page->input->tool_version;
    plain_str(&line, "Made by pycore ");
    plain_safe(&line, version ? version : "?", strlen(version ? version : "?"));
    if (command) {
        plain_str(&line, "; once more: " PLAIN_CODE);
        plain_safe(&line, command, strnlen(command, 1000));
        plain_str(&line, PLAIN_CODE_END);
    }
    doc_section(page->doc, NULL, NULL, 0, 0);
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}

// ---- The page ------------------------------------------------------------------------------------

void page_deinit(struct page *page)
{
    names_deinit(&page->names);
    free(page->own_code);
    free(page->interpreter);
    free(page->threads);
    free(page->last);
}

// Of the program that runs in one of the processes, under its own name.
static bool is_program(const struct page *page, uint32_t module)
{
    const struct snap_source *source = page->input->source;
    const char *name = strtab_get(page->names.strings, module);
    for (size_t i = 0; name && i < snap_process_count(source); i++) {
        const char *exe = strtab_get(page->names.strings, snap_process_at(source, i)->exe);
        if (exe && strcmp(name, names_base(exe)) == 0)
            return true;
    }
    return false;
}

bool page_prepare(struct page *page)
{
    const struct prof_report *profile = page->profile;
    size_t functions = profile ? profile->function_count : 0;
    size_t threads = profile ? profile->thread_count : 0;
    bool any = false;
    page->own_code = calloc(functions + 1, sizeof(*page->own_code));
    page->threads = calloc(threads + 1, sizeof(*page->threads));
    page->interpreter = calloc(functions + 1, sizeof(*page->interpreter));
    const struct snapshot *last = page->moment = report_last(page->input);
    page->last = calloc((last ? last->threads.count : 0) + 1, sizeof(*page->last));
    if (!page->own_code || !page->interpreter || !page->threads || !page->last ||
        !names_init(&page->names, page->input, page->options))
        return false;
    for (size_t i = 0; i < functions; i++) {
        page->own_code[i] = names_is_own_code(&page->names, &profile->functions[i]);
        page->interpreter[i] = names_is_interpreter(&page->names, &profile->functions[i]);
        any |= page->interpreter[i];
    }
    // A static interpreter under another name.
    for (size_t i = 0; i < functions && !any; i++)
        page->interpreter[i] = is_program(page, profile->functions[i].module);
    for (size_t i = 0; i < snap_process_count(page->input->source); i++)
        page->pythons += !snap_process_at(page->input->source, i)->why;
    for (size_t i = 0; i < threads; i++)
        page->threads[i] =
            (struct page_thread){profile->threads[i].pid, profile->threads[i].tid, (uint32_t)i};
    qsort(page->threads, threads, sizeof(*page->threads), by_tid);
    for (size_t i = 0; last && i < last->threads.count; i++)
        page->last[i] = (struct page_thread){last->threads.items[i].pid, last->threads.items[i].tid,
                                             (uint32_t)i};
    if (last)
        qsort(page->last, last->threads.count, sizeof(*page->last), by_tid);
    if (profile)
        weigh_init(&page->weigh, profile, page->options->weight);
    return true;
}

enum { OF_PROFILE = 1, OF_DUMP = 2 };

static const struct {
    const char *id;
    void (*add)(struct page *page);
    unsigned of;
} parts[] = {
    {"verdict", page_verdict, OF_PROFILE | OF_DUMP},
    {"heading", add_heading, OF_PROFILE | OF_DUMP},
    {"crash", page_crash, OF_PROFILE | OF_DUMP},
    {"findings", page_findings, OF_PROFILE | OF_DUMP},
    {"summary", page_summary, OF_PROFILE},
    {"waits", page_waits, OF_PROFILE},
    {"processes", page_processes, OF_PROFILE},
    {"threads", page_threads, OF_PROFILE},
    {"tasks-by-cpu", page_tasks_by_cpu, OF_PROFILE},
    {"by-thread", page_by_thread, OF_PROFILE},
    {"functions", page_functions, OF_PROFILE},
    {"natives", page_natives, OF_PROFILE},
    {"hottest", page_hottest, OF_PROFILE},
    {"tree", page_tree, OF_PROFILE},
    {"waiting", page_waiting, OF_PROFILE},
    {"await-sites", page_await_sites, OF_PROFILE},
    {"cpu", page_cpu, OF_PROFILE},
    {"dump", page_dump, OF_DUMP},
    {"tasks", page_tasks, OF_PROFILE | OF_DUMP},
    {"task-tree", page_task_tree, OF_DUMP},
    {"greenlets", page_greenlets, OF_PROFILE | OF_DUMP},
    {"generators", page_generators, OF_PROFILE | OF_DUMP},
    {"environment", page_environment, OF_PROFILE | OF_DUMP},
    {"notes", add_notes, OF_PROFILE | OF_DUMP},
    {"command", add_command, OF_PROFILE | OF_DUMP},
};

struct err *page_build(struct doc *doc, const struct report_input *input,
                       const struct report_options *options)
{
    GUARD(page_deinit)
    struct page page = {.doc = doc, .input = input, .options = options, .profile = input->profile};
    if (!input->profile && input->snapshot_count == 0)
        return err_create(ERR_NOT_FOUND, "there is no snapshot to report");
    if (!page_prepare(&page))
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        size_t first = doc->sections.count;
        if (parts[i].of & (page.profile ? OF_PROFILE : OF_DUMP))
            parts[i].add(&page);
        for (size_t k = first; k < doc->sections.count; k++)
            doc->sections.items[k].id = parts[i].id;
    }
    doc->failed |= page.failed;
    return NULL;
}

struct err *page_finish(const struct doc *doc, FILE *out)
{
    if (doc->failed)
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    return export_finish(out);
}
