// SPDX-License-Identifier: GPL-3.0-or-later
// Objects as text where memory is damaged, hostile or too large. What real interpreters say of sound
// ones is tests/system/test_locals.py's affair.
#include "cpython/repr.h"
#include "fake_python.h"

static struct py_repr_options options;

// "@" stands for its address.
static void assert_repr(struct fake_python *py, uint64_t object, const char *expected)
{
    struct py_repr repr;
    char text[256];
    assert_ok(py_repr(py->dec, object, NULL, 0, &options, &repr));
    size_t head = strcspn(expected, "@");
    if (expected[head])
        snprintf(text, sizeof(text), "%.*s0x%llx%s", (int)head, expected,
                 (unsigned long long)object, expected + head + 1);
    else
        snprintf(text, sizeof(text), "%s", expected);
    assert_string_equal(repr.text, text);
    assert_int_equal(strlen(repr.text), repr.size);
    py_repr_deinit(&repr);
}

static uint64_t make_list(struct fake_python *py, const uint64_t *items, size_t count)
{
    uint64_t list = fake_object(py, fake_type(py, "list", 0), 64),
             array = fake_alloc(&py->memory, 8 * count + 8);
    fake_put(&py->memory, array, items, 8 * count);
    fake_set(py, list, PY_LIST_size, count);
    fake_set(py, list, PY_LIST_allocated, count);
    fake_set(py, list, PY_LIST_items, array);
    return list;
}

static uint64_t items_of(struct fake_python *py, uint64_t list)
{
    uint64_t items;
    assert_ok(py_read(py->memory.mem, &py->dec->layout, list, PY_LIST_items, &items));
    return items;
}

static void check_freed(struct fake_python *py)
{
    uint64_t object = fake_int(py, 5), other = fake_int(py, 6), third = fake_int(py, 7);
    assert_repr(py, object, "5");
    uint64_t zero[3] = {0}, poison[4];
    memset(poison, 0xdd, sizeof(poison));
    size_t head = fake_offset(py, PY_OB_type);
    fake_put(&py->memory, object, zero, head);
    assert_repr(py, object, "<freed object at @>");
    fake_put(&py->memory, other, poison, head + 8);
    assert_repr(py, other, "<freed object at @>");
    // The type is none.
    fake_set(py, third, PY_OB_type, object);
    assert_repr(py, third, "<freed object at @>");
    assert_repr(py, 0x123450, "<unreadable object at @>");
    assert_repr(py, FAKE_BASE + 3, "<unreadable object at @>");
    assert_repr(py, 0, "<NULL>");
    // One bad item costs that item.
    uint64_t items[] = {fake_int(py, 1), 0x10, fake_int(py, 3)};
    assert_repr(py, make_list(py, items, 3), "[1, <unreadable object at 0x10>, 3]");
}

static void test_freed(void **state)
{
    (void)state;
    fake_each_build(check_freed, 4 << 20);
}

static void check_cycles(struct fake_python *py)
{
    uint64_t one = fake_int(py, 1), pair[] = {one, one};
    uint64_t list = make_list(py, pair, 2), outer = make_list(py, &list, 1);
    fake_put_u64(&py->memory, items_of(py, list) + 8, outer);
    assert_repr(py, list, "[1, [[...]]]");
    // The same one twice is no cycle.
    uint64_t small = make_list(py, &one, 1), twice[] = {small, small};
    assert_repr(py, make_list(py, twice, 2), "[[1], [1]]");
}

static void test_cycles(void **state)
{
    (void)state;
    fake_each_build(check_cycles, 4 << 20);
}

static void check_bounds(struct fake_python *py)
{
    uint64_t deep = fake_int(py, 1), one = deep;
    for (int i = 0; i < 1000; i++)
        deep = make_list(py, &deep, 1);
    assert_repr(py, deep, "[[[[<list of 1>]]]]");
    // Says that it is huge.
    uint64_t huge = make_list(py, &one, 1);
    fake_set(py, huge, PY_LIST_size, UINT64_MAX / 16);
    assert_repr(py, huge, "<list object at @>");
    fake_set(py, huge, PY_LIST_size, 1 << 30);
    assert_repr(py, huge, "[1]"); // one that is allocated
    fake_set(py, huge, PY_LIST_allocated, 1 << 30);
    fake_set(py, huge, PY_LIST_items, FAKE_BASE + (4 << 20) - 16);
    fake_put_u64(&py->memory, FAKE_BASE + (4 << 20) - 16, one);
    fake_put_u64(&py->memory, FAKE_BASE + (4 << 20) - 8, one);
    assert_repr(py, huge, "[1, 1, <unreadable>]");
    // A bomb: each level has the next one eight times. The budget ends it.
    uint64_t bomb = one;
    for (int i = 0; i < 30; i++) {
        uint64_t items[8] = {bomb, bomb, bomb, bomb, bomb, bomb, bomb, bomb};
        bomb = make_list(py, items, 8);
    }
    struct py_repr repr;
    struct py_repr_options wide = options;
    wide.depth = 1000;
    wide.text_bytes = 1 << 20;
    assert_ok(py_repr(py->dec, bomb, NULL, 0, &wide, &repr));
    assert_true(repr.size < 20000);
    py_repr_deinit(&repr);
    wide.text_bytes = 10;
    assert_ok(py_repr(py->dec, bomb, NULL, 0, &wide, &repr));
    assert_string_equal(repr.text, "[[[[[[[[[[...");
    py_repr_deinit(&repr);
}

static void test_bounds(void **state)
{
    (void)state;
    fake_each_build(check_bounds, 4 << 20);
}

static void check_secrets(struct fake_python *py)
{
    struct py_repr repr;
    uint64_t object = fake_str(py, "hunter2");
    assert_ok(py_repr(py->dec, object, "db_password", 11, &options, &repr));
    assert_string_equal(repr.text, "<hidden str>");
    assert_true(repr.hidden);
    assert_int_equal(repr.hidden_count, 1);
    py_repr_deinit(&repr);
    assert_ok(py_repr(py->dec, object, "user", 4, &options, &repr));
    assert_string_equal(repr.text, "'hunter2'");
    assert_false(repr.hidden);
    py_repr_deinit(&repr);
    struct py_repr_options all = options;
    all.show_secrets = true;
    assert_ok(py_repr(py->dec, object, "db_password", 11, &all, &repr));
    assert_string_equal(repr.text, "'hunter2'");
    py_repr_deinit(&repr);
    uint64_t keys[] = {fake_str(py, "PATH"), fake_str(py, "HOME"), fake_str(py, "X")};
    uint64_t values[] = {object, object, object};
    assert_repr(py, fake_dict_of(py, keys, values, 3),
                "{'PATH': <hidden str>, 'HOME': <hidden str>, 'X': <hidden str>}");
}

static void test_secrets(void **state)
{
    (void)state;
    fake_each_build(check_secrets, 4 << 20);
}

static int set_up(void **state)
{
    (void)state;
    options = py_repr_defaults;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_secrets),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
