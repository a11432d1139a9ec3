// SPDX-License-Identifier: GPL-3.0-or-later
// Which C callable a Python frame is in the middle of calling. The bytecode says at which depth of
// the value stack the callable lies (cpython/callsite.h); the object itself says its name. Only
// where the depth is not certain is the name concluded from the bytecode, and marked so.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/limits.h"

#define DEPTHS_FACTOR 8 // work for a table of depths, in walks over the code

struct question {
    struct py_decoder *dec;
    struct py_frame *frame;
    struct py_code *code;
    struct py_callsite site;
};

static struct err *read_slot(const struct question *q, int32_t slot, uint64_t *ret)
{
    *ret = 0;
    if (slot < 0 || (uint32_t)slot >= q->code->stack_size || slot >= LIMIT_FRAME_SLOTS)
        return NULL;
    uint64_t index = (uint64_t)q->frame->stack_offset + (uint64_t)slot;
    TRY(mem_read_u64(q->dec->mem, q->frame->slots_addr + 8 * index, ret));
    *ret = py_untag(q->dec, *ret);
    return NULL;
}

// Not a callable, freed, or never one: no name, and no error. Only missing bytes are passed on.
static struct err *forgive(struct err *err)
{
    if (!err || err_code(err) == ERR_FAULT || err_code(err) == ERR_NO_MEMORY)
        return err;
    err_destroy(err);
    return NULL;
}

static struct err *try_object(const struct question *q, uint64_t object)
{
    if (!object)
        return NULL;
    struct py_frame *frame = q->frame;
    struct err *err = NULL;
    switch (q->site.slot_content) {
    case PY_SLOT_CALLABLE:
        err = py_describe_callable(q->dec, object, &frame->call_name, &frame->call_qualname);
        break;
    case PY_SLOT_BOUND_EXIT: {
        // SETUP_WITH and its successors put the bound __exit__ in the manager's place before they
        // call __enter__.
        uint64_t manager;
        struct py_type_info info;
        err = py_type_of(q->dec, object, &info);
        if (!err && info.kind == PY_KIND_BUILTIN) {
            err = py_read(q->dec->mem, &q->dec->layout, object, PY_CFUNC_self, &manager);
            if (!err)
                err = py_describe_special(q->dec, manager, "__enter__", &frame->call_name,
                                          &frame->call_qualname);
        }
        break;
    }
    case PY_SLOT_MANAGER:
        err = py_describe_special(q->dec, object, "__enter__", &frame->call_name,
                                  &frame->call_qualname);
        break;
    case PY_SLOT_ITERATOR:
    case PY_SLOT_NOTHING:
        break;
    }
    return forgive(err);
}

static struct err *describe_next(const struct question *q)
{
    uint64_t iterator;
    struct py_type_info info;
    AUTO_FREE char *text = NULL;
    TRY(read_slot(q, q->site.depth_certain ? q->site.slot : -1, &iterator));
    if (!iterator)
        return NULL;
    TRY(py_type_of(q->dec, iterator, &info));
    if (info.kind == PY_KIND_GENERATOR)
        return NULL;
    if (asprintf(&text, "{slot wrapper '__next__' of '%s' objects}",
                 strtab_get(q->dec->strings, info.name)) < 0)
        return err_create(ERR_NO_MEMORY, "name");
    q->frame->call_name = strtab_add_cstr(q->dec->strings, "__next__");
    q->frame->call_qualname = strtab_add_cstr(q->dec->strings, text);
    return NULL;
}

static struct err *try_depth(const struct question *q, int32_t shift)
{
    uint64_t object;
    if (q->site.slot < 0)
        return NULL;
    TRY(read_slot(q, q->site.slot + shift, &object));
    if (!object && q->site.kind == PY_CALL_METHOD && q->site.slot_alt >= 0)
        TRY(read_slot(q, q->site.slot_alt + shift, &object));
    return try_object(q, object);
}

// Without a certain depth: the only slot that holds a C callable of the name in the bytecode.
static struct err *search_by_name(struct question *q)
{
    bool in_names = q->site.name_kind == PY_NAME_GLOBAL || q->site.name_kind == PY_NAME_NAME ||
                    q->site.name_kind == PY_NAME_ATTR || q->site.name_kind == PY_NAME_METHOD;
    if (!in_names || q->site.name_index < 0 || q->site.slot_content != PY_SLOT_CALLABLE)
        return NULL;
    uint64_t name_object;
    uint32_t wanted;
    struct err *err =
        py_tuple_item(q->dec, q->code->names_addr, (size_t)q->site.name_index, &name_object);
    if (!err)
        err = py_str_id(q->dec, name_object, &wanted);
    if (err)
        return forgive(err);
    for (int32_t slot = 0; slot < (int32_t)q->code->stack_size && slot < 256; slot++) {
        uint64_t object;
        TRY(read_slot(q, slot, &object));
        TRY(try_object(q, object));
        if (q->frame->call_name == wanted) {
            q->frame->flags |= PY_FRAME_CALL_INFERRED;
            return NULL;
        }
    }
    q->frame->call_name = q->frame->call_qualname = 0;
    return NULL;
}

static void ensure_depths(const struct py_decoder *dec, struct py_code *code)
{
    if (code->depths_tried)
        return;
    code->depths_tried = true;
    struct py_bytecode bytecode = py_code_bytecode(dec, code);
    if (!code->bytecode || code->bytecode_bytes > PY_CALLSITE_CODE_MAX_BYTES ||
        !py_codes_may_walk(dec->codes, DEPTHS_FACTOR * code->bytecode_bytes))
        return;
    code->depths = py_callsite_depths_create(&bytecode);
    if (code->depths && !py_codes_may_hold(dec->codes, py_callsite_depths_size(code->depths))) {
        py_callsite_depths_destroy(code->depths);
        code->depths = NULL;
    }
}

bool py_frame_site(struct py_decoder *dec, const struct py_frame *frame, struct py_code *code,
                   struct py_callsite *ret)
{
    if (!code->bytecode || code->stack_size > LIMIT_FRAME_SLOTS)
        return false;
    ensure_depths(dec, code);
    struct py_bytecode bytecode = py_code_bytecode(dec, code);
    uint64_t stack_base = frame->slots_addr + 8ull * frame->stack_offset;
    int32_t known_depth = -1;
    if (frame->stackpointer >= stack_base &&
        frame->stackpointer - stack_base <= 8ull * code->stack_size)
        known_depth = (int32_t)((frame->stackpointer - stack_base) / 8);
    if (!code->last_site.valid || code->last_site.offset_bytes != frame->offset_bytes ||
        code->last_site.known_depth != known_depth) {
        // Without a table the depths are computed anew for each question.
        size_t work = code->bytecode_bytes * (code->depths ? 1 : DEPTHS_FACTOR);
        if (!py_codes_may_walk(dec->codes, work))
            return false;
        code->last_site.known =
            py_callsite_find(&bytecode, code->depths, (size_t)frame->offset_bytes, known_depth,
                             &code->last_site.site);
        code->last_site.offset_bytes = frame->offset_bytes;
        code->last_site.known_depth = known_depth;
        code->last_site.valid = true;
    }
    *ret = code->last_site.site;
    return code->last_site.known;
}

struct err *py_frame_call(struct py_process *process, const struct py_stack *stack,
                          struct py_frame *frame, struct py_code *code, bool innermost)
{
    struct py_decoder *dec = &process->dec;
    struct question q = {.dec = dec, .frame = frame, .code = code};
    frame->call_name = frame->call_qualname = 0;
    if (!py_frame_site(dec, frame, code, &q.site))
        return NULL;
    // A for loop that sleeps in the kernel is inside of its iterator's C code (`for line in file`).
    if (innermost && stack->blocked && q.site.kind == PY_CALL_ITER_NEXT)
        return forgive(describe_next(&q));
    if (q.site.kind != PY_CALL_FUNCTION && q.site.kind != PY_CALL_METHOD &&
        q.site.kind != PY_CALL_ENTER && q.site.kind != PY_CALL_EXIT)
        return NULL;
    for (uint32_t i = 0; i < q.site.depth_count && !frame->call_name; i++)
        TRY(try_depth(&q, q.site.depths[i] - q.site.depths[0]));
    if (q.site.depth_count > 1 && frame->call_name)
        frame->flags |= PY_FRAME_CALL_INFERRED;
    if (!frame->call_name && (q.site.depth_count == 0 || !q.site.depth_certain))
        return search_by_name(&q);
    return NULL;
}
