// SPDX-License-Identifier: GPL-3.0-or-later
// Stopping and resuming a live process: see target/live.h. Everything here is bounded by a
// deadline, and every thread that was seized is remembered until it has been let go: those that do
// not answer in time "linger", and a SIGCHLD handler lets go of them whatever pycore does then.
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "target/live.h"
#include "util/guard.h"

#define EVENT_STOP 128   // PTRACE_EVENT_STOP, <linux/ptrace.h>
#define SLOW_NS 2000000u // a thread that needs longer is looked at: is it in D state?
#define MAX_ROUNDS 64    // of re-listing; a process that forks threads faster is noted

static int thread_compare(const void *left, const void *right)
{
    const struct live_thread *a = left, *b = right;
    return a->tid < b->tid ? -1 : a->tid > b->tid;
}

// Brings the thread table up to date with /proc. The handler walks it: no signal may come now.
static struct err *list_threads(struct live *live)
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
    return NULL;
}

enum answer { NO_ANSWER, HAS_STOPPED, HAS_ENDED };

// What a seized thread has to say. *ret_status: event << 8 | signal. A stop is looked at and left
// where it is (WNOWAIT): were it consumed and pycore killed before the detach, the kernel would
// resume the thread without the signal that it was about to take (kernel/signal.c, ptrace_signal:
// the signal is what task->exit_code holds, and a consuming wait clears that).
static enum answer ask(pid_t tid, int *ret_status)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) != 0) {
        // Not ours any more: another thread of the process called exec, and this one is no more,
        // or has given its number, the leader's, to that thread.
        return errno == ECHILD ? HAS_ENDED : NO_ANSWER;
    }
    if (info.si_pid == 0)
        return NO_ANSWER;
    if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
        *ret_status = info.si_status;
        return HAS_STOPPED;
    }
    // Its exit must be collected here, or neither exec nor the parent's wait would get past it.
    waitpid(tid, NULL, __WALL | WNOHANG);
    return HAS_ENDED;
}

// The signal that a stopped thread was about to take. It is handed on at the detach, and keeps its
// siginfo because the number stays the same. 0 in our own trap and in a group-stop, to which the
// thread goes back by itself (ptrace(2), "Group-stop").
static int pending_signal(int status)
{
    return status >> 8 ? 0 : status;
}

// True when the thread is stopped or gone.
static bool poll_thread(struct live_thread *thread)
{
    int status = 0;
    switch (ask(thread->tid, &status)) {
    case NO_ANSWER:
        return false;
    case HAS_ENDED:
        thread->seized = false;
        thread->state = LIVE_GONE;
        return true;
    case HAS_STOPPED:
        break;
    }
    thread->state = LIVE_STOPPED;
    thread->pending_signal = pending_signal(status);
    thread->was_stopped = status >> 8 == EVENT_STOP && (status & 0xff) != SIGTRAP;
    return true;
}

// The kernel's letter for it; 'X' when it has ended.
static char kernel_state(const struct live *live, const struct live_thread *thread)
{
    struct proc_stat stat;
    AUTO_ERR struct err *err = proc_thread_stat(live->pid, thread->tid, &stat);
    return err ? 'X' : stat.state;
}

static bool is_dead(char state)
{
    return state == 'Z' || state == 'X';
}

static void unstoppable(struct live_thread *thread, const char *why)
{
    thread->state = LIVE_UNSTOPPED;
    thread->why = why;
}

static struct live *watched; // processes with lingering threads
static struct live *seizing; // the one whose threads are being seized

// Seized, and cannot be let go of as long as it does not stop or end.
static void linger(struct live *live, struct live_thread *thread)
{
    if (thread->lingering)
        return;
    thread->lingering = true;
    if (live->lingering++ == 0) {
        live->next_watched = watched;
        watched = live;
    }
}

static void stop_watching(struct live *live)
{
    for (struct live **at = &watched; *at; at = &(*at)->next_watched) {
        if (*at == live) {
            *at = live->next_watched;
            return;
        }
    }
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
    if (thread->lingering) {
        unstoppable(thread, "it still has not answered an earlier stop");
        if (is_dead(kernel_state(live, thread)))
            thread->state = LIVE_GONE;
        return;
    }
    thread->state = LIVE_RUNNING;
    thread->why = NULL;
    look_at_clock(thread);
    if (thread->fresh)
        thread->sleeper = kernel_state(live, thread) == 'S';
    thread->seized = true; // before it is true: the handler may have to collect it
    if (ptrace(PTRACE_SEIZE, thread->tid, 0, 0) == 0)
        return;
    thread->seized = false;
    if (errno == ESRCH) {
        thread->state = LIVE_GONE;
        return;
    }
    char state = kernel_state(live, thread);
    if (is_dead(state)) {
        thread->state = LIVE_GONE;
        return;
    }
    thread->tracer = proc_tracer(live->pid, thread->tid);
    if (thread->tracer) {
        unstoppable(thread, "another tracer holds it");
        thread->was_stopped = state == 't';
    } else {
        unstoppable(thread, "the kernel refused to stop it");
    }
}

static void take_registers(const struct live *live, struct live_thread *thread)
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
    thread->sleeper = arch_blocked_in_syscall(&thread->regs);
    if (!thread->sleeper && !thread->was_stopped)
        thread->on_cpu = was_on_cpu(live, thread);
}

// True when it makes no sense to wait any longer. Main threads that ended before the others are
// zombies that nobody can wait for until those have ended, too.
static bool give_up(struct live *live, struct live_thread *thread, bool late)
{
    char state = kernel_state(live, thread);
    if (is_dead(state))
        thread->state = LIVE_GONE;
    else if (state == 'D')
        unstoppable(thread, "it is in an uninterruptible sleep in the kernel");
    else if (late)
        unstoppable(thread, "it did not stop in time");
    else
        return false;
    linger(live, thread);
    return true;
}

// Waits until every thread that was interrupted is stopped or gone.
static void await_stops(struct live *live, uint64_t deadline_ns)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    uint64_t begin_ns = live_now_ns();
    for (;;) {
        size_t missing = 0;
        uint64_t now_ns = live_now_ns();
        vec_foreach (thread, &live->threads) {
            if (!thread->interrupted || thread->state != LIVE_RUNNING || poll_thread(thread))
                continue;
            bool late = now_ns >= deadline_ns;
            if (!(late || now_ns > begin_ns + SLOW_NS) || !give_up(live, thread, late))
                missing++;
        }
        if (!missing)
            return;
        // SIGCHLD is blocked, and pending whenever a tracee changed its state.
        struct timespec wait = {0, 500000};
        sigtimedwait(&child, NULL, &wait);
    }
}

// The registers of threads that were not stopped: what /proc says of the call they sleep in.
static void look_at_unstopped(struct live *live)
{
    vec_foreach (thread, &live->threads) {
        if (thread->state != LIVE_UNSTOPPED && thread->state != LIVE_RUNNING)
            continue;
        thread->proc_state = kernel_state(live, thread);
        if (is_dead(thread->proc_state)) {
            thread->state = LIVE_GONE;
            continue;
        }
        thread->has_regs = proc_blocked_syscall(live->pid, thread->tid, &thread->regs);
        thread->on_cpu = !thread->has_regs && thread->proc_state == 'R';
    }
}

// No signal may reach pycore while threads are held: one that stops it (SIGTSTP) would leave the
// target stopped, too. They wait until the resume, SIGKILL and SIGSTOP excepted.
static void block_signals(struct live *live)
{
    sigset_t all;
    sigfillset(&all);
    if (!live->signals_blocked)
        sigprocmask(SIG_BLOCK, &all, &live->signals_before);
    live->signals_blocked = true;
}

static void unblock_signals(struct live *live)
{
    if (live->signals_blocked)
        sigprocmask(SIG_SETMASK, &live->signals_before, NULL);
    live->signals_blocked = false;
}

// Lets go of threads that answer late. Runs in a signal handler: only waitid, waitpid and ptrace.
static void release_lingering(struct live *live)
{
    vec_foreach (thread, &live->threads) {
        int status = 0;
        if (!thread->lingering)
            continue;
        enum answer answer = ask(thread->tid, &status);
        if (answer == NO_ANSWER)
            continue;
        if (answer == HAS_STOPPED &&
            ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(intptr_t)pending_signal(status)) != 0)
            continue; // killed this moment: its end is still to come
        thread->lingering = thread->seized = false;
        live->lingering--;
    }
}

// Those of the threads being seized that have ended; later they are found gone. Not by a wait for
// WEXITED alone: of a tracee that also consumes stops (kernel/exit.c, wait_task_stopped).
static void collect_ended(const struct live *live)
{
    int status;
    vec_foreach (thread, &live->threads)
        if (thread->seized && !thread->lingering)
            ask(thread->tid, &status);
}

static void on_child(int signo)
{
    (void)signo;
    int before = errno;
    if (seizing)
        collect_ended(seizing);
    for (struct live **at = &watched; *at;) {
        release_lingering(*at);
        if ((*at)->lingering)
            at = &(*at)->next_watched;
        else
            *at = (*at)->next_watched;
    }
    errno = before;
}

static void admit_sigchld(bool yes)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &child, NULL);
}

// PTRACE_SEIZE waits while a thread of the process is in execve(), which waits until the other
// threads are gone, and those that are ours already go only when we collect them (fs/exec.c,
// de_thread; kernel/ptrace.c, ptrace_attach: cred_guard_mutex). So the handler collects them.
static void begin_seizing(struct live *live)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    seizing = live;
    on_child(SIGCHLD); // for those whose signal await_stops took as another's
    admit_sigchld(true);
}

static void end_seizing(void)
{
    admit_sigchld(false);
    seizing = NULL;
}

// Seizes the threads that are not yet ours; those that were let down by an exec have a second go.
static size_t seize_new(struct live *live)
{
    size_t seized = 0;
    begin_seizing(live);
    vec_foreach (thread, &live->threads) {
        if (thread->seized || !thread->listed || thread->state == LIVE_UNSTOPPED)
            continue;
        seize(live, thread);
        seized += thread->seized;
    }
    end_seizing();
    return seized;
}

// Stops the sleepers, or all the others, and takes their registers.
static void interrupt(struct live *live, bool sleepers, uint64_t deadline_ns)
{
    size_t count = 0;
    vec_foreach (thread, &live->threads) {
        if (!thread->seized || thread->state != LIVE_RUNNING || thread->sleeper != sleepers)
            continue;
        count++;
        thread->interrupted = true;
        // The sleepers that woke to stop may have put it off its processor: that is not its doing.
        if (!sleepers)
            look_at_clock(thread);
        if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) != 0)
            poll_thread(thread); // it has ended
    }
    if (!count)
        return;
    await_stops(live, deadline_ns);
    vec_foreach (thread, &live->threads)
        if (thread->state == LIVE_STOPPED && !thread->has_regs)
            take_registers(live, thread);
}

struct err *live_stop(struct live *live, uint64_t deadline_ns, struct stop_times *ret)
{
    block_signals(live);
    vec_foreach (thread, &live->threads)
        thread->fresh = false;
    TRY(list_threads(live));
    begin_seizing(live);
    vec_foreach (thread, &live->threads)
        seize(live, thread);
    end_seizing();
    ret->begin_ns = live_now_ns();
    deadline_ns += ret->begin_ns;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        if (round > 0) {
            TRY(list_threads(live));
            if (!seize_new(live))
                break;
        }
        interrupt(live, true, deadline_ns);
        interrupt(live, false, deadline_ns);
        size_t held = 0;
        vec_foreach (thread, &live->threads)
            held += thread->state == LIVE_STOPPED || thread->state == LIVE_UNSTOPPED;
        // The link count of the task directory saves the listing when nobody new is there.
        if (held == proc_thread_count(live->pid))
            break;
    }
    look_at_unstopped(live);
    ret->stopped_ns = live_now_ns();
    size_t alive = 0;
    vec_foreach (thread, &live->threads)
        alive += thread->state != LIVE_GONE;
    if (!alive) {
        live->exited = true;
        return err_create(ERR_GONE, "process %d has ended", live->pid);
    }
    return NULL;
}

// Killed while it was stopped, it is collected now or, when it is not dead yet, once it is.
static void detach(struct live *live, struct live_thread *thread)
{
    int status;
    if (ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(intptr_t)thread->pending_signal) == 0 ||
        ask(thread->tid, &status) == HAS_ENDED)
        thread->seized = false;
    else
        linger(live, thread);
    thread->pending_signal = 0;
}

static void let_go(struct live *live, struct live_thread *thread)
{
    if (thread->state == LIVE_RUNNING && !poll_thread(thread)) {
        // Only after an error in the middle: seized, perhaps interrupted, never waited for.
        ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0);
        linger(live, thread);
    } else if (thread->seized) {
        detach(live, thread);
    }
}

void live_resume(struct live *live, struct stop_times *ret)
{
    block_signals(live);
    for (int sleepers = 0; sleepers < 2; sleepers++) {
        vec_foreach (thread, &live->threads)
            if (thread->seized && !thread->lingering && thread->sleeper == sleepers)
                let_go(live, thread);
    }
    on_child(SIGCHLD); // for those who answered while the signal was waited for elsewhere
    ret->end_ns = live_now_ns();
    unblock_signals(live);
    // The threads run on before pycore digests what it has read of them.
    if (ret->begin_ns)
        sched_yield();
}

void live_abandon(struct live *live)
{
    block_signals(live);
    if (live->lingering)
        stop_watching(live);
    unblock_signals(live);
}

struct err *live_look(struct live *live)
{
    vec_foreach (thread, &live->threads)
        thread->fresh = false;
    block_signals(live);
    struct err *err = list_threads(live);
    unblock_signals(live);
    TRY(err);
    vec_foreach (thread, &live->threads) {
        thread->has_regs = thread->on_cpu = thread->was_stopped = false;
        thread->state = LIVE_RUNNING;
    }
    look_at_unstopped(live);
    return NULL;
}
