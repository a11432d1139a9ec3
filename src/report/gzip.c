// SPDX-License-Identifier: GPL-3.0-or-later
// See report/gzip.h.
#include "report/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "util/guard.h"

#define GZIP_WINDOW (15 + 16) // zlib.h, deflateInit2: a gzip header
#define GZIP_MEMORY 8         // zlib's own default
#define PIECE (1u << 30)      // zlib counts in unsigned int

struct gzip {
    z_stream zlib;
    FILE *out;
    unsigned char packed[1 << 16];
};

struct err *gzip_begin(FILE *out, struct gzip **ret)
{
    struct gzip *gzip = calloc(1, sizeof(*gzip));
    if (!gzip)
        return err_create(ERR_NO_MEMORY, "no memory to compress the report");
    gzip->out = out;
    if (deflateInit2(&gzip->zlib, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(gzip);
        return err_create(ERR_NO_MEMORY, "no memory to compress the report");
    }
    *ret = gzip;
    return NULL;
}

// All that was given so far, as far as zlib gives it out.
static struct err *drain(struct gzip *gzip, int flush)
{
    do {
        gzip->zlib.next_out = gzip->packed;
        gzip->zlib.avail_out = sizeof(gzip->packed);
        if (deflate(&gzip->zlib, flush) == Z_STREAM_ERROR)
            return err_create(ERR_OTHER, "zlib does not compress the report");
        size_t size = sizeof(gzip->packed) - gzip->zlib.avail_out;
        if (fwrite(gzip->packed, 1, size, gzip->out) != size)
            return err_os(errno, "writing the report");
    } while (gzip->zlib.avail_out == 0);
    return NULL;
}

struct err *gzip_write(struct gzip *gzip, const void *bytes, size_t size)
{
    for (const unsigned char *at = bytes; size;) {
        size_t piece = size < PIECE ? size : PIECE;
        gzip->zlib.next_in = (unsigned char *)at;
        gzip->zlib.avail_in = (unsigned)piece;
        TRY(drain(gzip, Z_NO_FLUSH));
        at += piece;
        size -= piece;
    }
    return NULL;
}

struct err *gzip_end(struct gzip *gzip)
{
    gzip->zlib.avail_in = 0;
    return drain(gzip, Z_FINISH);
}

void gzip_destroy(struct gzip *gzip)
{
    if (!gzip)
        return;
    deflateEnd(&gzip->zlib);
    free(gzip);
}
