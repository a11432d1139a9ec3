// SPDX-License-Identifier: GPL-3.0-or-later
// The three line table formats: tables written by hand, and random ones whose lines are known
// because the test made the table from them.
#include "fake_memory.h"

#include "cpython/code.h"

enum { LINES_36 = 0x0306, LINES_310 = 0x030a, LINES_311 = 0x030b };

static struct py_line line_of(uint16_t version, const void *table, size_t size, int32_t first_line,
                              int32_t offset_bytes)
{
    struct py_decoder dec = {.layout.version = version};
    // A copy of just this size, so that a sanitizer sees a read behind it.
    struct py_code code = {.first_line = first_line, .line_table_bytes = size};
    code.line_table = malloc(size ? size : 1);
    assert_non_null(code.line_table);
    if (size)
        memcpy(code.line_table, table, size);
    struct py_line line = py_code_line(&dec, &code, offset_bytes);
    struct py_line again = py_code_line(&dec, &code, offset_bytes);
    assert_int_equal(line.line, again.line);
    free(code.line_table);
    return line;
}

struct expectation {
    int32_t offset, line, column;
};

#define CHECK(version, table, first, ...)                                                          \
    check((version), (table), sizeof(table), (first), (const struct expectation[]){__VA_ARGS__},   \
          sizeof((const struct expectation[]){__VA_ARGS__}) / sizeof(struct expectation))

static void check(uint16_t version, const uint8_t *table, size_t size, int32_t first,
                  const struct expectation *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct py_line line = line_of(version, table, size, first, expected[i].offset);
        if (line.line != expected[i].line || line.column != expected[i].column)
            fail_msg("offset %d: line %d column %d, not %d %d", expected[i].offset, line.line,
                     line.column, expected[i].line, expected[i].column);
    }
}

// ---- By hand ------------------------------------------------------------------------------------

static void test_lnotab(void **state)
{
    (void)state;
    // +6 bytes +1 line, +50 bytes +2, a step over 255 bytes, one over 127 lines, one back.
    static const uint8_t table[] = {6, 1, 50, 2, 255, 0, 45, 127, 0, 73, 4, 256 - 20};
    for (uint16_t version = LINES_36; version < LINES_310; version++)
        CHECK(version, table, 10, {-1, 10, -1}, {0, 10, -1}, {4, 10, -1}, {6, 11, -1},
              {54, 11, -1}, {56, 13, -1}, {310, 13, -1}, {354, 13, -1}, {356, 213, -1},
              {358, 213, -1}, {360, 193, -1}, {100000, 193, -1});
    static const uint8_t odd[] = {2, 1, 2}; // a byte too many
    CHECK(0x0309, odd, 5, {0, 5, -1}, {2, 6, -1}, {8, 6, -1});
    static const uint8_t at_zero[] = {0, 5, 0, 256 - 2, 8, 1}; // steps before the first instruction
    CHECK(0x0308, at_zero, 1, {0, 4, -1}, {6, 4, -1}, {8, 5, -1});
}

static void test_ranges(void **state)
{
    (void)state;
    // PEP 626: (length, line increment); 254 and 0 go on; -128 has no line and moves none.
    static const uint8_t table[] = {6, 0, 50, 1, 4, 256 - 128, 8, 2, 254, 127, 0, 73,
                                    4, 0, 2, 256 - 100};
    CHECK(LINES_310, table, 10, {-1, 10, -1}, {0, 10, -1}, {4, 10, -1}, {6, 11, -1}, {54, 11, -1},
          {56, -1, -1}, {58, -1, -1}, {60, 13, -1}, {66, 13, -1}, {68, 140, -1}, {320, 140, -1},
          {322, 213, -1}, {324, 213, -1}, {326, 113, -1}, {328, -1, -1}, {INT32_MAX, -1, -1});
    static const uint8_t odd[] = {2, 1, 2};
    CHECK(LINES_310, odd, 5, {0, 6, -1}, {2, -1, -1});
}

static void test_location_kinds(void **state)
{
    (void)state;
    // One entry of each of the 16 kinds, two code units each; InternalDocs/code_objects.md.
    static const uint8_t table[] = {
        0x81, 0x53,             // 0: column 0 << 3 | 5, to + 3
        0x89, 0x71,             // 1: column 1 << 3 | 7
        0x91, 0x00, 0x99, 0x00, 0xa1, 0x00, 0xa9, 0x00, 0xb1, 0x00, 0xb9, 0x00, 0xc1, 0x00,
        0xc9, 0x7f,             // 9: column 9 << 3 | 7
        0xd1, 200, 210,         // 10: same line
        0xd9, 4, 9,             // 11: next line
        0xe1, 128, 255,         // 12: two lines on
        0xe9, 0x05,             // 13: line -2, no columns
        0xf1, 0x40 | 0x10, 0x03, 0x02, 0x40 | 0x01, 0x02, 0x04, // 14: line +104, column 129 - 1
        0xf9,                   // 15: no line at all
        0xf1, 0x00, 0x00, 0x00, 0x00, // 14 with no column
    };
    CHECK(LINES_311, table, 50, {-1, 50, -1}, {0, 50, 5}, {3, 50, 5}, {4, 50, 15}, {8, 50, 16},
          {12, 50, 24}, {16, 50, 32}, {20, 50, 40}, {24, 50, 48}, {28, 50, 56}, {32, 50, 64},
          {36, 50, 79}, {40, 50, 200}, {44, 51, 4}, {48, 53, 128}, {52, 51, -1}, {56, 155, 128},
          {60, -1, -1}, {62, -1, -1}, {64, 155, -1}, {68, -1, -1}, {INT32_MAX, -1, -1});
    for (uint16_t version = LINES_311; version <= 0x030f; version++)
        CHECK(version, table, 50, {56, 155, 128});
    static const uint8_t lengths[] = {0x80, 0x00, 0x87, 0x10, 0x80, 0x20}; // 1, 8 and 1 units
    CHECK(LINES_311, lengths, 1, {0, 1, 0}, {2, 1, 1}, {16, 1, 1}, {18, 1, 2}, {20, -1, -1});
}

static void test_location_damaged(void **state)
{
    (void)state;
    static const uint8_t no_head[] = {0x80, 0x00, 0x00, 0x00};
    CHECK(LINES_311, no_head, 1, {0, 1, 0}, {2, -1, -1});
    static const uint8_t endless[] = {0xe8, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x01};
    CHECK(LINES_311, endless, 1, {0, -1, -1});
    // +-2^31 - 1 in one step, more than a line can be.
    static const uint8_t up[] = {0xe8, 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 0x03};
    CHECK(LINES_311, up, 1, {0, -1, -1});
    static const uint8_t down[] = {0xe8, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x03};
    CHECK(LINES_311, down, -10, {0, -1, -1});
}

static void test_no_table(void **state)
{
    (void)state;
    struct py_code code = {.first_line = 7};
    for (uint16_t version = LINES_36; version <= 0x030f; version++) {
        struct py_decoder dec = {.layout.version = version};
        code.last_line.valid = false;
        assert_int_equal(py_code_line(&dec, &code, 0).line, -1); // not readable
        assert_int_equal(py_code_line(&dec, &code, -1).line, 7);
        // Empty: all of the code is its first line, up to 3.9.
        assert_int_equal(line_of(version, "", 0, 7, 0).line, version < LINES_310 ? 7 : -1);
    }
}

// Hostile first lines and endless steps: no line, and never a wrapped one.
static void test_no_wrap_around(void **state)
{
    (void)state;
    static const uint8_t up[] = {2, 1, 2, 127}, down[] = {2, 255, 2, 129};
    CHECK(0x0309, up, INT32_MAX, {0, INT32_MAX, -1}, {2, -1, -1}, {4, -1, -1});
    CHECK(0x0309, down, INT32_MIN, {2, -1, -1}, {4, -1, -1});
    CHECK(LINES_310, up, INT32_MAX, {0, -1, -1}, {2, -1, -1});
    CHECK(LINES_310, down, INT32_MIN, {0, -1, -1}, {2, -1, -1});
    static const uint8_t location[] = {0xd8, 0, 0, 0xe0, 0, 0};
    CHECK(LINES_311, location, INT32_MAX, {0, -1, -1}, {2, -1, -1});
    // 2^32 bytes of code in 255-byte steps: an offset of 32 bits would come round again.
    size_t size = 2 * ((1ull << 32) / 255 + 2);
    uint8_t *table = malloc(size);
    assert_non_null(table);
    for (size_t i = 0; i < size; i += 2) {
        table[i] = 255;
        table[i + 1] = i < 4;
    }
    struct py_code code = {.first_line = 1, .line_table = table, .line_table_bytes = size};
    table[size - 1] = 100;
    assert_int_equal(py_line_lnotab(&code, 300).line, 2);
    assert_int_equal(py_line_lnotab(&code, 10).line, 1);
    assert_int_equal(py_line_ranges(&code, 300).line, 3);
    assert_int_equal(py_line_ranges(&code, UINT32_MAX).line, 3);
    free(table);
}

// ---- Random tables ------------------------------------------------------------------------------

enum { MAX_UNITS = 60000, MAX_TABLE = 400000 };

// What each code unit should be, and the table that says so.
struct made {
    uint8_t table[MAX_TABLE];
    struct py_line units[MAX_UNITS];
    size_t complete[MAX_UNITS]; // bytes of the table that tell of this unit
    size_t table_bytes, unit_count;
    int32_t first_line;
};

static struct made made;

static void put(unsigned byte)
{
    assert_true(made.table_bytes < MAX_TABLE);
    made.table[made.table_bytes++] = (uint8_t)byte;
}

static void put_units(size_t count, int32_t line, int32_t column)
{
    for (size_t i = 0; i < count && made.unit_count < MAX_UNITS; i++) {
        made.complete[made.unit_count] = made.table_bytes;
        made.units[made.unit_count++] = (struct py_line){line, column};
    }
}

static void put_varint(uint32_t value)
{
    for (; value > 63; value >>= 6)
        put((value & 63) | 64);
    put(value);
}

static int32_t random_step(uint64_t *seed)
{
    uint64_t kind = fake_random(seed) % 10, value = fake_random(seed);
    return kind < 6 ? (int32_t)(value % 4) : kind < 9 ? (int32_t)(value % 41) - 20
                                                     : (int32_t)(value % 2001) - 1000;
}

// As CPython's assembler does it: Python/compile.c, assemble_lnotab (3.9).
static void make_lnotab(uint64_t *seed, size_t entries)
{
    int32_t line = made.first_line;
    put_units(1 + fake_random(seed) % 5, line, -1);
    size_t told = 0; // code units
    for (size_t i = 0; i < entries; i++) {
        int32_t step = random_step(seed);
        if (step == 0)
            step = 1;
        size_t bytes = 2 * (made.unit_count - told);
        told = made.unit_count;
        for (; bytes > 255; bytes -= 255)
            put(255), put(0);
        int32_t left = step;
        for (; left > 127; left -= 127, bytes = 0)
            put((unsigned)bytes), put(127);
        for (; left < -128; left += 128, bytes = 0)
            put((unsigned)bytes), put(128);
        put((unsigned)bytes), put((uint8_t)left);
        line += step;
        put_units(1 + fake_random(seed) % (i % 20 ? 6 : 400), line, -1);
    }
}

// Python/compile.c, assemble_line_range (3.10).
static void make_ranges(uint64_t *seed, size_t entries)
{
    int32_t line = made.first_line;
    for (size_t i = 0; i < entries; i++) {
        bool none = fake_random(seed) % 8 == 0;
        int32_t step = none ? -128 : random_step(seed);
        size_t bytes = 2 * (1 + fake_random(seed) % (i % 20 ? 6 : 400));
        line += none ? 0 : step;
        for (; !none && step > 127; step -= 127)
            put(0), put(127);
        for (; !none && step < -127; step += 127)
            put(0), put(256 - 127);
        while (bytes > 0) {
            size_t part = bytes > 254 ? 254 : bytes;
            put((unsigned)part), put((uint8_t)step);
            put_units(part / 2, none ? -1 : line, -1);
            step = none ? step : 0;
            bytes -= part;
        }
    }
}

static void make_location(uint64_t *seed, size_t entries)
{
    int32_t line = made.first_line;
    for (size_t i = 0; i < entries; i++) {
        unsigned kind = fake_random(seed) % 16, units = 1 + fake_random(seed) % 8;
        int32_t column = -1, step = random_step(seed);
        uint32_t zigzag = step < 0 ? (uint32_t)-step << 1 | 1 : (uint32_t)step << 1;
        put(0x80 | kind << 3 | (units - 1));
        if (kind <= 9) {
            unsigned low = fake_random(seed) % 8;
            column = (int32_t)(kind * 8 + low);
            put(low << 4 | fake_random(seed) % 16);
        } else if (kind <= 12) {
            line += (int32_t)kind - 10;
            column = (int32_t)(fake_random(seed) % 256);
            put((unsigned)column), put(fake_random(seed) % 256);
        } else if (kind == 13) {
            line += step;
            put_varint(zigzag);
        } else if (kind == 14) {
            line += step;
            column = (int32_t)(fake_random(seed) % 70000) - 1;
            put_varint(zigzag);
            put_varint((uint32_t)(fake_random(seed) % 100));
            put_varint((uint32_t)(column + 1));
            put_varint((uint32_t)(fake_random(seed) % 100));
        }
        put_units(units, kind == 15 ? -1 : line, column);
    }
}

static void check_made(uint16_t version, size_t stride)
{
    struct py_decoder dec = {.layout.version = version};
    struct py_code code = {.first_line = made.first_line,
                           .line_table = made.table,
                           .line_table_bytes = made.table_bytes};
    for (size_t i = 0; i < made.unit_count; i += stride) {
        struct py_line line = py_code_line(&dec, &code, (int32_t)(2 * i));
        if (line.line != made.units[i].line || line.column != made.units[i].column)
            fail_msg("3.%d, unit %zu: line %d column %d, not %d %d", version & 255, i, line.line,
                     line.column, made.units[i].line, made.units[i].column);
    }
}

// A table that was cut says nothing of what it does not reach, and the right thing of the rest.
static void check_cut(uint16_t version)
{
    for (size_t size = 0; size < made.table_bytes; size++) {
        uint8_t *cut = malloc(size + 1);
        assert_non_null(cut);
        memcpy(cut, made.table, size);
        struct py_decoder dec = {.layout.version = version};
        struct py_code code = {
            .first_line = made.first_line, .line_table = cut, .line_table_bytes = size};
        for (size_t i = 0; i < made.unit_count; i++) {
            struct py_line line = py_code_line(&dec, &code, (int32_t)(2 * i));
            int32_t expected = made.complete[i] <= size ? made.units[i].line : -1;
            if (line.line != expected)
                fail_msg("3.%d cut to %zu, unit %zu: line %d, not %d", version & 255, size, i,
                         line.line, expected);
        }
        free(cut);
    }
}

static const struct format {
    uint16_t version;
    void (*make)(uint64_t *seed, size_t entries);
} formats[] = {{0x0309, make_lnotab}, {LINES_310, make_ranges}, {LINES_311, make_location}};

static void make_table(const struct format *format, uint64_t *seed, size_t entries)
{
    made.table_bytes = made.unit_count = 0;
    made.first_line = (int32_t)(1 + fake_random(seed) % 100000);
    format->make(seed, entries);
}

static void test_random_tables(void **state)
{
    (void)state;
    uint64_t seed = 0x11c0de;
    for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
        for (int round = 0; round < 150; round++) {
            make_table(&formats[f], &seed, 1 + fake_random(&seed) % 60);
            check_made(formats[f].version, 1);
        }
        for (int round = 0; round < 20 && f > 0; round++) {
            make_table(&formats[f], &seed, 12);
            check_cut(formats[f].version);
        }
    }
}

static void test_tables_over_64_kib(void **state)
{
    (void)state;
    uint64_t seed = 0x64000;
    for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
        make_table(&formats[f], &seed, 45000);
        assert_true(made.table_bytes > 65536);
        check_made(formats[f].version, 101);
        struct py_decoder dec = {.layout.version = formats[f].version};
        struct py_code code = {.first_line = made.first_line,
                               .line_table = made.table,
                               .line_table_bytes = made.table_bytes};
        size_t last = made.unit_count - 1;
        assert_int_equal(py_code_line(&dec, &code, (int32_t)(2 * last)).line,
                         made.units[last].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lnotab),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_location_kinds),
        cmocka_unit_test(test_location_damaged),
        cmocka_unit_test(test_no_table),
        cmocka_unit_test(test_no_wrap_around),
        cmocka_unit_test(test_random_tables),
        cmocka_unit_test(test_tables_over_64_kib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
