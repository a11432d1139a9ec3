// SPDX-License-Identifier: GPL-3.0-or-later
// task-cycle: tasks that wait for each other in a ring, by awaiting, through locks, or through a
// thread that waits for their loop. No thread is in it that a thread dump would show: the loop sleeps
// as if it had nothing to do.
//
// Task trees are no rings, and whoever waits for the first of many goes on with any of them. A ring
// that a time limit will break is less.
#include "diagnose/task_graph.h"

// Longer rings are told in full in the evidence only.
#define TITLE_NODES 3
#define EVIDENCE_NODES 30

struct cycle {
    struct diag *diag;
    const struct task_graph *graph;
    const struct task_ring *ring;
};

static bool is_task(const struct cycle *cycle, uint32_t node)
{
    return node < cycle->graph->task_count;
}

static uint32_t thread_of(const struct cycle *cycle, uint32_t node)
{
    return node - (uint32_t)cycle->graph->task_count;
}

static const struct snap_task *task_at(const struct cycle *cycle, uint32_t node)
{
    return &diag_suspended(cycle->diag)->tasks.items[node];
}

static void say_node(struct plain *text, const struct cycle *cycle, uint32_t node)
{
    if (is_task(cycle, node)) {
        say_task(text, cycle->diag, node);
        return;
    }
    const struct snap_thread *thread = &cycle->diag->threads[thread_of(cycle, node)];
    if (thread->name && !thread->name_from_kernel)
        plain_str(text, "thread ");
    say_thread(text, cycle->diag, thread_of(cycle, node));
}

static const struct snap_frame *own_of(const struct cycle *cycle, uint32_t node)
{
    if (is_task(cycle, node))
        return task_own(cycle->diag, node);
    struct stack stack = stack_of_thread(&cycle->diag->threads[thread_of(cycle, node)]);
    return stack_own(cycle->diag, &stack);
}

static void say_place(struct plain *text, const struct cycle *cycle, uint32_t node)
{
    const struct snap_frame *own = own_of(cycle, node);
    if (own) {
        plain_str(text, " in ");
        say_frame(text, cycle->diag, own);
    }
}

// What follows the name of who waits.
static void say_link(struct plain *text, const struct cycle *cycle, uint32_t node)
{
    struct diag *diag = cycle->diag;
    struct task_link_to link = cycle->graph->chosen[node];
    switch (link.how) {
    case TASK_LINK_AWAITS:
        plain_str(text, " awaits ");
        say_node(text, cycle, link.node);
        if (task_at(cycle, node)->await.task_count > 1)
            plain_add(text, " and %zu more", task_at(cycle, node)->await.task_count - 1);
        say_place(text, cycle, node);
        return;
    case TASK_LINK_LOCK:
        plain_str(text, " waits for ");
        say_awaited(text, diag, &task_at(cycle, node)->await);
        say_place(text, cycle, node);
        plain_str(text, ", held by ");
        say_node(text, cycle, link.node);
        return;
    case TASK_LINK_JOB:
        plain_str(text, " awaits a job");
        say_place(text, cycle, node);
        plain_str(text, ", which ");
        say_node(text, cycle, link.node);
        plain_str(text, " runs");
        return;
    case TASK_LINK_TURN:
        plain_str(text, " waits for its turn in the event loop of ");
        say_node(text, cycle, link.node);
        return;
    case TASK_LINK_RESULT:
        plain_str(text, " waits");
        say_place(text, cycle, node);
        plain_str(text, " for the result of ");
        say_node(text, cycle, link.node);
        return;
    case TASK_LINK_THREAD:
        plain_str(text, " waits for ");
        say_wanted(text, diag, diag_wait(diag, thread_of(cycle, node)));
        say_place(text, cycle, node);
        plain_str(text, ", which is up to ");
        say_node(text, cycle, link.node);
        return;
    }
}

static uint32_t before(const struct cycle *cycle, size_t i)
{
    return cycle->ring->nodes.items[(i ? i : cycle->ring->nodes.count) - 1];
}

// Both are called by what the one who waits for them calls them. Two may call two locks alike.
static bool has_its_own_name(const struct cycle *cycle, uint32_t node, uint32_t waiter)
{
    const struct snap_await *held = &task_at(cycle, waiter)->await;
    return cycle->graph->chosen[node].how != TASK_LINK_LOCK ||
           held->what != task_at(cycle, node)->await.what;
}

// "task `a` holds lock `x` and waits for lock `y` in `f`, held by task `b`"
static void say_member(struct plain *text, const struct cycle *cycle, size_t i)
{
    uint32_t node = cycle->ring->nodes.items[i], waiter = before(cycle, i);
    say_node(text, cycle, node);
    if (cycle->graph->chosen[waiter].how == TASK_LINK_LOCK) {
        plain_str(text, " holds ");
        if (has_its_own_name(cycle, node, waiter))
            say_awaited(text, cycle->diag, &task_at(cycle, waiter)->await);
        else
            plain_str(text, "a lock");
        plain_str(text, " and");
    }
    say_link(text, cycle, node);
}

static bool has_time_limit(const struct cycle *cycle)
{
    for (size_t i = 0; i < cycle->ring->nodes.count; i++) {
        uint32_t node = cycle->ring->nodes.items[i];
        const struct snap_wait *wait =
            is_task(cycle, node) ? NULL : diag_wait(cycle->diag, thread_of(cycle, node));
        if (wait ? diag_has_limit(wait)
                 : is_task(cycle, node) && task_at(cycle, node)->await.left_ns >= 0 &&
                       cycle->graph->chosen[node].how != TASK_LINK_TURN)
            return true;
    }
    return false;
}

static void say_title(struct plain *text, const struct cycle *cycle, bool limited)
{
    size_t count = cycle->ring->nodes.count, told = count > TITLE_NODES ? TITLE_NODES : count;
    if (count == 1) {
        say_node(text, cycle, cycle->ring->nodes.items[0]);
        plain_str(text, " waits for ");
        say_awaited(text, cycle->diag, &task_at(cycle, cycle->ring->nodes.items[0])->await);
        say_place(text, cycle, cycle->ring->nodes.items[0]);
        plain_str(text, ", which it holds itself");
    } else {
        for (size_t i = 0; i < told; i++) {
            plain_str(text, i == 0 ? "" : i + 1 < told || told < count ? ", " : " and ");
            say_node(text, cycle, cycle->ring->nodes.items[i]);
        }
        if (told < count)
            plain_add(text, " and %zu more", count - told);
        plain_str(text, count == 2 ? " wait for each other: " : " wait for each other in a ring: ");
        for (size_t i = 0; i < (told < count ? 1 : told); i++) {
            plain_str(text, i ? "; " : "");
            say_member(text, cycle, i);
        }
    }
    plain_str(text, limited ? ", until a time limit ends it." : ".");
}

static const char *advice_for(const struct cycle *cycle)
{
    bool threads = false, locks = false;
    for (size_t i = 0; i < cycle->ring->nodes.count; i++) {
        threads |= !is_task(cycle, cycle->ring->nodes.items[i]);
        locks |= cycle->graph->chosen[cycle->ring->nodes.items[i]].how == TASK_LINK_LOCK;
    }
    if (threads)
        return "A thread must not wait for a loop that waits for this thread: await the job "
               "instead of calling result(), and hold no lock meanwhile that the loop's tasks "
               "need.";
    if (cycle->ring->nodes.count == 1)
        return "An asyncio.Lock cannot be taken twice by the same task: the inner function must "
               "not take it.";
    return locks ? "Take these locks in the same order everywhere, or give up the first while "
                   "waiting for the next. Only cancelling one of the tasks ends this."
                 : "Tasks that await each other never end: one of them has to hand its result over "
                   "by a queue or an event. Only cancelling one of them ends this.";
}

// Where the tasks were not read at one moment, rings of one kind of link hold all the same: none of
// those that only await each other ever ended; and what holds one lock and wants another one was read
// together, so where a ring of such can be seen at all, locks are not taken in one order.
static bool holds(const struct cycle *cycle)
{
    bool still = true, awaits = true, locks = true;
    for (size_t i = 0; i < cycle->ring->nodes.count; i++) {
        uint32_t node = cycle->ring->nodes.items[i];
        enum task_link how = cycle->graph->chosen[node].how;
        still &= how == TASK_LINK_TURN || !is_task(cycle, node) ||
                 task_still(cycle->diag, task_at(cycle, node));
        awaits &= how == TASK_LINK_AWAITS;
        locks &= how == TASK_LINK_LOCK;
    }
    return still || awaits || locks;
}

static bool is_observed(const struct cycle *cycle)
{
    for (size_t i = 0; i < cycle->ring->nodes.count; i++) {
        uint32_t node = cycle->ring->nodes.items[i];
        if (cycle->graph->chosen[node].how != TASK_LINK_AWAITS)
            return false;
    }
    return true;
}

static void tell(const struct cycle *cycle)
{
    size_t count = cycle->ring->nodes.count, tasks = 0;
    bool limited = has_time_limit(cycle);
    for (size_t i = 0; i < count; i++)
        tasks += is_task(cycle, cycle->ring->nodes.items[i]);
    const struct snap_task *first = NULL;
    for (size_t i = 0; i < count && !first; i++)
        if (is_task(cycle, cycle->ring->nodes.items[i]))
            first = task_at(cycle, cycle->ring->nodes.items[i]);
    size_t all = first ? tasks_living(cycle->diag, first->pid) : 0;
    struct draft draft;
    draft_begin(&draft, cycle->diag, limited ? DIAG_MEDIUM : DIAG_HIGH,
                is_observed(cycle) ? SNAP_OBSERVED : SNAP_INFERRED,
                all ? (double)(tasks + cycle->ring->behind) / (double)all : -1);
    say_title(&draft.text, cycle, limited);
    draft_title(&draft);
    for (size_t i = 0; i < count && i < EVIDENCE_NODES; i++) {
        say_member(&draft.text, cycle, i);
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
        const struct snap_frame *own = own_of(cycle, cycle->ring->nodes.items[i]);
        if (own)
            draft_name(&draft, own->function);
    }
    if (cycle->ring->behind) {
        plain_things(&draft.text, cycle->ring->behind, "further task");
        plain_add(&draft.text, " %s behind them, directly or through others.",
                  cycle->ring->behind == 1 ? "waits" : "wait");
        draft_evidence(&draft);
    }
    draft_advice(&draft, advice_for(cycle));
    draft_end(&draft);
}

void rule_task_cycle(struct diag *diag)
{
    struct task_graph graph;
    struct task_rings rings = {0};
    if (!diag_suspended(diag)->tasks.count)
        return;
    if (task_graph_build(diag, &graph) && task_graph_rings(&graph, &rings)) {
        size_t told = 0;
        for (size_t i = 0; i < rings.count && told < DIAG_TOLD_MAX; i++) {
            struct cycle cycle = {diag, &graph, &rings.items[i]};
            if (!holds(&cycle))
                continue;
            tell(&cycle);
            told++;
        }
    } else {
        diag->failed = true;
    }
    task_rings_deinit(&rings);
    task_graph_deinit(&graph);
}
