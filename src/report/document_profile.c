// SPDX-License-Identifier: GPL-3.0-or-later
// The "profile" of a document. Counts of a function come as working and waiting ones, and are kept
// as working and all ones: the latter are read into the place of the sum first.
#include <string.h>

#include "report/document_in.h"
#include "report/json.h"
#include "util/guard.h"

static const char *const kinds[] = {
    [SNAP_PYTHON] = "python", [SNAP_BUILTIN] = "builtin", [SNAP_NATIVE] = "native", NULL};

// ---- Lists --------------------------------------------------------------------------------------

// A function that reads each item of a list, whose place is appended to `vec` of the profile.
#define READ_LIST(name, type, vec, read_item)                                          \
    static void name(struct document_in *in, void *into)                               \
    {                                                                                  \
        struct profile_in *profile = into;                                             \
        type *item;                                                                    \
        if (!json_read_array(&in->json))                                               \
            return;                                                                    \
        while (json_read_item(&in->json) && (item = document_push(in, &profile->vec))) \
            read_item(in, profile, item);                                              \
    }

static const struct field function_fields[] = {
    FIELD(struct prof_function, "id", FIELD_U32, id),
    {.key = "kind",
     .kind = FIELD_WORD,
     .at = offsetof(struct prof_function, kind),
     .required = true,
     .words = kinds},
    FIELD(struct prof_function, "function", FIELD_NAME, function),
    FIELD(struct prof_function, "qualname", FIELD_NAME, qualname),
    FIELD(struct prof_function, "file", FIELD_NAME, file),
    FIELD(struct prof_function, "module", FIELD_NAME, module),
    FIELD(struct prof_function, "inferred", FIELD_BOOL, inferred),
    FIELD(struct prof_function, "line", FIELD_LINE, line),
    FIELD(struct prof_function, "self", FIELD_U64, self_working),
    FIELD(struct prof_function, "total", FIELD_U64, total_working),
    FIELD(struct prof_function, "self_waiting", FIELD_U64, self),
    FIELD(struct prof_function, "total_waiting", FIELD_U64, total),
    FIELD(struct prof_function, "self_cpu_ns", FIELD_U64, self_cpu_ns),
    FIELD(struct prof_function, "total_cpu_ns", FIELD_U64, total_cpu_ns),
    FIELD(struct prof_function, "self_low", FIELD_DOUBLE, self_low),
    FIELD(struct prof_function, "self_high", FIELD_DOUBLE, self_high),
    FIELD(struct prof_function, "total_low", FIELD_DOUBLE, total_low),
    FIELD(struct prof_function, "total_high", FIELD_DOUBLE, total_high),
    FIELD(struct prof_function, "own", FIELD_U64, own_working),
    FIELD(struct prof_function, "own_waiting", FIELD_U64, own),
    FIELD(struct prof_function, "own_cpu_ns", FIELD_U64, own_cpu_ns),
    FIELD(struct prof_function, "own_low", FIELD_DOUBLE, own_low),
    FIELD(struct prof_function, "own_high", FIELD_DOUBLE, own_high),
    FIELD(struct prof_function, "activations", FIELD_U64, activations),
    FIELD(struct prof_function, "longest_snapshots", FIELD_U64, longest_snapshots),
    FIELD(struct prof_function, "longest_ns", FIELD_U64, longest_ns),
    FIELD(struct prof_function, "states", FIELD_STATES, states),
};

static void read_function(struct document_in *in, struct profile_in *profile,
                          struct prof_function *function)
{
    uint32_t index = (uint32_t)profile->functions.count - 1;
    function->id = index;
    function->line = -1;
    document_fields(in, function_fields, ARRAY_SIZE(function_fields), function);
    if (function->id != index)
        json_fault(&in->json, "function %u is said to be %u", index, function->id);
    function->self += function->self_working;
    function->total += function->total_working;
    function->own += function->own_working;
}

struct line_in {
    struct prof_line line;
    uint32_t text;
    bool newer;
};

static const struct field line_fields[] = {
    FIELD_REQUIRED(struct line_in, "function", FIELD_U32, line.function),
    FIELD_REQUIRED(struct line_in, "line", FIELD_LINE, line.line),
    FIELD(struct line_in, "self", FIELD_U64, line.self_working),
    FIELD(struct line_in, "total", FIELD_U64, line.total_working),
    FIELD(struct line_in, "self_waiting", FIELD_U64, line.self),
    FIELD(struct line_in, "total_waiting", FIELD_U64, line.total),
    FIELD(struct line_in, "self_cpu_ns", FIELD_U64, line.self_cpu_ns),
    FIELD(struct line_in, "total_cpu_ns", FIELD_U64, line.total_cpu_ns),
    FIELD(struct line_in, "own", FIELD_U64, line.own_working),
    FIELD(struct line_in, "own_waiting", FIELD_U64, line.own),
    FIELD(struct line_in, "own_cpu_ns", FIELD_U64, line.own_cpu_ns),
    FIELD(struct line_in, "text", FIELD_NAME, text),
    FIELD(struct line_in, "newer", FIELD_BOOL, newer),
};

static void read_line(struct document_in *in, struct profile_in *profile, struct prof_line *line)
{
    struct line_in read = {0};
    document_fields(in, line_fields, ARRAY_SIZE(line_fields), &read);
    read.line.self += read.line.self_working;
    read.line.total += read.line.total_working;
    read.line.own += read.line.own_working;
    *line = read.line;
    struct profile_text *text = read.text ? document_push(in, &profile->texts) : NULL;
    if (text)
        *text = (struct profile_text){(uint32_t)profile->lines.count - 1, read.text, read.newer};
}

static const struct field edge_fields[] = {
    FIELD_REQUIRED(struct prof_edge, "caller", FIELD_U32, caller),
    FIELD_REQUIRED(struct prof_edge, "callee", FIELD_U32, callee),
    FIELD(struct prof_edge, "total", FIELD_U64, total_working),
    FIELD(struct prof_edge, "total_waiting", FIELD_U64, total),
    FIELD(struct prof_edge, "cpu_ns", FIELD_U64, cpu_ns),
    FIELD(struct prof_edge, "through", FIELD_U64, through_working),
    FIELD(struct prof_edge, "through_waiting", FIELD_U64, through),
    FIELD(struct prof_edge, "through_cpu_ns", FIELD_U64, through_cpu_ns),
};

static void read_edge(struct document_in *in, struct profile_in *profile, struct prof_edge *edge)
{
    (void)profile;
    edge->through_working = EDGE_THROUGH_ABSENT;
    document_fields(in, edge_fields, ARRAY_SIZE(edge_fields), edge);
    edge->total += edge->total_working;
    if (edge->through_working != EDGE_THROUGH_ABSENT)
        edge->through += edge->through_working;
}

static void read_frame(struct document_in *in, struct profile_in *profile, struct snap_frame *frame)
{
    uint32_t function = 0, *place = document_push(in, &profile->frame_function);
    document_frame(in, frame, &function, NULL);
    if (place)
        *place = function;
}

size_t document_read_indexes(struct document_in *in, struct document_indexes *ret)
{
    size_t count = 0;
    uint32_t *index;
    if (!json_read_array(&in->json))
        return 0;
    for (; json_read_item(&in->json) && (index = document_push(in, ret)); count++)
        *index = (uint32_t)json_read_u64(&in->json, UINT32_MAX);
    return count;
}

static void read_stack_frames(struct document_in *in, void *into)
{
    struct prof_stack *stack = into;
    stack->frame_count = document_read_indexes(in, &in->profile->stack_frames);
}

static void read_awaiting(struct document_in *in, void *into)
{
    struct prof_stack *stack = into;
    stack->awaiting_count = document_read_indexes(in, &in->profile->awaiting);
}

static const struct field stack_fields[] = {
    FIELD(struct prof_stack, "pid", FIELD_INT, pid),
    FIELD(struct prof_stack, "tid", FIELD_INT, tid),
    FIELD_REQUIRED(struct prof_stack, "state", FIELD_STATE, state),
    FIELD(struct prof_stack, "holds_gil", FIELD_BOOL, holds_gil),
    FIELD_REQUIRED(struct prof_stack, "samples", FIELD_U64, samples),
    FIELD(struct prof_stack, "cpu_ns", FIELD_U64, cpu_ns),
    {.key = "frames", .kind = FIELD_OTHER, .required = true, .read = read_stack_frames},
    FIELD(struct prof_stack, "task", FIELD_U32, task),
    FIELD(struct prof_stack, "task_frames", FIELD_U32, task_frames),
    FIELD_READ("awaiting", read_awaiting),
};

static void read_stack(struct document_in *in, struct profile_in *profile, struct prof_stack *stack)
{
    size_t *first = document_push(in, &profile->stack_first);
    if (first)
        *first = profile->stack_frames.count;
    stack->task = UINT32_MAX;
    vec_clear(&profile->awaiting);
    document_fields(in, stack_fields, ARRAY_SIZE(stack_fields), stack);
    vec_foreach (frame, &profile->awaiting) { // behind the stack's own, whichever came first
        uint32_t *place = document_push(in, &profile->stack_frames);
        if (place)
            *place = *frame;
    }
}

static const struct field thread_fields[] = {
    FIELD(struct prof_thread, "pid", FIELD_INT, pid),
    FIELD(struct prof_thread, "tid", FIELD_INT, tid),
    FIELD(struct prof_thread, "name", FIELD_NAME, name),
    FIELD(struct prof_thread, "name_from_kernel", FIELD_BOOL, name_from_kernel),
    FIELD(struct prof_thread, "python_thread_id", FIELD_HEX, python_id),
    FIELD(struct prof_thread, "known_to_python", FIELD_BOOL, known_to_python),
    FIELD_HAS(struct prof_thread, "cpu_ns", FIELD_U64, cpu_ns, has_cpu),
    FIELD(struct prof_thread, "cpu_between_ns", FIELD_U64, cpu_between_ns),
    FIELD_REQUIRED(struct prof_thread, "samples", FIELD_U64, samples),
    FIELD(struct prof_thread, "states", FIELD_STATES, states),
    FIELD(struct prof_thread, "holds_gil", FIELD_U64, gil_held),
    FIELD(struct prof_thread, "in_gc", FIELD_U64, in_gc),
    FIELD(struct prof_thread, "on_cpu", FIELD_U64, on_cpu),
    FIELD(struct prof_thread, "hottest", FIELD_U32, hottest),
    FIELD(struct prof_thread, "most_seen", FIELD_U32, top_frame),
};

static void read_thread(struct document_in *in, struct profile_in *profile,
                        struct prof_thread *thread)
{
    (void)profile;
    thread->known_to_python = true; // also where that is not known: snapshot.h
    thread->hottest = thread->top_frame = UINT32_MAX;
    document_fields(in, thread_fields, ARRAY_SIZE(thread_fields), thread);
}

static void read_moment_stacks(struct document_in *in, void *into)
{
    struct prof_moment *moment = into;
    moment->count = (uint32_t)document_read_indexes(in, &in->profile->moment_stacks);
}

static const struct field moment_fields[] = {
    FIELD_REQUIRED(struct prof_moment, "at_ns", FIELD_U64, at_ns),
    {.key = "stacks", .kind = FIELD_OTHER, .required = true, .read = read_moment_stacks},
};

static void read_moment(struct document_in *in, struct profile_in *profile,
                        struct prof_moment *moment)
{
    moment->first = profile->moment_stacks.count;
    document_fields(in, moment_fields, ARRAY_SIZE(moment_fields), moment);
}

READ_LIST(read_functions, struct prof_function, functions, read_function)
READ_LIST(read_lines, struct prof_line, lines, read_line)
READ_LIST(read_edges, struct prof_edge, edges, read_edge)
READ_LIST(read_frames, struct snap_frame, frames, read_frame)
READ_LIST(read_stacks, struct prof_stack, stacks, read_stack)
READ_LIST(read_threads, struct prof_thread, threads, read_thread)
READ_LIST(read_moments, struct prof_moment, moments, read_moment)

// ---- The profile --------------------------------------------------------------------------------

static const struct field pool_fields[] = {
    FIELD(struct prof_pool, "threads", FIELD_U64, threads),
    FIELD(struct prof_pool, "snapshots", FIELD_U64, snapshots),
    FIELD(struct prof_pool, "samples_working", FIELD_U64, samples_working),
    FIELD(struct prof_pool, "cpu_ns", FIELD_U64, cpu_ns),
    FIELD(struct prof_pool, "waited_for_by", FIELD_U32, thread),
    FIELD(struct prof_pool, "waited_for_in", FIELD_U32, function),
    FIELD(struct prof_pool, "together", FIELD_U64, together),
};

static void read_pool(struct document_in *in, void *into)
{
    document_fields(in, pool_fields, ARRAY_SIZE(pool_fields),
                    &((struct profile_in *)into)->report.pool);
}

// It is read once all that it refers to has been.
static void mark_tree(struct document_in *in, void *into)
{
    ((struct profile_in *)into)->tree = json_get_mark(&in->json);
    json_skip(&in->json);
}

#define SUM(name, member) FIELD(struct profile_in, name, FIELD_U64, report.member)

// The shares of time are computed again.
static const struct field profile_fields[] = {
    SUM("snapshots", snapshots),
    SUM("interval_ns", interval_ns),
    SUM("duration_ns", duration_ns),
    SUM("pause_total_ns", pause_total_ns),
    SUM("pause_max_ns", pause_max_ns),
    SUM("pause_median_ns", pause_median_ns),
    SUM("pause_p95_ns", pause_p95_ns),
    SUM("threads_stopped", threads_stopped),
    SUM("interrupted_calls", interrupted_calls),
    SUM("overruns", overruns),
    SUM("missed", missed),
    SUM("own_cpu_ns", own_cpu_ns),
    SUM("samples", samples),
    SUM("samples_working", samples_working),
    SUM("samples_held_still", held_still),
    FIELD(struct profile_in, "states", FIELD_STATES, report.states),
    FIELD(struct profile_in, "unseen_high", FIELD_DOUBLE, report.unseen_high),
    FIELD_HAS(struct profile_in, "process_cpu_ns", FIELD_U64, report.process_cpu_ns,
              report.has_process_cpu),
    SUM("cpu_on_stacks_ns", cpu_on_stacks_ns),
    SUM("cpu_between_ns", cpu_between_ns),
    SUM("cpu_unseen_ns", cpu_unseen_ns),
    SUM("dropped_stacks", dropped_stacks),
    SUM("dropped_tree", dropped_tree),
    SUM("dropped_functions", dropped_functions),
    SUM("dropped_edges", dropped_edges),
    SUM("dropped_moments", dropped_moments),
    SUM("dropped_awaits", dropped_awaits),
    FIELD_READ("native_pool", read_pool),
    FIELD_READ("processes", document_read_processes),
    FIELD_READ("threads", read_threads),
    FIELD_READ("functions", read_functions),
    FIELD_READ("lines", read_lines),
    FIELD_READ("edges", read_edges),
    FIELD_READ("frames", read_frames),
    FIELD_READ("stacks", read_stacks),
    FIELD_READ("tasks", document_read_profile_tasks),
    FIELD_READ("await_sites", document_read_await_sites),
    {.key = "moments",
     .kind = FIELD_OTHER,
     .has = offsetof(struct profile_in, has_moments),
     .read = read_moments},
    FIELD_READ("tree", mark_tree),
};
_Static_assert(ARRAY_SIZE(profile_fields) <= FIELDS_MAX, "document_fields() counts in 64 bits");

// An edge between functions that are not native has no count over native code of its own where it
// is the same; others have none.
static void settle_edges(struct profile_in *profile)
{
    vec_foreach (edge, &profile->edges) {
        if (edge->through_working != EDGE_THROUGH_ABSENT)
            continue;
        bool native = profile->functions.items[edge->caller].kind == SNAP_NATIVE ||
                      profile->functions.items[edge->callee].kind == SNAP_NATIVE;
        edge->through = native ? 0 : edge->total;
        edge->through_working = native ? 0 : edge->total_working;
        edge->through_cpu_ns = native ? 0 : edge->cpu_ns;
    }
}

static bool is_frame_of(const struct snap_frame *frame, const struct prof_function *function)
{
    const struct snap_frame whole = json_frame_of(function);
    return frame->kind == whole.kind && frame->flags == whole.flags &&
           frame->function == whole.function && frame->qualname == whole.qualname &&
           frame->file == whole.file && frame->module == whole.module &&
           frame->line == whole.line && frame->column == whole.column &&
           frame->first_line == whole.first_line && frame->address == whole.address;
}

// Frames that were never seen stand for functions in the document's tree, behind all others and in
// the order of their functions; a profile has none.
static bool drop_whole_functions(struct profile_in *profile)
{
    AUTO_FREE bool *seen = calloc(profile->frames.count + 1, sizeof(*seen));
    AUTO_FREE uint32_t *without_line = calloc(profile->functions.count + 1, sizeof(*without_line));
    if (!seen || !without_line)
        return false;
    vec_foreach (frame, &profile->stack_frames)
        seen[*frame] = true;
    for (size_t i = 0; i < profile->frames.count; i++)
        without_line[profile->frame_function.items[i]] += profile->frames.items[i].line < 0;
    uint32_t last = UINT32_MAX;
    for (size_t i = profile->frames.count; i-- > 0;) {
        uint32_t function = profile->frame_function.items[i];
        if (seen[i] || function >= last || without_line[function] != 1 ||
            !is_frame_of(&profile->frames.items[i], &profile->functions.items[function]))
            break;
        last = function;
        profile->frames.count = profile->frame_function.count = i;
    }
    return true;
}

static int by_place(const void *left, const void *right, void *arg)
{
    const struct strtab *strings = arg;
    const struct document_line *a = left, *b = right;
    int order = strcmp(strtab_get(strings, a->file), strtab_get(strings, b->file));
    return order ? order : (a->line > b->line) - (a->line < b->line);
}

static bool keep_texts(struct document_in *in, const struct profile_in *profile)
{
    struct document_lines *lines = &in->document->lines;
    vec_foreach (text, &profile->texts) {
        const struct prof_line *line = &profile->lines.items[text->line];
        uint32_t file = profile->functions.items[line->function].file;
        struct document_line *place = file ? document_push(in, lines) : NULL;
        if (place)
            *place = (struct document_line){file, line->line, text->text, text->newer};
    }
    if (lines->count)
        qsort_r(lines->items, lines->count, sizeof(*lines->items), by_place, in->strings);
    return !in->json.err;
}

// ---- The report ---------------------------------------------------------------------------------

// A list of the profile becomes one of the report, which is never NULL.
#define TAKE_LIST(items_member, count_member, vec)  \
    do {                                            \
        have_all = vec_reserve(vec, 1) && have_all; \
        report->items_member = (vec)->items;        \
        report->count_member = (vec)->count;        \
        memset((vec), 0, sizeof(*(vec)));           \
    } while (0)

static struct prof_report *make_report(struct profile_in *profile)
{
    struct prof_report *report = malloc(sizeof(*report));
    bool have_all = drop_whole_functions(profile) && vec_reserve(&profile->stack_frames, 1) &&
                    vec_reserve(&profile->moment_stacks, 1) &&
                    vec_reserve(&profile->frame_function, 1);
    if (!report || !have_all) {
        free(report);
        return NULL;
    }
    *report = profile->report;
    for (size_t i = 0; i < profile->stacks.count; i++)
        profile->stacks.items[i].frames =
            profile->stack_frames.items + profile->stack_first.items[i];
    for (size_t i = 0; i < profile->awaits.count; i++) {
        profile->awaits.items[i].frames =
            profile->stack_frames.items + profile->await_first.items[i];
        report->await_samples += profile->awaits.items[i].samples;
    }
    report->stack_frames = TAKE(profile->stack_frames.items);
    report->moment_stacks = TAKE(profile->moment_stacks.items);
    report->frame_function = TAKE(profile->frame_function.items);
    TAKE_LIST(functions, function_count, &profile->functions);
    TAKE_LIST(lines, line_count, &profile->lines);
    TAKE_LIST(edges, edge_count, &profile->edges);
    TAKE_LIST(frames, frame_count, &profile->frames);
    TAKE_LIST(stacks, stack_count, &profile->stacks);
    TAKE_LIST(tasks, task_count, &profile->tasks);
    TAKE_LIST(await_sites, await_site_count, &profile->awaits);
    TAKE_LIST(threads, thread_count, &profile->threads);
    TAKE_LIST(processes, process_count, &profile->processes);
    TAKE_LIST(moments, moment_count, &profile->moments);
    report->nodes = TAKE(profile->nodes.items);
    report->node_count = profile->nodes.count;
    if (!have_all) {
        prof_report_destroy(report);
        return NULL;
    }
    prof_report_shares(report);
    return report;
}

static void profile_in_deinit(struct profile_in *profile)
{
    vec_deinit(&profile->functions);
    vec_deinit(&profile->lines);
    vec_deinit(&profile->edges);
    vec_deinit(&profile->frames);
    vec_deinit(&profile->frame_function);
    vec_deinit(&profile->stacks);
    vec_deinit(&profile->stack_first);
    vec_deinit(&profile->stack_frames);
    vec_deinit(&profile->awaiting);
    vec_deinit(&profile->tasks);
    vec_deinit(&profile->awaits);
    vec_deinit(&profile->await_first);
    vec_deinit(&profile->threads);
    vec_deinit(&profile->processes);
    vec_deinit(&profile->moments);
    vec_deinit(&profile->moment_stacks);
    vec_deinit(&profile->texts);
    vec_deinit(&profile->nodes);
}

void document_read_profile(struct document_in *in, void *into)
{
    struct report_document *document = into;
    GUARD(profile_in_deinit)
    struct profile_in profile = {.report.pool = {.function = UINT32_MAX, .thread = UINT32_MAX}};
    in->profile = &profile;
    document_fields(in, profile_fields, ARRAY_SIZE(profile_fields), &profile);
    in->profile = NULL;
    if (!document_check(in, &profile))
        return;
    settle_edges(&profile);
    document->has_snapshots |= profile.has_moments;
    // Where stacks are missing, the tree has more than can be made of them.
    if (profile.report.dropped_stacks && profile.tree.at)
        document_read_tree(in, &profile);
    if (!keep_texts(in, &profile))
        return;
    document->profile = make_report(&profile);
    if (!document->profile) {
        json_fault(&in->json, "no memory for the document");
        return;
    }
    if (document->profile->nodes)
        return;
    struct err *err = prof_report_grow_tree(document->profile);
    if (err)
        json_fault(&in->json, "%s", err_message(err));
    err_destroy(err);
}
