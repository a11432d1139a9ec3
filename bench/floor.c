// SPDX-License-Identifier: GPL-3.0-or-later
// The floor of bench/pause.py: floor PID COUNT INTERVAL_NS. Finds the threads that run right now
// ("running" in /proc/PID/task/TID/syscall), and does what no debugger can do without: seize,
// interrupt, wait, get registers, detach. Nothing is read. Prints what it did as JSON.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 4096 };

static int is_running(const char *pid, const char *tid)
{
    char path[320], text[8] = "";
    snprintf(path, sizeof(path), "/proc/%s/task/%s/syscall", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    return size > 0 && strncmp(text, "running", 7) == 0;
}

static int find_running(const char *pid, DIR *tasks, pid_t *tids)
{
    int count = 0;
    rewinddir(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) && count < MAX_THREADS;)
        if (entry->d_name[0] != '.' && is_running(pid, entry->d_name))
            tids[count++] = atoi(entry->d_name);
    return count;
}

static int stop_all(const pid_t *tids, int count)
{
    static int signals[MAX_THREADS], seized[MAX_THREADS];
    struct user_regs_struct regs;
    int stopped = 0;
    for (int i = 0; i < count; i++)
        seized[i] = ptrace(PTRACE_SEIZE, tids[i], 0, 0) == 0 &&
                    ptrace(PTRACE_INTERRUPT, tids[i], 0, 0) == 0;
    for (int i = 0; i < count; i++) {
        int status;
        if (!seized[i] || waitpid(tids[i], &status, __WALL) != tids[i] || !WIFSTOPPED(status))
            continue;
        signals[i] = status >> 16 ? 0 : WSTOPSIG(status);
        stopped += ptrace(PTRACE_GETREGS, tids[i], 0, &regs) == 0;
    }
    for (int i = 0; i < count; i++)
        if (seized[i])
            ptrace(PTRACE_DETACH, tids[i], 0, (void *)(long)signals[i]);
    return stopped;
}

int main(int argc, char **argv)
{
    static pid_t tids[MAX_THREADS];
    char path[64];
    if (argc != 4)
        return 64;
    snprintf(path, sizeof(path), "/proc/%s/task", argv[1]);
    DIR *tasks = opendir(path);
    long count = atol(argv[2]), interval_ns = atol(argv[3]), stopped = 0;
    struct timespec tick;
    clock_gettime(CLOCK_MONOTONIC, &tick);
    for (long i = 0; tasks && i < count; i++) {
        struct timespec rest = {0, random() % interval_ns}; // jitter, as any honest sampler has
        nanosleep(&rest, NULL);
        stopped += stop_all(tids, find_running(argv[1], tasks, tids));
        tick.tv_nsec += interval_ns;
        tick.tv_sec += tick.tv_nsec / 1000000000;
        tick.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &tick, NULL);
    }
    printf("{\"snapshots\": %ld, \"stopped\": %ld}\n", count, stopped);
    return tasks == NULL || stopped == 0;
}
