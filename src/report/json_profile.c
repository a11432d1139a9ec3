// SPDX-License-Identifier: GPL-3.0-or-later
// The "profile" of the JSON document.
//
// "self" and "total" of functions, lines and edges are thread samples in which the thread was at
// work (running or runnable): a thread asleep in select() makes no hotspot. What else was seen of
// a function is in "self_waiting" and "total_waiting". "self" is the innermost frame, whatever it
// is; "own" the innermost frame with a name in Python, and the same as "self" where there is none:
// native code counts for what called it. "self_low" and "self_high" bound self / samples_working,
// "own_low" and "own_high" own / samples_working, "total_low" and "total_high" total /
// samples_working. An edge's "through" counts the calls through native code, too, between
// functions that are not native; it is there where it is more than "total". Samples of threads,
// stacks and the tree are of all states; "samples_working" stands beside them. A thread's
// "hottest" and "most_seen" are by "own".
//
// Functions, lines and edges are known by the "id" of a function, its index in "functions"; stacks
// and the tree by "frame", an index in "frames". There, frames of a function as a whole, for the
// tree, follow those of its lines: their "line" is null. "moments", with --snapshots, is the time
// line: for each snapshot the indexes of its stacks.
//
// A stack's "holds_gil" is only there when true, and "task", "task_frames" and "awaiting" only where a
// task had its turn (json_profile_tasks.c).
#include <string.h>

#include "report/json.h"
#include "util/guard.h"

// Nodes of the tree below this part of all samples are only counted: 0.1 %.
#define TREE_PRUNE_DIVISOR 1000
// So are nodes below this depth. Each is two levels of JSON, and parsers give up: CPython's at the
// recursion limit, 1000 by default. "stacks" hold all frames.
#define TREE_DEPTH_MAX 400

void json_states(struct json_report *report, const uint64_t states[SNAP_STATE_COUNT])
{
    json_begin_object(&report->json, "states");
    for (int state = 0; state < SNAP_STATE_COUNT; state++)
        if (states[state])
            json_u64(&report->json, snap_state_name(state), states[state]);
    json_end_object(&report->json, JSON_LINE);
}

static void share_if(struct json_report *report, const char *key, bool has, double share)
{
    if (has)
        json_double(&report->json, key, share);
    else
        json_null(&report->json, key);
}

static void write_sums(struct json_report *report, const struct prof_report *profile)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_u64(json, "snapshots", profile->snapshots);
    json_u64(json, "interval_ns", profile->interval_ns);
    json_u64(json, "duration_ns", profile->duration_ns);
    json_line(json);
    json_u64(json, "pause_total_ns", profile->pause_total_ns);
    json_u64(json, "pause_max_ns", profile->pause_max_ns);
    json_u64(json, "pause_median_ns", profile->pause_median_ns);
    json_u64(json, "pause_p95_ns", profile->pause_p95_ns);
    bool timed = profile->duration_ns != 0;
    share_if(report, "pause_share", timed, profile->pause_share);
    json_line(json);
    json_u64(json, "threads_stopped", profile->threads_stopped);
    json_u64(json, "interrupted_calls", profile->interrupted_calls);
    json_u64(json, "overruns", profile->overruns);
    json_u64(json, "missed", profile->missed);
    json_u64_if(report, "own_cpu_ns", profile->own_cpu_ns != 0, profile->own_cpu_ns);
    share_if(report, "own_cpu_share", timed && profile->own_cpu_ns, profile->own_cpu_share);
    json_line(json);
    json_u64(json, "samples", profile->samples);
    json_u64(json, "samples_working", profile->samples_working);
    json_u64(json, "samples_held_still", profile->held_still);
    json_states(report, profile->states);
    json_double(json, "unseen_high", profile->unseen_high);
    json_line(json);
    bool has_cpu = profile->has_process_cpu;
    json_u64_if(report, "process_cpu_ns", has_cpu, profile->process_cpu_ns);
    json_u64(json, "cpu_on_stacks_ns", profile->cpu_on_stacks_ns);
    json_u64(json, "cpu_between_ns", profile->cpu_between_ns);
    json_u64_if(report, "cpu_unseen_ns", has_cpu, profile->cpu_unseen_ns);
    json_line(json);
    json_u64(json, "dropped_stacks", profile->dropped_stacks);
    json_u64(json, "dropped_tree", profile->dropped_tree);
    json_u64(json, "dropped_functions", profile->dropped_functions);
    json_u64(json, "dropped_edges", profile->dropped_edges);
    json_u64(json, "dropped_moments", profile->dropped_moments);
}

static void write_thread(struct json_report *report, const struct prof_thread *thread)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", thread->pid != 0, thread->pid);
    json_i64_if(report, "tid", thread->tid != 0, thread->tid);
    json_name(report, "name", thread->name);
    json_bool(json, "name_from_kernel", thread->name && thread->name_from_kernel);
    if (thread->python_id)
        json_hex(json, "python_thread_id", thread->python_id);
    else
        json_null(json, "python_thread_id");
    json_known_to_python(report, thread->pid, thread->known_to_python);
    json_u64_if(report, "cpu_ns", thread->has_cpu, thread->cpu_ns);
    json_u64_if(report, "cpu_between_ns", thread->has_cpu, thread->cpu_between_ns);
    if (thread->has_cpu)
        json_double(json, "cpu_share", thread->cpu_share);
    else
        json_null(json, "cpu_share");
    json_u64(json, "samples", thread->samples);
    json_states(report, thread->states);
    json_u64(json, "holds_gil", thread->gil_held);
    json_u64(json, "in_gc", thread->in_gc);
    json_u64(json, "on_cpu", thread->on_cpu);
    json_u64_if(report, "hottest", thread->hottest != UINT32_MAX, thread->hottest);
    json_u64_if(report, "most_seen", thread->top_frame != UINT32_MAX, thread->top_frame);
    json_end_object(json, JSON_LINE);
}

static void write_pool(struct json_report *report, const struct prof_pool *pool)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_object(json, "native_pool");
    json_u64(json, "threads", pool->threads);
    json_u64(json, "snapshots", pool->snapshots);
    json_u64(json, "samples_working", pool->samples_working);
    json_u64(json, "cpu_ns", pool->cpu_ns);
    bool linked = pool->function != UINT32_MAX;
    json_u64_if(report, "waited_for_by", linked && pool->thread != UINT32_MAX, pool->thread);
    json_u64_if(report, "waited_for_in", linked, pool->function);
    json_u64_if(report, "together", linked, pool->together);
    json_bool(json, "inferred", true);
    json_end_object(json, JSON_LINE);
}

static void write_function(struct json_report *report, const struct prof_function *f)
{
    static const char *const kinds[] = {
        [SNAP_PYTHON] = "python", [SNAP_BUILTIN] = "builtin", [SNAP_NATIVE] = "native"};
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_u64(json, "id", f->id);
    json_text(json, "kind", kinds[f->kind]);
    json_name(report, "function", f->function);
    json_name(report, "qualname", f->qualname);
    json_name(report, "file", f->file);
    if (f->kind == SNAP_NATIVE)
        json_name(report, "module", f->module);
    if (f->kind == SNAP_BUILTIN)
        json_bool(json, "inferred", f->inferred);
    json_u64_if(report, "line", f->line >= 0, (uint64_t)f->line);
    json_u64(json, "self", f->self_working);
    json_u64(json, "total", f->total_working);
    json_u64(json, "self_waiting", f->self - f->self_working);
    json_u64(json, "total_waiting", f->total - f->total_working);
    json_u64(json, "self_cpu_ns", f->self_cpu_ns);
    json_u64(json, "total_cpu_ns", f->total_cpu_ns);
    json_double(json, "self_low", f->self_low);
    json_double(json, "self_high", f->self_high);
    json_double(json, "total_low", f->total_low);
    json_double(json, "total_high", f->total_high);
    json_u64(json, "own", f->own_working);
    json_u64(json, "own_waiting", f->own - f->own_working);
    json_u64(json, "own_cpu_ns", f->own_cpu_ns);
    json_double(json, "own_low", f->own_low);
    json_double(json, "own_high", f->own_high);
    json_u64(json, "activations", f->activations);
    json_u64(json, "longest_snapshots", f->longest_snapshots);
    json_u64(json, "longest_ns", f->longest_ns);
    json_states(report, f->states);
    json_end_object(json, JSON_LINE);
}

static void write_edge(struct json_report *report, const struct prof_edge *edge)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_u64(json, "caller", edge->caller);
    json_u64(json, "callee", edge->callee);
    json_u64(json, "total", edge->total_working);
    json_u64(json, "total_waiting", edge->total - edge->total_working);
    json_u64(json, "cpu_ns", edge->cpu_ns);
    if (edge->through > edge->total) {
        json_u64(json, "through", edge->through_working);
        json_u64(json, "through_waiting", edge->through - edge->through_working);
        json_u64(json, "through_cpu_ns", edge->through_cpu_ns);
    }
    json_end_object(json, JSON_LINE);
}

static void write_stack(struct json_report *report, const struct prof_stack *stack)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", stack->pid != 0, stack->pid);
    json_i64_if(report, "tid", stack->tid != 0, stack->tid);
    json_text(json, "state", snap_state_name(stack->state));
    if (stack->holds_gil)
        json_bool(json, "holds_gil", true);
    json_u64(json, "samples", stack->samples);
    json_u64(json, "cpu_ns", stack->cpu_ns);
    json_begin_array(json, "frames");
    for (size_t i = 0; i < stack->frame_count; i++)
        json_u64(json, NULL, stack->frames[i]);
    json_end_array(json, JSON_LINE);
    json_stack_task(report, stack);
    json_end_object(json, JSON_LINE);
}

static void write_frame(struct json_report *report, const struct snap_frame *frame,
                        uint32_t function)
{
    json_line(&report->json);
    json_frame(report, frame);
    json_u64(&report->json, "function_id", function);
    json_end_object(&report->json, JSON_LINE);
}

struct snap_frame json_frame_of(const struct prof_function *function)
{
    return (struct snap_frame){
        .kind = function->kind,
        .flags = function->inferred ? SNAP_FRAME_INFERRED : 0,
        .function = function->function,
        .qualname = function->qualname,
        .file = function->file,
        .module = function->module,
        .line = -1,
        .column = -1,
        .first_line = function->line,
        .address = function->kind == SNAP_NATIVE ? SNAP_NO_ADDRESS : 0,
    };
}

// The frame without a line that stands for each function in the tree; made where none was seen.
static void write_frames(struct json_report *report, const struct prof_report *profile,
                         uint32_t *ret_frame_of)
{
    json_line(&report->json);
    json_begin_array(&report->json, "frames");
    for (size_t i = 0; i < profile->function_count; i++)
        ret_frame_of[i] = UINT32_MAX;
    for (size_t i = 0; i < profile->frame_count; i++) {
        write_frame(report, &profile->frames[i], profile->frame_function[i]);
        if (profile->frames[i].line < 0)
            ret_frame_of[profile->frame_function[i]] = (uint32_t)i;
    }
    uint32_t next = (uint32_t)profile->frame_count;
    for (size_t i = 0; i < profile->function_count; i++) {
        const struct prof_function *f = &profile->functions[i];
        if (ret_frame_of[i] != UINT32_MAX)
            continue;
        struct snap_frame frame = json_frame_of(f);
        write_frame(report, &frame, f->id);
        ret_frame_of[i] = next++;
    }
    json_end_array(&report->json, JSON_LINES);
}

// ---- The tree -----------------------------------------------------------------------------------

static void begin_node(struct json_report *report, const struct prof_node *node,
                       const uint32_t *frame_of)
{
    struct json_writer *json = &report->json;
    bool root = node->function == UINT32_MAX;
    json_begin_object(json, root ? "tree" : NULL);
    json_u64_if(report, "frame", !root, root ? 0 : frame_of[node->function]);
    json_u64(json, "samples", node->samples);
    json_u64(json, "samples_working", node->samples_working);
    json_u64(json, "self", node->self);
    json_u64(json, "self_working", node->self_working);
    json_u64(json, "cpu_ns", node->cpu_ns);
    json_u64(json, "self_cpu_ns", node->self_cpu_ns);
    json_begin_array(json, "children");
}

// The next of node and its later siblings that is worth its place; 0: none.
static uint32_t kept_sibling(const struct prof_report *profile, uint32_t node, unsigned depth)
{
    if (depth > TREE_DEPTH_MAX)
        return 0;
    while (node && profile->nodes[node].samples * TREE_PRUNE_DIVISOR < profile->nodes[0].samples)
        node = profile->nodes[node].next_sibling;
    return node;
}

// Down to the first child, else to the next sibling of the nearest parent that has one. What that
// never comes to is pruned.
static void write_tree(struct json_report *report, const struct prof_report *profile,
                       const uint32_t *frame_of)
{
    struct json_writer *json = &report->json;
    uint32_t node = 0, next;
    unsigned depth = 0;
    size_t written = 1;
    begin_node(report, &profile->nodes[0], frame_of);
    for (;;) {
        next = kept_sibling(profile, profile->nodes[node].first_child, depth + 1);
        if (next)
            depth++;
        while (!next && node) {
            json_end_array(json, JSON_LINES);
            json_end_object(json, JSON_LINE);
            next = kept_sibling(profile, profile->nodes[node].next_sibling, depth);
            if (!next) {
                node = profile->nodes[node].parent;
                depth--;
            }
        }
        if (!next)
            break;
        node = next;
        json_line(json);
        begin_node(report, &profile->nodes[node], frame_of);
        written++;
    }
    json_end_array(json, JSON_LINES);
    json_u64(json, "pruned", profile->pruned_nodes + profile->node_count - written);
    json_end_object(json, JSON_LINE);
}

// ---- All of it ----------------------------------------------------------------------------------

#define WRITE_LIST(key, items, count, write)   \
    do {                                       \
        json_line(json);                       \
        json_begin_array(json, key);           \
        for (size_t i = 0; i < (count); i++) { \
            json_line(json);                   \
            write(report, &(items)[i]);        \
        }                                      \
        json_end_array(json, JSON_LINES);      \
    } while (0)

static void write_moments(struct json_report *report, const struct prof_report *profile)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_array(json, "moments");
    for (size_t i = 0; i < profile->moment_count; i++) {
        const struct prof_moment *moment = &profile->moments[i];
        json_line(json);
        json_begin_object(json, NULL);
        json_u64(json, "at_ns", moment->at_ns);
        json_begin_array(json, "stacks");
        for (size_t k = 0; k < moment->count; k++)
            json_u64(json, NULL, profile->moment_stacks[moment->first + k]);
        json_end_array(json, JSON_LINE);
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINES);
}

struct err *json_profile(struct json_report *report, const struct prof_report *profile,
                         bool moments)
{
    struct json_writer *json = &report->json;
    AUTO_FREE uint32_t *frame_of = calloc(profile->function_count + 1, sizeof(*frame_of));
    if (!frame_of)
        return err_create(ERR_NO_MEMORY, "no memory for the JSON report");
    json_begin_object(json, "profile");
    write_sums(report, profile);
    write_pool(report, &profile->pool);
    json_processes(report, profile);
    WRITE_LIST("threads", profile->threads, profile->thread_count, write_thread);
    WRITE_LIST("functions", profile->functions, profile->function_count, write_function);
    TRY(json_lines(report, profile));
    WRITE_LIST("edges", profile->edges, profile->edge_count, write_edge);
    write_frames(report, profile, frame_of);
    WRITE_LIST("stacks", profile->stacks, profile->stack_count, write_stack);
    json_profile_tasks(report, profile);
    if (moments)
        write_moments(report, profile);
    json_line(json);
    if (profile->node_count)
        write_tree(report, profile, frame_of);
    else
        json_null(json, "tree");
    json_end_object(json, JSON_LINES);
    return NULL;
}
