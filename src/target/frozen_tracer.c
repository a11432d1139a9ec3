// SPDX-License-Identifier: GPL-3.0-or-later
// The process that makes and unmakes a frozen copy, so that pycore may be killed at any moment: own
// session, no signal but SIGKILL and SIGSTOP reaches it, and it goes back to normal what it changed
// when pycore is no more. See target/frozen.h.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "target/frozen_private.h"
#include "util/guard.h"

#define SHARE_FILES 0x400u      // CLONE_FILES, <linux/sched.h>
#define WALL_NOHANG 0x40000001u // __WALL | WNOHANG
#define REAP_PATIENCE_NS 10000000000u
#define REAP_PAUSE_NS 20000000
#define GIVE_BACK_NS 10000000000u
// A single thread that gets signals all the time is in the middle of taking one now and then.
#define LEND_TRIES 20
#define LEND_PAUSE_NS 2000000

struct tracer {
    const struct frozen_job *job;
    struct live *live;
    struct borrowed borrowed;
    struct regsets_threads threads;
    pid_t child;    // as we see it; 0: none
    int64_t number; // as the target does
    struct stop_times times;
    int64_t taken_at_ns;
};

static int64_t wall_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// ---- The thread that is lent --------------------------------------------------------------------

// Best is one in user mode: it has no system call that could be disturbed. Then those in calls that
// the kernel restarts. 0: not this one.
static int rank(const struct live_thread *thread)
{
    if (thread->regs.syscall < 0)
        return 4;
    if (!arch_blocked_in_syscall(&thread->regs))
        return 3;
    return thread->regs.syscall_value == -EINTR ? 1 : 2;
}

static struct live_thread *choose(struct tracer *tracer, struct borrow_refusal *ret_why)
{
    struct live_thread *best = NULL;
    int best_rank = 0;
    *ret_why = (struct borrow_refusal){"it has no thread", false};
    vec_foreach (thread, &tracer->live->threads) {
        int its_rank = rank(thread);
        struct borrow_refusal why;
        if (thread->state != LIVE_STOPPED || its_rank <= best_rank)
            continue;
        if (borrow_may(&tracer->borrowed, thread, &why)) {
            best = thread;
            best_rank = its_rank;
        } else if (!ret_why->passes) {
            *ret_why = why;
        }
    }
    return best;
}

// Calls that ended only because of our stop, and wait without a time limit, begin anew.
static void restart_calls(const struct live *live)
{
    const struct arch *arch = arch_host();
    vec_foreach (thread, &live->threads) {
        unsigned char gregset[ARCH_MAX_RAW * 8];
        struct iovec place = {gregset, arch->gregset_bytes};
        if (thread->state == LIVE_STOPPED && !thread->pending_signal &&
            thread->regs.syscall_value == -EINTR && thread->regs.syscall >= 0 &&
            ptrace(PTRACE_GETREGSET, thread->tid, NT_PRSTATUS, &place) == 0 &&
            arch->inject->restart(gregset))
            ptrace(PTRACE_SETREGSET, thread->tid, NT_PRSTATUS, &place);
    }
}

// ---- Making the copy ----------------------------------------------------------------------------

static struct err *check_all_stopped(const struct live *live)
{
    size_t stopped = 0;
    vec_foreach (thread, &live->threads) {
        if (thread->tracer)
            return err_create(ERR_UNSUPPORTED, "process %d is traced by process %d", live->pid,
                              thread->tracer);
        if (thread->late || thread->state == LIVE_RUNNING)
            return err_create(ERR_TIMEOUT, "thread %d did not stop in time", thread->tid);
        if (thread->state == LIVE_UNSTOPPED)
            return err_create(ERR_UNSUPPORTED, "thread %d cannot be stopped: %s", thread->tid,
                              thread->why ? thread->why : "?");
        stopped += thread->state == LIVE_STOPPED;
    }
    return stopped ? NULL : err_create(ERR_GONE, "process %d has ended", live->pid);
}

// The kernel takes longer for the clone than it may: the others run on. What the copy then holds is
// torn, and is thrown away.
static void let_others_go(void *arg)
{
    struct tracer *tracer = arg;
    vec_foreach (thread, &tracer->live->threads) {
        if (thread->tid == tracer->borrowed.tid || thread->state != LIVE_STOPPED)
            continue;
        ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(intptr_t)thread->pending_signal);
        thread->seized = false;
        thread->state = LIVE_GONE;
    }
}

// What a child does not get is copied while all stand still.
static void copy_ranges(const struct tracer *tracer)
{
    const struct frozen_job *job = tracer->job;
    for (size_t i = 0; i < job->ranges->count; i++) {
        const struct frozen_range *range = &job->ranges->items[i];
        uint64_t size = range->end - range->start, done = 0;
        while (range->copied && done < size) {
            ssize_t got = pread(tracer->borrowed.mem_fd, job->arena + range->arena_offset + done,
                                size - done, (off_t)(range->start + done));
            if (got <= 0)
                break;
            done += (uint64_t)got;
        }
        job->arena_bytes[i] = done;
    }
}

// When memory gets short, the copy goes first: proc(5), oom_score_adj.
static void offer_to_oom_killer(pid_t child)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", child);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1000", 4) < 0)
        return;
}

static struct err *collect(struct tracer *tracer)
{
    const uint64_t args[6] = {(uint64_t)tracer->number, 0, WALL_NOHANG, 0};
    int64_t value = 0;
    TRY(borrow_call(&tracer->borrowed, arch_host()->inject->wait4, args,
                    live_now_ns() + GIVE_BACK_NS, NULL, &value, NULL));
    if (value != tracer->number && value != -ECHILD)
        return err_create(ERR_OTHER, "wait4() in process %d returned %lld", tracer->job->pid,
                          (long long)value);
    tracer->number = 0;
    return NULL;
}

static void kill_child(struct tracer *tracer)
{
    int status;
    if (!tracer->child)
        return;
    kill(tracer->child, SIGKILL);
    for (;;) {
        pid_t got = waitpid(tracer->child, &status, __WALL);
        if ((got < 0 && errno != EINTR) || (got > 0 && !WIFSTOPPED(status)))
            break;
    }
    tracer->child = 0;
}

static struct err *clone_it(struct tracer *tracer)
{
    // Without CLONE_FS: a directory of its own does not matter, but one that is shared would take
    // from the target the privileges of a set-user-ID program that it executes meanwhile
    // (fs/exec.c, check_unsafe_exec). With CLONE_FILES: no file stays open for the copy's sake.
    const uint64_t args[6] = {SHARE_FILES, tracer->borrowed.child_sp};
    const struct borrow_late late = {let_others_go, tracer};
    struct borrowed *borrowed = &tracer->borrowed;
    struct err *err = borrow_call(borrowed, arch_host()->inject->clone, args,
                                  tracer->times.begin_ns + tracer->job->deadline_ns, &late,
                                  &tracer->number, &tracer->child);
    if (!err && tracer->number < 0)
        err = err_wrap(err_os((int)-tracer->number, "clone() in process %d", tracer->job->pid),
                       "the copy cannot be made");
    if (!err && !tracer->child)
        err = err_create(ERR_OTHER, "the copy of process %d cannot be traced", tracer->job->pid);
    if (tracer->child)
        offer_to_oom_killer(tracer->child);
    if (err && tracer->child) {
        kill_child(tracer);
        if (tracer->number > 0)
            err_destroy(collect(tracer));
    }
    if (err)
        tracer->number = 0;
    return err;
}

// *ret_passes: what stands in the way will be gone in a moment.
static struct err *under_stop(struct tracer *tracer, bool *ret_passes)
{
    struct borrow_refusal why;
    restart_calls(tracer->live); // at once: from now on that is the kernel's business
    TRY(check_all_stopped(tracer->live));
    tracer->taken_at_ns = wall_clock_ns();
    struct live_thread *thread = choose(tracer, &why);
    *ret_passes = !thread && why.passes;
    if (!thread)
        return err_create(ERR_UNSUPPORTED, "no thread of process %d can be lent: %s",
                          tracer->job->pid, why.text);
    TRY(regsets_read_all(tracer->live, &tracer->threads));
    TRY(borrow_take(&tracer->borrowed, thread));
    struct err *err = clone_it(tracer);
    struct err *back = borrow_give_back(&tracer->borrowed, live_now_ns() + GIVE_BACK_NS);
    if (!err) {
        copy_ranges(tracer);
        return back;
    }
    err_destroy(back);
    return err;
}

// The child's memory is the target's with our signal frames in it: out with them.
static struct err *clean_child(const struct tracer *tracer, int *ret_fd)
{
    char path[64];
    const struct borrowed *borrowed = &tracer->borrowed;
    snprintf(path, sizeof(path), "/proc/%d/mem", tracer->child);
    AUTO_CLOSE int writer = open(path, O_WRONLY | O_CLOEXEC);
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0 || writer < 0)
        return err_os(errno, "%s", path);
    if (pwrite(writer, borrowed->stack, borrowed->stack_bytes, (off_t)borrowed->stack_at) !=
        (ssize_t)borrowed->stack_bytes)
        return err_os(errno, "%s", path);
    return NULL;
}

static struct err *open_target(struct tracer *tracer)
{
    TRY(live_open(tracer->job->pid, &tracer->live));
    if (!tracer->live->can_stop)
        return err_create(ERR_PERMISSION, "%s",
                          tracer->live->refusal ? tracer->live->refusal : "no permission");
    TRY(borrow_prepare(tracer->job->pid, &tracer->borrowed));
    return live_look(tracer->live);
}

static void close_target(struct tracer *tracer)
{
    live_close(tracer->live);
    tracer->live = NULL;
    borrow_deinit(&tracer->borrowed);
}

static struct err *make_once(struct tracer *tracer, bool *ret_passes)
{
    struct err *err = open_target(tracer);
    if (!err) {
        err = live_stop(tracer->live, true, tracer->job->deadline_ns, &tracer->times);
        if (!err)
            err = under_stop(tracer, ret_passes);
        live_resume(tracer->live, &tracer->times);
    }
    return err;
}

static struct err *make(struct tracer *tracer)
{
    for (unsigned tries = 1;; tries++) {
        bool passes = false;
        struct err *err = make_once(tracer, &passes);
        if (!passes || tries == LEND_TRIES)
            return err;
        err_destroy(err);
        close_target(tracer);
        nanosleep(&(struct timespec){0, LEND_PAUSE_NS}, NULL);
    }
}

// ---- Unmaking it --------------------------------------------------------------------------------

// For the second stop one thread is enough: best is one that runs; then those in a call that the
// kernel restarts whatever its time limit. `avoid` was tried.
static struct live_thread *choose_one(struct live *live, pid_t avoid)
{
    struct live_thread *best = NULL;
    int best_rank = -1;
    vec_foreach (thread, &live->threads) {
        const struct arch_regs *regs = &thread->regs;
        if (thread->state == LIVE_GONE || !live_may_stop(live, thread))
            continue;
        enum arch_wait wait = arch_syscall_wait(arch_host(), regs->syscall, regs->args);
        int its_rank = wait == ARCH_WAIT_LOCK || wait == ARCH_WAIT_SLEEP ? 3 : 2;
        if (!thread->asleep)
            its_rank = 4;
        else if (arch_host()->inject->ends_early(regs->syscall))
            its_rank = 1;
        if (thread->tid == avoid)
            its_rank = 0;
        if (its_rank > best_rank) {
            best = thread;
            best_rank = its_rank;
        }
    }
    return best;
}

static struct err *collect_in(struct tracer *tracer, struct live_thread *thread)
{
    struct borrow_refusal why;
    if (thread->state != LIVE_STOPPED)
        return err_create(ERR_TIMEOUT, "thread %d did not stop", thread->tid);
    if (!borrow_may(&tracer->borrowed, thread, &why))
        return err_create(ERR_OTHER, "thread %d cannot be lent: %s", thread->tid, why.text);
    TRY(borrow_take(&tracer->borrowed, thread));
    struct err *err = collect(tracer);
    struct err *back = borrow_give_back(&tracer->borrowed, live_now_ns() + GIVE_BACK_NS);
    if (!err)
        return back;
    err_destroy(back);
    return err;
}

static struct err *collect_once(struct tracer *tracer, pid_t *avoid)
{
    struct stop_times times = {0};
    TRY(open_target(tracer));
    struct live_thread *thread = choose_one(tracer->live, *avoid);
    if (!thread)
        return err_create(ERR_OTHER, "no thread of it can be stopped");
    pid_t tid = *avoid = thread->tid;
    thread->wanted = thread->insist = true;
    struct err *err = live_stop(tracer->live, false, tracer->job->deadline_ns, &times);
    restart_calls(tracer->live);
    vec_foreach (stopped, &tracer->live->threads)
        if (!err && stopped->tid == tid)
            err = collect_in(tracer, stopped);
    live_resume(tracer->live, &times);
    return err;
}

static struct err *unmake(struct tracer *tracer)
{
    uint64_t until_ns = live_now_ns() + REAP_PATIENCE_NS;
    struct err *err = NULL;
    pid_t avoid = 0;
    kill_child(tracer);
    while (tracer->number > 0) {
        err_destroy(err);
        err = collect_once(tracer, &avoid);
        close_target(tracer);
        if (!err || err_code(err) == ERR_GONE || err_code(err) == ERR_NOT_FOUND ||
            live_now_ns() > until_ns)
            break;
        nanosleep(&(struct timespec){0, REAP_PAUSE_NS}, NULL);
    }
    if (err && (err_code(err) == ERR_GONE || err_code(err) == ERR_NOT_FOUND)) {
        err_destroy(err); // with the process its children are gone, too
        err = NULL;
    }
    return err_wrap(err, "a zombie, the child %lld, is left in process %d until that ends",
                    (long long)tracer->number, tracer->job->pid);
}

// ---- Talking to pycore --------------------------------------------------------------------------

// Until pycore has had enough, or is no more: another process may have a copy of its end of the
// socket, so the process itself is looked at, too.
static void hold(const struct frozen_job *job)
{
    struct pollfd fds[] = {{.fd = job->socket, .events = POLLIN},
                           {.fd = job->parent_pidfd, .events = POLLIN}};
    while (poll(fds, 2, -1) <= 0)
        ;
}

static void close_others(const struct frozen_job *job)
{
    const int kept[] = {job->socket, job->result_fd, job->parent_pidfd};
    long limit = sysconf(_SC_OPEN_MAX);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    unsigned from = 3;
    for (;;) {
        unsigned next = (unsigned)limit;
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
            if (kept[i] >= (int)from && (unsigned)kept[i] < next)
                next = (unsigned)kept[i];
        if (next > from)
            syscall(SYS_close_range, from, next == (unsigned)limit ? ~0u : next - 1, 0);
        if (next == (unsigned)limit)
            return;
        from = next + 1;
    }
}

// Of its own: nothing that is sent to pycore's terminal or process group reaches it.
static void settle_down(const struct frozen_job *job)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL);
    setsid();
    prctl(PR_SET_NAME, "pycore-frozen");
    close_others(job);
    AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "-1000", 5) < 0)
        return;
}

void frozen_tracer(const struct frozen_job *job)
{
    struct tracer tracer = {.job = job, .borrowed = {.mem_fd = -1}};
    struct frozen_message message = {0};
    int child_mem = -1;
    settle_down(job);
    struct err *err = make(&tracer);
    if (!err)
        err = clean_child(&tracer, &child_mem);
    if (!err)
        err = frozen_write_threads(job->result_fd, &tracer.threads, &message.result_bytes);
    close_target(&tracer);
    message.child = tracer.child;
    message.taken_at_ns = tracer.taken_at_ns;
    message.pause_ns = tracer.times.end_ns - tracer.times.begin_ns;
    frozen_tell(job->socket, err, &message, child_mem);
    if (!err)
        hold(job);
    guard_close(&child_mem);
    if (tracer.child || tracer.number > 0) {
        struct err *left = unmake(&tracer);
        if (!err)
            frozen_tell(job->socket, left, &message, -1);
        err_destroy(left);
    }
    _exit(0);
}
