// SPDX-License-Identifier: GPL-3.0-or-later
// One frame of a stack, as a plain value: see snapshot.h.
#ifndef SNAPSHOT_FRAME_H
#define SNAPSHOT_FRAME_H

#include <stdint.h>

#include "util/vec.h"

enum snap_frame_kind { SNAP_PYTHON, SNAP_BUILTIN, SNAP_NATIVE };

enum snap_frame_flag {
    SNAP_FRAME_INFERRED = 1,   // builtin: concluded from the bytecode, not read from the frame
    SNAP_FRAME_INCOMPLETE = 2, // being set up; CPython itself would not show it
    SNAP_FRAME_UNREADABLE = 4, // something is there, its code object could not be read
    SNAP_FRAME_INLINED = 8,    // native
    SNAP_FRAME_GENERATOR = 16, // of a generator or coroutine
    SNAP_FRAME_SIGNAL = 32,    // native: the kernel's signal frame; what follows was interrupted
    SNAP_FRAME_LIKELY = 64,    // native: found by frame pointers; frames may be missing before it
    SNAP_FRAME_GUESSED = 128,  // native: found by a scan of the stack
};

// 0 is an address: a call through a null pointer ends there.
#define SNAP_NO_ADDRESS UINT64_MAX

struct snap_frame {
    enum snap_frame_kind kind;
    uint8_t flags;       // enum snap_frame_flag
    uint32_t function;   // co_name; a builtin's __name__; a native symbol
    uint32_t qualname;   // co_qualname (3.11+); a builtin's "{built-in method time.sleep}"
    uint32_t file;       // co_filename as the code object has it
    uint32_t module;     // native: file name of the shared object
    int32_t line;        // -1: none, or not known
    int32_t column;      // 0-based, UTF-8 bytes; -1: not known
    int32_t first_line;  // co_firstlineno; -1: not known
    uint64_t address;    // native: the program counter; SNAP_NO_ADDRESS: not always the same
    uint64_t offset;     // native: from the start of `function`; without one, from the start of the
                         // module
    uint64_t activation; // equal in two neighbouring snapshots of a thread: nothing speaks
                         // against its being the same call. Different: certainly another one
};
VEC_DEFINE(snap_frames, struct snap_frame);

#endif
