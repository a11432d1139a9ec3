// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs of ThreadPoolExecutors: which thread runs one, and which stand in a queue while threads of
// executors wait for them. Names are those of Lib/concurrent/futures/ in 3.6 to 3.15.
#include <string.h>

#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "util/guard.h"

#define JOBS_MAX 20000  // of all queues that are looked through
#define FUTURES_MAX 256 // of one call of wait() or as_completed()

// ---- Frames --------------------------------------------------------------------------------------

static bool is_of(const struct snap_input *in, const struct py_frame *frame, const char *file,
                  const char *function)
{
    const char *path = strtab_get(in->strings, frame->file);
    return path && strtab_is(in->strings, frame->name, function) && strstr(path, file);
}

static uint64_t variable_of(const struct snap_input *in, const struct py_frame *frame, const char *name)
{
    struct py_slots slots;
    AUTO_ERR struct err *err = py_slots_read(details_decoder(in), frame, &slots);
    return err ? 0 : py_slots_find(details_decoder(in), frame, &slots, name);
}

// A variable of the innermost such frame; 0: there is none.
static uint64_t variable(const struct snap_input *in, const struct py_stack *stack, const char *file,
                         const char *function, const char *name)
{
    for (size_t i = 0; i < stack->frames.count; i++)
        if (is_of(in, &stack->frames.items[i], file, function))
            return variable_of(in, &stack->frames.items[i], name);
    return 0;
}

// _WorkItem.run(), which since 3.14 calls WorkerContext.run()
uint64_t details_future_run(const struct snap_input *in, const struct py_stack *stack)
{
    for (size_t i = 0; i < stack->frames.count; i++) {
        const struct py_frame *frame = &stack->frames.items[i];
        uint64_t item = is_of(in, frame, "futures/thread.py", "run") ? variable_of(in, frame, "self") : 0;
        uint64_t future = 0;
        AUTO_ERR struct err *err =
            item ? py_instance_attr(details_decoder(in), item, "future", &future) : NULL;
        if (!err && future)
            return future;
    }
    return 0;
}

// _worker() has a weak reference to its executor, whose submit() starts a thread for a job that no
// thread is free for, up to _max_workers.
bool details_pool_has_room(const struct snap_input *in, const struct py_stack *stack)
{
    struct py_decoder *dec = details_decoder(in);
    uint64_t pool = 0, threads = 0, used = 0;
    uint64_t reference = variable(in, stack, "futures/thread.py", "_worker", "executor_reference");
    AUTO_ERR struct err *err =
        reference ? py_read(dec->mem, &dec->layout, reference, PY_WEAKREF_object, &pool) : NULL;
    AUTO_ERR struct err *bare =
        pool && !err ? py_instance_attr(dec, pool, "_threads", &threads) : NULL;
    if (err || bare || !py_is_a(dec, threads, "set"))
        return false;
    AUTO_ERR struct err *unknown = py_read(dec->mem, &dec->layout, threads, PY_SET_used, &used);
    return !unknown && used < py_int_attr(dec, pool, "_max_workers");
}

// ---- Jobs that stand in queues -------------------------------------------------------------------

struct job {
    uint64_t future, queue;
};
VEC_DEFINE(jobs, struct job);

struct queued {
    struct py_decoder *dec;
    uint64_t queue; // that is walked
    struct jobs jobs;
    bool failed; // no memory
};

static int by_future(const void *left, const void *right)
{
    const struct job *a = left, *b = right;
    return a->future < b->future ? -1 : a->future > b->future;
}

// _WorkItem; None tells the threads to end.
static bool visit_item(void *arg, uint64_t item)
{
    struct queued *q = arg;
    struct job job = {.queue = q->queue};
    AUTO_ERR struct err *err = py_instance_attr(q->dec, item, "future", &job.future);
    if (!err && job.future)
        q->failed |= !vec_push(&q->jobs, job);
    return !q->failed && q->jobs.count < JOBS_MAX;
}

static void walk_queue(struct queued *q, uint64_t queue)
{
    bool known = false;
    vec_foreach (job, &q->jobs)
        known |= job->queue == queue;
    if (known || q->jobs.count >= JOBS_MAX)
        return;
    q->queue = queue;
    err_destroy(py_queue_walk(q->dec, queue, visit_item, q));
}

// ---- Who waits for them --------------------------------------------------------------------------

static bool is_in_state(struct py_decoder *dec, uint64_t future, const char *name)
{
    uint64_t state = 0;
    uint32_t id = 0;
    AUTO_ERR struct err *err = py_instance_attr(dec, future, "_state", &state);
    AUTO_ERR struct err *other = err || !state ? NULL : py_str_id(dec, state, &id);
    return !err && !other && strtab_is(dec->strings, id, name);
}

// One that was cancelled stays in its queue.
static uint64_t queue_of(const struct queued *q, uint64_t future)
{
    struct job key = {.future = future};
    const struct job *job = future && q->jobs.count ? bsearch(&key, q->jobs.items, q->jobs.count,
                                                              sizeof(key), by_future)
                                                    : NULL;
    return job && is_in_state(q->dec, future, "PENDING") ? job->queue : 0;
}

struct wanted {
    const struct queued *queued;
    uint64_t queue; // of one of them
    size_t looked_at;
    bool other; // one of them is neither queued nor finished
};

static bool visit_future(void *arg, uint64_t future)
{
    struct wanted *wanted = arg;
    uint64_t queue = queue_of(wanted->queued, future);
    wanted->queue = queue ? queue : wanted->queue;
    wanted->other |= (!queue && !is_in_state(wanted->queued->dec, future, "FINISHED")) ||
                     wanted->looked_at++ >= FUTURES_MAX;
    return !wanted->other;
}

// Future.result(); else wait() or as_completed(), whose sets hold what has not come to its end.
static uint64_t queue_waited_for(const struct queued *q, const struct snap_input *in,
                                 const struct py_stack *stack, uint64_t future)
{
    uint64_t queue = queue_of(q, future);
    if (queue)
        return queue;
    uint64_t set = variable(in, stack, "futures/_base.py", "wait", "not_done");
    set = set ? set : variable(in, stack, "futures/_base.py", "as_completed", "pending");
    struct wanted wanted = {.queued = q};
    if (!set || !py_is_a(q->dec, set, "set"))
        return 0;
    AUTO_ERR struct err *err = py_set_walk(q->dec, set, visit_future, &wanted);
    return err || wanted.other ? 0 : wanted.queue;
}

static bool waits_for_nobody(const struct snap_thread *thread)
{
    return thread && thread->details && thread->details->wait.kind == SNAP_WAIT_FUTURE &&
           !thread->details->wait.owner;
}

static void queued_deinit(struct queued *queued)
{
    vec_deinit(&queued->jobs);
}

struct err *details_find_queued(const struct snap_input *in, struct snapshot *snapshot)
{
    GUARD(queued_deinit) struct queued q = {.dec = details_decoder(in)};
    bool any = false, waits = false;
    vec_foreach (thread, &snapshot->threads)
        waits |= waits_for_nobody(thread);
    for (size_t i = 0; waits && i < in->stack_count; i++) {
        const struct py_stack *stack = &in->stacks[i];
        struct snap_thread *thread = details_by_ident(snapshot, stack->thread.ident);
        if (!thread || !thread->details)
            continue;
        thread->details->work_queue =
            variable(in, stack, "futures/thread.py", "_worker", "work_queue");
        any |= thread->details->work_queue && waits_for_nobody(thread);
    }
    // Threads of no executor wait for queued jobs all the time.
    for (size_t i = 0; any && i < in->stack_count && !q.failed; i++) {
        struct snap_thread *thread = details_by_ident(snapshot, in->stacks[i].thread.ident);
        if (thread && thread->details && thread->details->work_queue) {
            thread->pool_has_room |= details_pool_has_room(in, &in->stacks[i]);
            walk_queue(&q, thread->details->work_queue);
        }
    }
    if (q.jobs.count)
        qsort(q.jobs.items, q.jobs.count, sizeof(*q.jobs.items), by_future);
    for (size_t i = 0; q.jobs.count && i < in->stack_count; i++) {
        struct snap_thread *thread = details_by_ident(snapshot, in->stacks[i].thread.ident);
        if (waits_for_nobody(thread))
            thread->details->wait.queue =
                queue_waited_for(&q, in, &in->stacks[i], thread->details->wait.object);
    }
    return q.failed ? err_create(ERR_NO_MEMORY, "jobs") : NULL;
}
