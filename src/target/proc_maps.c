// SPDX-License-Identifier: GPL-3.0-or-later
// Which files a process has mapped, and which one it executes: see target/proc.h.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/proc.h"
#include "util/guard.h"
#include "util/limits.h"

void proc_mappings_clear(struct target_mappings *mappings)
{
    vec_foreach (mapping, mappings)
        free(mapping->path);
    vec_deinit(mappings);
}

// "\012" in a path of /proc/PID/maps is a newline (fs/seq_file.c, mangle_path with "\n").
static char *unescape_path(const char *text, size_t size)
{
    char *path = malloc(size + 1), *to = path;
    if (!path)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        if (size - i >= 4 && memcmp(text + i, "\\012", 4) == 0) {
            *to++ = '\n';
            i += 3;
        } else {
            *to++ = text[i];
        }
    }
    *to = '\0';
    return path;
}

// The kernel's mark of a file that has no name any more (fs/d_path.c).
static size_t without_mark(const char *path, size_t size)
{
    static const char mark[] = " (deleted)";
    size_t mark_size = sizeof(mark) - 1;
    bool has = size > mark_size && memcmp(path + size - mark_size, mark, mark_size) == 0;
    return has ? size - mark_size : size;
}

bool proc_parse_mapping(const char *line, struct target_mapping *ret, char *ret_sharing,
                        size_t *ret_path_at)
{
    char perms[8] = "";
    unsigned long long start, end, offset, inode;
    unsigned major, minor;
    int path_at = 0;
    if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &end, perms, &offset, &major,
               &minor, &inode, &path_at) < 7 ||
        start >= end)
        return false;
    *ret = (struct target_mapping){
        .start = start,
        .end = end,
        .offset = offset,
        .inode = inode,
        .device = ((uint64_t)major << 32) | minor,
        .readable = perms[0] == 'r',
        .writable = perms[1] == 'w',
        .executable = perms[2] == 'x',
    };
    *ret_sharing = perms[3];
    *ret_path_at = path_at > 0 ? (size_t)path_at : strlen(line);
    return true;
}

static bool parse_mapping(const char *line, size_t size, struct target_mapping *ret)
{
    char sharing;
    size_t path_at;
    if (!proc_parse_mapping(line, ret, &sharing, &path_at))
        return false;
    if (path_at < size) {
        size_t path_size = without_mark(line + path_at, size - path_at);
        ret->deleted = path_size < size - path_at;
        ret->path = unescape_path(line + path_at, path_size);
    }
    return true;
}

struct err *proc_mappings(pid_t pid, struct target_mappings *ret)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    AUTO_FREE char *text = NULL;
    TRY(proc_read_file(path, &text, NULL));
    proc_mappings_clear(ret);
    for (char *line = text; *line;) {
        char *end = strchrnul(line, '\n');
        bool last = *end == '\0';
        *end = '\0';
        struct target_mapping mapping;
        if (parse_mapping(line, (size_t)(end - line), &mapping)) {
            if (ret->count >= LIMIT_MAPPINGS || !vec_push(ret, mapping)) {
                free(mapping.path);
                return err_create(ERR_LIMIT, "%s: too many mappings", path);
            }
        }
        if (last)
            break;
        line = end + 1;
    }
    return NULL;
}

char *proc_exe(pid_t pid)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    ssize_t size = readlink(path, target, sizeof(target));
    if (size <= 0 || (size_t)size >= sizeof(target))
        return NULL;
    return strndup(target, without_mark(target, (size_t)size));
}
