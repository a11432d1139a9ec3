// SPDX-License-Identifier: GPL-3.0-or-later
// x86_64: registers and the system calls that threads sleep in.
#include <elf.h>
#include <string.h>
#include <sys/user.h>

#include "target/arch_rows.h"

_Static_assert(sizeof(struct user_regs_struct) == 27 * 8, "elf_gregset_t of x86_64");

static void regs_from_gregset(const void *gregset, struct arch_regs *ret)
{
    struct user_regs_struct regs;
    memcpy(&regs, gregset, sizeof(regs));
    // The kernel stores orig_rax = -1 (or another negative number) when a thread did not come
    // through a system call: arch/x86/include/asm/ptrace.h. Arguments: System V ABI, A.2.1.
    *ret = (struct arch_regs){
        .ip = regs.rip,
        .sp = regs.rsp,
        .fp = regs.rbp,
        .tls = regs.fs_base,
        .syscall = (int64_t)regs.orig_rax < 0 ? -1 : (int64_t)regs.orig_rax,
        .syscall_value = (int64_t)regs.rax,
        .args = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9},
        .raw_count = 27,
    };
    memcpy(ret->raw, gregset, sizeof(regs));
}

#define IO(number, name) {name, number, ARCH_WAIT_IO, -1, false}
#define LOCK(number, name) {name, number, ARCH_WAIT_LOCK, -1, false}
#define FUTEX(number, name) {name, number, ARCH_WAIT_LOCK, -1, true}
#define SLEEP(number, name) {name, number, ARCH_WAIT_SLEEP, -1, false}
#define POLL(number, name, argument) {name, number, ARCH_WAIT_IO, argument, false}
#define OTHER(number, name) {name, number, ARCH_WAIT_OTHER, -1, false}

// Numbers: arch/x86/entry/syscalls/syscall_64.tbl.
static const struct arch_syscall syscalls[] = {
    IO(0, "read"), IO(1, "write"), IO(2, "open"), IO(3, "close"),
    POLL(7, "poll", 1), IO(16, "ioctl"), IO(17, "pread64"), IO(18, "pwrite64"),
    IO(19, "readv"), IO(20, "writev"), POLL(23, "select", 0), SLEEP(34, "pause"),
    SLEEP(35, "nanosleep"), IO(40, "sendfile"), IO(42, "connect"), IO(43, "accept"),
    IO(44, "sendto"), IO(45, "recvfrom"), IO(46, "sendmsg"), IO(47, "recvmsg"),
    OTHER(56, "clone"), OTHER(57, "fork"), OTHER(58, "vfork"), OTHER(59, "execve"),
    IO(61, "wait4"), LOCK(65, "semop"), IO(69, "msgsnd"), IO(70, "msgrcv"),
    IO(72, "fcntl"), LOCK(73, "flock"), IO(74, "fsync"), IO(75, "fdatasync"),
    SLEEP(128, "rt_sigtimedwait"), SLEEP(130, "rt_sigsuspend"), FUTEX(202, "futex"),
    IO(208, "io_getevents"), LOCK(220, "semtimedop"), SLEEP(230, "clock_nanosleep"),
    IO(232, "epoll_wait"), IO(242, "mq_timedsend"), IO(243, "mq_timedreceive"),
    IO(247, "waitid"), IO(257, "openat"), POLL(270, "pselect6", 0), POLL(271, "ppoll", 1),
    IO(275, "splice"), IO(276, "tee"), IO(281, "epoll_pwait"), IO(288, "accept4"),
    IO(295, "preadv"), IO(296, "pwritev"), IO(299, "recvmmsg"), IO(307, "sendmmsg"),
    IO(326, "copy_file_range"), IO(327, "preadv2"), IO(328, "pwritev2"),
    IO(426, "io_uring_enter"), OTHER(435, "clone3"), IO(441, "epoll_pwait2"),
    LOCK(449, "futex_waitv"), FUTEX(455, "futex_wait"),
    {NULL, -1, ARCH_WAIT_NONE, -1, false},
};

const struct arch arch_x86_64 = {
    .name = "x86_64",
    .elf_machine = EM_X86_64,
    .gregset_bytes = sizeof(struct user_regs_struct),
    .regs_from_gregset = regs_from_gregset,
    .syscalls = syscalls,
};
