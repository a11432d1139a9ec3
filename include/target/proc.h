// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel says of a process in /proc, without touching it: task list, names, states,
// clocks, mappings, command line. Formats: proc(5), Documentation/filesystems/proc.rst.
#ifndef TARGET_PROC_H
#define TARGET_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "target/target.h"

VEC_DEFINE(proc_tids, pid_t);

struct proc_stat {
    char state;    // 'R', 'S', 'D', 'T', 't', 'Z', ...
    char comm[16]; // 15 bytes and NUL
    pid_t parent;
    bool kernel_thread;
    bool exiting;       // on its way out, its memory perhaps gone already; no zombie yet
    uint64_t cpu_ticks; // user + system
    uint64_t start_ticks;
};

struct proc_clock {
    uint64_t cpu_ns;  // time on a processor
    uint64_t wait_ns; // time runnable, waiting for one
    uint64_t slices;  // how often it was put on one
};

// Whole small file; NUL-terminated after *ret_size bytes.
struct err *proc_read_file(const char *path, char **ret, size_t *ret_size);

struct err *proc_tasks(pid_t pid, struct proc_tids *ret);
struct err *proc_thread_stat(pid_t pid, pid_t tid, struct proc_stat *ret);
// How a process ended whose status nobody has asked for so far (a zombie), as wait(2) has it. False: not
// known, or 0.
bool proc_wait_status(pid_t pid, uint64_t start_ticks, int *ret);
// A file of /proc/PID/task/TID, to be read again and again: valid while the thread lives.
int proc_open_thread(pid_t pid, pid_t tid, const char *file);
// ... of "schedstat"
bool proc_read_clock(int fd, struct proc_clock *ret);
// Threads of the process, from the link count of /proc/PID/task (one stat, no listing); 0: unknown.
size_t proc_thread_count(pid_t pid);
// The thread's number in its innermost PID namespace (NSpid, last column); tid when not shown.
pid_t proc_namespace_tid(pid_t pid, pid_t tid);
// Is the process in a namespace of PIDs below ours? Then its threads have other numbers in there.
bool proc_in_inner_namespace(pid_t pid);
// ERR_UNSUPPORTED: there is no /proc, or it has other numbers for processes than system calls take.
struct err *proc_check(void);
pid_t proc_tracer(pid_t pid, pid_t tid);
// The system call a thread sleeps in: /proc/PID/task/TID/syscall. False: running, or not allowed.
// Only syscall, args, sp and ip are known then; sp is 0 of a thread that has ended.
bool proc_blocked_syscall(pid_t pid, pid_t tid, struct arch_regs *ret);
bool proc_read_syscall(int fd, struct arch_regs *ret);
// May the process share pages, copy on write, with another: has it children (of any thread), or was
// it forked by a process of the same program? True when that cannot be told.
bool proc_may_share_pages(pid_t pid);

// Numbers of all processes that /proc shows, in no order.
struct err *proc_processes(struct proc_tids *ret);
// Appends the children of any of its threads; of a process that has ended none. One that comes or
// ends just then may be missing (proc(5)). False: this kernel does not tell (CONFIG_PROC_CHILDREN).
bool proc_children(pid_t pid, struct proc_tids *ret);
// Which file it runs, even when that has another name by now. False: not known.
struct proc_program {
    uint64_t device, inode;
};
bool proc_program(pid_t pid, struct proc_program *ret);
bool proc_same_program(pid_t a, pid_t b);

struct err *proc_mappings(pid_t pid, struct target_mappings *ret);
// One line of it, without its path, which begins at line[*ret_path_at] if there is one. *ret_sharing is
// 'p' (private) or 's' (shared). Allocates nothing.
bool proc_parse_mapping(const char *line, struct target_mapping *ret, char *ret_sharing,
                        size_t *ret_path_at);
void proc_mappings_clear(struct target_mappings *mappings);
char *proc_exe(pid_t pid);   // NULL: not known
char **proc_argv(pid_t pid); // NULL: not known
// Owner of the process: real, effective, saved and file-system ids, in that order.
bool proc_uids(pid_t pid, uid_t ret_uids[4], gid_t ret_gids[4]);
size_t proc_groups(pid_t pid, gid_t *ret, size_t limit); // supplementary; returns how many
// When it started, ns since 1970; 0: not known.
uint64_t proc_start_time_ns(uint64_t start_ticks);

// Where the kernel laid the arguments and the environment on the main stack; 0: not known.
uint64_t proc_args_start(pid_t pid);

// AT_PHDR and AT_ENTRY of its auxiliary vector; false: not known.
bool proc_auxv(pid_t pid, uint64_t *ret_phdr, uint64_t *ret_entry);

// One line that says which rule keeps this user from opening the process, and what would help.
char *proc_why_refused(pid_t pid, int errno_value);
// The rule alone, for table cells: "other user", "Yama".
const char *proc_refused_by(pid_t pid, int errno_value);

#endif
