// SPDX-License-Identifier: GPL-3.0-or-later
// The import of _Py_DebugOffsets. Input: build bits, then the struct.
#include "cpython/layout.h"
#include "fake_offsets.h"
#include "fuzz.h"

static struct fuzz_region region = {.addr = FAKE_BASE, .writable = true};

static void check(const struct py_layout *before, const struct py_layout *after, bool taken)
{
    for (size_t i = 0; i < PY_FIELD_COUNT; i++) {
        const struct py_field *field = &after->fields[i];
        // Structs have at most 1 MiB, fields lie within them and are aligned.
        FUZZ_CHECK(field->offset_plus_1 <= (1u << 20) + 1);
        FUZZ_CHECK(taken || field->offset_plus_1 == before->fields[i].offset_plus_1);
        if (field->offset_plus_1 != before->fields[i].offset_plus_1 && field->width)
            FUZZ_CHECK((field->offset_plus_1 - 1) % field->width == 0);
    }
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    uint8_t build = (uint8_t)(fuzz_take(&in, 1) % 8);
    if (!in.size)
        return;
    region.bytes = in.data;
    region.size = in.size;
    struct target *target = fuzz_scene(&region, 1);
    uint32_t hexversion;
    bool free_threaded;
    err_destroy(py_debug_offsets_head(target->mem, FAKE_BASE, &hexversion, &free_threaded));
    for (uint16_t version = 0x030c; version <= 0x0310; version++) {
        struct py_layout before, after;
        AUTO_ERR struct err *none = py_layout_static(version, 0, build, &before);
        if (none)
            continue;
        after = before;
        AUTO_ERR struct err *err = py_layout_import(target->mem, FAKE_BASE, &after);
        check(&before, &after, !err);
    }
    target_destroy(target);
}

static void seeds(void)
{
    for (uint16_t version = 0x030d; version <= 0x030f; version++) {
        uint8_t seed[1 + FAKE_OFFSETS_BYTES] = {PY_BUILD_RELEASE};
        struct py_layout layout;
        FUZZ_CHECK(!py_layout_static(version, 0, PY_BUILD_RELEASE, &layout));
        size_t size = fake_offsets(&layout, (uint32_t)version << 16 | 0xf0, seed + 1);
        fuzz_seed(seed, 1 + size);
    }
}

FUZZ_TARGET(offsets, run, seeds, 10000)
