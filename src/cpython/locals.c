// SPDX-License-Identifier: GPL-3.0-or-later
// Variables: names from the code object, values from the frame's slots. See cpython/locals.h.
#include "cpython/locals.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/limits.h"

// Include/cpython/code.h
#define CO_OPTIMIZED 1
#define CO_VARARGS 4
#define CO_VARKEYWORDS 8

// co_localspluskinds, Include/internal/pycore_code.h, 3.11+
#define KIND_CELL 0x40
#define KIND_FREE 0x80

struct slots {
    struct py_decoder *dec;
    const struct py_frame *frame;
    struct py_code *code;
    size_t limit;
    struct py_variables *ret;
    uint64_t args;   // so many of the first locals are arguments
    uint64_t *words; // of the frame
    size_t count;
};

static struct err *add(struct slots *slots, uint64_t name, enum py_variable_kind kind,
                       uint64_t object)
{
    uint32_t id;
    if (slots->ret->count >= slots->limit)
        return NULL;
    struct err *err = py_str_id(slots->dec, name, &id);
    if (err && err_code(err) != ERR_NO_MEMORY) {
        err_destroy(err);
        return NULL;
    }
    TRY(err);
    return vec_push(slots->ret, (struct py_variable){id, kind, object})
               ? NULL
               : err_create(ERR_NO_MEMORY, "variables");
}

static bool is_cell(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info info;
    AUTO_ERR struct err *err = py_type_of(dec, object, &info);
    return !err && !info.heap && strtab_is(dec->strings, info.name, "cell");
}

// What a slot holds; 0: nothing. Of a cell's slot the cell's content: before MAKE_CELL ran the value
// itself lies there.
static uint64_t value_of(struct slots *slots, size_t index, bool cell)
{
    uint64_t object = index < slots->count ? py_untag(slots->dec, slots->words[index]) : 0;
    if (!object || !cell || !is_cell(slots->dec, object))
        return object;
    AUTO_ERR struct err *err =
        py_read(slots->dec->mem, &slots->dec->layout, object, PY_CELL_ref, &object);
    return err ? 0 : object;
}

static struct err *tuple_size(struct slots *slots, uint64_t tuple, uint64_t *ret)
{
    TRY(py_expect(slots->dec, tuple, PY_KIND_TUPLE, "names"));
    return py_read(slots->dec->mem, &slots->dec->layout, tuple, PY_TUPLE_size, ret);
}

// 3.11+: one tuple of names, and a byte for each that says what it is.
static struct err *read_modern(struct slots *slots)
{
    struct py_decoder *dec = slots->dec;
    uint64_t code = slots->frame->code_addr, names, kinds, count;
    TRY(py_read(dec->mem, &dec->layout, code, PY_CO_localsplusnames, &names));
    TRY(py_read(dec->mem, &dec->layout, code, PY_CO_localspluskinds, &kinds));
    AUTO_FREE uint8_t *bytes = NULL;
    size_t size = 0;
    TRY(tuple_size(slots, names, &count));
    TRY(py_bytes(dec, kinds, LIMIT_FRAME_SLOTS, &bytes, &size));
    for (size_t i = 0; i < count && i < size && i < slots->count; i++) {
        bool cell = bytes[i] & (KIND_CELL | KIND_FREE);
        enum py_variable_kind kind = bytes[i] & KIND_FREE   ? PY_VARIABLE_FREE
                                     : i < slots->args      ? PY_VARIABLE_ARGUMENT
                                     : bytes[i] & KIND_CELL ? PY_VARIABLE_CELL
                                                            : PY_VARIABLE_LOCAL;
        uint64_t name, object = value_of(slots, i, cell);
        if (!object)
            continue;
        TRY(py_tuple_item(dec, names, i, &name));
        TRY(add(slots, name, kind, object));
    }
    return NULL;
}

// Up to 3.10 an argument that is a cell has an empty slot of its own, and its cell the same name.
static bool is_argument(struct slots *slots, uint64_t varnames, uint64_t name)
{
    uint64_t item;
    for (uint64_t i = 0; i < slots->args && i < 256; i++) {
        AUTO_ERR struct err *err = py_tuple_item(slots->dec, varnames, i, &item);
        if (err)
            return false;
        if (item == name) // names of a code object are interned
            return true;
    }
    return false;
}

// Up to 3.10: co_varnames, then co_cellvars, then co_freevars.
static struct err *read_old(struct slots *slots)
{
    static const struct {
        enum py_field_id field;
        enum py_variable_kind kind;
    } parts[] = {{PY_CO_varnames, PY_VARIABLE_LOCAL},
                 {PY_CO_cellvars, PY_VARIABLE_CELL},
                 {PY_CO_freevars, PY_VARIABLE_FREE}};
    struct py_decoder *dec = slots->dec;
    uint64_t varnames = 0;
    for (size_t part = 0, slot = 0; part < ARRAY_SIZE(parts); part++) {
        uint64_t names, count;
        TRY(py_read(dec->mem, &dec->layout, slots->frame->code_addr, parts[part].field, &names));
        TRY(tuple_size(slots, names, &count));
        varnames = part == 0 ? names : varnames;
        for (uint64_t i = 0; i < count && slot < slots->count; i++, slot++) {
            uint64_t name, object = value_of(slots, slot, part > 0);
            if (!object)
                continue;
            TRY(py_tuple_item(dec, names, i, &name));
            bool argument =
                part == 0 ? i < slots->args : part == 1 && is_argument(slots, varnames, name);
            TRY(add(slots, name, argument ? PY_VARIABLE_ARGUMENT : parts[part].kind, object));
        }
    }
    return NULL;
}

static struct err *count_args(struct slots *slots)
{
    struct py_decoder *dec = slots->dec;
    uint64_t positional, keywords, code = slots->frame->code_addr;
    uint32_t flags = slots->code->flags;
    TRY(py_read(dec->mem, &dec->layout, code, PY_CO_argcount, &positional));
    TRY(py_read(dec->mem, &dec->layout, code, PY_CO_kwonlyargcount, &keywords));
    slots->args = (uint32_t)positional + (uint64_t)(uint32_t)keywords + !!(flags & CO_VARARGS) +
                  !!(flags & CO_VARKEYWORDS);
    return NULL;
}

// Modules and class bodies: names in f_locals.
static bool visit(void *arg, uint64_t key, uint64_t value)
{
    struct slots *slots = arg;
    size_t before = slots->ret->count;
    struct err *err = add(slots, key, PY_VARIABLE_LOCAL, value);
    if (err) {
        err_destroy(err);
        return false;
    }
    if (slots->ret->count > before) {
        uint32_t id = slots->ret->items[before].name;
        const char *name = strtab_get(slots->dec->strings, id);
        size_t size = strtab_size(slots->dec->strings, id);
        if (size > 4 && strncmp(name, "__", 2) == 0 && strcmp(name + size - 2, "__") == 0)
            slots->ret->count--;
    }
    return slots->ret->count < slots->limit;
}

static struct err *read_namespace(struct slots *slots)
{
    struct py_decoder *dec = slots->dec;
    bool modern = dec->layout.version >= 0x030b;
    uint64_t dict;
    struct py_type_info info;
    TRY(py_read(dec->mem, &dec->layout, slots->frame->addr, modern ? PY_IF_locals : PY_FO_locals,
                &dict));
    if (!dict)
        return NULL;
    TRY(py_type_of(dec, dict, &info));
    // A metaclass's __prepare__ may give anything.
    return info.kind == PY_KIND_DICT ? py_dict_walk(dec, dict, visit, slots) : NULL;
}

struct err *py_frame_variables(struct py_decoder *dec, const struct py_frame *frame, size_t limit,
                               struct py_variables *ret)
{
    struct slots slots = {.dec = dec, .frame = frame, .limit = ret->count + limit, .ret = ret};
    bool modern = dec->layout.version >= 0x030b;
    TRY(py_code_get(dec, frame->code_addr, &slots.code));
    slots.count = modern ? slots.code->slot_count : frame->stack_offset;
    if (slots.count > LIMIT_FRAME_SLOTS)
        slots.count = LIMIT_FRAME_SLOTS;
    slots.words = calloc(slots.count + 1, 8);
    AUTO_FREE uint64_t *words = slots.words;
    if (!words)
        return err_create(ERR_NO_MEMORY, "variables");
    TRY(mem_read(dec->mem, frame->slots_addr, words, 8 * slots.count));
    TRY(count_args(&slots));
    TRY(modern ? read_modern(&slots) : read_old(&slots));
    return slots.code->flags & CO_OPTIMIZED ? NULL : read_namespace(&slots);
}
