// SPDX-License-Identifier: GPL-3.0-or-later
// How a frame calls an object: see py_path_to() in cpython/lock.h. The search goes by identity and is
// bounded: variables, their attributes, globals, attributes of those.
#include <stdio.h>
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"

#define VISITS_MAX 20000 // entries of dicts
#define OBJECTS_MAX 200  // whose attributes are looked at

struct path {
    struct py_decoder *dec;
    uint64_t object;
    uint32_t owner; // name of what the attributes are of; 0: names stand for themselves
    uint32_t ret;
    size_t visits, objects;
    uint64_t globals;
};

static uint32_t join(struct path *path, uint32_t name)
{
    const char *owner = strtab_get(path->dec->strings, path->owner);
    const char *attribute = strtab_get(path->dec->strings, name);
    AUTO_FREE char *text = NULL;
    if (!owner || !attribute)
        return name;
    return asprintf(&text, "%s.%s", owner, attribute) < 0
               ? name
               : strtab_add_cstr(path->dec->strings, text);
}

static bool visit_attribute(void *arg, uint64_t key, uint64_t value)
{
    struct path *path = arg;
    if (path->visits++ > VISITS_MAX)
        return false;
    if (value != path->object)
        return true;
    uint32_t name;
    AUTO_ERR struct err *err = py_str_id(path->dec, key, &name);
    if (!err)
        path->ret = join(path, name);
    return !path->ret;
}

// Instances of classes made in Python, and modules: others have no attributes of their own that a
// program keeps locks in.
static void look_into(struct path *path, uint32_t name, uint64_t object)
{
    struct py_type_info type;
    AUTO_ERR struct err *err = py_type_of(path->dec, object, &type);
    if (err || path->objects >= OBJECTS_MAX || path->ret)
        return;
    path->owner = name;
    struct err *walked = NULL;
    if (type.kind == PY_KIND_MODULE) {
        uint64_t dict;
        walked = py_module_dict(path->dec, object, &dict);
        if (!walked && dict && dict != path->globals)
            walked = py_dict_walk(path->dec, dict, visit_attribute, path);
        path->objects++;
    } else if (type.heap) {
        walked = py_instance_walk(path->dec, object, visit_attribute, path);
        path->objects++;
    }
    err_destroy(walked);
    path->owner = 0;
}

static bool visit_global(void *arg, uint64_t key, uint64_t value)
{
    struct path *path = arg;
    uint32_t name;
    if (path->visits++ > VISITS_MAX || path->objects >= OBJECTS_MAX)
        return false;
    struct py_type_info type;
    AUTO_ERR struct err *err = py_type_of(path->dec, value, &type);
    if (err || (type.kind != PY_KIND_MODULE && !type.heap))
        return true;
    AUTO_ERR struct err *unnamed = py_str_id(path->dec, key, &name);
    if (!unnamed)
        look_into(path, name, value);
    return !path->ret;
}

uint32_t py_path_to(struct py_decoder *dec, const struct py_frame *frame,
                    const struct py_slots *slots, uint64_t object)
{
    struct path path = {.dec = dec, .object = object};
    for (uint32_t i = 0; i < slots->locals; i++)
        if (slots->objects[i] && py_slots_value(dec, slots->objects[i]) == object)
            return py_slots_name(dec, frame, slots, i);
    path.globals = py_frame_globals(dec, frame);
    AUTO_ERR struct err *err =
        path.globals ? py_dict_walk(dec, path.globals, visit_attribute, &path) : NULL;
    for (uint32_t i = 0; i < slots->locals && !path.ret; i++) {
        uint64_t value = py_slots_value(dec, slots->objects[i]);
        if (value)
            look_into(&path, py_slots_name(dec, frame, slots, i), value);
    }
    if (path.ret || !path.globals)
        return path.ret;
    AUTO_ERR struct err *deep = py_dict_walk(dec, path.globals, visit_global, &path);
    return path.ret;
}
