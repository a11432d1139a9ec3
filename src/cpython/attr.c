// SPDX-License-Identifier: GPL-3.0-or-later
// Attributes that lie in an object's struct, and the items of containers.
#include <string.h>

#include "cpython/decoder.h"
#include "util/guard.h"
#include "util/limits.h"

#define MEMBERS_MAX 256
#define BASES_MAX 32
#define NAME_MAX_BYTES 64

// PyMemberDef of type T_OBJECT or T_OBJECT_EX (Include/structmember.h).
static struct err *member_value(struct py_decoder *dec, uint64_t object, uint64_t member,
                                uint64_t *ret)
{
    uint64_t kind, offset;
    TRY(py_read(dec->mem, &dec->layout, member, PY_MEMBER_type, &kind));
    TRY(py_read(dec->mem, &dec->layout, member, PY_MEMBER_offset, &offset));
    if ((kind != 6 && kind != 16) || offset > 1 << 20)
        return NULL;
    return mem_read_u64(dec->mem, object + offset, ret);
}

static struct err *class_slot(struct py_decoder *dec, uint64_t object, uint64_t type,
                              const char *name, uint64_t *ret)
{
    uint64_t member, name_addr;
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_members, &member));
    for (int i = 0; member && i < MEMBERS_MAX; i++) {
        AUTO_FREE char *text = NULL;
        TRY(py_read(dec->mem, &dec->layout, member, PY_MEMBER_name, &name_addr));
        if (!name_addr)
            return NULL;
        // Not a byte behind its end: what is read goes into captures.
        TRY(mem_read_cstr(dec->mem, name_addr, NAME_MAX_BYTES, &text));
        if (strcmp(text, name) == 0)
            return member_value(dec, object, member, ret);
        member += py_offset(&dec->layout, PY_MEMBER_size);
    }
    return NULL;
}

struct err *py_attr(struct py_decoder *dec, uint64_t object, const char *name, uint64_t *ret)
{
    uint64_t type;
    AUTO_ERR struct err *err = py_instance_attr(dec, object, name, ret);
    if (!err && *ret)
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, object, PY_OB_type, &type));
    for (int i = 0; i < BASES_MAX && type && !*ret; i++) {
        TRY(class_slot(dec, object, type, name, ret));
        TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_base, &type));
    }
    return NULL;
}

struct err *py_class_attr(struct py_decoder *dec, uint64_t object, const char *name, uint64_t *ret)
{
    struct py_type_info type;
    uint64_t mro, count, base, dict;
    *ret = 0;
    TRY(py_type_of(dec, object, &type));
    if (!type.heap)
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, type.addr, PY_TYPE_mro, &mro));
    TRY(py_expect(dec, mro, PY_KIND_TUPLE, "mro"));
    TRY(py_read(dec->mem, &dec->layout, mro, PY_TUPLE_size, &count));
    for (size_t i = 0; i < count && i < LIMIT_MRO && !*ret; i++) {
        TRY(py_tuple_item(dec, mro, i, &base));
        TRY(py_type_info(dec, base, &type));
        if (!type.heap)
            continue;
        TRY(py_read(dec->mem, &dec->layout, base, PY_TYPE_dict, &dict));
        TRY(py_dict_get(dec, dict, name, ret));
    }
    return NULL;
}

// ---- Items --------------------------------------------------------------------------------------

#define AT_ONCE 128

static struct err *walk_array(struct py_decoder *dec, uint64_t addr, uint64_t count,
                              py_item_visit *visit, void *arg)
{
    uint64_t items[AT_ONCE];
    for (uint64_t at = 0; at < count; at += AT_ONCE) {
        size_t some = count - at < AT_ONCE ? count - at : AT_ONCE;
        TRY(mem_read(dec->mem, addr + 8 * at, items, 8 * some));
        for (size_t i = 0; i < some; i++)
            if (items[i] && !visit(arg, items[i]))
                return NULL;
    }
    return NULL;
}

struct err *py_list_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg)
{
    uint64_t count, items, room;
    TRY(py_read(dec->mem, &dec->layout, object, PY_LIST_size, &count));
    TRY(py_read(dec->mem, &dec->layout, object, PY_LIST_items, &items));
    TRY(py_read(dec->mem, &dec->layout, object, PY_LIST_allocated, &room));
    if (count > room || count > LIMIT_DICT_ENTRIES)
        return err_create(ERR_BAD_DATA, "list at 0x%llx has an impossible length",
                          (unsigned long long)object);
    return walk_array(dec, items, count, visit, arg);
}

struct err *py_tuple_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg)
{
    uint64_t count;
    TRY(py_expect(dec, object, PY_KIND_TUPLE, "tuple"));
    TRY(py_read(dec->mem, &dec->layout, object, PY_TUPLE_size, &count));
    if (count > LIMIT_DICT_ENTRIES)
        return err_create(ERR_BAD_DATA, "tuple at 0x%llx has an impossible length",
                          (unsigned long long)object);
    return walk_array(dec, object + py_offset(&dec->layout, PY_TUPLE_items), count, visit, arg);
}

// The table of {key, hash} has mask + 1 places (Objects/setobject.c); a dummy's hash is -1.
struct err *py_set_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg)
{
    uint64_t entries[2 * AT_ONCE], mask, table;
    TRY(py_read(dec->mem, &dec->layout, object, PY_SET_mask, &mask));
    TRY(py_read(dec->mem, &dec->layout, object, PY_SET_table, &table));
    if (mask & (mask + 1) || mask > 4 * LIMIT_DICT_ENTRIES)
        return err_create(ERR_BAD_DATA, "set at 0x%llx has an impossible size",
                          (unsigned long long)object);
    for (uint64_t at = 0; at <= mask; at += AT_ONCE) {
        size_t some = mask + 1 - at < AT_ONCE ? mask + 1 - at : AT_ONCE;
        TRY(mem_read(dec->mem, table + 16 * at, entries, 16 * some));
        for (size_t i = 0; i < some; i++)
            if (entries[2 * i] && entries[2 * i + 1] != UINT64_MAX && !visit(arg, entries[2 * i]))
                return NULL;
    }
    return NULL;
}

// Modules/_collectionsmodule.c: BLOCK is leftlink, data[BLOCKLEN], rightlink.
struct err *py_deque_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg)
{
    enum { BLOCK_ITEMS = 64 };
    uint64_t count, block, index, item;
    TRY(py_read(dec->mem, &dec->layout, object, PY_DEQUE_size, &count));
    TRY(py_read(dec->mem, &dec->layout, object, PY_DEQUE_leftblock, &block));
    TRY(py_read(dec->mem, &dec->layout, object, PY_DEQUE_leftindex, &index));
    if (count > LIMIT_DICT_ENTRIES || index > BLOCK_ITEMS)
        return err_create(ERR_BAD_DATA, "deque at 0x%llx has an impossible length",
                          (unsigned long long)object);
    for (; count; count--, index++) {
        if (index == BLOCK_ITEMS) {
            index = 0;
            TRY(mem_read_u64(dec->mem, block + 8 + 8 * BLOCK_ITEMS, &block));
        }
        TRY(mem_read_u64(dec->mem, block + 8 + 8 * index, &item));
        if (item && !visit(arg, item))
            return NULL;
    }
    return NULL;
}
