// SPDX-License-Identifier: GPL-3.0-or-later
// One thread state's frames as the snapshot's.
#ifndef SNAPSHOT_PYTHON_H
#define SNAPSHOT_PYTHON_H

#include "cpython/stack.h"
#include "snapshot/snapshot.h"

// 3.12+ puts a frame of its own between a class's call and its __init__ (_Py_InitCleanup): it never
// starts, and neither f_back nor a traceback shows it.
bool snap_python_hidden(const struct py_stack *stack, size_t index);

// The token of each frame's call, from the outermost inwards; ret has room for all of them.
void snap_python_tokens(const struct py_stack *stack, uint64_t *ret);

// Appends frames [first, end), each with the builtin it is inside of before it. In `address` stands
// what tells apart the calls that the frame makes; whoever calls this sets it back to 0.
bool snap_python_push(struct snap_frames *frames, const struct py_stack *stack,
                      const uint64_t *tokens, size_t first, size_t end);

#endif
