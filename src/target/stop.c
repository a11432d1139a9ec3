// SPDX-License-Identifier: GPL-3.0-or-later
// Stopping and resuming a live process: see target/live.h. Everything here is bounded by a
// deadline, and every thread that was seized is remembered until it has been let go.
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "target/live.h"
#include "util/guard.h"

#define EVENT_STOP 128           // PTRACE_EVENT_STOP, <linux/ptrace.h>
#define SLOW_NS 2000000u         // a thread that needs longer is looked at: is it in D state?
#define MAX_ROUNDS 64            // of re-listing; a process that forks threads faster is noted

static int thread_compare(const void *left, const void *right)
{
    const struct live_thread *a = left, *b = right;
    return a->tid < b->tid ? -1 : a->tid > b->tid;
}

// Brings the thread table up to date with /proc; *ret_new counts threads not seen before.
static struct err *list_threads(struct live *live, size_t *ret_new)
{
    struct proc_tids tids = {0};
    struct err *err = proc_tasks(live->pid, &tids);
    if (err) {
        vec_deinit(&tids);
        live->exited = err_code(err) == ERR_GONE;
        return err;
    }
    vec_foreach(thread, &live->threads)
        thread->listed = thread->fresh = false;
    size_t known = live->threads.count, added = 0;
    vec_foreach(tid, &tids) {
        struct live_thread key = {.tid = *tid};
        struct live_thread *old =
            known ? bsearch(&key, live->threads.items, known, sizeof(key), thread_compare) : NULL;
        if (old) {
            old->listed = true;
            continue;
        }
        struct live_thread fresh = {
            .tid = *tid, .ns_tid = *tid, .schedstat_fd = -1, .listed = true, .fresh = true};
        fresh.schedstat_fd = proc_open_schedstat(live->pid, *tid);
        if (vec_push(&live->threads, fresh))
            added++;
    }
    vec_deinit(&tids);
    // A thread that is not listed has ended, but while we hold it its exit must be collected.
    size_t kept = 0;
    for (size_t i = 0; i < live->threads.count; i++) {
        struct live_thread *thread = &live->threads.items[i];
        if (!thread->listed && !thread->seized) {
            if (thread->schedstat_fd >= 0)
                close(thread->schedstat_fd);
            continue;
        }
        live->threads.items[kept++] = *thread;
    }
    live->threads.count = kept;
    if (added)
        qsort(live->threads.items, kept, sizeof(*live->threads.items), thread_compare);
    *ret_new = added;
    return NULL;
}

static void forget(struct live_thread *thread)
{
    thread->seized = thread->lingering = false;
    thread->state = LIVE_GONE;
}

// Takes a wait status of a seized thread. True: it is stopped now, or gone.
static bool take_status(struct live_thread *thread, int status)
{
    if (!WIFSTOPPED(status)) {
        forget(thread);
        return true;
    }
    int event = status >> 16, signo = WSTOPSIG(status);
    thread->state = LIVE_STOPPED;
    thread->pending_signal = 0;
    if (event == EVENT_STOP) {
        // SIGTRAP: our interrupt. A stop signal: the thread is in a group-stop and goes back to
        // it by itself when we detach (ptrace(2), "Group-stop").
        thread->was_stopped = signo != SIGTRAP;
    } else if (event == 0) {
        // A signal was about to be delivered: it is handed on at the detach, siginfo and all.
        thread->pending_signal = signo;
    }
    return true;
}

// WNOHANG; true when the thread is stopped or gone.
static bool poll_thread(struct live_thread *thread)
{
    int status;
    pid_t got = waitpid(thread->tid, &status, __WALL | WNOHANG);
    if (got == thread->tid)
        return take_status(thread, status);
    if (got < 0 && errno == ECHILD) {
        // Not ours any more: another thread of the process called exec, or it was killed.
        forget(thread);
        return true;
    }
    return false;
}

static bool in_uninterruptible_sleep(pid_t pid, pid_t tid)
{
    struct proc_stat stat;
    AUTO_ERR struct err *err = proc_thread_stat(pid, tid, &stat);
    return !err && stat.state == 'D';
}

static void unstoppable(struct live_thread *thread, const char *why)
{
    thread->state = LIVE_UNSTOPPED;
    thread->why = why;
}

static void seize(struct live *live, struct live_thread *thread)
{
    thread->pending_signal = 0;
    thread->was_stopped = thread->has_regs = thread->on_cpu = false;
    if (thread->lingering) {
        unstoppable(thread, "it still has not answered an earlier stop");
        return;
    }
    thread->state = LIVE_RUNNING;
    thread->why = NULL;
    struct proc_clock clock;
    thread->slices_before = thread->schedstat_fd >= 0 &&
                                    proc_read_clock(thread->schedstat_fd, &clock)
                                ? clock.slices
                                : UINT64_MAX;
    if (ptrace(PTRACE_SEIZE, thread->tid, 0, 0) == 0) {
        thread->seized = true;
        return;
    }
    if (errno == ESRCH) {
        thread->state = LIVE_GONE;
        return;
    }
    struct proc_stat stat;
    AUTO_ERR struct err *err = proc_thread_stat(live->pid, thread->tid, &stat);
    if (err || stat.state == 'Z' || stat.state == 'X') {
        thread->state = LIVE_GONE;
        return;
    }
    thread->tracer = proc_tracer(live->pid, thread->tid);
    if (thread->tracer) {
        unstoppable(thread, "another tracer holds it");
        thread->was_stopped = stat.state == 't';
    } else {
        unstoppable(thread, "the kernel refused to stop it");
    }
}

static void take_registers(struct live_thread *thread)
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
    thread->has_regs = true;
    if (!arch_blocked_in_syscall(&thread->regs) && !thread->was_stopped) {
        // Put on a processor since we looked: then it was waiting for one when we came.
        struct proc_clock clock;
        thread->on_cpu = thread->slices_before == UINT64_MAX || thread->schedstat_fd < 0 ||
                         !proc_read_clock(thread->schedstat_fd, &clock) ||
                         clock.slices == thread->slices_before;
    }
}

// Waits until every thread from `first` on that was interrupted is stopped or gone.
static void await_stops(struct live *live, uint64_t deadline_ns)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    uint64_t begin_ns = live_now_ns();
    for (;;) {
        size_t missing = 0;
        uint64_t now_ns = live_now_ns();
        vec_foreach(thread, &live->threads) {
            if (!thread->seized || thread->state != LIVE_RUNNING || poll_thread(thread))
                continue;
            bool hopeless = now_ns >= deadline_ns ||
                            (now_ns > begin_ns + SLOW_NS &&
                             in_uninterruptible_sleep(live->pid, thread->tid));
            if (hopeless) {
                unstoppable(thread, "it is in an uninterruptible sleep in the kernel");
                thread->lingering = true;
                live->lingering++;
            } else {
                missing++;
            }
        }
        if (!missing)
            return;
        // SIGCHLD is blocked by the caller and pending whenever a tracee changed its state.
        struct timespec wait = {0, 500000};
        sigtimedwait(&child, NULL, &wait);
    }
}

// The registers of threads that were not stopped: what /proc says of the call they sleep in.
static void look_at_unstopped(struct live *live)
{
    vec_foreach(thread, &live->threads) {
        if (thread->state != LIVE_UNSTOPPED && thread->state != LIVE_RUNNING)
            continue;
        struct proc_stat stat;
        AUTO_ERR struct err *err = proc_thread_stat(live->pid, thread->tid, &stat);
        thread->proc_state = err ? 0 : stat.state;
        thread->has_regs = proc_blocked_syscall(live->pid, thread->tid, &thread->regs);
        thread->on_cpu = !thread->has_regs && thread->proc_state == 'R';
    }
}

static void block_sigchld(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
}

struct err *live_stop(struct live *live, uint64_t deadline_ns, struct stop_times *ret)
{
    block_sigchld();
    size_t added = 0;
    TRY(list_threads(live, &added));
    vec_foreach(thread, &live->threads)
        seize(live, thread);
    ret->begin_ns = live_now_ns();
    deadline_ns += ret->begin_ns;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        if (round > 0) {
            TRY(list_threads(live, &added));
            if (!added)
                break;
        }
        size_t held = 0;
        vec_foreach(thread, &live->threads) {
            if (round > 0 && thread->fresh && !thread->seized && thread->state == LIVE_RUNNING)
                seize(live, thread); // started since the last look
            if (thread->seized && thread->state == LIVE_RUNNING &&
                ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) != 0 && errno == ESRCH)
                poll_thread(thread);
        }
        await_stops(live, deadline_ns);
        vec_foreach(thread, &live->threads) {
            if (thread->state == LIVE_STOPPED && !thread->has_regs)
                take_registers(thread);
            held += thread->state == LIVE_STOPPED || thread->state == LIVE_UNSTOPPED;
        }
        // The link count of the task directory saves the listing when nobody new is there.
        if (held == proc_thread_count(live->pid))
            break;
    }
    look_at_unstopped(live);
    ret->stopped_ns = live_now_ns();
    size_t alive = 0;
    vec_foreach(thread, &live->threads)
        alive += thread->state != LIVE_GONE;
    if (!alive) {
        live->exited = true;
        return err_create(ERR_GONE, "process %d has ended", live->pid);
    }
    return NULL;
}

static void detach(struct live_thread *thread)
{
    if (ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(intptr_t)thread->pending_signal) != 0) {
        // Killed while it was stopped: collect it, or it would stay a zombie until we exit.
        int status;
        while (waitpid(thread->tid, &status, __WALL | WNOHANG) == thread->tid)
            if (!WIFSTOPPED(status))
                break;
    }
    thread->seized = false;
    thread->pending_signal = 0;
}

// Lets go of threads that answered late.
static void release_lingering(struct live *live)
{
    if (!live->lingering)
        return;
    vec_foreach(thread, &live->threads) {
        if (!thread->lingering)
            continue;
        enum live_thread_state before = thread->state;
        if (!poll_thread(thread))
            continue;
        if (thread->seized)
            detach(thread);
        thread->lingering = false;
        live->lingering--;
        if (thread->state != LIVE_GONE)
            thread->state = before;
    }
}

void live_resume(struct live *live, struct stop_times *ret)
{
    vec_foreach(thread, &live->threads) {
        if (!thread->seized || thread->lingering)
            continue;
        if (thread->state == LIVE_RUNNING && !poll_thread(thread)) {
            // Only after an error in the middle: seized, perhaps interrupted, never waited for.
            ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0);
            for (int tries = 0; tries < 100 && !poll_thread(thread); tries++)
                nanosleep(&(struct timespec){0, 200000}, NULL);
        }
        if (thread->seized)
            detach(thread);
    }
    release_lingering(live);
    ret->end_ns = live_now_ns();
}

struct err *live_look(struct live *live)
{
    size_t added;
    TRY(list_threads(live, &added));
    vec_foreach(thread, &live->threads) {
        thread->has_regs = thread->on_cpu = thread->was_stopped = false;
        if (!thread->lingering)
            thread->state = LIVE_RUNNING;
    }
    look_at_unstopped(live);
    return NULL;
}

static void account_thread(struct live *live, struct live_thread *thread)
{
    struct proc_clock clock;
    thread->cpu_delta_ns = 0;
    bool had = thread->has_clock;
    thread->has_clock = thread->schedstat_fd >= 0 && proc_read_clock(thread->schedstat_fd, &clock);
    if (thread->has_clock) {
        if (had && clock.cpu_ns >= thread->clock.cpu_ns)
            thread->cpu_delta_ns = clock.cpu_ns - thread->clock.cpu_ns;
        thread->clock = clock;
    }
    if (!thread->named) {
        struct proc_stat stat;
        AUTO_ERR struct err *err = proc_thread_stat(live->pid, thread->tid, &stat);
        if (!err)
            memcpy(thread->comm, stat.comm, sizeof(stat.comm));
        thread->ns_tid = proc_namespace_tid(live->pid, thread->tid);
        thread->named = true;
    }
}

void live_account(struct live *live)
{
    vec_foreach(thread, &live->threads)
        account_thread(live, thread);
    clockid_t clock;
    struct timespec now;
    live->has_process_cpu = clock_getcpuclockid(live->pid, &clock) == 0 &&
                            clock_gettime(clock, &now) == 0;
    if (live->has_process_cpu)
        live->process_cpu_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool live_sleep(struct live *live, uint64_t until_ns, const volatile int *interrupted)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        release_lingering(live);
        uint64_t now_ns = live_now_ns();
        if (*interrupted)
            return false;
        if (now_ns >= until_ns)
            return true;
        uint64_t left_ns = until_ns - now_ns;
        // A signal between the test above and the wait would be missed: hence the short naps.
        if (left_ns > 50000000)
            left_ns = 50000000;
        struct timespec wait = {0, (long)left_ns};
        if (live->lingering)
            sigtimedwait(&child, NULL, &wait);
        else
            nanosleep(&wait, NULL);
    }
}
