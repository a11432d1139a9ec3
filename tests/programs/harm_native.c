// SPDX-License-Identifier: GPL-3.0-or-later
// What harm_app.py and harm_quiet.py cannot do in Python: a signal handler that writes down each
// siginfo, a vfork() child that takes its time, threads that Python does not know.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ROWS = 500000 };

struct row {
    int32_t signo, code, value, pid;
};

struct log {
    volatile uint64_t count;
    uint64_t unused;
    struct row rows[MAX_ROWS];
};

static struct log *the_log;

int open_log(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct log)) != 0)
        return -1;
    void *place = mmap(NULL, sizeof(struct log), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (place == MAP_FAILED)
        return -1;
    the_log = place;
    return 0;
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    static uint64_t next;
    uint64_t at = __atomic_fetch_add(&next, 1, __ATOMIC_SEQ_CST);
    if (at < MAX_ROWS)
        the_log->rows[at] =
            (struct row){signo, info->si_code, info->si_value.sival_int, info->si_pid};
    __atomic_fetch_add(&the_log->count, 1, __ATOMIC_SEQ_CST);
}

void log_signal(int signo)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(signo, &action, NULL);
}

void hold_vfork(int hold_ms)
{
    pid_t child = vfork();
    if (child == 0) {
        struct timespec hold = {hold_ms / 1000, hold_ms % 1000 * 1000000L};
        nanosleep(&hold, NULL);
        _exit(0);
    }
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED);
}

static void spin(volatile uint64_t *counter)
{
    for (;;)
        ++*counter;
}

// Computes for ever once nobody holds the other end of that pipe any more.
void spin_after(int pipe_fd, volatile uint64_t *counter)
{
    char byte;
    while (read(pipe_fd, &byte, 1) != 0)
        ;
    spin(counter);
}

static void *spin_thread(void *counter)
{
    spin(counter);
    return NULL;
}

static void *wait_thread(void *unused)
{
    for (;;)
        pause();
    return unused;
}

// Threads that Python does not know: one computes, the others wait.
int start_natives(int waiting, volatile uint64_t *counter)
{
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, spin_thread, (void *)counter);
    for (int i = 0; i < waiting; i++)
        failed |= pthread_create(&thread, NULL, wait_thread, NULL);
    return failed;
}
