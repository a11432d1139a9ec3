// SPDX-License-Identifier: GPL-3.0-or-later
// What the threads of one snapshot wait for, put together: a wait with all threads that wait alike, a lock
// with who has it and who wants it.
#ifndef REPORT_WAITS_H
#define REPORT_WAITS_H

#include "snapshot/snapshot.h"

// What one thread at a time has.
bool waits_is_lock(enum snap_wait_kind kind);

struct wait_one {
    const struct snap_thread *thread;
    const struct snap_wait *wait;
};

struct wait_group {
    size_t first, count; // in waits.ones
    uint64_t since_ns;   // the longest that is known; 0: not known
};

struct waits {
    VEC(struct wait_one) ones;     // those of a group are neighbours, in the snapshot's order
    VEC(struct wait_group) groups; // for what a thread of the process has first, then by size
};

// `snapshot` NULL: there are none. False: out of memory; waits_deinit() is due in any case.
bool waits_find(const struct snapshot *snapshot, struct waits *ret);
void waits_deinit(struct waits *waits);

struct lock_use {
    pid_t pid;
    uint64_t object;
    uint32_t what, type;
    pid_t holder; // 0: not known
    enum snap_certainty known;
    pid_t waiter; // 0: nobody
};
VEC_DEFINE(lock_uses, struct lock_use);

// Every lock that is held or waited for, by address: one item for its holder, if one is known from its
// frames, and one for each thread that waits. False: out of memory.
bool lock_uses_find(const struct snapshot *snapshot, struct lock_uses *ret);

#endif
