// SPDX-License-Identifier: GPL-3.0-or-later
// Output files: see cli/outfile.h.
#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/guard.h"

#define HOPS_MAX 40        // of symbolic links, as the kernel's own limit (path_resolution(7))
#define NAME_BYTES_MAX 255 // of one file name, NAME_MAX of all that count here
#define TEMPORARY_BYTES 14 // ".XXXXXXXX.part"
#define TRIES 100

// ---- Where it goes ------------------------------------------------------------------------------

// "a/b" is "b" in "a"; "b" is "b" in ".". NULL: out of memory.
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// The rule of the kernel for links in folders such as /tmp, where it is switched on
// (protected_symlinks, proc(5)): what somebody else has put there may be a trap.
static bool is_trap(const char *folder, const struct stat *info)
{
    struct stat above;
    if (info->st_uid == geteuid())
        return false;
    if (stat(folder, &above) != 0)
        return true;
    return (above.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH) &&
           above.st_uid != info->st_uid;
}

static bool is_in_proc(const char *folder)
{
    struct statfs info;
    return statfs(folder, &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
}

// What a link leads to. NULL: out of memory, or no link any more.
static char *next_hop(const char *path, const char *folder)
{
    char text[4096], *joined;
    ssize_t size = readlink(path, text, sizeof(text) - 1);
    if (size <= 0 || size == sizeof(text) - 1)
        return NULL;
    text[size] = '\0';
    if (text[0] == '/')
        return strdup(text);
    return asprintf(&joined, "%s/%s", folder, text) < 0 ? NULL : joined;
}

// The path behind all symbolic links; it need not exist. Links in /proc lead to what has been
// opened already, and are the end.
static struct err *follow(const char *path, char **ret)
{
    AUTO_FREE char *at = strdup(path);
    if (!*path)
        return err_os(ENOENT, "cannot write \"\"");
    for (int hops = 0; at && hops < HOPS_MAX; hops++) {
        struct stat info;
        AUTO_FREE char *folder = folder_of(at);
        if (!folder)
            break;
        bool there = lstat(at, &info) == 0;
        if (there && !S_ISREG(info.st_mode) && is_trap(folder, &info))
            return err_create(ERR_PERMISSION,
                              "cannot write %s: in a folder where everybody may write, somebody "
                              "else has made %s what it is",
                              path, at);
        if (!there || !S_ISLNK(info.st_mode) || is_in_proc(folder)) {
            *ret = TAKE(at);
            return NULL;
        }
        char *next = next_hop(at, folder);
        free(at);
        at = next;
    }
    return at ? err_os(ELOOP, "cannot write %s", path) : err_create(ERR_NO_MEMORY, "%s", path);
}

enum place { PLACE_FREE, PLACE_FILE, PLACE_FOLDER, PLACE_SPECIAL };

static enum place look_at(const char *path)
{
    struct stat info;
    AUTO_FREE char *folder = folder_of(path);
    // A link that was not followed: an open descriptor, even when it is a regular file's.
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode) && folder && is_in_proc(folder))
        return PLACE_SPECIAL;
    if (stat(path, &info) != 0)
        return PLACE_FREE;
    return S_ISREG(info.st_mode)   ? PLACE_FILE
           : S_ISDIR(info.st_mode) ? PLACE_FOLDER
                                   : PLACE_SPECIAL;
}

// Our own open file, by the number in /proc/self/fd, is written where it stands: opened anew it
// would be written from its begin.
static int duplicate(const char *path)
{
    struct stat here, own;
    char *end;
    AUTO_FREE char *folder = folder_of(path);
    long number = strtol(name_of(path), &end, 10);
    if (!folder || *end || end == name_of(path) || stat(folder, &here) != 0 ||
        stat("/proc/self/fd", &own) != 0 || here.st_dev != own.st_dev || here.st_ino != own.st_ino)
        return -1;
    return fcntl((int)number, F_DUPFD_CLOEXEC, 3);
}

// ---- When a signal ends pycore ------------------------------------------------------------------

static const int deadly[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGPIPE, SIGALRM,
                             SIGXCPU, SIGABRT, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL};
static struct outfile *unfinished;

static void on_end(int signo)
{
    for (struct outfile *file = unfinished; file; file = file->next)
        unlinkat(file->folder, file->temporary, 0);
    signal(signo, SIG_DFL);
    raise(signo);
}

static void block_all(sigset_t *ret_before)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, ret_before);
}

// Only where the signal would end pycore: a command that ends in its own way does that itself.
static void watch(struct outfile *file)
{
    for (size_t i = 0; i < ARRAY_SIZE(deadly); i++) {
        struct sigaction now, ours = {.sa_handler = on_end};
        if (sigaction(deadly[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
            now.sa_handler == SIG_DFL)
            sigaction(deadly[i], &ours, NULL);
    }
    signal(SIGXFSZ, SIG_IGN); // a limit on the size of files is an error of write()
    file->next = unfinished;
    unfinished = file;
}

static void unwatch(struct outfile *file)
{
    for (struct outfile **at = &unfinished; *at; at = &(*at)->next) {
        if (*at == file) {
            *at = file->next;
            break;
        }
    }
}

// ---- The file -----------------------------------------------------------------------------------

static void deinit(struct outfile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->folder >= 0)
        close(file->folder);
    free(file->path);
    free(file->name);
    free(file->temporary);
    *file = (struct outfile){.fd = -1, .folder = -1};
}

static struct err *create_temporary(struct outfile *file)
{
    int room = NAME_BYTES_MAX - TEMPORARY_BYTES, refused = EEXIST;
    for (int k = 0; k < TRIES && refused == EEXIST; k++) {
        uint32_t random;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
            return err_os(errno, "random numbers");
        free(file->temporary);
        file->temporary = NULL;
        if (asprintf(&file->temporary, "%.*s.%08x.part", room, file->name, random) < 0) {
            file->temporary = NULL;
            return err_create(ERR_NO_MEMORY, "%s", file->path);
        }
        file->fd = openat(file->folder, file->temporary,
                          O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file->fd >= 0)
            return NULL;
        refused = errno;
    }
    return err_os(refused, "cannot write beside %s", file->path);
}

static struct err *begin_special(struct outfile *file, const char *path)
{
    file->in_place = true;
    file->fd = duplicate(path);
    if (file->fd < 0)
        file->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return file->fd < 0 ? err_os(errno, "cannot write %s", file->path) : NULL;
}

static struct err *begin(struct outfile *file, const char *path)
{
    AUTO_FREE char *real = NULL;
    if (!(file->path = strdup(path)))
        return err_create(ERR_NO_MEMORY, "%s", path);
    TRY(follow(path, &real));
    enum place place = look_at(real);
    if (place == PLACE_SPECIAL)
        return begin_special(file, real);
    if (place == PLACE_FOLDER || !*name_of(real))
        return err_os(EISDIR, "cannot write %s", path);
    AUTO_FREE char *folder = folder_of(real);
    if (!folder || !(file->name = strdup(name_of(real))))
        return err_create(ERR_NO_MEMORY, "%s", path);
    file->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->folder < 0)
        return err_os(errno, "cannot write %s", path);
    sigset_t before;
    block_all(&before);
    struct err *err = create_temporary(file);
    if (!err)
        watch(file);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return err;
}

struct err *outfile_refuse_link(const char *path)
{
    struct stat link, file;
    AUTO_FREE char *folder = folder_of(path);
    if (lstat(path, &link) == 0 && S_ISLNK(link.st_mode) && folder && !is_in_proc(folder) &&
        stat(path, &file) == 0 && S_ISREG(file.st_mode))
        return err_create(ERR_OTHER,
                          "%s is a link to a file that exists: name that file, or another", path);
    return NULL;
}

struct err *outfile_begin(const char *path, enum outfile_kind kind, struct outfile *ret)
{
    *ret = (struct outfile){.fd = -1, .folder = -1, .kind = kind};
    if (kind == OUTFILE_EVIDENCE)
        TRY(outfile_refuse_link(path));
    struct err *err = begin(ret, path);
    if (err)
        deinit(ret);
    return err;
}

// Who could read the old report can read the new one. Not when the old file is somebody else's: he
// may have put it there for just that.
static void keep_mode(const struct outfile *file)
{
    struct stat old;
    if (fstatat(file->folder, file->name, &old, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(old.st_mode) || old.st_uid != geteuid())
        return;
    mode_t mode = old.st_mode & 0777;
    if (fchown(file->fd, (uid_t)-1, old.st_gid) != 0)
        mode &= ~(mode_t)0070;
    if (fchmod(file->fd, mode) != 0)
        return; // then it is 0600
}

static struct err *settle(struct outfile *file)
{
    if (file->kind == OUTFILE_REPORT)
        keep_mode(file);
    else if (fsync(file->fd) != 0)
        return err_os(errno, "%s", file->path);
    int fd = file->fd;
    file->fd = -1;
    if (close(fd) != 0)
        return err_os(errno, "%s", file->path);
    if (renameat(file->folder, file->temporary, file->folder, file->name) != 0)
        return err_os(errno, "cannot write %s", file->path);
    if (file->kind == OUTFILE_EVIDENCE)
        fsync(file->folder);
    return NULL;
}

struct err *outfile_commit(struct outfile *file)
{
    struct err *err = NULL;
    if (file->in_place) {
        int fd = file->fd;
        file->fd = -1;
        err = close(fd) != 0 ? err_os(errno, "%s", file->path) : NULL;
    } else {
        err = settle(file);
    }
    if (err) {
        outfile_abort(file);
        return err;
    }
    sigset_t before;
    block_all(&before);
    unwatch(file);
    deinit(file);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return NULL;
}

void outfile_abort(struct outfile *file)
{
    sigset_t before;
    block_all(&before);
    unwatch(file);
    if (file->temporary && file->folder >= 0)
        unlinkat(file->folder, file->temporary, 0);
    deinit(file);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

struct err *outfile_check(const char *path)
{
    AUTO_FREE char *real = NULL;
    TRY(follow(path, &real));
    enum place place = look_at(real);
    AUTO_FREE char *folder = folder_of(real);
    int refused = 0;
    if (!folder)
        return err_create(ERR_NO_MEMORY, "%s", path);
    // A regular file is replaced: what counts is its folder.
    if (place == PLACE_FOLDER || !*name_of(real))
        refused = EISDIR;
    else if (place == PLACE_SPECIAL ? access(real, W_OK) != 0 : access(folder, W_OK | X_OK) != 0)
        refused = errno;
    return refused ? err_os(refused, "cannot write %s", path) : NULL;
}

bool outfile_is(const char *path, const char *other)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat(other, &b) == 0 && S_ISREG(a.st_mode) &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
