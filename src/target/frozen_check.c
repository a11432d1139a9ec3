// SPDX-License-Identifier: GPL-3.0-or-later
// What a frozen copy of a process would cost, what of it a child would not get, and the reasons not
// to make one. Only looks: /proc. See target/frozen.h.
#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "target/frozen_private.h"
#include "util/guard.h"
#include "util/limits.h"

// Measured on two machines, kernels 6.1 and 6.18: 21 to 26 ms for 1 GiB of small pages, below 1 ms
// of huge ones; the rest is for the two context switches that each thread costs.
#define NS_PER_GIB 26000000u
#define NS_PER_HUGE_GIB 1000000u
#define NS_FIXED 500000u
#define NS_PER_THREAD 30000u

// ---- Mappings -----------------------------------------------------------------------------------

static bool has_flag(const char *flags, const char *flag)
{
    const char *at = strstr(flags, flag);
    return at && at[-1] == ' ' && (at[2] == ' ' || at[2] == '\n' || !at[2]);
}

// "start-end perms offset major:minor inode path"
static bool parse_range(const char *line, struct frozen_range *ret, bool *ret_shared)
{
    struct target_mapping mapping;
    char sharing;
    size_t path_at;
    if (!proc_parse_mapping(line, &mapping, &sharing, &path_at))
        return false;
    *ret = (struct frozen_range){.start = mapping.start, .end = mapping.end, .mapping = mapping};
    *ret_shared = sharing == 's';
    ret->path = strndup(line + path_at, strcspn(line + path_at, "\n"));
    return ret->path;
}

// The drivers behind them pin pages, or keep state by process: a clone would break their mappings.
static const char *const device_folders[] = {"/dev/nvidia", "/dev/infiniband/", "/dev/dri/",
                                             "/dev/kfd",    "/dev/vfio/",       "/dev/habanalabs",
                                             "/dev/accel"};

static bool is_device(const struct frozen_range *range, const char *flags)
{
    for (size_t i = 0; i < ARRAY_SIZE(device_folders); i++)
        if (strncmp(range->path, device_folders[i], strlen(device_folders[i])) == 0)
            return true;
    // The kernel's own pages for the clock are such, too: [vvar], [vvar_vclock].
    return range->path[0] != '[' && (has_flag(flags, "io") || has_flag(flags, "pf"));
}

static char *text_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    return text;
}

static void refuse(struct frozen_survey *survey, char *reason)
{
    if (survey->estimate.refusal)
        free(reason);
    else
        survey->estimate.refusal = reason ? reason : strdup("out of memory");
}

// The last line of a mapping in smaps: what it is. proc(5), VmFlags.
static bool end_range(struct frozen_survey *survey, struct frozen_range *range, bool shared,
                      const char *flags)
{
    bool keep = true;
    if (is_device(range, flags))
        refuse(survey, text_of("it has mapped a device (%s), and what a clone does to that is not "
                               "known",
                               range->path));
    if (has_flag(flags, "um") || has_flag(flags, "uw") || has_flag(flags, "ui"))
        refuse(survey, strdup("some of its memory is under userfaultfd(2), which a copy is not"));
    if (has_flag(flags, "io") || has_flag(flags, "pf"))
        keep = false;
    else if (has_flag(flags, "dc"))
        range->lack = FROZEN_DONT_FORK;
    else if (has_flag(flags, "wf"))
        range->lack = FROZEN_WIPE_ON_FORK;
    else if (shared)
        range->lack = FROZEN_SHARED;
    else
        keep = false;
    if (!keep || survey->ranges.count >= LIMIT_MAPPINGS) {
        free(range->path);
        return true;
    }
    return vec_push(&survey->ranges, *range);
}

static uint64_t kilobytes(const char *line)
{
    const char *colon = strchr(line, ':');
    return colon ? strtoull(colon + 1, NULL, 10) * 1024 : 0;
}

static struct err *read_smaps(pid_t pid, struct frozen_survey *ret)
{
    char path[64];
    AUTO_FREE char *text = NULL;
    struct frozen_range range = {0};
    bool shared = false, open = false;
    snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
    TRY(proc_read_file(path, &text, NULL));
    for (char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        char kept = *end;
        *end = '\0';
        if (isdigit((unsigned char)*line) || (*line >= 'a' && *line <= 'f')) {
            if (open)
                free(range.path);
            open = parse_range(line, &range, &shared);
        } else if (strncmp(line, "Rss:", 4) == 0) {
            ret->estimate.resident_bytes += kilobytes(line);
        } else if (strncmp(line, "Anonymous:", 10) == 0 || strncmp(line, "Swap:", 5) == 0) {
            ret->estimate.anonymous_bytes += kilobytes(line);
        } else if (strncmp(line, "AnonHugePages:", 14) == 0) {
            ret->estimate.huge_bytes += kilobytes(line);
        } else if (strncmp(line, "VmFlags:", 8) == 0 && open) {
            open = false;
            if (!end_range(ret, &range, shared, line))
                return err_create(ERR_NO_MEMORY, "%s", path);
        }
        *end = kept;
    }
    if (open)
        free(range.path);
    return NULL;
}

// ---- Threads and settings -----------------------------------------------------------------------

static bool is_in_vfork(const struct live_thread *thread, char state)
{
    const char *name =
        thread->has_regs ? arch_syscall_name(arch_host(), thread->regs.syscall) : NULL;
    return state == 'D' && name && (strcmp(name, "vfork") == 0 || strncmp(name, "clone", 5) == 0);
}

static char *file_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *file_text(const char *fmt, ...)
{
    char path[96], *text = NULL;
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof(path), fmt, args);
    va_end(args);
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    return err ? NULL : text;
}

static uint64_t status_number(const char *status, const char *name, int base)
{
    const char *line = status ? strstr(status, name) : NULL;
    return line ? strtoull(line + strlen(name), NULL, base) : 0;
}

// Only a tracer with CAP_SYS_ADMIN that is not filtered itself may suspend filters of system calls
// (kernel/ptrace.c, check_ptrace_options).
static bool may_suspend_filters(void)
{
    AUTO_FREE char *status = file_text("/proc/self/status");
    return status_number(status, "\nCapEff:", 16) >> CAP_SYS_ADMIN & 1 &&
           status_number(status, "\nSeccomp:", 10) == 0;
}

static void check_threads(const struct live *live, struct frozen_survey *survey)
{
    vec_foreach (thread, &live->threads) {
        AUTO_FREE char *status = file_text("/proc/%d/task/%d/status", live->pid, thread->tid);
        uint64_t tracer = status_number(status, "\nTracerPid:", 10);
        if (tracer)
            refuse(survey, text_of("process %llu traces it", (unsigned long long)tracer));
        if (status_number(status, "\nSeccomp:", 10) && !may_suspend_filters())
            refuse(survey, strdup("it filters its system calls (seccomp), and might be killed for "
                                  "ours; with CAP_SYS_ADMIN pycore can suspend the filter"));
        const char *state = status ? strstr(status, "\nState:\t") : NULL;
        if (is_in_vfork(thread, state ? state[8] : '?'))
            refuse(survey,
                   text_of("its thread %d is in vfork(), and cannot be stopped", thread->tid));
    }
}

// After unshare(CLONE_NEWPID) the copy would be the first process of a namespace, and take that
// with it when it ends. As long as there is no such first process the link leads nowhere
// (kernel/pid_namespace.c, pidns_for_children_get).
static bool makes_namespaces(pid_t pid)
{
    char path[64];
    struct stat own, children;
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
    if (stat(path, &own) != 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/ns/pid_for_children", pid);
    if (stat(path, &children) == 0)
        return own.st_ino != children.st_ino;
    return errno == ENOENT && lstat(path, &children) == 0;
}

static void check_settings(pid_t pid, struct frozen_survey *survey)
{
    AUTO_FREE char *overcommit = file_text("/proc/sys/vm/overcommit_memory");
    if (overcommit && strtol(overcommit, NULL, 10) == 2)
        refuse(survey, strdup("vm.overcommit_memory is 2: a copy would count as twice the memory, "
                              "and the process might get no more"));
    if (makes_namespaces(pid))
        refuse(survey, strdup("its children begin a new PID namespace"));
    if (!arch_host()->inject)
        refuse(survey, text_of("pycore cannot do this on %s yet", arch_host()->name));
}

// In the worst case the target writes to all of its memory while the copy lives. The copy is the
// first to be killed then, so that half of it is taken for enough.
static void check_memory(pid_t pid, struct frozen_survey *survey)
{
    AUTO_FREE char *group = NULL;
    struct frozen_estimate *estimate = &survey->estimate;
    const double mib = 1 << 20;
    estimate->worst_bytes = estimate->anonymous_bytes + estimate->anonymous_bytes / 512;
    estimate->free_bytes = frozen_free_memory(pid, &group);
    if (estimate->free_bytes < estimate->worst_bytes / 2)
        refuse(survey, text_of("%s leaves it %.0f MiB, and the copy may take up to %.0f MiB more",
                               group ? group : "the machine", (double)estimate->free_bytes / mib,
                               (double)estimate->worst_bytes / mib));
}

static void set_pause(struct frozen_survey *survey, size_t threads)
{
    struct frozen_estimate *estimate = &survey->estimate;
    const double gib = 1 << 30;
    uint64_t huge = estimate->huge_bytes < estimate->anonymous_bytes ? estimate->huge_bytes : 0;
    estimate->pause_ns = NS_FIXED + NS_PER_THREAD * threads +
                         (uint64_t)((double)(estimate->anonymous_bytes - huge) / gib * NS_PER_GIB) +
                         (uint64_t)((double)huge / gib * NS_PER_HUGE_GIB);
    estimate->text = text_of(
        "the process stands still for about %.*f ms, and once more for a moment at the end; while "
        "its copy lives, each page that it writes to costs a copy of that page: at most %.0f MiB "
        "(%.0f MiB are free; if they run short, the copy is killed first)",
        estimate->pause_ns < 10000000 ? 1 : 0, (double)estimate->pause_ns / 1e6,
        (double)estimate->worst_bytes / (1 << 20), (double)estimate->free_bytes / (1 << 20));
}

struct err *frozen_survey(pid_t pid, struct frozen_survey *ret)
{
    struct live *live = NULL;
    *ret = (struct frozen_survey){0};
    struct err *err = live_open(pid, &live);
    if (!err && !live->can_stop)
        err = err_create(ERR_PERMISSION, "%s", live->refusal ? live->refusal : "no permission");
    if (!err)
        err = live_look(live);
    if (!err)
        err = read_smaps(pid, ret);
    if (!err) {
        check_settings(pid, ret);
        check_threads(live, ret);
        check_memory(pid, ret);
        set_pause(ret, live->threads.count);
    }
    live_close(live);
    if (err)
        frozen_survey_deinit(ret);
    return err;
}

void frozen_survey_deinit(struct frozen_survey *survey)
{
    vec_foreach (range, &survey->ranges)
        free(range->path);
    vec_deinit(&survey->ranges);
    frozen_estimate_deinit(&survey->estimate);
}

struct err *frozen_estimate(pid_t pid, struct frozen_estimate *ret)
{
    struct frozen_survey survey;
    TRY(frozen_survey(pid, &survey));
    *ret = survey.estimate;
    survey.estimate = (struct frozen_estimate){0};
    frozen_survey_deinit(&survey);
    return NULL;
}

void frozen_estimate_deinit(struct frozen_estimate *estimate)
{
    free(TAKE(estimate->text));
    free(TAKE(estimate->refusal));
}
