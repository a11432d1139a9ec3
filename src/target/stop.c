// SPDX-License-Identifier: GPL-3.0-or-later
// Stopping threads of a live process: see target/live.h. Everything here is bounded by a deadline;
// letting go is in release.c.
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "target/stop_private.h"
#include "util/guard.h"

#define SLOW_NS 2000000u // a thread that needs longer is looked at: is it in D state?
#define MAX_ROUNDS 64    // of re-listing; a process that forks threads faster is noted

static void unstoppable(struct live_thread *thread, const char *why)
{
    thread->state = LIVE_UNSTOPPED;
    thread->why = why;
}

static void look_at_clock(struct live_thread *thread)
{
    thread->has_before =
        thread->schedstat_fd >= 0 && proc_read_clock(thread->schedstat_fd, &thread->before);
}

// Was it on a processor when we came? If it was not put on one since its clock was read: yes. If it
// was, it waited for one in between; but when it waited for less time than we have been awake, it
// is we who took its processor, and without us it would have run on.
static bool was_on_cpu(const struct live *live, const struct live_thread *thread)
{
    struct proc_clock now;
    if (!thread->has_before || !proc_read_clock(thread->schedstat_fd, &now))
        return true;
    return now.slices == thread->before.slices ||
           (live->woken_ns &&
            now.wait_ns - thread->before.wait_ns < live_now_ns() - live->woken_ns);
}

static void seize(struct live *live, struct live_thread *thread)
{
    thread->pending_signal = 0;
    thread->was_stopped = thread->has_regs = thread->on_cpu = thread->interrupted = false;
    thread->tracer = 0;
    thread->asleep = false;
    if (thread->lingering) {
        unstoppable(thread, "it still has not answered an earlier stop");
        if (live_is_dead(live_kernel_state(live, thread)))
            thread->state = LIVE_GONE;
        return;
    }
    thread->state = LIVE_RUNNING;
    thread->why = NULL;
    look_at_clock(thread);
    if (thread->fresh)
        thread->sleeper = live_kernel_state(live, thread) == 'S';
    thread->seized = true; // before it is true: the handler may have to collect it
    if (ptrace(PTRACE_SEIZE, thread->tid, 0, 0) == 0)
        return;
    thread->seized = false;
    if (errno == ESRCH) {
        thread->state = LIVE_GONE;
        return;
    }
    char state = live_kernel_state(live, thread);
    if (live_is_dead(state)) {
        thread->state = LIVE_GONE;
        return;
    }
    thread->tracer = proc_tracer(live->pid, thread->tid);
    if (thread->tracer) {
        unstoppable(thread, "another tracer holds it");
        thread->was_stopped = state == 't';
    } else {
        unstoppable(thread,
                    "the kernel refused to stop it (a seccomp filter, or a security module? Start "
                    "pycore's container with --cap-add=SYS_PTRACE, or run it on the host)");
    }
}

static void take_registers(struct live *live, struct live_thread *thread)
{
    const struct arch *arch = arch_host();
    unsigned char gregset[ARCH_MAX_RAW * 8];
    struct iovec place = {gregset, arch->gregset_bytes};
    if (ptrace(PTRACE_GETREGSET, thread->tid, NT_PRSTATUS, &place) != 0 ||
        place.iov_len != arch->gregset_bytes) {
        thread->state = LIVE_GONE; // killed under our hands; the detach collects it
        return;
    }
    arch->regs_from_gregset(gregset, &thread->regs);
    thread->has_regs = thread->stopped_by_us = true;
    thread->sleeper = arch_blocked_in_syscall(&thread->regs);
    // The call that a signal ended would have ended without us, too.
    live->interrupted_calls += thread->sleeper && !thread->pending_signal && !thread->was_stopped &&
                               thread->regs.syscall_value == -EINTR;
    if (!thread->sleeper && !thread->was_stopped)
        thread->on_cpu = was_on_cpu(live, thread);
}

// True when it makes no sense to wait for it now. Main threads that ended before the others are
// zombies that nobody can wait for until those have ended, too.
static bool give_up(struct live *live, struct live_thread *thread, bool late)
{
    char state = live_kernel_state(live, thread);
    if (live_is_dead(state))
        thread->state = LIVE_GONE;
    else if (state == 'D')
        unstoppable(thread, "it is in an uninterruptible sleep in the kernel");
    else if (late)
        thread->late = true;
    else
        return false;
    if (!thread->late)
        live_linger(live, thread);
    return true;
}

// SIGCHLD is blocked, and pending whenever a tracee changed its state.
static void wait_for_child(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    struct timespec wait = {0, 500000};
    sigtimedwait(&child, NULL, &wait);
}

// Waits until every thread that was interrupted is stopped or gone.
static void await_stops(struct live *live, uint64_t deadline_ns)
{
    uint64_t begin_ns = live_now_ns();
    for (;;) {
        size_t missing = 0;
        uint64_t now_ns = live_now_ns();
        vec_foreach (thread, &live->threads) {
            if (!thread->seized || !thread->interrupted || thread->late ||
                thread->state != LIVE_RUNNING || live_poll_thread(thread))
                continue;
            bool late = now_ns >= deadline_ns;
            if (!(late || now_ns > begin_ns + SLOW_NS) || !give_up(live, thread, late))
                missing++;
        }
        if (!missing)
            return;
        wait_for_child();
    }
}

// The registers of threads that were to be stopped and could not: what /proc says of the call they
// sleep in. As with all sleepers, the clock will tell whether they did.
static void look_at_unstopped(struct live *live, struct live_thread *thread)
{
    thread->proc_state = live_kernel_state(live, thread);
    if (live_is_dead(thread->proc_state)) {
        thread->state = LIVE_GONE;
        return;
    }
    look_at_clock(thread);
    thread->has_regs = proc_blocked_syscall(live->pid, thread->tid, &thread->regs);
    thread->asleep = thread->has_regs;
    thread->on_cpu = !thread->has_regs && thread->proc_state == 'R';
}

static void look_at_all_unstopped(struct live *live)
{
    vec_foreach (thread, &live->threads)
        if (thread->state == LIVE_UNSTOPPED)
            look_at_unstopped(live, thread);
}

// A stop ends some system calls with EINTR. A thread that has gone to sleep since it was looked at
// needs no stop any more.
static bool has_fallen_asleep(struct live_thread *thread)
{
    struct arch_regs regs;
    struct proc_clock clock;
    if (thread->asleep || thread->syscall_fd < 0 || !proc_read_clock(thread->schedstat_fd, &clock))
        return false;
    if (!proc_read_syscall(thread->syscall_fd, &regs) || !regs.sp || regs.syscall < 0)
        return false;
    // Not yet believed: the clock was read first, so that a later look at it proves it.
    thread->before = clock;
    thread->has_before = clock.slices != 0;
    thread->regs = regs;
    thread->asleep = thread->has_regs = thread->has_before;
    return thread->asleep;
}

// Seizes the wanted threads that are not yet ours; those that were let down by an exec have a
// second go.
static size_t seize_wanted(struct live *live, bool whole)
{
    size_t seized = 0;
    live_begin_seizing(live);
    vec_foreach (thread, &live->threads) {
        if (thread->seized && !thread->lingering)
            continue;
        if (!(whole || thread->wanted) || !thread->listed || thread->state == LIVE_UNSTOPPED ||
            thread->state == LIVE_GONE)
            continue;
        if (!whole && !thread->insist && has_fallen_asleep(thread))
            continue;
        seize(live, thread);
        seized += thread->seized && !thread->lingering;
    }
    live_end_seizing();
    return seized;
}

// Stops the sleepers, or all the others, and takes their registers.
static void interrupt(struct live *live, bool sleepers, uint64_t deadline_ns)
{
    size_t count = 0;
    vec_foreach (thread, &live->threads) {
        if (!thread->seized || thread->lingering || thread->state != LIVE_RUNNING ||
            thread->sleeper != sleepers || thread->interrupted)
            continue;
        count++;
        thread->interrupted = true;
        // The sleepers that woke to stop may have put it off its processor: that is not its doing.
        if (!sleepers)
            look_at_clock(thread);
        if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) != 0)
            live_poll_thread(thread); // it has ended
    }
    if (!count)
        return;
    await_stops(live, deadline_ns);
    vec_foreach (thread, &live->threads)
        if (thread->state == LIVE_STOPPED && !thread->has_regs)
            take_registers(live, thread);
}

// The link count of the task directory saves the listing when nobody new is there.
static bool all_are_held(const struct live *live)
{
    size_t held = 0;
    vec_foreach (thread, &live->threads)
        held += thread->state == LIVE_STOPPED || thread->state == LIVE_UNSTOPPED || thread->late;
    return held == proc_thread_count(live->pid);
}

struct err *live_stop(struct live *live, bool whole, uint64_t deadline_ns, struct stop_times *ret)
{
    live_block_signals(live);
    live_raise_priority(live);
    if (!seize_wanted(live, whole) && !whole) {
        look_at_all_unstopped(live);
        return NULL;
    }
    ret->begin_ns = live_now_ns();
    deadline_ns += ret->begin_ns;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        if (round > 0) {
            TRY(live_list_threads(live));
            if (!seize_wanted(live, whole))
                break;
        }
        interrupt(live, true, deadline_ns);
        interrupt(live, false, deadline_ns);
        if (!whole || all_are_held(live))
            break;
    }
    look_at_all_unstopped(live);
    ret->stopped_ns = live_now_ns();
    return NULL;
}

// One that has come, if the kernel names it first; asking each of hundreds would take its time.
static struct live_thread *who_came(struct live *live)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT | WNOHANG | __WALL) != 0 || !info.si_pid)
        return NULL;
    vec_foreach (thread, &live->threads)
        if (thread->tid == info.si_pid)
            return thread->late ? thread : NULL;
    return NULL;
}

// Takes a late thread that has come. False: it has ended.
static bool take_late(struct live *live, struct live_thread *thread, struct stop_times *times)
{
    thread->late = false;
    if (thread->state != LIVE_STOPPED)
        return false;
    live_raise_priority(live);
    times->begin_ns = times->stopped_ns = live_now_ns();
    take_registers(live, thread);
    return true;
}

static void give_up_late(struct live *live)
{
    vec_foreach (thread, &live->threads) {
        if (!thread->late)
            continue;
        thread->late = false;
        if (thread->state != LIVE_RUNNING || live_poll_thread(thread))
            continue; // it came just now: live_resume lets it go
        unstoppable(thread, "it did not stop in time");
        live_linger(live, thread);
        look_at_unstopped(live, thread);
    }
}

bool live_next_late(struct live *live, uint64_t deadline_ns, struct stop_times *times,
                    struct live_thread **ret)
{
    deadline_ns += live_now_ns();
    for (bool waiting = true; waiting && live_now_ns() < deadline_ns;) {
        *ret = who_came(live);
        if (*ret && live_poll_thread(*ret) && take_late(live, *ret, times))
            return true;
        waiting = false;
        vec_foreach (thread, &live->threads) {
            if (!thread->late)
                continue;
            *ret = thread;
            if (!live_poll_thread(thread))
                waiting = true;
            else if (take_late(live, thread, times))
                return true;
        }
        if (waiting)
            wait_for_child();
    }
    give_up_late(live);
    struct stop_times none = {0};
    live_resume(live, &none);
    return false;
}
