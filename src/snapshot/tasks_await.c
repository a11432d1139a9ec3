// SPDX-License-Identifier: GPL-3.0-or-later
// What tasks await, as values; who awaits whom, and who has the locks: see tasks.h.
#include <string.h>

#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "snapshot/tasks.h"
#include "util/bisect.h"
#include "util/guard.h"
#include "util/hash.h"

#define PATHS_LOOKED_FOR_MAX 1000            // of one snapshot
#define FAR_AWAY_S (100.0 * 365 * 24 * 3600) // no loop's clock and ours are so far apart

static enum snap_await_kind from_python(enum py_await_kind kind)
{
    static const enum snap_await_kind kinds[] = {
        [PY_AWAIT_NONE] = SNAP_AWAIT_NONE,
        [PY_AWAIT_TASK] = SNAP_AWAIT_TASK,
        [PY_AWAIT_SEVERAL] = SNAP_AWAIT_SEVERAL,
        [PY_AWAIT_FUTURE] = SNAP_AWAIT_FUTURE,
        [PY_AWAIT_SLEEP] = SNAP_AWAIT_SLEEP,
        [PY_AWAIT_LOCK] = SNAP_AWAIT_LOCK,
        [PY_AWAIT_EVENT] = SNAP_AWAIT_EVENT,
        [PY_AWAIT_CONDITION] = SNAP_AWAIT_CONDITION,
        [PY_AWAIT_SEMAPHORE] = SNAP_AWAIT_SEMAPHORE,
        [PY_AWAIT_BARRIER] = SNAP_AWAIT_BARRIER,
        [PY_AWAIT_QUEUE_GET] = SNAP_AWAIT_QUEUE_GET,
        [PY_AWAIT_QUEUE_PUT] = SNAP_AWAIT_QUEUE_PUT,
        [PY_AWAIT_QUEUE_JOIN] = SNAP_AWAIT_QUEUE_JOIN,
        [PY_AWAIT_READ] = SNAP_AWAIT_READ,
        [PY_AWAIT_WRITE] = SNAP_AWAIT_WRITE,
        [PY_AWAIT_CONNECT] = SNAP_AWAIT_CONNECT,
        [PY_AWAIT_ACCEPT] = SNAP_AWAIT_ACCEPT,
        [PY_AWAIT_EXECUTOR] = SNAP_AWAIT_EXECUTOR,
        [PY_AWAIT_CHILD] = SNAP_AWAIT_CHILD,
        [PY_AWAIT_YIELD] = SNAP_AWAIT_YIELD,
        [PY_AWAIT_OTHER] = SNAP_AWAIT_OTHER,
    };
    return kinds[kind];
}

static struct err *out_of_memory(void)
{
    return err_create(ERR_NO_MEMORY, "tasks");
}

// ---- Names --------------------------------------------------------------------------------------

// How the waiting frame calls the object. Many tasks wait for one object at one place: it is looked for
// once.
static uint32_t path_to(struct tasks *tasks, const struct py_frame *frame, uint64_t object)
{
    struct py_slots slots;
    uint64_t hash = hash_u64(hash_u64(frame->code_addr, object), (uint64_t)frame->offset_bytes);
    struct task_path *path = &tasks->paths[hash % TASK_PATHS];
    if (path->code == frame->code_addr && path->object == object &&
        path->offset_bytes == frame->offset_bytes)
        return path->name;
    if (tasks->paths_looked_for >= PATHS_LOOKED_FOR_MAX)
        return 0;
    tasks->paths_looked_for++;
    AUTO_ERR struct err *err = py_slots_read(tasks->dec, frame, &slots);
    uint32_t name = err ? 0 : py_path_to(tasks->dec, frame, &slots, object);
    *path = (struct task_path){frame->code_addr, object, frame->offset_bytes, name};
    return name;
}

static void name_it(struct tasks *tasks, const struct py_await *from, struct snap_await *to)
{
    const struct kernel_fd *fd =
        from->fd >= 0 && tasks->in->kernel ? kernel_fd(tasks->in->kernel, from->fd) : NULL;
    if (fd && fd->text)
        to->what = strtab_add_cstr(tasks->in->strings, fd->text);
    else if (from->object && from->waiting != UINT32_MAX)
        to->what = path_to(tasks, &tasks->frames.items[from->waiting], from->object);
}

// ---- Executors ----------------------------------------------------------------------------------

static int by_future(const void *left, const void *right)
{
    const struct task_job *a = left, *b = right;
    return a->future < b->future ? -1 : a->future > b->future;
}

static void mark_room(const struct tasks *tasks, const struct py_stack *stack, pid_t tid)
{
    if (tid && details_pool_has_room(tasks->in, stack))
        vec_foreach (thread, &tasks->snapshot->threads)
            thread->pool_has_room |= thread->tid == tid;
}

struct err *tasks_find_jobs(struct tasks *tasks)
{
    const struct snap_input *in = tasks->in;
    tasks->paths = calloc(TASK_PATHS, sizeof(*tasks->paths));
    if (!tasks->paths)
        return out_of_memory();
    for (size_t i = 0; i < in->stack_count; i++) {
        if (tasks->owners[i] == SIZE_MAX)
            continue;
        struct task_job job = {details_future_run(in, &in->stacks[i]),
                               in->threads[tasks->owners[i]].tid};
        mark_room(tasks, &in->stacks[i], job.thread);
        if (job.future && !vec_push(&tasks->jobs, job))
            return out_of_memory();
    }
    if (tasks->jobs.count)
        qsort(tasks->jobs.items, tasks->jobs.count, sizeof(*tasks->jobs.items), by_future);
    return NULL;
}

static pid_t thread_of_job(const struct tasks *tasks, uint64_t future)
{
    struct task_job key = {.future = future};
    const struct task_job *job =
        future && tasks->jobs.count
            ? bsearch(&key, tasks->jobs.items, tasks->jobs.count, sizeof(key), by_future)
            : NULL;
    return job ? job->thread : 0;
}

// ---- One task -----------------------------------------------------------------------------------

static int64_t left_ns(const struct tasks *tasks, const struct py_await *await)
{
    // BaseEventLoop.time() is time.monotonic(), which is CLOCK_MONOTONIC.
    int64_t now_ns = tasks->in->kernel ? tasks->in->kernel->clocks.monotonic_ns : 0;
    double left_s = await->when_s - (double)now_ns / 1e9;
    if (!await->has_when || !now_ns || !(left_s < FAR_AWAY_S) || !(left_s > -FAR_AWAY_S))
        return -1;
    return left_s > 0 ? (int64_t)(left_s * 1e9) : 0;
}

struct err *tasks_await(struct tasks *tasks, struct task_entry *entry)
{
    struct py_await *from = &entry->await;
    struct snap_await *to = &entry->value.await;
    if (entry->value.state == SNAP_TASK_CREATED)
        return NULL;
    py_await_read(tasks->futures, &entry->future, &tasks->frames, entry->end, from);
    to->kind = from_python(from->kind);
    to->type = tasks_short_type(tasks, from->type);
    to->object = from->object;
    to->fd = from->fd;
    to->left_ns = left_ns(tasks, from);
    to->thread = thread_of_job(tasks, from->job);
    name_it(tasks, from, to);
    return py_await_held(tasks->futures, from, &tasks->frames, &entry->held);
}

// ---- All of them --------------------------------------------------------------------------------

static struct err *link_to(struct tasks *tasks, uint32_t awaiter, uint32_t task)
{
    if (awaiter == SNAP_NO_INDEX)
        return NULL;
    struct snap_await *await = &tasks->entries.items[awaiter].value.await;
    await->task_count++;
    return vec_push(&await->tasks, task) ? NULL : out_of_memory();
}

struct holding { // of a lock, or of a nursery: by whom
    uint64_t object;
    uint32_t task;
};

static int by_held(const void *left, const void *right)
{
    const struct holding *a = left, *b = right;
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

// The first one of that object; `count`: there is none.
static size_t find_held(const struct holding *holdings, size_t count, uint64_t object)
{
    size_t at = bisect(count, i, holdings[i].object < object);
    return at < count && holdings[at].object == object ? at : count;
}

// Whoever waits for a nursery waits for all tasks in it.
static struct err *link_nurseries(struct tasks *tasks)
{
    AUTO_FREE struct holding *waiting = calloc(tasks->entries.count + 1, sizeof(*waiting));
    size_t count = 0;
    if (!waiting)
        return out_of_memory();
    for (uint32_t i = 0; i < tasks->entries.count; i++) {
        const struct snap_await *await = &tasks->entries.items[i].value.await;
        if (tasks->entries.items[i].trio && await->kind == SNAP_AWAIT_SEVERAL)
            waiting[count++] = (struct holding){await->object, i};
    }
    qsort(waiting, count, sizeof(*waiting), by_held);
    for (uint32_t i = 0; count && i < tasks->entries.count; i++) {
        uint64_t nursery = tasks->entries.items[i].nursery;
        size_t at = nursery ? find_held(waiting, count, nursery) : count;
        if (at < count)
            TRY(link_to(tasks, waiting[at].task, i));
    }
    return NULL;
}

// Whoever awaits a concurrent.futures.Future that a task answers (run_coroutine_threadsafe(), of another
// loop as a rule) waits for that task, and for no executor.
static struct err *link_answers(struct tasks *tasks)
{
    AUTO_FREE struct holding *answers = calloc(tasks->entries.count + 1, sizeof(*answers));
    size_t count = 0;
    if (!answers)
        return out_of_memory();
    for (uint32_t i = 0; i < tasks->entries.count; i++)
        if (tasks->entries.items[i].value.answers)
            answers[count++] = (struct holding){tasks->entries.items[i].value.answers, i};
    qsort(answers, count, sizeof(*answers), by_held);
    for (uint32_t i = 0; count && i < tasks->entries.count; i++) {
        struct task_entry *entry = &tasks->entries.items[i];
        uint64_t job = entry->value.await.kind == SNAP_AWAIT_EXECUTOR ? entry->await.job : 0;
        size_t at = job ? find_held(answers, count, job) : count;
        if (at == count || answers[at].task == i)
            continue;
        entry->value.await.kind = SNAP_AWAIT_FUTURE; // until settle_kinds() has looked at it
        TRY(link_to(tasks, i, answers[at].task));
    }
    return NULL;
}

static struct err *link_awaiters(struct tasks *tasks)
{
    for (uint32_t i = 0; i < tasks->entries.count; i++) {
        struct task_entry *entry = &tasks->entries.items[i];
        vec_foreach (awaiter, &entry->awaited_by)
            TRY(link_to(tasks, tasks_find(tasks, *awaiter), i));
    }
    TRY(link_answers(tasks));
    return link_nurseries(tasks);
}

// A future that stands for one task (shield()) or several is that.
static void settle_kinds(struct tasks *tasks)
{
    vec_foreach (entry, &tasks->entries) {
        struct snap_await *await = &entry->value.await;
        if (await->kind == SNAP_AWAIT_FUTURE && await->task_count)
            await->kind = await->task_count == 1 ? SNAP_AWAIT_TASK : SNAP_AWAIT_SEVERAL;
    }
}

// The only one that is in an `async with` block of it.
static void find_holder(const struct holding *holdings, size_t count, struct snap_await *await)
{
    size_t at = find_held(holdings, count, await->object);
    bool more = at + 1 < count && holdings[at + 1].object == await->object &&
                holdings[at + 1].task != holdings[at].task;
    if (at < count && !more)
        await->holder = holdings[at].task;
}

// A plain lock that a thread waits for may be one that a task holds over an await.
static void link_threads(struct tasks *tasks, const struct holding *holdings, size_t count)
{
    vec_foreach (thread, &tasks->snapshot->threads) {
        struct snap_wait *wait = thread->details ? &thread->details->wait : NULL;
        struct snap_await await = {.holder = SNAP_NO_INDEX};
        if (!wait || wait->kind != SNAP_WAIT_LOCK || !wait->object ||
            wait->owner)
            continue;
        await.object = wait->object;
        find_holder(holdings, count, &await);
        if (await.holder != SNAP_NO_INDEX)
            wait->holder = tasks->entries.items[await.holder].value.object;
    }
}

static struct err *link_locks(struct tasks *tasks)
{
    size_t count = 0;
    vec_foreach (entry, &tasks->entries)
        count += entry->held.count;
    AUTO_FREE struct holding *holdings = calloc(count + 1, sizeof(*holdings));
    if (!holdings)
        return out_of_memory();
    count = 0;
    for (uint32_t i = 0; i < tasks->entries.count; i++)
        vec_foreach (lock, &tasks->entries.items[i].held)
            holdings[count++] = (struct holding){*lock, i};
    qsort(holdings, count, sizeof(*holdings), by_held);
    vec_foreach (entry, &tasks->entries)
        if (entry->value.await.kind == SNAP_AWAIT_LOCK && entry->value.await.object)
            find_holder(holdings, count, &entry->value.await);
    link_threads(tasks, holdings, count);
    return NULL;
}

struct err *tasks_link(struct tasks *tasks)
{
    TRY(link_awaiters(tasks));
    settle_kinds(tasks);
    return link_locks(tasks);
}
