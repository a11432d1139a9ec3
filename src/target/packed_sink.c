// SPDX-License-Identifier: GPL-3.0-or-later
// The temporary file that a compressed core is unpacked into: without a name from the start, sparse
// where the core is, and never the one that fills the disk.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "target/packed.h"
#include "util/fdio.h"
#include "util/guard.h"

#define PAGE_BYTES 4096u
// What is left free for others: a twentieth of the file system, at most this.
#define RESERVE_MAX_BYTES (1ull << 30)
#define RESERVE_SHARE 20
// Where no folder can be written to.
#define IN_MEMORY_MAX_BYTES (64ull << 20)
// Others write, too: after so much the disk is asked again.
#define ASK_AGAIN_BYTES (64ull << 20)

// open(2): with O_EXCL such a file can never get a name. Not every file system knows O_TMPFILE.
static int open_unnamed(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    char name[PATH_MAX];
    int size = snprintf(name, sizeof(name), "%s/pycore-XXXXXX", folder);
    if (size < 0 || (size_t)size >= sizeof(name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

struct err *packed_sink_open(struct packed_sink *ret)
{
    const char *folders[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
    int first_errno = 0;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        if (!folders[i] || !*folders[i])
            continue;
        ret->folder = folders[i];
        ret->fd = open_unnamed(folders[i]);
        if (ret->fd >= 0)
            return NULL;
        if (!first_errno)
            first_errno = errno;
    }
    // A capture is small, and may be all that there is (an empty chroot).
    ret->folder = "memory";
    ret->fd = memfd_create("core", MFD_CLOEXEC);
    ret->in_memory = true;
    if (ret->max_bytes > IN_MEMORY_MAX_BYTES)
        ret->max_bytes = IN_MEMORY_MAX_BYTES;
    if (ret->fd >= 0)
        return NULL;
    return err_os(first_errno,
                  "no folder to unpack it into: set TMPDIR to one that can be written to");
}

static char *disk_full(const struct packed_sink *sink, const char *why)
{
    char *text;
    if (asprintf(&text,
                 "%s in %s: set TMPDIR to a folder with more room, or unpack the core by hand", why,
                 sink->folder) < 0)
        return NULL;
    return text;
}

// Asks how much may be written. Zero: nothing.
static uint64_t ask_disk(const struct packed_sink *sink)
{
    struct statvfs disk;
    if (sink->in_memory)
        return ASK_AGAIN_BYTES;
    if (fstatvfs(sink->fd, &disk) < 0)
        return ASK_AGAIN_BYTES; // then the writes themselves will tell
    uint64_t unit = disk.f_frsize ? disk.f_frsize : disk.f_bsize;
    uint64_t there = (uint64_t)disk.f_bavail * unit;
    uint64_t reserve = (uint64_t)disk.f_blocks * unit / RESERVE_SHARE;
    if (reserve > RESERVE_MAX_BYTES)
        reserve = RESERVE_MAX_BYTES;
    uint64_t usable = there > reserve ? there - reserve : 0;
    return usable < ASK_AGAIN_BYTES ? usable : ASK_AGAIN_BYTES;
}

static bool write_out(struct packed_sink *sink, const uint8_t *bytes, size_t size, char **ret_why)
{
    while (size) {
        if (sink->free_bytes < size)
            sink->free_bytes = ask_disk(sink);
        size_t piece = size < sink->free_bytes ? size : (size_t)sink->free_bytes;
        if (!piece) {
            *ret_why = disk_full(sink, "there is no room left");
            return false;
        }
        ssize_t done = pwrite(sink->fd, bytes, piece, (off_t)sink->bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            *ret_why = disk_full(sink, strerror(done < 0 ? errno : ENOSPC));
            return false;
        }
        sink->bytes += (uint64_t)done;
        sink->free_bytes -= (uint64_t)done;
        bytes += done;
        size -= (size_t)done;
    }
    return true;
}

// Beyond RLIMIT_FSIZE a write ends the process with SIGXFSZ (setrlimit(2)).
static uint64_t size_limit(const struct packed_sink *sink)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < sink->max_bytes)
        return limit.rlim_cur;
    return sink->max_bytes;
}

bool packed_sink_write(struct packed_sink *sink, const uint8_t *bytes, size_t size, char **ret_why)
{
    uint64_t limit = size_limit(sink);
    bool fits = sink->bytes <= limit && size <= limit - sink->bytes;
    if (!fits)
        size = sink->bytes < limit ? (size_t)(limit - sink->bytes) : 0;
    size_t at = 0, full_from = 0; // [full_from, at) is to be written
    while (at < size) {
        size_t piece = PAGE_BYTES - (sink->bytes + at - full_from) % PAGE_BYTES;
        if (piece > size - at)
            piece = size - at;
        bool zero = bytes_are_zero(bytes + at, piece);
        if (zero) {
            if (!write_out(sink, bytes + full_from, at - full_from, ret_why))
                return false;
            sink->bytes += piece;
            full_from = at + piece;
        }
        at += piece;
    }
    if (!write_out(sink, bytes + full_from, size - full_from, ret_why))
        return false;
    if (fits)
        return true;
    if (asprintf(ret_why,
                 "it is longer than the %" PRIu64 " MiB that are unpacked at most: unpack it by "
                 "hand and give the result",
                 limit >> 20) < 0)
        *ret_why = NULL;
    return false;
}

bool packed_sink_finish(struct packed_sink *sink, char **ret_why)
{
    if (ftruncate(sink->fd, (off_t)sink->bytes) == 0)
        return true;
    *ret_why = disk_full(sink, strerror(errno));
    return false;
}
