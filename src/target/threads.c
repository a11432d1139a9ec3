// SPDX-License-Identifier: GPL-3.0-or-later
// The thread table of a live process, and what the kernel says of each thread while it is left
// alone: see target/live.h.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "target/stop_private.h"
#include "util/guard.h"

#define SPARE_FDS 64
#define CLOSER_LOOK_NS 1000000000u
#define SHARE_CHECK_NS 2000000000u
#define RETURN_STEP_NS 500000u

static int thread_compare(const void *left, const void *right)
{
    const struct live_thread *a = left, *b = right;
    return a->tid < b->tid ? -1 : a->tid > b->tid;
}

// Some descriptors must stay free for all else; without one, files are opened for each reading.
static int spare_fd(int fd)
{
    struct rlimit limit;
    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        (rlim_t)fd + SPARE_FDS < limit.rlim_cur)
        return fd;
    close(fd);
    return -1;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void live_close_thread(struct live_thread *thread)
{
    close_fd(thread->schedstat_fd);
    close_fd(thread->syscall_fd);
}

struct err *live_list_threads(struct live *live)
{
    struct proc_tids tids = {0};
    struct err *err = proc_tasks(live->pid, &tids);
    if (err) {
        vec_deinit(&tids);
        live->exited = err_code(err) == ERR_GONE;
        return err;
    }
    vec_foreach (thread, &live->threads)
        thread->listed = false;
    size_t known = live->threads.count, added = 0;
    vec_foreach (tid, &tids) {
        struct live_thread key = {.tid = *tid};
        struct live_thread *old =
            known ? bsearch(&key, live->threads.items, known, sizeof(key), thread_compare) : NULL;
        if (old) {
            old->listed = true;
            continue;
        }
        struct live_thread fresh = {.tid = *tid, .ns_tid = *tid, .listed = true, .fresh = true};
        fresh.schedstat_fd = spare_fd(proc_open_thread(live->pid, *tid, "schedstat"));
        fresh.syscall_fd = spare_fd(proc_open_thread(live->pid, *tid, "syscall"));
        if (live->in_namespace)
            fresh.ns_tid = proc_namespace_tid(live->pid, *tid);
        if (vec_push(&live->threads, fresh))
            added++;
    }
    vec_deinit(&tids);
    // A thread that is not listed has ended, but while we hold it its exit must be collected.
    size_t kept = 0;
    for (size_t i = 0; i < live->threads.count; i++) {
        struct live_thread *thread = &live->threads.items[i];
        if (!thread->listed && !thread->seized) {
            live_close_thread(thread);
            continue;
        }
        live->threads.items[kept++] = *thread;
    }
    live->threads.count = kept;
    if (added)
        qsort(live->threads.items, kept, sizeof(*live->threads.items), thread_compare);
    return NULL;
}

char live_kernel_state(const struct live *live, const struct live_thread *thread)
{
    struct proc_stat stat;
    AUTO_ERR struct err *err = proc_thread_stat(live->pid, thread->tid, &stat);
    if (!err)
        return stat.state;
    return err_code(err) == ERR_OS || err_code(err) == ERR_NO_MEMORY ? '?' : 'X';
}

bool live_is_dead(char state)
{
    return state == 'Z' || state == 'X';
}

// Without a clock that counts (CONFIG_SCHED_INFO) nothing proves that a thread held still.
static bool read_clock(const struct live *live, const struct live_thread *thread,
                       struct proc_clock *ret)
{
    if (thread->schedstat_fd >= 0)
        return proc_read_clock(thread->schedstat_fd, ret) && ret->slices;
    AUTO_CLOSE int fd = proc_open_thread(live->pid, thread->tid, "schedstat");
    return fd >= 0 && proc_read_clock(fd, ret) && ret->slices;
}

static bool same_clock(const struct proc_clock *a, const struct proc_clock *b)
{
    return a->cpu_ns == b->cpu_ns && a->slices == b->slices;
}

bool live_held_still(const struct live *live, const struct live_thread *thread)
{
    struct proc_clock now;
    return thread->has_before && read_clock(live, thread, &now) &&
           same_clock(&now, &thread->before);
}

static bool sleeps_there(const struct live *live, const struct live_thread *thread)
{
    struct arch_regs now;
    const struct arch_regs *then = &thread->regs;
    bool asleep = thread->syscall_fd >= 0 ? proc_read_syscall(thread->syscall_fd, &now)
                                          : proc_blocked_syscall(live->pid, thread->tid, &now);
    // restart_syscall(2) has another number, and the arguments of the call.
    return asleep && now.sp && now.sp == then->sp && now.ip == then->ip &&
           now.args[0] == then->args[0] && now.args[1] == then->args[1];
}

bool live_sleeps_on(const struct live *live, const struct live_thread *thread,
                    uint64_t *patience_ns)
{
    const struct timespec step = {0, RETURN_STEP_NS};
    for (;;) {
        bool runs = live_kernel_state(live, thread) == 'R';
        if (sleeps_there(live, thread))
            return true;
        if (!runs || *patience_ns < RETURN_STEP_NS)
            return false;
        nanosleep(&step, NULL);
        *patience_ns -= RETURN_STEP_NS;
    }
}

bool live_may_stop(const struct live *live, const struct live_thread *thread)
{
    return !thread->lingering && !thread->tracer && live_kernel_state(live, thread) != 'D';
}

// Outside of a system call a thread may sleep in a page fault, be stopped, or be no more.
static void look_closer(struct live *live, struct live_thread *thread)
{
    thread->closer_look_ns = live_now_ns();
    thread->proc_state = live_kernel_state(live, thread);
    thread->was_stopped = thread->proc_state == 'T' || thread->proc_state == 't';
    if (thread->proc_state == 't')
        thread->tracer = proc_tracer(live->pid, thread->tid);
    if (!live_is_dead(thread->proc_state))
        return;
    thread->state = LIVE_GONE;
    thread->has_regs = thread->asleep = false;
}

void live_look_again(struct live *live, struct live_thread *thread)
{
    struct proc_clock now;
    bool has_now = read_clock(live, thread, &now);
    bool same = has_now && thread->has_before && same_clock(&now, &thread->before);
    thread->state = LIVE_RUNNING;
    thread->why = NULL;
    thread->wanted = thread->insist = thread->late = thread->stopped_by_us = thread->held_still =
        false;
    thread->on_cpu = false;
    bool closer = live->job_stopped;
    if (!(same && thread->asleep)) {
        thread->tracer = 0;
        thread->was_stopped = false;
        thread->proc_state = 0;
        // The clock first: when it still reads the same later, the thread slept all the time.
        thread->before = now;
        thread->has_before = has_now;
        thread->has_regs = thread->syscall_fd >= 0
                               ? proc_read_syscall(thread->syscall_fd, &thread->regs)
                               : proc_blocked_syscall(live->pid, thread->tid, &thread->regs);
        thread->asleep = thread->has_regs && thread->regs.sp;
        thread->has_regs = thread->asleep;
        thread->sleeper = thread->asleep;
        closer |= live_now_ns() > thread->closer_look_ns + CLOSER_LOOK_NS;
    }
    // Another tracer may hold it inside of a call: that is looked for now and then.
    if (closer || !thread->asleep || thread->regs.syscall < 0)
        look_closer(live, thread);
    thread->on_cpu = !thread->asleep && thread->proc_state == 'R';
}

// process_vm_readv pins the pages it reads, which gives a forked process its own copy of each;
// reading through /proc/PID/mem does not.
static void check_sharing(struct live *live)
{
    uint64_t now_ns = live_now_ns();
    if (now_ns < live->next_share_check_ns)
        return;
    live->next_share_check_ns = now_ns + SHARE_CHECK_NS;
    live->shares_pages = live->proc_mem_fd >= 0 && proc_may_share_pages(live->pid);
}

struct err *live_look(struct live *live)
{
    vec_foreach (thread, &live->threads)
        thread->fresh = false;
    check_sharing(live);
    live_block_signals(live);
    struct err *err = live_list_threads(live);
    live_unblock_signals(live);
    TRY(err);
    struct proc_stat main;
    AUTO_ERR struct err *unknown = proc_thread_stat(live->pid, live->pid, &main);
    live->job_stopped = !unknown && (main.state == 'T' || main.state == 't');
    bool reused = !unknown && main.start_ticks != live->start_ticks;
    size_t alive = 0;
    vec_foreach (thread, &live->threads) {
        live_look_again(live, thread);
        alive += thread->state != LIVE_GONE;
    }
    if (alive && !reused)
        return NULL;
    live->exited = true;
    return err_create(ERR_GONE, "process %d has ended", live->pid);
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
        thread->named = true;
    }
}

void live_account(struct live *live)
{
    vec_foreach (thread, &live->threads)
        account_thread(live, thread);
    clockid_t clock;
    struct timespec now;
    live->has_process_cpu =
        clock_getcpuclockid(live->pid, &clock) == 0 && clock_gettime(clock, &now) == 0;
    if (live->has_process_cpu)
        live->process_cpu_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
