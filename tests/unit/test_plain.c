// SPDX-License-Identifier: GPL-3.0-or-later
// What the reports write with: hostile bytes made harmless, widths, numbers, and short paths that
// stay unique.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/names.h"
#include "report/plain.h"
#include "util/guard.h"

#define PLAIN __attribute__((cleanup(plain_deinit))) struct plain

// ---- Text ----------------------------------------------------------------------------------------

static void test_hostile_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *shown;
    } rows[] = {
        {"plain", 5, "plain"},
        {"a\x1b[31mb", 7, "a\\x1b[31mb"},
        {"a\nb\tc\rd", 7, "a\\nb\\tc\\rd"},
        {"\0x\x7f", 3, "\\x00x\\x7f"},
        {"\xc2\x9b", 2, "\\x9b"},
        {"\xe2\x80\xae"
         "exe.py",
         9, "\\u202eexe.py"},
        {"\xe2\x81\xa6", 3, "\\u2066"},
        {"\xe2\x80\x8b", 3, "\\u200b"},
        {"\xef\xbb\xbf", 3, "\\ufeff"},
        {"\xf3\xa0\x81\x81", 4, "\\U000e0041"},
        {"\xff"
         "a\xc3",
         3, "\\udcffa\\udcc3"},
        {"\xc0\xaf", 2, "\\udcc0\\udcaf"},
        {"\xe0\x80\xaf", 3, "\\udce0\\udc80\\udcaf"},
        {"\xc3\xa9", 1, "\\udcc3"},
        {"\xed\xa0\x80", 3, "\\ud800"},
        {"\xf4\x90\x80\x80", 4, "\\udcf4\\udc90\\udc80\\udc80"},
        {"\xc3\xa9\xe6\x97\xa5", 5, "\xc3\xa9\xe6\x97\xa5"},
        {"\xe2\xa0\x80", 3, "\\u2800"},
        {"\xef\xb7\x90", 3, "\\ufdd0"},
        {"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80"},
        {"\x01\x02\x1f", 3, "\\x01\\x02\\x1f"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        PLAIN text = {0};
        plain_safe(&text, rows[i].bytes, rows[i].size);
        assert_string_equal(plain_text(&text), rows[i].shown);
    }
}

static void test_columns(void **state)
{
    (void)state;
    assert_int_equal(plain_columns("abc"), 3);
    assert_int_equal(plain_columns("\xe6\x97\xa5\xe6\x9c\xac"), 4);
    assert_int_equal(plain_columns("e\xcc\x81"), 1);
    assert_int_equal(plain_columns(PLAIN_CODE "ab" PLAIN_CODE_END), 2);
    PLAIN text = {0};
    plain_clip(&text, "abcdefghij", 10, PLAIN_KEEP_START);
    plain_clip(&text, "abcdefghij", 7, PLAIN_KEEP_START);
    plain_clip(&text, "abcdefghij", 7, PLAIN_KEEP_END);
    plain_clip(&text, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 5, PLAIN_KEEP_END);
    assert_string_equal(plain_text(&text), "abcdefghij"
                                           "abcd..."
                                           "...ghij"
                                           "...\xe8\xaa\x9e");
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *shown;
    } durations[] = {
        {0, "0 s"},
        {999, "999 ns"},
        {84000, "84 us"},
        {120000, "0.12 ms"},
        {4200000, "4.2 ms"},
        {200000000, "200 ms"},
        {999600000, "1 s"},
        {3400000000, "3.4 s"},
        {10000000000, "10 s"},
        {125000000000, "2 min 5 s"},
        {7380000000000, "2 h 3 min"},
        {UINT64_MAX, "5,124,095 h 34 min"},
    };
    static const struct {
        double share;
        const char *shown;
    } percents[] = {
        {0, "0"},       {0.00001, "<0.01"}, {0.00042, "0.04"}, {0.0042, "0.4"}, {0.085, "8.5"},
        {0.0996, "10"}, {0.69, "69"},       {1, "100"},        {-1, "0"},
    };
    PLAIN text = {0};
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        plain_clear(&text);
        plain_duration(&text, durations[i].ns);
        if (durations[i].ns != UINT64_MAX) // rounding wraps; any text will do
            assert_string_equal(plain_text(&text), durations[i].shown);
    }
    for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
        plain_clear(&text);
        plain_percent(&text, percents[i].share);
        assert_string_equal(plain_text(&text), percents[i].shown);
    }
    plain_clear(&text);
    plain_count(&text, 7);
    plain_str(&text, " ");
    plain_count(&text, 1234567);
    plain_str(&text, " ");
    plain_things(&text, 1, "branch");
    plain_str(&text, " ");
    plain_things(&text, 2000, "branch");
    plain_str(&text, " ");
    plain_range(&text, 0.581, 0.786);
    plain_str(&text, " ");
    plain_range(&text, 0.002, 0.0149);
    plain_str(&text, " ");
    plain_time(&text, 1795317120ll * 1000000000);
    assert_string_equal(
        plain_text(&text),
        "7 1,234,567 1 branch 2,000 branches 58-79 0.2-1.5 2026-11-22 03:12:00 UTC");
}

static void check_paths(const char *const *paths, const char *const *shown, size_t count)
{
    struct strtab *strings = strtab_create();
    struct prof_function functions[8] = {{0}};
    struct prof_report profile = {.functions = functions, .function_count = count};
    assert_in_range(count, 1, ARRAY_SIZE(functions));
    for (size_t i = 0; i < count; i++)
        functions[i].file = strtab_add_cstr(strings, paths[i]);
    struct names names;
    struct report_input input = {.strings = strings, .profile = &profile};
    struct report_options options = {0};
    assert_true(names_init(&names, &input, &options));
    for (size_t i = 0; i < count; i++) {
        PLAIN text = {0};
        names_path(&text, &names, functions[i].file);
        assert_string_equal(plain_text(&text), shown[i]);
    }
    // The longest prefix that is a folder above it goes; the rest is shown whole.
    options.strip_count = 3;
    options.strip[0] = "/srv";
    options.strip[1] = "/srv/shop/";
    options.strip[2] = "/srv/shop/app/vi";
    for (size_t i = 0; i < count; i++) {
        PLAIN text = {0};
        names_path(&text, &names, functions[i].file);
        if (strncmp(paths[i], "/srv/shop/", 10) == 0)
            assert_string_equal(plain_text(&text), paths[i] + 10);
    }
    names_deinit(&names);
    strtab_destroy(strings);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const one_root[] = {
        "/srv/shop/app/views.py",
        "/srv/shop/app/models/order.py",
        "/srv/shop/app/views.py",
        "/usr/lib/python3.11/concurrent/futures/thread.py",
        "/venv/lib/python3.11/site-packages/django/db/models/query.py",
        "<frozen importlib._bootstrap>",
        "/usr/lib/python3/dist-packages/six.py"};
    static const char *const one_root_shown[] = {"views.py",
                                                 "models/order.py",
                                                 "views.py",
                                                 "concurrent/futures/thread.py",
                                                 "db/models/query.py",
                                                 "<frozen importlib._bootstrap>",
                                                 "six.py"};
    check_paths(one_root, one_root_shown, ARRAY_SIZE(one_root));
    static const char *const no_root[] = {"/srv/a/x/views.py", "/opt/b/x/views.py", "app.py",
                                          "/opt/c/run.py"};
    static const char *const no_root_shown[] = {"a/x/views.py", "b/x/views.py", "app.py",
                                                "c/run.py"};
    check_paths(no_root, no_root_shown, ARRAY_SIZE(no_root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
