// SPDX-License-Identifier: GPL-3.0-or-later
// Where asyncio keeps its tasks: see cpython/task.h.
//
//   3.6        asyncio.tasks._PyTask._all_tasks, _current_tasks; of tasks in C, statics of _asyncio
//   3.7-3.11   asyncio.tasks._all_tasks, _current_tasks, which are those of _asyncio if it is there
//   3.12, 3.13 asyncio.tasks._scheduled_tasks, _eager_tasks, _current_tasks, likewise
//   3.14+      lists that begin in thread states and the interpreter (Modules/_asynciomodule.c,
//              asyncio_tasks_head); of tasks in Python _scheduled_tasks and _eager_tasks as before
#include <string.h>

#include "cpython/task.h"
#include "util/guard.h"

#define INTERPRETERS_KEPT 4
#define STRUCT_BYTES_MAX (1u << 20)

// ---- Python's registries -------------------------------------------------------------------------

static struct err *class_dict(struct py_decoder *dec, uint64_t module, const char *name,
                              uint64_t *ret)
{
    uint64_t type;
    *ret = 0;
    TRY(py_dict_get(dec, module, name, &type));
    return type ? py_read(dec->mem, &dec->layout, type, PY_TYPE_dict, ret) : NULL;
}

// Of 3.6, whose extension module shows them to nobody.
static void find_statics(struct py_process *process, struct py_asyncio *to)
{
    for (size_t i = 0; i < image_module_count(process->image); i++) {
        struct module *module = image_module(process->image, i);
        uint64_t all, current, size;
        if (!module->path || !strstr(module->path, "_asyncio"))
            continue;
        if (image_symbol(process->image, module, "all_tasks", &all, &size))
            err_destroy(mem_read_u64(process->dec.mem, all, &to->weak_tasks_c));
        if (image_symbol(process->image, module, "current_tasks", &current, &size))
            err_destroy(mem_read_u64(process->dec.mem, current, &to->current_tasks_c));
    }
}

static struct err *find_registries(struct py_process *process, uint64_t tasks,
                                   struct py_asyncio *to)
{
    struct py_decoder *dec = &process->dec;
    uint16_t version = dec->layout.version;
    uint64_t in = tasks;
    if (version == 0x0306) {
        TRY(class_dict(dec, tasks, "_PyTask", &in));
        if (!in)
            return NULL;
        find_statics(process, to);
    }
    TRY(py_dict_get(dec, in, version >= 0x030c ? "_scheduled_tasks" : "_all_tasks",
                    &to->weak_tasks));
    if (version >= 0x030c)
        TRY(py_dict_get(dec, in, "_eager_tasks", &to->eager_tasks));
    return py_dict_get(dec, in, "_current_tasks", &to->current_tasks);
}

// ---- What _asyncio tells -------------------------------------------------------------------------

// struct Py_AsyncioModuleDebugOffsets, Modules/_asynciomodule.c, 3.14 and 3.15.
struct debug_offsets {
    struct {
        uint64_t size, name, awaited_by, is_task, awaited_by_is_set, coro, node;
    } task;
    struct {
        uint64_t size, tasks_head;
    } interp;
    struct {
        uint64_t size, running_loop, running_task, tasks_head;
    } thread;
};

static bool fits(uint64_t offset, uint64_t size)
{
    return size <= STRUCT_BYTES_MAX && offset % 8 == 0 && offset >= 8 && offset + 8 <= size;
}

static void set_field(struct py_decoder *dec, enum py_field_id field, uint64_t offset)
{
    dec->layout.fields[field].offset_plus_1 = (uint32_t)offset + 1;
}

static void take_offsets(struct py_decoder *dec, const struct debug_offsets *from,
                         struct py_asyncio *to)
{
    if (!fits(from->task.name, from->task.size) || !fits(from->task.coro, from->task.size) ||
        !fits(from->task.awaited_by, from->task.size) || !fits(from->task.node, from->task.size) ||
        from->task.coro < 16 || !fits(from->interp.tasks_head, from->interp.size) ||
        !fits(from->thread.running_loop, from->thread.size) ||
        !fits(from->thread.running_task, from->thread.size) ||
        !fits(from->thread.tasks_head, from->thread.size))
        return;
    set_field(dec, PY_TASK_name, from->task.name);
    set_field(dec, PY_TASK_coro, from->task.coro);
    set_field(dec, PY_TASK_waiter, from->task.coro - 8); // right before it, in both versions
    set_field(dec, PY_TASK_awaited_by, from->task.awaited_by);
    to->node = from->task.node;
    to->interp_head = from->interp.tasks_head;
    to->thread_head = from->thread.tasks_head;
    to->running_loop = from->thread.running_loop;
    to->running_task = from->thread.running_task;
}

// In the extension module, or in the interpreter that it is built into.
static void find_debug_offsets(struct py_process *process, struct py_asyncio *to)
{
    struct debug_offsets offsets;
    for (size_t i = 0; i < image_module_count(process->image) && !to->node; i++) {
        struct module *module = image_module(process->image, i);
        uint64_t addr, size;
        const char *base = module->path ? strrchr(module->path, '/') : NULL;
        bool runtime = process->runtime >= module->start && process->runtime < module->end;
        if (!runtime && (!base || (!strstr(base, "python") && !strstr(base, "_asyncio"))))
            continue;
        if (!image_section(process->image, module, ".AsyncioDebug", &addr, &size) &&
            !image_symbol(process->image, module, "_Py_AsyncioDebug", &addr, &size))
            continue;
        AUTO_ERR struct err *err = mem_read(process->dec.mem, addr, &offsets, sizeof(offsets));
        if (!err)
            take_offsets(&process->dec, &offsets, to);
    }
}

// ---- All of it -----------------------------------------------------------------------------------

static struct err *look(struct py_process *process, struct py_asyncio *to)
{
    struct py_decoder *dec = &process->dec;
    uint64_t module, dict;
    TRY(py_dict_get(dec, to->modules, "asyncio.tasks", &module));
    if (!module)
        return NULL;
    TRY(py_module_dict(dec, module, &dict));
    TRY(find_registries(process, dict, to));
    if (dec->layout.version >= 0x030e)
        find_debug_offsets(process, to);
    to->imported = to->weak_tasks || to->weak_tasks_c || to->node;
    return NULL;
}

static struct py_asyncio *slot_of(struct py_process *process, uint64_t interp)
{
    if (!process->asyncio)
        process->asyncio = calloc(INTERPRETERS_KEPT, sizeof(*process->asyncio));
    return process->asyncio ? &process->asyncio[interp / 64 % INTERPRETERS_KEPT] : NULL;
}

struct err *py_asyncio_find(struct py_process *process, uint64_t interp,
                            const struct py_asyncio **ret)
{
    struct py_decoder *dec = &process->dec;
    struct py_asyncio *known = slot_of(process, interp);
    struct py_asyncio fresh = {.interp = interp};
    *ret = NULL;
    if (!known)
        return err_create(ERR_NO_MEMORY, "asyncio");
    TRY(py_read(dec->mem, &dec->layout, interp, PY_IS_modules, &fresh.modules));
    if (!fresh.modules)
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, fresh.modules, PY_DICT_used, &fresh.modules_used));
    bool same = known->interp == interp && known->modules == fresh.modules;
    if (!same || (!known->imported && known->modules_used != fresh.modules_used)) {
        TRY(look(process, &fresh));
        *known = fresh;
    }
    *ret = known->imported ? known : NULL;
    return NULL;
}
