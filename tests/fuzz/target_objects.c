// SPDX-License-Identifier: GPL-3.0-or-later
// Strings, numbers, tuples and dicts of each kind. Input: which Python, then changes.
#include "cpython/repr.h"
#include "kept_python.h"
#include "util/limits.h"

static const uint16_t versions[] = {0x0306, 0x0308, 0x030a, 0x030b, 0x030c, 0x030d, 0x030e, 0x030f};

#define MAX_OBJECTS 64

static struct whole {
    struct kept_python kept;
    uint64_t objects[MAX_OBJECTS];
    size_t count;
} wholes[ARRAY_SIZE(versions)];

static void keep(struct whole *whole, uint64_t object)
{
    FUZZ_CHECK(whole->count < MAX_OBJECTS);
    whole->objects[whole->count++] = object;
}

static uint64_t put_object(struct whole *whole, const char *type, size_t size)
{
    struct fake_python *py = &whole->kept.py;
    uint64_t object = fake_object(py, fake_type(py, type, 0), size);
    keep(whole, object);
    return object;
}

// Of the types that only repr() knows, each with `items` in it.
static void make_containers(struct whole *whole, const uint64_t items[static 8])
{
    struct fake_python *py = &whole->kept.py;
    uint64_t list = put_object(whole, "list", 64), set = put_object(whole, "set", 128),
             table = fake_object(py, 0, 8 * 16), array = fake_object(py, 0, 64);
    for (size_t i = 0; i < 8; i++) {
        fake_put_u64(&py->memory, array + 8 * i, items[i]);
        fake_put_u64(&py->memory, table + 16 * i, items[i]);
    }
    fake_put_u64(&py->memory, array + 56, list); // in itself
    fake_set(py, list, PY_LIST_size, 8);
    fake_set(py, list, PY_LIST_allocated, 8);
    fake_set(py, list, PY_LIST_items, array);
    fake_set(py, set, PY_SET_used, 8);
    fake_set(py, set, PY_SET_mask, 7);
    fake_set(py, set, PY_SET_table, table);
    fake_set(py, put_object(whole, "float", 32), PY_FLOAT_value, 0x3ff8000000000000);
    put_object(whole, "complex", 48);
    put_object(whole, "bytearray", 64);
    put_object(whole, "slice", 48);
    put_object(whole, "cell", 32);
    put_object(whole, "function", 160);
    put_object(whole, "generator", 160);
    put_object(whole, "collections.deque", 160);
    put_object(whole, "collections.OrderedDict", 160);
    put_object(whole, "decimal.Decimal", 128);
    put_object(whole, "datetime.datetime", 64);
    put_object(whole, "numpy.ndarray", 128);
}

static void make_whole(struct whole *whole, uint16_t version)
{
    static const uint16_t narrow[] = {0x20ac, 'x', 0xd800, 0xffff};
    static const uint32_t wide[] = {0x1f40d, 'y', 0x10ffff, 0xd9ab};
    struct fake_python *py = &whole->kept.py;
    uint64_t keys[8], values[8];
    fake_python_init(py, version, PY_BUILD_RELEASE, 192 << 10);
    for (size_t i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof(name), "key%zu", i);
        keys[i] = fake_str(py, name);
        values[i] = fake_int(py, ((int64_t)1 << (8 * i % 62)) * (i % 2 ? -1 : 1));
        keep(whole, values[i]);
    }
    keep(whole, fake_str(py, "ascii"));
    keep(whole, fake_str_kind(py, "\xe9\xff", 2, 1, true));
    keep(whole, fake_str_kind(py, narrow, 4, 2, true));
    keep(whole, fake_str_kind(py, wide, 4, 4, false));
    keep(whole, fake_bytes(py, "bytes\0\xff", 7));
    keep(whole, fake_tuple(py, keys, 8));
    keep(whole, fake_dict_of(py, keys, values, 8));
    keep(whole, fake_dict(py, fake_keys(py, FAKE_GENERAL, keys, values, 5, 4), 0));
    if (version >= 0x030b)
        keep(whole, fake_dict(py, fake_keys(py, FAKE_UNICODE, keys, values, 8, 4), 0));
    // An instance whose attributes lie in a dict of its own.
    uint64_t class = fake_type(py, "Thing", 1u << 9), offset = 16 + fake_offset(py, PY_OB_type);
    fake_set(py, class, PY_TYPE_dictoffset, offset);
    uint64_t instance = fake_object(py, class, 64);
    fake_put_u64(&py->memory, instance + offset, fake_dict_of(py, keys, values, 3));
    keep(whole, instance);
    uint64_t module = fake_object(py, py->module, 96);
    fake_set(py, module, PY_MODULE_dict, fake_dict_of(py, keys, values, 2));
    keep(whole, module);
    make_containers(whole, keys);
    kept_python_keep(&whole->kept);
}

__attribute__((destructor)) static void free_wholes(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(wholes); i++)
        kept_python_free(&wholes[i].kept);
}

static bool count_pair(void *arg, uint64_t key, uint64_t value)
{
    (void)key, (void)value;
    return ++*(size_t *)arg < LIMIT_DICT_ENTRIES * 2;
}

static void read_object(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info info;
    char *text = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0, pairs = 0;
    int64_t number;
    uint64_t found;
    uint32_t id;
    err_destroy(py_type_of(dec, object, &info));
    err_destroy(py_str(dec, object, &text, &size));
    FUZZ_CHECK(!text || (strlen(text) <= size && size <= LIMIT_STRING_CHARS * 4 + 4));
    free(text);
    err_destroy(py_str_id(dec, object, &id));
    err_destroy(py_bytes(dec, object, 4096, &bytes, &size));
    FUZZ_CHECK(!bytes || size <= 4096);
    free(bytes);
    err_destroy(py_int(dec, object, &number));
    for (size_t i = 0; i < 10; i++)
        err_destroy(py_tuple_item(dec, object, i, &found));
    err_destroy(py_dict_walk(dec, object, count_pair, &pairs));
    FUZZ_CHECK(pairs <= LIMIT_DICT_ENTRIES);
    err_destroy(py_dict_get(dec, object, "key2", &found));
    err_destroy(py_instance_attr(dec, object, "key1", &found));
    err_destroy(py_module_dict(dec, object, &found));
}

static void write_object(struct py_decoder *dec, uint64_t object)
{
    struct py_repr repr;
    const struct py_repr_options *options = &py_repr_defaults;
    err_destroy(py_repr(dec, object, "value", 5, options, &repr));
    FUZZ_CHECK(repr.text && strlen(repr.text) <= repr.size);
    FUZZ_CHECK(repr.size <= options->text_bytes + 3);
    py_repr_deinit(&repr);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    size_t which = fuzz_take(&in, 1) % ARRAY_SIZE(versions);
    struct whole *whole = &wholes[which];
    if (!whole->kept.bytes)
        make_whole(whole, versions[which]);
    struct fake_python *py = &whole->kept.py;
    kept_python_change(&whole->kept, &in);
    for (size_t i = 0; i < whole->count; i++)
        read_object(py->dec, whole->objects[i]), write_object(py->dec, whole->objects[i]);
}

static void seeds(void)
{
    for (uint8_t i = 0; i < ARRAY_SIZE(versions); i++)
        fuzz_seed_changes(&i, 1, 8);
}

FUZZ_TARGET(objects, run, seeds, 15000)
