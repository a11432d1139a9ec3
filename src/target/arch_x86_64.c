// SPDX-License-Identifier: GPL-3.0-or-later
// x86_64: registers and the system calls that threads sleep in.
#include <elf.h>
#include <string.h>
#include <sys/user.h>

#include "target/arch_rows.h"
#include "util/guard.h"

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

enum { POLL = 7, NANOSLEEP = 35, FUTEX = 202, RESTART = 219, CLOCK_NANOSLEEP = 230 };

// The kernel leaves all argument registers alone when it restarts a call. The C library mostly
// loads the number with `mov $number,%eax` right before `syscall`; glibc 2.41 and later come
// through one function that has it in a register, and then the arguments tell: of all calls only
// these four restart this way (kernel: users of set_restart_fn).
static int64_t original_syscall(struct mem *mem, const struct arch_regs *regs)
{
    unsigned char code[7]; // b8 imm32, 0f 05
    AUTO_ERR struct err *err = mem_read(mem, regs->ip - sizeof(code), code, sizeof(code));
    if (!err && code[0] == 0xb8 && code[5] == 0x0f && code[6] == 0x05) {
        uint32_t number;
        memcpy(&number, code + 1, sizeof(number));
        if (number == POLL || number == NANOSLEEP || number == FUTEX || number == CLOCK_NANOSLEEP)
            return number;
    }
    // clock_nanosleep(clock id, flags, ...): no pointer in front. futex(word, op, ...): op is
    // FUTEX_WAIT or FUTEX_WAIT_BITSET, nearly always with FUTEX_PRIVATE_FLAG, perhaps with
    // FUTEX_CLOCK_REALTIME. nanosleep(request, remainder or NULL). poll(array, count, ms).
    if (regs->args[0] && regs->args[0] < 4096)
        return CLOCK_NANOSLEEP;
    uint64_t op = regs->args[1] & ~0x180ull;
    if (regs->args[0] % 4 == 0 && (regs->args[1] & 0x80) && (op == 0 || op == 9))
        return FUTEX;
    if (regs->args[0] == 0)
        return regs->args[1] <= 1 && regs->args[2] > 4096 ? CLOCK_NANOSLEEP : POLL;
    if (regs->args[1] > 0xffffffff || (regs->args[1] == 0 && regs->args[2] == 0))
        return NANOSLEEP;
    return regs->args[1] < 65536 ? POLL : RESTART;
}

#define IO(number, name) {name, number, ARCH_WAIT_IO, -1, false}
#define LOCK(number, name) {name, number, ARCH_WAIT_LOCK, -1, false}
#define FUTEX_WAIT(number, name) {name, number, ARCH_WAIT_LOCK, -1, true}
#define SLEEP(number, name) {name, number, ARCH_WAIT_SLEEP, -1, false}
#define MAY_POLL(number, name, argument) {name, number, ARCH_WAIT_IO, argument, false}
#define OTHER(number, name) {name, number, ARCH_WAIT_OTHER, -1, false}

// Numbers: arch/x86/entry/syscalls/syscall_64.tbl.
static const struct arch_syscall syscalls[] = {
    IO(0, "read"), IO(1, "write"), IO(2, "open"), IO(3, "close"),
    MAY_POLL(POLL, "poll", 1), IO(16, "ioctl"), IO(17, "pread64"), IO(18, "pwrite64"),
    IO(19, "readv"), IO(20, "writev"), MAY_POLL(23, "select", 0), SLEEP(34, "pause"),
    SLEEP(NANOSLEEP, "nanosleep"), IO(40, "sendfile"), IO(42, "connect"), IO(43, "accept"),
    IO(44, "sendto"), IO(45, "recvfrom"), IO(46, "sendmsg"), IO(47, "recvmsg"),
    OTHER(56, "clone"), OTHER(57, "fork"), OTHER(58, "vfork"), OTHER(59, "execve"),
    IO(61, "wait4"), LOCK(65, "semop"), IO(69, "msgsnd"), IO(70, "msgrcv"),
    IO(72, "fcntl"), LOCK(73, "flock"), IO(74, "fsync"), IO(75, "fdatasync"),
    SLEEP(128, "rt_sigtimedwait"), SLEEP(130, "rt_sigsuspend"), FUTEX_WAIT(FUTEX, "futex"),
    IO(208, "io_getevents"), LOCK(220, "semtimedop"), SLEEP(CLOCK_NANOSLEEP, "clock_nanosleep"),
    IO(232, "epoll_wait"), IO(242, "mq_timedsend"), IO(243, "mq_timedreceive"),
    IO(247, "waitid"), IO(257, "openat"), MAY_POLL(270, "pselect6", 0), MAY_POLL(271, "ppoll", 1),
    IO(275, "splice"), IO(276, "tee"), IO(281, "epoll_pwait"), IO(288, "accept4"),
    IO(295, "preadv"), IO(296, "pwritev"), IO(299, "recvmmsg"), IO(307, "sendmmsg"),
    IO(326, "copy_file_range"), IO(327, "preadv2"), IO(328, "pwritev2"),
    IO(426, "io_uring_enter"), OTHER(435, "clone3"), IO(441, "epoll_pwait2"),
    LOCK(449, "futex_waitv"), FUTEX_WAIT(455, "futex_wait"),
    {NULL, -1, ARCH_WAIT_NONE, -1, false},
};

const struct arch arch_x86_64 = {
    .name = "x86_64",
    .elf_machine = EM_X86_64,
    .gregset_bytes = sizeof(struct user_regs_struct),
    .regs_from_gregset = regs_from_gregset,
    .restart_syscall = RESTART,
    .original_syscall = original_syscall,
    .syscalls = syscalls,
};
