// SPDX-License-Identifier: GPL-3.0-or-later
// Values in a byte stream come back as they were; no cut, no damage and no count makes the reader
// leave the stream.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "util/guard.h"
#include "util/wire.h"

static struct wire_in in_of(const struct wire_out *out)
{
    return (struct wire_in){.next = out->bytes.items, .end = out->bytes.items + out->bytes.count};
}

static const uint64_t numbers[] = {0,         1,          127,        128,        255,
                                   256,       0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
                                   INT64_MAX, 1ull << 63, UINT64_MAX};
static const double doubles[] = {0.0, -0.0, 1.5, -1e300, DBL_MIN, DBL_MAX, INFINITY};

static void put_numbers(struct wire_out *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        wire_u8(out, (uint8_t)numbers[i]);
        wire_u32(out, (uint32_t)numbers[i]);
        wire_u64(out, numbers[i]);
        wire_i64(out, (int64_t)numbers[i]);
        wire_bool(out, i % 2);
    }
    for (size_t i = 0; i < ARRAY_SIZE(doubles); i++)
        wire_double(out, doubles[i]);
}

static void test_numbers(void **state)
{
    (void)state;
    struct wire_out out = {0};
    put_numbers(&out);
    assert_false(out.failed);
    struct wire_in in = in_of(&out);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        assert_int_equal(wire_get_u8(&in), (uint8_t)numbers[i]);
        assert_int_equal(wire_get_u32(&in), (uint32_t)numbers[i]);
        assert_int_equal(wire_get_u64(&in), numbers[i]);
        assert_int_equal(wire_get_i64(&in), (int64_t)numbers[i]);
        assert_int_equal(wire_get_bool(&in), i % 2);
    }
    for (size_t i = 0; i < ARRAY_SIZE(doubles); i++) {
        double value = wire_get_double(&in);
        assert_memory_equal(&value, &doubles[i], sizeof(value));
    }
    assert_false(in.bad);
    assert_ptr_equal(in.next, in.end);
    assert_int_equal(wire_get_u8(&in), 0);
    assert_true(in.bad);
    wire_out_deinit(&out);
}

// Captures move between machines.
static void test_little_endian(void **state)
{
    (void)state;
    static const unsigned char want[] = {4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 0, 0, 'o', 'k'};
    struct wire_out out = {0};
    wire_u32(&out, 0x01020304);
    wire_u64(&out, 0x0102030405060708);
    wire_str(&out, "ok");
    assert_int_equal(out.bytes.count, sizeof(want));
    assert_memory_equal(out.bytes.items, want, sizeof(want));
    wire_out_deinit(&out);
}

static void test_texts(void **state)
{
    (void)state;
    struct wire_out out = {0};
    size_t size;
    char bytes[3];
    wire_str(&out, NULL);
    wire_str(&out, "");
    wire_str(&out, "co_name");
    wire_str(&out, "again");
    wire_u32(&out, 5);
    wire_bytes(&out, "ab\0cd", 5);
    wire_bytes(&out, "xyz", 3);
    struct wire_in in = in_of(&out);
    assert_null(wire_get_str(&in, &size));
    assert_int_equal(size, 0);
    assert_non_null(wire_get_str(&in, &size));
    assert_int_equal(size, 0);
    const char *text = wire_get_str(&in, &size);
    assert_int_equal(size, 7);
    assert_memory_equal(text, "co_name", 7);
    AUTO_FREE char *copy = wire_get_strdup(&in);
    assert_string_equal(copy, "again");
    AUTO_FREE char *cut = wire_get_strdup(&in);
    assert_string_equal(cut, "ab");
    assert_true(wire_get_bytes(&in, bytes, 3));
    assert_memory_equal(bytes, "xyz", 3);
    assert_false(in.bad);
    assert_ptr_equal(in.next, in.end);
    wire_out_deinit(&out);
}

static void test_records(void **state)
{
    (void)state;
    struct wire_out out = {0};
    size_t outer = wire_begin(&out, 7);
    wire_u32(&out, 1);
    size_t inner = wire_begin(&out, 9);
    wire_str(&out, "inner");
    wire_end(&out, inner);
    wire_end(&out, outer);
    size_t empty = wire_begin(&out, 8);
    wire_end(&out, empty);
    struct wire_in in = in_of(&out), body, deeper;
    uint32_t tag;
    size_t size;
    assert_true(wire_next(&in, &tag, &body));
    assert_int_equal(tag, 7);
    // What is not read of a record is skipped with it.
    assert_int_equal(wire_get_u32(&body), 1);
    assert_true(wire_next(&body, &tag, &deeper));
    assert_int_equal(tag, 9);
    assert_memory_equal(wire_get_str(&deeper, &size), "inner", 5);
    // A record ends where it ends, not where its stream does.
    assert_int_equal(wire_get_u8(&deeper), 0);
    assert_true(deeper.bad);
    assert_false(body.bad);
    assert_false(wire_next(&body, &tag, &deeper));
    assert_false(body.bad);
    assert_true(wire_next(&in, &tag, &body));
    assert_int_equal(tag, 8);
    assert_ptr_equal(body.next, body.end);
    assert_false(wire_next(&in, &tag, &body));
    assert_false(in.bad);
    wire_out_deinit(&out);
}

// One bad read, and all that follow give nothing.
static void test_bad_stays_bad(void **state)
{
    (void)state;
    unsigned char bytes[] = {2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    struct wire_in in = {.next = bytes, .end = bytes + sizeof(bytes)}, body;
    uint32_t tag;
    size_t size;
    double none = 0;
    assert_false(wire_get_bool(&in)); // 2
    assert_true(in.bad);
    assert_int_equal(wire_get_u64(&in), 0);
    assert_true(wire_get_double(&in) <= none && wire_get_double(&in) >= none);
    assert_null(wire_get_str(&in, &size));
    assert_null(wire_get_strdup(&in));
    assert_false(wire_get_bytes(&in, &tag, 1));
    assert_int_equal(wire_get_count(&in, 1), 0);
    assert_false(wire_next(&in, &tag, &body));
    assert_true(in.bad);
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        size_t item_bytes, behind;
        bool good;
    } rows[] = {
        {0, 8, 0, true},
        {3, 8, 24, true},
        {3, 8, 23, false},
        {4, 8, 24, false},
        {UINT32_MAX, 8, 24, false},
        {0x20000001, 8, 24, false}, // 8 bytes times it: 8 in 32 bits
        {UINT32_MAX, 1, 24, false},
        {1, SIZE_MAX, 24, false},
        {2, SIZE_MAX / 2 + 2, 24, false}, // a product that wraps around

    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct wire_out out = {0};
        wire_u32(&out, rows[i].count);
        for (size_t j = 0; j < rows[i].behind; j++)
            wire_u8(&out, 1);
        struct wire_in in = in_of(&out);
        assert_int_equal(wire_get_count(&in, rows[i].item_bytes), rows[i].good ? rows[i].count : 0);
        assert_int_equal(in.bad, !rows[i].good);
        wire_out_deinit(&out);
    }
}

// Sizes that wrap around an address, or reach just past the end.
static void test_sizes(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {5, 0x100000000, 1ull << 63, UINT64_MAX, UINT64_MAX - 11};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct wire_out out = {0};
        wire_u32(&out, 1);
        wire_u64(&out, sizes[i]);
        wire_u32(&out, 0);
        struct wire_in in = in_of(&out), body = {0};
        uint32_t tag;
        assert_false(wire_next(&in, &tag, &body));
        assert_true(in.bad);
        assert_null(body.next);
        wire_out_deinit(&out);
    }
    struct wire_out out = {0};
    wire_u32(&out, UINT32_MAX - 1);
    wire_u32(&out, 0);
    struct wire_in in = in_of(&out);
    size_t size;
    assert_null(wire_get_str(&in, &size));
    assert_true(in.bad);
    wire_out_deinit(&out);
}

// Each kind of value at each end of the stream: bytes behind it would be seen by a sanitizer.
static void test_cuts(void **state)
{
    (void)state;
    struct wire_out out = {0};
    put_numbers(&out);
    wire_str(&out, "text");
    size_t begun = wire_begin(&out, 3);
    wire_str(&out, "in a record");
    wire_end(&out, begun);
    for (size_t cut = 0; cut < out.bytes.count; cut++) {
        AUTO_FREE unsigned char *bytes = malloc(cut ? cut : 1);
        assert_non_null(bytes);
        memcpy(bytes, out.bytes.items, cut);
        struct wire_in in = {.next = bytes, .end = bytes + cut}, body;
        uint32_t tag;
        size_t size;
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
            wire_get_u8(&in);
            wire_get_u32(&in);
            wire_get_u64(&in);
            wire_get_i64(&in);
            wire_get_bool(&in);
        }
        for (size_t i = 0; i < ARRAY_SIZE(doubles); i++)
            wire_get_double(&in);
        wire_get_str(&in, &size);
        bool whole = wire_next(&in, &tag, &body);
        assert_false(whole);
        assert_true(in.next <= in.end);
        // At its end a record may be missing; anywhere else the stream is bad.
        assert_true(in.bad || in.next == in.end);
    }
    wire_out_deinit(&out);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct wire_out out = {0};
    size_t begun = wire_begin(&out, 1);
    wire_bytes(&out, "", SIZE_MAX - 4096);
    assert_true(out.failed);
    wire_u8(&out, 1);
    wire_end(&out, begun);
    assert_true(out.failed);
    wire_out_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_little_endian),
        cmocka_unit_test(test_texts),         cmocka_unit_test(test_records),
        cmocka_unit_test(test_bad_stays_bad), cmocka_unit_test(test_counts),
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
