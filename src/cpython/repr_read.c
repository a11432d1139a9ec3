// SPDX-License-Identifier: GPL-3.0-or-later
// Reading parts of objects for their text: errors cost the object that is being written, no more.
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"

bool repr_ok(struct repr *repr, struct err *err)
{
    if (!err)
        return true;
    repr->no_memory |= err_code(err) == ERR_NO_MEMORY;
    err_destroy(err);
    return false;
}

uint64_t repr_head(const struct repr *repr)
{
    return py_head_bytes(repr->dec);
}

bool repr_bytes(struct repr *repr, uint64_t addr, void *ret, size_t size)
{
    return repr_ok(repr, mem_read(repr->dec->mem, addr, ret, size));
}

bool repr_u64(struct repr *repr, uint64_t addr, uint64_t *ret)
{
    return repr_bytes(repr, addr, ret, 8);
}

bool repr_read(struct repr *repr, uint64_t object, enum py_field_id field, uint64_t *ret)
{
    return repr_ok(repr, py_read(repr->dec->mem, &repr->dec->layout, object, field, ret));
}

bool repr_int(struct repr *repr, uint64_t object, int64_t *ret)
{
    return repr_ok(repr, py_int(repr->dec, object, ret));
}

bool repr_is_none(struct repr *repr, uint64_t object)
{
    const struct repr_class *class = repr_class_of(repr, object);
    return class && !class->info.heap && strcmp(repr_type_name(repr, class), "NoneType") == 0;
}

bool repr_key(struct repr *repr, uint64_t object, char *ret, size_t room, size_t *ret_size)
{
    struct py_type_info info;
    AUTO_FREE char *text = NULL;
    size_t chars;
    if (!repr_ok(repr, py_type_of(repr->dec, object, &info)) || info.kind != PY_KIND_STR ||
        !repr_ok(repr, py_str_part(repr->dec, object, room, &text, ret_size, &chars)) ||
        chars > room || *ret_size >= room)
        return false;
    memcpy(ret, text, *ret_size + 1);
    return true;
}

uint64_t repr_attr(struct repr *repr, uint64_t object, const char *name)
{
    uint64_t value = 0;
    return repr_ok(repr, py_attr(repr->dec, object, name, &value)) ? value : 0;
}
