// SPDX-License-Identifier: GPL-3.0-or-later
// What only the kernel knows of what a thread waits for (which file a descriptor is, who is at a
// socket's other end), and what only the process itself has. A live process is asked when somebody
// wants to know, and the answers are facts that captures keep; a replay has them, and asks nobody.
#ifndef TARGET_KERNEL_H
#define TARGET_KERNEL_H

#include "target/waitcall.h"

enum kernel_fd_kind {
    KERNEL_FD_UNKNOWN,
    KERNEL_FD_FILE, // with a path: also a fifo, a device
    KERNEL_FD_PIPE,
    KERNEL_FD_SOCKET,
    KERNEL_FD_EPOLL,
    KERNEL_FD_OTHER, // an eventfd, a timerfd ...
};

struct kernel_fd {
    int32_t fd;
    enum kernel_fd_kind kind;
    char *text; // "/var/lib/app.db", "pipe", "10.0.3.9:5432", "listening on 0.0.0.0:80"; NULL: gone
    VEC(int32_t) set;   // of an epoll set, at most WAIT_CALL_FDS_MAX
    uint32_t set_count; // how many there are
};
VEC_DEFINE(kernel_fds, struct kernel_fd);

enum { KERNEL_FDS_MAX = 4096 }; // of one snapshot

struct kernel_sockets; // private: the last look at /proc/PID/net

struct kernel_facts {
    pid_t ask; // the live process; 0: what is not here is not known
    struct wait_clocks clocks;
    struct kernel_fds fds;
    VEC(pid_t) moved; // threads that ran while their details were read
    // What was found by walking the heap, which no capture holds.
    bool read_greenlets;     // in this snapshot
    VEC(uint64_t) greenlets; // objects that are some, or were when they were found
    uint64_t greenlet_switch; // where in their module's code the suspended ones go on; 0: not known
    VEC(uint64_t) changed; // addresses of what was another's while it was read, as it was asked for
    bool read_tasks;       // all of them, in this snapshot
    VEC(uint64_t) torn_tasks; // those that changed while they were read
    VEC(uint64_t) heap_tasks; // found by walking the heap
    bool has_generators;      // they were looked for in the heap
    VEC(uint64_t) generators; // objects: the outermost of those that are suspended
    uint64_t generators_left_out;
    struct kernel_sockets *sockets;
};
void kernel_facts_deinit(struct kernel_facts *facts);
// Another moment: what was asked before is void.
void kernel_facts_renew(struct kernel_facts *facts, pid_t ask);
// NULL: not known. Valid until the next question.
const struct kernel_fd *kernel_fd(struct kernel_facts *facts, int32_t fd);

#endif
