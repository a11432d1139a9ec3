// SPDX-License-Identifier: GPL-3.0-or-later
// Who waits for whom among tasks and threads together, and who of them can never go on.
#ifndef DIAGNOSE_TASK_GRAPH_H
#define DIAGNOSE_TASK_GRAPH_H

#include "diagnose/tasks.h"

enum task_link {
    TASK_LINK_AWAITS, // a task: another one has to end
    TASK_LINK_LOCK,   // a task: another one has the lock
    TASK_LINK_JOB,    // a task: a thread runs its job
    TASK_LINK_TURN,   // a task: the thread of its loop is inside of a callback, and waits
    TASK_LINK_RESULT, // a thread: a task answers its future
    TASK_LINK_THREAD, // a thread: another one has what it waits for
};

struct task_link_to {
    uint32_t node;
    enum task_link how;
};

// Nodes are tasks, then threads.
struct task_graph {
    size_t task_count, count;
    uint32_t *first; // of each node in `links`; first[count]: the end
    VEC(struct task_link_to) links;
    bool *any;                   // one of its links is enough for it to go on; else it needs all
    bool *live;                  // it may go on, for all that is known
    struct task_link_to *chosen; // of those that can never go on: to another one of the kind
};

struct task_ring {
    VEC(uint32_t) nodes; // each waits for the next one
    size_t behind;       // tasks that wait for it, directly or through others
};
VEC_DEFINE(task_rings, struct task_ring);

// False: out of memory.
bool task_graph_build(const struct diag *diag, struct task_graph *graph);
void task_graph_deinit(struct task_graph *graph);
// All rings that have a task in them, those with most behind them first.
bool task_graph_rings(const struct task_graph *graph, struct task_rings *ret);
void task_rings_deinit(struct task_rings *rings);

#endif
