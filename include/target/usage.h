// SPDX-License-Identifier: GPL-3.0-or-later
// What a process uses, from /proc: no right to trace it is needed (but for its open files), and it does
// not notice.
#ifndef TARGET_USAGE_H
#define TARGET_USAGE_H

#include "target/proc.h"

struct proc_usage {
    char comm[16];
    char state; // 'R', 'S', 'D', 'T', 't', 'Z', ...
    bool kernel_thread;
    pid_t parent;
    uint64_t threads;
    uint64_t cpu_ns; // all its threads, those that ended included
    uint64_t start_ticks;
    uint64_t rss_bytes; // in memory, shared pages included
    uint64_t vms_bytes; // mapped
};

// ERR_NOT_FOUND or ERR_GONE: there is no such process.
struct err *proc_usage(pid_t pid, struct proc_usage *ret);
// How many files it has open. False: not ours to know.
bool proc_open_files(pid_t pid, uint64_t *ret);

#endif
