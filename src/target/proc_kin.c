// SPDX-License-Identifier: GPL-3.0-or-later
// Which processes there are, whose children they are, and which of them run the same program: see
// target/proc.h.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/proc.h"
#include "util/guard.h"

struct err *proc_processes(struct proc_tids *ret)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return err_os(errno, "/proc");
    bool done = true;
    vec_clear(ret);
    for (struct dirent *entry; done && (entry = readdir(dir));) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0)
            done = vec_push(ret, (pid_t)pid);
    }
    closedir(dir);
    return done ? NULL : err_create(ERR_NO_MEMORY, "process list");
}

// /proc/PID/task/TID/children: numbers with a space behind each.
static void add_children(const char *path, struct proc_tids *ret)
{
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    for (char *at = err ? NULL : text, *end; at; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || !vec_push(ret, (pid_t)pid))
            return;
    }
}

bool proc_children(pid_t pid, struct proc_tids *ret)
{
    char path[80];
    struct proc_tids tids = {0};
    if (access("/proc/thread-self/children", F_OK) != 0)
        return false;
    AUTO_ERR struct err *err = proc_tasks(pid, &tids);
    for (size_t i = 0; !err && i < tids.count; i++) {
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tids.items[i]);
        add_children(path, ret);
    }
    vec_deinit(&tids);
    return true;
}

bool proc_program(pid_t pid, struct proc_program *ret)
{
    char path[64];
    struct stat info;
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    if (stat(path, &info) != 0)
        return false;
    *ret = (struct proc_program){info.st_dev, info.st_ino};
    return true;
}

bool proc_same_program(pid_t a, pid_t b)
{
    struct proc_program one, other;
    return proc_program(a, &one) && proc_program(b, &other) && one.device == other.device &&
           one.inode == other.inode;
}

bool proc_may_share_pages(pid_t pid)
{
    struct proc_stat stat;
    struct proc_tids children = {0};
    AUTO_ERR struct err *err = proc_thread_stat(pid, pid, &stat);
    if (!err && proc_same_program(pid, stat.parent))
        return true;
    // Children that executed another program have memory of their own.
    bool found = !proc_children(pid, &children);
    for (size_t i = 0; !found && i < children.count; i++)
        found = proc_same_program(pid, children.items[i]);
    vec_deinit(&children);
    return found;
}
