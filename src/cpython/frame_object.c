// SPDX-License-Identifier: GPL-3.0-or-later
// Frame chains of CPython 3.6-3.10: PyFrameObjects linked by f_back (Include/frameobject.h;
// 3.10: Include/cpython/frameobject.h).
#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/limits.h"

#define FRAME_MAX_BYTES 1024

struct err *py_walk_frame_object(struct py_process *process, struct py_stack *stack)
{
    const struct py_layout *lay = &process->dec.layout;
    unsigned char bytes[FRAME_MAX_BYTES];
    size_t size = py_offset(lay, PY_FO_localsplus);
    if (size > sizeof(bytes))
        return err_create(ERR_UNSUPPORTED, "a frame object of %zu bytes", size);
    uint64_t addr = stack->next, type;
    TRY(mem_read(process->dec.mem, addr, bytes, size));
    struct py_type_info info;
    py_pick(lay, bytes, size, PY_OB_type, &type);
    TRY(py_type_info(&process->dec, type, &info));
    const char *type_name = strtab_get(process->dec.strings, info.name);
    if (info.heap || !type_name || __builtin_strcmp(type_name, "frame") != 0)
        return err_create(ERR_BAD_DATA, "0x%llx is no frame", (unsigned long long)addr);
    uint64_t code = 0, lasti = 0, valuestack = 0, slots = 0, generator = 0, back = 0;
    py_pick(lay, bytes, size, PY_FO_code, &code);
    py_pick(lay, bytes, size, PY_FO_lasti, &lasti);
    py_pick(lay, bytes, size, PY_FO_valuestack, &valuestack);
    py_pick(lay, bytes, size, PY_FO_ob_size, &slots);
    py_pick(lay, bytes, size, PY_FO_gen, &generator);
    py_pick(lay, bytes, size, PY_FO_back, &back);
    uint64_t localsplus = addr + size;
    if (valuestack < localsplus || valuestack - localsplus > 8 * LIMIT_FRAME_SLOTS)
        return err_create(ERR_BAD_DATA, "frame at 0x%llx has no value stack",
                          (unsigned long long)addr);
    struct py_frame frame = {
        .addr = addr,
        .code_addr = code,
        .instr = (uint64_t)(int64_t)(int32_t)lasti,
        .slots_addr = localsplus,
        .slot_count = slots < LIMIT_FRAME_SLOTS ? (uint32_t)slots : LIMIT_FRAME_SLOTS,
        .stack_offset = (uint32_t)((valuestack - localsplus) / 8),
        // Each Python function runs in an evaluation loop of its own.
        .flags = PY_FRAME_ENTRY | (generator ? PY_FRAME_GENERATOR : 0),
    };
    struct py_entry entry = {.frames_end = (uint32_t)stack->frames.count + 1};
    if (!vec_push(&stack->frames, frame) || !vec_push(&stack->entries, entry))
        return err_create(ERR_NO_MEMORY, "frames");
    stack->next = back;
    return NULL;
}
