// SPDX-License-Identifier: GPL-3.0-or-later
// Frame chains of CPython 3.6-3.10: PyFrameObjects linked by f_back (Include/frameobject.h;
// 3.10: Include/cpython/frameobject.h).
#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/limits.h"

#define FRAME_MAX_BYTES 1024

// 3.10 counts slots, earlier ones have the address; both mean nothing while the frame executes.
static uint64_t stack_top(const struct py_layout *lay, const void *bytes, size_t size,
                          uint64_t valuestack)
{
    if (!py_layout_has(lay, PY_FO_stackdepth))
        return py_pick_or_0(lay, bytes, size, PY_FO_stacktop);
    return valuestack + 8 * py_pick_or_0(lay, bytes, size, PY_FO_stackdepth);
}

struct err *py_frame_object_read(struct py_decoder *dec, uint64_t addr, struct py_frame_object *ret)
{
    const struct py_layout *lay = &dec->layout;
    unsigned char bytes[FRAME_MAX_BYTES];
    size_t size = py_offset(lay, PY_FO_localsplus);
    if (size > sizeof(bytes))
        return err_create(ERR_UNSUPPORTED, "a frame object of %zu bytes", size);
    TRY(mem_read(dec->mem, addr, bytes, size));
    struct py_type_info info;
    TRY(py_type_info(dec, py_pick_or_0(lay, bytes, size, PY_OB_type), &info));
    if (info.heap || !strtab_is(dec->strings, info.name, "frame"))
        return err_create(ERR_BAD_DATA, "0x%llx is no frame", (unsigned long long)addr);
    uint64_t slots = py_pick_or_0(lay, bytes, size, PY_FO_ob_size);
    uint64_t valuestack = py_pick_or_0(lay, bytes, size, PY_FO_valuestack);
    uint64_t localsplus = addr + size;
    if (valuestack < localsplus || valuestack - localsplus > 8 * LIMIT_FRAME_SLOTS)
        return err_create(ERR_BAD_DATA, "frame at 0x%llx has no value stack",
                          (unsigned long long)addr);
    ret->back = py_pick_or_0(lay, bytes, size, PY_FO_back);
    ret->generator = py_pick_or_0(lay, bytes, size, PY_FO_gen);
    ret->state = (int8_t)py_pick_or_0(lay, bytes, size, PY_FO_state);
    ret->stacktop = stack_top(lay, bytes, size, valuestack);
    ret->frame = (struct py_frame){
        .addr = addr,
        .code_addr = py_pick_or_0(lay, bytes, size, PY_FO_code),
        .instr = (uint64_t)(int64_t)(int32_t)py_pick_or_0(lay, bytes, size, PY_FO_lasti),
        .slots_addr = localsplus,
        .slot_count = slots < LIMIT_FRAME_SLOTS ? (uint32_t)slots : LIMIT_FRAME_SLOTS,
        .stack_offset = (uint32_t)((valuestack - localsplus) / 8),
        // Each Python function runs in an evaluation loop of its own.
        .flags = PY_FRAME_ENTRY | (ret->generator ? PY_FRAME_GENERATOR : 0),
    };
    return NULL;
}

struct err *py_walk_frame_object(struct py_process *process, struct py_stack *stack)
{
    struct py_frame_object read;
    TRY(py_frame_object_read(&process->dec, stack->next, &read));
    struct py_entry entry = {.frames_end = (uint32_t)stack->frames.count + 1};
    if (!vec_push(&stack->frames, read.frame) || !vec_push(&stack->entries, entry))
        return err_create(ERR_NO_MEMORY, "frames");
    stack->next = read.back;
    return NULL;
}
