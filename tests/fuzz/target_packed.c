// SPDX-License-Identifier: GPL-3.0-or-later
// Compressed files: the input is one. No more than a stated number of bytes comes of it.
#include "target/packed.h"

#include <zlib.h>
#ifdef HAVE_LIBZSTD
#include <zstd.h>
#endif
#ifdef HAVE_LIBLZ4
#include <lz4frame.h>
#endif
#ifdef HAVE_LIBLZMA
#include <lzma.h>
#endif

#include "fuzz.h"

#define MAX_UNPACKED_BYTES (4u << 20)
#define PLAIN_BYTES 20000

static struct err *look(void *arg, int fd, uint64_t bytes, bool whole, uint64_t *ret_end)
{
    (void)arg, (void)fd, (void)whole, (void)ret_end;
    FUZZ_CHECK(bytes <= MAX_UNPACKED_BYTES);
    return NULL;
}

static void run(const uint8_t *data, size_t size)
{
    char path[32];
    AUTO_CLOSE int fd = fuzz_file(data, size, path);
    const struct packed_format *format = packed_format_of_file(fd);
    struct packed_request request = {.max_bytes = MAX_UNPACKED_BYTES, .look = look};
    struct packed_result result = {.fd = -1};
    if (!format)
        return;
    AUTO_ERR struct err *err = packed_open(fd, "file", format, &request, &result);
    if (err)
        return;
    FUZZ_CHECK(result.bytes <= MAX_UNPACKED_BYTES && result.fd >= 0);
    close(result.fd);
    free(result.note);
}

static void fill(uint8_t *plain)
{
    for (size_t i = 0; i < PLAIN_BYTES; i++)
        plain[i] = (uint8_t)(i / 4096 % 2 ? 0 : i * 7 + i / 251);
}

static void seed_gzip(const uint8_t *plain)
{
    uint8_t packed[2 * PLAIN_BYTES];
    z_stream stream = {.next_in = (Bytef *)plain,
                       .avail_in = PLAIN_BYTES,
                       .next_out = packed,
                       .avail_out = sizeof(packed)};
    FUZZ_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    FUZZ_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    fuzz_seed(packed, stream.total_out);
    deflateEnd(&stream);
}

static void seeds(void)
{
    uint8_t plain[PLAIN_BYTES], packed[2 * PLAIN_BYTES];
    size_t size = 0;
    fill(plain);
    seed_gzip(plain);
#ifdef HAVE_LIBZSTD
    size = ZSTD_compress(packed, sizeof(packed), plain, sizeof(plain), 3);
    FUZZ_CHECK(!ZSTD_isError(size));
    fuzz_seed(packed, size);
#endif
#ifdef HAVE_LIBLZ4
    size = LZ4F_compressFrame(packed, sizeof(packed), plain, sizeof(plain), NULL);
    FUZZ_CHECK(!LZ4F_isError(size));
    fuzz_seed(packed, size);
#endif
#ifdef HAVE_LIBLZMA
    size = 0;
    FUZZ_CHECK(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, plain, sizeof(plain), packed,
                                       &size, sizeof(packed)) == LZMA_OK);
    fuzz_seed(packed, size);
#endif
    (void)packed, (void)size;
}

FUZZ_TARGET(packed, run, seeds, 2000)
