// SPDX-License-Identifier: GPL-3.0-or-later
// Methods of the program's own that hand something out: see struct py_lender in cpython/lock.h.
//
//     connection = pool.checkout()    <- others wait in here
//     try:
//         ...                         <- here
//     finally:
//         pool.checkin(connection)
//
// Names are compared by address: those in co_names and co_name are interned (Objects/codeobject.c).
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"

#define NAMES_MAX 256 // of one code object

struct names {
    uint64_t items[NAMES_MAX];
    size_t count;
};

static bool read_names(struct py_decoder *dec, const struct py_code *code, struct names *ret)
{
    uint64_t size = 0;
    ret->count = 0;
    AUTO_ERR struct err *err = py_expect(dec, code->names_addr, PY_KIND_TUPLE, "names");
    AUTO_ERR struct err *sized =
        err ? NULL : py_read(dec->mem, &dec->layout, code->names_addr, PY_TUPLE_size, &size);
    if (err || sized || size > NAMES_MAX)
        return false;
    AUTO_ERR struct err *unread =
        mem_read(dec->mem, code->names_addr + py_offset(&dec->layout, PY_TUPLE_items), ret->items,
                 8 * size);
    ret->count = unread ? 0 : size;
    return !unread;
}

static int32_t index_of(const struct names *names, uint64_t name)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i] == name)
            return (int32_t)i;
    return -1;
}

// How one takes and gives back what is waited for; NULL: nobody does.
static const struct py_verbs *verbs_of(enum py_wait_kind kind)
{
    switch (kind) {
    case PY_WAIT_LOCK:
    case PY_WAIT_SEMAPHORE:
        return &py_verbs[PY_ACQUIRE];
    case PY_WAIT_QUEUE_GET:
        return &py_verbs[PY_GET];
    case PY_WAIT_CONDITION:
        return &py_verbs[PY_NOTICE];
    default:
        return NULL;
    }
}

// ---- Where it waits -----------------------------------------------------------------------------

struct looks {
    struct py_decoder *dec;
    const struct py_frame *frame;
    const struct names *names;
    uint64_t object, lock; // what it waits for says nothing of what it looks at
    struct py_lender *ret;
    size_t count;
};

static bool visit_attribute(void *arg, const struct py_method_call *call)
{
    struct looks *looks = arg;
    if (call->begin_bytes >= (size_t)looks->frame->offset_bytes)
        return false;
    size_t index = (size_t)call->parts[0];
    if (call->root_kind != PY_NAME_FAST || call->root_index != 0 || call->is_call ||
        call->part_count != 1 || index >= looks->names->count)
        return true;
    AUTO_FREE char *name = NULL;
    size_t bytes;
    uint64_t value = 0;
    AUTO_ERR struct err *err = py_str(looks->dec, looks->names->items[index], &name, &bytes);
    AUTO_ERR struct err *none = err ? NULL : py_attr(looks->dec, looks->ret->self, name, &value);
    if (!err && !none && value && value != looks->object && value != looks->lock)
        looks->ret->attrs[looks->count++] = looks->names->items[index];
    return looks->count < PY_LENDER_ATTRS;
}

// `self` is the first argument, whatever it is called, if its class has this very code under that name.
static bool is_method(struct py_decoder *dec, const struct py_frame *frame,
                      const struct py_slots *slots)
{
    struct py_frame its;
    struct py_slots method;
    const char *name = strtab_get(dec->strings, frame->name);
    return slots->locals && name && slots->objects[0] &&
           py_slots_of_method(dec, slots->objects[0], name, &its, &method) &&
           its.code_addr == frame->code_addr;
}

void py_lender_read(struct py_decoder *dec, const struct py_frame *frame,
                    const struct py_slots *slots, enum py_wait_kind kind, uint64_t object,
                    struct py_lender *ret)
{
    const struct py_verbs *verbs = verbs_of(kind);
    struct names names;
    *ret = (struct py_lender){0};
    if (!verbs || !slots->code || !slots->code->bytecode || frame->offset_bytes < 0 ||
        !is_method(dec, frame, slots) || !read_names(dec, slots->code, &names) ||
        !py_codes_may_walk(dec->codes, slots->code->bytecode_bytes) ||
        py_names_method(dec, frame, slots, object, verbs->give)) // it comes back with nothing
        return;
    AUTO_ERR struct err *err =
        py_read(dec->mem, &dec->layout, frame->code_addr, PY_CO_name, &ret->method);
    if (err)
        return;
    ret->self = slots->objects[0];
    struct looks looks = {dec, frame, &names, object, 0, ret, 0};
    AUTO_ERR struct err *none = py_instance_attr(dec, object, "_lock", &looks.lock);
    struct py_bytecode bytecode = py_code_bytecode(dec, slots->code);
    py_callsite_methods(&bytecode, visit_attribute, &looks);
}

// ---- Who came through ---------------------------------------------------------------------------

struct passage {
    struct py_decoder *dec;
    const struct py_frame *frame;
    const struct py_slots *slots;
    const struct py_lender *lender;
    enum py_wait_kind kind;
    const struct py_verbs *verbs;
    uint64_t object;
    int32_t method; // its index in co_names
    bool passed, gives;
};

// Whoever waits for a condition looks at something, and who changes that gives back; one that does other
// things tells of work that is done.
static bool touches(const struct passage *passage, const struct py_code *code)
{
    struct names names;
    if (passage->kind != PY_WAIT_CONDITION)
        return true;
    if (!read_names(passage->dec, code, &names))
        return false;
    for (size_t i = 0; i < PY_LENDER_ATTRS; i++)
        if (passage->lender->attrs[i] && index_of(&names, passage->lender->attrs[i]) >= 0)
            return true;
    return false;
}

static bool gives_back(const struct passage *passage, int32_t method)
{
    struct py_decoder *dec = passage->dec;
    struct py_frame frame;
    struct py_slots slots;
    uint64_t name;
    AUTO_FREE char *text = NULL;
    size_t bytes;
    AUTO_ERR struct err *err =
        py_tuple_item(dec, passage->slots->code->names_addr, (size_t)method, &name);
    AUTO_ERR struct err *unread = err ? NULL : py_str(dec, name, &text, &bytes);
    return !err && !unread && py_slots_of_method(dec, passage->lender->self, text, &frame, &slots) &&
           touches(passage, slots.code) &&
           py_names_method(dec, &frame, &slots, passage->object, passage->verbs->give) &&
           !py_names_method(dec, &frame, &slots, passage->object, passage->verbs->take);
}

static bool visit_method(void *arg, const struct py_method_call *call)
{
    struct passage *passage = arg;
    int32_t method = call->parts[call->part_count - 1];
    size_t now = (size_t)passage->frame->offset_bytes;
    if (call->is_call || (method == passage->method ? call->begin_bytes >= now
                                                    : !passage->passed || call->begin_bytes < now))
        return true;
    if (py_method_object(passage->dec, passage->frame, passage->slots, call) !=
        passage->lender->self)
        return true;
    if (method == passage->method)
        passage->passed = true;
    else
        passage->gives = gives_back(passage, method);
    return !passage->gives;
}

bool py_lender_has_lent(struct py_decoder *dec, const struct py_frame *frame,
                        const struct py_lender *lender, enum py_wait_kind kind, uint64_t object)
{
    struct names names;
    struct py_slots slots;
    struct py_code *code = NULL;
    if (!lender->self || !lender->method || !verbs_of(kind) || !frame->code_addr ||
        frame->offset_bytes < 0 || !frame->complete)
        return false;
    // Most code is done with here.
    AUTO_ERR struct err *err = py_code_get(dec, frame->code_addr, &code);
    int32_t method = !err && read_names(dec, code, &names) ? index_of(&names, lender->method) : -1;
    if (method < 0)
        return false;
    AUTO_ERR struct err *unread = py_slots_read(dec, frame, &slots);
    // It is in there itself.
    bool within = !unread && slots.has_site && slots.site.kind != PY_CALL_NONE &&
                  slots.site.name_index == method &&
                  (slots.site.name_kind == PY_NAME_ATTR || slots.site.name_kind == PY_NAME_METHOD);
    if (unread || within || !slots.code->bytecode ||
        !py_codes_may_walk(dec->codes, slots.code->bytecode_bytes))
        return false;
    struct py_bytecode bytecode = py_code_bytecode(dec, slots.code);
    struct passage passage = {dec,           frame,  &slots, lender, kind,
                              verbs_of(kind), object, method, false,  false};
    py_callsite_methods(&bytecode, visit_method, &passage);
    return passage.gives;
}
