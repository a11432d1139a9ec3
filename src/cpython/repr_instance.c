// SPDX-License-Identifier: GPL-3.0-or-later
// Instances by their attributes, exceptions, files and sockets.
#include <stdlib.h>
#include <string.h>

#include "cpython/lock.h"
#include "repr_private.h"
#include "util/guard.h"
#include "util/limits.h"

#define MEMBERS_MAX 256
#define BASES_MAX 32

struct attribute {
    char name[128];
    size_t size;
    uint64_t value;
};
VEC_DEFINE(attributes, struct attribute);

struct collector {
    struct repr *repr;
    struct attributes attributes;
    size_t more; // that were not kept
};

static bool collect(void *arg, uint64_t key, uint64_t value)
{
    struct collector *to = arg;
    struct attribute attribute = {.value = value};
    if (to->attributes.count > to->repr->options->items) {
        to->more++;
        return to->more < 1000;
    }
    if (repr_key(to->repr, key, attribute.name, sizeof(attribute.name), &attribute.size) &&
        !vec_push(&to->attributes, attribute))
        to->repr->no_memory = true;
    return !to->repr->no_memory;
}

// T_OBJECT (6) and T_OBJECT_EX (16) members: slots, and what a C type shows of itself.
static void collect_members(struct collector *to, uint64_t object, uint64_t type)
{
    struct repr *repr = to->repr;
    const struct py_layout *lay = &repr->dec->layout;
    uint64_t member, name_addr, kind, offset;
    if (!repr_read(repr, type, PY_TYPE_members, &member) || !member)
        return;
    for (int i = 0; i < MEMBERS_MAX; i++, member += py_offset(lay, PY_MEMBER_size)) {
        struct attribute attribute = {0};
        if (!repr_read(repr, member, PY_MEMBER_name, &name_addr) || !name_addr)
            return;
        if (!repr_read(repr, member, PY_MEMBER_type, &kind) || (kind != 6 && kind != 16) ||
            !repr_read(repr, member, PY_MEMBER_offset, &offset) || offset > 1 << 20 ||
            !repr_u64(repr, object + offset, &attribute.value) || !attribute.value)
            continue;
        AUTO_FREE char *name = NULL;
        if (!repr_ok(repr,
                     mem_read_cstr(repr->dec->mem, name_addr, sizeof(attribute.name) - 1, &name)))
            continue;
        attribute.size = strlen(name);
        memcpy(attribute.name, name, attribute.size);
        bool special = strncmp(attribute.name, "__", 2) == 0;
        if (!special && to->attributes.count <= repr->options->items &&
            !vec_push(&to->attributes, attribute))
            repr->no_memory = true;
    }
}

static void collect_all(struct collector *to, uint64_t object, const struct repr_class *class)
{
    uint64_t types[BASES_MAX], type = class->addr;
    size_t count = 0;
    while (type && count < BASES_MAX) {
        types[count++] = type;
        if (!repr_read(to->repr, type, PY_TYPE_base, &type))
            break;
    }
    // As a class statement would list them: those of the bases first.
    while (count)
        collect_members(to, object, types[--count]);
    repr_ok(to->repr, py_instance_walk(to->repr->dec, object, collect, to));
}

// "<module.Class object at 0x...: a=1, b=2>"
bool repr_instance(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct collector to = {.repr = repr};
    repr_puts(repr, "<");
    repr_full_name(repr, class);
    repr_printf(repr, " object at 0x%llx", (unsigned long long)object);
    bool shown = repr->depth < repr->options->depth && repr->depth < PY_REPR_DEPTH_MAX;
    for (unsigned i = 0; i < repr->depth; i++)
        shown &= repr->path[i] != object;
    if (shown) {
        collect_all(&to, object, class);
        repr->path[repr->depth++] = object;
        size_t count = to.attributes.count + to.more;
        if (count)
            repr_puts(repr, ": ");
        for (size_t i = 0; i < to.attributes.count && repr_next(repr, i, count); i++)
            repr_field(repr, to.attributes.items[i].name, to.attributes.items[i].size,
                       to.attributes.items[i].value);
        repr_leave(repr);
    }
    repr_puts(repr, ">");
    vec_deinit(&to.attributes);
    return true;
}

// BaseException_repr, Objects/exceptions.c; 3.6 writes a comma behind one alone.
bool repr_exception(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t args, count, item;
    if (!repr_read(repr, object, PY_EXC_args, &args) ||
        !repr_ok(repr, py_expect(repr->dec, args, PY_KIND_TUPLE, "args")) ||
        !repr_read(repr, args, PY_TUPLE_size, &count))
        return false;
    repr_puts(repr, repr_short_name(repr, class));
    if (count == 1 && repr->dec->layout.version >= 0x0307 &&
        repr_ok(repr, py_tuple_item(repr->dec, args, 0, &item))) {
        if (!repr_enter(repr, object, "(...)", "exception", 1))
            return true;
        repr_puts(repr, "(");
        repr_object(repr, item);
        repr_puts(repr, ")");
        repr_leave(repr);
        return true;
    }
    repr_object(repr, args);
    return true;
}

// ---- Files --------------------------------------------------------------------------------------

// fileio, Modules/_io/fileio.c: fd follows the head; -1: closed.
static bool read_fd(struct repr *repr, uint64_t file, int32_t *ret)
{
    const struct repr_class *class = repr_class_of(repr, file);
    return class && class->base && strcmp(class->base->name, "_io.FileIO") == 0 &&
           repr_bytes(repr, file + repr_head(repr), ret, 4);
}

// buffered, Modules/_io/bufferedio.c: raw follows the head.
static bool read_raw_fd(struct repr *repr, uint64_t buffered, int32_t *ret)
{
    const struct repr_class *class = repr_class_of(repr, buffered);
    uint64_t raw;
    return class && class->base && class->base->write == repr_buffered &&
           repr_u64(repr, buffered + repr_head(repr), &raw) && read_fd(repr, raw, ret);
}

static void put_file(struct repr *repr, uint64_t object, const struct repr_class *class, bool known,
                     int32_t fd)
{
    repr_puts(repr, "<");
    repr_full_name(repr, class);
    if (known && fd >= 0)
        repr_printf(repr, " fd=%d>", fd);
    else if (known)
        repr_puts(repr, " [closed]>");
    else
        repr_printf(repr, " object at 0x%llx>", (unsigned long long)object);
}

bool repr_file(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    int32_t fd = -1;
    bool known = read_fd(repr, object, &fd);
    put_file(repr, object, class, known, fd);
    return true;
}

bool repr_buffered(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    int32_t fd = -1;
    bool known = read_raw_fd(repr, object, &fd);
    put_file(repr, object, class, known, fd);
    return true;
}

// textio, Modules/_io/textio.c: ok and detached (int), chunk_size, then buffer.
bool repr_text_file(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t buffer;
    int32_t fd = -1;
    bool known = repr_u64(repr, object + repr_head(repr) + 16, &buffer) &&
                 (read_raw_fd(repr, buffer, &fd) || read_fd(repr, buffer, &fd));
    put_file(repr, object, class, known, fd);
    return true;
}

// "<locked _thread.lock object at 0x...>"
bool repr_lock(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct py_lock lock;
    if (!repr_ok(repr, py_lock_read(repr->dec, object, &lock)) || lock.kind == PY_LOCK_NONE)
        return false;
    repr_printf(repr, "<%s ", lock.locked ? "locked" : "unlocked");
    repr_full_name(repr, class);
    repr_printf(repr, " object at 0x%llx>", (unsigned long long)object);
    return true;
}

// PySocketSockObject, Modules/socketmodule.h: sock_fd, sock_family, sock_type, sock_proto.
bool repr_socket(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    int32_t parts[4];
    if (!repr_bytes(repr, object + repr_head(repr), parts, sizeof(parts)) || parts[0] < -1)
        return false;
    repr_puts(repr, "<");
    repr_full_name(repr, class);
    if (parts[0] < 0)
        repr_puts(repr, " [closed]>");
    else
        repr_printf(repr, " fd=%d, family=%d, type=%d, proto=%d>", parts[0], parts[1], parts[2],
                    parts[3]);
    return true;
}
