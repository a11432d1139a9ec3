// SPDX-License-Identifier: GPL-3.0-or-later
// One generator, coroutine or async generator: Include/genobject.h (3.6-3.8), Include/cpython/genobject.h
// (3.9-3.13), Include/internal/pycore_interpframe_structs.h (3.14+). The three share a layout.
#include "cpython/coroutine.h"

#include <string.h>

#include "cpython/callsite_tables.h"
#include "cpython/coroutine_read.h"
#include "util/guard.h"

// ---- State --------------------------------------------------------------------------------------

static struct err *impossible(uint64_t object, int state)
{
    return err_create(ERR_BAD_DATA, "the generator at 0x%llx has the impossible state %d",
                      (unsigned long long)object, state);
}

// gi_frame_state: enum _framestate, Include/internal/pycore_frame.h. 3.13 put "suspended in yield from"
// between; 3.15 counts from 0, and has a locked form of it.
static struct err *state_of_byte(const struct py_layout *lay, uint64_t object, int state,
                                 enum py_generator_state *ret)
{
    int created = lay->version >= 0x030f ? 0 : lay->version >= 0x030d ? -3 : -2;
    int running = lay->version >= 0x030f ? 4 : 0;
    if (state < created || state > (running ? 5 : 4))
        return impossible(object, state);
    *ret = state == created  ? PY_GEN_CREATED
           : state < running ? PY_GEN_SUSPENDED
           : state > running ? PY_GEN_DONE
                             : PY_GEN_RUNNING;
    return NULL;
}

// 3.10: enum _framestate in the frame object, Include/cpython/frameobject.h.
static struct err *state_of_frame(uint64_t object, int state, enum py_generator_state *ret)
{
    if (state < -2 || state > 4)
        return impossible(object, state);
    *ret = state == -2   ? PY_GEN_CREATED
           : state == -1 ? PY_GEN_SUSPENDED
           : state == 0  ? PY_GEN_RUNNING
                         : PY_GEN_DONE;
    return NULL;
}

// Up to 3.10: no frame, no life.
static struct err *old_state(struct py_decoder *dec, uint64_t object, uint64_t *ret_frame,
                             enum py_generator_state *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t state, running, lasti;
    *ret = PY_GEN_DONE;
    TRY(py_read(dec->mem, lay, object, PY_GEN_frame, ret_frame));
    if (!*ret_frame)
        return NULL;
    if (py_layout_has(lay, PY_FO_state)) {
        TRY(py_read(dec->mem, lay, *ret_frame, PY_FO_state, &state));
        return state_of_frame(object, (int8_t)state, ret);
    }
    // Lib/inspect.py, getgeneratorstate
    TRY(py_read(dec->mem, lay, object, PY_GEN_running, &running));
    TRY(py_read(dec->mem, lay, *ret_frame, PY_FO_lasti, &lasti));
    *ret = running ? PY_GEN_RUNNING : (int32_t)lasti == -1 ? PY_GEN_CREATED : PY_GEN_SUSPENDED;
    return NULL;
}

// *ret_frame is 0 when it is done. `raw`: gi_frame_state.
static struct err *read_state(struct py_decoder *dec, uint64_t object, uint64_t *ret_frame,
                              int *ret_raw, enum py_generator_state *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t raw;
    *ret_frame = 0;
    if (!py_layout_has(lay, PY_GEN_state))
        return old_state(dec, object, ret_frame, ret);
    TRY(py_read(dec->mem, lay, object, PY_GEN_state, &raw));
    *ret_raw = (int8_t)raw;
    TRY(state_of_byte(lay, object, *ret_raw, ret));
    if (*ret != PY_GEN_DONE)
        *ret_frame = object + py_offset(lay, PY_GEN_iframe);
    return NULL;
}

struct err *py_generator_state(struct py_decoder *dec, uint64_t object,
                               enum py_generator_state *ret)
{
    uint64_t frame;
    int raw;
    return read_state(dec, object, &frame, &raw, ret);
}

// ---- Frame --------------------------------------------------------------------------------------

// *ret_top: address behind the last slot of its value stack that is in use.
static struct err *read_frame(struct py_decoder *dec, uint64_t object, uint64_t addr,
                              struct py_frame *ret, uint64_t *ret_top)
{
    bool owned;
    if (py_layout_has(&dec->layout, PY_GEN_iframe)) {
        struct py_iframe read;
        TRY(py_iframe_read(dec, addr, &read));
        owned = read.owner == PY_OWNED_BY_GENERATOR;
        *ret = read.frame;
        *ret_top = ret->stackpointer;
        if (!py_layout_has(&dec->layout, PY_IF_stackpointer))
            *ret_top = read.stacktop > 0 ? ret->slots_addr + 8ull * (uint32_t)read.stacktop : 0;
    } else {
        struct py_frame_object read;
        TRY(py_frame_object_read(dec, addr, &read));
        owned = read.generator == object;
        *ret = read.frame;
        *ret_top = read.stacktop;
    }
    if (!owned)
        return err_create(ERR_BAD_DATA, "the frame of the generator at 0x%llx is another's",
                          (unsigned long long)object);
    // Whoever calls it next is not known yet.
    ret->flags &= (uint8_t)~PY_FRAME_ENTRY;
    TRY(py_frame_locate(dec, ret));
    ret->complete = true;
    return NULL;
}

// ---- What it awaits -----------------------------------------------------------------------------

static bool next_is(const struct py_decoder *dec, const struct py_frame *frame, uint8_t opcode,
                    uint8_t *ret_oparg)
{
    const struct py_code *code = frame->code;
    const struct py_opcode_row *rows = py_opcode_rows(dec->layout.version);
    size_t at = (size_t)frame->offset_bytes + 2;
    if (!rows || frame->offset_bytes < 0 || at + 2 > code->bytecode_bytes)
        return false;
    *ret_oparg = code->bytecode[at + 1];
    const struct py_opcode_row *row = &rows[code->bytecode[at]];
    return row->known && row->base == opcode;
}

// Does it delegate? Up to 3.10 YIELD_FROM comes next, again and again until what it delegates to is
// done (Objects/genobject.c, _PyGen_yf). 3.11 and 3.12: RESUME comes next, which says where it resumes: 2
// yield from, 3 await, 4 to 7 are flags. Later the state says it.
static bool delegates(const struct py_decoder *dec, const struct py_frame *frame, int raw)
{
    enum { YIELD_FROM = 72, RESUME = 151, AFTER_YIELD_FROM = 2, LOCATION_MASK = 3 };
    uint16_t version = dec->layout.version;
    uint8_t oparg = 0;
    if (frame->flags & PY_FRAME_LINE_LOST)
        return false;
    if (version >= 0x030f)
        return raw == 2 || raw == 3; // FRAME_SUSPENDED_YIELD_FROM, ..._LOCKED
    if (version >= 0x030d)
        return raw == -1; // FRAME_SUSPENDED_YIELD_FROM
    if (version >= 0x030b)
        return next_is(dec, frame, RESUME, &oparg) && (oparg & LOCATION_MASK) >= AFTER_YIELD_FROM;
    return next_is(dec, frame, YIELD_FROM, &oparg);
}

// The topmost slot. 3.15 has the iterator's index, or nothing, above what is iterated over
// (Include/internal/pycore_stackref.h, "virtual iterators").
static struct err *read_awaited(struct py_decoder *dec, const struct py_frame *frame, uint64_t top,
                                uint64_t *ret)
{
    uint64_t base = frame->slots_addr + 8ull * frame->stack_offset, slots[2] = {0};
    uint64_t end = frame->slots_addr + 8ull * py_frame_slot_count(dec, frame);
    size_t want = dec->layout.version >= 0x030f ? 2 : 1;
    *ret = 0;
    if (top % 8 || top > end || top < base || top - base < 8 * want)
        return err_create(ERR_BAD_DATA, "the frame at 0x%llx has no value stack",
                          (unsigned long long)frame->addr);
    TRY(mem_read(dec->mem, top - 8 * want, slots, 8 * want));
    for (size_t i = want; i-- > 0 && !*ret;)
        *ret = py_untag(dec, slots[i]);
    return NULL;
}

// ---- Together -----------------------------------------------------------------------------------

static enum py_generator_kind kind_of(const struct py_decoder *dec, const struct py_type_info *type)
{
    return strtab_is(dec->strings, type->name, "coroutine")         ? PY_COROUTINE
           : strtab_is(dec->strings, type->name, "async_generator") ? PY_ASYNC_GENERATOR
                                                                    : PY_GENERATOR;
}

// What cannot be read of its names is not known; that is no reason to lose it.
static struct err *name_of(struct py_decoder *dec, uint64_t object, enum py_field_id field,
                           uint32_t *ret)
{
    uint64_t name;
    struct err *err = py_read(dec->mem, &dec->layout, object, field, &name);
    if (!err)
        err = py_str_id(dec, name, ret);
    if (err && err_code(err) == ERR_NO_MEMORY)
        return err;
    err_destroy(err);
    return NULL;
}

struct err *py_generator_read_frame(struct py_decoder *dec, uint64_t object,
                                    struct py_generator *ret, struct py_frame *ret_frame)
{
    struct py_type_info type;
    uint64_t top = 0;
    int raw = 0;
    *ret = (struct py_generator){.object = object};
    TRY(py_type_of(dec, object, &type));
    if (type.kind != PY_KIND_GENERATOR)
        return err_create(ERR_BAD_DATA, "0x%llx is no generator", (unsigned long long)object);
    ret->kind = kind_of(dec, &type);
    TRY(read_state(dec, object, &ret->frame, &raw, &ret->state));
    if (!ret->frame)
        return NULL;
    TRY(read_frame(dec, object, ret->frame, ret_frame, &top));
    ret->code = ret_frame->code_addr;
    if (ret->state == PY_GEN_SUSPENDED && delegates(dec, ret_frame, raw))
        return read_awaited(dec, ret_frame, top, &ret->awaits);
    return NULL;
}

struct err *py_generator_read(struct py_decoder *dec, uint64_t object, struct py_generator *ret)
{
    struct py_frame frame;
    TRY(py_generator_read_frame(dec, object, ret, &frame));
    TRY(name_of(dec, object, PY_GEN_name, &ret->name));
    return name_of(dec, object, PY_GEN_qualname, &ret->qualname);
}

uint32_t py_generator_name(struct py_decoder *dec, uint64_t object)
{
    uint32_t name = 0;
    AUTO_ERR struct err *err = name_of(dec, object, PY_GEN_qualname, &name);
    return err ? 0 : name;
}
