// SPDX-License-Identifier: GPL-3.0-or-later
// Native stacks: from registers and stack bytes to activations, innermost first.
//
// The call frame information of each module (.eh_frame, .debug_frame) is evaluated once per range
// of program counters into a row, and rows are kept: a frame whose row is known costs some ten
// nanoseconds. Where a module has none, other ways are tried, and each frame says how it was found.
// DWARF 5, section 6.4; System V psABI AMD64, section 3.6.
#ifndef UNWIND_UNWIND_H
#define UNWIND_UNWIND_H

#include "image/image.h"
#include "target/arch.h"
#include "util/vec.h"

enum unwind_how {
    UNWIND_START,         // the innermost: it is where the registers say
    UNWIND_CFI,           // by call frame information: exact
    UNWIND_STUB,          // out of code that has none and is known by its bytes: exact
    UNWIND_FRAME_POINTER, // by the chain of frame pointers: likely, frames may be missing
    UNWIND_SCAN,          // the next word on the stack that follows a call instruction: a guess; and
                          // all frames behind one
};

struct unwind_frame {
    uint64_t pc;   // where it executes; of a caller, the return address
    uint64_t sp;   // its stack pointer
    uint64_t cfa;  // its canonical frame address: [sp, cfa) is the activation's own piece of the
                   // stack. 0: not known (the outermost frame, and where unwinding failed)
    uint8_t how;   // enum unwind_how: how it was found from the frame it called
    bool exact_pc; // pc is not a return address: the innermost frame, one that a signal
                   // interrupted, the signal frame itself. Look up pc; for all others pc - 1
    bool signal;   // the kernel's signal frame (__restore_rt)
};
VEC_DEFINE(unwind_frames, struct unwind_frame);

enum unwind_end {
    UNWIND_END_BASE,     // the outermost frame: _start, clone, or the end of a proven chain
    UNWIND_END_LIMIT,    // LIMIT_NATIVE_FRAMES
    UNWIND_END_MEMORY,   // the stack's bytes at end_addr are not there
    UNWIND_END_NO_INFO,  // nothing tells how to leave the code at end_addr (a pc)
    UNWIND_END_CORRUPT,  // the next frame cannot be: same place twice, stack not going up, no code
    UNWIND_END_REGISTER, // needs a register that is not known (see unwind_start.complete)
};

struct unwind_start {
    struct arch_regs regs;
    bool complete; // all of regs.raw is valid. False: ip and sp only (/proc/PID/task/TID/syscall)
};

struct unwind_stack {
    struct unwind_frames frames; // innermost first
    enum unwind_end end;
    uint64_t end_addr;
    bool recovered; // the frame pointer was not known, and was recovered on the way
    struct unwind_start start; // what it was unwound from
};

struct unwinder;

// Both are borrowed. No module is opened before a frame lies in it.
struct err *unwinder_create(struct target *target, struct image *image, struct unwinder **ret);
void unwinder_destroy(struct unwinder *unwinder);
// To be called after image_refresh and image_jit_refresh: forgets what was known of modules and of
// generated code that are gone. Cheap when there are none.
void unwinder_refresh(struct unwinder *unwinder);

// Fills *ret anew (its allocation is kept). `stack` is where the stack's bytes are read from: the
// target's memory, or the copy a snapshot made of it. Code is read from files or from the target.
// Never fails: how far it came and why it ended is in *ret.
//
// With incomplete registers: a row that needs the frame pointer uses what earlier walks with all
// registers have taught of that pc (frame pointer minus stack pointer), or the one candidate on the
// stack from which the chain comes to its end; when there is none, or there are several that do not
// lie on one chain, the walk ends with UNWIND_END_REGISTER: that thread wants to be stopped.
void unwind(struct unwinder *unwinder, struct mem *stack, const struct unwind_start *start,
            struct unwind_stack *ret);
void unwind_stack_deinit(struct unwind_stack *stack);

// The native stack of what a thread has switched away from (a greenlet), of which ip, sp and fp are
// known: by exact rules alone, each caller behind a call instruction, up to the activation that `stop`
// lies in, which comes last, or, if that is UINT64_MAX, to the base. False: the stack does not lead
// there, and *ret is of no use.
bool unwind_suspended(struct unwinder *unwinder, struct mem *stack, const struct arch_regs *regs,
                      uint64_t stop, struct unwind_stack *ret);

// The range of the function that `pc` lies in, by its FDE; false: not known.
bool unwind_function(struct unwinder *unwinder, uint64_t pc, uint64_t *ret_start,
                     uint64_t *ret_end);

struct unwind_stats {
    uint64_t frames, row_hits, rows_built, reference_walks;
};
struct unwind_stats unwinder_stats(const struct unwinder *unwinder);

// "call frame information", "frame pointer" ...; for notes and JSON ("cfi", "stub",
// "frame-pointer", "scan").
const char *unwind_how_name(enum unwind_how how);
// One line for a note: why a walk ended. NULL for UNWIND_END_BASE.
const char *unwind_end_text(enum unwind_end end);

#endif
