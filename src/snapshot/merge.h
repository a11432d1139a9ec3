// SPDX-License-Identifier: GPL-3.0-or-later
// One thread's native frames and Python frames in one order.
#ifndef SNAPSHOT_MERGE_H
#define SNAPSHOT_MERGE_H

#include "snapshot/native.h"

struct merge {
    struct strtab *strings;
    const struct target *target;
    struct snap_natives *natives;
    uint16_t version;   // of Python, 0x030b; 0: not known
    struct mem *memory; // the thread's stack as it was then; NULL: no evidence from there
    bool raw;           // nothing is left out
    const struct unwind_stack *native;    // NULL: Python's frames alone
    const struct py_stack *const *stacks; // the thread's, the innermost first
    size_t stack_count;
};

// Appends to thread->frames, innermost first, and to thread->notes. False: out of memory.
bool snap_merge(const struct merge *merge, struct snap_thread *thread);

// Private to merge.c and pair.c.

// What one evaluation loop runs: frames [first, end) of a thread state.
struct merge_piece {
    uint32_t stack, first, end;
    uint64_t addr; // on the C stack, in the loop's activation; 0: not known
    ptrdiff_t at;  // the native frame whose place it takes, or after which it comes; -1: before
                   // all of them
    bool placed;   // `at` is certain
    bool beyond;   // it lies further out than the native frames go: certain, too
};
VEC_DEFINE(merge_pieces, struct merge_piece);

// Gives each piece its native frame. `known[i]`: what native frame i is (snap_native_at).
bool merge_pair(const struct merge *merge, const uint32_t *known, struct merge_pieces *pieces);

#endif
