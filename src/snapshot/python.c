// SPDX-License-Identifier: GPL-3.0-or-later
// Python frames as the snapshot has them: see python.h.
#include "snapshot/python.h"

#include "util/hash.h"

bool snap_python_hidden(const struct py_stack *stack, size_t index)
{
    uint8_t flags = stack->frames.items[index].flags;
    return index > 0 && (flags & PY_FRAME_INCOMPLETE) && !(flags & PY_FRAME_GENERATOR);
}

// Where a frame lies, what it runs, and in which state its caller stood when it made the call. A
// generator keeps its own through all resumptions.
void snap_python_tokens(const struct py_stack *stack, uint64_t *ret)
{
    uint64_t token = hash_u64(HASH_SEED, stack->thread.tstate);
    for (size_t i = stack->frames.count; i-- > 0;) {
        const struct py_frame *from = &stack->frames.items[i];
        if (from->flags & PY_FRAME_GENERATOR)
            token = HASH_SEED;
        token = hash_u64(hash_u64(token, from->addr), from->fingerprint);
        ret[i] = token ? token : 1;
        if (!snap_python_hidden(stack, i))
            token = hash_u64(token, from->content);
    }
}

static bool push_builtin(struct snap_frames *frames, const struct py_frame *from)
{
    struct snap_frame builtin = {
        .kind = SNAP_BUILTIN,
        .flags = from->flags & PY_FRAME_CALL_INFERRED ? SNAP_FRAME_INFERRED : 0,
        .function = from->call_name,
        .qualname = from->call_qualname,
        .line = -1,
        .column = -1,
        .first_line = -1,
    };
    return vec_push(frames, builtin);
}

bool snap_python_push(struct snap_frames *frames, const struct py_stack *stack,
                      const uint64_t *tokens, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct py_frame *from = &stack->frames.items[i];
        if (snap_python_hidden(stack, i))
            continue;
        if (from->call_name && !push_builtin(frames, from))
            return false;
        struct snap_frame frame = {
            .kind = SNAP_PYTHON,
            .flags = (from->flags & PY_FRAME_GENERATOR ? SNAP_FRAME_GENERATOR : 0) |
                     (from->flags & PY_FRAME_INCOMPLETE ? SNAP_FRAME_INCOMPLETE : 0) |
                     (from->name || from->file ? 0 : SNAP_FRAME_UNREADABLE),
            .function = from->name,
            .qualname = from->qualname,
            .file = from->file,
            .line = from->line.line,
            .column = from->line.column,
            .first_line = from->name ? from->first_line : -1,
            .activation = tokens[i],
            .address = hash_u64(tokens[i], i ? from->content : (uint64_t)from->offset_bytes),
        };
        if (!vec_push(frames, frame))
            return false;
    }
    return true;
}
