// SPDX-License-Identifier: GPL-3.0-or-later
// Putting native and Python frames in one order: see merge.h. pair.c says which native frame runs
// which Python frames; here they take its place. Nothing is ever lost: frames whose place is not
// certain are given where they do least harm, and a note says so.
#include "snapshot/merge.h"

#include <stdlib.h>

#include "snapshot/python.h"
#include "util/guard.h"
#include "util/hash.h"

struct merger {
    const struct merge *in;
    struct merge own;           // of a greenlet: without what lies further out
    struct unwind_stack natives; // ... and its native frames
    struct snap_thread *thread;
    const uint32_t *known; // per native frame: snap_native_at
    struct merge_pieces pieces;
    uint64_t **tokens; // per thread state
    bool *owns;        // per native frame: it runs Python frames, or is about to
    bool *generated;   // per native frame: machine code that the loop outside of it has made
    size_t python_frames, doubtful, idle_loops;
    bool keep_loops; // evaluation loops without frames are shown: Python's may be missing
};

static const struct unwind_frames *natives_of(const struct merger *m)
{
    return &m->in->native->frames;
}

static const struct snap_native *known_of(const struct merger *m, size_t at)
{
    return snap_native_get(m->in->natives, m->known[at]);
}

// ---- Python's side ------------------------------------------------------------------------------

static bool cut_up(struct merger *m, bool by_entry)
{
    for (size_t s = 0; s < m->in->stack_count; s++) {
        const struct py_stack *stack = m->in->stacks[s];
        struct merge_piece piece = {.stack = (uint32_t)s};
        m->python_frames += stack->frames.count;
        for (size_t e = 0; by_entry && e < stack->entries.count; e++) {
            const struct py_entry *entry = &stack->entries.items[e];
            if (entry->frames_end < piece.end || entry->frames_end > stack->frames.count)
                continue;
            piece.first = piece.end;
            piece.end = entry->frames_end;
            piece.addr = entry->addr;
            if (!vec_push(&m->pieces, piece))
                return false;
        }
        piece.first = piece.end;
        piece.end = (uint32_t)stack->frames.count;
        piece.addr = 0;
        if (piece.first < piece.end && !vec_push(&m->pieces, piece))
            return false;
    }
    return true;
}

static bool make_tokens(struct merger *m)
{
    m->tokens = calloc(m->in->stack_count + 1, sizeof(*m->tokens));
    for (size_t s = 0; m->tokens && s < m->in->stack_count; s++) {
        m->tokens[s] = calloc(m->in->stacks[s]->frames.count + 1, sizeof(**m->tokens));
        if (!m->tokens[s])
            return false;
        snap_python_tokens(m->in->stacks[s], m->tokens[s]);
    }
    return m->tokens != NULL;
}

static bool push_piece(struct merger *m, const struct merge_piece *piece)
{
    return snap_python_push(&m->thread->frames, m->in->stacks[piece->stack],
                            m->tokens[piece->stack], piece->first, piece->end);
}

static int piece_compare(const void *left, const void *right)
{
    const struct merge_piece *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    if (a->stack != b->stack)
        return a->stack < b->stack ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

// ---- Native side --------------------------------------------------------------------------------

// Is the frame left out, because the Python frames beside it stand for it?
static bool folded(const struct merger *m, size_t at)
{
    const struct snap_native *native = known_of(m, at);
    size_t count = natives_of(m)->count;
    if (m->in->raw || !m->python_frames)
        return false;
    if (m->owns[at])
        return native->role != NATIVE_WORK || !native->named;
    switch (native->role) {
    case NATIVE_LOOP:
        return !m->keep_loops;
    case NATIVE_MACHINERY:
        return true;
    case NATIVE_ANONYMOUS:
        // 3.12+, -X perf: a trampoline between the interpreter and a loop.
        return m->generated[at] ||
               (at > 0 && at + 1 < count && m->owns[at - 1] && known_of(m, at + 1)->of_interpreter);
    default:
        // Inside of a stripped interpreter, and without a name: nothing that anybody can use, but
        // where it is the innermost of all.
        return at > 0 && native->of_interpreter && !native->named;
    }
}

static bool push_native(struct merger *m, size_t at)
{
    const struct unwind_frame *from = &natives_of(m)->items[at];
    const struct snap_native *native = known_of(m, at);
    const struct snap_frame *frames = snap_native_frames(m->in->natives, native);
    uint8_t flags = (from->signal ? SNAP_FRAME_SIGNAL : 0) |
                    (from->how == UNWIND_FRAME_POINTER ? SNAP_FRAME_LIKELY : 0) |
                    (from->how == UNWIND_SCAN ? SNAP_FRAME_GUESSED : 0);
    for (size_t i = 0; i < native->count; i++) {
        struct snap_frame frame = frames[i];
        if (frame.activation && !m->in->raw && m->python_frames)
            continue;
        frame.flags |= flags;
        frame.activation = from->cfa ? from->cfa : from->sp; // see make_activations
        if (!vec_push(&m->thread->frames, frame))
            return false;
    }
    return true;
}

// From the outermost inwards. Two native frames are the same call when they lie in the same place,
// run the same function and were called from the same call.
static void make_activations(struct snap_thread *thread, size_t first)
{
    uint64_t token = hash_u64(HASH_SEED, (uint64_t)thread->tid);
    for (size_t i = thread->frames.count; i-- > first;) {
        struct snap_frame *frame = &thread->frames.items[i];
        if (frame->kind == SNAP_PYTHON) {
            token = frame->address;
            frame->address = 0;
        } else if (frame->kind == SNAP_NATIVE) {
            bool inlined = frame->flags & SNAP_FRAME_INLINED;
            token = hash_u64(token, frame->activation);
            token = hash_u64(token, inlined ? frame->function : frame->address - frame->offset);
            frame->activation = token ? token : 1;
        }
    }
}

// ---- Both ---------------------------------------------------------------------------------------

static void judge(struct merger *m)
{
    const struct merge *in = m->in;
    for (size_t s = 0; s < in->stack_count; s++)
        m->keep_loops |= in->stacks[s]->cut != NULL;
    vec_foreach (piece, &m->pieces) {
        if (piece->placed && piece->at >= 0 && (size_t)piece->at < natives_of(m)->count)
            m->owns[piece->at] = true;
        if (!piece->placed && !piece->beyond)
            m->doubtful += piece->end - piece->first;
    }
    for (size_t i = natives_of(m)->count; i-- > 0;) {
        enum native_role role = known_of(m, i)->role;
        // 3.13+: the interpreter's JIT. Up to 3.14 there is no call frame information for its code,
        // and more than one frame may be guessed.
        if (role == NATIVE_ANONYMOUS && m->in->version >= 0x030d && i + 1 < natives_of(m)->count)
            m->generated[i] = m->owns[i + 1] || m->generated[i + 1];
    }
    // The innermost one may have just been entered, or be about to be left.
    bool inside = true;
    for (size_t i = 0; i < natives_of(m)->count; i++) {
        bool loop = known_of(m, i)->role == NATIVE_LOOP;
        m->idle_loops += loop && !m->owns[i] && !inside;
        inside &= !loop && !m->owns[i];
    }
    m->keep_loops |= m->doubtful || m->idle_loops;
}

static void note(struct merger *m)
{
    const struct merge *in = m->in;
    const char *why = unwind_end_text(in->native->end);
    if (why)
        snap_note(in->strings, &m->thread->notes, "the native stack is known only so far: %s", why);
    size_t guessed = 0;
    vec_foreach (frame, &in->native->frames)
        guessed += frame->how == UNWIND_SCAN;
    if (guessed)
        snap_note(in->strings, &m->thread->notes,
                  "%zu native frame%s only guessed, behind code without unwind information: some "
                  "may be missing or wrong",
                  guessed, guessed == 1 ? " is" : "s are");
    // Of a greenlet that switched to another one: its frames are in its own object.
    if (m->python_frames && !m->doubtful && m->idle_loops)
        snap_note(in->strings, &m->thread->notes,
                  "%zu evaluation loop%s on the native stack without Python frames: those of a "
                  "greenlet that waits, or not readable",
                  m->idle_loops, m->idle_loops == 1 ? "" : "s");
    if (!m->doubtful)
        return;
    snap_note(in->strings, &m->thread->notes,
              "the place of %zu Python frame%s among the native ones is not certain: %s",
              m->doubtful, m->doubtful == 1 ? "" : "s",
              in->version >= 0x030b
                  ? "no native frame holds the evaluation loop that runs them"
                  : "there are not as many evaluation loops on the native stack as Python frames");
}

static bool emit(struct merger *m)
{
    const struct merge_piece *piece = m->pieces.items;
    const struct merge_piece *end = piece ? piece + m->pieces.count : NULL;
    for (; piece < end && piece->at < 0; piece++)
        if (!push_piece(m, piece))
            return false;
    for (size_t i = 0; i < natives_of(m)->count; i++) {
        for (; piece < end && piece->placed && piece->at == (ptrdiff_t)i; piece++)
            if (!push_piece(m, piece))
                return false;
        if (!folded(m, i) && !push_native(m, i))
            return false;
        for (; piece < end && piece->at == (ptrdiff_t)i; piece++)
            if (!push_piece(m, piece))
                return false;
    }
    for (; piece < end; piece++)
        if (!push_piece(m, piece))
            return false;
    return true;
}

// Of a running greenlet its own part of the stack counts, and thread states have its Python frames alone.
// Further out are others' frames as they were when one of them started it; they may have gone on since, and
// what they had there be overwritten. Who starts one is in that function, too, but runs nothing below it.
static void leave_others_out(struct merger *m)
{
    bool runs = false;
    for (size_t i = 0; i < natives_of(m)->count; i++) {
        runs |= known_of(m, i)->of_interpreter;
        if (!runs || known_of(m, i)->role != NATIVE_GREENLET)
            continue;
        m->natives = *m->in->native;
        m->natives.frames.count = i + 1;
        m->natives.end = UNWIND_END_BASE;
        m->own = *m->in;
        m->own.native = &m->natives;
        m->in = &m->own;
        return;
    }
}

static bool with_natives(struct merger *m)
{
    size_t count = natives_of(m)->count;
    AUTO_FREE uint32_t *known = calloc(count, sizeof(*known));
    AUTO_FREE bool *owns = calloc(count, sizeof(*owns));
    AUTO_FREE bool *generated = calloc(count, sizeof(*generated));
    if (!known || !owns || !generated)
        return false;
    snap_natives_trim(m->in->natives);
    for (size_t i = 0; i < count; i++) {
        const struct unwind_frame *frame = &natives_of(m)->items[i];
        known[i] = snap_native_at(m->in->natives, m->in->target, frame->pc, frame->exact_pc);
    }
    m->known = known;
    m->owns = owns;
    m->generated = generated;
    leave_others_out(m);
    if (!merge_pair(m->in, known, &m->pieces))
        return false;
    judge(m);
    bool sorted = true;
    for (size_t i = 1; i < m->pieces.count; i++)
        sorted &= piece_compare(&m->pieces.items[i - 1], &m->pieces.items[i]) <= 0;
    if (!sorted) // several interpreters
        qsort(m->pieces.items, m->pieces.count, sizeof(*m->pieces.items), piece_compare);
    note(m);
    return emit(m);
}

static bool python_alone(struct merger *m)
{
    vec_foreach (piece, &m->pieces)
        if (!push_piece(m, piece))
            return false;
    return true;
}

bool snap_merge(const struct merge *merge, struct snap_thread *thread)
{
    struct merger m = {.in = merge, .thread = thread};
    size_t first = thread->frames.count;
    bool native = merge->native && merge->native->frames.count;
    bool ok =
        make_tokens(&m) && cut_up(&m, native) && (native ? with_natives(&m) : python_alone(&m));
    make_activations(thread, first);
    for (size_t s = 0; m.tokens && s < merge->stack_count; s++)
        free(m.tokens[s]);
    free(m.tokens);
    vec_deinit(&m.pieces);
    return ok;
}
