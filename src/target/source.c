// SPDX-License-Identifier: GPL-3.0-or-later
// Source lines with the target's eyes: see target/source.h.
#include "target/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target/proc.h"
#include "util/guard.h"
#include "util/vec.h"

#define FILE_LIMIT_BYTES (16u << 20)
#define CACHE_FILES 64
#define GROUPS_MAX 256
// Start times are good to a clock tick, and an interpreter needs longer than that to read a source.
#define START_SLACK_NS 50000000u

struct file {
    char *path;
    char *text; // NULL: could not be read
    VEC(size_t) lines;
    int64_t mtime_ns;
};

struct source {
    int root_fd, cwd_fd;
    bool as_target;
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    size_t group_count;
    uint64_t start_time_ns;
    VEC(struct file) files;
    char *line;
};

static int open_dir(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static struct source *create(int root_fd, int cwd_fd)
{
    struct source *source = calloc(1, sizeof(*source));
    if (!source) {
        guard_close(&root_fd);
        guard_close(&cwd_fd);
        return NULL;
    }
    source->root_fd = root_fd;
    source->cwd_fd = cwd_fd;
    return source;
}

struct source *source_create_root(const char *root)
{
    return create(root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1, -1);
}

struct source *source_create_live(pid_t pid)
{
    struct source *source = create(open_dir(pid, "root"), open_dir(pid, "cwd"));
    uid_t uids[4];
    gid_t gids[4];
    if (!source)
        return NULL;
    if (!proc_uids(pid, uids, gids)) {
        guard_close(&source->root_fd);
        source->root_fd = -1;
        return source;
    }
    // The file system ids decide what the target may open (credentials(7)).
    source->uid = uids[3];
    source->gid = gids[3];
    source->as_target = geteuid() == 0;
    source->group_count = proc_groups(pid, source->groups, GROUPS_MAX);
    return source;
}

void source_destroy(struct source *source)
{
    if (!source)
        return;
    guard_close(&source->root_fd);
    guard_close(&source->cwd_fd);
    vec_foreach (file, &source->files) {
        free(file->path);
        free(file->text);
        vec_deinit(&file->lines);
    }
    vec_deinit(&source->files);
    free(source->line);
    free(source);
}

void source_set_start(struct source *source, uint64_t start_time_ns)
{
    source->start_time_ns = start_time_ns;
}

// Below dir, whatever links and ".." say (openat2(2), Linux 5.6). Older kernels: only paths
// without links, opened step by step.
static int open_below(int dir, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
    if (fd >= 0 || errno != ENOSYS)
        return fd;
    char step[NAME_MAX + 1];
    int at = dup(dir);
    while (at >= 0) {
        path += strspn(path, "/");
        size_t size = strcspn(path, "/");
        if (size == 0 || size > NAME_MAX || (size == 2 && memcmp(path, "..", 2) == 0))
            break;
        memcpy(step, path, size);
        step[size] = '\0';
        path += size;
        bool last = path[strspn(path, "/")] == '\0';
        int next = openat(at, step,
                          last ? O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW
                               : O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        close(at);
        if (last)
            return next;
        at = next;
    }
    guard_close(&at);
    return -1;
}

// Only this thread's file system ids change, and only around one open: setfsuid(2).
static int open_as_target(struct source *source, const char *path)
{
    int dir = path[0] == '/' ? source->root_fd : source->cwd_fd;
    if (dir < 0)
        return -1;
    if (!source->as_target)
        return open_below(dir, path);
    gid_t mine[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, mine);
    if (count < 0 || setgroups(source->group_count, source->groups) != 0)
        return -1;
    setfsgid(source->gid);
    setfsuid(source->uid);
    // setfsuid reports no errors: ask what it is now.
    bool switched =
        (uid_t)setfsuid((uid_t)-1) == source->uid && (gid_t)setfsgid((gid_t)-1) == source->gid;
    int fd = switched ? open_below(dir, path) : -1;
    setfsuid(geteuid());
    setfsgid(getegid());
    if (setgroups((size_t)count, mine) != 0) {
        guard_close(&fd);
        return -1;
    }
    return fd;
}

static char *read_whole(struct source *source, const char *path, size_t limit, size_t *ret_size,
                        int64_t *ret_mtime_ns)
{
    AUTO_CLOSE int fd = open_as_target(source, path);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > (off_t)limit)
        return NULL;
    size_t size = (size_t)info.st_size, done = 0;
    *ret_mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    char *text = malloc(size + 1);
    while (text && done < size) {
        ssize_t got = read(fd, text + done, size - done);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    if (text)
        text[done] = '\0';
    *ret_size = done;
    return text;
}

static void load(struct source *source, struct file *file)
{
    size_t done;
    file->text = read_whole(source, file->path, FILE_LIMIT_BYTES, &done, &file->mtime_ns);
    if (!file->text)
        return;
    // A newline ends a line: behind the last one there is none, and an empty file has none at all.
    for (size_t at = 0; at < done;) {
        char *end = memchr(file->text + at, '\n', done - at);
        if (!vec_push(&file->lines, at))
            return;
        at = end ? (size_t)(end - file->text) + 1 : done;
    }
    (void)vec_push(&file->lines, done);
}

static struct file *file_of(struct source *source, const char *path)
{
    vec_foreach (file, &source->files)
        if (strcmp(file->path, path) == 0)
            return file;
    if (source->files.count >= CACHE_FILES) {
        struct file *oldest = &source->files.items[0];
        free(oldest->path);
        free(oldest->text);
        vec_deinit(&oldest->lines);
        memmove(oldest, oldest + 1, (source->files.count - 1) * sizeof(*oldest));
        source->files.count--;
    }
    struct file file = {.path = strdup(path)};
    if (!file.path || !vec_push(&source->files, file)) {
        free(file.path);
        return NULL;
    }
    struct file *stored = &source->files.items[source->files.count - 1];
    load(source, stored);
    return stored;
}

static bool is_newer(const struct source *source, int64_t mtime_ns)
{
    return source->start_time_ns && mtime_ns > (int64_t)(source->start_time_ns + START_SLACK_NS);
}

const char *source_line(struct source *source, const char *path, int32_t line, bool *ret_newer)
{
    *ret_newer = false;
    if (!source || source->root_fd < 0 || !path || !path[0] || path[0] == '<' || line < 1)
        return NULL;
    struct file *file = file_of(source, path);
    if (!file || !file->text || (size_t)line + 1 > file->lines.count)
        return NULL;
    size_t start = file->lines.items[line - 1], end = file->lines.items[line];
    while (end > start && (file->text[end - 1] == '\r' || file->text[end - 1] == '\n'))
        end--;
    free(source->line);
    source->line = strndup(file->text + start, end - start);
    *ret_newer = is_newer(source, file->mtime_ns);
    return source->line;
}

char *source_file(struct source *source, const char *path, size_t limit, size_t *ret_size,
                  bool *ret_newer)
{
    int64_t mtime_ns = 0;
    char *text = source && path ? read_whole(source, path, limit, ret_size, &mtime_ns) : NULL;
    *ret_newer = text && is_newer(source, mtime_ns);
    return text;
}

bool source_folder(struct source *source, const char *path, size_t limit, source_visit *visit,
                   void *arg)
{
    int fd = source && path ? open_as_target(source, path) : -1;
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        guard_close(&fd);
        return false;
    }
    const struct dirent *entry;
    while (limit-- > 0 && (entry = readdir(folder)))
        visit(arg, entry->d_name);
    closedir(folder);
    return true;
}
