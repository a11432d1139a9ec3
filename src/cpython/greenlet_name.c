// SPDX-License-Identifier: GPL-3.0-or-later
// What a greenlet is called, and whether it runs an event loop: see cpython/greenlet.h.
#include <string.h>

#include "cpython/greenlet.h"
#include "cpython/lock.h"
#include "cpython/stack_walk.h"
#include "util/guard.h"

#define PARTIALS_MAX 8        // one inside of the other
#define VISITS_MAX (4u << 20) // attributes of all greenlets together: each has a few

// functools.partial (Modules/_functoolsmodule.c): the function behind the head.
static uint64_t unwrap(struct py_decoder *dec, uint64_t object)
{
    for (int i = 0; i < PARTIALS_MAX; i++) {
        if (!strtab_is(dec->strings, py_type_name(dec, object), "functools.partial"))
            break;
        AUTO_ERR struct err *err =
            mem_read_u64(dec->mem, object + py_head_bytes(dec), &object);
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
    if (!*ret && !strtab_is(dec->strings, type.name, "NoneType"))
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

struct attributes {
    struct py_decoder *dec;
    struct py_greenlet_build *build;
    uint64_t name, run; // gevent's
};

static bool visit_attribute(void *arg, uint64_t key, uint64_t value)
{
    struct attributes *found = arg;
    struct py_decoder *dec = found->dec;
    uint64_t length;
    if (found->build->visits++ > VISITS_MAX)
        return false;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, key, PY_STR_length, &length);
    if (err || length != 4)
        return true;
    AUTO_FREE char *text = NULL;
    size_t bytes;
    AUTO_ERR struct err *unread = py_str(dec, key, &text, &bytes);
    if (!unread && strcmp(text, "name") == 0)
        found->name = value;
    if (!unread && strcmp(text, "_run") == 0)
        found->run = value;
    return !found->name;
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

bool py_greenlet_is_hub(const struct py_decoder *dec, const struct py_greenlet *greenlet,
                        const struct py_stack *stack)
{
    const struct py_frame *frame = outermost(stack);
    // eventlet's is a plain one that runs this.
    return greenlet->of_hub || (frame && py_frame_is(dec, frame, "eventlet/hubs/hub.py", "run"));
}

static uint32_t name_of_frame(struct py_decoder *dec, const struct py_stack *stack)
{
    const struct py_frame *frame = outermost(stack);
    if (!frame)
        return 0;
    uint64_t function = py_frame_is(dec, frame, "eventlet/greenthread.py", "main")
                            ? variable(dec, frame, "function")
                            : 0;
    if (function)
        return callable_name(dec, function);
    return frame->qualname ? frame->qualname : frame->name;
}

uint32_t py_greenlet_name(struct py_decoder *dec, struct py_greenlet_build *build,
                          const struct py_greenlet *greenlet, const struct py_stack *stack)
{
    struct attributes found = {.dec = dec, .build = build};
    uint32_t name = 0;
    AUTO_ERR struct err *unread = py_instance_walk(dec, greenlet->object, visit_attribute, &found);
    // Once the program has set it.
    AUTO_ERR struct err *err = found.name ? py_str_id(dec, found.name, &name) : NULL;
    if (!err && name)
        return name;
    if (!found.run && greenlet->state == PY_GREENLET_CREATED)
        found.run = greenlet->run;
    if (found.run)
        return callable_name(dec, found.run);
    bool unnamed = greenlet->is_main || py_greenlet_is_hub(dec, greenlet, stack);
    return unnamed ? 0 : name_of_frame(dec, stack);
}
