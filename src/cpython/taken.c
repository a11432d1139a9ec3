// SPDX-License-Identifier: GPL-3.0-or-later
// What the code of a frame says of the objects that it calls methods of: see cpython/lock.h. Names are
// resolved by what they mean now; nothing that they are bound to anew in between is noticed.
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"

#define NAMES_MAX 1024 // of one code object

static bool is_name(struct py_decoder *dec, uint64_t names, int32_t index, const char *name)
{
    uint64_t object;
    uint32_t id;
    AUTO_ERR struct err *err = py_tuple_item(dec, names, (size_t)index, &object);
    AUTO_ERR struct err *unread = err ? NULL : py_str_id(dec, object, &id);
    const char *text = err || unread ? NULL : strtab_get(dec->strings, id);
    return text && strcmp(text, name) == 0;
}

static const char *name_at(struct py_decoder *dec, uint64_t names, int32_t index)
{
    uint64_t object;
    uint32_t id;
    AUTO_ERR struct err *err = py_tuple_item(dec, names, (size_t)index, &object);
    AUTO_ERR struct err *unread = err ? NULL : py_str_id(dec, object, &id);
    return err || unread ? NULL : strtab_get(dec->strings, id);
}

// Where `name` is among the names of the code; -1: nowhere.
static int32_t find_name(struct py_decoder *dec, uint64_t names, const char *name)
{
    uint64_t size;
    AUTO_ERR struct err *err = py_expect(dec, names, PY_KIND_TUPLE, "names");
    AUTO_ERR struct err *unread =
        err ? NULL : py_read(dec->mem, &dec->layout, names, PY_TUPLE_size, &size);
    for (int32_t i = 0; !err && !unread && i < NAMES_MAX && (uint64_t)i < size; i++)
        if (is_name(dec, names, i, name))
            return i;
    return -1;
}

struct scan {
    struct py_decoder *dec;
    const struct py_frame *frame;
    const struct py_slots *slots;
    int32_t take[2], give[2]; // names of methods; -1: not in this code
    py_taken_fn *visit;
    void *arg;
};

// Cells and free variables have numbers of their own up to 3.10, behind the variables.
static uint64_t variables(const struct scan *scan)
{
    uint64_t names, size;
    if (!py_layout_has(&scan->dec->layout, PY_CO_varnames))
        return 0;
    AUTO_ERR struct err *err =
        py_read(scan->dec->mem, &scan->dec->layout, scan->frame->code_addr, PY_CO_varnames, &names);
    AUTO_ERR struct err *unread =
        err ? NULL : py_read(scan->dec->mem, &scan->dec->layout, names, PY_TUPLE_size, &size);
    return err || unread || size > PY_SLOTS_MAX ? PY_SLOTS_MAX : size;
}

static uint64_t base_of(const struct scan *scan, const struct py_method_use *use)
{
    uint64_t index = (uint64_t)use->base_index, object = 0;
    if (use->base == PY_NAME_GLOBAL || use->base == PY_NAME_NAME) {
        uint64_t globals = py_frame_globals(scan->dec, scan->frame);
        const char *name = name_at(scan->dec, scan->slots->code->names_addr, use->base_index);
        AUTO_ERR struct err *err =
            globals && name ? py_dict_get(scan->dec, globals, name, &object) : NULL;
        return err ? 0 : object;
    }
    if (use->base == PY_NAME_DEREF)
        index += variables(scan);
    return index < scan->slots->locals ? py_slots_value(scan->dec, scan->slots->objects[index]) : 0;
}

static uint64_t attribute_of(const struct scan *scan, uint64_t object, int32_t attribute)
{
    struct py_decoder *dec = scan->dec;
    struct py_type_info type;
    uint64_t value = 0;
    const char *name = name_at(dec, scan->slots->code->names_addr, attribute);
    AUTO_ERR struct err *err = name ? py_type_of(dec, object, &type) : NULL;
    if (!name || err)
        return 0;
    if (type.kind == PY_KIND_MODULE) {
        uint64_t dict = 0;
        AUTO_ERR struct err *none = py_module_dict(dec, object, &dict);
        AUTO_ERR struct err *unread = none || !dict ? NULL : py_dict_get(dec, dict, name, &value);
        return none || unread ? 0 : value;
    }
    AUTO_ERR struct err *unread = py_instance_attr(dec, object, name, &value);
    return unread ? 0 : value;
}

static bool visit_use(void *arg, const struct py_method_use *use)
{
    struct scan *scan = arg;
    bool takes = use->method == scan->take[0] || use->method == scan->take[1];
    bool gives = use->method == scan->give[0] || use->method == scan->give[1];
    if (!takes && !gives)
        return true;
    uint64_t object = base_of(scan, use);
    for (uint32_t i = 0; object && i < use->attr_count; i++)
        object = attribute_of(scan, object, use->attrs[i]);
    return !object || scan->visit(scan->arg, object, gives, use->when);
}

void py_taken_walk(struct py_decoder *dec, const struct py_frame *frame,
                   const struct py_slots *slots, const struct py_taken_names *names,
                   py_taken_fn *visit, void *arg)
{
    struct py_code *code = slots->code;
    struct scan scan = {.dec = dec, .frame = frame, .slots = slots, .visit = visit, .arg = arg};
    if (!code->bytecode || frame->offset_bytes < 0 || !code->names_addr)
        return;
    for (size_t i = 0; i < 2; i++) {
        scan.take[i] = names->take[i] ? find_name(dec, code->names_addr, names->take[i]) : -1;
        scan.give[i] = names->give[i] ? find_name(dec, code->names_addr, names->give[i]) : -1;
    }
    if (scan.take[0] < 0 && scan.take[1] < 0 && scan.give[0] < 0 && scan.give[1] < 0)
        return;
    struct py_bytecode bytecode = {
        code->bytecode,        code->bytecode_bytes,        dec->layout.version,
        code->exception_table, code->exception_table_bytes, code->stack_size};
    if (py_codes_may_walk(dec->codes, PY_USES_CERTAIN_MAX * code->bytecode_bytes))
        py_callsite_uses(&bytecode, (size_t)frame->offset_bytes, visit_use, &scan);
}

bool py_frame_in_loop(struct py_decoder *dec, const struct py_frame *frame,
                      const struct py_code *code)
{
    struct py_bytecode bytecode = {
        code->bytecode,        code->bytecode_bytes,        dec->layout.version,
        code->exception_table, code->exception_table_bytes, code->stack_size};
    return code->bytecode && frame->offset_bytes >= 0 &&
           py_codes_may_walk(dec->codes, code->bytecode_bytes) &&
           py_callsite_in_loop(&bytecode, (size_t)frame->offset_bytes);
}
