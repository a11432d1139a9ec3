// SPDX-License-Identifier: GPL-3.0-or-later
// x86_64: making a stopped thread execute a system call of ours, and the signal frame that gives it
// its registers back should its tracer be killed meanwhile. See target/frozen.h.
#include <asm/sigcontext.h>
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/user.h>

#include "target/arch_rows.h"
#include "util/guard.h"

// Numbers: arch/x86/entry/syscalls/syscall_64.tbl.
enum { CLONE = 56, EXIT = 60, WAIT4 = 61, RESTART = 219 };
// linux/errno.h
enum { RESTARTSYS = 512, RESTARTNOINTR = 513, RESTARTNOHAND = 514, RESTARTBLOCK = 516 };

#define DIRECTION_AND_TRAP 0x500u // DF, TF of eflags
#define SYSCALL_BYTES 2           // 0f 05

static void set_call(void *gregset, uint64_t ip, uint64_t sp, int64_t number,
                     const uint64_t args[6])
{
    struct user_regs_struct regs;
    memcpy(&regs, gregset, sizeof(regs));
    regs.rip = ip;
    regs.rsp = sp;
    regs.rax = (uint64_t)number;
    regs.orig_rax = (uint64_t)-1; // not in a system call: nothing to restart
    regs.rdi = args[0], regs.rsi = args[1], regs.rdx = args[2];
    regs.r10 = args[3], regs.r8 = args[4], regs.r9 = args[5];
    regs.eflags &= ~(unsigned long long)DIRECTION_AND_TRAP;
    memcpy(gregset, &regs, sizeof(regs));
}

// What the kernel does when a stopped thread goes on without a signal (arch/x86/kernel/signal.c,
// arch_do_signal_or_restart).
static void restart_call(struct user_regs_struct *regs)
{
    if ((int64_t)regs->orig_rax < 0)
        return;
    switch (-(int64_t)regs->rax) {
    case RESTARTSYS:
    case RESTARTNOINTR:
    case RESTARTNOHAND:
        regs->rax = regs->orig_rax;
        break;
    case RESTARTBLOCK:
        regs->rax = RESTART;
        break;
    default:
        return;
    }
    regs->rip -= SYSCALL_BYTES;
}

// The kernel's struct rt_sigframe (asm/sigframe.h) without its siginfo, which nobody reads.
struct frame {
    uint64_t return_address;
    uint64_t flags, link;
    uint64_t stack_sp, stack_flags, stack_bytes;
    struct sigcontext_64 context;
    uint64_t signal_mask;
};
_Static_assert(sizeof(struct frame) == 8 + 40 + 256 + 8, "rt_sigframe of x86_64");

// UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS: asm/ucontext.h
#define FRAME_FLAGS 7u
// No mode that sigaltstack(2) knows: the kernel then leaves the alternate stack as it is.
#define NO_STACK 0x40u
#define SW_RESERVED 464 // struct _fpx_sw_bytes, in the legacy area
#define XSTATE_HEADER 512
#define AMX_TILES (3u << 17) // XFEATURE_XTILE_CFG and _DATA: larger, and only for those that asked

// How much of the standard format is used: by all features that `mask` has (CPUID 0xd, subleaf:
// EAX size, EBX offset).
static size_t xstate_used(uint64_t mask, size_t limit)
{
    size_t used = XSTATE_HEADER + 64;
    for (unsigned feature = 2; feature < 63; feature++) {
        unsigned size, offset, flags, unused;
        if (!(mask >> feature & 1) ||
            !__get_cpuid_count(0xd, feature, &size, &offset, &flags, &unused))
            continue;
        if (size && offset + size > used)
            used = offset + size;
    }
    return used <= limit ? used : 0;
}

// The floating point part as the kernel writes it in front of a signal handler: the registers,
// which parts there are, and a second magic word behind. Returns its size.
static size_t place_xstate(unsigned char *to, size_t room, const unsigned char *xstate, size_t size)
{
    uint64_t mask, in_use;
    if (size < XSTATE_HEADER + 64)
        return 0;
    memcpy(&mask, xstate + SW_RESERVED, sizeof(mask)); // XCR0, asm/user.h, struct user_xstateregs
    memcpy(&in_use, xstate + XSTATE_HEADER, sizeof(in_use));
    if (!(in_use & AMX_TILES))
        mask &= ~(uint64_t)AMX_TILES;
    size_t used = xstate_used(mask, size);
    if (!used || used + FP_XSTATE_MAGIC2_SIZE > room)
        return 0;
    memcpy(to, xstate, used);
    struct _fpx_sw_bytes words = {
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = (uint32_t)(used + FP_XSTATE_MAGIC2_SIZE),
        .xfeatures = mask,
        .xstate_size = (uint32_t)used,
    };
    memcpy(to + SW_RESERVED, &words, sizeof(words));
    uint32_t magic = FP_XSTATE_MAGIC2;
    memcpy(to + used, &magic, sizeof(magic));
    return used + sizeof(magic);
}

static size_t build_frame(const void *gregset, const void *xstate, size_t xstate_bytes,
                          uint64_t signal_mask, uint64_t sigreturn_ip, uint64_t top,
                          unsigned char *room, size_t room_bytes, uint64_t *ret_sp)
{
    struct user_regs_struct regs;
    memcpy(&regs, gregset, sizeof(regs));
    restart_call(&regs);
    const size_t front = (sizeof(struct frame) + 63) / 64 * 64;
    size_t state = 0;
    if (room_bytes < front)
        return 0;
    if (xstate) {
        state = place_xstate(room + front, room_bytes - front, xstate, xstate_bytes);
        if (!state)
            return 0;
    }
    size_t size = (front + state + 63) / 64 * 64;
    *ret_sp = top / 64 * 64 - size; // XRSTOR wants its area at a multiple of 64
    struct frame frame = {
        .return_address = sigreturn_ip,
        .flags = FRAME_FLAGS,
        .stack_flags = NO_STACK,
        .context =
            {
                .r8 = regs.r8,
                .r9 = regs.r9,
                .r10 = regs.r10,
                .r11 = regs.r11,
                .r12 = regs.r12,
                .r13 = regs.r13,
                .r14 = regs.r14,
                .r15 = regs.r15,
                .di = regs.rdi,
                .si = regs.rsi,
                .bp = regs.rbp,
                .bx = regs.rbx,
                .dx = regs.rdx,
                .ax = regs.rax,
                .cx = regs.rcx,
                .sp = regs.rsp,
                .ip = regs.rip,
                .flags = regs.eflags,
                .cs = (uint16_t)regs.cs,
                .ss = (uint16_t)regs.ss,
                .fpstate = state ? *ret_sp + front : 0,
            },
        .signal_mask = signal_mask,
    };
    memset(room, 0, front);
    memcpy(room, &frame, sizeof(frame));
    return size;
}

// Calls that end with EINTR whenever they are interrupted (signal(7)), and which argument says for
// how long they wait: as long as it takes when that is 0, or negative where it is a number of ms.
static const struct {
    int64_t number;
    uint8_t timeout; // index of the argument; NONE: there is none
    bool is_ms;
} unrestarted[] = {
#define NONE 9
    {65, NONE, false}, // semop
    {128, 2, false},   // rt_sigtimedwait
    {208, 4, false},   // io_getevents
    {220, 3, false},   // semtimedop
    {232, 3, true},    // epoll_wait
    {281, 3, true},    // epoll_pwait
    {441, 3, false},   // epoll_pwait2
};

static bool ends_early(int64_t number)
{
    bool found = false;
    for (size_t i = 0; i < ARRAY_SIZE(unrestarted); i++)
        found |= unrestarted[i].number == number;
    return found;
}

static bool restart(void *gregset)
{
    struct user_regs_struct regs;
    memcpy(&regs, gregset, sizeof(regs));
    if ((int64_t)regs.rax != -EINTR)
        return false;
    const uint64_t args[] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
    for (size_t i = 0; i < ARRAY_SIZE(unrestarted); i++) {
        if (unrestarted[i].number != (int64_t)regs.orig_rax)
            continue;
        uint8_t at = unrestarted[i].timeout;
        bool endless = at == NONE || (unrestarted[i].is_ms ? (int32_t)args[at] < 0 : !args[at]);
        if (!endless)
            return false;
        // EINTR again, by the kernel's hand, when a signal handler is to run after all.
        regs.rax = (uint64_t)-RESTARTNOHAND;
        memcpy(gregset, &regs, sizeof(regs));
        return true;
    }
    return false;
}

const struct arch_inject inject_x86_64 = {
    .call = "\x0f\x05\xc3", // syscall; ret
    .call_bytes = 3,
    // mov $15,%rax; syscall (glibc, and musl up to 1.1) and mov $15,%eax; syscall
    .sigreturn = {"\x48\xc7\xc0\x0f\0\0\0\x0f\x05", "\xb8\x0f\0\0\0\x0f\x05"},
    .sigreturn_bytes = {9, 7},
    .red_zone_bytes = 128, // System V ABI, 3.2.2
    .clone = CLONE,
    .wait4 = WAIT4,
    .exit = EXIT,
    .set_call = set_call,
    .frame = build_frame,
    .restart = restart,
    .ends_early = ends_early,
};
