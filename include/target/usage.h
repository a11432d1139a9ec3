// SPDX-License-Identifier: GPL-3.0-or-later
// The processes of this machine, and what each of them uses, from /proc: no right to trace a process
// is needed for it (but for its open files), and it does not notice.
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

// All that /proc shows, in no order. ERR_UNSUPPORTED: see proc_check().
struct err *proc_list(struct proc_tids *ret);
// ERR_NOT_FOUND or ERR_GONE: there is no such process.
struct err *proc_usage(pid_t pid, struct proc_usage *ret);
// How many files it has open. False: not ours to know.
bool proc_open_files(pid_t pid, uint64_t *ret);
// True, and which file it is: the program that a process runs. False: not ours to know (errno is
// EACCES), or there is none.
bool proc_exe_file(pid_t pid, uint64_t *ret_device, uint64_t *ret_inode);

#endif
