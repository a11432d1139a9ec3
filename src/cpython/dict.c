// SPDX-License-Identifier: GPL-3.0-or-later
// dict and instance attributes, which CPython stores in a new way every few versions:
// Objects/dictobject.c, Include/internal/pycore_dict.h; Objects/object.c, _PyObject_GetDictPtr.
#include <stdlib.h>
#include <string.h>

#include "cpython/decoder.h"
#include "util/guard.h"
#include "util/limits.h"

#define TPFLAGS_INLINE_VALUES (1ull << 2) // 3.13+
#define TPFLAGS_MANAGED_DICT (1ull << 4)  // 3.11+

enum keys_kind { KEYS_GENERAL, KEYS_UNICODE, KEYS_SPLIT }; // DICT_KEYS_*, 3.11+

struct keys {
    uint64_t entries; // address of the first
    size_t count, stride;
    bool split;
};

static struct err *read_keys(struct py_decoder *dec, uint64_t addr, struct keys *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t nentries, size, index_bytes;
    TRY(py_read(dec->mem, lay, addr, PY_DK_nentries, &nentries));
    uint64_t indices = addr + py_offset(lay, PY_DK_indices);
    if (py_layout_has(lay, PY_DK_log2_size)) {
        uint64_t log2_size, kind;
        TRY(py_read(dec->mem, lay, addr, PY_DK_log2_size, &log2_size));
        TRY(py_read(dec->mem, lay, addr, PY_DK_log2_index_bytes, &index_bytes));
        TRY(py_read(dec->mem, lay, addr, PY_DK_kind, &kind));
        if (log2_size > 40 || index_bytes > 44 || kind > KEYS_SPLIT)
            return err_create(ERR_BAD_DATA, "damaged dict keys at 0x%llx",
                              (unsigned long long)addr);
        size = 1ull << log2_size;
        index_bytes = 1ull << index_bytes;
        ret->stride = kind == KEYS_GENERAL ? 24 : 16;
        ret->split = kind == KEYS_SPLIT;
    } else {
        TRY(py_read(dec->mem, lay, addr, PY_DK_size, &size));
        if (size > 1ull << 40)
            return err_create(ERR_BAD_DATA, "damaged dict keys at 0x%llx",
                              (unsigned long long)addr);
        index_bytes = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8);
        ret->stride = 24;
        ret->split = false; // told by ma_values
    }
    if (nentries > size)
        return err_create(ERR_BAD_DATA, "damaged dict keys at 0x%llx", (unsigned long long)addr);
    if (nentries > LIMIT_DICT_ENTRIES)
        return err_create(ERR_LIMIT, "dict of %llu entries", (unsigned long long)nentries);
    ret->entries = indices + index_bytes;
    ret->count = nentries;
    return NULL;
}

#define ENTRIES_AT_ONCE 1024

// Visits keys with values; `values` is the address of a split dict's value array, or 0. Reads no
// further than the visitor wants to see.
static struct err *walk(struct py_decoder *dec, const struct keys *keys, uint64_t values,
                        py_dict_visit *visit, void *arg)
{
    size_t room = keys->count < ENTRIES_AT_ONCE ? keys->count : ENTRIES_AT_ONCE;
    AUTO_FREE unsigned char *entries = malloc(room * keys->stride + 1);
    AUTO_FREE uint64_t *split = values ? calloc(room + 1, 8) : NULL;
    if (!entries || (values && !split))
        return err_create(ERR_NO_MEMORY, "dict");
    for (size_t first = 0; first < keys->count; first += room) {
        size_t count = keys->count - first < room ? keys->count - first : room;
        TRY(mem_read(dec->mem, keys->entries + first * keys->stride, entries,
                     count * keys->stride));
        if (values)
            TRY(mem_read(dec->mem, values + 8 * first, split, count * 8));
        for (size_t i = 0; i < count; i++) {
            uint64_t pair[2];
            // General entries begin with the hash.
            memcpy(pair, entries + i * keys->stride + (keys->stride - 16), sizeof(pair));
            uint64_t value = values ? split[i] : pair[1];
            if (pair[0] && value && !visit(arg, pair[0], value))
                return NULL;
        }
    }
    return NULL;
}

struct err *py_dict_walk(struct py_decoder *dec, uint64_t dict, py_dict_visit *visit, void *arg)
{
    uint64_t keys_addr, values;
    TRY(py_read(dec->mem, &dec->layout, dict, PY_DICT_keys, &keys_addr));
    TRY(py_read(dec->mem, &dec->layout, dict, PY_DICT_values, &values));
    struct keys keys;
    TRY(read_keys(dec, keys_addr, &keys));
    // A combined table keeps its values beside the keys, a split one in ma_values; from 3.13 on
    // that points to a PyDictValues, whose slots follow a head.
    if (values && py_layout_has(&dec->layout, PY_DV_values))
        values += py_offset(&dec->layout, PY_DV_values);
    return walk(dec, &keys, values, visit, arg);
}

struct lookup {
    struct py_decoder *dec;
    const char *key;
    size_t size;
    uint64_t value;
    struct err *err;
};

static bool match(void *arg, uint64_t key, uint64_t value)
{
    struct lookup *lookup = arg;
    struct py_decoder *dec = lookup->dec;
    uint64_t length;
    // Most keys differ in length: no need to read their characters.
    struct err *err = py_read(dec->mem, &dec->layout, key, PY_STR_length, &length);
    if (!err && length != lookup->size)
        return true;
    AUTO_FREE char *text = NULL;
    size_t bytes = 0;
    if (!err)
        err = py_str(dec, key, &text, &bytes);
    if (err) {
        // A key that is no str is none we look for; one that cannot be read may be it.
        if (err_code(err) == ERR_FAULT && !lookup->err)
            lookup->err = err;
        else
            err_destroy(err);
        return true;
    }
    if (bytes != lookup->size || memcmp(text, lookup->key, bytes) != 0)
        return true;
    lookup->value = value;
    return false;
}

static struct err *finish(struct lookup *lookup, struct err *err, uint64_t *ret)
{
    *ret = lookup->value;
    if (!err && !lookup->value)
        return lookup->err;
    err_destroy(lookup->err);
    return err;
}

struct err *py_dict_get(struct py_decoder *dec, uint64_t dict, const char *key, uint64_t *ret)
{
    TRY(py_expect(dec, dict, PY_KIND_DICT, "dict"));
    struct lookup lookup = {.dec = dec, .key = key, .size = strlen(key)};
    return finish(&lookup, py_dict_walk(dec, dict, match, &lookup), ret);
}

// Where the attributes of an instance lie: in a dict, or, as it has none yet, as values whose keys are
// the class's. All 0: there are none.
struct attrs {
    uint64_t dict, values;
};

// 3.11+: the dict of an instance lies before it (Py_TPFLAGS_MANAGED_DICT).
static struct err *managed_attrs(struct py_decoder *dec, const struct py_type_info *type,
                                 uint64_t object, struct attrs *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t word;
    if (lay->version == 0x030b) {
        // 3.11: values at -32, dict at -24 (Include/internal/pycore_object.h).
        TRY(mem_read_u64(dec->mem, object - 24, &ret->dict));
        return ret->dict ? NULL : mem_read_u64(dec->mem, object - 32, &ret->values);
    }
    if (lay->version == 0x030c) {
        // 3.12: one word at -24; bit 0 set: values at word + 1.
        TRY(mem_read_u64(dec->mem, object - 24, &word));
        *(word & 1 ? &ret->values : &ret->dict) = word + (word & 1);
        return NULL;
    }
    // 3.13+: dict at -24 (free-threaded -8); without one, the values follow the struct.
    uint64_t basicsize, valid;
    TRY(mem_read_u64(dec->mem, object - (lay->build & PY_BUILD_FREE_THREADED ? 8 : 24),
                     &ret->dict));
    if (ret->dict || !(type->flags & TPFLAGS_INLINE_VALUES))
        return NULL;
    TRY(py_read(dec->mem, lay, type->addr, PY_TYPE_basicsize, &basicsize));
    if (basicsize > 1 << 20)
        return err_create(ERR_BAD_DATA, "type of %llu bytes", (unsigned long long)basicsize);
    TRY(py_read(dec->mem, lay, object + basicsize, PY_DV_valid, &valid));
    if (valid)
        ret->values = object + basicsize + py_offset(lay, PY_DV_values);
    return NULL;
}

// A negative tp_dictoffset counts from the end of an object of variable size (Objects/object.c,
// _PyObject_GetDictPtr), whose ob_size may have a sign.
static struct err *offset_from_end(struct py_decoder *dec, uint64_t type, uint64_t object,
                                   int64_t *offset)
{
    uint64_t basic, item;
    int64_t count;
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_basicsize, &basic));
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_itemsize, &item));
    TRY(mem_read_u64(dec->mem, object + py_head_bytes(dec), (uint64_t *)&count));
    count = count < 0 ? -count : count;
    if (basic > 1 << 20 || item > 1 << 20 || count < 0 || count > 1 << 30)
        return err_create(ERR_BAD_DATA, "object of impossible size");
    *offset += (int64_t)((basic + (uint64_t)count * item + 7) & ~7ull);
    return NULL;
}

static struct err *find_attrs(struct py_decoder *dec, uint64_t object, struct py_type_info *type,
                              struct attrs *ret)
{
    *ret = (struct attrs){0};
    TRY(py_type_of(dec, object, type));
    if (dec->layout.version >= 0x030b && (type->flags & TPFLAGS_MANAGED_DICT))
        return managed_attrs(dec, type, object, ret);
    int64_t offset;
    TRY(py_read(dec->mem, &dec->layout, type->addr, PY_TYPE_dictoffset, (uint64_t *)&offset));
    if (offset < 0 && offset > -(1 << 20))
        TRY(offset_from_end(dec, type->addr, object, &offset));
    if (offset <= 0)
        return NULL;
    return mem_read_u64(dec->mem, object + (uint64_t)offset, &ret->dict);
}

static struct err *class_keys(struct py_decoder *dec, const struct py_type_info *type,
                              struct keys *ret)
{
    uint64_t addr;
    *ret = (struct keys){0};
    TRY(py_read(dec->mem, &dec->layout, type->addr, PY_HT_cached_keys, &addr));
    return addr ? read_keys(dec, addr, ret) : NULL;
}

struct err *py_instance_walk(struct py_decoder *dec, uint64_t object, py_dict_visit *visit,
                             void *arg)
{
    struct py_type_info type;
    struct attrs attrs;
    struct keys keys;
    TRY(find_attrs(dec, object, &type, &attrs));
    if (attrs.dict) {
        TRY(py_expect(dec, attrs.dict, PY_KIND_DICT, "dict"));
        return py_dict_walk(dec, attrs.dict, visit, arg);
    }
    if (!attrs.values)
        return NULL;
    TRY(class_keys(dec, &type, &keys));
    return walk(dec, &keys, attrs.values, visit, arg);
}

struct err *py_instance_attr(struct py_decoder *dec, uint64_t object, const char *name,
                             uint64_t *ret)
{
    *ret = 0;
    struct lookup lookup = {.dec = dec, .key = name, .size = strlen(name)};
    return finish(&lookup, py_instance_walk(dec, object, match, &lookup), ret);
}

struct err *py_module_dict(struct py_decoder *dec, uint64_t module, uint64_t *ret)
{
    TRY(py_expect(dec, module, PY_KIND_MODULE, "module"));
    return py_read(dec->mem, &dec->layout, module, PY_MODULE_dict, ret);
}
