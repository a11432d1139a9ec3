// SPDX-License-Identifier: GPL-3.0-or-later
// x86_64: registers, the system calls that threads sleep in, and what unwinding must know of code.
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

static void regs_to_gregset(const struct arch_regs *regs, void *ret_gregset)
{
    struct user_regs_struct words = {
        .rip = regs->ip,
        .rsp = regs->sp,
        .rbp = regs->fp,
        .fs_base = regs->tls,
        .orig_rax = (unsigned long long)regs->syscall,
        .rax = (unsigned long long)regs->syscall_value,
        .rdi = regs->args[0],
        .rsi = regs->args[1],
        .rdx = regs->args[2],
        .r10 = regs->args[3],
        .r8 = regs->args[4],
        .r9 = regs->args[5],
    };
    if (regs->raw_count == 27)
        memcpy(&words, regs->raw, sizeof(words));
    memcpy(ret_gregset, &words, sizeof(words));
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

// DWARF numbers of registers (System V psABI AMD64, figure 3.36) in the order of user_regs_struct:
// r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss ...
enum { RAX, RDX, RCX, RBX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, RA };
static const uint8_t dwarf_to_raw[] = {
    [RAX] = 10, [RDX] = 12, [RCX] = 11, [RBX] = 5,  [RSI] = 13, [RDI] = 14, [RBP] = 4, [RSP] = 19,
    [R8] = 9,   [R9] = 8,   [R10] = 7,  [R11] = 6,  [R12] = 3,  [R13] = 2,  [R14] = 1, [R15] = 0,
};

// struct ucontext, to which the stack pointer points in the frame of the signal trampoline: flags,
// link, the alternate stack (24 bytes), and from 40 on struct sigcontext (asm/sigcontext.h).
static const uint16_t signal_frame[] = {
    [R8] = 40,   [R9] = 48,   [R10] = 56,  [R11] = 64,  [R12] = 72,  [R13] = 80,
    [R14] = 88,  [R15] = 96,  [RDI] = 104, [RSI] = 112, [RBP] = 120, [RBX] = 128,
    [RDX] = 136, [RAX] = 144, [RCX] = 152, [RSP] = 160, [RA] = 168,
};

static const char *const register_names[] = {
    [RAX] = "rax", [RDX] = "rdx", [RCX] = "rcx", [RBX] = "rbx", [RSI] = "rsi", [RDI] = "rdi",
    [RBP] = "rbp", [RSP] = "rsp", [R8] = "r8",   [R9] = "r9",   [R10] = "r10", [R11] = "r11",
    [R12] = "r12", [R13] = "r13", [R14] = "r14", [R15] = "r15",
};

// Intel SDM, volume 2A, CALL: e8 rel32; ff /2 with any ModRM. FAR calls (9a, ff /3) are not used.
static bool follows_call(const uint8_t *code, size_t size, uint64_t pc, uint64_t *ret_target)
{
    const uint8_t *end = code + size;
    *ret_target = 0;
    if (size >= 5 && end[-5] == 0xe8) {
        int32_t relative;
        memcpy(&relative, end - 4, sizeof(relative));
        *ret_target = pc + (uint64_t)(int64_t)relative;
        return true;
    }
    for (size_t length = 2; length <= 7 && length <= size; length++) {
        if (end[-(int)length] != 0xff || (end[1 - (int)length] & 0x38) != 0x10)
            continue;
        uint8_t mod = end[1 - (int)length] >> 6, rm = end[1 - (int)length] & 7;
        size_t want = 2;
        if (mod != 3 && rm == 4) { // a SIB byte
            want += 1;
            if (length > 2 && mod == 0 && (end[2 - (int)length] & 7) == 5)
                want += 4;
        }
        if (mod == 0 && rm == 5)
            want += 4;
        want += mod == 1 ? 1 : mod == 2 ? 4 : 0;
        if (want == length)
            return true;
    }
    return false;
}

// sub $imm,%rsp (48 83 /5 ib, 48 81 /5 id); the same with /0, add, and a negative immediate;
// lea disp(%rsp),%rsp (48 8d 64 24 disp8, 48 8d a4 24 disp32).
static bool as_adjustment(const uint8_t *code, size_t size, int64_t *ret)
{
    int32_t wide;
    if (size < 8 || code[0] != 0x48)
        return false;
    bool is_lea = code[1] == 0x8d && (code[2] == 0x64 || code[2] == 0xa4) && code[3] == 0x24;
    bool is_sub = code[2] == 0xec, is_add = code[2] == 0xc4;
    if (!is_lea && !((code[1] == 0x83 || code[1] == 0x81) && (is_sub || is_add)))
        return false;
    const uint8_t *number = code + (is_lea ? 4 : 3);
    memcpy(&wide, number, sizeof(wide));
    *ret = code[1] == 0x83 || code[2] == 0x64 ? (int8_t)*number : wide;
    if (!is_sub)
        *ret = -*ret;
    return *ret > 0 && *ret < 1 << 20;
}

// To a value that the code does not show: sub or mov %reg,%rsp (alloca), but not mov %rbp,%rsp (the
// end of a frame); and $imm8,%rsp.
static bool sets_stack_pointer(const uint8_t code[static 3])
{
    bool wide = (code[0] & 0xf8) == 0x48; // REX.W; bit 2 extends the register, bit 0 the other one
    bool to_rsp = (code[2] & 0xc7) == 0xc4, from_rbp = code[0] == 0x48 && code[2] == 0xec;
    if (wide && (code[1] == 0x29 || code[1] == 0x89) && !(code[0] & 1) && to_rsp)
        return !(code[1] == 0x89 && from_rbp);
    if (wide && (code[1] == 0x2b || code[1] == 0x8b) && !(code[0] & 4) && (code[2] & 0xf8) == 0xe0)
        return !(code[1] == 0x8b && code[0] == 0x48 && code[2] == 0xe5);
    return code[0] == 0x48 && code[1] == 0x83 && code[2] == 0xe4;
}

// Not decoded instruction by instruction: bytes inside of one that look like another only add a
// value that proves wrong.
static size_t frame_sizes(const uint8_t *code, size_t size, uint64_t *ret, size_t limit)
{
    size_t count = 0;
    for (size_t i = 0; i + 3 <= size; i++) {
        if (sets_stack_pointer(code + i))
            return 0;
        int64_t bytes;
        if (!as_adjustment(code + i, size - i, &bytes))
            continue;
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known |= ret[k] == (uint64_t)bytes;
        if (!known && count == limit)
            return 0;
        if (!known)
            ret[count++] = (uint64_t)bytes;
    }
    // None: then perhaps a push of any register keeps the stack aligned.
    if (count == 0 && limit >= 2) {
        ret[count++] = 0;
        ret[count++] = 8;
    }
    return count;
}

// e9 rel32; 0f 80-8f rel32; ff /4 (through a register or memory: it may go anywhere).
static bool may_jump_to(const uint8_t *code, size_t size, uint64_t pc, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i + 2 <= size; i++) {
        if (code[i] == 0xff && (code[i + 1] & 0x38) == 0x20)
            return true;
        bool jump = code[i] == 0xe9 || (i > 0 && code[i - 1] == 0x0f && (code[i] & 0xf0) == 0x80);
        if (!jump || i + 5 > size)
            continue;
        int32_t relative;
        memcpy(&relative, code + i + 1, sizeof(relative));
        uint64_t target = pc + i + 5 + (uint64_t)(int64_t)relative;
        if (target >= start && target < end)
            return true;
    }
    return false;
}

// ---- Switches of stacks -------------------------------------------------------------------------

enum { RBP_FIELD = 5 }; // the register's number in instructions

// An instruction with a local variable of its function in memory.
struct local {
    size_t bytes; // of the instruction; 0: it is none
    uint8_t reg;  // the field of ModRM that says which register, or extends the opcode
    uint8_t base; // RSP or RBP
    int32_t offset;
};

// Intel SDM, volume 2A, 2.1.5: ModRM of an operand in memory, [rsp + disp] (with a SIB byte that has no
// index) or [rbp + disp].
static struct local as_local(const uint8_t *code, size_t size, const char *opcode, size_t opcode_bytes)
{
    struct local none = {0};
    if (size < opcode_bytes + 6 || memcmp(code, opcode, opcode_bytes) != 0)
        return none;
    const uint8_t *at = code + opcode_bytes;
    uint8_t mod = at[0] >> 6, rm = at[0] & 7;
    struct local ret = {.reg = (at[0] >> 3) & 7, .base = rm == 4 ? RSP : RBP};
    if ((rm != 4 || at[1] != 0x24) && rm != 5)
        return none;
    if (mod == 3 || (mod == 0 && rm == 5))
        return none;
    at += rm == 4 ? 2 : 1;
    if (mod == 1)
        ret.offset = (int8_t)at[0];
    else if (mod == 2)
        memcpy(&ret.offset, at, sizeof(ret.offset));
    ret.bytes = (size_t)(at - code) + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
    return ret;
}

static bool is_local(struct local local, uint8_t reg)
{
    return local.bytes && local.reg == reg;
}

#define LOCAL(code, size, opcode) as_local(code, size, opcode, sizeof(opcode) - 1)
#define FLOAT_CONTROL "\xd9"       // fnstcw: /7; fldcw: /5
#define VECTOR_CONTROL "\x0f\xae" // stmxcsr: /3; ldmxcsr: /2
#define STORE "\x48\x89"          // mov %reg,local
#define LOAD "\x48\x8b"           // mov local,%reg

// fnstcw; stmxcsr; mov %rbp,local. Three statements of assembler code: nothing comes between.
static bool saves_state(const uint8_t *code, size_t size, struct local *ret)
{
    struct local word = LOCAL(code, size, FLOAT_CONTROL);
    if (!is_local(word, 7))
        return false;
    code += word.bytes, size -= word.bytes;
    word = LOCAL(code, size, VECTOR_CONTROL);
    if (!is_local(word, 3))
        return false;
    *ret = LOCAL(code + word.bytes, size - word.bytes, STORE);
    return is_local(*ret, RBP_FIELD);
}

// mov local,%rbp; ldmxcsr; fldcw.
static bool loads_state(const uint8_t *code, size_t size, struct local *ret)
{
    struct local word = *ret = LOCAL(code, size, LOAD);
    if (!is_local(word, RBP_FIELD))
        return false;
    code += word.bytes, size -= word.bytes;
    word = LOCAL(code, size, VECTOR_CONTROL);
    return is_local(word, 2) &&
           is_local(LOCAL(code + word.bytes, size - word.bytes, FLOAT_CONTROL), 5);
}

// add %reg,%rsp; add %reg,%rbp with the same register end before it (greenlet 0.4 to 3.5,
// platform/switch_amd64_unix.h). The frame pointer was saved in a local at the function's beginning, and
// will be loaded from it at its end; in code that is made with frame pointers, the local of the other
// stack has its own frame pointer.
static bool switches_stack(const uint8_t *code, size_t size, size_t at, struct arch_switch *ret)
{
    struct local saved, loaded;
    const uint8_t *add = code + at - 6;
    if (at < 6 || at > size || (add[0] & 0xfb) != 0x48 || add[1] != 0x01 || add[0] != add[3] ||
        add[4] != 0x01 || (add[2] & 0xc7) != 0xc4 || add[5] != add[2] + 1)
        return false;
    bool found = false;
    for (size_t i = at - 6; i > 0 && at - i < ARCH_SWITCH_BEFORE && !found; i--)
        found = saves_state(code + i - 1, at - i + 1, &saved);
    if (!found)
        return false;
    for (size_t i = at; i < size && i - at < ARCH_SWITCH_BEHIND; i++)
        if (loads_state(code + i, size - i, &loaded)) {
            *ret = (struct arch_switch){loaded.base, loaded.offset};
            return loaded.base == saved.base && loaded.offset == saved.offset;
        }
    return false;
}

#define BYTES(text) .bytes = (text), .size = sizeof(text) - 1
#define PLAIN ARCH_STUB_PLAIN

static const struct arch_stub stubs[] = {
    // CPython, Python/asm_trampoline.S, 3.12: sub $8,%rsp; call *%rcx; add $8,%rsp; ret
    {BYTES("\x48\x83\xec\x08\xff\xd1\x48\x83\xc4\x08\xc3"),
     {{0, PLAIN, 8, 0}, {4, PLAIN, 16, 0}, {6, PLAIN, 16, 0}, {10, PLAIN, 8, 0}}},
    // 3.13 and later: push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret
    {BYTES("\x55\x48\x89\xe5\xff\xd1\x5d\xc3"),
     {{0, PLAIN, 8, 0},
      {1, PLAIN, 16, -16},
      {4, PLAIN, 16, -16},
      {6, PLAIN, 16, -16},
      {7, PLAIN, 8, 0}}},
    // The signal trampoline of C libraries whose assembler code has no unwind tables (musl,
    // src/signal/x86_64/restore.s): mov $15,%rax or %eax; syscall
    {BYTES("\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"),
     {{0, ARCH_STUB_SIGNAL, 0, 0}, {7, ARCH_STUB_SIGNAL, 0, 0}}},
    {BYTES("\xb8\x0f\x00\x00\x00\x0f\x05"),
     {{0, ARCH_STUB_SIGNAL, 0, 0}, {5, ARCH_STUB_SIGNAL, 0, 0}}},
    // The end of musl's __clone (src/thread/x86_64/clone.s): call *%r9; mov %eax,%edi;
    // xor %eax,%eax; mov $60,%al; syscall
    {BYTES("\x41\xff\xd1\x89\xc7\x31\xc0\xb0\x3c\x0f\x05"), {{3, ARCH_STUB_BASE, 0, 0}}},
    // libffi's static trampolines (src/x86/unix64.S, trampoline_code_table), which it maps a second
    // time for its closures: [endbr64]; sub $16,%rsp; mov %r10,(%rsp); mov data(%rip),%r10;
    // mov %r10,8(%rsp); mov code(%rip),%r10; jmp *%r10
    {BYTES("\xf3\x0f\x1e\xfa\x48\x83\xec\x10\x4c\x89\x14\x24\x4c\x8b\x15"),
     {{0, PLAIN, 8, 0}}},
    {BYTES("\x48\x83\xec\x10\x4c\x89\x14\x24\x4c\x8b\x15"),
     {{0, PLAIN, 8, 0},
      {4, PLAIN, 24, 0},
      {8, PLAIN, 24, 0},
      {15, PLAIN, 24, 0},
      {20, PLAIN, 24, 0},
      {27, PLAIN, 24, 0}}},
    // A slot of a linkage table, or a tail call through memory: jmp *slot(%rip)
    {BYTES("\xff\x25"), {{0, PLAIN, 8, 0}}},
    {0},
};

static const struct arch_unwind unwind_rows = {
    .count = 16,
    .sp = RSP,
    .fp = RBP,
    .ra = RA,
    .raw = dwarf_to_raw,
    .preserved = 1 << RBX | 1 << RBP | 1 << R12 | 1 << R13 | 1 << R14 | 1 << R15,
    .call_bytes = 7,
    .signal_frame = signal_frame,
    .signal_info = 304, // struct rt_sigframe (asm/sigframe.h): behind struct ucontext
    .signal_error = 192,
    .signal_trap = 200,
    .signal_address = 216,
    .names = register_names,
    .follows_call = follows_call,
    .frame_sizes = frame_sizes,
    .may_jump_to = may_jump_to,
    .stubs = stubs,
    .switches_stack = switches_stack,
};

const struct arch arch_x86_64 = {
    .name = "x86_64",
    .elf_machine = EM_X86_64,
    .gregset_bytes = sizeof(struct user_regs_struct),
    .regs_from_gregset = regs_from_gregset,
    .regs_to_gregset = regs_to_gregset,
    .restart_syscall = RESTART,
    .original_syscall = original_syscall,
    .syscalls = syscalls,
    .unwind = &unwind_rows,
    .inject = &inject_x86_64,
};
