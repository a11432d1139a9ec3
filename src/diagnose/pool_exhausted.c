// SPDX-License-Identifier: GPL-3.0-or-later
// pool-exhausted: threads wait to borrow something (a connection out of a queue, a semaphore), and all
// who have one are known, or are in the same place.
//
// A pool of workers at rest looks much the same: they wait for work out of a queue, and the busy ones
// among them are in the same place, too. So one of these has to be so:
//  - who has it is known: the object is among what the threads hold;
//  - the code that waits gives back what it got, to the same queue or semaphore;
//  - who waits is in the middle of a unit of work that an executor or a server gave to its thread, and
//    does not come round for the next one, so it does not wait for work;
//  - nobody is left who could bring work: each other thread waits for the end of one of these.
#include "diagnose/stack.h"
#include "util/guard.h"

#define WAITERS_MIN 3 // two may meet by accident
// For each of them all stacks are looked through; the largest come first.
#define POOLS_MAX 32
#define HIGH_SHARE 0.5 // of the process's threads: the service is down, if none of them gets on
// In a run it is known how long each waits. So much is not felt by anybody ...
#define BRIEF_NS 100000000ull
// ... and what lasts (DIAG_LASTING_NS) is no accident: or half of the run, where that is shorter.
#define LONG_SHARE 0.5

// What gives a thread its units of work. CPython: Lib/concurrent/futures/thread.py, _WorkItem.run;
// Lib/socketserver.py; Lib/wsgiref/handlers.py, BaseHandler.run; Lib/multiprocessing/pool.py, worker.
// Packages: anyio/_backends/_asyncio.py, WorkerThread; waitress/task.py; cheroot/workers/threadpool.py.
static const struct {
    const char *file, *function;
} dispatchers[] = {
    {"concurrent/futures/thread.py", "run"}, {"socketserver.py", "process_request_thread"},
    {"socketserver.py", "finish_request"},   {"wsgiref/handlers.py", "run"},
    {"multiprocessing/pool.py", "worker"},   {"anyio/_backends/_asyncio.py", "run"},
    {"waitress/task.py", "service"},         {"cheroot/workers/threadpool.py", "run"},
};

static bool is_dispatcher(const struct diag *diag, const struct snap_frame *frame)
{
    for (size_t i = 0; i < ARRAY_SIZE(dispatchers); i++)
        if (stack_is(diag, frame, dispatchers[i].file, dispatchers[i].function))
            return true;
    return false;
}

// A dispatcher is on the stack, and code that is neither its own nor Python's own further in. A unit of
// work that waits in a loop is a worker again (executor.submit(consume)).
static bool in_work(const struct diag *diag, const struct snap_thread *thread)
{
    bool code = false;
    struct stack stack = stack_of_thread(thread);
    uint32_t loop = thread->details->wait.loop;
    for (size_t i = 0; i < stack.count; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        if (frame->kind == SNAP_PYTHON && is_dispatcher(diag, frame))
            return code && loop > i;
        code |= frame->kind == SNAP_PYTHON && stack_origin(diag, frame) != SNAP_LIBRARY;
    }
    return false;
}

static bool has_it(const struct snap_thread *thread, uint64_t object)
{
    if (!thread->details || !object)
        return false;
    vec_foreach (held, &thread->details->held)
        if (held->object == object)
            return true;
    vec_foreach (lent, &thread->details->lent)
        if (lent->pool == object)
            return true;
    return false;
}

static const struct snap_frame *find_function(const struct stack *stack,
                                              const struct snap_frame *function)
{
    for (size_t i = 0; i < stack->count; i++)
        if (stack_same_function(stack_frame(stack, i), function))
            return stack_frame(stack, i);
    return NULL;
}

// It went on in the innermost function of both in which the waiter stands still: where that waits, or
// where it called what waits.
static bool went_on(const struct diag *diag, const struct snap_thread *waiter,
                    const struct snap_thread *other)
{
    struct stack a = stack_of_thread(waiter), b = stack_of_thread(other);
    for (size_t i = 0; i < a.count; i++) {
        const struct snap_frame *at = stack_frame(&a, i), *its;
        if (at->kind != SNAP_PYTHON || stack_origin(diag, at) == SNAP_LIBRARY)
            continue;
        if ((its = find_function(&b, at)))
            return its->line != at->line;
    }
    return false;
}

struct pool {
    const struct diag_group *group;
    uint32_t index;
    bool known;   // who has it was read of their frames
    bool borrows; // by its code, who waits gives back
    bool nobody_else;
    bool passes; // of a run: one that has it has not waited for the same thing all along
    bool moves;  // one that waits or has it used the processor lately
    bool naps;   // one that has it will go on soon, or does
    bool apart;  // those who have it are in several places
    size_t holders;
    uint32_t holder; // the first of them
};

static bool same_place(const struct diag *diag, uint32_t one, uint32_t other)
{
    struct stack a = stack_of_thread(&diag->threads[one]),
                 b = stack_of_thread(&diag->threads[other]);
    const struct snap_frame *x = stack_own(diag, &a), *y = stack_own(diag, &b);
    return x && y && stack_same_function(x, y) && x->line == y->line;
}

// False: there are none; or they are only concluded from where they went on, in several places.
static bool find_holders(const struct diag *diag, struct pool *pool)
{
    const struct diag_group *group = pool->group;
    const struct snap_thread *waiter = &diag->threads[diag->waiters.items[group->first]];
    for (uint32_t i = 0; i < diag->count; i++)
        if (diag->threads[i].pid == group->pid && has_it(&diag->threads[i], group->object))
            pool->known = true;
    pool->nobody_else = true;
    for (uint32_t i = 0; i < diag->count; i++) {
        const struct snap_thread *thread = &diag->threads[i];
        if (thread->pid != group->pid || !thread->known_to_python ||
            diag->group_of[i] == pool->index)
            continue;
        bool holds = pool->known ? has_it(thread, group->object) : went_on(diag, waiter, thread);
        const struct snap_wait *wait = diag_wait(diag, i);
        pool->nobody_else &= holds || (wait && wait->kind == SNAP_WAIT_JOIN);
        if (!holds)
            continue;
        if (pool->holders && !same_place(diag, pool->holder, i)) {
            pool->apart = true;
            if (!pool->known)
                return false;
        }
        pool->holder = pool->holders++ ? pool->holder : i;
        pool->moves |= diag_ran_lately(diag, i);
        pool->passes |= diag->profile && !diag_lasts(diag, i);
        pool->naps |= diag_naps(diag, i) || snap_state_works(thread->state);
    }
    for (size_t i = 0; i < group->count; i++)
        pool->moves |= diag_ran_lately(diag, diag->waiters.items[group->first + i]);
    return pool->holders > 0;
}

// Somebody waits for all its items to be done, or for room in it: it has tasks, nothing to borrow.
static bool is_task_queue(const struct diag *diag, const struct diag_group *group)
{
    for (uint32_t i = 0; i < diag->count; i++) {
        const struct snap_wait *wait = diag_wait(diag, i);
        if (wait && wait->object == group->object && diag->threads[i].pid == group->pid &&
            (wait->kind == SNAP_WAIT_QUEUE_JOIN || wait->kind == SNAP_WAIT_QUEUE_PUT))
            return true;
    }
    return false;
}

// Each pool has a queue before it at times, which is what it is there for.
static enum diag_severity severity_of(const struct diag *diag, const struct pool *pool, size_t all)
{
    const struct diag_group *group = pool->group;
    bool most = (double)group->count >= HIGH_SHARE * (double)all, lasts = true;
    if (diag->profile) {
        uint64_t longest = diag_longest_wait(diag, group);
        if (longest < BRIEF_NS)
            return DIAG_LOW;
        lasts = longest >= DIAG_LASTING_NS ||
                (double)longest >= LONG_SHARE * (double)diag->profile->duration_ns;
    } else if ((pool->moves || pool->naps) && !most) {
        return DIAG_LOW;
    }
    bool sure = pool->known || pool->borrows ||
                in_work(diag, &diag->threads[diag->waiters.items[group->first]]);
    return sure && most && lasts && !pool->moves && !pool->passes && !pool->naps ? DIAG_HIGH
                                                                               : DIAG_MEDIUM;
}

static void tell(struct diag *diag, const struct pool *pool)
{
    const struct diag_group *group = pool->group;
    uint32_t first = diag->waiters.items[group->first];
    struct stack waits = stack_of_thread(&diag->threads[first]),
                 has = stack_of_thread(&diag->threads[pool->holder]);
    const struct snap_frame *at = stack_own(diag, &waits), *in = stack_own(diag, &has);
    size_t all = diag_python_threads(diag, group->pid);
    all = all > group->count ? all : group->count;
    struct draft draft;
    draft_begin(&draft, diag, severity_of(diag, pool, all), SNAP_INFERRED,
                (double)group->count / (double)all);
    say_of_threads(&draft.text, group->count, all);
    plain_str(&draft.text, " wait for ");
    say_wanted(&draft.text, diag, diag_wait(diag, first));
    if (at) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, at);
        draft_name(&draft, at->function);
    }
    plain_str(&draft.text, "; ");
    if (pool->apart)
        plain_add(&draft.text, "%zu threads have it: ", pool->holders);
    else if (pool->holders > 1)
        plain_add(&draft.text, "the %zu that went on are all in one place: ", pool->holders);
    say_thread(&draft.text, diag, pool->holder);
    plain_str(&draft.text, pool->holders == 1 ? " has one, " : pool->apart ? ", " : " is ");
    say_itself(&draft.text, diag, pool->holder);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    plain_str(&draft.text, pool->known ? "By their code these have it, and are to give it back: "
                                       : "These went on where the others wait: ");
    plain_things(&draft.text, pool->holders, "thread");
    plain_str(&draft.text, ".");
    draft_evidence(&draft);
    if (in)
        draft_name(&draft, in->function);
    draft_advice(&draft,
                 "What has them all busy is the trouble, not the pool's size: give that call a "
                 "time limit, and waiting for the pool one, too.");
    draft_end(&draft);
}

void rule_pool_exhausted(struct diag *diag)
{
    size_t told = 0, looked = 0;
    for (uint32_t i = 0; i < diag->groups.count && told < DIAG_TOLD_MAX; i++) {
        struct pool pool = {.group = &diag->groups.items[i], .index = i};
        if (pool.group->count < WAITERS_MIN)
            return; // the largest come first
        if ((pool.group->kind != SNAP_WAIT_QUEUE_GET && pool.group->kind != SNAP_WAIT_SEMAPHORE &&
             pool.group->kind != SNAP_WAIT_CONDITION) ||
            (pool.group->owner != DIAG_NONE && diag_ends_in_ring(diag, pool.group->owner)) ||
            looked++ >= POOLS_MAX || !find_holders(diag, &pool) ||
            is_task_queue(diag, pool.group))
            continue;
        uint32_t first = diag->waiters.items[pool.group->first];
        pool.borrows = diag_wait(diag, first)->gives_back;
        if (pool.known || pool.borrows || pool.nobody_else ||
            in_work(diag, &diag->threads[first])) {
            tell(diag, &pool);
            told++;
        }
    }
}
