// SPDX-License-Identifier: GPL-3.0-or-later
// What a system call that a thread sleeps in waits for, from its number and arguments: descriptors,
// times, children. On all machines of Linux a call has the same arguments in the same order, so this
// goes by name.
#ifndef TARGET_WAITCALL_H
#define TARGET_WAITCALL_H

#include <sys/types.h>

#include "target/arch.h"
#include "util/vec.h"

enum wait_call_kind {
    WAIT_CALL_NONE, // no call, or one that is not in the table
    WAIT_CALL_READ,
    WAIT_CALL_WRITE,
    WAIT_CALL_ACCEPT,
    WAIT_CALL_CONNECT,
    WAIT_CALL_POLL,
    WAIT_CALL_SLEEP,
    WAIT_CALL_CHILD,
    WAIT_CALL_SIGNAL,
    WAIT_CALL_FILE_LOCK,
    WAIT_CALL_FUTEX,
};

// CLOCK_MONOTONIC and CLOCK_REALTIME of the machine at the moment of the snapshot; 0: not known (a
// core).
struct wait_clocks {
    int64_t monotonic_ns, realtime_ns;
};

enum { WAIT_CALL_FDS_MAX = 64 }; // of a set that are kept

struct wait_call {
    enum wait_call_kind kind;
    int32_t fd;                  // -1: none
    int32_t epoll;               // the descriptor of an epoll set that is waited for; -1: none
    VEC(int32_t) fds;            // of poll and select; at most WAIT_CALL_FDS_MAX
    size_t fd_count;             // how many there are
    int64_t timeout_ns;          // as it was asked for; -1: for ever, or not known
    int64_t left_ns;             // -1: not known
    bool limited;                // it has a time limit, though that may be unknown: of a core's clock, say
    pid_t child;                 // that is waited for; 0: any, or none
    uint64_t futex, futex_value; // the word, and what it had to be; 0: no futex
    uint32_t futex_operation;    // FUTEX_WAIT ..., without flags
};
void wait_call_deinit(struct wait_call *call);

// What cannot be read of it is left out.
void wait_call_read(struct mem *mem, const struct arch *arch, const struct arch_regs *regs,
                    const struct wait_clocks *clocks, struct wait_call *ret);

#endif
