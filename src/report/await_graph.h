// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks as a graph: who awaits whom, rings, and which subtrees look alike. All of it in linear time.
#ifndef REPORT_AWAIT_GRAPH_H
#define REPORT_AWAIT_GRAPH_H

#include "snapshot/suspended.h"

VEC_DEFINE(await_ring, uint32_t); // indexes of tasks, each of which waits for the next one

struct await_graph {
    const struct snap_suspended *suspended;
    bool holders;         // who waits for a lock waits for its holder, too
    size_t count;         // tasks
    uint32_t *components; // by task: those of one component wait for each other in a ring
    uint32_t *sizes;      // by component: how many tasks it has
    uint32_t *order;      // tasks, those that are awaited before those that await them
};

// False: out of memory.
bool await_graph_init(struct await_graph *graph, const struct snap_suspended *suspended,
                      bool holders);
void await_graph_deinit(struct await_graph *graph);
// It is part of a ring; also one that waits for itself.
bool await_graph_in_ring(const struct await_graph *graph, uint32_t task);
// The shortest ring through a task that is part of one, which comes first. False: out of memory.
bool await_graph_ring(const struct await_graph *graph, uint32_t task, struct await_ring *ret);

// What each task waits for: its edges, one after the other.
size_t await_edges(const struct snap_task *task, bool holders);
uint32_t await_edge(const struct snap_task *task, size_t edge); // SNAP_NO_INDEX: it leads nowhere

#endif
