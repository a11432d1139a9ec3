// SPDX-License-Identifier: GPL-3.0-or-later
// See target/surroundings.h. Formats: proc(5); Documentation/admin-guide/cgroup-v2.rst and
// cgroup-v1/memory.rst, scheduler/sched-bwc.rst.
#include "target/surroundings.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "target/usage.h"
#include "util/guard.h"
#include "util/redact.h"

#define MOUNT "/sys/fs/cgroup"
#define ENVIRON_MAX (2u << 20)
#define NAME_MAX_BYTES 200
#define UNLIMITED (INT64_MAX / 2) // cgroup v1 says "no limit" as a number near to LONG_MAX

static bool read_line(const char *folder, const char *name, char *ret, size_t size)
{
    AUTO_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return false;
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    return file && fgets(ret, (int)size, file);
}

static int64_t read_number(const char *folder, const char *name)
{
    char line[64];
    long long number;
    bool is = read_line(folder, name, line, sizeof(line)) && sscanf(line, "%lld", &number) == 1;
    return is && number >= 0 && number < UNLIMITED ? number : -1;
}

// Processors that the quota of this very folder allows; 0: it has none.
static double quota_of(const char *folder)
{
    char line[64];
    double quota, period;
    if (read_line(folder, "cpu.max", line, sizeof(line)))
        return sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0 ? quota / period : 0;
    quota = (double)read_number(folder, "cpu.cfs_quota_us");
    period = (double)read_number(folder, "cpu.cfs_period_us");
    return quota > 0 && period > 0 ? quota / period : 0;
}

static bool read_throttling(const char *folder, struct throttling *ret)
{
    AUTO_FREE char *path = NULL;
    char line[128];
    bool any = false;
    *ret = (struct throttling){0};
    if (asprintf(&path, "%s/cpu.stat", folder) < 0)
        return false;
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    uint64_t number;
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "nr_periods %" SCNu64, &number) == 1)
            ret->periods = number, any = true;
        else if (sscanf(line, "nr_throttled %" SCNu64, &number) == 1)
            ret->throttled_periods = number;
        else if (sscanf(line, "throttled_usec %" SCNu64, &number) == 1)
            ret->throttled_ns = number * 1000;
        else if (sscanf(line, "throttled_time %" SCNu64, &number) == 1)
            ret->throttled_ns = number;
    }
    return any;
}

static int64_t smaller_limit(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

// The tightest quota and limit of the folder and those above it.
static void read_cgroup(char *folder, bool cpu, bool memory, struct surroundings *ret)
{
    for (bool own = true; strlen(folder) >= strlen(MOUNT); own = false) {
        double quota = cpu ? quota_of(folder) : 0;
        if (quota > 0 && (ret->cgroup_processors <= 0 || quota < ret->cgroup_processors)) {
            ret->cgroup_processors = quota;
            free(ret->cpu_cgroup);
            ret->cpu_cgroup = strdup(folder);
        }
        if (memory) {
            int64_t limit = smaller_limit(read_number(folder, "memory.max"),
                                          read_number(folder, "memory.limit_in_bytes"));
            ret->memory_limit_bytes = smaller_limit(ret->memory_limit_bytes, limit);
            if (own)
                ret->memory_bytes = smaller_limit(read_number(folder, "memory.current"),
                                                  read_number(folder, "memory.usage_in_bytes"));
        }
        char *slash = strrchr(folder, '/');
        *slash = '\0';
    }
}

static bool has_word(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ',') && (at[size] == ',' || !at[size]))
            return true;
    return false;
}

// "0::/path" (v2), "4:cpu,cpuacct:/path" (v1). A path that leads out of our own namespace is
// nobody's that we could read.
static void read_cgroups(pid_t pid, struct surroundings *ret)
{
    char path[64], line[4096], controllers[256];
    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        int at = 0;
        controllers[0] = '\0';
        if (sscanf(line, "%*d:%255[^:]:%n", controllers, &at) < 1 && strncmp(line, "0::", 3) == 0)
            at = 3;
        if (!at || strncmp(line + at, "/..", 3) == 0)
            continue;
        bool v2 = !controllers[0];
        bool cpu = v2 || has_word(controllers, "cpu"),
             memory = v2 || has_word(controllers, "memory");
        AUTO_FREE char *folder = NULL;
        if ((!cpu && !memory) || asprintf(&folder, MOUNT "%s%s%s", v2 ? "" : "/", controllers,
                                          strcmp(line + at, "/") == 0 ? "" : line + at) < 0)
            continue;
        read_cgroup(folder, cpu, memory, ret);
    }
    ret->has_throttling = ret->cpu_cgroup && read_throttling(ret->cpu_cgroup, &ret->at_start);
    ret->at_end = ret->at_start;
}

static void read_limits(pid_t pid, struct surroundings *ret)
{
    char path[64], line[512];
    uint64_t fds;
    long long limit;
    ret->fd_count = proc_open_files(pid, &fds) ? (int64_t)fds : -1;
    snprintf(path, sizeof(path), "/proc/%d/limits", pid);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "Max open files %lld", &limit) == 1)
            ret->fd_limit = limit;
}

// "Cpus_allowed:	ff,ffffffff"
static void read_processors(pid_t pid, struct surroundings *ret)
{
    char path[64], line[4096];
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "Cpus_allowed:", 13) != 0)
            continue;
        ret->processors = 0;
        for (const char *at = line + 13; *at; at++) {
            char digit[2] = {*at, '\0'};
            ret->processors += __builtin_popcountl(strtoul(digit, NULL, 16));
        }
    }
}

// A name as POSIX has them (Base Definitions, 8.1), which is no key or token by its looks: what
// exec() was given in the place of NAME=value may be anything.
static bool is_name(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return false;
    return size > 0 && size < NAME_MAX_BYTES && !isdigit((unsigned char)text[0]) &&
           !redact_is_secret_value(text, size);
}

static void drop_variables(struct surroundings *from)
{
    vec_foreach (name, &from->variables)
        free(*name);
    vec_clear(&from->variables);
}

// NAME=value, each ended by NUL. Of a value not a byte is kept. Where something else lies, the
// program has written over it, to change its title (setproctitle): then the rest may be the end of a
// value, and nothing is told.
static void read_variables(pid_t pid, struct surroundings *ret)
{
    char path[64], *line = NULL;
    size_t room = 0, total = 0;
    ssize_t size;
    snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    char buffer[4096];
    if (file)
        setvbuf(file, buffer, _IOFBF, sizeof(buffer));
    while (file && (size = getdelim(&line, &room, '\0', file)) > 0) {
        const char *equals = memchr(line, '=', (size_t)size);
        total += (size_t)size;
        if (!equals) {
            drop_variables(ret);
            break;
        }
        if (total > ENVIRON_MAX || ret->variables.count >= SURROUNDINGS_NAMES_MAX)
            break;
        if (!is_name(line, (size_t)(equals - line)))
            continue;
        char *name = strndup(line, (size_t)(equals - line));
        if (!name || !vec_push(&ret->variables, name))
            free(name);
    }
    // No value is left behind.
    explicit_bzero(buffer, sizeof(buffer));
    if (line)
        explicit_bzero(line, room);
    free(line);
}

const struct surroundings surroundings_unknown = {
    .fd_count = -1, .fd_limit = -1, .processors = -1, .memory_bytes = -1, .memory_limit_bytes = -1};

void surroundings_read(pid_t pid, struct surroundings *ret)
{
    *ret = surroundings_unknown;
    read_limits(pid, ret);
    read_processors(pid, ret);
    read_cgroups(pid, ret);
    read_variables(pid, ret);
}

void surroundings_update(struct surroundings *surroundings)
{
    struct throttling now;
    if (surroundings->has_throttling && read_throttling(surroundings->cpu_cgroup, &now))
        surroundings->at_end = now;
}

void surroundings_deinit(struct surroundings *surroundings)
{
    drop_variables(surroundings);
    vec_deinit(&surroundings->variables);
    free(surroundings->cpu_cgroup);
    surroundings->cpu_cgroup = NULL;
}
