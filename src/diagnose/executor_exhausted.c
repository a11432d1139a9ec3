// SPDX-License-Identifier: GPL-3.0-or-later
// executor-exhausted: tasks await jobs that no thread has begun, and all threads of a pool are busy.
//
// Each pool whose threads are all busy has jobs waiting now and then. What counts is that all of them
// wait themselves, that there is a full round of further jobs, and that it may start no further thread:
// else what is awaited is no job of its. Jobs of a process pool are run by no thread, so where there is
// one nothing is said.
#include "diagnose/executors.h"
#include "diagnose/tasks.h"
#include "util/guard.h"

#define POOLS_MAX 32 // for each of them all tasks are looked through

// CPython: Lib/concurrent/futures/process.py: _ExecutorManagerThread.run(), up to 3.8
// _queue_management_worker().
#define PROCESSES "concurrent/futures/process.py"

struct pool {
    pid_t pid;
    uint32_t first;              // thread
    bool has_room;               // it would start one more thread for a job
    size_t threads, busy, wait;  // busy: they have a job; wait: they wait inside of it
    size_t same, lasting, still; // inside of it in the same place as the first; and for long
};
VEC_DEFINE(pools, struct pool);

static bool runs_processes(const struct diag *diag, pid_t pid)
{
    for (uint32_t i = 0; i < diag->count; i++) {
        struct stack stack = stack_of_thread(&diag->threads[i]);
        for (size_t j = 0; diag->threads[i].pid == pid && j < stack.count; j++)
            if (stack_is(diag, stack_frame(&stack, j), PROCESSES, NULL))
                return true;
    }
    return false;
}

static const struct snap_frame *own_of(const struct diag *diag, uint32_t thread)
{
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    return stack_own(diag, &stack);
}

static bool waits(enum snap_state state)
{
    return state == SNAP_IO_WAIT || state == SNAP_LOCK_WAIT || state == SNAP_SLEEP;
}

static void count_thread(const struct diag *diag, struct pool *pool, uint32_t thread, bool busy)
{
    const struct snap_frame *first = own_of(diag, pool->first), *own = own_of(diag, thread);
    pool->threads++;
    pool->has_room |= diag->threads[thread].pool_has_room;
    pool->busy += busy;
    pool->wait += busy && waits(diag->threads[thread].state);
    pool->same += first && own && stack_same_function(first, own) && first->line == own->line;
    pool->lasting += diag_lasts(diag, thread);
    pool->still += diag_wait(diag, thread) != NULL;
}

static bool find_pools(const struct diag *diag, struct pools *pools)
{
    for (uint32_t i = 0; i < diag->count; i++) {
        bool busy;
        if (!executor_thread(diag, i, &busy))
            continue;
        size_t at = pools->count; // the latest ones first: threads of a pool are neighbours
        while (at && !executor_same(diag, pools->items[at - 1].first, i) && pools->count - at < 16)
            at--;
        bool known = at && executor_same(diag, pools->items[at - 1].first, i);
        struct pool fresh = {.pid = diag->threads[i].pid, .first = i};
        if (!known && !vec_push(pools, fresh))
            return false;
        count_thread(diag, &pools->items[known ? at - 1 : pools->count - 1], i, busy);
    }
    return true;
}

// ---- Telling -------------------------------------------------------------------------------------

struct queued {
    size_t count;
    uint32_t task;     // the first of them
    uint64_t since_ns; // the longest of them waits at least so long; 0: not known
};

// Tasks that await a job of an executor which no thread of the process runs.
static struct queued find_queued(const struct diag *diag, pid_t pid)
{
    const struct snap_tasks *tasks = &diag_suspended(diag)->tasks;
    struct queued queued = {.task = DIAG_NONE};
    for (uint32_t i = 0; i < tasks->count; i++) {
        const struct snap_task *task = &tasks->items[i];
        if (task->pid != pid || task->state != SNAP_TASK_WAITING ||
            task->await.kind != SNAP_AWAIT_EXECUTOR || task->await.thread)
            continue;
        queued.task = queued.count++ ? queued.task : i;
        queued.since_ns = task->since_ns > queued.since_ns ? task->since_ns : queued.since_ns;
    }
    return queued;
}

static enum diag_severity severity_of(const struct diag *diag, const struct pool *pool,
                                      const struct queued *queued)
{
    if (pool->lasting == pool->threads)
        return DIAG_HIGH;
    if (queued->since_ns >= DIAG_LASTING_NS)
        return DIAG_MEDIUM;
    // Jobs that come to an end soon enough, over a run, or while they were looked at: the pool is busy,
    // not stuck.
    bool moves = pool->still < pool->threads || !tasks_of_one_moment(diag);
    return diag->profile || moves ? DIAG_LOW : DIAG_MEDIUM;
}

static void tell(struct diag *diag, const struct pool *pool, const struct queued *queued)
{
    const struct snap_frame *at = task_own(diag, queued->task), *in = own_of(diag, pool->first);
    size_t all = tasks_living(diag, pool->pid);
    struct draft draft;
    draft_begin(&draft, diag, severity_of(diag, pool, queued), SNAP_INFERRED,
                (double)queued->count / (double)(all ? all : 1));
    say_of_tasks(&draft.text, queued->count, all);
    plain_str(&draft.text, queued->count == 1 ? " awaits a job" : " await jobs");
    plain_str(&draft.text, " of an executor that no thread has begun, the first one");
    if (at) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, at);
        draft_name(&draft, at->function);
    }
    plain_str(&draft.text, "; ");
    say_executor(&draft.text, diag, pool->first, pool->threads);
    plain_str(&draft.text, pool->threads == 1 ? " is busy, " : " are busy");
    if (pool->threads > 1)
        plain_str(&draft.text, pool->same == pool->threads ? ", in one place: " : ", one of them ");
    if (pool->threads > 1 && pool->same == pool->threads) {
        say_thread(&draft.text, diag, pool->first);
        plain_str(&draft.text, " is ");
    }
    say_itself(&draft.text, diag, pool->first);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    if (in)
        draft_name(&draft, in->function);
    for (uint32_t i = pool->first, told = 0; i < diag->count && told < DIAG_TOLD_MAX; i++) {
        bool busy;
        if (!executor_same(diag, pool->first, i) || !executor_thread(diag, i, &busy))
            continue;
        say_thread(&draft.text, diag, i);
        plain_str(&draft.text, " is ");
        say_itself(&draft.text, diag, i);
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
        told++;
    }
    draft_advice(&draft,
                 "What has these threads busy is the trouble: give that call a time limit. More "
                 "threads (loop.set_default_executor()) help only if the calls do end.");
    draft_end(&draft);
}

void rule_executor_exhausted(struct diag *diag)
{
    struct pools pools = {0};
    size_t told = 0, looked = 0;
    if (!diag_suspended(diag)->tasks.count)
        return;
    diag->failed |= !find_pools(diag, &pools);
    vec_foreach (pool, &pools) {
        if (pool->wait < pool->threads || pool->has_room || told >= DIAG_TOLD_MAX || looked++ >= POOLS_MAX)
            continue;
        struct queued queued = find_queued(diag, pool->pid);
        if (queued.count && queued.count >= pool->threads && !runs_processes(diag, pool->pid)) {
            tell(diag, pool, &queued);
            told++;
        }
    }
    vec_deinit(&pools);
}
