// SPDX-License-Identifier: GPL-3.0-or-later
// Why the kernel refused to let us open a process, in the order in which it checks: see
// ptrace(2), "Ptrace access mode checking".
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "target/proc.h"
#include "util/guard.h"

static long yama_scope(void)
{
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_read_file("/proc/sys/kernel/yama/ptrace_scope", &text, NULL);
    return err ? -1 : strtol(text, NULL, 10);
}

static bool have_ptrace_capability(void)
{
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_read_file("/proc/self/status", &text, NULL);
    char *line = err ? NULL : strstr(text, "\nCapEff:");
    return line && (strtoull(line + 8, NULL, 16) >> CAP_SYS_PTRACE & 1);
}

// A process that changed its ids, or has file capabilities, is not dumpable: then /proc/PID
// belongs to root although the process does not (proc(5)).
static bool not_dumpable(pid_t pid, uid_t uid)
{
    char path[64];
    struct stat info;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    return stat(path, &info) == 0 && info.st_uid != uid;
}

// The first one maps all ids to themselves (user_namespaces(7)).
static bool in_first_user_namespace(void)
{
    unsigned inside = 0, outside = 0, count = UINT_MAX;
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_read_file("/proc/self/uid_map", &text, NULL);
    return err || sscanf(text, "%u %u %u", &inside, &outside, &count) != 3 ||
           (inside == 0 && outside == 0 && count == UINT_MAX);
}

// A capability reaches what is in the namespace that it is held in, and in those below.
static bool reaches_user_namespace(pid_t pid, bool capable)
{
    char path[64];
    struct stat mine, its;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    if (stat("/proc/self/ns/user", &mine) != 0)
        return true;
    // Only those who may trace it may ask.
    return stat(path, &its) == 0 ? mine.st_ino == its.st_ino
                                 : !capable || in_first_user_namespace();
}

enum refusal {
    BY_SECCOMP,
    BY_USER,
    BY_YAMA,
    BY_YAMA_WHOLLY,
    BY_DUMPABLE,
    BY_NAMESPACE,
    BY_ROOT,
    BY_OTHER
};

struct reason {
    enum refusal by;
    uid_t owner, me;
    long yama;
};

static struct reason find_reason(pid_t pid, int errno_value)
{
    uid_t uids[4] = {0};
    gid_t gids[4];
    bool have_ids = proc_uids(pid, uids, gids);
    bool capable = have_ptrace_capability();
    struct reason reason = {.owner = uids[0], .me = geteuid(), .yama = yama_scope()};
    if (errno_value == ENOSYS)
        reason.by = BY_SECCOMP;
    else if (have_ids && !capable && uids[0] != reason.me)
        reason.by = BY_USER;
    else if (!capable && reason.yama >= 1)
        reason.by = BY_YAMA;
    else if (reason.yama == 3)
        reason.by = BY_YAMA_WHOLLY;
    else if (!capable && have_ids && not_dumpable(pid, uids[1]))
        reason.by = BY_DUMPABLE;
    else if (!reaches_user_namespace(pid, capable))
        reason.by = BY_NAMESPACE;
    else
        reason.by = reason.me == 0 && !capable ? BY_ROOT : BY_OTHER;
    return reason;
}

const char *proc_refused_by(pid_t pid, int errno_value)
{
    static const char *const words[] = {[BY_SECCOMP] = "seccomp",
                                        [BY_USER] = "other user",
                                        [BY_YAMA] = "Yama",
                                        [BY_YAMA_WHOLLY] = "Yama",
                                        [BY_DUMPABLE] = "not dumpable",
                                        [BY_NAMESPACE] = "user namespace",
                                        [BY_ROOT] = "no capability",
                                        [BY_OTHER] = "refused"};
    return words[find_reason(pid, errno_value).by];
}

char *proc_why_refused(pid_t pid, int errno_value)
{
    char *text = NULL;
    int made = -1;
    struct reason reason = find_reason(pid, errno_value);
    switch (reason.by) {
    case BY_SECCOMP:
        made = asprintf(&text,
                        "the system call process_vm_readv is blocked by a seccomp filter "
                        "and /proc/%d/mem cannot be opened: run pycore outside that "
                        "sandbox, or with --cap-add=SYS_PTRACE",
                        pid);
        break;
    case BY_USER:
        made = asprintf(&text,
                        "process %d belongs to user %u and you are user %u: run "
                        "\"sudo pycore ...\" (capability CAP_SYS_PTRACE)",
                        pid, reason.owner, reason.me);
        break;
    case BY_YAMA:
        made = asprintf(&text,
                        "Yama forbids it (kernel.yama.ptrace_scope = %ld): run "
                        "\"sudo pycore ...\", or \"sudo sysctl kernel.yama.ptrace_scope=0\"",
                        reason.yama);
        break;
    case BY_YAMA_WHOLLY:
        made = asprintf(&text, "Yama forbids all tracing until the next boot "
                               "(kernel.yama.ptrace_scope = 3): take a core instead, and "
                               "\"pycore analyze\" it");
        break;
    case BY_DUMPABLE:
        made = asprintf(&text,
                        "process %d is not dumpable (it changed its user, has file "
                        "capabilities, or called prctl(PR_SET_DUMPABLE, 0)): run "
                        "\"sudo pycore ...\"",
                        pid);
        break;
    case BY_NAMESPACE:
        made = asprintf(&text,
                        "process %d is in another user namespace: run pycore as root of "
                        "the host, or inside that container",
                        pid);
        break;
    case BY_ROOT:
        made = asprintf(&text, "this root lacks the capability CAP_SYS_PTRACE (a container?): "
                               "start the container with --cap-add=SYS_PTRACE, or run pycore on "
                               "the host");
        break;
    case BY_OTHER:
        made = asprintf(&text,
                        "the kernel refused access to process %d (%s): a security module "
                        "(SELinux, AppArmor) or seccomp may forbid it; try as root on the "
                        "host",
                        pid, strerror(errno_value));
        break;
    }
    return made < 0 ? NULL : text;
}
