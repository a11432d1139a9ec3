// SPDX-License-Identifier: GPL-3.0-or-later
// See await_graph.h. Components are those of R. Tarjan, "Depth-first search and linear graph
// algorithms" (1972), without recursion: chains of tasks may be as long as there are tasks.
#include "report/await_graph.h"

#include <stdlib.h>

#include "util/guard.h"

size_t await_edges(const struct snap_task *task, bool holders)
{
    return task->await.tasks.count + (holders && task->await.holder != SNAP_NO_INDEX);
}

uint32_t await_edge(const struct snap_task *task, size_t edge)
{
    return edge < task->await.tasks.count ? task->await.tasks.items[edge] : task->await.holder;
}

// ---- Components ----------------------------------------------------------------------------------

struct visit {
    uint32_t task;
    size_t edge; // the next one
};

struct search {
    struct await_graph *graph;
    uint32_t *found; // by task: when it was found, from 1; 0: not yet
    uint32_t *low;   // the earliest one of its component that is known to be reached
    uint32_t *open;  // tasks whose component is not known
    struct visit *visits;
    uint32_t finds, opens, components, done;
    size_t depth;
};

static void enter(struct search *search, uint32_t task)
{
    search->found[task] = search->low[task] = ++search->finds;
    search->open[search->opens++] = task;
    search->visits[search->depth++] = (struct visit){.task = task};
}

// All that was opened since the task was found is its component.
static void close_component(struct search *search, uint32_t task)
{
    struct await_graph *graph = search->graph;
    uint32_t member;
    do {
        member = search->open[--search->opens];
        graph->components[member] = search->components;
        graph->sizes[search->components]++;
        graph->order[search->done++] = member;
    } while (member != task);
    search->components++;
}

static void lower(struct search *search, uint32_t task, uint32_t to)
{
    if (to < search->low[task])
        search->low[task] = to;
}

static void step(struct search *search)
{
    struct await_graph *graph = search->graph;
    struct visit *visit = &search->visits[search->depth - 1];
    const struct snap_task *task = &graph->suspended->tasks.items[visit->task];
    if (visit->edge < await_edges(task, graph->holders)) {
        uint32_t next = await_edge(task, visit->edge++);
        if (next >= graph->count)
            return;
        if (!search->found[next])
            enter(search, next);
        else if (graph->components[next] == SNAP_NO_INDEX)
            lower(search, visit->task, search->found[next]);
        return;
    }
    uint32_t done = visit->task;
    if (search->low[done] == search->found[done])
        close_component(search, done);
    if (--search->depth)
        lower(search, search->visits[search->depth - 1].task, search->low[done]);
}

bool await_graph_init(struct await_graph *graph, const struct snap_suspended *suspended,
                      bool holders)
{
    size_t count = suspended->tasks.count;
    *graph = (struct await_graph){.suspended = suspended, .holders = holders, .count = count};
    graph->components = calloc(count + 1, sizeof(*graph->components));
    graph->sizes = calloc(count + 1, sizeof(*graph->sizes));
    graph->order = calloc(count + 1, sizeof(*graph->order));
    AUTO_FREE uint32_t *found = calloc(count + 1, sizeof(*found));
    AUTO_FREE uint32_t *low = calloc(count + 1, sizeof(*low));
    AUTO_FREE uint32_t *open = calloc(count + 1, sizeof(*open));
    AUTO_FREE struct visit *visits = calloc(count + 1, sizeof(*visits));
    if (!graph->components || !graph->sizes || !graph->order || !found || !low || !open || !visits)
        return false;
    for (size_t i = 0; i < count; i++)
        graph->components[i] = SNAP_NO_INDEX;
    struct search search = {
        .graph = graph, .found = found, .low = low, .open = open, .visits = visits};
    for (uint32_t i = 0; i < count; i++) {
        if (!found[i])
            enter(&search, i);
        while (search.depth)
            step(&search);
    }
    return true;
}

void await_graph_deinit(struct await_graph *graph)
{
    free(graph->components);
    free(graph->sizes);
    free(graph->order);
}

bool await_graph_in_ring(const struct await_graph *graph, uint32_t task)
{
    if (graph->sizes[graph->components[task]] > 1)
        return true;
    const struct snap_task *of = &graph->suspended->tasks.items[task];
    for (size_t i = 0; i < await_edges(of, graph->holders); i++)
        if (await_edge(of, i) == task)
            return true;
    return false;
}

// ---- Rings ---------------------------------------------------------------------------------------

// Breadth first, within the component; came_from[] is the way back.
static uint32_t find_back(const struct await_graph *graph, uint32_t start, uint32_t *came_from,
                          uint32_t *queue)
{
    size_t first = 0, last = 0;
    queue[last++] = start;
    while (first < last) {
        uint32_t at = queue[first++];
        const struct snap_task *task = &graph->suspended->tasks.items[at];
        for (size_t i = 0; i < await_edges(task, graph->holders); i++) {
            uint32_t next = await_edge(task, i);
            if (next == start)
                return at;
            if (next >= graph->count || came_from[next] != SNAP_NO_INDEX ||
                graph->components[next] != graph->components[start])
                continue;
            came_from[next] = at;
            queue[last++] = next;
        }
    }
    return SNAP_NO_INDEX;
}

bool await_graph_ring(const struct await_graph *graph, uint32_t task, struct await_ring *ret)
{
    AUTO_FREE uint32_t *came_from = malloc((graph->count + 1) * sizeof(*came_from));
    AUTO_FREE uint32_t *queue = calloc(graph->count + 1, sizeof(*queue));
    vec_clear(ret);
    if (!came_from || !queue)
        return false;
    for (size_t i = 0; i < graph->count; i++)
        came_from[i] = SNAP_NO_INDEX;
    uint32_t at = find_back(graph, task, came_from, queue);
    for (; at != SNAP_NO_INDEX; at = came_from[at])
        if (!vec_push(ret, at))
            return false;
    // It was found from its end.
    for (size_t i = 0; i < ret->count / 2; i++) {
        uint32_t swap = ret->items[i];
        ret->items[i] = ret->items[ret->count - 1 - i];
        ret->items[ret->count - 1 - i] = swap;
    }
    return true;
}
