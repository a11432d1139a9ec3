// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_coroutine.h.
#include "fake_coroutine.h"

enum { SLOTS = 3, DEPTH = 4 }; // of the code's frames: locals, and value stack

static uint16_t version_of(const struct fake_python *py)
{
    return py->dec->layout.version;
}

void fake_generators_init(struct fake_python *py, struct fake_generators *ret)
{
    // What comes next: YIELD_FROM up to 3.10, RESUME after an await in 3.11 and 3.12; later nobody asks.
    static const uint8_t yield_from[] = {1, 0, 72, 0, 83, 0}, resume[] = {9, 0, 151, 3, 83, 0};
    struct fake_code code = {.name = "f",
                             .file = "f.py",
                             .first_line = 10,
                             .slots = SLOTS,
                             .stack_size = DEPTH,
                             .bytecode = version_of(py) < 0x030b ? yield_from : resume,
                             .bytecode_bytes = sizeof(resume)};
    ret->generator = fake_type(py, "generator", 0);
    ret->coroutine = fake_type(py, "coroutine", 0);
    ret->async_generator = fake_type(py, "async_generator", 0);
    ret->code = fake_code_object(py, &code);
}

uint64_t fake_generator_frame(struct fake_python *py, uint64_t generator)
{
    uint64_t frame;
    if (version_of(py) >= 0x030b)
        return generator + fake_offset(py, PY_GEN_iframe);
    memcpy(&frame, fake_at(&py->memory, generator + fake_offset(py, PY_GEN_frame)), 8);
    return frame;
}

void fake_generator_state(struct fake_python *py, uint64_t generator, enum py_generator_state state)
{
    static const int8_t first[] = {-2, -1, 0, 4}, middle[] = {-3, -1, 0, 4}, late[] = {0, 2, 4, 5};
    uint16_t version = version_of(py);
    const int8_t *values = version >= 0x030f ? late : version >= 0x030d ? middle : first;
    uint64_t value = (uint8_t)values[state];
    if (fake_set(py, generator, PY_GEN_state, value))
        return;
    uint64_t frame = fake_generator_frame(py, generator);
    fake_set(py, frame, PY_FO_state, value);
    fake_set(py, generator, PY_GEN_running, state == PY_GEN_RUNNING);
    fake_set(py, frame, PY_FO_lasti, state == PY_GEN_CREATED ? UINT32_MAX : 0);
    if (state == PY_GEN_DONE)
        fake_set(py, generator, PY_GEN_frame, 0);
}

// 3.11+: the frame lies inside of it.
static uint64_t fake_modern(struct fake_python *py, const struct fake_generators *kinds,
                            uint64_t type, size_t used)
{
    size_t at = fake_offset(py, PY_GEN_iframe), slots = fake_offset(py, PY_IF_localsplus);
    uint64_t object = fake_object(py, type, at + slots + 8 * (SLOTS + DEPTH)), frame = object + at;
    fake_set(py, frame, PY_IF_owner, 1);
    fake_set(py, frame, PY_IF_code, kinds->code | (version_of(py) >= 0x030e));
    fake_set(py, frame, PY_IF_instr, fake_first_instruction(py, kinds->code));
    fake_set(py, frame, PY_IF_stacktop, used);
    fake_set(py, frame, PY_IF_stackpointer, frame + slots + 8 * used);
    return object;
}

static uint64_t fake_old(struct fake_python *py, const struct fake_generators *kinds, uint64_t type,
                         size_t used)
{
    uint64_t object = fake_object(py, type, 128);
    uint64_t frame = fake_frame(py, kinds->code, 0, 0, SLOTS + DEPTH, 1);
    uint64_t stack = frame + fake_offset(py, PY_FO_localsplus) + 8 * SLOTS;
    fake_set(py, object, PY_GEN_frame, frame);
    fake_set(py, frame, PY_FO_gen, object);
    fake_set(py, frame, PY_FO_valuestack, stack);
    fake_set(py, frame, PY_FO_stacktop, stack + 8 * (used - SLOTS));
    fake_set(py, frame, PY_FO_stackdepth, used - SLOTS);
    return object;
}

uint64_t fake_generator(struct fake_python *py, const struct fake_generators *kinds, uint64_t type,
                        uint64_t inner)
{
    // 3.15 has one slot above what it delegates to.
    size_t used = SLOTS + (version_of(py) >= 0x030f ? 2 : 1);
    uint64_t object = version_of(py) >= 0x030b ? fake_modern(py, kinds, type, used)
                                               : fake_old(py, kinds, type, used);
    uint64_t name = fake_str(py, "g");
    fake_set(py, object, PY_GEN_name, name);
    fake_set(py, object, PY_GEN_qualname, name);
    fake_put_slot(py, fake_generator_frame(py, object), SLOTS, inner);
    fake_generator_state(py, object, inner ? PY_GEN_SUSPENDED : PY_GEN_CREATED);
    return object;
}

uint64_t fake_wrapper(struct fake_python *py, const char *type, uint64_t inner)
{
    uint64_t object = fake_object(py, fake_type(py, type, 0), 64);
    fake_put_u64(&py->memory, object + fake_offset(py, PY_OB_type) + 8, inner);
    return object;
}

// ---- The collector ------------------------------------------------------------------------------

uint64_t fake_generation(struct fake_python *py, uint64_t interp, unsigned generation)
{
    const struct py_layout *lay = &py->dec->layout;
    uint64_t state = py_layout_has(lay, PY_IS_gc) ? interp + fake_offset(py, PY_IS_gc)
                     : py_layout_has(lay, PY_RT_gc)
                         ? py->process.runtime + fake_offset(py, PY_RT_gc)
                         : 0;
    uint64_t first = 0;
    if (generation == 3)
        return state + fake_offset(py, PY_GC_permanent);
    if (state)
        first = state + fake_offset(py, PY_GC_generations);
    else
        memcpy(&first, fake_at(&py->memory, py->process.generation0_addr), 8);
    return first + (uint64_t)generation * fake_offset(py, PY_GC_generation_size);
}

uint64_t fake_collector(struct fake_python *py)
{
    const struct py_layout *lay = &py->dec->layout;
    uint64_t interp = fake_interpreter(py, 0, 0);
    if (!py_layout_has(lay, PY_IS_gc) && !py_layout_has(lay, PY_RT_gc)) {
        py->process.generation0_addr = fake_alloc(&py->memory, 8);
        fake_put_u64(&py->memory, py->process.generation0_addr, fake_alloc(&py->memory, 256));
    }
    for (unsigned i = 0; i < (py_layout_has(lay, PY_GC_permanent) ? 4 : 3); i++) {
        uint64_t list = fake_generation(py, interp, i);
        fake_put_u64(&py->memory, list, list);
        fake_put_u64(&py->memory, list + 8, list);
    }
    return interp;
}

uint64_t fake_tracked(struct fake_python *py, uint64_t list)
{
    uint64_t head = fake_alloc(&py->memory, 128), last;
    memcpy(&last, fake_at(&py->memory, list + 8), 8);
    fake_put_u64(&py->memory, last, head);
    fake_put_u64(&py->memory, head, list);
    fake_put_u64(&py->memory, head + 8, last | 1); // PREV_MASK_FINALIZED
    fake_put_u64(&py->memory, list + 8, head);
    return head + fake_offset(py, PY_GC_head_size);
}
