// SPDX-License-Identifier: GPL-3.0-or-later
// A frozen copy of a live process: one of its threads is made to clone the process, copy on write;
// the target runs on after some milliseconds, and its child, which never runs, is read at leisure.
//
// This is the one place in pycore that lends itself a thread of the target: registers, and some
// bytes below its stack that nobody may rely on, are changed and put back, and memory is shared
// with a child until frozen_destroy(). Opt-in therefore, and refused where it cannot be safe.
//
// Who does it: a process of its own (the tracer, own session, all signals blocked), because the
// registers must be put back whatever happens to pycore. When pycore dies, the tracer notices,
// kills the child, has the target collect it, and ends. What remains is a SIGKILL (or the OOM
// killer) that hits the tracer itself. Then the kernel lets all threads go; the borrowed thread
// finds on its stack a signal frame that gives it its registers back (rt_sigreturn(2)), and the
// child, if it is not yet under the kernel's PTRACE_O_EXITKILL, one that makes it end. What is left
// then: a zombie in the target until it ends or waits with __WALL, and, if it hit in the fraction
// of a millisecond around the clone, an EINTR from a timed wait (nanosleep, poll, futex) of the
// borrowed thread.
//
// System calls that the stop interrupts are restarted by the kernel, or, where it would end them
// with EINTR though they wait without a time limit (epoll_wait, sigwaitinfo, semop, io_getevents),
// by us. With a time limit those, and calls on a socket with SO_RCVTIMEO or SO_SNDTIMEO, end with
// EINTR, as for each debugger and SIGSTOP (signal(7)): when they began nobody knows.
//
// Every wait has a deadline; when it passes, all is undone: ERR_TIMEOUT. Only a clone that the
// kernel is busy with cannot be undone before it is finished: the other threads run on meanwhile.
#ifndef TARGET_FROZEN_H
#define TARGET_FROZEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "target/regsets.h"
#include "target/target.h"

// ---- Before: what it would cost, and whether it may be done -------------------------------------

struct frozen_estimate {
    uint64_t resident_bytes;  // of the target
    uint64_t anonymous_bytes; // what a clone must write page table entries for
    uint64_t huge_bytes;      // of these, in huge pages
    uint64_t pause_ns;        // expected, from the first stop to the last thread running on
    uint64_t worst_bytes;     // more memory, if the target rewrites all of it while the copy lives
    uint64_t free_bytes;      // what it may still have: the machine, or the nearest cgroup limit
    char *text;               // one or two sentences for the user: pause, memory, risk
    char *refusal;            // why it must not be done, and what would help; NULL: it may
};
// Touches nothing. An error is one of looking (no such process, no permission).
struct err *frozen_estimate(pid_t pid, struct frozen_estimate *ret);
void frozen_estimate_deinit(struct frozen_estimate *estimate);

// ---- The copy -----------------------------------------------------------------------------------

struct frozen_options {
    uint64_t deadline_ns; // for all that happens under the stop, the clone itself apart; 0: 1 s
    // A child does not get what is shared, or was marked with MADV_DONTFORK or MADV_WIPEONFORK: up
    // to this much of it is copied under the stop (1 ms for 3 MB). 0: 32 MiB.
    uint64_t copy_limit_bytes;
};

struct frozen {
    pid_t pid;
    pid_t child;                     // /proc/CHILD/pagemap tells what is there
    struct regsets_threads threads;  // all stopped, main thread first
    struct target_mappings mappings; // at the stop
    // What the target could read at the moment of the stop; what is of later, a note says. Origin
    // MEM_LIVE: from the child, whose page tables tell what is there. MEM_COPY: from elsewhere, and
    // they do not. Never read the child with process_vm_readv: that gives it a page of its own for
    // each one read.
    struct mem *mem;
    int64_t taken_at_ns; // wall clock, ns since 1970, of the stop
    uint64_t pause_ns;   // from the first interrupt to the last thread let go
    struct target_notes notes;
    struct frozen_private *private;
};

// ERR_UNSUPPORTED: refused, with the reason and before anything was touched. ERR_PERMISSION,
// ERR_GONE, ERR_TIMEOUT, ERR_OS (the clone failed: a limit of processes, ...): all is undone.
// NULL options: the defaults.
struct err *frozen_create(pid_t pid, const struct frozen_options *options, struct frozen **ret);
// Kills the child and has the target collect it (a stop of one thread, some 0.2 ms). An error says
// what was left behind. `frozen` is gone in any case; NULL is fine.
struct err *frozen_destroy(struct frozen *frozen);

#endif
