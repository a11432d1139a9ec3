// SPDX-License-Identifier: GPL-3.0-or-later
// Readers for /proc/PID: see target/proc.h.
#include "target/proc.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/guard.h"
#include "util/limits.h"

#define KERNEL_THREAD 0x200000u       // PF_KTHREAD, <linux/sched.h>
#define EXITING 0x4u                  // PF_EXITING, of the same
#define FILE_LIMIT_BYTES (256u << 20) // maps of 1 M mappings are about 100 MB

struct err *proc_read_file(const char *path, char **ret, size_t *ret_size)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_os(errno, "%s", path);
    VEC(char) text = {0};
    for (;;) {
        if (text.count > FILE_LIMIT_BYTES || !vec_reserve(&text, text.count + 4096)) {
            vec_deinit(&text);
            return err_create(ERR_LIMIT, "%s is larger than %u bytes", path, FILE_LIMIT_BYTES);
        }
        ssize_t got = read(fd, text.items + text.count, text.capacity - text.count - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            struct err *err = err_os(errno, "%s", path);
            vec_deinit(&text);
            return err;
        }
        if (got == 0)
            break;
        text.count += (size_t)got;
    }
    text.items[text.count] = '\0';
    *ret = text.items;
    if (ret_size)
        *ret_size = text.count;
    return NULL;
}

struct err *proc_tasks(pid_t pid, struct proc_tids *ret)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir && (errno == ENOENT || errno == ESRCH))
        return err_create(ERR_GONE, "process %d has ended", pid);
    if (!dir)
        return err_os(errno, "process %d", pid);
    ret->count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        long tid = strtol(entry->d_name, NULL, 10);
        if (tid <= 0 || ret->count >= LIMIT_THREADS)
            continue;
        if (!vec_push(ret, (pid_t)tid)) {
            closedir(dir);
            return err_create(ERR_NO_MEMORY, "thread list");
        }
    }
    closedir(dir);
    return ret->count ? NULL : err_create(ERR_GONE, "process %d has ended", pid);
}

size_t proc_thread_count(pid_t pid)
{
    char path[64];
    struct stat info;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    // fs/proc/base.c, proc_task_getattr: st_nlink grows by the number of threads.
    return stat(path, &info) == 0 && info.st_nlink > 2 ? info.st_nlink - 2 : 0;
}

struct err *proc_thread_stat(pid_t pid, pid_t tid, struct proc_stat *ret)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
    AUTO_FREE char *text = NULL;
    TRY(proc_read_file(path, &text, NULL));
    // The name may hold spaces and parentheses: it ends at the last ")".
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open)
        return err_create(ERR_BAD_DATA, "%s", path);
    memset(ret, 0, sizeof(*ret));
    size_t size = (size_t)(close - open - 1);
    memcpy(ret->comm, open + 1, size < sizeof(ret->comm) - 1 ? size : sizeof(ret->comm) - 1);
    unsigned flags;
    unsigned long long user, system, start;
    if (sscanf(close + 1,
               " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
               &ret->state, &ret->parent, &flags, &user, &system, &start) != 6)
        return err_create(ERR_BAD_DATA, "%s", path);
    ret->kernel_thread = flags & KERNEL_THREAD;
    ret->exiting = flags & EXITING;
    ret->cpu_ticks = user + system;
    ret->start_ticks = start;
    return NULL;
}

bool proc_wait_status(pid_t pid, uint64_t start_ticks, int *ret)
{
    char path[64];
    struct proc_stat stat;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_thread_stat(pid, pid, &stat);
    if (!err)
        err = proc_read_file(path, &text, NULL);
    // proc(5): exit_code is the last field. Who may not trace the process reads 0 there, which cannot be
    // told from an exit status of 0.
    const char *last = err ? NULL : strrchr(text, ' ');
    if (!last || stat.state != 'Z' || stat.start_ticks != start_ticks)
        return false;
    *ret = (int)strtol(last, NULL, 10);
    return *ret != 0;
}

bool proc_auxv(pid_t pid, uint64_t *ret_phdr, uint64_t *ret_entry)
{
    char path[64];
    size_t size;
    snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
    AUTO_FREE char *bytes = NULL;
    AUTO_ERR struct err *err = proc_read_file(path, &bytes, &size);
    *ret_phdr = *ret_entry = 0;
    for (size_t at = 0; !err && at + sizeof(Elf64_auxv_t) <= size; at += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t entry;
        memcpy(&entry, bytes + at, sizeof(entry));
        if (entry.a_type == AT_PHDR)
            *ret_phdr = entry.a_un.a_val;
        else if (entry.a_type == AT_ENTRY)
            *ret_entry = entry.a_un.a_val;
    }
    return *ret_phdr && *ret_entry;
}

// proc_pid_stat(5), startstack: 0 or 1 where we may not know.
uint64_t proc_args_start(pid_t pid)
{
    char path[64];
    unsigned long long start;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    char *close = err ? NULL : strrchr(text, ')');
    if (!close ||
        sscanf(close + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
               "%*u %*u %*d %*u %*u %*u %llu",
               &start) != 1)
        return 0;
    return start < 4096 ? 0 : start;
}

int proc_open_thread(pid_t pid, pid_t tid, const char *file)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool proc_read_clock(int fd, struct proc_clock *ret)
{
    char text[96];
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    if (got <= 0)
        return false;
    text[got] = '\0';
    char *at = text;
    ret->cpu_ns = strtoull(at, &at, 10);
    ret->wait_ns = strtoull(at, &at, 10);
    ret->slices = strtoull(at, &at, 10);
    return true;
}

// The text after "Name:" in /proc/PID/task/TID/status.
static char *status_line(pid_t pid, pid_t tid, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    if (err)
        return NULL;
    size_t size = strlen(name);
    for (char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, name, size) == 0 && line[size] == ':') {
            char *end = strchr(line, '\n');
            return strndup(line + size + 1, end ? (size_t)(end - line - (long)size - 1) : 4096);
        }
    }
    return NULL;
}

pid_t proc_namespace_tid(pid_t pid, pid_t tid)
{
    AUTO_FREE char *text = status_line(pid, tid, "NSpid");
    if (!text)
        return tid;
    char *last = text + strlen(text);
    while (last > text && last[-1] != '\t' && last[-1] != ' ')
        last--;
    long number = strtol(last, NULL, 10);
    return number > 0 ? (pid_t)number : tid;
}

bool proc_in_inner_namespace(pid_t pid)
{
    // One number for each namespace, from that of this /proc inwards (proc(5)).
    AUTO_FREE char *text = status_line(pid, pid, "NSpid");
    size_t count = 0;
    for (char *at = text, *end; at && (end = at, strtol(at, &end, 10) > 0) && end != at; at = end)
        count++;
    return count > 1;
}

struct err *proc_check(void)
{
    char number[32];
    ssize_t size = readlink("/proc/self", number, sizeof(number) - 1);
    if (size < 0 && access("/proc/version", F_OK) != 0)
        return err_create(ERR_UNSUPPORTED, "/proc is not mounted here: mount -t proc proc /proc");
    number[size > 0 ? size : 0] = '\0';
    if (strtol(number, NULL, 10) == getpid())
        return NULL;
    return err_create(
        ERR_UNSUPPORTED,
        "/proc shows another PID namespace than the one that pycore is in, with other "
        "numbers: mount -t proc proc /proc, or run pycore there (nsenter -p)");
}

pid_t proc_tracer(pid_t pid, pid_t tid)
{
    AUTO_FREE char *text = status_line(pid, tid, "TracerPid");
    return text ? (pid_t)strtol(text, NULL, 10) : 0;
}

bool proc_uids(pid_t pid, uid_t ret_uids[4], gid_t ret_gids[4])
{
    AUTO_FREE char *uids = status_line(pid, pid, "Uid");
    AUTO_FREE char *gids = status_line(pid, pid, "Gid");
    return uids && gids &&
           sscanf(uids, "%u %u %u %u", &ret_uids[0], &ret_uids[1], &ret_uids[2], &ret_uids[3]) ==
               4 &&
           sscanf(gids, "%u %u %u %u", &ret_gids[0], &ret_gids[1], &ret_gids[2], &ret_gids[3]) == 4;
}

// "running", or the call's number (-1: none), six arguments, sp and pc, in hexadecimal but for the
// number; a thread in no call has no arguments (fs/proc/base.c, proc_pid_syscall).
bool proc_read_syscall(int fd, struct arch_regs *ret)
{
    char text[256];
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    if (got <= 0)
        return false;
    text[got] = '\0';
    char *at = text, *end;
    int64_t number = strtoll(at, &end, 10);
    uint64_t words[8];
    size_t count = 0;
    if (end == at)
        return false;
    for (at = end; count < ARRAY_SIZE(words); at = end, count++) {
        words[count] = strtoull(at, &end, 16);
        if (end == at)
            break;
    }
    if (count != 8 && count != 2)
        return false;
    memset(ret, 0, sizeof(*ret));
    ret->syscall = number;
    ret->sp = words[count - 2];
    ret->ip = words[count - 1];
    for (size_t i = 0; count == 8 && i < 6; i++)
        ret->args[i] = words[i];
    return true;
}

bool proc_blocked_syscall(pid_t pid, pid_t tid, struct arch_regs *ret)
{
    AUTO_CLOSE int fd = proc_open_thread(pid, tid, "syscall");
    return fd >= 0 && proc_read_syscall(fd, ret);
}

size_t proc_groups(pid_t pid, gid_t *ret, size_t limit)
{
    AUTO_FREE char *text = status_line(pid, pid, "Groups");
    size_t count = 0;
    for (char *at = text; at && count < limit;) {
        char *end;
        unsigned long group = strtoul(at, &end, 10);
        if (end == at)
            break;
        ret[count++] = (gid_t)group;
        at = end;
    }
    return count;
}

uint64_t proc_start_time_ns(uint64_t start_ticks)
{
    // Field 22 of stat counts from boot; btime of /proc/stat would only be good to a second.
    struct timespec real, boot;
    long ticks = sysconf(_SC_CLK_TCK);
    if (ticks <= 0 || clock_gettime(CLOCK_REALTIME, &real) || clock_gettime(CLOCK_BOOTTIME, &boot))
        return 0;
    uint64_t booted_ns = ((uint64_t)(real.tv_sec - boot.tv_sec)) * 1000000000u +
                         (uint64_t)(real.tv_nsec - boot.tv_nsec);
    return booted_ns + start_ticks * (1000000000u / (uint64_t)ticks);
}

char **proc_argv(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    AUTO_ERR struct err *err = proc_read_file(path, &text, &size);
    if (err || size == 0)
        return NULL;
    VEC(char *) argv = {0};
    for (size_t at = 0; at < size; at += strlen(text + at) + 1)
        if (!vec_push(&argv, strdup(text + at)))
            break;
    if (!vec_push(&argv, NULL)) {
        vec_foreach (arg, &argv)
            free(*arg);
        vec_deinit(&argv);
    }
    return argv.items;
}
