// SPDX-License-Identifier: GPL-3.0-or-later
// Letting go of what was seized, come what may: every thread is remembered until it has been let
// go; those that do not answer in time "linger", and a SIGCHLD handler lets go of them whatever
// pycore does then. See target/live.h.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/stop_private.h"

#define EVENT_STOP 128 // PTRACE_EVENT_STOP, <linux/ptrace.h>

static pid_t kept_pid;
static volatile sig_atomic_t kept_status = -1;

void live_keep_status(pid_t child)
{
    kept_pid = child;
    kept_status = -1;
}

bool live_kept_status(int *ret_status)
{
    *ret_status = kept_status;
    return kept_status != -1;
}

// Its exit must be collected here, or neither exec nor the parent's wait would get past it.
static void collect(pid_t tid)
{
    int status;
    if (waitpid(tid, &status, __WALL | WNOHANG) == tid && tid == kept_pid &&
        (WIFEXITED(status) || WIFSIGNALED(status)))
        kept_status = status;
}

// A stop is looked at and left where it is (WNOWAIT): were it consumed and pycore killed before the
// detach, the kernel would resume the thread without the signal that it was about to take
// (kernel/signal.c, ptrace_signal: the signal is what task->exit_code holds, and a consuming wait
// clears that).
enum live_answer live_ask(pid_t tid, int *ret_status)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) != 0) {
        // Not ours any more: another thread of the process called exec, and this one is no more,
        // or has given its number, the leader's, to that thread.
        return errno == ECHILD ? LIVE_HAS_ENDED : LIVE_NO_ANSWER;
    }
    if (info.si_pid == 0)
        return LIVE_NO_ANSWER;
    if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
        *ret_status = info.si_status;
        return LIVE_HAS_STOPPED;
    }
    collect(tid);
    return LIVE_HAS_ENDED;
}

// The signal that a stopped thread was about to take. It is handed on at the detach, and keeps its
// siginfo because the number stays the same. 0 in our own trap and in a group-stop, to which the
// thread goes back by itself (ptrace(2), "Group-stop").
int live_pending_signal(int status)
{
    return status >> 8 ? 0 : status;
}

bool live_poll_thread(struct live_thread *thread)
{
    int status = 0;
    switch (live_ask(thread->tid, &status)) {
    case LIVE_NO_ANSWER:
        return false;
    case LIVE_HAS_ENDED:
        thread->seized = false;
        thread->state = LIVE_GONE;
        return true;
    case LIVE_HAS_STOPPED:
        break;
    }
    thread->state = LIVE_STOPPED;
    thread->pending_signal = live_pending_signal(status);
    thread->was_stopped = status >> 8 == EVENT_STOP && (status & 0xff) != SIGTRAP;
    return true;
}

static struct live *watched; // processes with lingering threads
static struct live *seizing; // the one whose threads are being seized

void live_linger(struct live *live, struct live_thread *thread)
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

void live_block_signals(struct live *live)
{
    sigset_t all;
    sigfillset(&all);
    if (!live->signals_blocked)
        sigprocmask(SIG_BLOCK, &all, &live->signals_before);
    live->signals_blocked = true;
}

void live_unblock_signals(struct live *live)
{
    if (live->signals_blocked)
        sigprocmask(SIG_SETMASK, &live->signals_before, NULL);
    live->signals_blocked = false;
}

// On two processors with nine others that wanted one, the longest of 1,500 stops took 7 and 11 ms
// with it, 41 and 231 ms without.
void live_raise_priority(struct live *live)
{
    const struct sched_param lowest = {.sched_priority = 1};
    if (!live->priority_raised && sched_getscheduler(0) == SCHED_OTHER)
        live->priority_raised = sched_setscheduler(0, SCHED_FIFO, &lowest) == 0;
}

void live_restore_priority(struct live *live)
{
    const struct sched_param none = {0};
    if (live->priority_raised)
        sched_setscheduler(0, SCHED_OTHER, &none);
    live->priority_raised = false;
}

// Lets go of threads that answer late. Runs in a signal handler: only waitid, waitpid and ptrace.
static void release_lingering(struct live *live)
{
    vec_foreach (thread, &live->threads) {
        int status = 0;
        if (!thread->lingering)
            continue;
        enum live_answer answer = live_ask(thread->tid, &status);
        if (answer == LIVE_NO_ANSWER)
            continue;
        if (answer == LIVE_HAS_STOPPED &&
            ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(intptr_t)live_pending_signal(status)) !=
                0)
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
            live_ask(thread->tid, &status);
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
void live_begin_seizing(struct live *live)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    seizing = live;
    on_child(SIGCHLD); // for those whose signal await_stops took as another's
    admit_sigchld(true);
}

void live_end_seizing(void)
{
    admit_sigchld(false);
    seizing = NULL;
}

// Killed while it was stopped, it is collected now or, when it is not dead yet, once it is.
static void detach(struct live *live, struct live_thread *thread)
{
    int status;
    if (ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(intptr_t)thread->pending_signal) == 0 ||
        live_ask(thread->tid, &status) == LIVE_HAS_ENDED)
        thread->seized = thread->interrupted = false;
    else
        live_linger(live, thread);
    thread->pending_signal = 0;
}

static void let_go(struct live *live, struct live_thread *thread)
{
    if (thread->state == LIVE_RUNNING && !live_poll_thread(thread)) {
        // Only after an error in the middle: seized, perhaps interrupted, never waited for.
        ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0);
        live_linger(live, thread);
    } else if (thread->seized) {
        detach(live, thread);
    }
}

// An exec by another thread than the main one gives that thread the main one's number, and ours it
// stays (ptrace(2), "execve(2) under ptrace"): under its old number it looks ended.
static void adopt_main(struct live *live)
{
    bool ended = false;
    vec_foreach (thread, &live->threads)
        ended |= thread->interrupted && thread->state == LIVE_GONE && thread->tid != live->pid;
    if (!ended)
        return;
    vec_foreach (thread, &live->threads) {
        if (thread->tid != live->pid || thread->seized ||
            proc_tracer(live->pid, thread->tid) != getpid())
            continue;
        thread->seized = thread->interrupted = true;
        ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0);
        live_linger(live, thread);
    }
}

void live_resume(struct live *live, struct stop_times *ret)
{
    live_block_signals(live);
    for (int sleepers = 0; sleepers < 2; sleepers++) {
        vec_foreach (thread, &live->threads)
            if (thread->seized && !thread->lingering && !thread->late &&
                thread->sleeper == sleepers)
                let_go(live, thread);
    }
    adopt_main(live);
    on_child(SIGCHLD); // for those who answered while the signal was waited for elsewhere
    ret->end_ns = live_now_ns();
    live_restore_priority(live);
    bool late = false;
    vec_foreach (thread, &live->threads)
        late |= thread->late;
    if (!late)
        live_unblock_signals(live);
    // The threads run on before pycore digests what it has read of them.
    if (ret->begin_ns)
        sched_yield();
}

void live_abandon(struct live *live)
{
    live_block_signals(live);
    if (live->lingering)
        stop_watching(live);
    live_unblock_signals(live);
}
