// SPDX-License-Identifier: GPL-3.0-or-later
// Frame chains of CPython 3.11+: _PyInterpreterFrames linked by `previous`
// (Include/internal/pycore_frame.h; 3.14+: pycore_interpframe_structs.h). Frames of functions lie
// in the thread's data stack, those of generators in the generator; each evaluation loop that C
// code started is marked: 3.11 by is_entry, from 3.12 on by a shim frame on the C stack.
#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/limits.h"

#define IFRAME_MAX_BYTES 256

// 3.12 and later have shims.
static bool needs_cframes(const struct py_layout *lay)
{
    return py_layout_has(lay, PY_TS_cframe) && py_layout_has(lay, PY_IF_is_entry);
}

struct err *py_walk_cframes(struct py_process *process, struct py_stack *stack)
{
    const struct py_layout *lay = &process->dec.layout;
    struct py_cframes *cframes = &stack->cframes;
    while (stack->cframe_next) {
        struct py_cframe cframe = {.addr = stack->cframe_next};
        uint64_t previous;
        // The root one is embedded in the thread state and no activation; the others are locals of
        // functions that call each other. A signal handler may have a stack of its own, anywhere.
        bool on_stack = cframe.addr - stack->thread.tstate >= py_offset(lay, PY_TS_size);
        // The mark moves on at each power of two: every round comes back to it.
        bool round = cframes->count && cframe.addr == cframes->items[stack->cframe_mark].addr;
        if ((cframes->count & (cframes->count - 1)) == 0)
            stack->cframe_mark = cframes->count ? cframes->count - 1 : 0;
        if (!on_stack || round || cframes->count >= LIMIT_FRAMES_PER_THREAD ||
            process->frames_walked++ >= LIMIT_FRAMES_PER_SNAPSHOT)
            break;
        TRY(py_read(process->dec.mem, lay, cframe.addr, PY_CF_previous, &previous));
        TRY(py_read(process->dec.mem, lay, cframe.addr, PY_CF_current_frame, &cframe.frame));
        if (!vec_push(cframes, cframe))
            break;
        stack->cframe_next = previous;
    }
    stack->cframe_next = 0;
    return NULL;
}

void py_pair_cframes(struct py_stack *stack)
{
    const struct py_frames *frames = &stack->frames;
    size_t start = 0, at = 0;
    vec_foreach (entry, &stack->entries) {
        size_t begin = start;
        start = entry->frames_end;
        if (at == stack->cframes.count)
            break;
        const struct py_cframe *cframe = &stack->cframes.items[at++];
        // Each loop says which frame it runs: no pair is made that does not agree.
        if (begin == start || frames->items[begin].addr == cframe->frame)
            entry->addr = cframe->addr;
    }
}

struct err *py_walk_step_back(struct py_process *process, struct py_stack *stack, bool *ret)
{
    const struct py_layout *lay = &process->dec.layout;
    uint64_t previous, frame = 0;
    *ret = false;
    if (!py_layout_has(lay, PY_TS_cframe) || stack->stepped_back || !stack->thread.root)
        return NULL;
    TRY(py_read(process->dec.mem, lay, stack->thread.root, PY_CF_previous, &previous));
    if (!previous)
        return NULL;
    TRY(py_read(process->dec.mem, lay, previous, PY_CF_current_frame, &frame));
    // A loop that has begun was entered from the frame that the outer one runs.
    if (stack->entries.count && stack->first_caller == frame)
        return NULL;
    // The loop that has not begun yet is an entry without frames.
    struct py_entry entry = {.addr = stack->thread.root};
    vec_clear(&stack->frames);
    vec_clear(&stack->entries);
    if (!vec_push(&stack->entries, entry))
        return err_create(ERR_NO_MEMORY, "frames");
    stack->next = frame;
    stack->steps = stack->mark_frames = stack->mark_entries = 0;
    *ret = stack->stepped_back = true;
    return NULL;
}

struct err *py_walk_root(struct py_process *process, struct py_stack *stack)
{
    const struct py_layout *lay = &process->dec.layout;
    stack->next = stack->thread.root;
    stack->chunk_next = stack->thread.datastack_chunk;
    if (stack->next && py_layout_has(lay, PY_TS_cframe)) {
        stack->outermost_shim = stack->thread.root;
        if (needs_cframes(lay) && !stack->cframes.count) // this may not be the first attempt
            stack->cframe_next = stack->thread.root;
        TRY(py_read(process->dec.mem, lay, stack->thread.root, PY_CF_current_frame, &stack->next));
        bool again; // zeros may be what an old stack left there, too
        if (!stack->next)
            return py_walk_step_back(process, stack, &again);
    }
    return NULL;
}

struct err *py_walk_datastack(struct py_process *process, struct py_stack *stack)
{
    const struct py_layout *lay = &process->dec.layout;
    struct mem_copy *copy = process->dec.copy;
    uint64_t total = 0;
    // chunk_next survives a miss: the walk down the chunks goes on where it was.
    for (int i = 0; copy && stack->chunk_next && i < LIMIT_DATASTACK_CHUNKS; i++) {
        uint64_t chunk = stack->chunk_next, previous, size, top;
        TRY(py_read(process->dec.mem, lay, chunk, PY_SC_previous, &previous));
        TRY(py_read(process->dec.mem, lay, chunk, PY_SC_size, &size));
        TRY(py_read(process->dec.mem, lay, chunk, PY_SC_top, &top));
        // Only what is in use: what lies above may never have been touched.
        uint64_t data = chunk + py_offset(lay, PY_SC_data), end;
        if (chunk == stack->thread.datastack_chunk)
            end = stack->thread.datastack_top;
        else
            end = top < size / 8 ? data + 8 * top : chunk + size;
        if (end < chunk || end - chunk > size || (total += size) > LIMIT_DATASTACK_BYTES)
            break; // damaged; the frames are then asked for one by one
        mem_copy_want(copy, chunk, end - chunk);
        stack->chunk_next = previous;
    }
    stack->chunk_next = 0;
    return NULL;
}

static struct err *close_entry(struct py_stack *stack, uint64_t addr, uint64_t caller)
{
    struct py_entry entry = {addr, (uint32_t)stack->frames.count};
    // A chain of nothing but shims is no chain that a program makes.
    if (stack->entries.count >= LIMIT_FRAMES_PER_THREAD)
        return err_create(ERR_LIMIT, "more than %d entries", LIMIT_FRAMES_PER_THREAD);
    if (!stack->entries.count)
        stack->first_caller = caller;
    return vec_push(&stack->entries, entry) ? NULL : err_create(ERR_NO_MEMORY, "frames");
}

// A greenlet's module (3.0.2+, TGreenlet.cpp, expose_frames) links the frames of a suspended one past the
// shims, which lie on the C stack, and keeps what was linked in the frame object. That only adds the
// entries: the chain is taken as it is. The outermost frame's is the greenlet's own; what lies beyond is
// its parent's.
#define SHIMS_MAX 8

static struct err *find_hidden(struct py_decoder *dec, uint64_t frame, uint64_t *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t object, owner;
    TRY(py_read(dec->mem, lay, frame, PY_IF_frame_obj, &object));
    TRY(py_read(dec->mem, lay, object, PY_FO_frame, &owner));
    if (owner != frame)
        return err_create(ERR_BAD_DATA, "another frame's object");
    return mem_read_u64(dec->mem, object + py_offset(lay, PY_FO_frame_data), ret);
}

static struct err *close_hidden(struct py_process *process, struct py_stack *stack,
                                const struct py_iframe *last)
{
    struct py_iframe shim;
    uint64_t shims[SHIMS_MAX], next;
    size_t count = 0;
    TRY(find_hidden(&process->dec, last->frame.addr, &next));
    for (; next != last->previous && (last->previous || !count); next = shim.previous) {
        TRY(py_iframe_read(&process->dec, next, &shim));
        if (shim.owner < PY_OWNED_BY_C || shim.owner > PY_OWNED_MAX || count == SHIMS_MAX)
            return err_create(ERR_BAD_DATA, "no shim");
        shims[count++] = next;
    }
    if (count)
        stack->frames.items[stack->frames.count - 1].flags |= PY_FRAME_ENTRY;
    for (size_t i = 0; i < count; i++)
        TRY(close_entry(stack, shims[i], last->previous));
    return NULL;
}

struct err *py_iframe_read(struct py_decoder *dec, uint64_t addr, struct py_iframe *ret)
{
    const struct py_layout *lay = &dec->layout;
    unsigned char bytes[IFRAME_MAX_BYTES];
    size_t size = py_offset(lay, PY_IF_localsplus);
    if (size > sizeof(bytes))
        return err_create(ERR_UNSUPPORTED, "a frame of %zu bytes", size);
    if (addr % 8)
        return err_create(ERR_BAD_DATA, "0x%llx is no frame", (unsigned long long)addr);
    TRY(mem_read(dec->mem, addr, bytes, size));
    ret->previous = py_pick_or_0(lay, bytes, size, PY_IF_previous);
    ret->owner = (enum py_frame_owner)py_pick_or_0(lay, bytes, size, PY_IF_owner);
    ret->stacktop = (int32_t)py_pick_or_0(lay, bytes, size, PY_IF_stacktop);
    ret->frame = (struct py_frame){
        .addr = addr,
        .code_addr = py_untag(dec, py_pick_or_0(lay, bytes, size, PY_IF_code)),
        .instr = py_pick_or_0(lay, bytes, size, PY_IF_instr),
        .slots_addr = addr + size,
        .stackpointer = py_pick_or_0(lay, bytes, size, PY_IF_stackpointer),
        .tlbc_index = (uint32_t)py_pick_or_0(lay, bytes, size, PY_IF_tlbc_index),
        .flags = (ret->owner == PY_OWNED_BY_GENERATOR ? PY_FRAME_GENERATOR : 0) |
                 (py_pick_or_0(lay, bytes, size, PY_IF_is_entry) ? PY_FRAME_ENTRY : 0),
    };
    return NULL;
}

struct err *py_walk_iframe(struct py_process *process, struct py_stack *stack)
{
    uint64_t addr = stack->next;
    struct py_iframe read;
    TRY(py_iframe_read(&process->dec, addr, &read));
    if (read.owner > PY_OWNED_MAX)
        return err_create(ERR_BAD_DATA, "0x%llx is no frame", (unsigned long long)addr);
    if (read.owner >= PY_OWNED_BY_C) {
        // The frames above the shim run in an evaluation loop that C code started.
        if (stack->frames.count)
            stack->frames.items[stack->frames.count - 1].flags |= PY_FRAME_ENTRY;
        if (addr != stack->thread.base_frame) {
            stack->outermost_shim = addr;
            TRY(close_entry(stack, addr, read.previous));
        }
        stack->next = read.previous;
        return NULL;
    }
    if (!vec_push(&stack->frames, read.frame))
        return err_create(ERR_NO_MEMORY, "frames");
    if (read.frame.flags & PY_FRAME_ENTRY)
        TRY(close_entry(stack, 0, read.previous)); // see py_pair_cframes
    if (stack->shims_hidden) {
        // Without them nothing but the place among native frames is lost.
        AUTO_ERR struct err *unknown = close_hidden(process, stack, &read);
        (void)unknown;
    }
    stack->next = read.previous;
    return NULL;
}

// Free-threaded 3.14+: each thread may run its own copy of the bytecode
// (Include/internal/pycore_code.h, _PyCodeArray {Py_ssize_t size; char *entries[]}).
static struct err *thread_local_base(struct py_decoder *dec, const struct py_frame *frame,
                                     const struct py_code *code, uint64_t *ret)
{
    uint64_t array, size;
    *ret = code->bytecode_addr;
    if (!py_layout_has(&dec->layout, PY_CO_tlbc) || frame->tlbc_index == 0)
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, code->addr, PY_CO_tlbc, &array));
    TRY(mem_read_u64(dec->mem, array, &size));
    if (frame->tlbc_index >= size)
        return err_create(ERR_BAD_DATA, "bytecode copy %u of %llu", frame->tlbc_index,
                          (unsigned long long)size);
    return mem_read_u64(dec->mem, array + 8 + 8ull * frame->tlbc_index, ret);
}

struct err *py_frame_offset(struct py_decoder *dec, const struct py_frame *frame,
                            const struct py_code *code, int32_t *ret)
{
    uint16_t version = dec->layout.version;
    *ret = -1;
    if (version <= 0x030a) {
        // f_lasti: bytes, in 3.10 code units.
        int64_t lasti = (int64_t)frame->instr;
        if (lasti >= 0)
            *ret = (int32_t)(version == 0x030a ? lasti * 2 : lasti);
    } else {
        if (version >= 0x030d && frame->instr == 0)
            return NULL;
        uint64_t base;
        TRY(thread_local_base(dec, frame, code, &base));
        int64_t distance = (int64_t)(frame->instr - base);
        // 3.11 and 3.12: prev_instr lies one unit before the first one until the frame starts.
        if (distance < -2 || distance > INT32_MAX)
            return err_create(ERR_BAD_DATA, "instruction outside of its code");
        *ret = (int32_t)distance;
    }
    if (*ret >= 0 && (uint64_t)*ret >= code->bytecode_bytes && code->bytecode)
        return err_create(ERR_BAD_DATA, "instruction outside of its code");
    return NULL;
}
