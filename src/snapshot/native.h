// SPDX-License-Identifier: GPL-3.0-or-later
// What a native program counter is: its frames (inlined calls and the function itself) and what
// part it plays. Found once for each, and kept.
#ifndef SNAPSHOT_NATIVE_H
#define SNAPSHOT_NATIVE_H

#include "snapshot/build.h"

enum native_role {
    NATIVE_WORK,      // anything that a reader wants to see
    NATIVE_LOOP,      // the evaluation loop
    NATIVE_MACHINERY, // the interpreter's way from one call to the next: see machinery.def
    NATIVE_ANONYMOUS, // code in no file: a trampoline, code made at run time
    NATIVE_GREENLET,  // greenlet's function that starts one: its part of the stack begins there
};

struct snap_native {
    uint64_t key;        // private
    uint32_t first;      // of its frames, in snap_natives_frames()
    uint32_t count;      // at least 1; innermost first
    uint8_t role;        // enum native_role
    bool of_interpreter; // in the module that the interpreter is in
    bool named;          // its function is known
};

// An index for snap_native_get. Both are valid until the next snap_natives_trim.
uint32_t snap_native_at(struct snap_natives *natives, const struct target *target, uint64_t pc,
                        bool exact_pc);
const struct snap_native *snap_native_get(const struct snap_natives *natives, uint32_t index);
// `activation` says whether it is an inlined piece of the interpreter's machinery.
const struct snap_frame *snap_native_frames(const struct snap_natives *natives,
                                            const struct snap_native *native);
// Before a stack: forgets all when there is too much of it.
void snap_natives_trim(struct snap_natives *natives);

// What is known of a pc: `native`'s count, role and facts, and its frames.
uint32_t snap_native_put(struct snap_natives *natives, uint64_t pc, bool exact_pc,
                         const struct snap_native *native, const struct snap_frame *frames,
                         bool keep);

// What a function of the interpreter's module is by its name.
enum native_role snap_native_role(const char *raw_name);
// What one of another module is, by the names of both.
enum native_role snap_native_role_elsewhere(const char *module, const char *raw_name);

#endif
