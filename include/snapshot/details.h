// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of a thread beyond its stack: what it waits for and who has that, what it holds, the
// exceptions it handles, the values of its variables; of a crash and of the process's surroundings.
// Plain values: names are ids in the run's string table, 0 is a fact that could not be had.
#ifndef SNAPSHOT_DETAILS_H
#define SNAPSHOT_DETAILS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/vec.h"

VEC_DEFINE(snap_ids, uint32_t); // in the run's string table

// ---- Waiting -------------------------------------------------------------------------------------

enum snap_wait_kind {
    SNAP_WAIT_NONE, // it waits for nothing, or that is not known
    // Python's: of what class the object is that the program calls.
    SNAP_WAIT_LOCK, // _thread.lock by itself
    SNAP_WAIT_RLOCK,
    SNAP_WAIT_CONDITION,
    SNAP_WAIT_EVENT,
    SNAP_WAIT_SEMAPHORE,
    SNAP_WAIT_BARRIER,
    SNAP_WAIT_QUEUE_GET,
    SNAP_WAIT_QUEUE_PUT,
    SNAP_WAIT_QUEUE_JOIN,
    SNAP_WAIT_JOIN,    // Thread.join()
    SNAP_WAIT_FUTURE,  // concurrent.futures: result(), wait()
    SNAP_WAIT_IMPORT,  // another thread imports the module
    SNAP_WAIT_LOGGING, // a handler's lock
    SNAP_WAIT_GIL,
    // Native.
    SNAP_WAIT_PYMUTEX, // 3.13+, of the interpreter or of an extension
    SNAP_WAIT_MUTEX,   // pthread_mutex_lock
    SNAP_WAIT_COND,    // pthread_cond_wait
    SNAP_WAIT_FUTEX,   // some other futex
    // The kernel's.
    SNAP_WAIT_READ,
    SNAP_WAIT_WRITE,
    SNAP_WAIT_ACCEPT,
    SNAP_WAIT_CONNECT,
    SNAP_WAIT_POLL, // several descriptors, or none
    SNAP_WAIT_SLEEP,
    SNAP_WAIT_CHILD,
    SNAP_WAIT_SIGNAL,
    SNAP_WAIT_FILE_LOCK,
    SNAP_WAIT_SYSCALL, // some other system call
    SNAP_WAIT_COUNT
};
// "lock", "rlock", "queue-get" ...; "none"
const char *snap_wait_name(enum snap_wait_kind kind);
// A lock, a queue, a future: what another thread of the process has to end.
bool snap_wait_is_internal(enum snap_wait_kind kind);

enum snap_certainty {
    SNAP_NOT_KNOWN,
    SNAP_INFERRED, // concluded from the holder's frame
    SNAP_OBSERVED, // read from the object
};
const char *snap_certainty_name(enum snap_certainty certainty); // "unknown", "inferred", "observed"

struct snap_wait {
    enum snap_wait_kind kind;
    uint32_t what;      // how the program calls it, or what it is: "pool_lock", "self._queue",
                        // "10.0.3.9:5432", "/var/lib/app.db", "worker-3", "nanosleep"
    uint32_t type;      // type of the Python object: "_thread.RLock", "Queue"; 0: none
    uint64_t object;    // its address; 0: not known
    uint64_t lock;      // address of the innermost lock (a Condition's, an Event's); 0: none
    uint64_t address;   // of the futex word or the mutex; 0: none
    int32_t fd;         // -1: none, or several
    VEC(int32_t) fds;   // SNAP_WAIT_POLL, some of them
    size_t fd_count;    // how many there are
    int64_t timeout_ns; // as it was asked for; -1: for ever, or not known
    int64_t left_ns;    // -1: not known
    bool limited;       // there is a time limit, known or not. Not in documents
    uint64_t since_ns;  // it waits at least so long (by the snapshots); 0: not known
    // Who has it: locks, the GIL, a joined thread, a child process (its pid).
    enum snap_certainty owner_known;
    pid_t owner; // thread; 0: nobody, or not known
    uint32_t owner_frame; // of the owner's frames the one that took it; UINT32_MAX: not known
    uint32_t waiting; // frame of the waiting thread that waits for it; UINT32_MAX: not known
    bool owner_gone;  // the owner named in it is no thread of this process (fork, it ended)
    uint64_t holder; // of a plain lock: id() of the suspended task or greenlet that has it, by inference;
                     // 0: none is known. Not in documents
    // Of a queue, a lock or a semaphore, by the code: the frame that waits also gives back to it; the
    // innermost frame from it outwards that waits in a loop (UINT32_MAX: none). Not in documents.
    bool gives_back;
    uint32_t loop;
    // SNAP_WAIT_FUTURE, where some thread of an executor waits so: in this queue the job stands whose result
    // is waited for, and no thread has begun it; 0: not known. Not in documents.
    uint64_t queue;
    bool taken_here; // its own thread called acquire() of it before, by the code. Not in documents
    struct {
        uint64_t self, method, attrs[4];
    } lender; // struct py_lender (cpython/lock.h): the method that it waits in. Not in documents, either
};

struct snap_held { // a lock that a thread has
    uint32_t what, type;
    uint64_t object;
    uint32_t frame; // index of the frame that took it; UINT32_MAX: not known
    enum snap_certainty known;
    bool by_call; // by acquire(); else by a `with` statement, or it names its owner itself
};
VEC_DEFINE(snap_helds, struct snap_held);

// What a thread got out of a pool and is to give back, by its code. Not in documents.
struct snap_lent {
    uint64_t pool; // a queue, a condition: what others wait for
};
VEC_DEFINE(snap_lents, struct snap_lent);

// ---- Exceptions ----------------------------------------------------------------------------------

enum snap_exception_role {
    SNAP_EXC_RAISED,  // in flight: not caught so far
    SNAP_EXC_HANDLED, // in an `except` or `finally`
    SNAP_EXC_CAUSE,   // `raise ... from` it
    SNAP_EXC_CONTEXT, // the other one was raised while it was handled
    SNAP_EXC_MEMBER,  // of an exception group; the first ones of it
};
const char *snap_exception_role_name(enum snap_exception_role role);

struct snap_traceback_line {
    uint32_t function, file;
    int32_t line;
};

struct snap_exception {
    enum snap_exception_role role;
    uint32_t of;      // CAUSE, CONTEXT, MEMBER: index of the exception that has it; else UINT32_MAX
    uint32_t type;    // as tracebacks call it: "ValueError", "json.decoder.JSONDecodeError"
    uint32_t message; // its str(); 0: only the program's own code would tell
    uint32_t arguments;                        // then repr() of its `args`; 0: not that, either
    struct snap_ids notes;                     // add_note()
    size_t members;                            // of a group
    bool hidden;                               // in its texts something looked like a secret
    VEC(struct snap_traceback_line) traceback; // outermost first, as Python prints it
    size_t lines_left_out;                     // of the middle of a long one, behind its first 100
    bool cut;                                  // the inner end of the traceback could not be read
};
VEC_DEFINE(snap_exceptions, struct snap_exception);

// ---- Variables -----------------------------------------------------------------------------------

enum snap_local_kind { SNAP_ARGUMENT, SNAP_LOCAL, SNAP_CELL, SNAP_FREE };
const char *snap_local_kind_name(enum snap_local_kind kind); // "argument", "local", "cell", "free"

struct snap_local {
    uint32_t frame; // index in the thread's frames
    uint32_t name;
    enum snap_local_kind kind;
    uint32_t value; // like repr() says it, bounded; 0: could not be read
    bool hidden;    // it looks like a secret: `value` says only that
};
VEC_DEFINE(snap_locals, struct snap_local); // in the order of the frames
// The first one of the frame, or of a later one.
size_t snap_locals_begin(const struct snap_locals *locals, size_t frame);

struct snap_details { // of one thread
    struct snap_wait wait;
    struct snap_helds held;
    struct snap_lents lent;
    struct snap_exceptions exceptions;
    struct snap_locals locals;
    uint64_t hidden; // values that were not shown
    // Of a thread of an executor, where wait.queue was looked for: where it takes its jobs from; 0: not
    // known. Not in documents.
    uint64_t work_queue;
};
void snap_details_deinit(struct snap_details *details);

// ---- A crash -------------------------------------------------------------------------------------

enum snap_fault {
    SNAP_FAULT_NONE,
    SNAP_FAULT_NULL,  // NULL, or a field of what should be there
    SNAP_FAULT_STACK, // the guard below a stack: it overflowed
    SNAP_FAULT_UNMAPPED,
    SNAP_FAULT_NON_CANONICAL, // no address at all
    SNAP_FAULT_POISON,        // a pattern that allocators leave in freed or fresh memory
    SNAP_FAULT_PROTECTION,    // mapped, but not for this
    SNAP_FAULT_BEYOND_FILE,   // mapped beyond the end of its file
    SNAP_FAULT_CODE,          // control went to where no code is
    SNAP_FAULT_ABORT,         // the program ended itself
    SNAP_FAULT_SENT,          // somebody sent the signal
    SNAP_FAULT_OTHER,
};
const char *snap_fault_name(enum snap_fault fault);

struct snap_register {         // that says something
    uint32_t name, value_text; // "rdi"; "dict with 3 items", "NULL", "heap"
    uint64_t value;
};
VEC_DEFINE(snap_registers, struct snap_register);

struct snap_crash {
    bool has;
    enum snap_fault fault;
    uint32_t cause;       // one sentence: "read of 0x8, a field of a NULL pointer"
    uint32_t instruction; // its bytes in hexadecimal, and disassembled where that is at hand
    uint32_t mapping;     // what lies at the address: a file, "[stack]", "heap"; 0: nothing
    uint64_t mapping_offset;
    uint32_t module, module_version, build_id; // of the extension module the crash is in; 0: none
    uint32_t module_path;                      // ... where it lies; not in documents
    uint32_t message;                          // "Fatal Python error: ...", glibc's, an assertion's
    uint32_t recursion;                        // the function that overflowed the stack
    struct snap_registers registers;
};

// ---- Surroundings --------------------------------------------------------------------------------

struct snap_package {
    uint32_t name, version; // version 0: not known
    uint32_t place;         // what its files' paths begin with; not in documents
};
VEC_DEFINE(snap_packages, struct snap_package);

struct snap_environment {
    struct snap_packages packages;                          // of the modules on the stacks
    struct snap_ids variables;                              // names of environment variables only
    int64_t fd_count, fd_limit;                             // -1: not known
    int64_t processors;                                     // that it may use; -1: not known
    double cgroup_processors;                               // quota; 0: none, or not known
    int64_t cgroup_memory_bytes, cgroup_memory_limit_bytes; // -1: not known, or no limit
    uint64_t throttled_ns, throttled_periods, periods;      // during the run
    bool has_throttling;
};

#endif
