// SPDX-License-Identifier: GPL-3.0-or-later
// xz through liblzma, with a bound on the memory that a stream may ask for.
#include "target/packed.h"

#ifdef HAVE_LIBLZMA

#include <lzma.h>
#include <stdlib.h>

struct xz {
    lzma_stream stream;
    lzma_ret begun;
};

// Again on a stream that has ended: liblzma then keeps its memory (lzma/base.h).
static void begin(struct xz *xz)
{
    xz->begun = lzma_stream_decoder(&xz->stream, PACKED_MEMORY_MAX, 0);
}

static void *xz_create(void)
{
    struct xz *xz = calloc(1, sizeof(*xz));
    if (!xz)
        return NULL;
    xz->stream = (lzma_stream)LZMA_STREAM_INIT;
    begin(xz);
    return xz;
}

static enum packed_step xz_step(void *state, struct packed_io *io)
{
    struct xz *xz = state;
    if (xz->begun != LZMA_OK)
        return PACKED_MEMORY;
    xz->stream.next_in = io->in;
    xz->stream.avail_in = io->in_bytes;
    xz->stream.next_out = io->out;
    xz->stream.avail_out = io->out_bytes;
    lzma_ret done = lzma_code(&xz->stream, io->last ? LZMA_FINISH : LZMA_RUN);
    io->in = xz->stream.next_in;
    io->in_bytes = xz->stream.avail_in;
    io->out = xz->stream.next_out;
    io->out_bytes = xz->stream.avail_out;
    switch (done) {
    case LZMA_OK:
    case LZMA_BUF_ERROR:
        return PACKED_MORE;
    case LZMA_STREAM_END:
        begin(xz);
        return PACKED_END;
    case LZMA_MEMLIMIT_ERROR:
        return PACKED_WINDOW;
    case LZMA_MEM_ERROR:
        return PACKED_MEMORY;
    default:
        return PACKED_BAD;
    }
}

static void xz_destroy(void *state)
{
    struct xz *xz = state;
    lzma_end(&xz->stream);
    free(xz);
}

const struct packed_decoder packed_xz = {xz_create, xz_step, xz_destroy};

#endif
