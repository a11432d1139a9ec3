// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON reader: what RFC 8259 allows and what it does not, numbers to the last bit, strings to
// the last byte, and that the first fault ends it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "report/json_reader.h"
#include "report/json_writer.h"
#include "util/guard.h"

#define READER(name, text) READER_OF(name, text, strlen(text))
#define READER_OF(name, text, size)                    \
    GUARD(json_reader_deinit) struct json_reader name; \
    json_reader_init(&name, text, size)

static bool is_valid(const char *text, size_t size)
{
    AUTO_FREE char *bytes = malloc(size ? size : 1); // without a final NUL: ASan sees what reads on
    assert_non_null(bytes);
    memcpy(bytes, text, size);
    READER_OF(in, bytes, size);
    json_skip(&in);
    json_read_end(&in);
    return !in.err;
}

static void test_valid(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}",
                                        " [ ] ",
                                        "\t\r\n0",
                                        "-0",
                                        "0.5",
                                        "1e5",
                                        "1E+5",
                                        "-1.25e-10",
                                        "true",
                                        "false",
                                        "null",
                                        "\"\"",
                                        "[1,2]",
                                        "[[[]],{}]",
                                        "{\"a\":1,\"b\":[2,{\"c\":null}]}",
                                        "\"\\u00e9\\ud83d\\ude00\"",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                        "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"",
                                        "{\"\":\"\"}"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (!is_valid(texts[i], strlen(texts[i])))
            fail_msg("refused: %s", texts[i]);
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "[",
                                        "]",
                                        "{",
                                        "}",
                                        "[1",
                                        "[1,",
                                        "[1,]",
                                        "[,1]",
                                        "[1 2]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\" 1}",
                                        "{\"a\":1,}",
                                        "{,}",
                                        "{1:2}",
                                        "{\"a\":1 \"b\":2}",
                                        "01",
                                        "00",
                                        "-",
                                        "+1",
                                        "-01",
                                        ".5",
                                        "1.",
                                        "1.e5",
                                        "1e",
                                        "1e+",
                                        "0x10",
                                        "1f",
                                        "tru",
                                        "True",
                                        "nul",
                                        "NaN",
                                        "Infinity",
                                        "\"",
                                        "\"a",
                                        "\"\\\"",
                                        "\"\\x41\"",
                                        "\"\\u12\"",
                                        "\"\\u12g4\"",
                                        "\"\\\"",
                                        "\"\n\"",
                                        "\"\t\"",
                                        "\"\xff\"",
                                        "\"\xc3\"",
                                        "\"\xc0\x80\"",
                                        "\"\xed\xa0\x80\"",
                                        "\"\xf4\x90\x80\x80\"",
                                        "1 2",
                                        "{} {}",
                                        "[] x",
                                        "// no\n1",
                                        "'a'",
                                        "\xef\xbb\xbf{}",
                                        "[1]]"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (is_valid(texts[i], strlen(texts[i])))
            fail_msg("taken: %s", texts[i]);
    assert_false(is_valid("1\0", 2));
    assert_false(is_valid("\"\0\"", 3));
}

// Every beginning of a document is refused, at whatever byte it is cut.
static void test_cut(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\": [1, -2.5e3, \"\\ud800\\u0041\xc3\xa9\"], \"b\": {\"c\": null}}";
    assert_true(is_valid(text, sizeof(text) - 1));
    for (size_t size = 0; size < sizeof(text) - 1; size++)
        assert_false(is_valid(text, size));
}

static void test_depth(void **state)
{
    (void)state;
    char text[2100];
    memset(text, '[', 1001);
    memset(text + 1001, ']', 1001);
    assert_true(is_valid(text + 1, 2000));
    assert_false(is_valid(text, 2002));
    memset(text, '[', sizeof(text));
    assert_false(is_valid(text, sizeof(text)));
}

// ---- Numbers ------------------------------------------------------------------------------------

static void test_whole_numbers(void **state)
{
    (void)state;
    READER(in, "[0, 18446744073709551615, 9223372036854775807, -9223372036854775808, 42, -42]");
    assert_true(json_read_array(&in));
    assert_true(json_read_item(&in) && json_read_u64(&in, UINT64_MAX) == 0);
    assert_true(json_read_item(&in) && json_read_u64(&in, UINT64_MAX) == UINT64_MAX);
    assert_true(json_read_item(&in) && json_read_u64(&in, UINT64_MAX) == INT64_MAX);
    assert_true(json_read_item(&in) && json_read_i64(&in, INT64_MIN, 0) == INT64_MIN);
    assert_true(json_read_item(&in) && json_read_u64(&in, 42) == 42);
    assert_true(json_read_item(&in) && json_read_i64(&in, -42, 42) == -42);
    assert_false(json_read_item(&in));
    json_read_end(&in);
    assert_null(in.err);
}

static void refuses_u64(const char *text, uint64_t most)
{
    READER(in, text);
    assert_int_equal(json_read_u64(&in, most), 0);
    assert_non_null(in.err);
}

static void test_not_whole(void **state)
{
    (void)state;
    refuses_u64("18446744073709551616", UINT64_MAX);
    refuses_u64("99999999999999999999999", UINT64_MAX);
    refuses_u64("-1", UINT64_MAX);
    refuses_u64("1.0", UINT64_MAX);
    refuses_u64("1e3", UINT64_MAX);
    refuses_u64("43", 42);
    refuses_u64("\"1\"", UINT64_MAX);
    refuses_u64("null", UINT64_MAX);
    READER(in, "-9223372036854775809");
    assert_int_equal(json_read_i64(&in, INT64_MIN, INT64_MAX), 0);
    assert_non_null(in.err);
}

static void test_doubles(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } rows[] = {{"0", 0},
                {"-0.0", 0},
                {"1", 1},
                {"0.1", 0.1},
                {"0.034500", 0.0345},
                {"0.000001", 1e-6},
                {"-0.999999", -0.999999},
                {"123456789.123456", 123456789.123456},
                {"1e22", 1e22},
                {"2.5E-3", 2.5e-3},

                {"1e-400", 0},
                {"1e-22", 1e-22}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        READER(in, rows[i].text);
        double value = json_read_double(&in);
        assert_null(in.err);
        if (value != rows[i].value)
            fail_msg("%s is %.17g", rows[i].text, value);
    }
    READER(in, "1e400");
    json_read_double(&in);
    assert_non_null(in.err);
}

// Whatever the writer writes of a share comes back as the nearest double, and is written the same.
static void test_millionths(void **state)
{
    (void)state;
    for (unsigned millionth = 0; millionth <= 1000000; millionth += 7) {
        char text[64], again[64];
        snprintf(text, sizeof(text), "%u.%06u", millionth / 1000000, millionth % 1000000);
        READER(in, text);
        double value = json_read_double(&in);
        assert_true(value == millionth / 1e6);
        assert_true(value == strtod(text, NULL));
        snprintf(again, sizeof(again), "%.6f", value);
        assert_string_equal(again, text);
    }
}

static void test_hex(void **state)
{
    (void)state;
    READER(in, "[\"0x0\", \"0x7f0012345678\", \"0xFFFFffffFFFFffff\"]");
    assert_true(json_read_array(&in));
    assert_true(json_read_item(&in) && json_read_hex(&in) == 0);
    assert_true(json_read_item(&in) && json_read_hex(&in) == 0x7f0012345678);
    assert_true(json_read_item(&in) && json_read_hex(&in) == UINT64_MAX);
    assert_null(in.err);
    static const char *const bad[] = {"\"0x\"",  "\"7f\"", "\"0x10000000000000000\"",
                                      "\"0xg\"", "127",    "\"0x \""};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        READER(wrong, bad[i]);
        json_read_hex(&wrong);
        assert_non_null(wrong.err);
    }
}

// ---- Strings ------------------------------------------------------------------------------------

static void assert_string(const char *text, const char *bytes, size_t size)
{
    READER(in, text);
    size_t is_size;
    const char *is = json_read_string(&in, &is_size);
    if (in.err)
        fail_msg("%s: %s", text, err_message(in.err));
    assert_int_equal(is_size, size);
    assert_memory_equal(is, bytes, size);
    json_read_end(&in);
    assert_null(in.err);
}

#define ASSERT_STRING(text, bytes) assert_string(text, bytes, sizeof(bytes) - 1)

static void test_strings(void **state)
{
    (void)state;
    ASSERT_STRING("\"\"", "");
    ASSERT_STRING("\"plain\"", "plain");
    ASSERT_STRING("\"a\\n\\\"\\u0000b\\/\"", "a\n\"\0b/");
    ASSERT_STRING("\"\\u00e9\\u20AC\"", "\xc3\xa9\xe2\x82\xac");
    ASSERT_STRING("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"); // a pair
    // Bytes that are no UTF-8, and lone surrogates.
    ASSERT_STRING("\"x\\udcff\\udc80y\"", "x\xff\x80y");
    ASSERT_STRING("\"\\ud800\"", "\xed\xa0\x80");
    ASSERT_STRING("\"\\ud800x\\udfff\"", "\xed\xa0\x80x\xed\xbf\xbf");
    ASSERT_STRING("\"\\ud800\\ud800\\udc00\"", "\xed\xa0\x80\xf0\x90\x80\x80");
    ASSERT_STRING("\"\\udc00\\udc7f\"", "\xed\xb0\x80\xed\xb1\xbf");
    // Bytes that would be a character: they were surrogates. One that is left over is a byte.
    ASSERT_STRING("\"\\udcc3\\udca9\"", "\xed\xb3\x83\xed\xb2\xa9");
    ASSERT_STRING("\"\\udcc3\\udcc3\\udca9\\udc80\"", "\xc3\xed\xb3\x83\xed\xb2\xa9\x80");
    ASSERT_STRING("\"\\udce2\\udc82\"", "\xe2\x82");
}

// What the writer wrote of `bytes`, read and written once more, is the same; so are the bytes,
// wherever they are no surrogates that also stand for a byte.
static void round_trip(const char *bytes, size_t size, bool exact)
{
    AUTO_FREE char *first = NULL, *second = NULL;
    size_t first_size, second_size, is_size;
    FILE *out = open_memstream(&first, &first_size);
    struct json_writer json = {.out = out};
    json_string(&json, NULL, bytes, size);
    fclose(out);
    READER_OF(in, first, first_size);
    const char *is = json_read_string(&in, &is_size);
    if (in.err)
        fail_msg("%s: %s", first, err_message(in.err));
    if (exact) {
        assert_int_equal(is_size, size);
        assert_memory_equal(is, bytes, size);
    }
    out = open_memstream(&second, &second_size);
    json = (struct json_writer){.out = out};
    json_string(&json, NULL, is, is_size);
    fclose(out);
    assert_string_equal(first, second);
}

static void test_all_bytes(void **state)
{
    (void)state;
    char bytes[3];
    for (unsigned i = 0; i < 256 * 256; i++) {
        bytes[0] = (char)(i >> 8);
        bytes[1] = (char)i;
        round_trip(bytes, 1 + (i >= 256), true);
    }
    // Three bytes: every kind of lead, continuation and neighbour; the surrogates among them.
    static const unsigned char kinds[] = {0x00, 'a',  '"',  0x7f, 0x80, 0x9f, 0xa0, 0xbf,
                                          0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xff};
    enum { KINDS = sizeof(kinds) };
    for (unsigned i = 0; i < KINDS * KINDS * KINDS; i++) {
        bytes[0] = (char)kinds[i / KINDS / KINDS];
        bytes[1] = (char)kinds[i / KINDS % KINDS];
        bytes[2] = (char)kinds[i % KINDS];
        bool surrogate = kinds[i / KINDS / KINDS] == 0xed && kinds[i / KINDS % KINDS] >= 0xa0;
        round_trip(bytes, 3, !surrogate);
    }
}

// Pieces of every kind in every order, four at a time.
static void test_all_pieces(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a",
                                         "\xff",
                                         "\xc3",
                                         "\xa9",
                                         "\xe2",
                                         "\x82",
                                         "\xed",
                                         "\xed\xa0\x80",
                                         "\xed\xb3\x83",
                                         "\xed\xb2\xa9",
                                         "\xed\xb0\x80",
                                         "\xf0\x90\x80\x80",
                                         "\xf3\xa0\x81\x81",
                                         "\\",
                                         "\n"};
    enum { PIECES = ARRAY_SIZE(pieces) };
    for (unsigned i = 0; i < PIECES * PIECES * PIECES * PIECES; i++) {
        char bytes[32] = "";
        for (unsigned k = 0, left = i; k < 4; k++, left /= PIECES)
            strcat(bytes, pieces[left % PIECES]);
        round_trip(bytes, strlen(bytes), false);
    }
}

// ---- Faults -------------------------------------------------------------------------------------

static void test_faults(void **state)
{
    (void)state;
    READER(in, "{\n \"a\": 1,\n \"b\": x, \"c\": 3}");
    const char *key;
    size_t size;
    assert_true(json_read_object(&in));
    assert_true(json_read_key(&in, &key, &size));
    assert_int_equal(json_read_u64(&in, 10), 1);
    assert_true(json_read_key(&in, &key, &size));
    assert_int_equal(json_read_u64(&in, 10), 0);
    assert_string_equal(err_message(in.err), "line 3: a number should be here");
    assert_false(json_read_key(&in, &key, &size));
    json_fault(&in, "another one");
    assert_string_equal(err_message(in.err), "line 3: a number should be here");
    assert_int_equal(json_read_u64(&in, 10), 0);
    assert_false(json_read_array(&in));
    assert_false(json_read_null(&in));
    json_skip(&in);
}

static void test_wrong_kind(void **state)
{
    (void)state;
    READER(in, "[1]");
    assert_false(json_read_object(&in));
    assert_non_null(in.err);
    READER(other, "[null, true]");
    assert_true(json_read_array(&other) && json_read_item(&other));
    assert_true(json_read_null(&other));
    assert_true(json_read_item(&other));
    assert_false(json_read_null(&other)); // it stays there
    assert_true(json_read_bool(&other));
    assert_false(json_read_item(&other));
    assert_null(other.err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),         cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_cut),           cmocka_unit_test(test_depth),
        cmocka_unit_test(test_whole_numbers), cmocka_unit_test(test_not_whole),
        cmocka_unit_test(test_doubles),       cmocka_unit_test(test_millionths),
        cmocka_unit_test(test_hex),           cmocka_unit_test(test_strings),
        cmocka_unit_test(test_all_bytes),     cmocka_unit_test(test_all_pieces),
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_wrong_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
