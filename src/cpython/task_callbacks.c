// SPDX-License-Identifier: GPL-3.0-or-later
// Who is woken when a future is done, told by its callbacks: see py_future_awaiters().
//
// A task that awaits it left its own wakeup there. gather(), wait(), wait_for(), shield() and
// wrap_future() left a function that holds, in its closure or as an argument, the future that somebody
// awaits in its place: so does whoever else hands a result on. So does a TaskGroup.
#include "cpython/task.h"

#include <string.h>

#include "cpython/lock.h"
#include "cpython/slots.h"
#include "util/guard.h"

#define DEPTH_MAX 6           // futures behind each other
#define CALLBACKS_MAX 100000u // that are looked at for one future: so many tasks may wait for it
#define FEW 64                // each one is compared with all others

struct search {
    struct py_futures *futures;
    struct py_decoder *dec;
    struct py_objects *ret;
    uint64_t path[DEPTH_MAX + 1]; // futures that are being looked at, outermost first
    size_t depth, callbacks;
    uint64_t job;
    bool no_memory;
};

static void search_future(struct search *s, const struct py_future *future);
static py_item_visit visit_held;

static uint64_t field_of(const struct search *s, uint64_t base, enum py_field_id field)
{
    uint64_t value = 0;
    AUTO_ERR struct err *err = py_read(s->dec->mem, &s->dec->layout, base, field, &value);
    return err ? 0 : value;
}

static uint64_t attribute_of(const struct search *s, uint64_t object, const char *name)
{
    uint64_t value = 0;
    AUTO_ERR struct err *err = py_instance_attr(s->dec, object, name, &value);
    return err ? 0 : value;
}

static const char *type_name(const struct search *s, uint64_t object)
{
    const char *name = strtab_get(s->dec->strings, py_type_name(s->dec, object));
    return name ? name : "";
}

static bool is_on_path(const struct search *s, uint64_t object)
{
    for (size_t i = 0; i < s->depth; i++)
        if (s->path[i] == object)
            return true;
    return false;
}

static void add(struct search *s, uint64_t task)
{
    for (size_t i = 0; i < s->ret->count && i < FEW; i++)
        if (s->ret->items[i] == task)
            return;
    if (s->ret->count < CALLBACKS_MAX)
        s->no_memory |= !vec_push(s->ret, task);
}

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

// Few are in the order of the callbacks, and each is there once already.
static void each_once(struct py_objects *objects)
{
    size_t kept = 0;
    if (objects->count <= FEW)
        return;
    qsort(objects->items, objects->count, sizeof(*objects->items), by_value);
    for (size_t i = 0; i < objects->count; i++)
        if (!kept || objects->items[kept - 1] != objects->items[i])
            objects->items[kept++] = objects->items[i];
    objects->count = kept;
}

// as_completed() puts what is done into a queue of its own; asyncio's and anyio's TaskGroup have a
// future while somebody waits for the whole group. concurrent.futures.Future is a job of an executor.
static void search_collector(struct search *s, uint64_t object)
{
    const char *type = type_name(s, object);
    uint64_t inner;
    if (strcmp(type, "Future") == 0) {
        s->job = object;
    } else if (strcmp(type, "Queue") == 0) {
        inner = attribute_of(s, object, "_getters");
        if (inner && strcmp(type_name(s, inner), "collections.deque") == 0)
            err_destroy(py_deque_walk(s->dec, inner, visit_held, s));
    } else if (strcmp(type, "_AsCompletedIterator") == 0) { // 3.13+
        inner = attribute_of(s, object, "_done");
        if (inner && strcmp(type_name(s, inner), "Queue") == 0)
            search_collector(s, inner);
    } else if (strcmp(type, "TaskGroup") == 0) {
        inner = attribute_of(s, object, "_on_completed_fut");
        if (inner)
            visit_held(s, inner);
    }
}

// Something that a callback holds: a future that it hands the result on to?
static bool visit_held(void *arg, uint64_t object)
{
    struct search *s = arg;
    struct py_future future;
    if (!py_futures_may_look(s->futures))
        return false;
    object = py_slots_value(s->dec, object);
    if (!object || is_on_path(s, object))
        return true;
    AUTO_ERR struct err *err = py_future_read(s->futures, object, &future);
    if (err)
        return true;
    if (future.kind == PY_FUTURE && future.state == PY_FUTURE_PENDING)
        search_future(s, &future);
    if (!future.kind)
        search_collector(s, object);
    return true;
}

// A bound method's object: the task that it wakes, or what collects the results.
static void search_owner(struct search *s, uint64_t owner)
{
    struct py_future future;
    AUTO_ERR struct err *err = py_future_read(s->futures, owner, &future);
    if (err)
        return;
    if (future.kind == PY_TASK)
        add(s, owner);
    else if (!future.kind)
        search_collector(s, owner);
}

static void walk_closure(struct search *s, uint64_t function)
{
    struct py_type_info type;
    AUTO_ERR struct err *err = py_type_of(s->dec, function, &type);
    uint64_t closure =
        !err && type.kind == PY_KIND_FUNCTION ? field_of(s, function, PY_FUNC_closure) : 0;
    if (closure)
        err_destroy(py_tuple_walk(s->dec, closure, visit_held, s));
}

static void search_closure(struct search *s, uint64_t function)
{
    struct py_closure *known = py_futures_closure(s->futures);
    bool direct = s->depth == 1 && !s->ret->count;
    if (!direct || known->function != function) {
        walk_closure(s, function);
        if (!direct || s->ret->count > ARRAY_SIZE(known->tasks))
            return;
        *known = (struct py_closure){.function = function, .job = s->job, .count = s->ret->count};
        for (size_t i = 0; i < known->count; i++)
            known->tasks[i] = s->ret->items[i];
        return;
    }
    for (size_t i = 0; i < known->count; i++)
        add(s, known->tasks[i]);
    s->job = known->job ? known->job : s->job;
}

// functools.partial (Modules/_functoolsmodule.c, partialobject): fn, args, ... behind the head.
static void search_partial(struct search *s, uint64_t object)
{
    uint64_t words[2];
    AUTO_ERR struct err *err =
        mem_read(s->dec->mem, object + py_head_bytes(s->dec), words, sizeof(words));
    if (err)
        return;
    search_closure(s, words[0]);
    err_destroy(py_tuple_walk(s->dec, words[1], visit_held, s));
}

static void search_callback(struct search *s, uint64_t callback)
{
    struct py_type_info type;
    AUTO_ERR struct err *err = py_type_of(s->dec, callback, &type);
    if (err)
        return;
    if (type.kind == PY_KIND_BUILTIN || type.kind == PY_KIND_BOUND_METHOD) {
        search_owner(s, py_bound_self(s->dec, callback));
    } else if (type.kind == PY_KIND_FUNCTION) {
        search_closure(s, callback);
    } else if (strtab_is(s->dec->strings, type.name, "TaskWakeupMethWrapper")) {
        // 3.6 to 3.8: the task behind its head
        uint64_t task = 0;
        err_destroy(mem_read_u64(s->dec->mem, callback + py_head_bytes(s->dec), &task));
        search_owner(s, task);
    } else if (strtab_is(s->dec->strings, type.name, "functools.partial")) {
        search_partial(s, callback);
    }
}

// Of a list: callables (3.6), pairs of callable and context (3.7+).
static bool visit_callback(void *arg, uint64_t item)
{
    struct search *s = arg;
    struct py_type_info type;
    if (s->callbacks++ >= CALLBACKS_MAX || !py_futures_may_look(s->futures))
        return false;
    AUTO_ERR struct err *err = py_type_of(s->dec, item, &type);
    if (err)
        return true;
    if (type.kind == PY_KIND_TUPLE)
        err_destroy(py_tuple_item(s->dec, item, 0, &item));
    search_callback(s, item);
    return true;
}

static void search_future(struct search *s, const struct py_future *future)
{
    if (s->depth >= DEPTH_MAX)
        return;
    s->path[s->depth++] = future->object;
    if (!py_is_none(s->futures, future->callback0))
        search_callback(s, future->callback0);
    if (future->callbacks && strcmp(type_name(s, future->callbacks), "list") == 0)
        err_destroy(py_list_walk(s->dec, future->callbacks, visit_callback, s));
    s->depth--;
}

struct err *py_future_awaiters(struct py_futures *futures, const struct py_future *future,
                               struct py_objects *ret, uint64_t *ret_job)
{
    struct search search = {.futures = futures, .dec = py_futures_decoder(futures), .ret = ret};
    search_future(&search, future);
    each_once(ret);
    if (ret_job)
        *ret_job = search.job;
    return search.no_memory ? err_create(ERR_NO_MEMORY, "tasks") : NULL;
}
