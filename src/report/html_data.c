// SPDX-License-Identifier: GPL-3.0-or-later
// What the HTML report's scripts are given (assets/model.js reads it). Counts come in threes: of
// working samples, of all samples, and CPU nanoseconds, so that the reader may switch between them.
// Names are indexes into "names"; -1 is none. Flat lists have no inner brackets:
//
//   frames     function, line
//   nodes      parent, frame; the first one is node 1, node 0 the root. Frame -1: the rest of the
//              stack did not fit
//   stacks     thread, state, node of the innermost frame, samples, CPU ns, samples with the GIL
//   task_stacks  the same with --async-stacks, where there are tasks: a state more is that of those
//              that wait, and frames of their own follow the others
//   edges      caller, callee, three counts; through native code where no native function is an end
//   functions  [kind, name, place, file, module, first line, flags, own x 3, self x 3, total x 3,
//              calls seen, longest ns, own low, own high, total low, total high]
//   lines      [function, line, own x 3, total x 3, source text, file is newer]
//   threads    [name, pid, tid, known to Python, samples, CPU ns or null, samples by state]
//   moments    see html_moments.c
#include "report/html_data.h"

#include <stdlib.h>
#include <string.h>

#include "report/export.h"
#include "report/names.h"
#include "util/guard.h"

#define SOURCE_LINES_MAX 3000
#define SOURCE_COLUMNS 160
#define LEAST_SOURCE_SHARE 0.001 // of all samples: lines below it come without their text

enum function_flag {
    FUNCTION_OWN_CODE = 1,
    FUNCTION_INTERPRETER = 2,
    FUNCTION_INFERRED = 4,
    FUNCTION_HIDDEN = 8, // --hide-boilerplate
};

struct html_maker {
    struct json_writer json;
    const struct report_input *input;
    const struct prof_report *profile;
    const struct report_options *options;
    const struct view *view;
    const struct view *tasks; // with --async-stacks; NULL: there are no tasks
    const struct view_frame *
        *frame_of; // by function: a frame of it that the view shows; NULL: none
    struct names names;
    struct strtab *texts; // clean ones; each stands once in the page
    bool failed;
};

// The index of a text in "names", -1 for none.
static void write_text(struct html_maker *maker, const char *text)
{
    uint32_t id = text && text[0] ? strtab_add_cstr(maker->texts, text) : 0;
    maker->failed |= text && text[0] && !id;
    json_i64(&maker->json, NULL, (int64_t)id - 1);
}

static void write_plain(struct html_maker *maker, struct plain *text)
{
    maker->failed |= text->failed;
    write_text(maker, plain_text(text));
    plain_clear(text);
}

static void write_id(struct html_maker *maker, uint32_t id)
{
    GUARD(plain_deinit) struct plain text = {0};
    if (id)
        plain_id(&text, maker->input->strings, id, 0, PLAIN_KEEP_START);
    write_plain(maker, &text);
}

// As --strip-prefix has it.
static void write_path(struct html_maker *maker, uint32_t id)
{
    const char *path = strtab_get(maker->input->strings, id);
    size_t size = path ? strtab_size(maker->input->strings, id) : 0;
    size_t cut = path ? names_stripped(maker->options, path, size) : 0;
    GUARD(plain_deinit) struct plain text = {0};
    if (path)
        plain_safe(&text, path + cut, size - cut);
    write_plain(maker, &text);
}

static void write_counts(struct html_maker *maker, uint64_t working, uint64_t all, uint64_t cpu_ns)
{
    json_u64(&maker->json, NULL, working);
    json_u64(&maker->json, NULL, all);
    json_u64(&maker->json, NULL, cpu_ns);
}

// ---- Sums ----------------------------------------------------------------------------------------

static void write_sums(struct html_maker *maker)
{
    static const char *const sorts[] = {
        [REPORT_SORT_DEFAULT] = "own", [REPORT_SORT_OWN] = "own",
        [REPORT_SORT_SELF] = "own",    [REPORT_SORT_TOTAL] = "total",
        [REPORT_SORT_CPU] = "cpu",     [REPORT_SORT_WAITING] = "waiting",
        [REPORT_SORT_CALLS] = "calls", [REPORT_SORT_NAME] = "name"};
    const struct report_options *options = maker->options;
    static const char *const weights[] = {[REPORT_WEIGHT_SAMPLES] = "working",
                                          [REPORT_WEIGHT_WALL] = "wall",
                                          [REPORT_WEIGHT_CPU] = "cpu"};
    struct json_writer *json = &maker->json;
    const struct prof_report *profile = maker->profile;
    struct weigh weigh;
    weigh_init(&weigh, profile, options->weight);
    json_text(json, "weight", weights[weigh.kind]);
    json_text(json, "sort", sorts[options->sort]);
    json_u64(json, "top", options->top);
    json_bool(json, "by_thread", options->threads);
    json_bool(json, "async_stacks", options->async_stacks);
    json_bool(json, "by_line", !options->by_function && !options->no_lines);
    json_u64(json, "snapshots", profile->snapshots);
    json_u64(json, "interval_ns", profile->interval_ns);
    json_u64(json, "duration_ns", profile->duration_ns);
    json_u64(json, "samples_working", profile->samples_working);
    json_u64(json, "samples", profile->samples);
    json_u64(json, "cpu_on_stacks_ns", profile->cpu_on_stacks_ns);
    json_u64(json, "dropped_stacks", profile->dropped_stacks);
    json_u64(json, "dropped_edges", profile->dropped_edges);
}

static void write_states(struct html_maker *maker)
{
    struct json_writer *json = &maker->json;
    json_begin_array(json, "states");
    for (int state = 0; state < SNAP_STATE_COUNT; state++) {
        json_begin_object(json, NULL);
        json_text(json, "name", snap_state_name((enum snap_state)state));
        json_text(json, "words", names_state_words((enum snap_state)state));
        json_bool(json, "works", snap_state_works((enum snap_state)state));
        json_end_object(json, JSON_LINE);
    }
    if (maker->tasks) {
        json_begin_object(json, NULL);
        json_text(json, "name", EXPORT_AWAITS);
        json_text(json, "words", "a task waits");
        json_bool(json, "works", false);
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINE);
}

// ---- Processes and threads -----------------------------------------------------------------------

static void write_processes(struct html_maker *maker)
{
    struct json_writer *json = &maker->json;
    const struct snap_source *source = maker->input->source;
    json_begin_array(json, "processes");
    for (size_t i = 0; i < snap_process_count(source); i++) {
        const struct snap_process *process = snap_process_at(source, i);
        GUARD(plain_deinit) struct plain text = {0}, whole = {0};
        for (size_t k = 0; k < process->argc; k++) {
            plain_str(&whole, k ? " " : "");
            plain_id(&whole, maker->input->strings, process->argv[k], 60, PLAIN_KEEP_END);
        }
        plain_clip(&text, plain_text(&whole), 80, PLAIN_KEEP_START);
        maker->failed |= whole.failed;
        json_begin_array(json, NULL);
        json_i64(json, NULL, process->pid);
        write_plain(maker, &text);
        json_end_array(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINE);
}

static void write_threads(struct html_maker *maker)
{
    struct json_writer *json = &maker->json;
    json_begin_array(json, "threads");
    for (size_t i = 0; i < maker->profile->thread_count; i++) {
        const struct prof_thread *thread = &maker->profile->threads[i];
        json_begin_array(json, NULL);
        write_id(maker, thread->name);
        json_i64(json, NULL, thread->pid);
        json_i64(json, NULL, thread->tid);
        json_u64(json, NULL, thread->known_to_python);
        json_u64(json, NULL, thread->samples);
        if (thread->has_cpu)
            json_u64(json, NULL, thread->cpu_ns);
        else
            json_null(json, NULL);
        for (int state = 0; state < SNAP_STATE_COUNT; state++)
            json_u64(json, NULL, thread->states[state]);
        json_end_array(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINE);
}

// ---- Functions -----------------------------------------------------------------------------------

static unsigned flags_of(const struct html_maker *maker, const struct prof_function *function)
{
    bool hidden = maker->options->hide_boilerplate &&
                  names_is_boilerplate(maker->input->strings, function->kind, function->file,
                                       function->function);
    return (names_is_own_code(&maker->names, function) ? FUNCTION_OWN_CODE : 0) |
           (names_is_interpreter(&maker->names, function) ? FUNCTION_INTERPRETER : 0) |
           (function->inferred ? FUNCTION_INFERRED : 0) | (hidden ? FUNCTION_HIDDEN : 0);
}

static void write_bounds(struct html_maker *maker, const struct prof_function *function)
{
    const double bounds[] = {function->own_low, function->own_high, function->total_low,
                             function->total_high};
    for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
        json_double(&maker->json, NULL, (double)(uint64_t)(bounds[i] * 1e4 + 0.5) / 1e4);
}

static void write_function(struct html_maker *maker, const struct prof_function *function)
{
    struct json_writer *json = &maker->json;
    GUARD(plain_deinit) struct plain text = {0};
    json_begin_array(json, NULL);
    json_u64(json, NULL, function->kind);
    names_function(&text, &maker->names, function, 0);
    write_plain(maker, &text);
    names_place(&text, &maker->names, function);
    write_plain(maker, &text);
    write_path(maker, function->file);
    write_id(maker, function->module);
    json_i64(json, NULL, function->line);
    json_u64(json, NULL, flags_of(maker, function));
    write_counts(maker, function->own_working, function->own, function->own_cpu_ns);
    write_counts(maker, function->self_working, function->self, function->self_cpu_ns);
    write_counts(maker, function->total_working, function->total, function->total_cpu_ns);
    json_u64(json, NULL, function->activations);
    json_u64(json, NULL, function->longest_snapshots > 1 ? function->longest_ns : 0);
    if (function->total_working)
        write_bounds(maker, function);
    json_end_array(json, JSON_LINE);
}

static void write_functions(struct html_maker *maker)
{
    json_begin_array(&maker->json, "functions");
    for (size_t i = 0; i < maker->profile->function_count; i++)
        write_function(maker, &maker->profile->functions[i]);
    json_end_array(&maker->json, JSON_LINE);
}

// As weigh_edge() has it.
static void write_edges(struct html_maker *maker)
{
    json_begin_array(&maker->json, "edges");
    for (size_t i = 0; i < maker->profile->edge_count; i++) {
        const struct prof_edge *edge = &maker->profile->edges[i];
        json_u64(&maker->json, NULL, edge->caller);
        json_u64(&maker->json, NULL, edge->callee);
        if (edge->through)
            write_counts(maker, edge->through_working, edge->through, edge->through_cpu_ns);
        else
            write_counts(maker, edge->total_working, edge->total, edge->cpu_ns);
    }
    json_end_array(&maker->json, JSON_LINE);
}

// ---- Lines ---------------------------------------------------------------------------------------

static const char *source_of(struct html_maker *maker, const struct prof_line *line,
                             bool *ret_newer)
{
    const struct report_source_reader *reader = &maker->input->source_reader;
    const struct prof_function *function = &maker->profile->functions[line->function];
    const char *file = strtab_get(maker->input->strings, function->file);
    return reader->line && file && line->line > 0
               ? reader->line(reader->arg, file, line->line, ret_newer)
               : NULL;
}

static void write_line(struct html_maker *maker, const struct prof_line *line, bool with_text)
{
    struct json_writer *json = &maker->json;
    GUARD(plain_deinit) struct plain clean = {0}, text = {0};
    bool newer = false;
    const char *source = with_text ? source_of(maker, line, &newer) : NULL;
    json_begin_array(json, NULL);
    json_u64(json, NULL, line->function);
    json_i64(json, NULL, line->line);
    write_counts(maker, line->own_working, line->own, line->own_cpu_ns);
    write_counts(maker, line->total_working, line->total, line->total_cpu_ns);
    if (source) {
        source += strspn(source, " \t\f");
        plain_safe(&clean, source, strcspn(source, "\r\n"));
        plain_clip(&text, plain_text(&clean), SOURCE_COLUMNS, PLAIN_KEEP_START);
        maker->failed |= clean.failed;
        write_plain(maker, &text);
        if (newer)
            json_u64(json, NULL, 1);
    }
    json_end_array(json, JSON_LINE);
}

static void write_lines(struct html_maker *maker)
{
    const struct prof_report *profile = maker->profile;
    size_t texts = 0;
    json_begin_array(&maker->json, "lines");
    for (size_t i = 0; i < profile->line_count; i++) {
        const struct prof_line *line = &profile->lines[i];
        bool with_text = texts < SOURCE_LINES_MAX && line->function < profile->function_count &&
                         (double)line->total >= LEAST_SOURCE_SHARE * (double)profile->samples;
        texts += with_text;
        write_line(maker, line, with_text);
    }
    json_end_array(&maker->json, JSON_LINE);
}

// ---- All of it -----------------------------------------------------------------------------------

static void write_view_frames(struct html_maker *maker, const struct view *view)
{
    for (size_t i = 0; view && i < view->frame_count; i++) {
        json_u64(&maker->json, NULL, view->frames[i].function);
        json_i64(&maker->json, NULL, view->frames[i].line);
    }
}

static void write_frames(struct html_maker *maker)
{
    json_begin_array(&maker->json, "frames");
    write_view_frames(maker, maker->view);
    write_view_frames(maker, maker->tasks);
    json_end_array(&maker->json, JSON_LINE);
}

static void write_names(struct html_maker *maker)
{
    json_begin_array(&maker->json, "names");
    for (size_t i = 1; i <= strtab_count(maker->texts); i++)
        json_string(&maker->json, NULL, strtab_get(maker->texts, (uint32_t)i),
                    strtab_size(maker->texts, (uint32_t)i));
    json_end_array(&maker->json, JSON_LINE);
}

static void maker_deinit(struct html_maker *maker)
{
    names_deinit(&maker->names);
    strtab_destroy(maker->texts);
}

static void view_guard(struct view **view)
{
    view_destroy(*view);
}

struct err *html_data(FILE *out, const struct report_input *input,
                      const struct report_options *options)
{
    // Everything that was seen; what is shown of it is for the reader to choose.
    struct report_options all = *options;
    all.weight = REPORT_WEIGHT_WALL;
    all.threads = all.async_stacks = false;
    GUARD(view_guard) struct view *view = NULL, *tasks = NULL;
    TRY(view_create(input, &all, VIEW_BY_THREAD | VIEW_BY_STATE, &view));
    all.async_stacks = input->profile->task_count || input->profile->await_site_count;
    if (all.async_stacks)
        TRY(view_create(input, &all, VIEW_BY_THREAD | VIEW_BY_STATE, &tasks));
    GUARD(maker_deinit)
    struct html_maker maker = {.json = {.out = out, .embedded = true},
                               .input = input,
                               .profile = input->profile,
                               .options = options,
                               .view = view,
                               .tasks = tasks,
                               .texts = strtab_create()};
    if (!maker.texts || !names_init(&maker.names, input, options))
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    fputs("<script type=\"application/json\" id=\"data\">", out);
    json_begin_object(&maker.json, NULL);
    write_sums(&maker);
    write_states(&maker);
    write_processes(&maker);
    write_threads(&maker);
    write_functions(&maker);
    write_edges(&maker);
    write_lines(&maker);
    write_frames(&maker);
    TRY(html_stacks(&maker.json, view, tasks));
    TRY(html_moments(&maker.json, input->profile, view));
    write_names(&maker);
    json_end_object(&maker.json, JSON_LINE);
    fputs("</script>\n", out);
    return maker.failed ? err_create(ERR_NO_MEMORY, "no memory for the report") : NULL;
}
