// SPDX-License-Identifier: GPL-3.0-or-later
// See task_graph.h. A task may wait for many others, for all of them (gather(), a TaskGroup) or for
// the first one (wait()). So it is asked the other way round who may go on: whoever waits for nothing
// that is known here, then who waits for these. What is left in the end waits for each other for ever,
// and following any of its links from any of them leads into a ring. Linear, whatever the values say.
#include "diagnose/task_graph.h"

#include "util/bisect.h"
#include "util/guard.h"

// ---- Links ---------------------------------------------------------------------------------------

static bool add_link(struct task_graph *graph, size_t node, enum task_link how)
{
    if (node >= graph->count || graph->links.count >= DIAG_NONE - 1)
        return true;
    struct task_link_to link = {(uint32_t)node, how};
    return vec_push(&graph->links, link);
}

struct answer {
    pid_t pid;
    uint64_t future;
    uint32_t task;
};

static int by_future(const void *left, const void *right)
{
    const struct answer *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->future != b->future)
        return a->future < b->future ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

// Tasks whose result goes to another thread, sorted.
static struct answer *find_answers(const struct diag *diag, size_t *ret_count)
{
    const struct snap_tasks *tasks = &diag_suspended(diag)->tasks;
    struct answer *answers = calloc(tasks->count + 1, sizeof(*answers));
    *ret_count = 0;
    for (uint32_t i = 0; answers && i < tasks->count; i++)
        if (tasks->items[i].answers && task_lives(&tasks->items[i]))
            answers[(*ret_count)++] =
                (struct answer){tasks->items[i].pid, tasks->items[i].answers, i};
    if (answers)
        qsort(answers, *ret_count, sizeof(*answers), by_future);
    return answers;
}

static uint32_t answering(const struct answer *answers, size_t count, pid_t pid, uint64_t future)
{
    size_t at = bisect(count, i, answers[i].pid < pid ||
                                     (answers[i].pid == pid && answers[i].future < future));
    bool found = at < count && answers[at].pid == pid && answers[at].future == future;
    return found ? answers[at].task : DIAG_NONE;
}

static bool link_thread(const struct diag *diag, struct task_graph *graph, uint32_t thread,
                        const struct answer *answers, size_t count)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    if (diag->graph.next[thread] != DIAG_NONE)
        return add_link(graph, graph->task_count + diag->graph.next[thread], TASK_LINK_THREAD);
    if (!wait || wait->kind != SNAP_WAIT_FUTURE || !wait->object)
        return true;
    uint32_t task = answering(answers, count, diag->threads[thread].pid, wait->object);
    return task == DIAG_NONE || add_link(graph, task, TASK_LINK_RESULT);
}

// asyncio.wait() may be content with the first of them (CPython: Lib/asyncio/tasks.py, _wait, whose
// callback looks at return_when); gather() and TaskGroup are not.
static bool waits_for_any(const struct diag *diag, const struct snap_task *task)
{
    struct stack stack = stack_of_suspended(diag, task->stack);
    for (size_t i = 0; i < stack.count; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        if (stack_origin(diag, frame) != SNAP_LIBRARY)
            return false;
        if (stack_is(diag, frame, "asyncio/tasks.py", "_wait"))
            return true;
    }
    return false;
}

// Who awaits a task does so until it ends. Where the loop runs and each task is true for itself, both
// have to say so: the one what it awaits, and the other who is woken by it, which made the index.
static bool awaits_for_sure(const struct diag *diag, const struct snap_task *task, uint32_t other)
{
    return task_still(diag, task) ||
           (task->await.kind == SNAP_AWAIT_TASK &&
            task->await.object == diag_suspended(diag)->tasks.items[other].object);
}

static bool link_waiting(const struct diag *diag, struct task_graph *graph, uint32_t index)
{
    const struct snap_task *task = &diag_suspended(diag)->tasks.items[index];
    const struct snap_await *await = &task->await;
    if (await->kind == SNAP_AWAIT_LOCK) {
        bool held = await->holder < graph->task_count &&
                    task_lives(&diag_suspended(diag)->tasks.items[await->holder]);
        return !held || add_link(graph, await->holder, TASK_LINK_LOCK);
    }
    if (await->kind == SNAP_AWAIT_EXECUTOR) {
        uint32_t thread = await->thread
                              ? numbers_find(diag->numbers, diag->count, task->pid, await->thread)
                              : DIAG_NONE;
        return thread == DIAG_NONE || !task_still(diag, task) ||
               add_link(graph, graph->task_count + thread, TASK_LINK_JOB);
    }
    graph->any[index] = await->tasks.count && waits_for_any(diag, task);
    if (graph->any[index] && await->tasks.count < await->task_count)
        return true;
    bool ok = true;
    vec_foreach (other, &await->tasks)
        // asyncio lets no task await itself.
        ok = ok &&
             (*other >= graph->task_count || *other == index ||
              !awaits_for_sure(diag, task, *other) || add_link(graph, *other, TASK_LINK_AWAITS));
    return ok;
}

// What a loop's thread waits for inside of a callback, all its tasks wait for.
static bool link_task(const struct diag *diag, struct task_graph *graph, uint32_t index,
                      const bool *stuck)
{
    const struct snap_task *task = &diag_suspended(diag)->tasks.items[index];
    uint32_t thread = task_lives(task) ? loop_thread(diag, task->loop) : DIAG_NONE;
    if (thread != DIAG_NONE && stuck[thread])
        return add_link(graph, graph->task_count + thread, TASK_LINK_TURN);
    return task->state != SNAP_TASK_WAITING || link_waiting(diag, graph, index);
}

static bool add_links(const struct diag *diag, struct task_graph *graph)
{
    size_t answer_count;
    AUTO_FREE struct answer *answers = find_answers(diag, &answer_count);
    AUTO_FREE bool *stuck = calloc(diag->count + 1, sizeof(*stuck));
    // Threads first, as tasks ask for theirs; the nodes' order is tasks, then threads.
    for (uint32_t i = 0; answers && stuck && i < diag->count; i++) {
        size_t before = graph->links.count;
        if (!link_thread(diag, graph, i, answers, answer_count))
            return false;
        stuck[i] = graph->links.count > before;
    }
    if (!answers || !stuck)
        return false;
    graph->links.count = 0;
    for (uint32_t i = 0; i < graph->task_count; i++) {
        graph->first[i] = (uint32_t)graph->links.count;
        if (!link_task(diag, graph, i, stuck))
            return false;
    }
    for (uint32_t i = 0; i < diag->count; i++) {
        graph->first[graph->task_count + i] = (uint32_t)graph->links.count;
        if (!link_thread(diag, graph, i, answers, answer_count))
            return false;
    }
    graph->first[graph->count] = (uint32_t)graph->links.count;
    return true;
}

// ---- Who may go on -------------------------------------------------------------------------------

struct backwards { // the links, by whom they lead to
    uint32_t *first, *from;
};

static bool turn_round(const struct task_graph *graph, struct backwards *ret)
{
    ret->first = calloc(graph->count + 2, sizeof(*ret->first));
    ret->from = calloc(graph->links.count + 1, sizeof(*ret->from));
    if (!ret->first || !ret->from)
        return false;
    vec_foreach (link, &graph->links)
        ret->first[link->node + 2]++;
    for (size_t i = 2; i < graph->count + 2; i++)
        ret->first[i] += ret->first[i - 1];
    for (uint32_t i = 0; i < graph->count; i++)
        for (uint32_t j = graph->first[i]; j < graph->first[i + 1]; j++)
            ret->from[ret->first[graph->links.items[j].node + 1]++] = i;
    return true;
}

static bool find_live(struct task_graph *graph, const struct backwards *back, uint32_t *missing)
{
    VEC(uint32_t) found = {0};
    bool ok = vec_reserve(&found, graph->count + 1);
    for (uint32_t i = 0; ok && i < graph->count; i++) {
        uint32_t count = graph->first[i + 1] - graph->first[i];
        missing[i] = graph->any[i] && count ? 1 : count;
        graph->live[i] = !count;
        if (!count)
            found.items[found.count++] = i;
    }
    for (size_t at = 0; ok && at < found.count; at++) {
        uint32_t node = found.items[at];
        for (uint32_t j = back->first[node]; j < back->first[node + 1]; j++) {
            uint32_t from = back->from[j];
            if (graph->live[from] || --missing[from])
                continue;
            graph->live[from] = true;
            found.items[found.count++] = from;
        }
    }
    vec_deinit(&found);
    return ok;
}

bool task_graph_build(const struct diag *diag, struct task_graph *graph)
{
    *graph = (struct task_graph){.task_count = diag_suspended(diag)->tasks.count};
    graph->count = graph->task_count + diag->count;
    graph->first = calloc(graph->count + 1, sizeof(*graph->first));
    graph->any = calloc(graph->count + 1, sizeof(*graph->any));
    graph->live = calloc(graph->count + 1, sizeof(*graph->live));
    graph->chosen = calloc(graph->count + 1, sizeof(*graph->chosen));
    AUTO_FREE uint32_t *missing = calloc(graph->count + 1, sizeof(*missing));
    struct backwards back = {0};
    bool ok = graph->first && graph->any && graph->live && graph->chosen && missing &&
              add_links(diag, graph) && turn_round(graph, &back) &&
              find_live(graph, &back, missing);
    free(back.first);
    free(back.from);
    for (uint32_t i = 0; ok && i < graph->count; i++) {
        uint32_t j = graph->first[i];
        while (!graph->live[i] && graph->live[graph->links.items[j].node])
            j++;
        if (!graph->live[i])
            graph->chosen[i] = graph->links.items[j];
    }
    return ok;
}

void task_graph_deinit(struct task_graph *graph)
{
    free(graph->first);
    free(graph->any);
    free(graph->live);
    free(graph->chosen);
    vec_deinit(&graph->links);
}

// ---- Rings ---------------------------------------------------------------------------------------

static bool add_ring(const struct task_graph *graph, uint32_t start, struct task_rings *rings)
{
    struct task_ring ring = {0};
    bool ok = true;
    uint32_t at = start;
    do {
        ok = ok && vec_push(&ring.nodes, at);
        at = graph->chosen[at].node;
    } while (at != start);
    if (ok && vec_push(rings, ring))
        return true;
    vec_deinit(&ring.nodes);
    return false;
}

// Walks from each node to where somebody was before: at this walk's own steps a ring closes.
// `ring_of`: the number of the ring that it comes to; `walk`: whose walk came by.
static bool walk_all(const struct task_graph *graph, uint32_t *ring_of, uint32_t *walk,
                     struct task_rings *rings)
{
    for (uint32_t i = 0; i < graph->count; i++) {
        uint32_t at = i;
        for (; !graph->live[at] && walk[at] == DIAG_NONE; at = graph->chosen[at].node)
            walk[at] = i;
        if (graph->live[i] || walk[i] != i)
            continue;
        uint32_t number = ring_of[at];
        if (walk[at] == i) {
            number = (uint32_t)rings->count;
            if (!add_ring(graph, at, rings))
                return false;
            vec_foreach (node, &rings->items[number].nodes)
                ring_of[*node] = number;
        }
        for (at = i; ring_of[at] == DIAG_NONE; at = graph->chosen[at].node) {
            ring_of[at] = number;
            rings->items[number].behind += at < graph->task_count;
        }
    }
    return true;
}

static bool has_task(const struct task_graph *graph, const struct task_ring *ring)
{
    vec_foreach (node, &ring->nodes)
        if (*node < graph->task_count)
            return true;
    return false;
}

static int by_weight(const void *left, const void *right)
{
    const struct task_ring *a = left, *b = right;
    if (a->behind != b->behind)
        return a->behind > b->behind ? -1 : 1;
    return a->nodes.items[0] < b->nodes.items[0] ? -1 : 1;
}

bool task_graph_rings(const struct task_graph *graph, struct task_rings *ret)
{
    AUTO_FREE uint32_t *ring_of = malloc((graph->count + 1) * sizeof(*ring_of));
    AUTO_FREE uint32_t *walk = malloc((graph->count + 1) * sizeof(*walk));
    if (!ring_of || !walk)
        return false;
    memset(ring_of, 0xff, (graph->count + 1) * sizeof(*ring_of)); // DIAG_NONE
    memset(walk, 0xff, (graph->count + 1) * sizeof(*walk));
    if (!walk_all(graph, ring_of, walk, ret))
        return false;
    size_t kept = 0;
    vec_foreach (ring, ret)
        if (has_task(graph, ring))
            ret->items[kept++] = *ring;
        else
            vec_deinit(&ring->nodes);
    ret->count = kept;
    if (kept)
        qsort(ret->items, kept, sizeof(*ret->items), by_weight);
    return true;
}

void task_rings_deinit(struct task_rings *rings)
{
    vec_foreach (ring, rings)
        vec_deinit(&ring->nodes);
    vec_deinit(rings);
}
