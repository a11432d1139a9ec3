// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/child.h.
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/signals.h"
#include "target/live.h"
#include "util/guard.h"

#define TWICE_WITHIN_NS 10000000000u // Ctrl-C, and once more

static struct {
    struct sigaction sigchld, sigpipe;
    struct rlimit files;
    mode_t umask;
} inherited;

static volatile pid_t started; // 0: none, or collected
static volatile uint64_t interrupted_ns;

void child_remember_inherited(void)
{
    sigaction(SIGCHLD, NULL, &inherited.sigchld);
    sigaction(SIGPIPE, NULL, &inherited.sigpipe);
    getrlimit(RLIMIT_NOFILE, &inherited.files);
    inherited.umask = umask(077);
    umask(inherited.umask);
}

// ---- Signals -------------------------------------------------------------------------------------

// si_code is above 0 for what the kernel sends, which is what a terminal does to its whole foreground
// group (sigaction(2)).
static void pass_on(int signo, const siginfo_t *info)
{
    if (info->si_code <= 0 && info->si_pid != started && started)
        kill(started, signo);
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    int before = errno;
    pass_on(signo, info);
    errno = before;
}

static void on_interrupt(int signo, siginfo_t *info, void *context)
{
    int before = errno;
    uint64_t now_ns = live_now_ns();
    if (interrupted_ns && now_ns - interrupted_ns < TWICE_WITHIN_NS)
        interrupted = 1;
    interrupted_ns = now_ns;
    on_signal(signo, info, context);
    errno = before;
}

// What was ignored stays ignored (nohup(1), jobs in the background of a script).
static void catch_one(int signo, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction now, ours = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigfillset(&ours.sa_mask);
    if (sigaction(signo, NULL, &now) == 0 &&
        ((now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_IGN))
        sigaction(signo, &ours, NULL);
}

static void catch_signals(void)
{
    static const int passed_on[] = {SIGHUP,  SIGQUIT,  SIGTERM, SIGUSR2,
                                    SIGALRM, SIGWINCH, SIGCONT, SIGPWR};
    signals_catch_interim();
    for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
        catch_one(passed_on[i], on_signal);
    for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
        catch_one(signo, on_signal);
    catch_one(SIGINT, on_interrupt);
    signal(SIGPIPE, SIG_IGN);
}

// ---- Start ---------------------------------------------------------------------------------------

static void __attribute__((noreturn)) become(char **argv, const sigset_t *mask, int report_fd)
{
    sigaction(SIGCHLD, &inherited.sigchld, NULL);
    sigaction(SIGPIPE, &inherited.sigpipe, NULL);
    setrlimit(RLIMIT_NOFILE, &inherited.files);
    umask(inherited.umask);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    int why = errno;
    ssize_t told = write(report_fd, &why, sizeof(why));
    _exit(told < 0 ? 125 : 127);
}

// What exec() said, once it has been called; 0: the program runs.
static int exec_result(int fd)
{
    int why = 0;
    ssize_t got;
    do
        got = read(fd, &why, sizeof(why));
    while (got < 0 && errno == EINTR);
    return got == sizeof(why) ? why : 0;
}

int child_start(char **argv, pid_t *ret)
{
    int ends[2];
    sigset_t all, before;
    sigfillset(&all);
    fflush(NULL);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(err_os(errno, "cannot start %s", argv[0]));
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become(argv, &before, ends[1]);
    int why = pid < 0 ? errno : 0;
    close(ends[1]);
    if (pid > 0) {
        started = *ret = pid;
        live_keep_status(pid);
        catch_signals();
        sigprocmask(SIG_SETMASK, &before, NULL);
        why = exec_result(ends[0]);
    } else {
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    close(ends[0]);
    if (!why)
        return 0;
    if (pid > 0)
        waitpid(pid, NULL, 0);
    started = 0;
    fail(err_os(why, "cannot start %s", argv[0]));
    return pid < 0 ? EXIT_NO_REPORT : why == ENOENT ? 127 : 126;
}

// ---- End -----------------------------------------------------------------------------------------

static bool is_ours_to_stop(void)
{
    AUTO_CLOSE int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    return tty >= 0 && tcgetpgrp(tty) == getpgrp();
}

// A program that stops itself alone would leave the shell waiting for a pycore that runs.
static void stop_with(pid_t pid, int signo)
{
    if ((signo != SIGTSTP && signo != SIGTTIN && signo != SIGTTOU) || !is_ours_to_stop())
        return;
    raise(SIGTSTP);
    kill(pid, SIGCONT);
}

bool child_has_ended(pid_t pid)
{
    siginfo_t info = {0};
    // Nothing is consumed: a stop may be one of the tracer's (target/live.h).
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) != 0)
        return errno == ECHILD;
    if (!info.si_pid)
        return false;
    if (info.si_code == CLD_STOPPED)
        stop_with(pid, info.si_status);
    return info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
}

bool child_wait(pid_t pid, int *ret_status)
{
    while (!interrupted) {
        pid_t got = waitpid(pid, ret_status, WUNTRACED);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && !live_kept_status(ret_status))
            *ret_status = 0;
        if (got > 0 && WIFSTOPPED(*ret_status)) {
            stop_with(pid, WSTOPSIG(*ret_status));
            continue;
        }
        started = 0;
        return true;
    }
    return false;
}

int child_exit_code(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    int signo = WTERMSIG(status);
    const struct rlimit none = {0};
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signo);
    fflush(NULL);
    setrlimit(RLIMIT_CORE, &none);
    signal(signo, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(signo);
    return 128 + signo;
}
