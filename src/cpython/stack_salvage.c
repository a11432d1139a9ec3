// SPDX-License-Identifier: GPL-3.0-or-later
// 3.11+, cores that are cut: the chain of frames leads over the C stack, and the main thread's is
// the first thing that a cut core loses. The frames of functions lie in the data stack, one behind
// the other (Python/pystate.c, _PyThreadState_PushFrame), and can be found there.
#include <stdlib.h>

#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/limits.h"

struct chunk {
    uint64_t start, end; // of the frames in it
};

VEC_DEFINE(chunks, struct chunk);

static int compare_addresses(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

// Where the frames that the chain gave are, sorted. NULL: out of memory.
static uint64_t *known_frames(const struct py_stack *stack)
{
    size_t count = stack->frames.count;
    uint64_t *ret = calloc(count + 1, sizeof(*ret));
    for (size_t i = 0; ret && i < count; i++)
        ret[i] = stack->frames.items[i].addr;
    if (ret && count)
        qsort(ret, count, sizeof(*ret), compare_addresses);
    return ret;
}

// The chunks that are in use, the newest first. What is damaged ends the list.
static struct err *list_chunks(struct py_process *process, const struct py_stack *stack,
                               struct chunks *ret)
{
    const struct py_layout *lay = &process->dec.layout;
    uint64_t chunk = stack->thread.datastack_chunk, total = 0;
    for (int i = 0; chunk && i < LIMIT_DATASTACK_CHUNKS; i++) {
        uint64_t previous, size, top;
        if (process->frames_walked++ >= LIMIT_FRAMES_PER_SNAPSHOT)
            break;
        TRY(py_read(process->dec.mem, lay, chunk, PY_SC_previous, &previous));
        TRY(py_read(process->dec.mem, lay, chunk, PY_SC_size, &size));
        TRY(py_read(process->dec.mem, lay, chunk, PY_SC_top, &top));
        uint64_t data = chunk + py_offset(lay, PY_SC_data), end = stack->thread.datastack_top;
        if (chunk != stack->thread.datastack_chunk)
            end = top < size / 8 ? data + 8 * top : chunk + size;
        // The first word of the first chunk is never given away: a top of NULL means no chunk.
        struct chunk item = {data + (previous ? 0 : 8), end};
        if (end < data || end - chunk > size || (total += size) > LIMIT_DATASTACK_BYTES)
            break;
        if (!vec_push(ret, item))
            return err_create(ERR_NO_MEMORY, "data stack");
        chunk = previous;
    }
    return NULL;
}

// The frame at `addr`; *ret_bytes is how far it reaches.
static struct err *read_frame(struct py_process *process, uint64_t addr, struct py_frame *ret,
                              uint64_t *ret_bytes)
{
    struct py_iframe read;
    TRY(py_iframe_read(&process->dec, addr, &read));
    if (read.owner != PY_OWNED_BY_THREAD)
        return err_create(ERR_BAD_DATA, "no frame");
    *ret = read.frame;
    TRY(py_code_get(&process->dec, ret->code_addr, &ret->code));
    *ret_bytes =
        ret->slots_addr - addr + 8 * ((uint64_t)ret->code->slot_count + ret->code->stack_size);
    return NULL;
}

// Appends the frames of one chunk, oldest first.
static struct err *read_chunk(struct py_process *process, const struct chunk *chunk,
                              struct py_frames *ret)
{
    for (uint64_t at = chunk->start; at < chunk->end;) {
        struct py_frame frame;
        uint64_t bytes = 0;
        if (ret->count >= LIMIT_FRAMES_PER_THREAD ||
            process->frames_walked++ >= LIMIT_FRAMES_PER_SNAPSHOT)
            return err_create(ERR_LIMIT, "more than %d frames", LIMIT_FRAMES_PER_THREAD);
        TRY(read_frame(process, at, &frame, &bytes));
        if (bytes > chunk->end - at)
            return err_create(ERR_BAD_DATA, "no frame");
        if (!vec_push(ret, frame))
            return err_create(ERR_NO_MEMORY, "frames");
        at += bytes;
    }
    return NULL;
}

// 3.12+: a frame that was not called by the one behind it was called from C, by way of a shim frame
// on the C stack. Only then the older one is asked which C function it is inside of.
static void mark_entries(struct py_process *process, struct py_stack *stack, size_t first)
{
    const struct py_layout *lay = &process->dec.layout;
    for (size_t i = first; i + 1 < stack->frames.count; i++) {
        struct py_frame *frame = &stack->frames.items[i];
        uint64_t previous;
        AUTO_ERR struct err *err =
            py_read(process->dec.mem, lay, frame->addr, PY_IF_previous, &previous);
        if (!err && previous != frame[1].addr)
            frame->flags |= PY_FRAME_ENTRY;
    }
}

size_t py_stack_salvage(struct py_process *process, struct py_stack *stack)
{
    const struct py_layout *lay = &process->dec.layout;
    struct chunks chunks = {0};
    struct py_frames found = {0};
    size_t before = stack->frames.count;
    if (!py_layout_has(lay, PY_SC_data) || !stack->thread.datastack_chunk)
        return 0;
    AUTO_FREE uint64_t *known = known_frames(stack);
    if (!known)
        return 0;
    err_destroy(list_chunks(process, stack, &chunks));
    vec_foreach (chunk, &chunks) {
        // Behind something that is no frame, where the next one begins is not known.
        vec_clear(&found);
        err_destroy(read_chunk(process, chunk, &found));
        for (size_t i = found.count; i-- > 0;) {
            struct py_frame *frame = &found.items[i];
            bool is_known =
                bsearch(&frame->addr, known, before, sizeof(*known), compare_addresses) != NULL;
            if (!is_known && !vec_push(&stack->frames, *frame))
                break;
        }
    }
    vec_deinit(&chunks);
    vec_deinit(&found);
    if (!py_layout_has(lay, PY_IF_is_entry))
        mark_entries(process, stack, before ? before - 1 : 0);
    return stack->frames.count - before;
}
