// SPDX-License-Identifier: GPL-3.0-or-later
// The file that a core is written into, from front to back: plain with holes, gzip, or zstd.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#ifdef HAVE_LIBZSTD
#include <zstd.h>
#endif

#include "dump/dump_private.h"
#include "util/guard.h"

// The fastest levels: the target waits (1 of gzip packs 120 MB a second, 1 of zstd 400, and both
// come within a fifth of what higher levels reach on Python heaps).
#define GZIP_LEVEL 1
#define ZSTD_LEVEL 1
#define ZSTD_WORKERS 2
#define GZIP_WINDOW (15 + 16) // zlib.h, deflateInit2: a gzip header

// A long stretch of zeros, as of a large reservation of which little was touched, would take gzip
// seconds a GiB, while the target waits. Both formats may be a chain of members (RFC 1952, 2.2) or
// frames (RFC 8878, 3): one of nothing but zeros is made once, and then repeated.
enum { OUTPUT_BYTES = 1 << 20, ZERO_BYTES = 1 << 16, ZERO_MEMBER_BYTES = 16 << 20 };

struct sink {
    int fd;
    enum dump_compression compression;
    uint64_t position;   // of the core
    uint64_t file_bytes; // written
    unsigned char *output;
    struct corefile_bytes *keep;       // what is packed goes there, not into the file
    struct corefile_bytes zero_member; // ZERO_MEMBER_BYTES of zeros, packed
    z_stream zlib;
    bool zlib_ready;
#ifdef HAVE_LIBZSTD
    ZSTD_CCtx *zstd;
#endif
};

const char *dump_compression_missing(enum dump_compression compression)
{
#ifndef HAVE_LIBZSTD
    if (compression == DUMP_ZSTD)
        return "this pycore was built without libzstd; --compress gz needs nothing";
#endif
    (void)compression;
    return NULL;
}

static struct err *write_all(int fd, const unsigned char *bytes, size_t size, uint64_t offset)
{
    while (size) {
        ssize_t put = pwrite(fd, bytes, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_os(put < 0 ? errno : EIO, "writing the core");
        bytes += put;
        size -= (size_t)put;
        offset += (size_t)put;
    }
    return NULL;
}

static struct err *put_output(struct sink *sink, size_t size)
{
    if (!sink->keep) {
        TRY(write_all(sink->fd, sink->output, size, sink->file_bytes));
        sink->file_bytes += size;
        return NULL;
    }
    if (!vec_reserve(sink->keep, sink->keep->count + size))
        return err_create(ERR_NO_MEMORY, "out of memory");
    if (size)
        memcpy(sink->keep->items + sink->keep->count, sink->output, size);
    sink->keep->count += size;
    return NULL;
}

static struct err *pack_gzip(struct sink *sink, const void *bytes, size_t size, bool end)
{
    sink->zlib.next_in = (unsigned char *)bytes;
    sink->zlib.avail_in = (uInt)size;
    for (int state = Z_OK;;) {
        sink->zlib.next_out = sink->output;
        sink->zlib.avail_out = OUTPUT_BYTES;
        state = deflate(&sink->zlib, end ? Z_FINISH : Z_NO_FLUSH);
        if (state == Z_STREAM_ERROR)
            return err_create(ERR_OTHER, "zlib fails to compress");
        TRY(put_output(sink, OUTPUT_BYTES - sink->zlib.avail_out));
        if (end && state == Z_STREAM_END)
            return deflateReset(&sink->zlib) == Z_OK
                       ? NULL
                       : err_create(ERR_OTHER, "zlib fails to compress");
        if (!end && sink->zlib.avail_out != 0)
            return NULL;
    }
}

#ifdef HAVE_LIBZSTD
static struct err *pack_zstd(struct sink *sink, const void *bytes, size_t size, bool end)
{
    ZSTD_inBuffer input = {bytes, size, 0};
    for (;;) {
        ZSTD_outBuffer output = {sink->output, OUTPUT_BYTES, 0};
        size_t left =
            ZSTD_compressStream2(sink->zstd, &output, &input, end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return err_create(ERR_OTHER, "zstd fails to compress: %s", ZSTD_getErrorName(left));
        TRY(put_output(sink, output.pos));
        if (end ? left == 0 : input.pos == input.size)
            return NULL;
    }
}

static bool open_zstd(struct sink *sink)
{
    sink->zstd = ZSTD_createCCtx();
    if (!sink->zstd)
        return false;
    ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_checksumFlag, 1);
    // Refused by a library without threads, which is as good.
    ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_nbWorkers, ZSTD_WORKERS);
    return true;
}
#endif

static struct err *pack(struct sink *sink, const void *bytes, size_t size, bool end)
{
#ifdef HAVE_LIBZSTD
    if (sink->compression == DUMP_ZSTD)
        return pack_zstd(sink, bytes, size, end);
#endif
    return pack_gzip(sink, bytes, size, end);
}

static bool open_packer(struct sink *sink)
{
    switch (sink->compression) {
    case DUMP_PLAIN:
        return true;
    case DUMP_GZIP:
        sink->zlib_ready = deflateInit2(&sink->zlib, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8,
                                        Z_DEFAULT_STRATEGY) == Z_OK;
        return sink->zlib_ready;
    case DUMP_ZSTD:
#ifdef HAVE_LIBZSTD
        return open_zstd(sink);
#endif
        break;
    }
    return false;
}

struct err *sink_open(int fd, enum dump_compression compression, struct sink **ret)
{
    const char *missing = dump_compression_missing(compression);
    if (missing)
        return err_create(ERR_UNSUPPORTED, "%s", missing);
    struct sink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        return err_create(ERR_NO_MEMORY, "out of memory");
    sink->fd = fd;
    sink->compression = compression;
    sink->output = compression == DUMP_PLAIN ? NULL : malloc(OUTPUT_BYTES);
    if ((compression != DUMP_PLAIN && !sink->output) || !open_packer(sink)) {
        sink_close(sink);
        return err_create(ERR_NO_MEMORY, "out of memory");
    }
    *ret = sink;
    return NULL;
}

struct err *sink_write(struct sink *sink, const void *bytes, size_t size)
{
    if (sink->compression == DUMP_PLAIN) {
        TRY(write_all(sink->fd, bytes, size, sink->position));
        sink->file_bytes = sink->position + size;
    } else {
        TRY(pack(sink, bytes, size, false));
    }
    sink->position += size;
    return NULL;
}

static struct err *pack_zeros(struct sink *sink, uint64_t size)
{
    static const unsigned char zeros[ZERO_BYTES];
    while (size) {
        size_t now = size < ZERO_BYTES ? (size_t)size : ZERO_BYTES;
        TRY(pack(sink, zeros, now, false));
        size -= now;
    }
    return NULL;
}

static struct err *make_zero_member(struct sink *sink)
{
    sink->keep = &sink->zero_member;
    struct err *err = pack_zeros(sink, ZERO_MEMBER_BYTES);
    if (!err)
        err = pack(sink, NULL, 0, true);
    sink->keep = NULL;
    return err;
}

// Ends the member that is being packed; another one begins with the next byte.
static struct err *put_zero_members(struct sink *sink, uint64_t count)
{
    const struct corefile_bytes *member = &sink->zero_member;
    TRY(pack(sink, NULL, 0, true));
    if (!member->count)
        TRY(make_zero_member(sink));
    for (; count; count--) {
        TRY(write_all(sink->fd, member->items, member->count, sink->file_bytes));
        sink->file_bytes += member->count;
    }
    return NULL;
}

struct err *sink_skip(struct sink *sink, uint64_t size)
{
    sink->position += size;
    if (sink->compression == DUMP_PLAIN)
        return NULL;
    if (size >= 2 * (uint64_t)ZERO_MEMBER_BYTES) {
        TRY(put_zero_members(sink, size / ZERO_MEMBER_BYTES));
        size %= ZERO_MEMBER_BYTES;
    }
    return pack_zeros(sink, size);
}

struct err *sink_finish(struct sink *sink, uint64_t *ret_bytes)
{
    if (sink->compression != DUMP_PLAIN)
        TRY(pack(sink, NULL, 0, true));
    else if (ftruncate(sink->fd, (off_t)sink->position) != 0)
        return err_os(errno, "writing the core");
    *ret_bytes = sink->compression == DUMP_PLAIN ? sink->position : sink->file_bytes;
    return NULL;
}

uint64_t sink_position(const struct sink *sink)
{
    return sink->position;
}

void sink_close(struct sink *sink)
{
    if (!sink)
        return;
    if (sink->zlib_ready)
        deflateEnd(&sink->zlib);
#ifdef HAVE_LIBZSTD
    ZSTD_freeCCtx(sink->zstd);
#endif
    vec_deinit(&sink->zero_member);
    free(sink->output);
    free(sink);
}
