// SPDX-License-Identifier: GPL-3.0-or-later
// gzip through zlib (RFC 1952). Of a member whose checksum is wrong, the bytes are there by then.
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "target/packed.h"

#define GZIP_ONLY 16 // added to the window's bits (zlib.h, inflateInit2)

static void *gzip_create(void)
{
    z_stream *stream = calloc(1, sizeof(*stream));
    if (stream && inflateInit2(stream, MAX_WBITS + GZIP_ONLY) == Z_OK)
        return stream;
    free(stream);
    return NULL;
}

static enum packed_step gzip_step(void *state, struct packed_io *io)
{
    z_stream *stream = state;
    stream->next_in = (Bytef *)io->in;
    stream->avail_in = (uInt)io->in_bytes;
    stream->next_out = io->out;
    stream->avail_out = (uInt)io->out_bytes;
    int done = inflate(stream, Z_NO_FLUSH);
    io->in = stream->next_in;
    io->in_bytes = stream->avail_in;
    io->out = stream->next_out;
    io->out_bytes = stream->avail_out;
    switch (done) {
    case Z_OK:
    case Z_BUF_ERROR: // neither input nor room: not an error (zlib.h)
        return PACKED_MORE;
    case Z_STREAM_END:
        inflateReset(stream);
        return PACKED_END;
    case Z_MEM_ERROR:
        return PACKED_MEMORY;
    }
    // zlib has no code of its own for this.
    if (stream->msg && (strcmp(stream->msg, "incorrect data check") == 0 ||
                        strcmp(stream->msg, "incorrect length check") == 0))
        return PACKED_CHECK;
    return PACKED_BAD;
}

static void gzip_destroy(void *state)
{
    inflateEnd(state);
    free(state);
}

const struct packed_decoder packed_gzip = {gzip_create, gzip_step, gzip_destroy};
