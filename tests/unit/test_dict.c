// SPDX-License-Identifier: GPL-3.0-or-later
// dict and instance attributes in synthetic memory of each way that CPython stored them.
#include "fake_python.h"

#include "util/limits.h"

#define TPFLAGS_INLINE_VALUES (1u << 2)
#define TPFLAGS_MANAGED_DICT (1u << 4)
#define TPFLAGS_HEAPTYPE (1u << 9)

static bool modern(const struct fake_python *py)
{
    return py->dec->layout.version >= 0x030b;
}

static void assert_item(struct fake_python *py, uint64_t dict, const char *key, uint64_t expected)
{
    uint64_t value = 77;
    assert_ok(py_dict_get(py->dec, dict, key, &value));
    if (value != expected)
        fail_msg("3.%d: %s is 0x%llx", py->dec->layout.version & 255, key,
                 (unsigned long long)value);
}

struct visits {
    uint64_t keys[4000], values[4000];
    size_t count, limit;
};

static bool visit(void *arg, uint64_t key, uint64_t value)
{
    struct visits *visits = arg;
    visits->keys[visits->count] = key;
    visits->values[visits->count++] = value;
    return visits->count < visits->limit;
}

// ---- Combined tables ----------------------------------------------------------------------------

static void combined(struct fake_python *py)
{
    // Sizes on both sides of each index width; a hole where an item was deleted.
    static const size_t sizes[] = {1, 5, 80, 120, 160, 171, 400, 3000};
    static uint64_t keys[3000], values[3000];
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        size_t count = sizes[s], deleted = count / 2;
        char name[32];
        for (size_t i = 0; i < count; i++) {
            snprintf(name, sizeof(name), "key%zu", i);
            keys[i] = fake_str(py, name);
            values[i] = 0x10000 + i * 16;
        }
        if (count > 1)
            keys[deleted] = values[deleted] = 0;
        unsigned log2_size = 3;
        while (count > (2ull << log2_size) / 3)
            log2_size++;
        for (enum fake_keys kind = FAKE_GENERAL; kind <= FAKE_UNICODE; kind++) {
            if (kind == FAKE_UNICODE && !modern(py))
                continue;
            uint64_t dict = fake_dict(py, fake_keys(py, kind, keys, values, count, log2_size), 0);
            for (size_t i = 0; i<count; i += count> 500 ? 499 : 1) {
                snprintf(name, sizeof(name), "key%zu", i);
                assert_item(py, dict, name, count > 1 && i == deleted ? 0 : values[i]);
            }
            assert_item(py, dict, "key", 0);
            assert_item(py, dict, "", 0);
            struct visits *visits = calloc(1, sizeof(*visits));
            visits->limit = SIZE_MAX;
            assert_ok(py_dict_walk(py->dec, dict, visit, visits));
            assert_int_equal(visits->count, count - (count > 1));
            assert_int_equal(visits->keys[visits->count - 1],
                             keys[count - 1] ? keys[count - 1] : keys[count - 2]);
            visits->count = 0;
            visits->limit = 2; // a visitor can end it
            assert_ok(py_dict_walk(py->dec, dict, visit, visits));
            assert_int_equal(visits->count, count == 1 ? 1 : 2);
            free(visits);
        }
    }
    assert_item(py, fake_dict_of(py, NULL, NULL, 0), "x", 0);
}

static void test_combined(void **state)
{
    (void)state;
    fake_each_build(combined, 8 << 20);
}

// Keys of other types, wide strings, and the same length.
static void mixed_keys(struct fake_python *py)
{
    static const uint16_t wide[] = {0x20ac, 'b', 'c'};
    uint64_t class = fake_type(py, "str", TPFLAGS_HEAPTYPE);
    uint64_t imposter = fake_object(py, class, 128), value;
    fake_set(py, imposter, PY_STR_length, 3);
    uint64_t keys[] = {fake_int(py, 3),
                       fake_str_kind(py, wide, 3, 2, true),
                       imposter,
                       fake_str(py, "abd"),
                       fake_str(py, "abc"),
                       0x1000};
    uint64_t values[] = {16, 32, 48, 64, 80, 96};
    uint64_t dict = fake_dict_of(py, keys, values, 5);
    assert_item(py, dict, "abc", 80);
    assert_item(py, dict, "abd", 64);
    assert_item(py, dict, "abe", 0);
    // A key that cannot be read might be the one: absence is not claimed, presence is.
    dict = fake_dict_of(py, keys, values, 6);
    assert_item(py, dict, "abc", 80);
    assert_err(py_dict_get(py->dec, dict, "other", &value), ERR_FAULT, "not readable");
    assert_err(py_dict_get(py->dec, keys[4], "x", &value), ERR_BAD_DATA, "dict at");
}

static void test_mixed_keys(void **state)
{
    (void)state;
    fake_each_build(mixed_keys, 8 << 20);
}

// ---- Split tables -------------------------------------------------------------------------------

// The value array of a split dict, as ma_values points to it.
static uint64_t split_values(struct fake_python *py, const uint64_t *values, size_t count)
{
    bool has_head = py_layout_has(&py->dec->layout, PY_DV_values);
    uint32_t head = has_head ? fake_offset(py, PY_DV_values) : 0;
    uint64_t array = fake_alloc(&py->memory, head + 8 * count);
    fake_set(py, array, PY_DV_capacity, count);
    fake_set(py, array, PY_DV_valid, 1);
    fake_put(&py->memory, array + head, values, 8 * count);
    return array;
}

static uint64_t shared_keys(struct fake_python *py)
{
    uint64_t keys[] = {fake_str(py, "a"), fake_str(py, "b"), fake_str(py, "_name"),
                       fake_str(py, "d")};
    return fake_keys(py, FAKE_SPLIT, keys, NULL, 4, 3);
}

static void split(struct fake_python *py)
{
    // Two instances of one class; in the second, "b" is not set.
    static const uint64_t first[] = {16, 32, 48, 64}, second[] = {80, 0, 96, 112};
    uint64_t keys = shared_keys(py);
    uint64_t one = fake_dict(py, keys, split_values(py, first, 4));
    uint64_t two = fake_dict(py, keys, split_values(py, second, 4));
    assert_item(py, one, "a", 16);
    assert_item(py, one, "b", 32);
    assert_item(py, one, "d", 64);
    assert_item(py, two, "a", 80);
    assert_item(py, two, "b", 0);
    assert_item(py, two, "_name", 96);
    assert_item(py, two, "c", 0);
    uint64_t lost = fake_dict(py, keys, 0x1000), value;
    assert_err(py_dict_get(py->dec, lost, "a", &value), ERR_FAULT, "not readable");
}

static void test_split(void **state)
{
    (void)state;
    fake_each_build(split, 8 << 20);
}

// ---- Instances ----------------------------------------------------------------------------------

static void assert_attr(struct fake_python *py, uint64_t object, const char *name,
                        uint64_t expected)
{
    uint64_t value = 77;
    assert_ok(py_instance_attr(py->dec, object, name, &value));
    if (value != expected)
        fail_msg("3.%d: %s is 0x%llx, not 0x%llx", py->dec->layout.version & 255, name,
                 (unsigned long long)value, (unsigned long long)expected);
}

// __dict__ at tp_dictoffset: all versions.
static void plain_instance(struct fake_python *py)
{
    uint64_t class = fake_type(py, "Thread", TPFLAGS_HEAPTYPE), value;
    uint64_t key = fake_str(py, "_name"), content = 0x4440;
    uint64_t object = fake_object(py, class, 64);
    assert_attr(py, object, "_name", 0); // it has no __dict__
    fake_set(py, class, PY_TYPE_dictoffset, 40);
    assert_attr(py, object, "_name", 0); // none yet
    fake_put_u64(&py->memory, object + 40, fake_dict_of(py, &key, &content, 1));
    assert_attr(py, object, "_name", content);
    assert_attr(py, object, "_nome", 0);
    fake_set(py, class, PY_TYPE_dictoffset, (uint64_t)-8);
    assert_attr(py, object, "_name", 0);
    fake_set(py, class, PY_TYPE_dictoffset, 1 << 19);
    fake_put_u64(&py->memory, object + 40, 0);
    assert_err(py_instance_attr(py->dec, 0x1000, "_name", &value), ERR_FAULT, "not readable");
}

static void test_plain_instance(void **state)
{
    (void)state;
    fake_each_build(plain_instance, 8 << 20);
}

// 3.11+: values without a dict object; their place moved with every version.
static void put_inline(struct fake_python *py, uint64_t class, uint64_t object,
                       const uint64_t *values, size_t count)
{
    uint16_t version = py->dec->layout.version;
    fake_set(py, class, PY_HT_cached_keys, shared_keys(py));
    if (version == 0x030b) {
        fake_put_u64(&py->memory, object - 32, split_values(py, values, count));
    } else if (version == 0x030c) {
        fake_put_u64(&py->memory, object - 24, split_values(py, values, count) - 1);
    } else {
        // Behind the instance: PyDictValues {capacity, size, embedded, valid, values[]}.
        fake_set(py, class, PY_TYPE_basicsize, 48);
        fake_set(py, object + 48, PY_DV_capacity, count);
        fake_set(py, object + 48, PY_DV_valid, 1);
        fake_put(&py->memory, object + 48 + fake_offset(py, PY_DV_values), values, 8 * count);
    }
}

static void managed_instance(struct fake_python *py)
{
    uint16_t version = py->dec->layout.version;
    if (version < 0x030b)
        return;
    uint64_t flags =
        TPFLAGS_HEAPTYPE | TPFLAGS_MANAGED_DICT | (version >= 0x030d ? TPFLAGS_INLINE_VALUES : 0);
    static const uint64_t values[] = {16, 0, 48, 64};
    uint64_t class = fake_type(py, "Thread", flags), object = fake_object(py, class, 256);
    fake_set(py, class, PY_TYPE_dictoffset, (uint64_t)-1); // what managed classes say
    fake_set(py, class, PY_TYPE_basicsize, 48);
    assert_attr(py, object, "_name", 0);
    put_inline(py, class, object, values, 4);
    assert_attr(py, object, "a", 16);
    assert_attr(py, object, "b", 0); // not set
    assert_attr(py, object, "_name", 48);
    assert_attr(py, object, "nothing", 0);
    // Values that lost their keys.
    uint64_t keys;
    memcpy(&keys, fake_at(&py->memory, class + fake_offset(py, PY_HT_cached_keys)), 8);
    fake_set(py, class, PY_HT_cached_keys, 0);
    assert_attr(py, object, "a", 0);
    fake_set(py, class, PY_HT_cached_keys, keys);
    if (version >= 0x030d) {
        fake_set(py, object + 48, PY_DV_valid, 0); // the dict took them, or they are gone
        assert_attr(py, object, "a", 0);
        fake_set(py, object + 48, PY_DV_valid, 1);
        uint64_t bare = fake_type(py, "Bare", flags & ~(uint64_t)TPFLAGS_INLINE_VALUES);
        fake_set(py, object, PY_OB_type, bare);
        assert_attr(py, object, "a", 0);
        fake_set(py, object, PY_OB_type, class);
        fake_set(py, class, PY_TYPE_basicsize, UINT64_MAX);
        uint64_t value;
        assert_err(py_instance_attr(py->dec, object, "a", &value), ERR_BAD_DATA, "type of");
        fake_set(py, class, PY_TYPE_basicsize, 48);
    }
    // As soon as there is a dict, it counts.
    uint64_t key = fake_str(py, "a"), content = 0x990;
    bool free_threaded = py->dec->layout.build & PY_BUILD_FREE_THREADED;
    fake_put_u64(&py->memory, object - (free_threaded ? 8 : 24),
                 fake_dict_of(py, &key, &content, 1));
    assert_attr(py, object, "a", 0x990);
    assert_attr(py, object, "_name", 0);
}

static void test_managed_instance(void **state)
{
    (void)state;
    fake_each_build(managed_instance, 8 << 20);
}

// ---- Damage -------------------------------------------------------------------------------------

static void damaged(struct fake_python *py)
{
    uint64_t key = fake_str(py, "k"), content = 16, value;
    static const uint64_t counts[] = {UINT64_MAX, 1ull << 63, 9, LIMIT_DICT_ENTRIES + 1};
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        uint64_t keys = fake_keys(py, FAKE_GENERAL, &key, &content, 1, 3);
        fake_set(py, keys, PY_DK_nentries, counts[i]);
        assert_err(py_dict_get(py->dec, fake_dict(py, keys, 0), "k", &value), ERR_BAD_DATA,
                   "damaged dict keys");
        // Room for as many is claimed, too.
        fake_set(py, keys, PY_DK_size, 1ull << 40);
        fake_set(py, keys, PY_DK_log2_size, 40);
        if (counts[i] == LIMIT_DICT_ENTRIES + 1)
            assert_err(py_dict_get(py->dec, fake_dict(py, keys, 0), "k", &value), ERR_LIMIT,
                       "entries");
        fake_set(py, keys, PY_DK_size, UINT64_MAX);
        fake_set(py, keys, PY_DK_log2_size, 255);
        assert_err(py_dict_get(py->dec, fake_dict(py, keys, 0), "k", &value), ERR_BAD_DATA,
                   "damaged dict keys");
    }
    if (modern(py)) {
        uint64_t keys = fake_keys(py, FAKE_GENERAL, &key, &content, 1, 3);
        fake_set(py, keys, PY_DK_kind, 3);
        assert_err(py_dict_get(py->dec, fake_dict(py, keys, 0), "k", &value), ERR_BAD_DATA,
                   "damaged dict keys");
        fake_set(py, keys, PY_DK_kind, 0);
        fake_set(py, keys, PY_DK_log2_index_bytes, 60);
        assert_err(py_dict_get(py->dec, fake_dict(py, keys, 0), "k", &value), ERR_BAD_DATA,
                   "damaged dict keys");
    }
    assert_err(py_dict_get(py->dec, fake_dict(py, 0, 0), "k", &value), ERR_FAULT, "DK.");
    // Entries of which only a part is there.
    uint64_t keys = fake_keys(py, FAKE_GENERAL, &key, &content, 1, 3);
    uint64_t entries = keys + fake_offset(py, PY_DK_indices) + 8;
    fake_hide(&py->memory, entries + 16, entries + 24);
    assert_err(py_dict_get(py->dec, fake_dict(py, keys, 0), "k", &value), ERR_FAULT, "8 bytes at");
}

static void test_damaged(void **state)
{
    (void)state;
    fake_each_build(damaged, 8 << 20);
}

static void modules(struct fake_python *py)
{
    uint64_t module = fake_object(py, py->module, 96), found;
    uint64_t dict = fake_dict_of(py, NULL, NULL, 0);
    fake_set(py, module, PY_MODULE_dict, dict);
    assert_ok(py_module_dict(py->dec, module, &found));
    assert_int_equal(found, dict);
    assert_err(py_module_dict(py->dec, dict, &found), ERR_BAD_DATA, "module at");
}

static void test_module(void **state)
{
    (void)state;
    fake_each_build(modules, 8 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_combined),
        cmocka_unit_test(test_mixed_keys),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_plain_instance),
        cmocka_unit_test(test_managed_instance),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
