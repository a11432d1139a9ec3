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
// that call. Without arguments acquire() returns only with the lock; with some, whoever cannot but release it
// has it. What is got out of a queue and put back
// reads the same.
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"

#define PATHS_MAX 16 // in one function
#define NAMES_MAX 4096
#define GIVES_MAX 8 // of one path: a `finally` is there several times

const struct py_verbs py_verbs[] = {
    [PY_ACQUIRE] = {{"acquire", NULL}, {"release", NULL}},
    [PY_GET] = {{"get", "get_nowait"}, {"put", "put_nowait"}},
    [PY_NOTICE] = {{"wait", "wait_for"}, {"notify", "notify_all"}},
};

struct taken {
    struct py_method_call call;
    bool tried; // with arguments, as "acquire(timeout=5)": it may have come back without
    size_t gives[GIVES_MAX]; // further on
    size_t give_count;
    bool again; // it was called, and awaited, once more
};

struct scan {
    const struct py_code *code;
    enum py_taking taking;
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

static bool is_either(const int32_t names[2], int32_t name)
{
    return name == names[0] || name == names[1];
}

static bool visit(void *arg, const struct py_method_call *call)
{
    struct scan *scan = arg;
    int32_t name = call->parts[call->part_count - 1];
    struct taken *taken = find(scan, call);
    bool under_way = call->begin_bytes <= scan->now && scan->now < call->end_bytes;
    bool loads = !call->is_call && scan->taking == PY_ACQUIRE;
    if (under_way)
        return true;
    if (!loads && is_either(scan->code->taking[scan->taking].give, name) && taken) {
        if (call->begin_bytes <= scan->now)
            *taken = scan->taken[--scan->count];
        else if (taken->give_count < GIVES_MAX)
            taken->gives[taken->give_count++] = call->begin_bytes;
    } else if (is_either(scan->code->taking[scan->taking].take, name) &&
               call->begin_bytes < scan->now) {
        if (!taken && scan->count < PATHS_MAX)
            scan->taken[scan->count++] = (struct taken){.call = *call, .tried = loads};
        else if (taken && taken->tried && !loads)
            *taken = (struct taken){.call = *call};
        else if (taken && !loads)
            taken->again |= call->is_awaited;
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

static void find_name(const char *name, const char *const names[2], int32_t index, int32_t ret[2])
{
    for (size_t i = 0; i < 2 && names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            ret[i] = index;
}

static void find_names(struct py_decoder *dec, struct py_code *code)
{
    uint64_t size = 0;
    code->taking_known = true;
    memset(code->taking, 0xff, sizeof(code->taking)); // -1
    AUTO_ERR struct err *err = py_expect(dec, code->names_addr, PY_KIND_TUPLE, "names");
    AUTO_ERR struct err *unread =
        err ? NULL : py_read(dec->mem, &dec->layout, code->names_addr, PY_TUPLE_size, &size);
    for (int32_t i = 0; !err && !unread && (uint64_t)i < size && i < NAMES_MAX; i++) {
        const char *name = strtab_get(dec->strings, name_at(dec, code, i));
        for (size_t k = 0; name && k < ARRAY_SIZE(code->taking); k++) {
            find_name(name, py_verbs[k].take, i, code->taking[k].take);
            find_name(name, py_verbs[k].give, i, code->taking[k].give);
        }
    }
}

static bool uses_none(const int32_t names[2])
{
    return names[0] < 0 && names[1] < 0;
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

uint64_t py_method_object(struct py_decoder *dec, const struct py_frame *frame,
                          const struct py_slots *slots, const struct py_method_call *call)
{
    uint64_t object = root(dec, frame, slots, call);
    for (uint32_t i = 0; object && i + 1 < call->part_count; i++)
        object = attribute(dec, object, name_at(dec, slots->code, call->parts[i]));
    return object;
}

// It is inside of a call of one of them: what it gets it does not have so far.
static bool is_taking(const struct py_slots *slots, const int32_t names[2])
{
    const struct py_callsite *site = &slots->site;
    return slots->has_site && site->kind != PY_CALL_NONE &&
           (site->name_kind == PY_NAME_ATTR || site->name_kind == PY_NAME_METHOD) &&
           is_either(names, site->name_index);
}

static bool is_taken(const struct py_bytecode *bytecode, const struct scan *scan,
                     const struct taken *taken)
{
    if (taken->tried)
        return py_callsite_must_come_to(bytecode, scan->now, taken->call.begin_bytes, taken->gives,
                                        taken->give_count);
    if (!taken->give_count)
        return py_callsite_is_certain(bytecode, taken->call.begin_bytes, scan->now);
    return scan->taking == PY_ACQUIRE ||
           py_callsite_comes_to(bytecode, scan->now, taken->call.begin_bytes, taken->gives,
                                taken->give_count);
}

// The one that is being tried.
static const struct taken *under_way(const struct scan *scan, const struct py_slots *slots)
{
    const struct taken *last = NULL;
    for (size_t i = 0; i < scan->count; i++)
        if (scan->taken[i].tried &&
            (!last || scan->taken[i].call.begin_bytes > last->call.begin_bytes))
            last = &scan->taken[i];
    return is_taking(slots, scan->code->taking[scan->taking].take) ? last : NULL;
}

size_t py_acquired(struct py_decoder *dec, const struct py_frame *frame,
                   const struct py_slots *slots, enum py_taking taking, struct py_acquired *ret,
                   size_t room)
{
    struct py_code *code = slots->code;
    if (!code->taking_known)
        find_names(dec, code);
    if (uses_none(code->taking[taking].take) || frame->offset_bytes < 0 || !code->bytecode ||
        (taking == PY_GET && is_taking(slots, code->taking[taking].take)) ||
        !py_codes_may_walk(dec->codes, PATHS_MAX * code->bytecode_bytes))
        return 0;
    struct py_bytecode bytecode = py_code_bytecode(dec, code);
    struct scan scan = {.code = code, .taking = taking, .now = (size_t)frame->offset_bytes};
    py_callsite_methods(&bytecode, visit, &scan);
    const struct taken *trying = under_way(&scan, slots);
    size_t count = 0;
    for (size_t i = 0; i < scan.count && count < room; i++) {
        const struct taken *taken = &scan.taken[i];
        if (taken == trying)
            continue;
        ret[count].given_back = taken->give_count > 0;
        ret[count].awaited = taken->call.is_awaited;
        ret[count].again = taken->again && py_callsite_is_certain(
                                               &bytecode, taken->call.begin_bytes, scan.now);
        if (is_taken(&bytecode, &scan, taken) &&
            (ret[count].object = py_method_object(dec, frame, slots, &taken->call)))
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
    size_t places[GIVES_MAX]; // where they are named
    size_t count;
};

static bool visit_named(void *arg, const struct py_method_call *call)
{
    struct named *named = arg;
    const struct py_code *code = named->slots->code;
    const char *name = strtab_get(named->dec->strings,
                                  name_at(named->dec, code, call->parts[call->part_count - 1]));
    for (size_t i = 0; name && i < 2 && named->methods[i]; i++)
        if (strcmp(name, named->methods[i]) == 0 && !call->is_call &&
            py_method_object(named->dec, named->frame, named->slots, call) == named->object)
            named->places[named->count++] = call->begin_bytes;
    return named->count < GIVES_MAX;
}

static void find_named(struct named *named, const struct py_bytecode *bytecode)
{
    if (named->object && bytecode->code &&
        py_codes_may_walk(named->dec->codes, bytecode->size_bytes))
        py_callsite_methods(bytecode, visit_named, named);
}

bool py_names_method(struct py_decoder *dec, const struct py_frame *frame,
                     const struct py_slots *slots, uint64_t object, const char *const methods[2])
{
    struct named named = {dec, frame, slots, object, methods, {0}, 0};
    struct py_bytecode bytecode = py_code_bytecode(dec, slots->code);
    find_named(&named, &bytecode);
    return named.count > 0;
}

bool py_will_give(struct py_decoder *dec, const struct py_frame *frame,
                  const struct py_slots *slots, uint64_t object, const char *const methods[2])
{
    struct named named = {dec, frame, slots, object, methods, {0}, 0};
    struct py_bytecode bytecode = py_code_bytecode(dec, slots->code);
    find_named(&named, &bytecode);
    return named.count && frame->offset_bytes >= 0 &&
           py_callsite_comes_to(&bytecode, (size_t)frame->offset_bytes,
                                (size_t)frame->offset_bytes, named.places, named.count);
}
