// SPDX-License-Identifier: GPL-3.0-or-later
// Who calls whom, from a view: what formats show that know functions and calls, but no stacks.
//
// Nodes are functions as the format tells them apart: its `key` writes what must differ for two
// frames to be of different functions. The last node stands for stacks without any frame.
#ifndef REPORT_GRAPH_H
#define REPORT_GRAPH_H

#include "report/view.h"

struct graph_cost {
    uint64_t samples, waiting, cpu_ns, gil_samples; // waiting and gil_samples: of the samples
};

struct graph_node {
    uint32_t frame;              // the first view frame that is of it; UINT32_MAX: no frame at all
    uint64_t activations;        // distinct calls seen; 0: not counted
    struct graph_cost total;     // once for each sample that it is in, however deep the recursion
    struct graph_cost outermost; // of this, where no other function called it
    struct graph_cost self;
    uint32_t callers; // calls of it in `calls`
    uint64_t mark;    // private
};

struct graph_line { // self of a node, by line
    uint32_t node;
    int32_t line; // -1: not known
    struct graph_cost self;
};

struct graph_call { // caller at a line -> callee
    uint32_t caller, callee;
    int32_t line; // -1: not known
    // Once for each sample that has it. As self and total do of nodes, `leaf` counts where the
    // callee was innermost.
    struct graph_cost total, leaf;
    // Each sample counts in one call of each function that is in it, the outermost one. The sum over
    // all calls of a function, with `outermost`, is its total.
    struct graph_cost entry;
    uint64_t mark; // private
};

struct graph {
    struct graph_node *nodes;
    size_t node_count;
    struct graph_line *lines; // by node, line
    size_t line_count;
    struct graph_call *calls; // by caller, line, callee
    size_t call_count;
    struct graph_cost sum;
};

typedef void graph_key_fn(struct plain *out, const struct view_frame *frame);

// `by_line`: calls and self are told apart by the line of the caller. The view should be split by
// state: `waiting` goes by that of its stacks.
struct err *graph_create(const struct view *view, graph_key_fn *key, bool by_line,
                         struct graph **ret);
void graph_destroy(struct graph *graph);

// How often it was called: at least so often. Samples are no calls, so this is 1 unless the callee
// is called from nowhere else; then it is the distinct calls that were seen of it.
uint64_t graph_calls(const struct graph *graph, const struct graph_call *call);

#endif
