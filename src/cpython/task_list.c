// SPDX-License-Identifier: GPL-3.0-or-later
// Listing tasks, and what runs: see cpython/task.h.
#include "cpython/task.h"

#include <stdio.h>
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"
#include "util/limits.h"

struct collect {
    struct py_decoder *dec;
    struct py_objects *ret;
    bool cut, no_memory;
};

static bool add(struct collect *collect, uint64_t object)
{
    if (collect->ret->count >= LIMIT_TASKS) {
        collect->cut = true;
        return false;
    }
    collect->no_memory = !vec_push(collect->ret, object);
    return !collect->no_memory;
}

// ---- WeakSets -----------------------------------------------------------------------------------

static bool add_item(void *arg, uint64_t item)
{
    return add(arg, item);
}

// A dead one refers to None, which is no task.
static bool add_referent(void *arg, uint64_t reference)
{
    struct collect *collect = arg;
    uint64_t object;
    AUTO_ERR struct err *err =
        py_read(collect->dec->mem, &collect->dec->layout, reference, PY_WEAKREF_object, &object);
    return err || !object || add(collect, object);
}

// Lib/_weakrefset.py: `data` is a set of weak references.
static struct err *add_weak_set(struct collect *collect, uint64_t weak_set)
{
    uint64_t data;
    if (!weak_set)
        return NULL;
    TRY(py_instance_attr(collect->dec, weak_set, "data", &data));
    return data ? py_set_walk(collect->dec, data, add_referent, collect) : NULL;
}

// ---- Lists --------------------------------------------------------------------------------------

// struct llist_node {next, prev} (Include/internal/pycore_llist.h), circular through its head. A
// process that runs may change it under the walk: then what was reached is kept.
static struct err *add_list(struct collect *collect, uint64_t head, uint64_t node_offset)
{
    uint64_t before = head, links[2];
    struct py_decoder *dec = collect->dec;
    TRY(mem_read_u64(dec->mem, head, &links[0]));
    for (uint64_t node = links[0]; node != head && node; node = links[0]) {
        TRY(mem_read(dec->mem, node, links, sizeof(links)));
        if (links[1] != before) {
            collect->cut = true;
            return NULL;
        }
        if (!add(collect, node - node_offset))
            return NULL;
        before = node;
    }
    return NULL;
}

static struct err *add_lists(struct collect *collect, const struct py_asyncio *asyncio,
                             const struct py_state *state)
{
    struct err *err = NULL;
    vec_foreach (thread, &state->threads) {
        if (thread->interp != asyncio->interp || collect->no_memory)
            continue;
        struct err *one = add_list(collect, thread->tstate + asyncio->thread_head, asyncio->node);
        collect->cut |= one != NULL;
        err_destroy(one);
    }
    err = add_list(collect, asyncio->interp + asyncio->interp_head, asyncio->node);
    return err;
}

struct err *py_tasks_list(struct py_process *process, const struct py_asyncio *asyncio,
                          const struct py_state *state, struct py_objects *ret, bool *ret_cut)
{
    struct collect collect = {.dec = &process->dec, .ret = ret};
    struct err *errs[] = {
        asyncio->node ? add_lists(&collect, asyncio, state) : NULL,
        add_weak_set(&collect, asyncio->weak_tasks),
        add_weak_set(&collect, asyncio->weak_tasks_c),
        asyncio->eager_tasks ? py_set_walk(collect.dec, asyncio->eager_tasks, add_item, &collect)
                             : NULL,
    };
    // What one registry lacks costs the others nothing.
    for (size_t i = 0; i < ARRAY_SIZE(errs); i++) {
        collect.cut |= errs[i] != NULL;
        err_destroy(errs[i]);
    }
    *ret_cut = collect.cut;
    return collect.no_memory ? err_create(ERR_NO_MEMORY, "tasks") : NULL;
}

// ---- What runs ----------------------------------------------------------------------------------

#define RUNNING_MAX 256 // loops

struct turns {
    struct py_runnings *ret;
    bool no_memory;
};

static bool add_turn(void *arg, uint64_t loop, uint64_t task)
{
    struct turns *turns = arg;
    if (turns->ret->count >= RUNNING_MAX)
        return false;
    turns->no_memory = !vec_push(turns->ret, (struct py_running){0, loop, task});
    return !turns->no_memory;
}

static struct err *add_running(struct py_decoder *dec, const struct py_asyncio *asyncio,
                               const struct py_thread *thread, struct py_runnings *ret)
{
    struct py_running running = {.tstate = thread->tstate};
    TRY(mem_read_u64(dec->mem, thread->tstate + asyncio->running_loop, &running.loop));
    TRY(mem_read_u64(dec->mem, thread->tstate + asyncio->running_task, &running.task));
    if (!running.loop)
        return NULL;
    return vec_push(ret, running) ? NULL : err_create(ERR_NO_MEMORY, "tasks");
}

// Up to 3.11 the thread's dict has a PyRunningLoopHolder, whose loop lies behind its head; in 3.12 the loop
// itself; in 3.13 it follows PyThreadState (struct _PyThreadStateImpl).
static struct err *running_loop(struct py_decoder *dec, const struct py_thread *thread,
                                uint64_t *ret)
{
    uint64_t dict, holder;
    *ret = 0;
    if (dec->layout.version == 0x030d)
        return mem_read_u64(dec->mem, thread->tstate + py_offset(&dec->layout, PY_TS_size), ret);
    TRY(py_read(dec->mem, &dec->layout, thread->tstate, PY_TS_dict, &dict));
    if (!dict)
        return NULL;
    TRY(py_dict_get(dec, dict, "__asyncio_running_event_loop__", &holder));
    *ret = holder;
    return holder && dec->layout.version < 0x030c
               ? mem_read_u64(dec->mem, holder + py_head_bytes(dec), ret)
               : NULL;
}

static struct err *add_running_loop(struct py_decoder *dec, const struct py_thread *thread,
                                    struct py_runnings *ret)
{
    uint64_t loop;
    TRY(running_loop(dec, thread, &loop));
    if (!py_is_a(dec, loop, "AbstractEventLoop")) // None, too
        return NULL;
    vec_foreach (running, ret) {
        if (running->loop == loop) {
            running->tstate = thread->tstate;
            return NULL;
        }
    }
    return vec_push(ret, (struct py_running){thread->tstate, loop, 0})
               ? NULL
               : err_create(ERR_NO_MEMORY, "tasks");
}

// What changed under the reading may be anything.
static void drop_others(struct py_decoder *dec, struct py_runnings *runnings)
{
    size_t kept = 0;
    for (size_t i = 0; i < runnings->count; i++)
        if (py_is_a(dec, runnings->items[i].loop, "AbstractEventLoop"))
            runnings->items[kept++] = runnings->items[i];
    runnings->count = kept;
}

struct err *py_running_list(struct py_process *process, const struct py_asyncio *asyncio,
                            const struct py_state *state, bool idle, struct py_runnings *ret)
{
    struct py_decoder *dec = &process->dec;
    struct turns turns = {.ret = ret};
    const uint64_t dicts[] = {asyncio->current_tasks, asyncio->current_tasks_c};
    for (size_t i = 0; i < ARRAY_SIZE(dicts); i++)
        if (dicts[i] && !asyncio->node)
            err_destroy(py_dict_walk(dec, dicts[i], add_turn, &turns));
    if (turns.no_memory)
        return err_create(ERR_NO_MEMORY, "tasks");
    vec_foreach (thread, &state->threads) {
        struct err *err = NULL;
        if (thread->interp != asyncio->interp || ret->count >= RUNNING_MAX)
            continue;
        if (asyncio->node)
            err = add_running(dec, asyncio, thread, ret);
        else if (idle && dec->layout.version < 0x030e)
            err = add_running_loop(dec, thread, ret);
        if (err && err_code(err) == ERR_NO_MEMORY)
            return err;
        err_destroy(err);
    }
    drop_others(dec, ret);
    return NULL;
}

// ---- Loops --------------------------------------------------------------------------------------

// "uvloop.Loop"; those of asyncio itself, and of the program, without a module.
static uint32_t loop_type(struct py_decoder *dec, const struct py_type_info *type)
{
    uint64_t dict, module;
    AUTO_FREE char *text = NULL, *name = NULL;
    size_t bytes;
    AUTO_ERR struct err *err =
        type->heap ? py_read(dec->mem, &dec->layout, type->addr, PY_TYPE_dict, &dict) : NULL;
    AUTO_ERR struct err *none =
        type->heap && !err ? py_dict_get(dec, dict, "__module__", &module) : NULL;
    if (!type->heap || !type->name || err || none || !module)
        return type->name;
    AUTO_ERR struct err *unread = py_str(dec, module, &text, &bytes);
    if (unread || strncmp(text, "asyncio.", 8) == 0 || strcmp(text, "__main__") == 0)
        return type->name;
    if (asprintf(&name, "%s.%s", text, strtab_get(dec->strings, type->name)) < 0)
        name = NULL;
    return name ? strtab_add_cstr(dec->strings, name) : type->name;
}

static int64_t dict_attr_size(struct py_decoder *dec, uint64_t object, const char *name)
{
    uint64_t dict = 0, used;
    AUTO_ERR struct err *err = py_instance_attr(dec, object, name, &dict);
    if (err || !py_is_a(dec, dict, "dict"))
        return -1;
    AUTO_ERR struct err *unread = py_read(dec->mem, &dec->layout, dict, PY_DICT_used, &used);
    return unread || used > INT64_MAX ? -1 : (int64_t)used;
}

// One descriptor, of a socket pair, is the loop's own: _make_self_pipe() of asyncio.selector_events
// counts it.
static int64_t watched_by(struct py_decoder *dec, uint64_t loop)
{
    uint64_t selector = 0, own = py_int_attr(dec, loop, "_internal_fds");
    AUTO_ERR struct err *err = py_instance_attr(dec, loop, "_selector", &selector);
    int64_t all = err || !selector || !own ? -1 : dict_attr_size(dec, selector, "_fd_to_key");
    return all < 0 || own > (uint64_t)all ? -1 : all - (int64_t)own;
}

// asyncio.base_events.BaseEventLoop keeps a deque of handles whose turn has come, and a heap of
// timers, a list; asyncio.unix_events has the signals' handlers, selectors what is watched, in dicts. Loops
// that are written in C show none of it.
void py_loop_read(struct py_decoder *dec, uint64_t object, struct py_loop *ret)
{
    uint64_t ready = 0, scheduled = 0, length;
    struct py_type_info type;
    *ret = (struct py_loop){
        .object = object, .ready = -1, .scheduled = -1, .watched = -1, .signals = -1};
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    if (err)
        return;
    ret->type = loop_type(dec, &type);
    ret->ident = py_int_attr(dec, object, "_thread_id");
    err_destroy(py_instance_attr(dec, object, "_ready", &ready));
    err_destroy(py_instance_attr(dec, object, "_scheduled", &scheduled));
    if (py_is_a(dec, ready, "collections.deque")) {
        AUTO_ERR struct err *no = py_read(dec->mem, &dec->layout, ready, PY_DEQUE_size, &length);
        ret->ready = no ? -1 : (int64_t)length;
    }
    if (py_is_a(dec, scheduled, "list")) {
        AUTO_ERR struct err *no = py_read(dec->mem, &dec->layout, scheduled, PY_LIST_size, &length);
        ret->scheduled = no ? -1 : (int64_t)length;
    }
    ret->signals = dict_attr_size(dec, object, "_signal_handlers");
    ret->watched = watched_by(dec, object);
}
