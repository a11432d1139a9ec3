// SPDX-License-Identifier: GPL-3.0-or-later
// Types, str, bytes, int and tuple, in synthetic memory of five versions.
#include "fake_python.h"

#include "util/limits.h"

static void assert_str(struct fake_python *py, uint64_t object, const char *expected, size_t size)
{
    char *text = NULL;
    size_t bytes = 0;
    uint32_t id = 0;
    assert_ok(py_str(py->dec, object, &text, &bytes));
    assert_int_equal(bytes, size);
    assert_memory_equal(text, expected, size + 1);
    free(text);
    assert_ok(py_str_id(py->dec, object, &id));
    assert_int_equal(id, strtab_add(py->strings, expected, size));
}

// ---- Types --------------------------------------------------------------------------------------

static void types(struct fake_python *py)
{
    static const uint64_t heap_type = 1u << 9;
    struct py_type_info info;
    assert_ok(py_type_of(py->dec, fake_str(py, "x"), &info));
    assert_int_equal(info.kind, PY_KIND_STR);
    assert_int_equal(info.addr, py->str);
    assert_false(info.heap);
    assert_ok(py_type_info(py->dec, py->type, &info));
    assert_int_equal(info.kind, PY_KIND_TYPE);
    // A class of somebody's own that calls itself "str" is none.
    uint64_t mine = fake_type(py, "str", heap_type);
    assert_ok(py_type_info(py->dec, mine, &info));
    assert_int_equal(info.kind, PY_KIND_OTHER);
    assert_true(info.heap);
    assert_string_equal(strtab_get(py->strings, info.name), "str");
    uint64_t fake = fake_object(py, mine, 128);
    char *text;
    size_t size;
    assert_err(py_str(py->dec, fake, &text, &size), ERR_BAD_DATA, "is a str");
    assert_err(py_expect(py->dec, fake_int(py, 3), PY_KIND_STR, "name"), ERR_BAD_DATA,
               "name at 0x");
    assert_err(py_type_of(py->dec, 0, &info), ERR_BAD_DATA, "no object");
    assert_err(py_type_of(py->dec, fake + 4, &info), ERR_BAD_DATA, "no object");
    assert_err(py_type_of(py->dec, 0x1000, &info), ERR_FAULT, "OB.type");
    assert_err(py_type_info(py->dec, 0, &info), ERR_BAD_DATA, "no type");
    // A type whose name cannot be read, and a very long one.
    uint64_t nameless = fake_type(py, "x", 0);
    fake_set(py, nameless, PY_TYPE_name, 0x1000);
    assert_err(py_type_info(py->dec, nameless, &info), ERR_FAULT, "0x1000");
    char name[2000];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_ok(py_type_info(py->dec, fake_type(py, name, 0), &info));
    assert_int_equal(strtab_size(py->strings, info.name), 256);
    // Static types are remembered, until told to forget.
    fake_set(py, py->str, PY_TYPE_flags, heap_type);
    assert_ok(py_type_info(py->dec, py->str, &info));
    assert_int_equal(info.kind, PY_KIND_STR);
    py_decoder_forget(py->dec);
    assert_ok(py_type_info(py->dec, py->str, &info));
    assert_int_equal(info.kind, PY_KIND_OTHER);
}

static void test_types(void **state)
{
    (void)state;
    fake_each_build(types, 4 << 20);
}

// ---- str ----------------------------------------------------------------------------------------

static void strings(struct fake_python *py)
{
    static const uint8_t latin[] = {'n', 0xe4, 0xff, 'x'};
    static const uint16_t wide[] = {'a', 0x20ac, 0xffff, 0x7ff, 0x800, 0x80};
    static const uint32_t wider[] = {0x1f40d, 0x10ffff, 'z', 0x10000};
    assert_str(py, fake_str(py, "plain"), "plain", 5);
    assert_str(py, fake_str(py, ""), "", 0);
    for (int compact = 0; compact < 2; compact++) {
        assert_str(py, fake_str_kind(py, latin, 4, 1, compact), "n\xc3\xa4\xc3\xbfx", 6);
        assert_str(py, fake_str_kind(py, wide, 6, 2, compact),
                   "a\xe2\x82\xac\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80\xc2\x80", 14);
        assert_str(py, fake_str_kind(py, wider, 4, 4, compact),
                   "\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbfz\xf0\x90\x80\x80", 13);
        assert_str(py, fake_str_kind(py, "a\0b", 3, 1, compact), "a\0b", 3);
        assert_str(py, fake_str_kind(py, "", 0, 4, compact), "", 0);
        // Lone surrogates keep their three bytes.
        static const uint16_t lone[] = {0xd800, 'x', 0xdfff};
        assert_str(py, fake_str_kind(py, lone, 3, 2, compact), "\xed\xa0\x80x\xed\xbf\xbf", 7);
    }
}

static void test_str(void **state)
{
    (void)state;
    fake_each_build(strings, 4 << 20);
}

static void damaged_strings(struct fake_python *py)
{
    char *text = NULL;
    size_t size;
    static const uint32_t beyond[] = {0x110000};
    assert_err(py_str(py->dec, fake_str_kind(py, beyond, 1, 4, true), &text, &size), ERR_BAD_DATA,
               "no characters");
    for (unsigned kind = 0; kind < 8; kind++) {
        bool legacy = kind == 0 && py->dec->layout.version < 0x030c;
        if (kind == 1 || kind == 2 || kind == 4 || legacy)
            continue;
        uint64_t odd = fake_str_kind(py, "abcdefgh", 1, 1, true);
        uint32_t bits = kind << fake_offset(py, PY_STR_kind_bit);
        fake_set(py, odd, PY_STR_state, bits);
        assert_err(py_str(py->dec, odd, &text, &size), ERR_BAD_DATA, "impossible kind");
    }
    static const uint64_t lengths[] = {UINT64_MAX, 1ull << 63, 1ull << 62, INT64_MAX / 4};
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint64_t bad = fake_str(py, "x");
        fake_set(py, bad, PY_STR_length, lengths[i]);
        assert_err(py_str(py->dec, bad, &text, &size), ERR_BAD_DATA, "impossible length");
    }
    // Long ones are cut, with a mark; the characters behind the cut need not even be readable.
    char *many = malloc(LIMIT_STRING_CHARS + 1);
    memset(many, 'y', LIMIT_STRING_CHARS);
    many[LIMIT_STRING_CHARS] = '\0';
    uint64_t full = fake_str(py, many);
    assert_str(py, full, many, LIMIT_STRING_CHARS);
    fake_set(py, full, PY_STR_length, 1ull << 40);
    assert_ok(py_str(py->dec, full, &text, &size));
    assert_int_equal(size, LIMIT_STRING_CHARS + 3);
    assert_memory_equal(text, many, LIMIT_STRING_CHARS);
    assert_string_equal(text + LIMIT_STRING_CHARS, "\xe2\x80\xa6");
    free(text);
    free(many);
    // Characters that are not there are an error, never zeros.
    uint64_t cut = fake_str(py, "twelve chars");
    uint64_t data = cut + fake_offset(py, PY_STR_ascii_data);
    fake_hide(&py->memory, data + 5, data + 6);
    assert_err(py_str(py->dec, cut, &text, &size), ERR_FAULT, "7 bytes at");
}

static void test_damaged_str(void **state)
{
    (void)state;
    fake_each_build(damaged_strings, 4 << 20);
}

// Up to 3.11: made by C extensions with the old API, not ready, only wchar_t.
static void test_legacy_str(void **state)
{
    (void)state;
    static const uint16_t with[] = {0x0306, 0x0309, 0x030b};
    static const uint32_t wide[] = {'w', 0x20ac, 0x1f40d};
    for (size_t i = 0; i < ARRAY_SIZE(with); i++) {
        struct fake_python py;
        fake_python_init(&py, with[i], PY_BUILD_RELEASE, 1 << 20);
        uint64_t str = fake_object(&py, py.str, 128), data = fake_alloc(&py.memory, 64);
        fake_put(&py.memory, data, wide, sizeof(wide));
        fake_set(&py, str, PY_STR_wstr, data);
        fake_set(&py, str, PY_STR_wstr_length, 3);
        fake_set(&py, str, PY_STR_state, 0);
        assert_str(&py, str, "w\xe2\x82\xac\xf0\x9f\x90\x8d", 8);
        fake_python_deinit(&py);
    }
}

// ---- bytes, int, tuple --------------------------------------------------------------------------

static void byte_strings(struct fake_python *py)
{
    uint8_t *bytes = NULL;
    size_t size;
    uint64_t object = fake_bytes(py, "a\0\xff", 3);
    assert_ok(py_bytes(py->dec, object, 3, &bytes, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "a\0\xff", 4);
    free(bytes);
    assert_err(py_bytes(py->dec, object, 2, &bytes, &size), ERR_LIMIT, "3 bytes");
    assert_err(py_bytes(py->dec, fake_str(py, "abc"), 9, &bytes, &size), ERR_BAD_DATA, "is a str");
    fake_set(py, object, PY_BYTES_size, (uint64_t)-1);
    assert_err(py_bytes(py->dec, object, 1 << 20, &bytes, &size), ERR_LIMIT, "bytes");
    fake_set(py, object, PY_BYTES_size, 5 << 20); // more than the memory has
    assert_err(py_bytes(py->dec, object, 6 << 20, &bytes, &size), ERR_FAULT, "not readable");
    assert_ok(py_bytes(py->dec, fake_bytes(py, "", 0), 0, &bytes, &size));
    assert_int_equal(size, 0);
    free(bytes);
}

static void integers(struct fake_python *py)
{
    static const int64_t values[] = {0,
                                     1,
                                     -1,
                                     255,
                                     0x3fffffff,
                                     0x40000000,
                                     -0x40000000,
                                     140737353971520,
                                     1ll << 60,
                                     (1ll << 62) - 1,
                                     -(1ll << 62) + 1};
    int64_t value;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        value = 77;
        assert_ok(py_int(py->dec, fake_int(py, values[i]), &value));
        assert_int_equal(value, values[i]);
    }
    bool tagged = py->dec->layout.version >= 0x030c;
    uint64_t big = fake_int(py, 1);
    fake_set(py, big, PY_LONG_size, tagged ? 4 << 3 : 4);
    assert_err(py_int(py->dec, big, &value), ERR_LIMIT, "4 digits");
    fake_set(py, big, PY_LONG_size, tagged ? 4 << 3 | 2 : (uint64_t)-4);
    assert_err(py_int(py->dec, big, &value), ERR_LIMIT, "4 digits");
    fake_set(py, big, PY_LONG_size, 1ull << 63);
    assert_err(py_int(py->dec, big, &value), ERR_LIMIT, "digits");
    uint64_t wide = fake_int(py, (1ll << 62) - 1);
    uint32_t digit = 8;
    fake_put(&py->memory, wide + fake_offset(py, PY_LONG_digits) + 8, &digit, 4);
    assert_err(py_int(py->dec, wide, &value), ERR_LIMIT, "62 bits");
    // A digit has 30 bits; what has more is no int.
    uint64_t odd = fake_int(py, 5);
    digit = 0x40000005;
    fake_put(&py->memory, odd + fake_offset(py, PY_LONG_digits), &digit, 4);
    assert_err(py_int(py->dec, odd, &value), ERR_BAD_DATA, "int");
    assert_err(py_int(py->dec, fake_str(py, "1"), &value), ERR_BAD_DATA, "is a str");
    if (tagged) {
        // The other bits of lv_tag: 2 is reserved or says that it is immortal.
        uint64_t marked = fake_int(py, 9);
        fake_set(py, marked, PY_LONG_size, 1 << 3 | 4);
        assert_ok(py_int(py->dec, marked, &value));
        assert_int_equal(value, 9);
    }
}

static void tuples(struct fake_python *py)
{
    static const uint64_t items[] = {0x1110, 0x2220};
    uint64_t value, tuple = fake_tuple(py, items, 2);
    assert_ok(py_tuple_item(py->dec, tuple, 0, &value));
    assert_int_equal(value, 0x1110);
    assert_ok(py_tuple_item(py->dec, tuple, 1, &value));
    assert_int_equal(value, 0x2220);
    assert_err(py_tuple_item(py->dec, tuple, 2, &value), ERR_BAD_DATA, "no item 2");
    fake_set(py, tuple, PY_TUPLE_size, UINT64_MAX);
    assert_err(py_tuple_item(py->dec, tuple, 1ull << 32, &value), ERR_FAULT, "not readable");
    assert_err(py_tuple_item(py->dec, py->dict, 0, &value), ERR_BAD_DATA, "is a type");
}

static void test_bytes(void **state)
{
    (void)state;
    fake_each_build(byte_strings, 4 << 20);
}

static void test_int(void **state)
{
    (void)state;
    fake_each_build(integers, 4 << 20);
}

static void test_tuple(void **state)
{
    (void)state;
    fake_each_build(tuples, 4 << 20);
}

static void test_untag(void **state)
{
    (void)state;
    static const struct {
        uint64_t word, modern;
    } cases[] = {{0x1000, 0x1000}, {0x1001, 0x1000}, {0x1002, 0x1000}, {1, 0},
                 {0, 0},           {3, 0},           {(5 << 2) | 3, 0}};
    struct py_decoder old = {.layout.version = 0x030d};
    for (uint16_t version = 0x030e; version <= 0x030f; version++) {
        struct py_decoder dec = {.layout.version = version};
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            assert_int_equal(py_untag(&dec, cases[i].word), cases[i].modern);
            assert_int_equal(py_untag(&old, cases[i].word), cases[i].word);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),       cmocka_unit_test(test_str),
        cmocka_unit_test(test_damaged_str), cmocka_unit_test(test_legacy_str),
        cmocka_unit_test(test_bytes),       cmocka_unit_test(test_int),
        cmocka_unit_test(test_tuple),       cmocka_unit_test(test_untag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
