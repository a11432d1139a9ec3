// SPDX-License-Identifier: GPL-3.0-or-later
// lz4's frame format through liblz4; blocks are 4 MiB at most, so no bound is needed.
#include "target/packed.h"

#ifdef HAVE_LIBLZ4

#include <lz4frame.h>
#include <string.h>

static void *lz4_create(void)
{
    LZ4F_dctx *context;
    return LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)) ? NULL : context;
}

static enum packed_step lz4_step(void *state, struct packed_io *io)
{
    size_t in = io->in_bytes, out = io->out_bytes;
    size_t left = LZ4F_decompress(state, io->out, &out, io->in, &in, NULL);
    if (LZ4F_isError(left)) {
        const char *name = LZ4F_getErrorName(left);
        if (strcmp(name, "ERROR_allocation_failed") == 0)
            return PACKED_MEMORY;
        return strcmp(name, "ERROR_contentChecksum_invalid") == 0 ? PACKED_CHECK : PACKED_BAD;
    }
    io->in += in;
    io->in_bytes -= in;
    io->out += out;
    io->out_bytes -= out;
    return left ? PACKED_MORE : PACKED_END;
}

static void lz4_destroy(void *state)
{
    LZ4F_freeDecompressionContext(state);
}

const struct packed_decoder packed_lz4 = {lz4_create, lz4_step, lz4_destroy};

#endif
