// SPDX-License-Identifier: GPL-3.0-or-later
// See report/graph.h. One walk over each stack, from the outermost frame to the innermost; marks of
// the stack on nodes and calls keep recursion from counting twice.
#include "report/graph.h"

#include <stdlib.h>

#include "report/plain.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"
#include "util/strtab.h"
#include "util/vec.h"

struct making {
    const struct view *view;
    bool by_line;
    uint32_t *node_of; // by view frame
    VEC(struct graph_node) nodes;
    VEC(struct graph_line) lines;
    VEC(struct graph_call) calls;
    struct hash_index line_index, call_index;
    struct graph_cost sum;
};

static void add(struct graph_cost *to, const struct graph_cost *cost)
{
    to->samples += cost->samples;
    to->waiting += cost->waiting;
    to->cpu_ns += cost->cpu_ns;
    to->gil_samples += cost->gil_samples;
}

// ---- Nodes ---------------------------------------------------------------------------------------

static void add_activations(struct making *making, bool *counted)
{
    for (size_t i = 0; i < making->view->frame_count; i++) {
        uint32_t function = making->view->frames[i].function;
        if (function == UINT32_MAX || counted[function])
            continue;
        counted[function] = true;
        making->nodes.items[making->node_of[i]].activations +=
            making->view->profile->functions[function].activations;
    }
}

static bool make_nodes(struct making *making, graph_key_fn *key, struct strtab *keys)
{
    GUARD(plain_deinit) struct plain text = {0};
    for (size_t i = 0; i < making->view->frame_count; i++) {
        plain_clear(&text);
        key(&text, &making->view->frames[i]);
        uint32_t id = strtab_add(keys, plain_text(&text), text.size);
        if (text.failed || !id)
            return false;
        making->node_of[i] = id - 1; // ids are given in order, from 1
        if (id > making->nodes.count &&
            !vec_push(&making->nodes, (struct graph_node){.frame = (uint32_t)i}))
            return false;
    }
    return vec_push(&making->nodes, (struct graph_node){.frame = UINT32_MAX});
}

// ---- Lines and calls -----------------------------------------------------------------------------

static uint64_t hash_of(uint32_t caller, int32_t line, uint32_t callee)
{
    return hash_u64(hash_u64(HASH_SEED, (uint64_t)caller << 32 | callee), (uint32_t)line);
}

static struct graph_line *line_of(struct making *making, uint32_t node, int32_t line)
{
    uint64_t hash = hash_of(node, line, 0);
    struct hash_probe probe = hash_probe(&making->line_index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;) {
        struct graph_line *have = &making->lines.items[id];
        if (have->node == node && have->line == line)
            return have;
    }
    if (!hash_index_reserve(&making->line_index, 1) ||
        !vec_push(&making->lines, (struct graph_line){.node = node, .line = line}))
        return NULL;
    hash_index_add(&making->line_index, hash, (uint32_t)making->lines.count - 1);
    return &making->lines.items[making->lines.count - 1];
}

static struct graph_call *call_of(struct making *making, uint32_t caller, int32_t line,
                                  uint32_t callee)
{
    uint64_t hash = hash_of(caller, line, callee);
    struct hash_probe probe = hash_probe(&making->call_index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;) {
        struct graph_call *have = &making->calls.items[id];
        if (have->caller == caller && have->line == line && have->callee == callee)
            return have;
    }
    struct graph_call call = {.caller = caller, .callee = callee, .line = line};
    if (!hash_index_reserve(&making->call_index, 1) || !vec_push(&making->calls, call))
        return NULL;
    making->nodes.items[callee].callers++;
    hash_index_add(&making->call_index, hash, (uint32_t)making->calls.count - 1);
    return &making->calls.items[making->calls.count - 1];
}

// ---- Stacks --------------------------------------------------------------------------------------

static int32_t line_at(const struct making *making, uint32_t frame)
{
    return making->by_line ? making->view->frames[frame].line : -1;
}

static bool add_stack(struct making *making, const struct view_stack *stack, uint64_t mark)
{
    const struct graph_cost cost = {
        .samples = stack->samples,
        .waiting = snap_state_works(stack->state) ? 0 : stack->samples,
        .cpu_ns = stack->cpu_ns,
        .gil_samples = stack->gil_samples,
    };
    add(&making->sum, &cost);
    uint32_t node = (uint32_t)making->nodes.count - 1; // without any frame
    int32_t line = -1;
    for (size_t i = 0; i < stack->count || i == 0; i++) {
        uint32_t caller = node;
        int32_t caller_line = line;
        if (stack->count) {
            node = making->node_of[stack->frames[i]];
            line = line_at(making, stack->frames[i]);
        }
        struct graph_node *into = &making->nodes.items[node];
        bool entered = into->mark != mark;
        into->mark = mark;
        if (entered)
            add(&into->total, &cost);
        if (i == 0) {
            add(&into->outermost, &cost);
            continue;
        }
        struct graph_call *call = call_of(making, caller, caller_line, node);
        if (!call)
            return false;
        if (call->mark != mark)
            add(&call->total, &cost);
        call->mark = mark;
        if (entered)
            add(&call->entry, &cost);
        if (i + 1 == stack->count)
            add(&call->leaf, &cost);
    }
    struct graph_line *self = line_of(making, node, line);
    if (!self)
        return false;
    add(&self->self, &cost);
    add(&making->nodes.items[node].self, &cost);
    return true;
}

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_place(const void *left, const void *right)
{
    const struct graph_line *a = left, *b = right;
    return a->node != b->node ? order(a->node, b->node) : (a->line > b->line) - (a->line < b->line);
}

static int by_caller(const void *left, const void *right)
{
    const struct graph_call *a = left, *b = right;
    return a->caller != b->caller ? order(a->caller, b->caller)
           : a->line != b->line   ? (a->line > b->line) - (a->line < b->line)
                                  : order(a->callee, b->callee);
}

static bool make(struct making *making, graph_key_fn *key)
{
    const struct view *view = making->view;
    AUTO_FREE bool *counted = calloc(view->profile->function_count + 1, sizeof(*counted));
    struct strtab *keys = strtab_create();
    making->node_of = calloc(view->frame_count + 1, sizeof(*making->node_of));
    bool done = counted && keys && making->node_of && make_nodes(making, key, keys);
    strtab_destroy(keys);
    if (done)
        add_activations(making, counted);
    for (size_t i = 0; done && i < view->stack_count; i++)
        done = add_stack(making, &view->stacks[i], i + 1);
    if (done && making->lines.count)
        qsort(making->lines.items, making->lines.count, sizeof(*making->lines.items), by_place);
    if (done && making->calls.count)
        qsort(making->calls.items, making->calls.count, sizeof(*making->calls.items), by_caller);
    return done;
}

struct err *graph_create(const struct view *view, graph_key_fn *key, bool by_line,
                         struct graph **ret)
{
    struct making making = {.view = view, .by_line = by_line};
    struct graph *graph = calloc(1, sizeof(*graph));
    bool done = graph && make(&making, key);
    free(making.node_of);
    hash_index_deinit(&making.line_index);
    hash_index_deinit(&making.call_index);
    if (!done) {
        vec_deinit(&making.nodes);
        vec_deinit(&making.lines);
        vec_deinit(&making.calls);
        free(graph);
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    }
    *graph = (struct graph){.nodes = making.nodes.items,
                            .node_count = making.nodes.count,
                            .lines = making.lines.items,
                            .line_count = making.lines.count,
                            .calls = making.calls.items,
                            .call_count = making.calls.count,
                            .sum = making.sum};
    *ret = graph;
    return NULL;
}

void graph_destroy(struct graph *graph)
{
    if (!graph)
        return;
    free(graph->nodes);
    free(graph->lines);
    free(graph->calls);
    free(graph);
}

uint64_t graph_calls(const struct graph *graph, const struct graph_call *call)
{
    const struct graph_node *callee = &graph->nodes[call->callee];
    bool only = callee->callers == 1 && !callee->outermost.samples && !callee->outermost.cpu_ns;
    return only && callee->activations ? callee->activations : 1;
}
