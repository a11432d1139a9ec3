// SPDX-License-Identifier: GPL-3.0-or-later
// The machines pycore knows, and what is the same on all of them (Linux's restart codes).
#include "target/arch.h"

#include "target/arch_rows.h"
#include "util/guard.h"

static const struct arch *const machines[] = {&arch_x86_64};

const struct arch *arch_host(void)
{
#if defined(__x86_64__)
    return &arch_x86_64;
#else
#error \
    "pycore has no src/target/arch_<machine>.c for this machine yet; HACKING.md says how to add one"
#endif
}

const struct arch *arch_by_elf_machine(uint16_t elf_machine)
{
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
        if (machines[i]->elf_machine == elf_machine)
            return machines[i];
    return NULL;
}

bool arch_blocked_in_syscall(const struct arch_regs *regs)
{
    // linux/errno.h: ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK; the
    // calls that never restart (epoll_wait, semop, ...) hold EINTR, see signal(7).
    enum { RESTARTSYS = 512, RESTARTNOINTR = 513, RESTARTNOHAND = 514, RESTARTBLOCK = 516 };
    if (regs->syscall < 0)
        return false;
    switch (-regs->syscall_value) {
    case RESTARTSYS:
    case RESTARTNOINTR:
    case RESTARTNOHAND:
    case RESTARTBLOCK:
    case 4: // EINTR
        return true;
    default:
        return false;
    }
}

bool arch_signal_regs(const struct arch *arch, struct mem *mem, uint64_t sp, struct arch_regs *ret)
{
    const struct arch_unwind *unwind = arch->unwind;
    *ret = (struct arch_regs){.syscall = -1};
    for (size_t i = 0; i <= unwind->count; i++) {
        uint64_t value;
        AUTO_ERR struct err *err = mem_read_u64(mem, sp + unwind->signal_frame[i], &value);
        if (err)
            return false;
        if (i == unwind->count)
            ret->ip = value;
        else
            ret->raw[unwind->raw[i]] = value;
        if (i < unwind->count && unwind->raw[i] >= ret->raw_count)
            ret->raw_count = unwind->raw[i] + 1u;
    }
    ret->sp = ret->raw[unwind->raw[unwind->sp]];
    ret->fp = ret->raw[unwind->raw[unwind->fp]];
    return true;
}

int64_t arch_original_syscall(const struct arch *arch, struct mem *mem,
                              const struct arch_regs *regs)
{
    return regs->syscall == arch->restart_syscall ? arch->original_syscall(mem, regs)
                                                  : regs->syscall;
}

static const struct arch_syscall *row_of(const struct arch *arch, int64_t number)
{
    for (const struct arch_syscall *row = arch->syscalls; row->name; row++)
        if (row->number == number)
            return row;
    return NULL;
}

enum arch_wait arch_syscall_wait(const struct arch *arch, int64_t number, const uint64_t args[6])
{
    const struct arch_syscall *row = row_of(arch, number);
    if (!row)
        return ARCH_WAIT_OTHER;
    // select(0, NULL, NULL, NULL, &time) is how CPython slept up to 3.10 (Modules/timemodule.c,
    // pysleep); poll(NULL, 0, ms) is the same idiom elsewhere.
    if (row->sleeps_when_arg_is_0 >= 0 && args[row->sleeps_when_arg_is_0] == 0)
        return ARCH_WAIT_SLEEP;
    return row->wait;
}

uint64_t arch_futex_address(const struct arch *arch, int64_t number, const uint64_t args[6])
{
    const struct arch_syscall *row = row_of(arch, number);
    return row && row->is_futex ? args[0] : 0;
}

const char *arch_syscall_name(const struct arch *arch, int64_t number)
{
    const struct arch_syscall *row = row_of(arch, number);
    return row ? row->name : NULL;
}
