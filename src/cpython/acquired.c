// SPDX-License-Identifier: GPL-3.0-or-later
// Locks that a frame took by a call: see py_acquired() in cpython/lock.h.
//
//     lock.acquire()
//     try:
//         ...                   <- here
//     finally:
//         lock.release()
//
// Nothing on the value stack tells, but the code does: a call of acquire() before the frame's
// instruction, none of release() in between, and one behind it; or, where there is none, no way around
// that call. Without arguments acquire() returns only with the lock.
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"

#define PATHS_MAX 16 // in one function
#define NAMES_MAX 4096

struct taken {
    struct py_method_call call;
    bool is_released; // further on
};

struct scan {
    const struct py_code *code;
    size_t now; // the frame's instruction
    struct taken taken[PATHS_MAX];
    size_t count;
};

static bool same_path(const struct py_method_call *a, const struct py_method_call *b)
{
    return a->root_kind == b->root_kind && a->root_index == b->root_index &&
           a->part_count == b->part_count &&
           memcmp(a->parts, b->parts, (a->part_count - 1) * sizeof(*a->parts)) == 0;
}

static struct taken *find(struct scan *scan, const struct py_method_call *call)
{
    for (size_t i = 0; i < scan->count; i++)
        if (same_path(&scan->taken[i].call, call))
            return &scan->taken[i];
    return NULL;
}

static bool visit(void *arg, const struct py_method_call *call)
{
    struct scan *scan = arg;
    int32_t name = call->parts[call->part_count - 1];
    struct taken *taken = find(scan, call);
    bool under_way = call->begin_bytes <= scan->now && scan->now < call->end_bytes;
    if (under_way || !call->is_call)
        return true;
    if (name == scan->code->release && taken) {
        if (call->begin_bytes > scan->now)
            taken->is_released = true;
        else
            *taken = scan->taken[--scan->count];
    } else if (name == scan->code->acquire && !taken && call->begin_bytes < scan->now &&
               scan->count < PATHS_MAX) {
        scan->taken[scan->count++] = (struct taken){*call, false};
    }
    return true;
}

// ---- Names --------------------------------------------------------------------------------------

static uint32_t name_at(struct py_decoder *dec, const struct py_code *code, int32_t index)
{
    uint64_t object;
    uint32_t id = 0;
    AUTO_ERR struct err *err = py_tuple_item(dec, code->names_addr, (size_t)index, &object);
    AUTO_ERR struct err *unread = err ? NULL : py_str_id(dec, object, &id);
    return err || unread ? 0 : id;
}

static void find_names(struct py_decoder *dec, struct py_code *code)
{
    uint64_t size = 0;
    code->lock_names_known = true;
    code->acquire = code->release = -1;
    AUTO_ERR struct err *err = py_expect(dec, code->names_addr, PY_KIND_TUPLE, "names");
    AUTO_ERR struct err *unread =
        err ? NULL : py_read(dec->mem, &dec->layout, code->names_addr, PY_TUPLE_size, &size);
    for (int32_t i = 0; !err && !unread && (uint64_t)i < size && i < NAMES_MAX; i++) {
        const char *name = strtab_get(dec->strings, name_at(dec, code, i));
        if (name && strcmp(name, "acquire") == 0)
            code->acquire = i;
        else if (name && strcmp(name, "release") == 0)
            code->release = i;
    }
}

// ---- What a path leads to -----------------------------------------------------------------------

// Cells and free variables of up to 3.10 are counted from the first cell (Python/ceval.c, LOAD_DEREF).
static uint32_t slot_of(struct py_decoder *dec, const struct py_frame *frame,
                        const struct py_method_call *call)
{
    uint64_t names, locals = 0;
    if (call->root_kind == PY_NAME_DEREF && py_layout_has(&dec->layout, PY_CO_varnames)) {
        AUTO_ERR struct err *err =
            py_read(dec->mem, &dec->layout, frame->code_addr, PY_CO_varnames, &names);
        AUTO_ERR struct err *unread =
            err ? NULL : py_read(dec->mem, &dec->layout, names, PY_TUPLE_size, &locals);
        if (err || unread || locals > PY_SLOTS_MAX)
            return UINT32_MAX;
    }
    return (uint32_t)call->root_index + (uint32_t)locals;
}

static uint64_t lookup(struct py_decoder *dec, uint64_t dict, uint32_t name)
{
    uint64_t value = 0;
    const char *text = strtab_get(dec->strings, name);
    AUTO_ERR struct err *err = text && dict ? py_dict_get(dec, dict, text, &value) : NULL;
    return err ? 0 : value;
}

static uint64_t root(struct py_decoder *dec, const struct py_frame *frame,
                     const struct py_slots *slots, const struct py_method_call *call)
{
    if (call->root_kind == PY_NAME_GLOBAL || call->root_kind == PY_NAME_NAME)
        return lookup(dec, py_frame_globals(dec, frame),
                      name_at(dec, slots->code, call->root_index));
    uint32_t slot = slot_of(dec, frame, call);
    return slot < slots->locals ? py_slots_value(dec, slots->objects[slot]) : 0;
}

static uint64_t attribute(struct py_decoder *dec, uint64_t object, uint32_t name)
{
    struct py_type_info type;
    uint64_t value = 0, dict = 0;
    const char *text = strtab_get(dec->strings, name);
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    if (err || !text)
        return 0;
    if (type.kind == PY_KIND_MODULE) {
        AUTO_ERR struct err *unread = py_module_dict(dec, object, &dict);
        return unread ? 0 : lookup(dec, dict, name);
    }
    AUTO_ERR struct err *unread = py_attr(dec, object, text, &value);
    return unread ? 0 : value;
}

static uint64_t follow(struct py_decoder *dec, const struct py_frame *frame,
                       const struct py_slots *slots, const struct py_method_call *call)
{
    uint64_t object = root(dec, frame, slots, call);
    for (uint32_t i = 0; object && i + 1 < call->part_count; i++)
        object = attribute(dec, object, name_at(dec, slots->code, call->parts[i]));
    return object;
}

static struct py_bytecode bytecode_of(const struct py_decoder *dec, const struct py_code *code)
{
    return (struct py_bytecode){
        code->bytecode,        code->bytecode_bytes,        dec->layout.version,
        code->exception_table, code->exception_table_bytes, code->stack_size};
}

size_t py_acquired(struct py_decoder *dec, const struct py_frame *frame,
                   const struct py_slots *slots, struct py_acquired *ret, size_t room)
{
    struct py_code *code = slots->code;
    if (!code->lock_names_known)
        find_names(dec, code);
    if (code->acquire < 0 || frame->offset_bytes < 0 || !code->bytecode ||
        !py_codes_may_walk(dec->codes, PATHS_MAX * code->bytecode_bytes))
        return 0;
    struct py_bytecode bytecode = bytecode_of(dec, code);
    struct scan scan = {.code = code, .now = (size_t)frame->offset_bytes};
    py_callsite_methods(&bytecode, visit, &scan);
    size_t count = 0;
    for (size_t i = 0; i < scan.count && count < room; i++) {
        const struct taken *taken = &scan.taken[i];
        ret[count].given_back = taken->is_released;
        if ((taken->is_released ||
             py_callsite_is_certain(&bytecode, taken->call.begin_bytes, scan.now)) &&
            (ret[count].object = follow(dec, frame, slots, &taken->call)))
            count++;
    }
    return count;
}

struct named {
    struct py_decoder *dec;
    const struct py_frame *frame;
    const struct py_slots *slots;
    uint64_t object;
    const char *const *methods;
    bool found;
};

static bool visit_named(void *arg, const struct py_method_call *call)
{
    struct named *named = arg;
    const struct py_code *code = named->slots->code;
    const char *name = strtab_get(named->dec->strings,
                                  name_at(named->dec, code, call->parts[call->part_count - 1]));
    for (size_t i = 0; name && i < 2 && named->methods[i]; i++)
        named->found |= strcmp(name, named->methods[i]) == 0 &&
                        follow(named->dec, named->frame, named->slots, call) == named->object;
    return !named->found;
}

bool py_names_method(struct py_decoder *dec, const struct py_frame *frame,
                     const struct py_slots *slots, uint64_t object, const char *const methods[2])
{
    struct named named = {dec, frame, slots, object, methods, false};
    if (!object || !slots->code->bytecode ||
        !py_codes_may_walk(dec->codes, slots->code->bytecode_bytes))
        return false;
    struct py_bytecode bytecode = bytecode_of(dec, slots->code);
    py_callsite_methods(&bytecode, visit_named, &named);
    return named.found;
}
