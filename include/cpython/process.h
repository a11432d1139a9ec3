// SPDX-License-Identifier: GPL-3.0-or-later
// One CPython in a target: where its runtime lies, which version and build it is, its interpreters
// and thread states.
#ifndef CPYTHON_PROCESS_H
#define CPYTHON_PROCESS_H

#include "cpython/decoder.h"
#include "image/image.h"

struct py_process {
    struct target *target; // borrowed
    struct image *image;   // borrowed
    struct py_decoder dec;
    uint32_t hexversion;        // sys.hexversion
    bool build_known;           // release or debug: sys.__dict__ could be read
    char version[24];           // "3.11.7", "3.15.0rc1"
    uint64_t runtime;           // &_PyRuntime; 0 in 3.6
    uint64_t head_addr;         // the word that points to the newest interpreter
    uint64_t current_addr;      // 3.6: &_PyThreadState_Current; 0: not known
    uint64_t gil_cond, gil_end; // 3.6: where its GIL's statics lie; 0: not known
    uint64_t generation0_addr;  // 3.6: &_PyGC_generation0; 0: not known
    size_t frames_walked;       // in this snapshot; py_state_read starts anew
    size_t tracebacks_walked;   // likewise: entries of tracebacks
    size_t awaits_walked;       // likewise: what awaits something
    struct {                    // threading._active of interpreters met lately
        uint64_t interp, dict;
    } active[4];
    struct py_asyncio *asyncio; // likewise (cpython/task.h); NULL: none so far
    const char *found_by; // how the runtime was found, for -v
};

// ERR_NOT_FOUND: this is no CPython (the message says what it is: PyPy, a plain program, one whose
// interpreter has not started). ERR_UNSUPPORTED: a CPython nobody has a layout for, by name.
struct err *py_process_open(struct target *target, struct image *image, struct strtab *strings,
                            struct py_process **ret);
void py_process_close(struct py_process *process);
// Cheap, for those who wait for it: false when the runtime that symbols lead to is none that can be
// read so far.
bool py_process_may_have_begun(struct target *target, struct image *image, struct strtab *strings);

// "release", "debug" or "free-threaded" (with " debug" appended where both).
const char *py_build_name(uint8_t build);

struct py_thread {
    uint64_t tstate;
    uint64_t interp;
    int64_t interp_id;
    uint64_t ident;      // pthread_self(); 0: not bound yet
    uint64_t native_id;  // 3.11+; 0: not known
    uint64_t root;       // frame, cframe or current_frame, by version; 0: no Python frame
    uint64_t base_frame; // 3.15+: where a complete chain ends
    uint64_t datastack_chunk, datastack_top; // 3.11+
    bool holds_gil;
    bool wants_gil;      // 3.15+: gil_requested
    bool collecting;     // a collection of its interpreter is under way, in some thread
    bool in_gc;          // in this one: see py_state_settle
    bool ident_doubtful; // `ident` may be that of another thread
    bool gil_known;      // holds_gil could be decided
    uint64_t gil;        // py_gil.start of the GIL it takes; 0: none
};

VEC_DEFINE(py_threads, struct py_thread);

struct py_gil {
    uint64_t start, end; // futexes of waiters lie in here
    bool known, locked;
    uint64_t holder; // thread state; 0: free
};
VEC_DEFINE(py_gils, struct py_gil);

struct py_state {
    struct py_threads threads; // newest interpreter first, newest thread first
    struct py_gils gils;       // one per GIL
    size_t interpreters;
    struct err *cut; // why the walk ended early; NULL: complete
};

// Reads interpreters, thread states and GILs. Can be called again and again with the same state
// (it is filled anew). A fault in the middle keeps what was reached and is left in `cut`.
void py_state_read(struct py_process *process, struct py_state *state);
void py_state_deinit(struct py_state *state);
// Reads one thread state again, and whether its interpreter collects: for a thread that may have
// run since. ERR_BAD_DATA: it is not that thread's any more.
struct err *py_thread_refresh(struct py_process *process, struct py_thread *thread);
// Reads a thread state that the list in `state` does not hold (it was torn, or is damaged).
struct err *py_thread_read(struct py_process *process, const struct py_state *state,
                           uint64_t interp, int64_t interp_id, uint64_t tstate,
                           struct py_thread *ret);
// Who holds the GILs now.
struct err *py_gils_refresh(struct py_process *process, struct py_state *state);

// A thread of the kernel that stood still: pthread_self() and stack pointer.
struct py_native_thread {
    uint64_t ident, sp;
};
// Finds out from their C stacks which thread runs a collection, and, up to 3.10, which one runs a
// subinterpreter. Costs nothing where neither is the case. May miss bytes of a copy: then call
// again.
void py_state_settle(struct py_process *process, struct py_state *state,
                     const struct py_native_thread *natives, size_t count);

// A thread of the kernel, as far as something is known of it.
struct py_kernel_thread {
    uint64_t ns_tid; // as the target's own PID namespace numbers it; 0: it ended, and owns nothing
    uint64_t tls;    // pthread_self(); 0: not known
    uint64_t sp;     // 0: not known
};
// Which of them runs `thread`: its index, or SIZE_MAX. Asked in this order: pthread_self(), the
// kernel's number of it (3.11+), the number that the C library keeps at pthread_self(), the stack
// that `on_stack` lies on (py_stack.outermost_shim; 0: not known). `mem` is where the C library's
// struct is read from; NULL: it is not asked. Costs at most three reads, mostly none.
size_t py_owner_of(const struct target *target, struct mem *mem, const struct py_thread *thread,
                   uint64_t on_stack, const struct py_kernel_thread *threads, size_t count);

// threading's names of all threads of one interpreter, by ident: sys.modules["threading"]._active.
struct py_thread_name {
    uint64_t ident;
    uint32_t name; // in the decoder's strings
};
VEC_DEFINE(py_thread_names, struct py_thread_name);

// Appends to ret. A program that never imported threading has no names, which is no error.
struct err *py_thread_names(struct py_process *process, uint64_t interp,
                            struct py_thread_names *ret);

#endif
