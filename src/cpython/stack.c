// SPDX-License-Identifier: GPL-3.0-or-later
// Walking one thread's Python stack: first the chain of frames, then, for each, its code object,
// line and the C callable it is inside of. See cpython/stack.h.
#include "cpython/stack.h"

#include <stdlib.h>

#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"

void py_stack_init(struct py_stack *stack, const struct py_thread *thread, bool blocked)
{
    *stack = (struct py_stack){.thread = *thread, .blocked = blocked, .next = UINT64_MAX};
}

void py_stack_deinit(struct py_stack *stack)
{
    vec_deinit(&stack->frames);
    vec_deinit(&stack->entries);
    vec_deinit(&stack->cframes);
    err_destroy(stack->cut);
    stack->cut = NULL;
}

static bool is_miss(const struct py_decoder *dec, const struct err *err)
{
    return dec->copy && err_code(err) == ERR_FAULT && mem_copy_misses(dec->copy)->count;
}

// The mark moves on at each power of two (R. P. Brent's way), so that every round is found after a few
// times its length.
bool py_walk_comes_round(struct py_stack *stack, uint64_t from)
{
    struct py_frames *frames = &stack->frames;
    struct py_entries *entries = &stack->entries;
    if (stack->steps++ == 0)
        stack->mark = from;
    if (stack->next != stack->mark) {
        if ((stack->steps & (stack->steps - 1)) == 0) {
            stack->mark = stack->next;
            stack->mark_frames = frames->count;
            stack->mark_entries = entries->count;
        }
        return false;
    }
    size_t round = frames->count - stack->mark_frames;
    for (size_t i = 0; round && i + round < frames->count; i++)
        if (frames->items[i].addr == frames->items[i + round].addr)
            frames->count = i + round;
    round = entries->count - stack->mark_entries;
    for (size_t i = 0; round && i + round < entries->count; i++)
        if (entries->items[i].addr && entries->items[i].addr == entries->items[i + round].addr)
            entries->count = i + round;
    while (entries->count && entries->items[entries->count - 1].frames_end > frames->count)
        entries->count--;
    return true;
}

static struct err *follow(struct py_process *process, struct py_stack *stack)
{
    bool modern = process->dec.layout.version >= 0x030b;
    while (stack->next) {
        if (stack->frames.count >= LIMIT_FRAMES_PER_THREAD)
            return err_create(ERR_LIMIT, "more than %d frames", LIMIT_FRAMES_PER_THREAD);
        if (process->frames_walked++ >= LIMIT_FRAMES_PER_SNAPSHOT)
            return err_create(ERR_LIMIT, "more than %d frames in all threads",
                              LIMIT_FRAMES_PER_SNAPSHOT);
        uint64_t here = stack->next;
        TRY(modern ? py_walk_iframe(process, stack) : py_walk_frame_object(process, stack));
        if (py_walk_comes_round(stack, here))
            return err_create(ERR_BAD_DATA, "the frame chain bites its tail");
    }
    return NULL;
}

// False: bytes are missing. The end of the chain, good or bad, is true.
static bool walk_chain(struct py_process *process, struct py_stack *stack)
{
    bool modern = process->dec.layout.version >= 0x030b;
    struct err *err = NULL;
    if (stack->next == UINT64_MAX) {
        stack->next = stack->thread.root;
        if (modern)
            err = py_walk_root(process, stack);
        if (err)
            stack->next = UINT64_MAX; // not found yet: it is to be tried again
    }
    if (!err && stack->chunk_next) {
        err = py_walk_datastack(process, stack);
        if (err && !is_miss(&process->dec, err)) {
            // Chunks only save reads; without them the frames are read one by one.
            err_destroy(err);
            err = NULL;
            stack->chunk_next = 0;
        }
    }
    bool again = true;
    while (!err && again) {
        err = follow(process, stack);
        again = false;
        if (err && !is_miss(&process->dec, err)) {
            struct err *missed = py_walk_step_back(process, stack, &again);
            if (missed || again) {
                err_destroy(err);
                err = missed;
            }
        }
    }
    if (!err)
        return true;
    if (is_miss(&process->dec, err)) {
        err_destroy(err);
        return false;
    }
    stack->cut = err;
    size_t salvaged = 0;
    if (modern && !process->dec.copy && err_code(err) == ERR_FAULT)
        salvaged = py_stack_salvage(process, stack);
    if (salvaged)
        stack->cut = err_wrap(err, "%zu frame%s from the data stack, where generators' are not",
                              salvaged, salvaged == 1 ? " is" : "s are");
    return true;
}

// The same for the _PyCFrames. Without them the frames are as good.
static bool walk_cframes(struct py_process *process, struct py_stack *stack)
{
    AUTO_ERR struct err *err = py_walk_cframes(process, stack);
    if (err && is_miss(&process->dec, err))
        return false;
    stack->cframe_next = 0;
    if (stack->cframes.count)
        py_pair_cframes(stack);
    return true;
}

static bool incomplete(const struct py_decoder *dec, const struct py_frame *frame)
{
    // _PyFrame_IsIncomplete, Include/internal/pycore_frame.h (3.12+).
    return dec->layout.version >= 0x030c && !(frame->flags & PY_FRAME_GENERATOR) &&
           frame->offset_bytes < (int32_t)(2 * frame->code->first_traceable);
}

size_t py_frame_slot_count(const struct py_decoder *dec, const struct py_frame *frame)
{
    size_t count = frame->slot_count;
    if (dec->layout.version >= 0x030b)
        count = (size_t)frame->code->slot_count + frame->code->stack_size;
    return count < LIMIT_FRAME_SLOTS ? count : LIMIT_FRAME_SLOTS;
}

struct err *py_frame_locate(struct py_decoder *dec, struct py_frame *frame)
{
    if (!frame->code)
        TRY(py_code_get(dec, frame->code_addr, &frame->code));
    struct err *err = py_frame_offset(dec, frame, frame->code, &frame->offset_bytes);
    if (err) {
        if (err_code(err) == ERR_FAULT)
            return err;
        err_destroy(err);
        frame->flags |= PY_FRAME_LINE_LOST;
        frame->offset_bytes = -1;
        return NULL;
    }
    if (dec->layout.version >= 0x030b)
        frame->stack_offset = frame->code->slot_count;
    if (incomplete(dec, frame))
        frame->flags |= PY_FRAME_INCOMPLETE;
    return NULL;
}

// What about frame `index` can only be read while the target stands still: is its code object
// still the one we know, and what is it calling. ERR_FAULT with a miss: try again.
static struct err *complete(struct py_process *process, struct py_stack *stack, size_t index)
{
    struct py_decoder *dec = &process->dec;
    struct py_frame *frame = &stack->frames.items[index];
    TRY(py_frame_locate(dec, frame));
    if (frame->flags & PY_FRAME_LINE_LOST)
        return NULL;
    if (index > 0 && dec->copy)
        mem_copy_want(dec->copy, frame->slots_addr, 8 * py_frame_slot_count(dec, frame));
    bool from_c = index == 0 || (stack->frames.items[index - 1].flags & PY_FRAME_ENTRY);
    if (from_c && frame->offset_bytes >= 0 && !(frame->flags & PY_FRAME_INCOMPLETE))
        TRY(py_frame_call(process, stack, frame, frame->code, index == 0));
    return NULL;
}

static bool complete_all(struct py_process *process, struct py_stack *stack)
{
    bool all = true;
    for (size_t i = stack->completed; i < stack->frames.count; i++) {
        struct py_frame *frame = &stack->frames.items[i];
        if (frame->complete)
            continue;
        struct err *err = complete(process, stack, i);
        if (err && is_miss(&process->dec, err)) {
            all = false;
        } else {
            // A frame whose code cannot be read is kept, without a name: it costs no other.
            frame->complete = true;
        }
        err_destroy(err);
        if (all)
            stack->completed = i + 1;
    }
    return all;
}

bool py_stack_step(struct py_process *process, struct py_stack *stack)
{
    if (!stack->chain_done) {
        bool walked = stack->walked || walk_chain(process, stack);
        stack->walked = walked;
        stack->chain_done = walk_cframes(process, stack) && walked;
    }
    // The newest frame's flags may still change while the chain is open (a shim follows it).
    return stack->chain_done && complete_all(process, stack);
}

// The frame's own locals and value stack stand still while a function that it called runs: a
// change between two snapshots proves that this is another call.
static uint64_t hash_slots(struct py_decoder *dec, const struct py_frame *frame)
{
    uint64_t few[64], hash = hash_u64(HASH_SEED, (uint64_t)frame->offset_bytes);
    size_t count = py_frame_slot_count(dec, frame);
    AUTO_FREE uint64_t *many = count > ARRAY_SIZE(few) ? calloc(count, 8) : NULL;
    uint64_t *slots = count > ARRAY_SIZE(few) ? many : few;
    AUTO_ERR struct err *err =
        slots ? mem_read(dec->mem, frame->slots_addr, slots, count * 8) : NULL;
    for (size_t i = 0; slots && !err && i < count; i++)
        hash = hash_u64(hash, slots[i]);
    return hash;
}

void py_frame_name(struct py_decoder *dec, struct py_frame *frame)
{
    frame->line = (struct py_line){-1, -1};
    if (!frame->code)
        return;
    frame->name = frame->code->name;
    frame->qualname = frame->code->qualname;
    frame->file = frame->code->file;
    frame->first_line = frame->code->first_line;
    frame->fingerprint = frame->code->fingerprint;
    if (!(frame->flags & PY_FRAME_LINE_LOST))
        frame->line = py_code_line(dec, frame->code, frame->offset_bytes);
}

void py_stack_finish(struct py_process *process, struct py_stack *stack)
{
    for (size_t i = 0; i < stack->frames.count; i++) {
        struct py_frame *frame = &stack->frames.items[i];
        py_frame_name(&process->dec, frame);
        if (i > 0 && frame->code)
            frame->content = hash_slots(&process->dec, frame);
    }
}
