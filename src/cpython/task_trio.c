// SPDX-License-Identifier: GPL-3.0-or-later
// trio's tasks: see cpython/task.h. What runs a loop of trio is a variable on the stack of its thread:
// trio/_core/_run.py, run() and unrolled_run(), `runner`, of 0.20 to 0.35.
#include <string.h>

#include "cpython/lock.h"
#include "cpython/slots.h"
#include "cpython/task.h"
#include "util/guard.h"
#include "util/limits.h"

static bool is_run(const struct py_decoder *dec, const struct py_frame *frame)
{
    static const char file[] = "/trio/_core/_run.py";
    const char *name = strtab_get(dec->strings, frame->name);
    const char *path = strtab_get(dec->strings, frame->file);
    size_t size = path ? strlen(path) : 0, want = sizeof(file) - 1;
    return name && (strcmp(name, "run") == 0 || strcmp(name, "unrolled_run") == 0) &&
           size >= want && strcmp(path + size - want, file) == 0;
}

uint64_t py_trio_runner(struct py_decoder *dec, const struct py_stack *stack)
{
    for (size_t i = 0; i < stack->frames.count; i++) {
        struct py_slots slots;
        if (!is_run(dec, &stack->frames.items[i]))
            continue;
        AUTO_ERR struct err *err = py_slots_read(dec, &stack->frames.items[i], &slots);
        uint64_t runner = err ? 0 : py_slots_find(dec, &stack->frames.items[i], &slots, "runner");
        return py_is_a(dec, runner, "Runner") ? runner : 0;
    }
    return 0;
}

static bool add(void *arg, uint64_t task)
{
    struct py_objects *ret = arg;
    return ret->count < LIMIT_TASKS && vec_push(ret, task);
}

struct err *py_trio_list(struct py_decoder *dec, uint64_t runner, struct py_objects *ret)
{
    uint64_t tasks;
    TRY(py_attr(dec, runner, "tasks", &tasks));
    return py_is_a(dec, tasks, "set") ? py_set_walk(dec, tasks, add, ret) : NULL;
}

struct err *py_trio_read(struct py_futures *futures, uint64_t object, struct py_trio_task *ret)
{
    struct py_decoder *dec = py_futures_decoder(futures);
    struct py_type_info type;
    uint64_t name, next;
    *ret = (struct py_trio_task){0};
    TRY(py_type_of(dec, object, &type));
    if (!py_is_a(dec, object, "Task"))
        return err_create(ERR_BAD_DATA, "0x%llx is no task", (unsigned long long)object);
    ret->task = (struct py_future){.object = object, .kind = PY_TASK, .type = type.name};
    TRY(py_attr(dec, object, "coro", &ret->task.coro));
    TRY(py_attr(dec, object, "name", &name));
    TRY(py_attr(dec, object, "_next_send_fn", &next));
    TRY(py_attr(dec, object, "_parent_nursery", &ret->nursery));
    ret->ready = !py_is_none(futures, next);
    if (py_is_none(futures, ret->nursery))
        ret->nursery = 0;
    return name ? py_str_id(dec, name, &ret->task.name) : NULL;
}
