// SPDX-License-Identifier: GPL-3.0-or-later
// spent FILE COMMAND...: runs it, and writes "status wall_ns cpu_ns peak_kib" into the file. A
// program of its own, because ru_maxrss is kept across execve (getrusage(2)): a child of Python
// starts with Python's peak.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int main(int argc, char **argv)
{
    int status;
    struct rusage usage;
    if (argc < 3)
        return 64;
    long long begin_ns = now_ns();
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        return 1;
    long long end_ns = now_ns();
    FILE *file = fopen(argv[1], "w");
    if (file == NULL)
        return 1;
    fprintf(file, "%d %lld %lld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
            end_ns - begin_ns,
            (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000ll +
                (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ll,
            usage.ru_maxrss);
    return fclose(file) != 0;
}
