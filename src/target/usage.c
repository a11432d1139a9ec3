// SPDX-License-Identifier: GPL-3.0-or-later
// See target/usage.h.
#include "target/usage.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "util/guard.h"

static void close_folder(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

// The kernel's clock of the process; to the tick where there is none (another PID namespace).
static uint64_t cpu_ns_of(pid_t pid, uint64_t ticks)
{
    clockid_t clock;
    struct timespec now;
    if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &now) == 0)
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    long hertz = sysconf(_SC_CLK_TCK);
    return hertz > 0 ? ticks * (1000000000u / (uint64_t)hertz) : 0;
}

#define KERNEL_THREAD 0x200000u // PF_KTHREAD, <linux/sched.h>

// proc_pid_stat(5): state, ppid, flags, utime, stime, num_threads, starttime, vsize, rss.
static bool parse(pid_t pid, const char *text, struct proc_usage *ret)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    unsigned flags;
    unsigned long long user, system, threads, start, vms_bytes;
    long long rss_pages;
    int parent;
    *ret = (struct proc_usage){0};
    // The name may hold spaces and parentheses: it ends at the last ")".
    if (!open || !close || close < open ||
        sscanf(close + 1,
               " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %llu %*d "
               "%llu %llu %lld",
               &ret->state, &parent, &flags, &user, &system, &threads, &start, &vms_bytes,
               &rss_pages) != 9)
        return false;
    size_t size = (size_t)(close - open - 1);
    memcpy(ret->comm, open + 1, size < sizeof(ret->comm) - 1 ? size : sizeof(ret->comm) - 1);
    ret->kernel_thread = flags & KERNEL_THREAD;
    ret->parent = parent;
    ret->threads = threads;
    ret->cpu_ns = cpu_ns_of(pid, user + system);
    ret->start_ticks = start;
    ret->vms_bytes = vms_bytes;
    ret->rss_bytes = rss_pages > 0 ? (uint64_t)rss_pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
    return true;
}

struct err *proc_usage(pid_t pid, struct proc_usage *ret)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    AUTO_FREE char *text = NULL;
    TRY(proc_read_file(path, &text, NULL));
    return parse(pid, text, ret) ? NULL : err_create(ERR_BAD_DATA, "%s", path);
}

bool proc_open_files(pid_t pid, uint64_t *ret)
{
    char path[64];
    struct stat info;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    GUARD(close_folder) DIR *dir = opendir(path);
    if (!dir)
        return false;
    // fs/proc/fd.c, proc_fd_getattr (Linux 6.2): the size is the number of open files.
    if (fstat(dirfd(dir), &info) == 0 && info.st_size > 0) {
        *ret = (uint64_t)info.st_size;
        return true;
    }
    *ret = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        *ret += isdigit((unsigned char)entry->d_name[0]) != 0;
    return true;
}
