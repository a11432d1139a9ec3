// SPDX-License-Identifier: GPL-3.0-or-later
// Every register set of a stopped thread, as the notes of a core file hold them, and the few facts
// of a process that a core begins with.
#ifndef TARGET_REGSETS_H
#define TARGET_REGSETS_H

#include "target/arch.h"
#include "target/live.h"
#include "util/err.h"
#include "util/vec.h"

enum { REGSETS_MAX = 3, REGSETS_SIGINFO_BYTES = 128 };

// One PTRACE_GETREGSET. NT_PRSTATUS is not among them: it is `regs` of the thread.
struct regset {
    uint32_t type;    // of the note: NT_FPREGSET, NT_X86_XSTATE, ...
    const char *name; // of the note: "CORE", "LINUX"; static
    unsigned char *bytes;
    size_t size;
};

struct regsets_thread {
    pid_t tid;
    struct arch_regs regs; // of one that could not be stopped: what /proc says, without `raw`
    bool has_regs;
    char comm[16]; // what the kernel calls it; empty: not known
    bool stopped;     // by us: all sets are there
    uint64_t blocked; // signal mask
    bool has_siginfo; // it was about to take a signal, and this is it
    unsigned char siginfo[REGSETS_SIGINFO_BYTES];
    struct regset sets[REGSETS_MAX];
    size_t count;
};
VEC_DEFINE(regsets_threads, struct regsets_thread);

// Of a thread that this very thread holds in a ptrace-stop. ERR_GONE: it has ended.
struct err *regsets_read(pid_t tid, struct regsets_thread *ret);
// The main thread first, then all others by TID, of a process that was stopped as a whole. Threads
// that have ended are left out; those that could not be stopped come with what /proc says.
struct err *regsets_read_all(struct live *live, struct regsets_threads *ret);
// comm of those that have none, as it is now.
void regsets_read_names(struct regsets_threads *threads);
void regsets_clear(struct regsets_threads *threads);

// The content of NT_X86_XSAVE_LAYOUT (0x205): which part of NT_X86_XSTATE lies where, four 32-bit
// words each (type, size, offset, flags). Returns its bytes; 0: this machine has none.
size_t regsets_xsave_layout(unsigned char *ret, size_t room);

// After live_stop(), when the target is to stay stopped for long: pycore goes back to the priority
// that it was given, so that a long dump takes no processor from others.
void live_stay_stopped(struct live *live);
// What is pending for pycore while live_stop() holds its signals back: one of those that ask it to
// end (SIGINT, SIGTERM, SIGHUP, SIGQUIT) and that it does not ignore; 0: none.
int live_asked_to_end(void);

#endif
