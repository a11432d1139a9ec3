// SPDX-License-Identifier: GPL-3.0-or-later
// What differs between machines: register files, system call conventions, and what unwinding must
// know of code. One file src/target/arch_<machine>.c each.
//
// To add a machine: that file (register rows, restart codes, system call table, DWARF numbers), its
// e_machine in arch.c, a fixture.
#ifndef TARGET_ARCH_H
#define TARGET_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/mem.h"

#define ARCH_MAX_RAW 34 // aarch64: x0-x30, sp, pc, pstate; x86_64 uses 27

struct arch_regs {
    uint64_t ip, sp, fp;
    uint64_t tls;               // fs_base (x86_64), TPIDR_EL0 (aarch64): pthread_self() on x86_64
    int64_t syscall;            // number of the call the thread is inside of; -1: none
    int64_t syscall_value;      // the return value register as the kernel left it
    uint64_t args[6];           // of that call
    uint64_t raw[ARCH_MAX_RAW]; // the machine's own order (user_regs_struct)
    uint32_t raw_count;
};

// How a piece of code that has no call frame information is left, when pc is `at` bytes into it.
enum arch_stub_kind { ARCH_STUB_NONE, ARCH_STUB_PLAIN, ARCH_STUB_SIGNAL, ARCH_STUB_BASE };
struct arch_stub_row {
    uint8_t at, kind;
    int16_t cfa; // stack pointer + this; the return address lies right below
    int16_t fp;  // the caller's frame pointer lies at CFA + this; 0: it is in its register
};
struct arch_stub {
    const char *bytes;
    uint8_t size;
    struct arch_stub_row rows[6];
};

// Where code has just made another stack its own.
struct arch_switch {
    uint8_t fp_base; // DWARF number of the stack pointer or of the frame pointer itself:
    int32_t fp_at;   // ... plus this is where the frame pointer of that stack lies
};

enum { ARCH_MAX_DWARF = 33 }; // DWARF numbers of general registers; aarch64: x0-x30, sp

// What the unwinder must know of a machine.
struct arch_unwind {
    uint8_t count;            // DWARF numbers 0 .. count - 1 are general registers
    uint8_t sp, fp, ra;       // DWARF numbers; ra may be a column without a register
    const uint8_t *raw;       // [count]: index into arch_regs.raw
    uint64_t preserved; // registers that a function leaves to its caller as they were, a bit each
    uint8_t call_bytes;       // longest call instruction
    // Offsets from the stack pointer at which the kernel's signal frame keeps the registers, by
    // DWARF number, and the pc at [count].
    const uint16_t *signal_frame;
    // In the same frame: siginfo_t, which is there for handlers that asked for it (SA_SIGINFO); error
    // code, number and address of the trap that began it. signal_info 0: nobody has written these.
    uint16_t signal_info, signal_error, signal_trap, signal_address;
    const char *const *names; // of registers, by DWARF number
    // `code` ends where the return address points: is there a call instruction right before? Sets
    // *ret_target to where it goes, 0: through a register or memory.
    bool (*follows_call)(const uint8_t *code, size_t size, uint64_t pc, uint64_t *ret_target);
    // By how much the code of a function, from its start on, may lower the stack pointer below the
    // registers that it saves. Returns how many values; 0: it varies.
    size_t (*frame_sizes)(const uint8_t *code, size_t size, uint64_t *ret, size_t limit);
    // The code of a function, which begins at `pc`, may jump into [start, end): a tail call.
    bool (*may_jump_to)(const uint8_t *code, size_t size, uint64_t pc, uint64_t start,
                        uint64_t end);
    const struct arch_stub *stubs; // ends with one of size 0
    // slp_switch() of the greenlet module (platform/switch_<machine>_*.h) goes on at code + at with the
    // other greenlet's stack pointer. NULL: nobody has written it.
    bool (*switches_stack)(const uint8_t *code, size_t size, size_t at, struct arch_switch *ret);
};
// So many bytes of code before and after that place tell.
enum { ARCH_SWITCH_BEFORE = 256, ARCH_SWITCH_BEHIND = 96 };

// How a stopped thread is made to execute a system call of ours, with code that is already there.
struct arch_inject {
    const char *call, *sigreturn[2]; // instruction bytes: a system call and a return; rt_sigreturn(2)
    uint8_t call_bytes, sigreturn_bytes[2];
    uint32_t red_zone_bytes; // below the stack pointer, not to be touched
    int64_t clone, wait4, exit;
    // Registers with which the thread executes it, at `ip`, and no call of its own is restarted.
    void (*set_call)(void *gregset, uint64_t ip, uint64_t sp, int64_t number,
                     const uint64_t args[6]);
    // A signal frame that ends below `top`: a return from `call` on it gives all these registers
    // back by itself, an interrupted system call restarted. `xstate` may be NULL. Returns its size,
    // 0 when it does not fit into `room`; *ret_sp: where it lies, the stack pointer for `call`.
    size_t (*frame)(const void *gregset, const void *xstate, size_t xstate_bytes,
                    uint64_t signal_mask, uint64_t sigreturn_ip, uint64_t top, unsigned char *room,
                    size_t room_bytes, uint64_t *ret_sp);
    // EINTR becomes the code that makes the kernel restart the call: of one that waits without end.
    bool (*restart)(void *gregset);
    bool (*ends_early)(int64_t number); // this call ends with EINTR whenever it is interrupted
};

struct arch {
    const char *name; // "x86_64"
    uint16_t elf_machine;
    size_t gregset_bytes; // elf_gregset_t in NT_PRSTATUS, and what PTRACE_GETREGSET fills
    void (*regs_from_gregset)(const void *gregset, struct arch_regs *ret);
    // The way back. Without `raw` (what /proc says of a sleeper) the named fields, the rest zero.
    void (*regs_to_gregset)(const struct arch_regs *regs, void *ret_gregset);
    int64_t restart_syscall; // its number
    int64_t (*original_syscall)(struct mem *mem, const struct arch_regs *regs);
    const struct arch_syscall *syscalls; // private: src/target/arch_rows.h; ends with a NULL name
    const struct arch_unwind *unwind;
    const struct arch_inject *inject; // NULL: nobody has written it
};

const struct arch *arch_host(void);
// NULL for a machine nobody has written a file for.
const struct arch *arch_by_elf_machine(uint16_t elf_machine);

// The thread was asleep inside a system call when it was stopped or dumped: the kernel left one of
// its restart codes (or EINTR) in the return register. A call that had just finished, or user
// code, is not blocked. (linux/errno.h: ERESTARTSYS 512 .. ERESTART_RESTARTBLOCK 516.)
bool arch_blocked_in_syscall(const struct arch_regs *regs);

// The registers that the signal frame at `sp` keeps. False: not readable.
bool arch_signal_regs(const struct arch *arch, struct mem *mem, uint64_t sp, struct arch_regs *ret);

// A timed wait that was interrupted before (by a stop, a debugger, SIGSTOP and SIGCONT) goes on
// inside restart_syscall(2), which hides its number: this finds the call it was. The number itself
// is returned for all other calls, and that of restart_syscall when it cannot be told.
int64_t arch_original_syscall(const struct arch *arch, struct mem *mem,
                              const struct arch_regs *regs);

// What a thread that sleeps in this system call waits for.
enum arch_wait { ARCH_WAIT_NONE, ARCH_WAIT_IO, ARCH_WAIT_LOCK, ARCH_WAIT_SLEEP, ARCH_WAIT_OTHER };
enum arch_wait arch_syscall_wait(const struct arch *arch, int64_t number, const uint64_t args[6]);
// The futex word, when the call is futex(2); 0 otherwise.
uint64_t arch_futex_address(const struct arch *arch, int64_t number, const uint64_t args[6]);
// "epoll_wait"; NULL when the number is not in the table.
const char *arch_syscall_name(const struct arch *arch, int64_t number);

#endif
