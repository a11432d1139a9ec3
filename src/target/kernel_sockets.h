// SPDX-License-Identifier: GPL-3.0-or-later
// Who is at the ends of a socket: /proc/PID/net/{tcp,tcp6,udp,udp6,unix}, of the process's own network
// namespace. The tables may be long, so they are read when an inode is asked for that is not known,
// and not again right away.
#ifndef TARGET_KERNEL_SOCKETS_H
#define TARGET_KERNEL_SOCKETS_H

#include <stdint.h>
#include <sys/types.h>

struct kernel_sockets;

struct kernel_sockets *kernel_sockets_create(void); // NULL: no memory
void kernel_sockets_destroy(struct kernel_sockets *sockets);
// "10.0.3.9:5432", "listening on [::]:80", "/run/app.sock"; malloc'ed. NULL: not known.
char *kernel_socket_text(struct kernel_sockets *sockets, pid_t pid, uint64_t inode);

#endif
