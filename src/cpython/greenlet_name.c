// SPDX-License-Identifier: GPL-3.0-or-later
// What a greenlet is called, and whether it runs an event loop: see cpython/greenlet.h.
#include <string.h>

#include "cpython/greenlet.h"
#include "cpython/lock.h"
#include "cpython/stack_walk.h"
#include "util/guard.h"

#define PARTIALS_MAX 8 // one inside of the other

// functools.partial (Modules/_functoolsmodule.c): the function behind the head.
static uint64_t unwrap(struct py_decoder *dec, uint64_t object)
{
    for (int i = 0; i < PARTIALS_MAX && py_is_a(dec, object, "functools.partial"); i++) {
        AUTO_ERR struct err *err =
            mem_read_u64(dec->mem, object + py_offset(&dec->layout, PY_OB_type) + 8, &object);
        if (err)
            return 0;
    }
    return object;
}

static struct err *name_callable(struct py_decoder *dec, uint64_t object, uint32_t *ret)
{
    struct py_type_info type;
    uint64_t name;
    uint32_t bare;
    *ret = 0;
    TRY(py_type_of(dec, object, &type));
    if (type.kind == PY_KIND_BOUND_METHOD) {
        TRY(py_read(dec->mem, &dec->layout, object, PY_METHOD_func, &object));
        TRY(py_type_of(dec, object, &type));
    }
    if (type.kind == PY_KIND_FUNCTION) {
        TRY(py_read(dec->mem, &dec->layout, object, PY_FUNC_qualname, &name));
        return py_str_id(dec, name, ret);
    }
    TRY(py_describe_callable(dec, object, &bare, ret));
    // gevent forgets what it was given of one that was killed before it began.
    const char *type_name = strtab_get(dec->strings, type.name);
    if (!*ret && type_name && strcmp(type_name, "NoneType") != 0)
        *ret = type.name; // an object that can be called
    return NULL;
}

static uint32_t callable_name(struct py_decoder *dec, uint64_t object)
{
    uint32_t name = 0;
    object = unwrap(dec, object);
    AUTO_ERR struct err *err = object ? name_callable(dec, object, &name) : NULL;
    return err ? 0 : name;
}

static uint64_t attribute(struct py_decoder *dec, uint64_t object, const char *name)
{
    uint64_t value;
    AUTO_ERR struct err *err = py_instance_attr(dec, object, name, &value);
    return err ? 0 : value;
}

static uint64_t variable(struct py_decoder *dec, const struct py_frame *frame, const char *name)
{
    struct py_slots slots;
    AUTO_ERR struct err *err = py_slots_read(dec, frame, &slots);
    return err ? 0 : py_slots_find(dec, frame, &slots, name);
}

bool py_frame_is(const struct py_decoder *dec, const struct py_frame *frame, const char *file,
                 const char *function)
{
    const char *path = strtab_get(dec->strings, frame->file);
    const char *name = strtab_get(dec->strings, frame->name);
    size_t size = path ? strlen(path) : 0, want = strlen(file);
    return name && size >= want && strcmp(path + size - want, file) == 0 &&
           (size == want || path[size - want - 1] == '/') &&
           (!function || strcmp(name, function) == 0);
}

static const struct py_frame *outermost(const struct py_stack *stack)
{
    bool known = stack && stack->frames.count && !stack->cut;
    return known ? &stack->frames.items[stack->frames.count - 1] : NULL;
}

bool py_greenlet_is_hub(struct py_decoder *dec, const struct py_greenlet *greenlet,
                        const struct py_stack *stack)
{
    const struct py_frame *frame = outermost(stack);
    // gevent's in Cython and in Python (PURE_PYTHON); eventlet's is a plain one that runs this.
    return py_is_a(dec, greenlet->object,
                   "gevent._gevent_c_hub_primitives.WaitOperationsGreenlet") ||
           py_is_a(dec, greenlet->object, "WaitOperationsGreenlet") ||
           (frame && py_frame_is(dec, frame, "eventlet/hubs/hub.py", "run"));
}

uint32_t py_greenlet_name(struct py_decoder *dec, const struct py_greenlet *greenlet,
                          const struct py_stack *stack)
{
    uint32_t name = 0;
    // gevent: Greenlet.name, once the program has set it, and what spawn() was given.
    uint64_t value = attribute(dec, greenlet->object, "name");
    AUTO_ERR struct err *err = value ? py_str_id(dec, value, &name) : NULL;
    if (!err && name)
        return name;
    value = attribute(dec, greenlet->object, "_run");
    if (!value && greenlet->state == PY_GREENLET_CREATED)
        value = greenlet->run;
    if (value)
        return callable_name(dec, value);
    const struct py_frame *frame = outermost(stack);
    if (!frame || greenlet->is_main)
        return 0;
    if (py_frame_is(dec, frame, "eventlet/greenthread.py", "main") &&
        (value = variable(dec, frame, "function")))
        return callable_name(dec, value);
    return frame->qualname ? frame->qualname : frame->name;
}
