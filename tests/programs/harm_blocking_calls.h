// SPDX-License-Identifier: GPL-3.0-or-later
// The calls of harm_blocking.c: how each is prepared, made, and woken.
// System calls are made directly where the C library would hide an EINTR.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_MS = 50, EARLY_US = 1000, MAX_LATE = 1 << 14, MAX_ERRNO = 140 };

static const struct timespec period = {0, PERIOD_MS * 1000000L};
static const struct timeval period_tv = {0, PERIOD_MS * 1000L};

// One thread in its call. `a` and `b` are whatever the call needs: files, ids.
struct slot {
    const struct call *call;
    pthread_t thread;
    int a, b, unavailable;
    pid_t tid;
    sem_t semaphore;
    aio_context_t aio;
    _Atomic uint32_t word;
    _Atomic int64_t woken_ns; // when it was woken last
    bool over; // nobody sends it signals any more
    _Atomic uint64_t count;
    uint64_t in_time, early, errnos[MAX_ERRNO];
    uint32_t late_us[MAX_LATE];
};

struct call {
    const char *name;
    int (*setup)(struct slot *slot); // 0, or -1 with errno set
    long (*block)(struct slot *slot);
    void (*wake)(struct slot *slot); // NULL: it has a timeout
    int timeout;                     // the errno of a timeout; 0: it returns 0
};

static _Atomic int stopping;
static _Atomic uint64_t signals_sent, signals_taken;
static pthread_mutex_t signals_lock = PTHREAD_MUTEX_INITIALIZER;
static int ring_signal(int which)
{
    return SIGRTMIN + 5 + which; // 0: a handler's; 1: of sigwaitinfo; 2: never sent
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static int setup_none(struct slot *slot)
{
    (void)slot;
    return 0;
}

static int setup_pipe(struct slot *slot)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    slot->a = ends[0];
    slot->b = ends[1];
    return 0;
}

static void wake_by_byte(struct slot *slot)
{
    if (write(slot->b, "x", 1) != 1)
        abort();
}

static int setup_full_pipe(struct slot *slot)
{
    static char page[4096];
    if (setup_pipe(slot) != 0 || fcntl(slot->b, F_SETPIPE_SZ, 4096) < 0)
        return -1;
    return write(slot->b, page, sizeof(page)) == sizeof(page) ? 0 : -1;
}

static long block_write(struct slot *slot)
{
    static char page[4096];
    return write(slot->b, page, sizeof(page));
}

static void wake_by_reading(struct slot *slot)
{
    char page[4096];
    if (read(slot->a, page, sizeof(page)) < 0)
        abort();
}

static long block_read(struct slot *slot)
{
    char bytes[8];
    return read(slot->a, bytes, sizeof(bytes)) > 0 ? 0 : -1;
}

static int setup_timerfd(struct slot *slot)
{
    slot->a = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    return slot->a;
}

static long block_timerfd(struct slot *slot)
{
    struct itimerspec once = {.it_value = period};
    timerfd_settime(slot->a, 0, &once, NULL);
    return block_read(slot);
}

static int setup_epoll(struct slot *slot)
{
    slot->b = epoll_create1(EPOLL_CLOEXEC);
    slot->a = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); // never armed
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(slot->b, EPOLL_CTL_ADD, slot->a, &event);
}

static long block_epoll_wait(struct slot *slot)
{
    struct epoll_event event;
    return syscall(SYS_epoll_pwait, slot->b, &event, 1, PERIOD_MS, NULL, 8);
}

static long block_epoll_pwait(struct slot *slot)
{
    struct epoll_event event;
    sigset_t mask;
    sigfillset(&mask);
    return epoll_pwait(slot->b, &event, 1, PERIOD_MS, &mask);
}

static long block_poll(struct slot *slot)
{
    struct pollfd one = {.fd = slot->a, .events = POLLIN};
    return poll(&one, 1, PERIOD_MS);
}

static long block_ppoll(struct slot *slot)
{
    struct pollfd one = {.fd = slot->a, .events = POLLIN};
    struct timespec timeout = period;
    return ppoll(&one, 1, &timeout, NULL);
}

static long block_select(struct slot *slot)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(slot->a, &set);
    struct timeval timeout = period_tv;
    return select(slot->a + 1, &set, NULL, NULL, &timeout);
}

static long block_pselect(struct slot *slot)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(slot->a, &set);
    return pselect(slot->a + 1, &set, NULL, NULL, &period, NULL);
}

static long block_nanosleep(struct slot *slot)
{
    (void)slot;
    return nanosleep(&period, NULL);
}

static long block_clock_nanosleep(struct slot *slot)
{
    (void)slot;
    int64_t until_ns = now_ns() + PERIOD_MS * 1000000ll;
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    return errno ? -1 : 0;
}

static long futex_wait(struct slot *slot, const struct timespec *timeout)
{
    return syscall(SYS_futex, &slot->word, FUTEX_WAIT_PRIVATE, 0, timeout, NULL, 0);
}

static long block_futex(struct slot *slot)
{
    long ret = futex_wait(slot, NULL);
    if (ret != 0 && errno == EAGAIN)
        ret = 0; // woken before it slept
    if (ret == 0)
        slot->word = 0;
    return ret;
}

static long block_futex_timed(struct slot *slot)
{
    return futex_wait(slot, &period);
}

static void wake_futex(struct slot *slot)
{
    slot->word = 1;
    syscall(SYS_futex, &slot->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static int setup_semaphore(struct slot *slot)
{
    return sem_init(&slot->semaphore, 0, 0);
}

static long block_sem_timedwait(struct slot *slot)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += period.tv_nsec;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(&slot->semaphore, &until);
}

static int setup_semget(struct slot *slot)
{
    slot->a = semget(IPC_PRIVATE, 1, 0600);
    return slot->a < 0 ? -1 : 0;
}

static long block_semop(struct slot *slot)
{
    struct sembuf take = {0, -1, 0};
    return semop(slot->a, &take, 1);
}

static long block_semtimedop(struct slot *slot)
{
    struct sembuf take = {0, -1, 0};
    return semtimedop(slot->a, &take, 1, &period);
}

static void wake_semop(struct slot *slot)
{
    struct sembuf give = {0, 1, 0};
    semop(slot->a, &give, 1);
}

static int setup_msgget(struct slot *slot)
{
    slot->a = msgget(IPC_PRIVATE, 0600);
    return slot->a < 0 ? -1 : 0;
}

static long block_msgrcv(struct slot *slot)
{
    struct {
        long type;
        char text[8];
    } message;
    return msgrcv(slot->a, &message, sizeof(message.text), 0, 0) < 0 ? -1 : 0;
}

static void wake_msgrcv(struct slot *slot)
{
    struct {
        long type;
        char text[8];
    } message = {1, "x"};
    msgsnd(slot->a, &message, 1, IPC_NOWAIT);
}

static long block_sigtimedwait(struct slot *slot)
{
    (void)slot;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, ring_signal(2));
    return syscall(SYS_rt_sigtimedwait, &set, NULL, &period, 8);
}

static long block_sigwaitinfo(struct slot *slot)
{
    (void)slot;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, ring_signal(1));
    long ret = syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8);
    if (ret > 0)
        signals_taken++;
    return ret > 0 ? 0 : -1;
}

static void send_signal(struct slot *slot, int signo)
{
    pthread_mutex_lock(&signals_lock);
    if (!slot->over && syscall(SYS_tgkill, getpid(), slot->tid, signo) == 0)
        signals_sent++;
    pthread_mutex_unlock(&signals_lock);
}

// What was sent until now, and found it in no call.
static void take_last_signals(struct slot *slot)
{
    const struct timespec now = {0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, ring_signal(0));
    sigaddset(&set, ring_signal(1));
    pthread_mutex_lock(&signals_lock);
    slot->over = true;
    pthread_mutex_unlock(&signals_lock);
    while (syscall(SYS_rt_sigtimedwait, &set, NULL, &now, 8) > 0)
        signals_taken++;
}

static void wake_sigwaitinfo(struct slot *slot)
{
    send_signal(slot, ring_signal(1));
}

static void on_signal(int signo)
{
    (void)signo;
    signals_taken++;
}

static int setup_pause(struct slot *slot)
{
    (void)slot;
    struct sigaction action = {.sa_handler = on_signal};
    return sigaction(ring_signal(0), &action, NULL);
}

static long block_pause(struct slot *slot)
{
    (void)slot; // the mask is open within the call only, so no signal is missed
    sigset_t mask;
    sigfillset(&mask);
    sigdelset(&mask, ring_signal(0));
    return sigsuspend(&mask);
}

static void wake_pause(struct slot *slot)
{
    send_signal(slot, ring_signal(0));
}

static int setup_pair(struct slot *slot, int type)
{
    int ends[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    slot->a = ends[0];
    slot->b = ends[1];
    return 0;
}

static int setup_stream(struct slot *slot)
{
    return setup_pair(slot, SOCK_STREAM);
}

static int setup_datagram(struct slot *slot)
{
    return setup_pair(slot, SOCK_DGRAM);
}

static int setup_stream_timed(struct slot *slot)
{
    if (setup_pair(slot, SOCK_STREAM) != 0)
        return -1;
    return setsockopt(slot->a, SOL_SOCKET, SO_RCVTIMEO, &period_tv, sizeof(period_tv));
}

static long block_recv(struct slot *slot)
{
    char byte;
    return recv(slot->a, &byte, 1, 0) > 0 ? 0 : -1;
}

static long block_recvfrom(struct slot *slot)
{
    char byte;
    struct sockaddr_un from;
    socklen_t size = sizeof(from);
    return recvfrom(slot->a, &byte, 1, 0, (struct sockaddr *)&from, &size) > 0 ? 0 : -1;
}

static int local_socket(int flags)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
}

static int setup_listen(struct slot *slot)
{
    sa_family_t any = AF_UNIX; // "autobind": an abstract name, unix(7)
    slot->a = local_socket(0);
    if (bind(slot->a, (struct sockaddr *)&any, sizeof(any)) != 0)
        return -1;
    return listen(slot->a, 0);
}

static int setup_listen_timed(struct slot *slot)
{
    if (setup_listen(slot) != 0)
        return -1;
    return setsockopt(slot->a, SOL_SOCKET, SO_RCVTIMEO, &period_tv, sizeof(period_tv));
}

static long connect_to(struct slot *slot, int fd)
{
    struct sockaddr_un name;
    socklen_t size = sizeof(name);
    getsockname(slot->a, (struct sockaddr *)&name, &size);
    return connect(fd, (struct sockaddr *)&name, size);
}

static long block_accept(struct slot *slot)
{
    int fd = accept(slot->a, NULL, NULL);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static void wake_accept(struct slot *slot)
{
    int fd = local_socket(SOCK_NONBLOCK);
    connect_to(slot, fd);
    close(fd);
}

static int setup_connect(struct slot *slot)
{
    if (setup_listen(slot) != 0)
        return -1;
    while (connect_to(slot, local_socket(SOCK_NONBLOCK)) == 0)
        ; // until its backlog is full
    slot->b = local_socket(0);
    return setsockopt(slot->b, SOL_SOCKET, SO_SNDTIMEO, &period_tv, sizeof(period_tv));
}

static long block_connect(struct slot *slot)
{
    return connect_to(slot, slot->b);
}

// A child that is stopped and continued in turn: no fork for each call.
static int setup_child(struct slot *slot)
{
    slot->a = fork();
    if (slot->a == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return slot->a < 0 ? -1 : 0;
}

static long block_wait4(struct slot *slot)
{
    int status;
    return wait4(slot->a, &status, WUNTRACED | WCONTINUED, NULL) == slot->a ? 0 : -1;
}

static void wake_wait4(struct slot *slot)
{
    slot->b = !slot->b;
    kill(slot->a, slot->b ? SIGSTOP : SIGCONT);
}

// The waker holds the lock by `b`; the thread waits for it by `a`, lets it go, and then waits until
// the waker has it again.
static int setup_flock(struct slot *slot)
{
    char path[64];
    slot->a = memfd_create("flock", MFD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", slot->a);
    slot->b = open(path, O_RDWR | O_CLOEXEC);
    return slot->b < 0 ? -1 : flock(slot->b, LOCK_EX);
}

static long block_flock(struct slot *slot)
{
    if (flock(slot->a, LOCK_EX) != 0)
        return -1;
    flock(slot->a, LOCK_UN);
    slot->word = 1;
    return 0;
}

static void after_flock(struct slot *slot)
{
    while (slot->word != 0 && !stopping)
        nanosleep(&(struct timespec){0, 500000}, NULL);
}

static void wake_flock(struct slot *slot)
{
    flock(slot->b, LOCK_UN);
    for (int i = 0; i < 100 && slot->word == 0; i++)
        nanosleep(&(struct timespec){0, 200000}, NULL);
    if (slot->word != 0 && flock(slot->b, LOCK_EX) == 0)
        slot->word = 0;
}

struct mq_attr_ {
    long flags, maxmsg, msgsize, curmsgs, reserved[4];
};

static int setup_mq(struct slot *slot)
{
    char name[64];
    struct mq_attr_ attr = {.maxmsg = 1, .msgsize = 8};
    snprintf(name, sizeof(name), "harm-blocking-%d", (int)getpid());
    slot->a = (int)syscall(SYS_mq_open, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
    if (slot->a < 0)
        return -1;
    return (int)syscall(SYS_mq_unlink, name);
}

static long block_mq(struct slot *slot)
{
    struct timespec until;
    char text[8];
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += period.tv_nsec;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return syscall(SYS_mq_timedreceive, slot->a, text, sizeof(text), NULL, &until);
}

static int setup_aio(struct slot *slot)
{
    return (int)syscall(SYS_io_setup, 1, &slot->aio);
}

static long block_aio(struct slot *slot)
{
    struct io_event event;
    struct timespec timeout = period;
    return syscall(SYS_io_getevents, slot->aio, 1, 1, &event, &timeout);
}

static const struct call calls[] = {
    {"epoll_wait", setup_epoll, block_epoll_wait, NULL, 0},
    {"epoll_pwait", setup_epoll, block_epoll_pwait, NULL, 0},
    {"poll", setup_pipe, block_poll, NULL, 0},
    {"ppoll", setup_pipe, block_ppoll, NULL, 0},
    {"select", setup_pipe, block_select, NULL, 0},
    {"pselect", setup_pipe, block_pselect, NULL, 0},
    {"nanosleep", setup_none, block_nanosleep, NULL, 0},
    {"clock_nanosleep", setup_none, block_clock_nanosleep, NULL, 0},
    {"futex", setup_none, block_futex, wake_futex, 0},
    {"futex_timed", setup_none, block_futex_timed, NULL, ETIMEDOUT},
    {"sem_timedwait", setup_semaphore, block_sem_timedwait, NULL, ETIMEDOUT},
    {"semop", setup_semget, block_semop, wake_semop, 0},
    {"semtimedop", setup_semget, block_semtimedop, NULL, EAGAIN},
    {"msgrcv", setup_msgget, block_msgrcv, wake_msgrcv, 0},
    {"mq_timedreceive", setup_mq, block_mq, NULL, ETIMEDOUT},
    {"sigtimedwait", setup_none, block_sigtimedwait, NULL, EAGAIN},
    {"sigwaitinfo", setup_none, block_sigwaitinfo, wake_sigwaitinfo, 0},
    {"sigsuspend", setup_pause, block_pause, wake_pause, EINTR},
    {"read_pipe", setup_pipe, block_read, wake_by_byte, 0},
    {"read_timerfd", setup_timerfd, block_timerfd, NULL, 0},
    {"write_pipe", setup_full_pipe, block_write, wake_by_reading, 0},
    {"recv", setup_stream, block_recv, wake_by_byte, 0},
    {"recv_timeout", setup_stream_timed, block_recv, NULL, EAGAIN},
    {"recvfrom", setup_datagram, block_recvfrom, wake_by_byte, 0},
    {"accept", setup_listen, block_accept, wake_accept, 0},
    {"accept_timeout", setup_listen_timed, block_accept, NULL, EAGAIN},
    {"connect_timeout", setup_connect, block_connect, NULL, EAGAIN},
    {"wait4", setup_child, block_wait4, wake_wait4, 0},
    {"io_getevents", setup_aio, block_aio, NULL, 0},
    {"flock", setup_flock, block_flock, wake_flock, 0}, // last: its waking takes a while
};
enum { N_CALLS = sizeof(calls) / sizeof(calls[0]) };
