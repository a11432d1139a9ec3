// SPDX-License-Identifier: GPL-3.0-or-later
// Locks and types: see cpython/lock.h.
//
// Where their fields lie is told by the size of the struct, not by the version: _thread.lock became
// a PyMutex within 3.13 (Modules/_threadmodule.c).
//   lockobject   to 3.13.x  {head, lock_lock, in_weakreflist, char locked}            24 bytes
//                after      {head, PyMutex lock}                                       8 bytes
//   rlockobject  to 3.13    {head, rlock_lock, rlock_owner, rlock_count, weakreflist} 32 bytes
//                3.14+      {head, {PyMutex mutex, thread, level}}                    24 bytes
#include "cpython/lock.h"

#include "util/guard.h"

#define PYMUTEX_LOCKED 1u // Include/cpython/lock.h

static struct err *read_plain(struct py_decoder *dec, uint64_t body, uint64_t size,
                              struct py_lock *ret)
{
    uint8_t byte;
    if (size != 24 && size != 8)
        return NULL;
    TRY(mem_read_u8(dec->mem, body + (size == 24 ? 16 : 0), &byte));
    ret->kind = PY_LOCK_PLAIN;
    ret->locked = size == 24 ? byte != 0 : byte & PYMUTEX_LOCKED;
    return NULL;
}

static struct err *read_rlock(struct py_decoder *dec, uint64_t body, uint64_t size,
                              struct py_lock *ret)
{
    uint64_t words[3];
    if (size != 32 && size != 24)
        return NULL;
    TRY(mem_read(dec->mem, body, words, sizeof(words)));
    ret->kind = PY_LOCK_RLOCK;
    ret->locked = size == 32 ? words[2] != 0 : words[0] & PYMUTEX_LOCKED;
    ret->owner = ret->locked ? words[1] : 0;
    return NULL;
}

struct err *py_lock_read(struct py_decoder *dec, uint64_t object, struct py_lock *ret)
{
    struct py_type_info type;
    uint64_t size, head = py_head_bytes(dec);
    *ret = (struct py_lock){0};
    TRY(py_type_of(dec, object, &type));
    bool plain = strtab_is(dec->strings, type.name, "_thread.lock");
    if (!plain && !strtab_is(dec->strings, type.name, "_thread.RLock"))
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, type.addr, PY_TYPE_basicsize, &size));
    if (size < head)
        return NULL;
    return plain ? read_plain(dec, object + head, size - head, ret)
                 : read_rlock(dec, object + head, size - head, ret);
}

struct class_search {
    const struct py_decoder *dec;
    const char *class_name;
    bool found;
};

static bool visit_base(void *arg, const struct py_type_info *base)
{
    struct class_search *search = arg;
    search->found = strtab_is(search->dec->strings, base->name, search->class_name);
    return !search->found;
}

bool py_is_a(struct py_decoder *dec, uint64_t object, const char *class_name)
{
    struct class_search search = {.dec = dec, .class_name = class_name};
    struct py_type_info type;
    if (!object)
        return false;
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    AUTO_ERR struct err *unread = err ? NULL : py_bases_walk(dec, type.addr, visit_base, &search);
    return search.found;
}

uint32_t py_type_name(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info type;
    if (!object)
        return 0;
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    return err ? 0 : type.name;
}

// Behind the head: PySocketSockObject (Modules/socketmodule.h, sock_fd), fileio (Modules/_io/fileio.c, fd),
// pyEpoll_Object (Modules/selectmodule.c, epfd), all of them an int.
int32_t py_fd_of(struct py_decoder *dec, uint64_t object, const char *class_name)
{
    uint32_t fd;
    if (!py_is_a(dec, object, class_name))
        return -1;
    AUTO_ERR struct err *err = mem_read_u32(dec->mem, object + py_head_bytes(dec), &fd);
    return err ? -1 : (int32_t)fd;
}

uint64_t py_bound_self(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info type;
    uint64_t self = 0;
    if (!object)
        return 0;
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    if (err || (type.kind != PY_KIND_BUILTIN && type.kind != PY_KIND_BOUND_METHOD))
        return 0;
    enum py_field_id field = type.kind == PY_KIND_BUILTIN ? PY_CFUNC_self : PY_METHOD_self;
    AUTO_ERR struct err *unread = py_read(dec->mem, &dec->layout, object, field, &self);
    return unread ? 0 : self;
}

uint64_t py_int_attr(struct py_decoder *dec, uint64_t object, const char *name)
{
    uint64_t value;
    int64_t number = 0;
    if (!object)
        return 0;
    AUTO_ERR struct err *err = py_instance_attr(dec, object, name, &value);
    AUTO_ERR struct err *other = err || !value ? NULL : py_int(dec, value, &number);
    return err || other ? 0 : (uint64_t)number;
}
