// SPDX-License-Identifier: GPL-3.0-or-later
// The Python stack of one thread state. A walk can stop at memory that a copy does not hold yet,
// and be continued when it does: that is how a snapshot finds out, in few batches, what to copy.
#ifndef CPYTHON_STACK_H
#define CPYTHON_STACK_H

#include "cpython/code.h"
#include "cpython/process.h"

enum py_frame_flag {
    PY_FRAME_ENTRY = 1,      // called from C: its caller is inside a C function
    PY_FRAME_GENERATOR = 2,  // of a generator or coroutine: it may leave the stack and come back
    PY_FRAME_INCOMPLETE = 4, // being set up: no instruction of its own has run
    PY_FRAME_LINE_LOST = 8,  // its instruction pointer lies outside of its code
    PY_FRAME_CALL_INFERRED = 16, // the builtin was concluded, not read
};

struct py_frame {
    uint64_t addr;
    uint64_t code_addr;    // 0: cleared
    uint64_t instr;        // 3.11+: address of the instruction; earlier: f_lasti
    uint64_t slots_addr;   // locals and value stack
    uint64_t stackpointer; // 3.14+: as saved; 0: none
    uint32_t slot_count;   // earlier than 3.11: of the frame; else from the code object
    uint32_t stack_offset; // first slot of the value stack
    uint32_t tlbc_index;   // free-threaded 3.14+
    uint8_t flags;         // enum py_frame_flag

    // Filled by the second step, which needs the code object.
    bool complete;
    struct py_code *code;              // NULL: not readable. Lives until py_codes_trim()
    uint32_t call_name, call_qualname; // the C callable it is inside of; 0: none
    int32_t offset_bytes;              // of the instruction; negative: not started

    // Filled by py_stack_finish().
    uint32_t name, qualname, file; // strings; 0: not readable
    int32_t first_line;            // co_firstlineno
    struct py_line line;
    uint64_t fingerprint; // of the code object
    uint64_t content;     // hash of the slots: does not change while a callee runs
};

VEC_DEFINE(py_frames, struct py_frame);

// One evaluation loop that C code started. 3.11+: `addr` lies on the C stack inside of its
// activation (3.11: its _PyCFrame, 3.12+: its shim frame), which tells exactly which native frame
// ran these Python frames; 0: not known. Up to 3.10 each frame has an evaluation loop of its own,
// and addr is 0.
struct py_entry {
    uint64_t addr;
    uint32_t frames_end; // its frames are [previous entry's frames_end, frames_end); may be empty:
                         // an entry that has no frame yet
};
VEC_DEFINE(py_entries, struct py_entry);

// A _PyCFrame of 3.11: a local of the evaluation loop, and the innermost frame that this loop runs.
struct py_cframe {
    uint64_t addr, frame;
};
VEC_DEFINE(py_cframes, struct py_cframe);

struct py_stack {
    struct py_thread thread;
    struct py_frames frames;   // innermost first
    struct py_entries entries; // innermost first; what lies behind the last one's frames_end has no
                               // known entry
    bool blocked;            // the thread sleeps in a system call: its innermost call is under way
    bool chain_done;         // the walk came to an end, good or bad
    struct err *cut;         // why it ended early; NULL: complete
    uint64_t outermost_shim; // address on the C stack that belongs to this thread state, or 0
    // Private to the walk.
    uint64_t next;
    uint64_t mark;                           // a place in the chain that was passed
    size_t mark_frames, mark_entries, steps; // what was known there; steps of the walk
    bool stepped_back, walked;
    bool shims_hidden;     // 3.12+, of a suspended greenlet: the chain leads past them
    uint64_t first_caller; // the frame that the first entry was called from
    uint64_t chunk_next;
    size_t completed;
    struct py_cframes cframes; // 3.11: innermost first
    uint64_t cframe_next;      // 0: all are known that can be
    size_t cframe_mark;        // one that was passed
};

void py_stack_init(struct py_stack *stack, const struct py_thread *thread, bool blocked);
void py_stack_deinit(struct py_stack *stack);

// Goes on with the walk. True: finished. False: the copy behind the decoder misses bytes; call
// again when they are there.
bool py_stack_step(struct py_process *process, struct py_stack *stack);
// What needs no more bytes than the walk has asked for: names, lines, hashes. For a live process
// this comes after the stop.
void py_stack_finish(struct py_process *process, struct py_stack *stack);
// What the frame's instruction calls, and how deep its value stack is. False: not known.
bool py_frame_site(struct py_decoder *dec, const struct py_frame *frame, struct py_code *code,
                   struct py_callsite *ret);
// Once all stacks are known: a thread inside of gc.collect() is the one that collects.
void py_stacks_settle(struct strtab *strings, struct py_stack *stacks, size_t count);

#endif
