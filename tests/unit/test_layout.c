// SPDX-License-Identifier: GPL-3.0-or-later
// The layout tables (version, patch and build selection, reading fields) and the import of
// _Py_DebugOffsets, good and hostile. The positions of its members are written out here, from
// CPython's headers, so that they check debug_offsets.def instead of repeating it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpython/layout.h"
#include "util/guard.h"

#define BASE 0x7f0000001000u

static unsigned char bytes[2048];

static size_t read_bytes(void *arg, uint64_t addr, void *buffer, size_t size)
{
    (void)arg;
    memcpy(buffer, bytes + (addr - BASE), size);
    return size;
}

static size_t read_zeros(void *arg, uint64_t addr, void *buffer, size_t size)
{
    (void)arg, (void)addr;
    memset(buffer, 0, size);
    return size;
}

static struct mem *memory(size_t size)
{
    struct mem *mem = mem_create();
    assert_non_null(mem);
    assert_null(mem_add(mem, BASE, BASE + size, MEM_CORE, read_bytes, NULL, false));
    return mem;
}

static void put(size_t position, uint64_t value)
{
    memcpy(bytes + position, &value, sizeof(value));
}

static struct py_layout layout_of(uint16_t version, uint8_t patch, uint8_t build)
{
    struct py_layout layout;
    struct err *err = py_layout_static(version, patch, build, &layout);
    if (err)
        fail_msg("%s", err_message(err));
    return layout;
}

// Consumes the error.
static void assert_err(struct err *err, enum err_code code, const char *part)
{
    assert_non_null(err);
    if (err_code(err) != code || !strstr(err_message(err), part))
        fail_msg("'%s' (code %d) should have said '%s' (code %d)", err_message(err),
                 (int)err_code(err), part, (int)code);
    err_destroy(err);
}

static void assert_ok(struct err *err)
{
    if (err)
        fail_msg("%s", err_message(err));
}

// --- The static tables.

static void test_versions(void **state)
{
    (void)state;
    size_t count;
    const uint16_t *versions = py_layout_versions(&count);
    assert_int_equal(count, 10);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(versions[i], 0x0306 + i);
        struct py_layout layout = layout_of(versions[i], 0, PY_BUILD_RELEASE);
        assert_int_equal(layout.version, versions[i]);
        assert_true(py_layout_has(&layout, PY_TS_thread_id));
        assert_true(py_layout_has(&layout, PY_CO_linetable));
        assert_true(py_layout_has(&layout, PY_TUPLE_items));
    }
}

static void test_unknown_versions(void **state)
{
    (void)state;
    static const struct {
        uint16_t version;
        const char *name;
    } unknown[] = {{0x0207, "2.7"}, {0x0305, "3.5"}, {0x0310, "3.16"}, {0x0406, "4.6"}, {0, "0.0"}};
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        struct py_layout layout = {.version = 1};
        struct err *err = py_layout_static(unknown[i].version, 0, PY_BUILD_RELEASE, &layout);
        assert_non_null(err);
        assert_non_null(strstr(err_message(err), "3.6, 3.7"));
        assert_non_null(strstr(err_message(err), "3.15)"));
        assert_int_equal(layout.version, 1);
        assert_err(err, ERR_UNSUPPORTED, unknown[i].name);
    }
}

static void test_patch_releases(void **state)
{
    (void)state;
    static const struct {
        uint16_t version;
        uint8_t patch;
        enum py_field_id field;
        uint32_t offset;
    } cases[] = {
        {0x0307, 3, PY_RT_tstate_current, 1392}, {0x0307, 4, PY_RT_tstate_current, 1480},
        {0x030d, 0, PY_TS_size, 304},            {0x030d, 12, PY_TS_size, 304},
        {0x030d, 13, PY_TS_size, 312},           {0x030d, 255, PY_TS_size, 312},
        {0x030e, 3, PY_TS_size, 824},            {0x030e, 4, PY_TS_size, 832},
        {0x030e, 4, PY_IS_modules, 7664},        {0x030e, 5, PY_IS_modules, 7688},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct py_layout layout = layout_of(cases[i].version, cases[i].patch, PY_BUILD_RELEASE);
        assert_int_equal(py_offset(&layout, cases[i].field), cases[i].offset);
        assert_int_equal(layout.patch, cases[i].patch);
    }
}

static void test_builds(void **state)
{
    (void)state;
    const uint8_t debug = PY_BUILD_DEBUG, traced = PY_BUILD_DEBUG | PY_BUILD_TRACE_REFS;
    const uint8_t ft = PY_BUILD_FREE_THREADED;
    static const struct {
        uint16_t version;
        uint8_t build;
        uint32_t ob_type;
    } cases[] = {
        {0x0307, PY_BUILD_RELEASE, 8}, {0x0307, debug, 24}, {0x0308, debug, 8},
        {0x0308, traced, 24},          {0x030c, traced, 24}, {0x030c, PY_BUILD_TRACE_REFS, 24},
        {0x030d, traced, 8},           {0x030d, ft, 24},     {0x030f, ft | debug, 24},
        {0x030f, debug, 8},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct py_layout layout = layout_of(cases[i].version, 1, cases[i].build);
        assert_int_equal(py_offset(&layout, PY_OB_type), cases[i].ob_type);
    }
    // What follows from the build is part of the layout.
    struct py_layout layout = layout_of(0x0306, 0, debug);
    assert_true(layout.build & PY_BUILD_TRACE_REFS);
    layout = layout_of(0x030d, 0, PY_BUILD_RELEASE);
    assert_false(py_layout_has(&layout, PY_GIL_enabled));
    layout = layout_of(0x030d, 0, ft);
    assert_int_equal(py_offset(&layout, PY_GIL_enabled), 0);
    assert_int_equal(py_offset(&layout, PY_GIL_locked), 24);
    assert_err(py_layout_static(0x030c, 0, ft, &layout), ERR_UNSUPPORTED, "3.12");
}

// Rows of a field stand together, with rising patch releases: the loader takes the last that fits.
static void test_row_order(void **state)
{
    (void)state;
    static const struct {
        int version, patch, field;
    } rows[] = {
#define VERSION(major, minor) {(major) << 8 | (minor), -1, -1},
#define ROW_SINCE(patch, group, name, offset, big, upstream) {0, patch, PY_##group##_##name},
#define ROW(group, name, offset, big, upstream) {0, -1, PY_##group##_##name},
#include "cpython/versions.def"
#undef VERSION
#undef ROW
#undef ROW_SINCE
    };
    int field = -1, patch = -1;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].field == field && !rows[i].version)
            assert_true(rows[i].patch > patch);
        else if (!rows[i].version)
            assert_true(rows[i].field > field && rows[i].patch < 0);
        field = rows[i].field;
        patch = rows[i].patch;
    }
}

// --- Reading fields.

static void test_read(void **state)
{
    (void)state;
    struct py_layout layout = layout_of(0x030c, 1, PY_BUILD_RELEASE);
    struct mem *mem = memory(128);
    memset(bytes, 0, sizeof(bytes));
    put(0, 0x1122334455667788);      // IF.code, at the offset 0
    put(64, 0xffff03ffeeddccbb);     // IF.stacktop (4), return_offset (2), owner (1), 1
    uint64_t value = 0;
    assert_ok(py_read(mem, &layout, BASE, PY_IF_code, &value));
    assert_int_equal(value, 0x1122334455667788);
    assert_ok(py_read(mem, &layout, BASE, PY_IF_stacktop, &value));
    assert_int_equal(value, 0xeeddccbb);
    assert_ok(py_read(mem, &layout, BASE, PY_IF_owner, &value));
    assert_int_equal(value, 0xff);

    assert_err(py_read(mem, &layout, BASE + 120, PY_IF_owner, &value), ERR_FAULT, "IF.owner");
    // Around the end of the address space, to where there would be bytes.
    assert_null(mem_add(mem, 0, 64, MEM_CORE, read_zeros, NULL, false));
    assert_err(py_read(mem, &layout, UINT64_MAX - 3, PY_IF_previous, &value), ERR_FAULT,
               "IF.previous");
    mem_destroy(mem);
}

static void test_absent_field(void **state)
{
    (void)state;
    struct py_layout layout = layout_of(0x030a, 13, PY_BUILD_RELEASE);
    struct mem *mem = memory(128);
    uint64_t value = 42;
    assert_false(py_layout_has(&layout, PY_IF_owner));
    assert_false(py_layout_has(&layout, PY_FIELD_COUNT));
    assert_err(py_read(mem, &layout, BASE, PY_IF_owner, &value), ERR_UNSUPPORTED,
               "3.10 has no IF.owner");
    assert_false(py_pick(&layout, bytes, sizeof(bytes), PY_IF_owner, &value));
    assert_int_equal(value, 42);
    mem_destroy(mem);
}

static void test_pick(void **state)
{
    (void)state;
    struct py_layout layout = layout_of(0x030c, 1, PY_BUILD_RELEASE);
    const unsigned char frame[72] = {[8] = 0x10, [15] = 0x7f, [70] = 3, [71] = 9};
    uint64_t value = 0;
    assert_true(py_pick(&layout, frame, sizeof(frame), PY_IF_previous, &value));
    assert_int_equal(value, 0x7f00000000000010);
    assert_true(py_pick(&layout, frame, sizeof(frame), PY_IF_owner, &value));
    assert_int_equal(value, 3);
    value = 42;
    assert_true(py_pick(&layout, frame, 71, PY_IF_owner, &value));
    assert_false(py_pick(&layout, frame, 70, PY_IF_owner, &value));
    assert_false(py_pick(&layout, frame, 15, PY_IF_previous, &value));
    assert_false(py_pick(&layout, frame, 0, PY_IF_code, &value));
    assert_false(py_pick(&layout, frame, sizeof(frame), PY_IF_localsplus, &value)); // embedded
    assert_int_equal(value, 3);
}

// --- _Py_DebugOffsets.

// Where the `size` members are; the struct's own size comes last.
static const uint16_t sizes_313[] = {24,  48,  152, 224, 272, 352, 368, 400,
                                     424, 448, 472, 488, 512, 536, 568, 584};
static const uint16_t sizes_315[] = {24,  48,  176, 312, 376, 464, 480, 528, 544, 568,
                                     592, 624, 648, 664, 688, 712, 752, 792, 888};

static size_t fake_offsets(uint16_t version, uint32_t hexversion, bool free_threaded)
{
    const uint16_t *sizes = version == 0x030d ? sizes_313 : sizes_315;
    size_t count = version == 0x030d ? ARRAY_SIZE(sizes_313) : ARRAY_SIZE(sizes_315);
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, "xdebugpy", 8);
    put(8, hexversion);
    put(16, free_threaded);
    for (size_t i = 0; i + 1 < count; i++)
        put(sizes[i], 4096);
    put(48, 300000);
    return sizes[count - 1];
}

static void test_head(void **state)
{
    (void)state;
    struct mem *mem = memory(sizeof(bytes));
    uint32_t hexversion = 0;
    bool free_threaded = false;
    fake_offsets(0x030d, 0x030d12f0, true);
    assert_ok(py_debug_offsets_head(mem, BASE, &hexversion, &free_threaded));
    assert_int_equal(hexversion, 0x030d12f0);
    assert_true(free_threaded);
    put(16, 2);
    assert_err(py_debug_offsets_head(mem, BASE, &hexversion, &free_threaded), ERR_BAD_DATA,
               "free_threaded");
    put(16, 0);
    put(8, 0x1000000000);
    assert_err(py_debug_offsets_head(mem, BASE, &hexversion, &free_threaded), ERR_BAD_DATA,
               "version");
    bytes[7] = 'Y';
    assert_err(py_debug_offsets_head(mem, BASE, &hexversion, &free_threaded), ERR_BAD_DATA,
               "cookie");
    assert_err(py_debug_offsets_head(mem, BASE - 8, &hexversion, &free_threaded), ERR_FAULT,
               "_Py_DebugOffsets");
    mem_destroy(mem);
}

static void test_import(void **state)
{
    (void)state;
    struct py_layout layout = layout_of(0x030d, 1, PY_BUILD_RELEASE);
    struct mem *mem = memory(fake_offsets(0x030d, 0x030d01f0, false));
    put(152, 320);                              // thread_state.size
    put(168, 80);                               // thread_state.next
    put(72, 7400);                              // interpreter_state.threads_head
    put(80, 6000), put(576, 300);               // interpreter_state.gc, gc.collecting
    put(120, 9000), put(136, 9020), put(144, 9024); // _gil, _gil.locked, _gil.last_holder
    put(264, 71);                               // interpreter_frame.owner
    put(560, 44);                               // unicode_object.asciiobject_size
    assert_ok(py_layout_import(mem, BASE, &layout));
    assert_int_equal(py_offset(&layout, PY_TS_size), 320);
    assert_int_equal(py_offset(&layout, PY_TS_next), 80);
    assert_int_equal(py_offset(&layout, PY_IS_threads_head), 7400);
    assert_int_equal(py_offset(&layout, PY_IS_gc_collecting), 6300);
    assert_int_equal(py_offset(&layout, PY_GIL_locked), 20);
    assert_int_equal(py_offset(&layout, PY_GIL_last_holder), 24);
    assert_int_equal(py_offset(&layout, PY_IF_owner), 71);
    assert_int_equal(layout.fields[PY_IF_owner].width, 1);
    assert_int_equal(py_offset(&layout, PY_STR_ascii_data), 44);
    // Zeros left these, and the struct says nothing about those.
    assert_int_equal(py_offset(&layout, PY_TS_thread_id), 152);
    assert_int_equal(py_offset(&layout, PY_IF_code), 0);
    assert_int_equal(py_offset(&layout, PY_DV_values), 8);
    assert_false(py_layout_has(&layout, PY_IF_tlbc_index));
    mem_destroy(mem);
}

static void test_import_newer(void **state)
{
    (void)state;
    struct py_layout layout = layout_of(0x030f, 0, PY_BUILD_FREE_THREADED);
    struct mem *mem = memory(fake_offsets(0x030f, 0x030f00c2, true));
    put(216, 96);  // thread_state.base_frame
    put(280, 48);  // thread_state.gil_requested
    put(368, 100); // interpreter_frame.tlbc_index
    put(536, 888); // heap_type_object.ht_cached_keys
    put(744, 80);  // unicode_object.compactunicodeobject_size
    put(808, 120); // gen_object.gi_iframe
    assert_ok(py_layout_import(mem, BASE, &layout));
    assert_int_equal(py_offset(&layout, PY_TS_base_frame), 96);
    assert_int_equal(py_offset(&layout, PY_TS_gil_requested), 48);
    assert_int_equal(py_offset(&layout, PY_IF_tlbc_index), 100);
    assert_int_equal(py_offset(&layout, PY_HT_cached_keys), 888);
    assert_int_equal(py_offset(&layout, PY_STR_compact_data), 80);
    assert_int_equal(py_offset(&layout, PY_GEN_iframe), 120);
    mem_destroy(mem);
}

static void test_hostile_values(void **state)
{
    (void)state;
    static const struct {
        uint16_t position;
        uint64_t value;
        const char *name;
    } cases[] = {
        {24, 0, "runtime_state.size"},
        {24, (1u << 20) + 1, "runtime_state.size"},
        {568, UINT64_MAX, "gc.size"},
        {168, 4092, "thread_state.next"},                 // its last byte is outside
        {168, UINT64_MAX - 7, "thread_state.next"},
        {168, 0x100000008, "thread_state.next"},          // 8 when cut to 32 bits
        {168, 12, "thread_state.next"},                   // not aligned
        {192, 161, "thread_state.thread_id"},
        {312, 66, "code_object.firstlineno"},             // four bytes wide
        {264, 4096, "interpreter_frame.owner"},
        {256, 4100, "interpreter_frame.localsplus"},
        {344, 202, "code_object.co_code_adaptive"},
        {560, 5000, "unicode_object.asciiobject_size"},
        {80, 299999, "interpreter_state.gc"},             // with gc.collecting: outside
        {80, UINT64_MAX - 135, "interpreter_state.gc"},   // with gc.collecting: 64
        {576, 5000, "gc.collecting"},
        {576, 201, "gc.collecting"},
        {136, 8992, "gil_runtime_state_locked"},          // before the GIL
        {136, 9000 + 208, "gil_runtime_state_locked"},    // behind it
        {144, 9004, "gil_runtime_state_holder"},
        {16, 1, "free_threaded"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct py_layout layout = layout_of(0x030d, 1, PY_BUILD_RELEASE), before = layout;
        struct mem *mem = memory(fake_offsets(0x030d, 0x030d01f0, false));
        put(64, 80), put(72, 88); // good ones, imported first: must be undone
        put(80, 6000), put(576, 200);
        put(120, 9000), put(136, 9016), put(144, 9008);
        put(cases[i].position, cases[i].value);
        assert_err(py_layout_import(mem, BASE, &layout), ERR_BAD_DATA, cases[i].name);
        assert_memory_equal(&layout, &before, sizeof(layout));
        mem_destroy(mem);
    }
}

static void test_import_refused(void **state)
{
    (void)state;
    struct py_layout layout = layout_of(0x030d, 1, PY_BUILD_RELEASE), before = layout;
    size_t size = fake_offsets(0x030d, 0x030d01f0, false);
    put(64, 80);
    for (size_t cut = 1; cut <= size; cut += 61) { // truncated
        struct mem *mem = memory(size - cut);
        assert_err(py_layout_import(mem, BASE, &layout), ERR_FAULT, "_Py_DebugOffsets");
        mem_destroy(mem);
    }
    struct mem *mem = memory(size);
    bytes[0] = 'X';
    assert_err(py_layout_import(mem, BASE, &layout), ERR_BAD_DATA, "cookie");
    fake_offsets(0x030d, 0x030e01f0, false);
    assert_err(py_layout_import(mem, BASE, &layout), ERR_BAD_DATA, "version");
    fake_offsets(0x030d, 0x030d00b4, false); // 3.13.0b4
    put(64, 80);
    assert_err(py_layout_import(mem, BASE, &layout), ERR_UNSUPPORTED, "pre-release");
    assert_memory_equal(&layout, &before, sizeof(layout));
    layout = layout_of(0x030c, 1, PY_BUILD_RELEASE);
    fake_offsets(0x030d, 0x030c01f0, false);
    assert_err(py_layout_import(mem, BASE, &layout), ERR_UNSUPPORTED, "3.12");
    mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),       cmocka_unit_test(test_unknown_versions),
        cmocka_unit_test(test_patch_releases), cmocka_unit_test(test_builds),
        cmocka_unit_test(test_row_order),      cmocka_unit_test(test_read),
        cmocka_unit_test(test_absent_field),   cmocka_unit_test(test_pick),
        cmocka_unit_test(test_head),           cmocka_unit_test(test_import),
        cmocka_unit_test(test_import_newer),   cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_import_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
