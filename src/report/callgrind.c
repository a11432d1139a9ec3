// SPDX-License-Identifier: GPL-3.0-or-later
// The profile format of Callgrind (https://valgrind.org/docs/manual/cl-format.html), which
// KCachegrind, QCachegrind and callgrind_annotate read.
//
// Both take the sum over all calls of a function for its inclusive cost, where it is called at all.
// So each sample counts in one call of a function only (graph_call.entry): that is what keeps
// recursion from counting twice. A function that is called, and elsewhere is the outermost one, gets
// a caller that stands for the beginning of a stack.
#include <inttypes.h>

#include "report/graph.h"
#include "report/names.h"
#include "report/unique.h"
#include "util/guard.h"
#include "util/strtab.h"

#define UNKNOWN "???" // as Callgrind itself has it

struct writing {
    FILE *out;
    const struct report_input *input;
    const struct view *view;
    const struct graph *graph;
    struct unique unique;
    struct strtab *objects, *files; // ids are those of the file
    bool *named;                    // by node: its id has got its name
    bool failed;                    // out of memory
};

// ---- Names ---------------------------------------------------------------------------------------

static const char *file_of(const struct view_frame *frame)
{
    return frame->file[0] ? frame->file : UNKNOWN;
}

static const char *object_of(const struct view_frame *frame)
{
    return frame->module[0] ? frame->module : UNKNOWN;
}

// Readers tell functions apart by file and name, so those that have both in common are given others
// (unique.h).
static void key_of(struct plain *out, const struct view_frame *frame)
{
    plain_add(out, "%s\n%s\n%d\n", object_of(frame), file_of(frame), (int)frame->first_line);
    plain_str(out, frame->name);
}

// Names are clean and go to the end of the line. A number in parentheses would be an id; blanks are
// cut off, and nothing must be left of a name.
static void put_name(FILE *out, const char *name)
{
    bool like_id = name[0] == '(' && name[1] >= '0' && name[1] <= '9';
    fputs(!name[0] ? "?" : like_id || name[0] == ' ' ? "\\" : "", out);
    fputs(name, out);
}

// "fl=(3) /srv/app.py", and "fl=(3)" from then on.
static void put_place(struct writing *writing, const char *key, struct strtab *names,
                      const char *name)
{
    size_t before = strtab_count(names);
    uint32_t id = strtab_add_cstr(names, name);
    writing->failed |= !id;
    fprintf(writing->out, "%s=(%" PRIu32 ")", key, id);
    if (strtab_count(names) > before) {
        fputc(' ', writing->out);
        put_name(writing->out, name);
    }
    fputc('\n', writing->out);
}

// The object, file and function of a node; `prefix` is "c" where it is called. A function that the
// reader does not know yet belongs to the file before it: all three are always written.
static void put_function(struct writing *writing, const char *prefix, uint32_t node)
{
    const struct view_frame none = {.name = "(no frames)", .file = "", .module = ""};
    uint32_t index = writing->graph->nodes[node].frame;
    const struct view_frame *frame = index == UINT32_MAX ? &none : &writing->view->frames[index];
    bool called = prefix[0] != '\0';
    put_place(writing, called ? "cob" : "ob", writing->objects, object_of(frame));
    put_place(writing, called ? "cfi" : "fl", writing->files, file_of(frame));
    fprintf(writing->out, "%sfn=(%" PRIu32 ")", prefix, node + 1);
    if (!writing->named[node]) {
        fputc(' ', writing->out);
        put_name(writing->out,
                 index == UINT32_MAX ? frame->name : unique_name(&writing->unique, index));
    }
    writing->named[node] = true;
    fputc('\n', writing->out);
}

// ---- Costs ---------------------------------------------------------------------------------------

enum event { EVENT_SAMPLES, EVENT_CPU, EVENT_WAITING, EVENT_GIL, EVENT_COUNT };

static const struct {
    const char *name, *words;
} events[] = {
    [EVENT_SAMPLES] = {"Samples", "Samples (thread snapshots)"},
    [EVENT_CPU] = {"CPU_ns", "CPU time (ns)"},
    [EVENT_WAITING] = {"Waiting", "Samples, waiting"},
    [EVENT_GIL] = {"GIL", "Samples, holding the GIL"},
};

// The first one is what readers sort by. Without waiting samples there is no column for them.
static size_t choose_events(const struct writing *writing, enum event ret[EVENT_COUNT])
{
    bool by_cpu = writing->view->weigh.kind == REPORT_WEIGHT_CPU;
    bool waiting = writing->view->weigh.kind == REPORT_WEIGHT_WALL;
    size_t count = 0;
    ret[count++] = by_cpu ? EVENT_CPU : EVENT_SAMPLES;
    ret[count++] = by_cpu ? EVENT_SAMPLES : EVENT_CPU;
    if (waiting)
        ret[count++] = EVENT_WAITING;
    ret[count++] = EVENT_GIL;
    return count;
}

static uint64_t cost_of(const struct graph_cost *cost, enum event event)
{
    return event == EVENT_SAMPLES   ? cost->samples
           : event == EVENT_CPU     ? cost->cpu_ns
           : event == EVENT_WAITING ? cost->waiting
                                    : cost->gil_samples;
}

static void put_costs(const struct writing *writing, const struct graph_cost *cost)
{
    enum event chosen[EVENT_COUNT];
    size_t count = choose_events(writing, chosen);
    for (size_t i = 0; i < count; i++)
        fprintf(writing->out, "%s%" PRIu64, i ? " " : "", cost_of(cost, chosen[i]));
    fputc('\n', writing->out);
}

// Lines that are not known are 0; a sign would make the number a difference.
static void put_line(const struct writing *writing, int32_t line, const struct graph_cost *cost)
{
    fprintf(writing->out, "%" PRId32 " ", line > 0 ? line : 0);
    put_costs(writing, cost);
}

// ---- The file ------------------------------------------------------------------------------------

static void put_header(struct writing *writing)
{
    const struct report_input *input = writing->input;
    const struct snap_source *source = input->source;
    GUARD(plain_deinit) struct plain text = {0};
    names_program(&text, input->strings, snap_process_first(source), 0);
    fprintf(writing->out, "# callgrind format\nversion: 1\ncreator: pycore-%s\n",
            input->tool_version ? input->tool_version : "?");
    pid_t pid = source->process.pid ? source->process.pid : source->pid;
    if (pid)
        fprintf(writing->out, "pid: %d\n", (int)pid);
    fprintf(writing->out, "cmd: %s\n", plain_text(&text));
    plain_clear(&text);
    plain_things(&text, writing->view->profile->snapshots, "snapshot");
    fprintf(writing->out, "desc: %s; samples %s\n", plain_text(&text),
            writing->view->weigh.samples_words);
    plain_clear(&text);
    view_say_dropped(&text, writing->view);
    if (text.size)
        fprintf(writing->out, "desc: %s\n", plain_text(&text));
    fputs("desc: Samples are no calls; where calls are counted, at least so many were made\n"
          "positions: line\n",
          writing->out);
    enum event chosen[EVENT_COUNT];
    size_t count = choose_events(writing, chosen);
    for (size_t i = 0; i < count; i++)
        fprintf(writing->out, "event: %s : %s\n", events[chosen[i]].name, events[chosen[i]].words);
    fputs("events:", writing->out);
    for (size_t i = 0; i < count; i++)
        fprintf(writing->out, " %s", events[chosen[i]].name);
    fputs("\nsummary: ", writing->out);
    put_costs(writing, &writing->graph->sum);
    writing->failed |= text.failed;
}

static void put_call(struct writing *writing, uint32_t callee, uint64_t calls, int32_t line,
                     const struct graph_cost *cost)
{
    uint32_t frame = writing->graph->nodes[callee].frame;
    int32_t first_line = frame == UINT32_MAX ? 0 : writing->view->frames[frame].first_line;
    put_function(writing, "c", callee);
    fprintf(writing->out, "calls=%" PRIu64 " %" PRId32 "\n", calls,
            first_line > 0 ? first_line : 0);
    put_line(writing, line, cost);
}

static bool is_nothing(const struct graph_cost *cost)
{
    return !cost->samples && !cost->cpu_ns;
}

static void put_functions(struct writing *writing)
{
    const struct graph *graph = writing->graph;
    size_t line = 0, call = 0;
    for (uint32_t node = 0; node < graph->node_count; node++) {
        if (is_nothing(&graph->nodes[node].total))
            continue;
        fputc('\n', writing->out);
        put_function(writing, "", node);
        for (; line < graph->line_count && graph->lines[line].node == node; line++)
            put_line(writing, graph->lines[line].line, &graph->lines[line].self);
        for (; call < graph->call_count && graph->calls[call].caller == node; call++)
            put_call(writing, graph->calls[call].callee, graph_calls(graph, &graph->calls[call]),
                     graph->calls[call].line, &graph->calls[call].entry);
    }
}

static void put_beginnings(struct writing *writing)
{
    const struct graph *graph = writing->graph;
    bool begun = false;
    for (uint32_t node = 0; node < graph->node_count; node++) {
        const struct graph_node *callee = &graph->nodes[node];
        if (!callee->callers || is_nothing(&callee->outermost))
            continue;
        if (!begun) {
            fputc('\n', writing->out);
            put_place(writing, "ob", writing->objects, UNKNOWN);
            put_place(writing, "fl", writing->files, UNKNOWN);
            fprintf(writing->out, "fn=(%zu) (a stack begins)\n", graph->node_count + 1);
        }
        begun = true;
        put_call(writing, node, 1, -1, &callee->outermost);
    }
}

static struct err *write_file(struct writing *writing)
{
    put_header(writing);
    put_functions(writing);
    put_beginnings(writing);
    fputs("\ntotals: ", writing->out);
    put_costs(writing, &writing->graph->sum);
    return writing->failed ? err_create(ERR_NO_MEMORY, "no memory for the callgrind report") : NULL;
}

struct err *report_callgrind(FILE *out, const struct report_input *input,
                             const struct report_options *options)
{
    struct view *view;
    struct graph *graph = NULL;
    TRY(view_create(input, options, VIEW_BY_STATE, &view));
    struct err *err = graph_create(view, key_of, true, &graph);
    struct writing writing = {.out = out,
                              .input = input,
                              .view = view,
                              .graph = graph,
                              .objects = strtab_create(),
                              .files = strtab_create(),
                              .named = graph ? calloc(graph->node_count, sizeof(bool)) : NULL};
    if (!err)
        err = unique_init(&writing.unique, view, input, options, UNIQUE_IN_FILE);
    if (!err)
        err = writing.objects && writing.files && writing.named
                  ? write_file(&writing)
                  : err_create(ERR_NO_MEMORY, "no memory for the callgrind report");
    strtab_destroy(writing.objects);
    strtab_destroy(writing.files);
    free(writing.named);
    unique_deinit(&writing.unique);
    graph_destroy(graph);
    view_destroy(view);
    return err;
}
