// SPDX-License-Identifier: GPL-3.0-or-later
// Reading tasks, one by one: see tasks.h.
#include <string.h>

#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "snapshot/python.h"
#include "snapshot/tasks.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"
#include "util/redact.h"

#define LOOPS_MAX 256
// Tasks that are read, and then looked at again; while everything is recorded, that takes longer.
#define CHUNK 64
#define CHUNK_RECORDED 16

static bool no_memory(const struct err *err)
{
    return err && err_code(err) == ERR_NO_MEMORY;
}

static struct err *out_of_memory(void)
{
    return err_create(ERR_NO_MEMORY, "tasks");
}

// ---- Names --------------------------------------------------------------------------------------

uint32_t tasks_name(const struct tasks *tasks, uint32_t name)
{
    return tasks->in->show_secrets ? name : redact_id(tasks->in->strings, name);
}

uint32_t tasks_short_type(const struct tasks *tasks, uint32_t type)
{
    const char *name = strtab_get(tasks->in->strings, type);
    const char *dot = name ? strrchr(name, '.') : NULL;
    return dot ? strtab_add_cstr(tasks->in->strings, dot + 1) : type;
}

// Of what is no coroutine (of Cython, an object with __await__) the class.
uint32_t tasks_coroutine_name(const struct tasks *tasks, uint64_t coroutine)
{
    struct py_generator generator;
    AUTO_ERR struct err *err = py_generator_read(tasks->dec, coroutine, &generator);
    if (err)
        return py_type_name(tasks->dec, coroutine);
    return generator.qualname ? generator.qualname : generator.name;
}

// ---- Loops and places ---------------------------------------------------------------------------

uint32_t tasks_loop(struct tasks *tasks, uint64_t object)
{
    struct snap_loops *loops = &tasks->out->loops;
    struct py_loop loop;
    if (!object)
        return SNAP_NO_INDEX;
    for (size_t i = 0; i < loops->count; i++)
        if (loops->items[i].object == object)
            return (uint32_t)i;
    if (loops->count >= LOOPS_MAX)
        return SNAP_NO_INDEX;
    py_loop_read(tasks->dec, object, &loop);
    struct snap_loop value = {
        .pid = tasks->in->target->pid,
        .object = object,
        .type = loop.type,
        .library = strtab_add_cstr(tasks->in->strings, "asyncio"),
        .current = SNAP_NO_INDEX,
        .ready = loop.ready,
        .scheduled = loop.scheduled,
        .watched = loop.watched,
        .signals = loop.signals,
    };
    vec_foreach (thread, &tasks->snapshot->threads)
        if (loop.ident && thread->tid && thread->python_id == loop.ident)
            value.tid = thread->tid;
    return vec_push(loops, value) ? (uint32_t)(loops->count - 1) : SNAP_NO_INDEX;
}

uint32_t tasks_find(const struct tasks *tasks, uint64_t object)
{
    struct hash_probe probe = hash_probe(&tasks->by_object, hash_u64(HASH_SEED, object));
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (tasks->entries.items[id].future.object == object)
            return id;
    return SNAP_NO_INDEX;
}

// ---- One task -----------------------------------------------------------------------------------

// A waiter that is done has woken it: its turn comes.
static enum snap_task_state state_of(struct tasks *tasks, const struct py_future *task,
                                     enum py_generator_state coroutine)
{
    struct py_future waiter;
    if (coroutine == PY_GEN_CREATED)
        return SNAP_TASK_CREATED;
    if (coroutine == PY_GEN_RUNNING)
        return SNAP_TASK_RUNNING;
    if (!task->waiter)
        return SNAP_TASK_READY;
    AUTO_ERR struct err *err = py_future_read(tasks->futures, task->waiter, &waiter);
    bool done = !err && waiter.kind && waiter.state != PY_FUTURE_PENDING;
    return done ? SNAP_TASK_READY : SNAP_TASK_WAITING;
}

static struct err *keep_stack(struct tasks *tasks, struct snap_task *to)
{
    struct py_stack stack = {.frames = tasks->frames};
    AUTO_FREE uint64_t *tokens = calloc(tasks->frames.count + 1, sizeof(*tokens));
    vec_clear(&tasks->shown);
    if (!tokens || !snap_python_push(&tasks->shown, &stack, tokens, 0, tasks->frames.count) ||
        !snap_suspended_stack(tasks->out, tasks->shown.items, tasks->shown.count, &to->stack))
        return out_of_memory();
    return NULL;
}

uint64_t tasks_hash_place(const struct tasks *tasks, const struct task_entry *entry)
{
    const struct py_future *task = &entry->future;
    uint64_t hash = hash_u64(hash_u64(HASH_SEED, task->coro), task->waiter);
    hash = hash_u64(hash, entry->end);
    vec_foreach (frame, &tasks->frames)
        hash = hash_u64(hash_u64(hash_u64(hash, frame->addr), frame->code_addr),
                        (uint64_t)frame->offset_bytes);
    return hash;
}

struct err *tasks_read_chain(struct tasks *tasks, struct task_entry *entry)
{
    struct snap_task *to = &entry->value;
    bool running;
    vec_clear(&tasks->frames);
    struct err *err = py_await_chain(tasks->in->process, entry->future.coro, &tasks->frames,
                                     &entry->end, &running);
    if (no_memory(err))
        return err;
    to->cut = err != NULL;
    err_destroy(err);
    entry->place = tasks_hash_place(tasks, entry);
    TRY(tasks_await(tasks, entry));
    return tasks->frames.count ? keep_stack(tasks, to) : NULL;
}

// Of Cython, or an object with __await__.
static struct err *read_foreign(struct tasks *tasks, struct task_entry *entry)
{
    const struct py_future *task = &entry->future;
    entry->value.coroutine = py_type_name(tasks->dec, task->coro);
    entry->value.state = task->waiter ? state_of(tasks, task, PY_GEN_SUSPENDED) : SNAP_TASK_UNKNOWN;
    return tasks_read_chain(tasks, entry);
}

static struct err *read_coroutine(struct tasks *tasks, struct task_entry *entry)
{
    const struct py_future *task = &entry->future;
    struct py_generator generator;
    enum py_generator_state state;
    uint64_t inner = py_debug_coroutine(tasks->dec, task->coro), coro = inner ? inner : task->coro;
    AUTO_ERR struct err *foreign = py_expect(tasks->dec, coro, PY_KIND_GENERATOR, "coroutine");
    AUTO_ERR struct err *err = foreign ? NULL : py_generator_state(tasks->dec, coro, &state);
    if (foreign || err)
        return read_foreign(tasks, entry);
    entry->value.coroutine = py_generator_name(tasks->dec, coro);
    entry->value.state = state_of(tasks, task, state);
    if (state == PY_GEN_RUNNING) {
        AUTO_ERR struct err *unread = py_generator_read(tasks->dec, coro, &generator);
        entry->frame = unread ? 0 : generator.frame;
        return NULL;
    }
    TRY(tasks_read_chain(tasks, entry));
    if (tasks->frames.count) // the outermost one is its own
        entry->frame = tasks->frames.items[tasks->frames.count - 1].addr;
    return NULL;
}

static struct err *fill(struct tasks *tasks, struct task_entry *entry)
{
    const struct py_future *task = &entry->future;
    entry->value = (struct snap_task){
        .pid = tasks->in->target->pid,
        .object = task->object,
        .name = tasks_name(tasks, task->name),
        .type = tasks_short_type(tasks, task->type),
        .loop = tasks_loop(tasks, task->loop),
        .cancelling = task->cancelling,
        .stack = SNAP_NO_INDEX,
        .await = {.fd = -1, .left_ns = -1, .holder = SNAP_NO_INDEX},
    };
    if (task->state != PY_FUTURE_PENDING) {
        entry->value.state = SNAP_TASK_FINISHED;
        return tasks_exception(tasks, task->exception, &entry->value.exception);
    }
    if (task->coro)
        TRY(read_coroutine(tasks, entry));
    return py_future_awaiters(tasks->futures, task, &entry->awaited_by, &entry->value.answers);
}

void task_entry_clear(struct task_entry *entry)
{
    vec_deinit(&entry->awaited_by);
    vec_deinit(&entry->held);
}

bool tasks_is_shown(const struct py_future *future)
{
    return future->kind == PY_TASK &&
           (future->state == PY_FUTURE_PENDING || (future->unretrieved && future->exception));
}

struct err *tasks_read_entry(struct tasks *tasks, uint64_t object, uint64_t rank,
                             struct task_entry *ret, bool *ret_shown)
{
    *ret = (struct task_entry){.rank = rank};
    struct err *err = py_future_read(tasks->futures, object, &ret->future);
    *ret_shown = !err && tasks_is_shown(&ret->future);
    if (no_memory(err))
        return err;
    err_destroy(err);
    err = *ret_shown ? fill(tasks, ret) : NULL;
    if (err)
        task_entry_clear(ret);
    return err;
}

struct err *tasks_add(struct tasks *tasks, struct task_entry *entry)
{
    entry->dropped = tasks_told_torn(tasks, entry->future.object);
    tasks->out->tasks_left_out += entry->dropped;
    if (vec_push(&tasks->entries, *entry))
        return NULL;
    task_entry_clear(entry);
    return out_of_memory();
}

static struct err *read_one(struct tasks *tasks, uint64_t object, uint64_t rank)
{
    struct task_entry entry;
    bool shown;
    TRY(tasks_read_entry(tasks, object, rank, &entry, &shown));
    return shown ? tasks_add(tasks, &entry) : NULL;
}

// ---- All ----------------------------------------------------------------------------------------

struct ranked {
    uint64_t object, rank;
};

static int by_address(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

// In the order of their addresses, for the page cache's sake.
static struct err *read_ranked(struct tasks *tasks, const struct ranked *items, size_t count)
{
    size_t first = tasks->entries.count;
    size_t chunk = tasks->in->heap == tasks->in->target->mem ? CHUNK : CHUNK_RECORDED;
    for (size_t i = 0; i < count; i++) {
        if (!i || items[i].object != items[i - 1].object)
            TRY(read_one(tasks, items[i].object, items[i].rank));
        if (tasks->calm || tasks->entries.count - first < chunk)
            continue;
        TRY(tasks_verify(tasks, first));
        first = tasks->entries.count;
    }
    return tasks->calm ? NULL : tasks_verify(tasks, first);
}

static struct err *read_listed(struct tasks *tasks, const struct py_objects *objects)
{
    AUTO_FREE struct ranked *items = calloc(objects->count + 1, sizeof(*items));
    if (!items)
        return out_of_memory();
    for (size_t i = 0; i < objects->count; i++)
        items[i] = (struct ranked){objects->items[i], i};
    qsort(items, objects->count, sizeof(*items), by_address);
    return read_ranked(tasks, items, objects->count);
}

struct err *tasks_read(struct tasks *tasks, const struct py_asyncio *asyncio)
{
    struct py_objects objects = {0};
    bool cut = false;
    struct err *err = py_tasks_list(tasks->in->process, asyncio, tasks->in->state, &objects, &cut);
    if (!err && cut && !details_ended(tasks->in))
        snap_note(tasks->in->strings, &tasks->snapshot->notes,
                  "not all tasks could be listed: what lists them changed, or cannot be read");
    if (!err)
        err = tasks_find_unlisted(tasks, asyncio, &objects);
    if (!err)
        err = read_listed(tasks, &objects);
    vec_deinit(&objects);
    return err;
}
