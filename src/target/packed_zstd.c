// SPDX-License-Identifier: GPL-3.0-or-later
// Zstandard through libzstd (RFC 8878), with a bound on the window.
#include "target/packed.h"

#ifdef HAVE_LIBZSTD

#include <zstd.h>
#include <zstd_errors.h>

static void *zstd_create(void)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (context &&
        !ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, PACKED_WINDOW_LOG_MAX)))
        return context;
    ZSTD_freeDCtx(context);
    return NULL;
}

static enum packed_step zstd_step(void *state, struct packed_io *io)
{
    ZSTD_inBuffer in = {io->in, io->in_bytes, 0};
    ZSTD_outBuffer out = {io->out, io->out_bytes, 0};
    size_t left = ZSTD_decompressStream(state, &out, &in);
    io->in += in.pos;
    io->in_bytes -= in.pos;
    io->out += out.pos;
    io->out_bytes -= out.pos;
    if (!ZSTD_isError(left))
        return left ? PACKED_MORE : PACKED_END;
    switch (ZSTD_getErrorCode(left)) {
    case ZSTD_error_checksum_wrong:
        return PACKED_CHECK;
    case ZSTD_error_frameParameter_windowTooLarge:
        return PACKED_WINDOW;
    case ZSTD_error_memory_allocation:
        return PACKED_MEMORY;
    default:
        return PACKED_BAD;
    }
}

static void zstd_destroy(void *state)
{
    ZSTD_freeDCtx(state);
}

const struct packed_decoder packed_zstd = {zstd_create, zstd_step, zstd_destroy};

#endif
