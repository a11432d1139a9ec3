// SPDX-License-Identifier: GPL-3.0-or-later
// How much more memory a process may have: what its cgroups (v1 or v2, each with all above it) and
// the machine leave. Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/frozen_private.h"
#include "util/guard.h"

// Where one hierarchy is mounted, and the names of its files.
struct hierarchy {
    const char *type, *option; // of the mount; option NULL: any
    const char *limit, *usage, *reclaimable;
};

static const struct hierarchy hierarchies[] = {
    {"cgroup", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "\ntotal_inactive_file "},
    {"cgroup2", NULL, "memory.max", "memory.current", "\ninactive_file "},
};

static char *read_text(const char *folder, const char *name)
{
    AUTO_FREE char *path = NULL;
    char *text = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return NULL;
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    return err ? NULL : text;
}

static bool has_word(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ',') && strchr(",\n ", at[size]))
            return true;
    return false;
}

// Its mount point, and which of its folders is mounted there: mountinfo, proc(5).
static bool find_mount(const char *mountinfo, const struct hierarchy *hierarchy, char *ret_root,
                       char *ret_point)
{
    for (const char *line = mountinfo; line && *line; line = strchr(line, '\n')) {
        char type[64] = "", options[512] = "";
        line += *line == '\n';
        const char *rest = strstr(line, " - "), *end = strchrnul(line, '\n');
        if (!rest || rest > end ||
            sscanf(line, "%*d %*d %*s %255s %255s", ret_root, ret_point) != 2 ||
            sscanf(rest, " - %63s %*s %511s", type, options) < 1 ||
            strcmp(type, hierarchy->type) != 0)
            continue;
        if (!hierarchy->option || has_word(options, hierarchy->option))
            return true;
    }
    return false;
}

// "4:memory:/path" or "0::/path": cgroups(7), /proc/PID/cgroup.
static bool find_group(const char *groups, const struct hierarchy *hierarchy, char *ret,
                       size_t room)
{
    for (const char *line = groups; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            return false;
        char names[128];
        snprintf(names, sizeof(names), "%.*s,", (int)(path - list - 1), list + 1);
        if (hierarchy->option ? !has_word(names, hierarchy->option) : names[0] != ',')
            continue;
        snprintf(ret, room, "%.*s", (int)(strchrnul(path, '\n') - path - 1), path + 1);
        return true;
    }
    return false;
}

// What the group in this folder may still take; page cache that is not in use counts as free.
static uint64_t free_of(const char *folder, const struct hierarchy *hierarchy)
{
    AUTO_FREE char *limit = read_text(folder, hierarchy->limit);
    AUTO_FREE char *usage = read_text(folder, hierarchy->usage);
    AUTO_FREE char *stat = read_text(folder, "memory.stat");
    if (!limit || !usage || strncmp(limit, "max", 3) == 0)
        return UINT64_MAX;
    uint64_t most = strtoull(limit, NULL, 10), used = strtoull(usage, NULL, 10);
    const char *cache = stat ? strstr(stat, hierarchy->reclaimable) : NULL;
    uint64_t reclaimable = cache ? strtoull(cache + strlen(hierarchy->reclaimable), NULL, 10) : 0;
    used -= reclaimable < used ? reclaimable : used;
    if (most >= INT64_MAX / 4096 * 4096) // v1's word for no limit
        return UINT64_MAX;
    return most > used ? most - used : 0;
}

static uint64_t free_of_hierarchy(const struct hierarchy *hierarchy, const char *mountinfo,
                                  const char *groups, char **ret_group)
{
    char root[256], point[256], group[512], folder[1024];
    uint64_t least = UINT64_MAX;
    if (!find_mount(mountinfo, hierarchy, root, point) ||
        !find_group(groups, hierarchy, group, sizeof(group)))
        return least;
    size_t cut = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(group, root, cut) == 0 ? group + cut : "";
    snprintf(folder, sizeof(folder), "%s%s", point, below);
    for (size_t size = strlen(folder); size >= strlen(point);) {
        uint64_t its = free_of(folder, hierarchy);
        if (its < least) {
            least = its;
            free(*ret_group);
            *ret_group = strdup(folder);
        }
        while (size > 0 && folder[--size] != '/')
            ;
        folder[size] = '\0';
    }
    return least;
}

static uint64_t free_of_machine(void)
{
    AUTO_FREE char *text = read_text("/proc", "meminfo");
    const char *line = text ? strstr(text, "MemAvailable:") : NULL;
    return line ? strtoull(line + 13, NULL, 10) * 1024 : UINT64_MAX;
}

uint64_t frozen_free_memory(pid_t pid, char **ret_group)
{
    char path[64];
    *ret_group = NULL;
    snprintf(path, sizeof(path), "/proc/%d", pid);
    uint64_t least = free_of_machine();
    AUTO_FREE char *groups = read_text(path, "cgroup");
    AUTO_FREE char *mountinfo = read_text("/proc/self", "mountinfo");
    for (size_t i = 0; groups && mountinfo && i < ARRAY_SIZE(hierarchies); i++) {
        char *group = NULL;
        uint64_t its = free_of_hierarchy(&hierarchies[i], mountinfo, groups, &group);
        if (its < least) {
            least = its;
            free(*ret_group);
            *ret_group = TAKE(group);
        }
        free(group);
    }
    return least;
}
