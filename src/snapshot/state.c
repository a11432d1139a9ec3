// SPDX-License-Identifier: GPL-3.0-or-later
// What a thread is doing. For a thread that was stopped (or dumped) its registers decide, because
// they are of the same moment as its stack; for others what /proc says of the call it sleeps in.
#include "snapshot/build.h"

static bool waits_for_gil(const struct live_thread *thread, const struct py_gils *gils)
{
    uint64_t word = arch_futex_address(arch_host(), thread->regs.syscall, thread->regs.args);
    for (size_t i = 0; word && gils && i < gils->count; i++)
        if (word >= gils->items[i].start && word < gils->items[i].end)
            return true;
    return false;
}

static enum snap_state asleep(const struct live_thread *thread, const struct py_gils *gils)
{
    if (waits_for_gil(thread, gils))
        return SNAP_GIL_WAIT;
    switch (arch_syscall_wait(arch_host(), thread->regs.syscall, thread->regs.args)) {
    case ARCH_WAIT_IO:
        return SNAP_IO_WAIT;
    case ARCH_WAIT_LOCK:
        return SNAP_LOCK_WAIT;
    case ARCH_WAIT_SLEEP:
        return SNAP_SLEEP;
    case ARCH_WAIT_NONE:
    case ARCH_WAIT_OTHER:
        break;
    }
    return SNAP_UNKNOWN;
}

enum snap_state snap_thread_state(const struct live_thread *thread, const struct py_gils *gils,
                                  bool is_core)
{
    bool full = thread->state == LIVE_STOPPED && thread->has_regs;
    if (full && arch_blocked_in_syscall(&thread->regs))
        return asleep(thread, gils);
    if (thread->was_stopped)
        return SNAP_UNKNOWN; // SIGSTOP or another tracer holds it: it neither works nor waits
    if (full)
        return thread->on_cpu || is_core ? SNAP_RUNNING : SNAP_RUNNABLE;
    if (thread->has_regs && thread->regs.syscall >= 0)
        return asleep(thread, gils);
    switch (thread->proc_state) {
    case 'R':
        return SNAP_RUNNING;
    case 'D':
        return SNAP_IO_WAIT;
    default:
        return SNAP_UNKNOWN;
    }
}
