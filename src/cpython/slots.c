// SPDX-License-Identifier: GPL-3.0-or-later
// See cpython/slots.h.
#include "cpython/slots.h"

#include <string.h>

#include "util/guard.h"

// Slots below this were pushed before the call began. 3.14 and later push __exit__ and the manager
// before they call __enter__ (LOAD_SPECIAL, Python/bytecodes.c): these two are not meant yet.
static uint32_t live_depth(const struct py_slots *slots)
{
    const struct py_callsite *site = &slots->site;
    if (!slots->has_site || !site->depth_count)
        return 0;
    int32_t depth = site->depths[0];
    for (uint32_t i = 1; i < site->depth_count; i++)
        depth = site->depths[i] < depth ? site->depths[i] : depth;
    if (site->kind != PY_CALL_NONE && site->slot >= 0 && site->slot < depth)
        depth = site->slot;
    bool entering = site->name_kind == PY_NAME_SPECIAL &&
                    (site->name_index == PY_SPECIAL_ENTER || site->name_index == PY_SPECIAL_AENTER);
    if (entering && site->kind != PY_CALL_ENTER)
        depth -= 2;
    return depth > 0 ? (uint32_t)depth : 0;
}

struct err *py_slots_read(struct py_decoder *dec, const struct py_frame *frame,
                          struct py_slots *ret)
{
    ret->code = NULL;
    if (!frame->code_addr || (frame->flags & PY_FRAME_INCOMPLETE) || !frame->complete)
        return err_create(ERR_UNSUPPORTED, "a frame without code");
    TRY(py_code_get(dec, frame->code_addr, &ret->code));
    ret->has_site = frame->offset_bytes >= 0 && py_frame_site(dec, frame, ret->code, &ret->site);
    ret->locals = frame->stack_offset < PY_SLOTS_MAX ? frame->stack_offset : PY_SLOTS_MAX;
    uint32_t room = PY_SLOTS_MAX - ret->locals;
    ret->count = ret->locals + (ret->code->stack_size < room ? ret->code->stack_size : room);
    TRY(mem_read(dec->mem, frame->slots_addr, ret->objects, 8ull * ret->count));
    for (uint32_t i = 0; i < ret->count; i++)
        ret->objects[i] = py_untag(dec, ret->objects[i]);
    uint32_t live = ret->locals + live_depth(ret);
    ret->live = live < ret->count ? live : ret->count;
    return NULL;
}

bool py_slots_of_method(struct py_decoder *dec, uint64_t object, const char *name,
                        struct py_frame *ret_frame, struct py_slots *ret)
{
    struct py_type_info type;
    uint64_t function = 0, code;
    ret->code = NULL;
    AUTO_ERR struct err *err = py_class_attr(dec, object, name, &function);
    if (err || !function)
        return false;
    AUTO_ERR struct err *no_type = py_type_of(dec, function, &type);
    if (no_type || type.kind != PY_KIND_FUNCTION)
        return false;
    AUTO_ERR struct err *unread = py_read(dec->mem, &dec->layout, function, PY_FUNC_code, &code);
    AUTO_ERR struct err *no_code = unread ? NULL : py_code_get(dec, code, &ret->code);
    if (unread || no_code || ret->code->bytecode_bytes < 2)
        return false;
    *ret_frame = (struct py_frame){
        .code_addr = code,
        .offset_bytes = (int32_t)ret->code->bytecode_bytes - 2,
        .complete = true,
    };
    ret->has_site = false;
    ret->locals = ret->count = ret->live = 1;
    ret->objects[0] = object;
    return true;
}

// 3.6-3.10: variables, cells and free variables have tuples of their own, one behind the other.
static struct err *name_of(struct py_decoder *dec, const struct py_frame *frame, uint32_t index,
                           uint32_t *ret)
{
    static const enum py_field_id early[] = {PY_CO_varnames, PY_CO_cellvars, PY_CO_freevars};
    const struct py_layout *lay = &dec->layout;
    uint64_t names, name, size = index;
    if (py_layout_has(lay, PY_CO_localsplusnames)) {
        TRY(py_read(dec->mem, lay, frame->code_addr, PY_CO_localsplusnames, &names));
    } else {
        for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
            TRY(py_read(dec->mem, lay, frame->code_addr, early[i], &names));
            TRY(py_expect(dec, names, PY_KIND_TUPLE, "names"));
            TRY(py_read(dec->mem, lay, names, PY_TUPLE_size, &size));
            if (index < size)
                break;
            index -= (uint32_t)size;
        }
    }
    TRY(py_tuple_item(dec, names, index, &name));
    return py_str_id(dec, name, ret);
}

uint32_t py_slots_name(struct py_decoder *dec, const struct py_frame *frame,
                       const struct py_slots *slots, uint32_t index)
{
    uint32_t id = 0;
    AUTO_ERR struct err *err = index < slots->locals ? name_of(dec, frame, index, &id) : NULL;
    return err ? 0 : id;
}

uint64_t py_slots_value(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info type;
    uint64_t content = 0;
    if (!object)
        return 0;
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    if (err || type.heap || !strtab_is(dec->strings, type.name, "cell"))
        return err ? 0 : object;
    // PyCellObject (Include/cpython/cellobject.h): ob_ref behind the head.
    AUTO_ERR struct err *unread =
        mem_read_u64(dec->mem, object + py_head_bytes(dec), &content);
    return unread ? 0 : content;
}

uint64_t py_slots_find(struct py_decoder *dec, const struct py_frame *frame,
                       const struct py_slots *slots, const char *name)
{
    for (uint32_t i = 0; i < slots->locals; i++) {
        const char *have = slots->objects[i]
                               ? strtab_get(dec->strings, py_slots_name(dec, frame, slots, i))
                               : NULL;
        if (have && strcmp(have, name) == 0)
            return py_slots_value(dec, slots->objects[i]);
    }
    return 0;
}

uint64_t py_frame_globals(struct py_decoder *dec, const struct py_frame *frame)
{
    enum py_field_id field =
        py_layout_has(&dec->layout, PY_IF_globals) ? PY_IF_globals : PY_FO_globals;
    uint64_t globals;
    if (!frame->addr) // py_slots_of_method()
        return 0;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, frame->addr, field, &globals);
    return err ? 0 : globals;
}
