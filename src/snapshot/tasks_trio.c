// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks of trio: see tasks.h.
#include "snapshot/tasks.h"
#include "util/guard.h"

#define RUNNERS_MAX 256

static struct err *out_of_memory(void)
{
    return err_create(ERR_NO_MEMORY, "tasks");
}

struct err *tasks_read_future(struct tasks *tasks, const struct task_entry *entry,
                              struct py_future *ret)
{
    struct py_trio_task trio;
    if (!entry->trio)
        return py_future_read(tasks->futures, entry->future.object, ret);
    TRY(py_trio_read(tasks->futures, entry->future.object, &trio));
    *ret = trio.task;
    return NULL;
}

static enum snap_task_state state_of(const struct py_trio_task *task,
                                     const struct py_generator *coroutine)
{
    return coroutine->state == PY_GEN_CREATED   ? SNAP_TASK_CREATED
           : coroutine->state == PY_GEN_RUNNING ? SNAP_TASK_RUNNING
           : task->ready                        ? SNAP_TASK_READY
                                                : SNAP_TASK_WAITING;
}

// False: it is none, or cannot be read.
static bool read_task(struct tasks *tasks, uint64_t object, uint32_t loop, struct task_entry *ret)
{
    struct py_trio_task task;
    struct py_generator coroutine;
    AUTO_ERR struct err *err = py_trio_read(tasks->futures, object, &task);
    AUTO_ERR struct err *other =
        err ? NULL : py_generator_read(tasks->dec, task.task.coro, &coroutine);
    if (err || other)
        return false;
    ret->future = task.task;
    ret->trio = true;
    ret->nursery = task.nursery;
    ret->frame = coroutine.frame;
    ret->value = (struct snap_task){
        .pid = tasks->in->target->pid,
        .object = object,
        .name = task.task.name,
        .type = tasks_short_type(tasks, task.task.type),
        .coroutine = coroutine.qualname ? coroutine.qualname : coroutine.name,
        .loop = loop,
        .state = state_of(&task, &coroutine),
        .stack = SNAP_NO_INDEX,
        .await = {.fd = -1, .left_ns = -1, .holder = SNAP_NO_INDEX},
    };
    return true;
}

static struct err *read_runner(struct tasks *tasks, uint64_t runner, uint32_t loop)
{
    struct py_objects objects = {0};
    struct err *err = py_trio_list(tasks->dec, runner, &objects);
    if (err && err_code(err) != ERR_NO_MEMORY) {
        err_destroy(err);
        err = NULL;
    }
    for (size_t i = 0; i < objects.count && !err; i++) {
        struct task_entry entry = {.rank = i};
        if (!read_task(tasks, objects.items[i], loop, &entry))
            continue;
        if (entry.value.state != SNAP_TASK_RUNNING)
            err = tasks_read_chain(tasks, &entry);
        if (err)
            task_entry_clear(&entry);
        else
            err = tasks_add(tasks, &entry);
    }
    vec_deinit(&objects);
    return err;
}

bool tasks_have_trio(struct tasks *tasks)
{
    for (size_t i = 0; i < tasks->in->stack_count && tasks->runners.count < RUNNERS_MAX; i++) {
        struct task_runner found = {py_trio_runner(tasks->dec, &tasks->in->stacks[i]), i};
        if (found.runner && !vec_push(&tasks->runners, found))
            break; // without memory others will say so
    }
    return tasks->runners.count;
}

struct err *tasks_read_trio(struct tasks *tasks)
{
    const struct snap_input *in = tasks->in;
    vec_foreach (found, &tasks->runners) {
        size_t owner = tasks->owners[found->stack];
        struct snap_loop loop = {
            .pid = in->target->pid,
            .tid = owner == SIZE_MAX ? 0 : in->threads[owner].tid,
            .object = found->runner,
            .type = strtab_add_cstr(in->strings, "Runner"),
            .library = strtab_add_cstr(in->strings, "trio"),
            .current = SNAP_NO_INDEX,
            .ready = -1,
            .scheduled = -1,
            .watched = -1,
            .signals = -1,
        };
        size_t first = tasks->entries.count;
        if (!vec_push(&tasks->out->loops, loop))
            return out_of_memory();
        TRY(read_runner(tasks, found->runner, (uint32_t)(tasks->out->loops.count - 1)));
        if (!tasks->calm)
            TRY(tasks_verify(tasks, first));
    }
    return NULL;
}
