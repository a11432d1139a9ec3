// SPDX-License-Identifier: GPL-3.0-or-later
// A live process: its memory in batches, its threads, and the stop.
//
// pycore only reads: nothing is written into the target, neither memory nor registers. A thread that
// sleeps is not stopped at all: the kernel says where (/proc/PID/task/TID/syscall: the call, its
// arguments, stack pointer and pc), and its clock, read before and after, proves that it did not
// run in between. A stop is PTRACE_SEIZE + PTRACE_INTERRUPT and an explicit PTRACE_DETACH of each
// thread, with a signal that was being delivered handed on. A thread that cannot be stopped in time
// (a vfork parent) is let go by a SIGCHLD handler the moment it can be. When pycore dies, by SIGKILL
// too, the kernel detaches by itself and the threads run on (ptrace(2), "Death under ptrace" and
// "Attaching and detaching").
#ifndef TARGET_LIVE_H
#define TARGET_LIVE_H

#include <signal.h>

#include "mem/copy.h"
#include "target/proc.h"
#include "target/target.h"

enum live_thread_state {
    LIVE_RUNNING,   // not stopped by us
    LIVE_STOPPED,   // ours: registers are valid
    LIVE_UNSTOPPED, // could not be stopped; `why` says the reason
    LIVE_GONE,      // ended
};

struct live_thread {
    pid_t tid;
    pid_t ns_tid; // as the target's innermost PID namespace numbers it
    char comm[16];
    enum live_thread_state state;
    bool has_regs;         // of this snapshot
    struct arch_regs regs; // stopped: whole; otherwise from /proc (syscall, args, sp, ip)
    bool asleep;           // regs are those of /proc: it sleeps, and since `before`
    bool stopped_by_us;    // for this snapshot
    bool held_still;       // over the whole window of this snapshot
    bool was_stopped;      // it already stood still before us: job control, or another tracer
    bool on_cpu;           // it was on a processor when the stop took hold
    char proc_state;       // the kernel's letter ('R', 'S', 'D', ...), when it was asked; else 0
    bool has_clock;
    struct proc_clock clock; // read after the stop
    uint64_t cpu_delta_ns;   // since the previous snapshot (0 in its first)
    bool fresh;              // first seen in this snapshot
    const char *why;         // static text, for LIVE_UNSTOPPED
    pid_t tracer;            // who holds it, when somebody else does
    bool wanted;             // by the caller: live_stop is to stop it,
    bool insist;             // ... even when it has gone to sleep meanwhile

    // The clock before the look and, of a thread that is to be stopped, right before the interrupt.
    bool has_before;
    struct proc_clock before;
    // Private.
    int pending_signal, schedstat_fd, syscall_fd;
    uint64_t closer_look_ns; // when its state was last asked for
    bool seized, interrupted, listed, lingering, late, named;
    bool sleeper; // it slept when it was last looked at
};

VEC_DEFINE(live_threads, struct live_thread);

struct live {
    pid_t pid;
    struct target *target;
    struct live_threads threads; // those alive at the last snapshot, in TID order
    bool can_read, can_stop;     // what the kernel lets us do
    char *refusal;               // why not, and what would help; NULL when all is allowed
    const char *refused_by;      // the rule in a word or two; NULL likewise
    bool in_namespace;           // of PIDs: its threads have other numbers in there
    bool exited;                 // the process is gone
    uint64_t process_cpu_ns;     // the whole process, threads that ended included
    bool has_process_cpu;
    uint64_t start_ticks;       // tells a reused PID
    uint64_t woken_ns;          // set by the caller: when it came to take this snapshot
    uint64_t interrupted_calls; // system calls that our stops ended with EINTR, so far
    // Private.
    pid_t reader; // a thread whose memory is there: a main thread that ended first has none
    uint64_t readable_addr; // a byte that could be read when it was opened
    bool use_proc_mem;
    bool job_stopped;  // its main thread is in a group-stop, or another tracer's
    bool shares_pages; // with a parent or child, copy on write: see live_look
    uint64_t next_share_check_ns;
    int proc_mem_fd;
    size_t lingering; // threads that are still to be let go
    struct live *next_watched;
    bool signals_blocked, priority_raised;
    sigset_t signals_before;
};

// ERR_NOT_FOUND: no such process. ERR_GONE: a zombie. ERR_UNSUPPORTED: a 32-bit process.
// Missing permission is no error here: see can_read and refusal.
struct err *live_open(pid_t pid, struct live **ret);
void live_close(struct live *live); // lets every thread go first

// Reads all ranges with as few system calls as can be (process_vm_readv, 1024 at a time; pread on
// /proc/PID/mem where that is refused) and commits them to `copy`, gaps included.
struct err *live_read_batch(struct live *live, const struct mem_range *ranges, size_t count,
                            struct mem_copy *copy);
// Program and mappings again, after an exec. ERR_PERMISSION: it may not be read.
struct err *live_refresh(struct live *live);
// False: it has ended, is about to, or has become another program.
bool live_has_memory(struct live *live);
// All its threads have ended or are about to, or its number is another process's by now.
bool live_is_ending(const struct live *live);
// ERR_GONE in the place of what only came of its end.
struct err *live_tell_end(const struct live *live, struct err *err);

struct stop_times {
    uint64_t begin_ns, stopped_ns, end_ns; // CLOCK_MONOTONIC
};

// Lists threads, and looks at each without touching it: its clock and, when it sleeps, its registers
// from /proc. What was asked of a thread that has not run since the last look is still true.
struct err *live_look(struct live *live);
// The same for one thread: it may have run since.
void live_look_again(struct live *live, struct live_thread *thread);
// False: it would not answer (a vfork parent), or is not ours to stop.
bool live_may_stop(const struct live *live, const struct live_thread *thread);
// True: it has not run since it was looked at, so what was read of its stack in between holds.
bool live_held_still(const struct live *live, const struct live_thread *thread);
// The same of a thread that was stopped, and slept in a call: it sleeps in that call again, at the
// same place. On a busy machine it may still wait for a processor to get there: for so long it is waited
// for, and *patience_ns becomes less by that.
bool live_sleeps_on(const struct live *live, const struct live_thread *thread,
                    uint64_t *patience_ns);

// Stops the threads that are `wanted`: first those that slept at the last look, then the others, so
// that a thread that works stands still for as short as can be. In both steps all interrupts are
// queued first, then waited for. A thread that is not `asleep` and is found asleep right before its
// interrupt is left alone, and `asleep` (unless `whole` or `insist`). One that does not stop within
// `deadline_ns` is `late`; one that cannot stop (a vfork parent), or that another tracer holds,
// becomes LIVE_UNSTOPPED. ERR_GONE when the process ended.
// `whole`: every thread is wanted, and the list is read again until no new one shows up.
// Every call, successful or not, must be followed by live_resume(); signals to pycore wait until
// then.
struct err *live_stop(struct live *live, bool whole, uint64_t deadline_ns, struct stop_times *ret);
// Lets all stopped threads run on. Late ones stay late: live_next_late() waits for them.
void live_resume(struct live *live, struct stop_times *ret);
// Waits for a late thread to stop: true, *ret is that one, stopped, with registers. It is to be let
// go by live_resume(). False: none is left, or none came within `deadline_ns`; live_resume() then
// leaves those that are left to the SIGCHLD handler.
bool live_next_late(struct live *live, uint64_t deadline_ns, struct stop_times *times,
                    struct live_thread **ret);
// Before the end of `live`: threads that still linger are left to the kernel, which lets go of them
// when pycore ends.
void live_abandon(struct live *live);
// A child of pycore's own that it also traces is collected once, by whichever of both waits comes
// first. When that was one of these here, its status (waitpid(2)) is kept.
void live_keep_status(pid_t child);
bool live_kept_status(int *ret_status);
// After the resume: clocks, names of new threads, the process's CPU time.
void live_account(struct live *live);
uint64_t live_now_ns(void);

#endif
