// SPDX-License-Identifier: GPL-3.0-or-later
// The static layout tables and reading a field by its id. The tables are versions.def and
// layouts/cp3XX.def; what _Py_DebugOffsets adds to them is debug_offsets.c.
#include "cpython/layout.h"

#include <assert.h>
#include <string.h>

#include "util/guard.h"

enum { NO = -1 }; // in the tables: that build has no such field

enum column {
    COLUMN_PLAIN,
    COLUMN_BIG_HEAD, // Py_TRACE_REFS up to 3.12, free-threaded from 3.13 on
    COLUMN_COUNT
};

// A row without a field opens the rows of `version`.
struct row {
    uint16_t version;
    uint16_t field;
    uint8_t first_patch;
    uint32_t offset_plus_1[COLUMN_COUNT];
};

static const struct row rows[] = {
#define VERSION(major, minor) {(major) << 8 | (minor), PY_FIELD_COUNT, 0, {0, 0}},
#define ROW_SINCE(patch, group, name, offset, big, upstream) \
    {0, PY_##group##_##name, patch, {(uint32_t)((offset) + 1), (uint32_t)((big) + 1)}},
#define ROW(group, name, offset, big, upstream) ROW_SINCE(0, group, name, offset, big, upstream)
#include "cpython/versions.def"
#undef VERSION
#undef ROW
#undef ROW_SINCE
};

static const uint16_t versions[] = {
#define VERSION(major, minor) (major) << 8 | (minor),
#define ROW_SINCE(patch, group, name, offset, big, upstream)
#define ROW(group, name, offset, big, upstream)
#include "cpython/versions.def"
#undef VERSION
#undef ROW
#undef ROW_SINCE
};

static const struct {
    const char *name;
    uint8_t width;
} field_info[PY_FIELD_COUNT] = {
#define FIELD(group, name, width, comment) {#group "." #name, width},
#include "cpython/layout_fields.def"
#undef FIELD
};

const uint16_t *py_layout_versions(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(versions);
    return versions;
}

const char *py_field_name(enum py_field_id field)
{
    return field < PY_FIELD_COUNT ? field_info[field].name : "?";
}

static struct err *unknown_version(uint16_t version)
{
    char list[ARRAY_SIZE(versions) * 8 + 1] = "";
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%d.%d", i ? ", " : "",
                                 versions[i] >> 8, versions[i] & 0xff);
    return err_create(ERR_UNSUPPORTED, "no layout table for CPython %d.%d (there are: %s)",
                      version >> 8, version & 0xff, list);
}

struct err *py_layout_static(uint16_t version, uint8_t patch, uint8_t build, struct py_layout *ret)
{
    size_t row = 0;
    while (row < ARRAY_SIZE(rows) &&
           (rows[row].field != PY_FIELD_COUNT || rows[row].version != version))
        row++;
    if (row == ARRAY_SIZE(rows))
        return unknown_version(version);
    if (build & PY_BUILD_FREE_THREADED && version < 0x030d)
        return err_create(ERR_UNSUPPORTED, "CPython %d.%d has no free-threaded build", version >> 8,
                          version & 0xff);
    // Include/object.h up to 3.7: "Py_DEBUG implies Py_TRACE_REFS".
    if (build & PY_BUILD_DEBUG && version < 0x0308)
        build |= PY_BUILD_TRACE_REFS;
    // From 3.13 on traced objects are found through a hash table; their heads stay as they are.
    bool big = version < 0x030d ? build & PY_BUILD_TRACE_REFS : build & PY_BUILD_FREE_THREADED;
    enum column column = big ? COLUMN_BIG_HEAD : COLUMN_PLAIN;

    *ret = (struct py_layout){.version = version, .patch = patch, .build = build};
    for (row++; row < ARRAY_SIZE(rows) && rows[row].field != PY_FIELD_COUNT; row++) {
        if (rows[row].first_patch > patch)
            continue;
        struct py_field *field = &ret->fields[rows[row].field];
        field->offset_plus_1 = rows[row].offset_plus_1[column];
        field->width = field_info[rows[row].field].width;
    }
    return NULL;
}

bool py_layout_has(const struct py_layout *layout, enum py_field_id field)
{
    return field < PY_FIELD_COUNT && layout->fields[field].offset_plus_1;
}

uint32_t py_offset(const struct py_layout *layout, enum py_field_id field)
{
    assert(py_layout_has(layout, field));
    return layout->fields[field].offset_plus_1 - 1;
}

static uint64_t load(const void *bytes, uint8_t width)
{
    uint64_t value = 0;
    memcpy(&value, bytes, width); // all targets so far are little-endian
    return value;
}

struct err *py_read(struct mem *mem, const struct py_layout *layout, uint64_t base,
                    enum py_field_id field, uint64_t *ret)
{
    if (!py_layout_has(layout, field))
        return err_create(ERR_UNSUPPORTED, "CPython %d.%d has no %s", layout->version >> 8,
                          layout->version & 0xff, py_field_name(field));
    uint8_t width = layout->fields[field].width;
    assert(width); // embedded: only its address is meant
    uint64_t addr, bytes = 0;
    if (__builtin_add_overflow(base, py_offset(layout, field), &addr))
        return err_wrap(err_fault(base, width), "%s", py_field_name(field));
    struct err *err = mem_read(mem, addr, &bytes, width);
    if (err)
        return err_wrap(err, "%s", py_field_name(field));
    *ret = load(&bytes, width);
    return NULL;
}

bool py_pick(const struct py_layout *layout, const void *bytes, size_t size, enum py_field_id field,
             uint64_t *ret)
{
    if (!py_layout_has(layout, field))
        return false;
    uint8_t width = layout->fields[field].width;
    uint32_t offset = py_offset(layout, field);
    if (!width || size < width || offset > size - width)
        return false;
    *ret = load((const char *)bytes + offset, width);
    return true;
}
