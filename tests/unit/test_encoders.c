// SPDX-License-Identifier: GPL-3.0-or-later
// The encoders behind pprof and pstats, byte for byte, and the list of formats by file names.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <zlib.h>

#include "report/gzip.h"
#include "report/marshal.h"
#include "report/protobuf.h"
#include "report/report.h"
#include "util/guard.h"

// What was written, which begins anew.
static void check(struct wire_out *out, const char *expected, size_t size)
{
    assert_false(out->failed);
    assert_int_equal(out->bytes.count, size);
    assert_memory_equal(out->bytes.items, expected, size);
    vec_clear(&out->bytes);
}

#define assert_bytes(out, expected) check(out, expected, sizeof(expected) - 1)

// ---- Protocol Buffers ----------------------------------------------------------------------------

static void test_varints(void **state)
{
    (void)state;
    GUARD(wire_out_deinit) struct wire_out out = {0};
    protobuf_varint(&out, 0);
    assert_bytes(&out, "\x00");
    protobuf_varint(&out, 127);
    assert_bytes(&out, "\x7f");
    protobuf_varint(&out, 128);
    assert_bytes(&out, "\x80\x01");
    protobuf_varint(&out, 150); // the example of the encoding's own documentation
    assert_bytes(&out, "\x96\x01");
    protobuf_varint(&out, (uint64_t)INT64_MAX);
    assert_bytes(&out, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
    protobuf_varint(&out, UINT64_MAX); // -1 of an int64
    assert_bytes(&out, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

static void test_fields(void **state)
{
    (void)state;
    GUARD(wire_out_deinit) struct wire_out out = {0}, inner = {0};
    protobuf_number(&out, 1, 150);
    assert_bytes(&out, "\x08\x96\x01");
    protobuf_number(&out, 1, 0);
    assert_bytes(&out, "");
    protobuf_number(&out, 16, 1); // its tag takes two bytes
    assert_bytes(&out, "\x80\x01\x01");
    protobuf_bytes(&out, 2, "testing", 7);
    assert_bytes(&out, "\x12\x07testing");
    protobuf_bytes(&out, 6, "", 0);
    assert_bytes(&out, "\x32\x00");
    protobuf_number(&inner, 1, 150);
    protobuf_message(&out, 3, &inner);
    assert_bytes(&out, "\x1a\x03\x08\x96\x01");
    assert_int_equal(inner.bytes.count, 0);
    protobuf_varint(&inner, 3); // packed
    protobuf_varint(&inner, 270);
    protobuf_varint(&inner, 86942);
    protobuf_message(&out, 6, &inner);
    assert_bytes(&out, "\x32\x06\x03\x8e\x02\x9e\xa7\x05");
    inner.failed = true;
    protobuf_message(&out, 6, &inner);
    assert_true(out.failed);
}

// ---- marshal -------------------------------------------------------------------------------------

static void test_marshal(void **state)
{
    (void)state;
    GUARD(wire_out_deinit) struct wire_out out = {0};
    marshal_integer(&out, 0);
    assert_bytes(&out, "i\x00\x00\x00\x00");
    marshal_integer(&out, INT32_MAX);
    assert_bytes(&out, "i\xff\xff\xff\x7f");
    marshal_integer(&out, 1ull << 31); // marshal.dumps(2 ** 31, 2)
    assert_bytes(&out, "l\x03\x00\x00\x00\x00\x00\x00\x00\x02\x00");
    marshal_integer(&out, UINT64_MAX); // marshal.dumps(2 ** 64 - 1, 2)
    assert_bytes(&out, "l\x05\x00\x00\x00\xff\x7f\xff\x7f\xff\x7f\xff\x7f\x0f\x00");
    marshal_float(&out, 0.5);
    assert_bytes(&out, "g\x00\x00\x00\x00\x00\x00\xe0\x3f");
    marshal_text(&out, "caf\xc3\xa9");
    assert_bytes(&out, "u\x05\x00\x00\x00"
                       "caf\xc3\xa9");
    marshal_begin_dict(&out);
    marshal_tuple(&out, 2);
    marshal_text(&out, "");
    marshal_integer(&out, 1);
    marshal_integer(&out, 2);
    marshal_end_dict(&out);
    assert_bytes(&out, "{(\x02\x00\x00\x00u\x00\x00\x00\x00i\x01\x00\x00\x00i\x02\x00\x00\x00"
                       "0");
}

// ---- gzip ----------------------------------------------------------------------------------------

static void pack(const char *bytes, size_t size, size_t piece, char **ret, size_t *ret_size)
{
    FILE *out = open_memstream(ret, ret_size);
    struct gzip *gzip;
    assert_non_null(out);
    assert_null(gzip_begin(out, &gzip));
    for (size_t at = 0; at < size; at += piece)
        assert_null(gzip_write(gzip, bytes + at, size - at < piece ? size - at : piece));
    assert_null(gzip_end(gzip));
    gzip_destroy(gzip);
    fclose(out);
}

static void test_gzip(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    AUTO_FREE char *bytes = malloc(SIZE), *back = malloc(SIZE + 1);
    assert_true(bytes && back);
    uint32_t random = 1;
    for (size_t i = 0; i < SIZE; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (char)(random >> 24);
    }
    for (size_t piece = 1 << 10; piece <= SIZE; piece <<= 5) {
        AUTO_FREE char *packed = NULL, *again = NULL;
        size_t size, again_size;
        pack(bytes, SIZE, piece, &packed, &size);
        pack(bytes, SIZE, SIZE, &again, &again_size);
        assert_int_equal(size, again_size);
        assert_memory_equal(packed, again, size);
        assert_memory_equal(packed, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8); // no name, no time
        z_stream zlib = {.next_in = (unsigned char *)packed,
                         .avail_in = (unsigned)size,
                         .next_out = (unsigned char *)back,
                         .avail_out = SIZE + 1};
        assert_int_equal(inflateInit2(&zlib, 15 + 16), Z_OK);
        assert_int_equal(inflate(&zlib, Z_FINISH), Z_STREAM_END);
        assert_int_equal(zlib.total_out, SIZE);
        inflateEnd(&zlib);
        assert_memory_equal(back, bytes, SIZE);
    }
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        return;
    setvbuf(full, NULL, _IONBF, 0);
    struct gzip *gzip;
    assert_null(gzip_begin(full, &gzip));
    AUTO_ERR struct err *err = gzip_write(gzip, bytes, SIZE);
    assert_non_null(err);
    gzip_destroy(gzip);
    fclose(full);
}

// ---- Formats by file names -----------------------------------------------------------------------

static void test_file_names(void **state)
{
    (void)state;
    static const struct {
        const char *path, *format;
    } rows[] = {
        {"a.pb.gz", "pprof"},
        {"/tmp/x.callgrind", "callgrind"},
        {"callgrind.out.4711", "callgrind"},
        {"/srv/callgrind.out/callgrind.out.app", "callgrind"},
        {"callgrind.4711", "callgrind"},
        {"callgrind.json", "json"}, // an ending that is known says more
        {"a.pstats", "pstats"},
        {"a.b.prof", "pstats"},
        {"callgrind.out.d/report", NULL},
        {"my-callgrind.out.1", NULL},
        {"a.prof ", NULL},
        {"prof", NULL},
        {"a.gz", NULL},
        {"a.callgrind callgrind.out", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct report_format *format = report_format_by_ending(rows[i].path);
        if (!format || !rows[i].format)
            assert_ptr_equal(format, rows[i].format);
        else
            assert_string_equal(format->name, rows[i].format);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varints),    cmocka_unit_test(test_fields),
        cmocka_unit_test(test_marshal),    cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_file_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
