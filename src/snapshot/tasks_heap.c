// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks that no registry of asyncio has, from the collector's lists of all objects. From 3.14 on these
// are the done ones, of whose exceptions nobody may know yet; in a stripped 3.6 all those in C; else the
// two agree, unless a registry is damaged.
//
// All objects are looked at, which takes long in a large heap: so that is done of cores, where
// --generators has the heap walked anyway, and where a registry is known to be missing. What was found is
// a fact that captures keep, as they do not hold the heap.
#include "snapshot/tasks.h"
#include "util/guard.h"
#include "util/limits.h"

struct heap_walk {
    struct py_process process; // with a decoder over memory that is not recorded
    struct py_futures *futures;
    struct py_objects *ret;
    size_t first; // of ret, that this walk found
    bool no_memory;
};

static bool visit(void *arg, uint64_t object)
{
    struct heap_walk *walk = arg;
    struct py_future task;
    struct err *err = py_future_read(walk->futures, object, &task);
    walk->no_memory = err && err_code(err) == ERR_NO_MEMORY;
    bool wanted = !err && tasks_is_shown(&task);
    err_destroy(err);
    if (wanted && walk->ret->count < LIMIT_TASKS)
        walk->no_memory = !vec_push(walk->ret, object);
    return !walk->no_memory;
}

static struct err *walk_heap(struct tasks *tasks, uint64_t interp, struct heap_walk *walk)
{
    const struct snap_input *in = tasks->in;
    walk->process = *in->process;
    TRY(py_decoder_init(&walk->process.dec, &tasks->dec->layout, in->heap, in->strings));
    walk->futures = py_futures_create(&walk->process.dec);
    struct err *err = walk->futures ? py_heap_walk(&walk->process, interp, visit, walk)
                                    : err_create(ERR_NO_MEMORY, "tasks");
    py_futures_destroy(walk->futures);
    py_decoder_deinit(&walk->process.dec);
    if (walk->no_memory) {
        err_destroy(err);
        err = err_create(ERR_NO_MEMORY, "tasks");
    }
    if (err &&
        err_code(err) != ERR_NO_MEMORY) { // free-threaded, or damaged: what was found is there
        err_destroy(err);
        err = NULL;
    }
    return err;
}

static struct err *remember(struct tasks *tasks, const struct heap_walk *walk)
{
    struct kernel_facts *facts = tasks->in->kernel;
    for (size_t i = walk->first; facts && i < walk->ret->count; i++)
        if (!vec_push(&facts->heap_tasks, walk->ret->items[i]))
            return err_create(ERR_NO_MEMORY, "tasks");
    return NULL;
}

static struct err *recall(const struct tasks *tasks, struct py_objects *ret)
{
    const struct kernel_facts *facts = tasks->in->kernel;
    for (size_t i = 0; facts && i < facts->heap_tasks.count; i++)
        if (!vec_push(ret, facts->heap_tasks.items[i]))
            return err_create(ERR_NO_MEMORY, "tasks");
    return NULL;
}

struct err *tasks_find_unlisted(struct tasks *tasks, const struct py_asyncio *asyncio,
                                struct py_objects *ret)
{
    const struct snap_input *in = tasks->in;
    bool missing = tasks->dec->layout.version == 0x0306 && !asyncio->weak_tasks_c;
    if (!in->heap)
        return recall(tasks, ret);
    if (!in->is_core && !in->generators && !missing)
        return NULL;
    struct heap_walk walk = {.ret = ret, .first = ret->count};
    TRY(walk_heap(tasks, asyncio->interp, &walk));
    return remember(tasks, &walk);
}
