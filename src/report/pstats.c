// SPDX-License-Identifier: GPL-3.0-or-later
// What cProfile writes and pstats.Stats reads: a marshalled dict (Lib/pstats.py, Stats.load_stats and
// add; Lib/cProfile.py, Profile.snapshot_stats; CPython 3.6-3.15),
//
//     (file, line, function): (primitive calls, calls, own time, total time, callers)
//
// where `callers` is a dict of (file, line, function): (calls, primitive calls, own time, total time)
// in that order. Times are seconds. The calls are not the samples, but distinct calls that were seen:
// at least so many were made. The file has no place for a comment, so a row without any time says
// so. It also keeps the dict of a profile without samples from being empty, which Stats refuses.
#include "report/graph.h"
#include "report/marshal.h"
#include "report/plain.h"
#include "util/guard.h"

#define BUILTIN_FILE "~" // pstats prints ("~", 0, "<name>") as "{name}"
#define NS_PER_S 1e9

struct writing {
    const struct view *view;
    const struct graph *graph;
    struct wire_out out;
    bool failed; // out of memory
};

// ---- Names ---------------------------------------------------------------------------------------

static const char *file_of(const struct view_frame *frame)
{
    if (frame->kind == VIEW_PYTHON)
        return frame->file;
    return frame->kind == VIEW_NATIVE && frame->module[0] ? frame->module : BUILTIN_FILE;
}

static uint32_t line_of(const struct view_frame *frame)
{
    return frame->kind == VIEW_PYTHON && frame->first_line > 0 ? (uint32_t)frame->first_line : 0;
}

// "{built-in method time.sleep}" is stored as "<built-in method time.sleep>".
static void put_name(struct plain *out, const struct view_frame *frame)
{
    size_t size = strlen(frame->name);
    bool braces = frame->kind == VIEW_BUILTIN && size >= 2 && frame->name[0] == '{' &&
                  frame->name[size - 1] == '}';
    plain_str(out, braces ? "<" : "");
    plain_bytes(out, frame->name + braces, size - 2 * (size_t)braces);
    plain_str(out, braces ? ">" : "");
}

static void key_of(struct plain *out, const struct view_frame *frame)
{
    plain_add(out, "%s\n%u\n", file_of(frame), (unsigned)line_of(frame));
    put_name(out, frame);
}

static void put_key(struct writing *writing, const char *file, uint32_t line, const char *name)
{
    marshal_tuple(&writing->out, 3);
    marshal_text(&writing->out, file);
    marshal_integer(&writing->out, line);
    marshal_text(&writing->out, name);
}

static void put_function(struct writing *writing, uint32_t node)
{
    uint32_t index = writing->graph->nodes[node].frame;
    if (index == UINT32_MAX) {
        put_key(writing, BUILTIN_FILE, 0, "<no frames>");
        return;
    }
    const struct view_frame *frame = &writing->view->frames[index];
    GUARD(plain_deinit) struct plain name = {0};
    put_name(&name, frame);
    put_key(writing, file_of(frame), line_of(frame), plain_text(&name));
    writing->failed |= name.failed;
}

// ---- Times ---------------------------------------------------------------------------------------

// Where there is no interval (cores), a sample is shown as a second.
static double sample_s(const struct writing *writing)
{
    uint64_t interval_ns = writing->view->profile->interval_ns;
    return interval_ns ? (double)interval_ns / NS_PER_S : 1;
}

static void put_time(struct writing *writing, const struct graph_cost *cost)
{
    bool cpu = writing->view->weigh.kind == REPORT_WEIGHT_CPU;
    marshal_float(&writing->out, cpu ? (double)cost->cpu_ns / NS_PER_S
                                     : (double)cost->samples * sample_s(writing));
}

// ---- Rows ----------------------------------------------------------------------------------------

static int by_callee(const void *left, const void *right)
{
    const struct graph_call *a = left, *b = right;
    return a->callee != b->callee ? (a->callee > b->callee) - (a->callee < b->callee)
                                  : (a->caller > b->caller) - (a->caller < b->caller);
}

static void put_caller(struct writing *writing, const struct graph_call *call)
{
    uint64_t calls = graph_calls(writing->graph, call);
    put_function(writing, call->caller);
    marshal_tuple(&writing->out, 4);
    marshal_integer(&writing->out, calls);
    marshal_integer(&writing->out, calls);
    put_time(writing, &call->leaf);
    put_time(writing, &call->total);
}

static void put_row(struct writing *writing, uint32_t node, size_t *next_call)
{
    const struct graph *graph = writing->graph;
    uint64_t calls = graph->nodes[node].activations ? graph->nodes[node].activations : 1;
    put_function(writing, node);
    marshal_tuple(&writing->out, 5);
    marshal_integer(&writing->out, calls);
    marshal_integer(&writing->out, calls);
    put_time(writing, &graph->nodes[node].self);
    put_time(writing, &graph->nodes[node].total);
    marshal_begin_dict(&writing->out);
    for (; *next_call < graph->call_count && graph->calls[*next_call].callee == node; ++*next_call)
        put_caller(writing, &graph->calls[*next_call]);
    marshal_end_dict(&writing->out);
}

static void put_note(struct writing *writing)
{
    GUARD(plain_deinit) struct plain text = {0};
    plain_str(&text,
              "<pycore: calls are distinct calls seen, at least so many were made; times are ");
    if (writing->view->weigh.kind == REPORT_WEIGHT_CPU)
        plain_str(&text, "CPU time");
    else
        plain_add(&text, "samples x %g s", sample_s(writing));
    if (view_dropped(writing->view))
        plain_str(&text, "; ");
    view_say_dropped(&text, writing->view);
    plain_str(&text, ">");
    put_key(writing, BUILTIN_FILE, 0, plain_text(&text));
    marshal_tuple(&writing->out, 5);
    marshal_integer(&writing->out, 0);
    marshal_integer(&writing->out, 0);
    marshal_float(&writing->out, 0);
    marshal_float(&writing->out, 0);
    marshal_begin_dict(&writing->out);
    marshal_end_dict(&writing->out);
    writing->failed |= text.failed;
}

static struct err *write_stats(struct writing *writing, FILE *out)
{
    size_t call = 0;
    marshal_begin_dict(&writing->out);
    put_note(writing);
    for (uint32_t node = 0; node < writing->graph->node_count; node++) {
        const struct graph_cost *total = &writing->graph->nodes[node].total;
        if (total->samples || total->cpu_ns)
            put_row(writing, node, &call);
        if (writing->failed || writing->out.failed)
            return err_create(ERR_NO_MEMORY, "no memory for the pstats report");
        fwrite(writing->out.bytes.items, 1, writing->out.bytes.count, out);
        vec_clear(&writing->out.bytes);
    }
    marshal_end_dict(&writing->out);
    fwrite(writing->out.bytes.items, 1, writing->out.bytes.count, out);
    return NULL;
}

struct err *report_pstats(FILE *out, const struct report_input *input,
                          const struct report_options *options)
{
    struct view *view;
    struct graph *graph = NULL;
    TRY(view_create(input, options, 0, &view));
    struct err *err = graph_create(view, key_of, false, &graph);
    if (!err) {
        struct writing writing = {.view = view, .graph = graph};
        if (graph->call_count)
            qsort(graph->calls, graph->call_count, sizeof(*graph->calls), by_callee);
        err = write_stats(&writing, out);
        wire_out_deinit(&writing.out);
    }
    graph_destroy(graph);
    view_destroy(view);
    return err;
}
