// SPDX-License-Identifier: GPL-3.0-or-later
// A snapshot: what was seen of one process (or core) at one moment, as a plain value. It holds no
// pointer into the target and none into the layers that made it; exporters and diagnosis rules are
// tested from snapshots written by hand.
//
// Names are ids in the run's string table (util/strtab.h), which outlives all its snapshots.
// Id 0 is a fact that could not be had (or that the Python version lacks): JSON null.
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot/details.h"
#include "snapshot/frame.h"
#include "snapshot/suspended.h"
#include "util/strtab.h"
#include "util/vec.h"

enum snap_state {
    SNAP_RUNNING,  // on a processor
    SNAP_RUNNABLE, // would run, waits for a processor
    SNAP_GIL_WAIT,
    SNAP_LOCK_WAIT,
    SNAP_IO_WAIT,
    SNAP_SLEEP,
    SNAP_UNKNOWN,
    SNAP_STATE_COUNT
};
// "running", "runnable", "gil-wait", "lock-wait", "io-wait", "sleep", "unknown"
const char *snap_state_name(enum snap_state state);
// Running and runnable: the thread works; in all other states it waits (unknown: neither).
bool snap_state_works(enum snap_state state);

VEC_DEFINE(snap_notes, uint32_t); // string ids

struct snap_thread {
    pid_t pid, tid;        // tid 0: not known
    uint32_t name;         // threading's name, else the kernel's; 0: not known
    bool name_from_kernel; // 15 bytes at most
    uint64_t python_id;    // threading.get_ident(); 0: unknown to Python
    int64_t interpreter;   // -1: unknown to Python
    enum snap_state state;
    uint32_t syscall;              // its name, when the thread sleeps in one; 0: none
    bool has_holds_gil, holds_gil; // has_: could be decided
    bool in_gc;
    bool on_cpu;          // on a processor at that moment
    bool crashed;         // the thread that took the fatal signal
    bool known_to_python; // it has a thread state; true, too, where Python could not be read
                          // and nothing is known (snap_process.python_version is 0)
    bool cut;             // its frames may be incomplete; a note says why
    bool was_stopped;     // pycore stopped it for this snapshot; else it was read as it slept
    bool pool_has_room;   // a worker of a ThreadPoolExecutor that would start one more thread for a
                          // job: none can be waiting in its queue
    bool left_out;        // by a filter: it is there, but its sample does not count
    bool held_still;      // it stood still over the whole window of the snapshot
    bool has_cpu;
    uint64_t cpu_ns;       // CPU time since the previous snapshot (first one: since it is known)
    uint64_t cpu_total_ns; // since the thread started
    struct snap_frames frames; // innermost first
    struct snap_notes notes;
    // What is known beyond the stack. NULL: nothing. Of a live process they are only there when the
    // thread slept at the same place from when its frames were read until the details were: what
    // two such threads say of each other holds at one moment.
    struct snap_details *details;
    struct snap_turn *turn; // the task whose turn it is in this thread's event loop; NULL: none
};
VEC_DEFINE(snap_threads, struct snap_thread);

// One process of a snapshot of several. They are looked at one after the other, and each stands
// still for itself.
struct snap_part {
    pid_t pid;
    uint64_t pause_ns, cpu_window_ns;
    bool has_process_cpu;
    uint64_t process_cpu_ns;
};
VEC_DEFINE(snap_parts, struct snap_part);

struct snapshot {
    uint64_t at_ns;             // since the first snapshot of the run
    uint64_t pause_ns;          // how long the target stood still; 0 for a core. Of several
                                // processes: the one that stood still for the longest
    uint64_t cpu_window_ns;     // wall time over which threads[].cpu_ns were used; 0: not known
    bool stopped;               // one consistent moment: all threads stood still (or it is a core)
    uint32_t threads_stopped;   // how many had to be stopped for it
    uint32_t interrupted_calls; // system calls that those stops ended with EINTR
    bool overran;               // the pause was longer than --max-pause
    bool has_process_cpu;
    uint64_t process_cpu_ns; // of the whole process since the previous snapshot; of several: sum
    struct snap_threads threads; // main thread first, then by TID; those of a process together
    struct snap_parts parts;     // one for each of several processes; one process: empty
    struct snap_suspended *suspended; // NULL: nothing of the kind, or it was not looked for
    bool suspended_unread; // there is something of the kind, and it was not read this time
    struct snap_notes notes;
};

// Wall time over which the threads of a process used their cpu_ns; 0: not known.
uint64_t snap_window_of(const struct snapshot *snapshot, pid_t pid);

// Of how many threads it is known what they wait for.
size_t snap_waits_known(const struct snapshot *snapshot);

struct snapshot *snapshot_create(void);
void snapshot_destroy(struct snapshot *snapshot);
void snap_thread_deinit(struct snap_thread *thread);
// printf-style; the same text twice is kept once. False: out of memory.
bool snap_note(struct strtab *strings, struct snap_notes *notes, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// What was looked at: the same for all snapshots of a run.
enum snap_source_kind { SNAP_LIVE, SNAP_CORE, SNAP_CAPTURE };

struct snap_process {
    pid_t pid;
    pid_t parent;   // 0: not known
    uint32_t exe;   // 0: not known
    uint32_t *argv; // argc ids
    size_t argc;
    uint32_t python_version; // "3.11.7"; 0: not known (no permission)
    uint32_t python_build;   // "release", "debug", "free-threaded"
    uint64_t start_time_ns;  // ns since 1970; 0: not known. For "source newer than the process"
    // Where several processes are looked at. Times are those of snapshots, `at_ns`.
    uint64_t snapshots; // that it was in
    uint64_t first_ns, last_ns;
    bool ended; // before the run did
    // Why there are no stacks of it: "not a Python process", a rule that refused. 0: there are.
    uint32_t why;
};
VEC_DEFINE(snap_processes, struct snap_process);

struct snap_signal {
    int signo;     // 0: none
    uint32_t name; // "SIGSEGV"
    bool has_code;
    int code;
    uint32_t code_text; // "address not mapped to object (SEGV_MAPERR)"
    bool has_sender;
    pid_t sender_pid;
    uid_t sender_uid;
    bool has_fault_address;
    uint64_t fault_address;
    pid_t tid;
};

struct snap_source {
    enum snap_source_kind kind;
    bool of_core;  // a core, or the capture of one: nothing was stopped for it
    uint32_t path; // core or capture
    pid_t pid;
    uint32_t arch, host;
    int64_t taken_at_ns; // wall clock, ns since 1970; 0: not known
    struct snap_signal signal;
    struct snap_crash crash;
    struct snap_environment environment;
    bool complete;                // nothing the report should hold is missing
    struct snap_process process;  // the one that was asked for, or the first of several
    struct snap_processes others; // the further ones, in the order in which they were met
    struct snap_notes notes;
};
void snap_source_deinit(struct snap_source *source);
// All processes as one list: `process`, then the others.
size_t snap_process_count(const struct snap_source *source);
const struct snap_process *snap_process_at(const struct snap_source *source, size_t index);
// The first one of which there are stacks; `process` where there is none.
const struct snap_process *snap_process_first(const struct snap_source *source);
// The one with that pid; the first one where there is none.
const struct snap_process *snap_process_of(const struct snap_source *source, pid_t pid);

#endif
