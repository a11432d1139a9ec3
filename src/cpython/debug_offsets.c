// SPDX-License-Identifier: GPL-3.0-or-later
// Reads _Py_DebugOffsets, with which CPython 3.13+ describes its structs to outside tools, into a
// layout. The description is target data like any other: one value that cannot be ends the import.
#include <string.h>

#include "cpython/layout.h"
#include "util/guard.h"

#define COOKIE "xdebugpy"
#define COOKIE_BYTES 8
// The largest struct described is _PyRuntimeState: 425,368 bytes in a 3.15 free-threaded debug
// build.
#define STRUCT_BYTES_MAX (1u << 20)

enum member_id {
#define MEMBER(minor, section, name) MEMBER_##section##_##name,
#define SIZE(minor, section, name) MEMBER(minor, section, name)
#define OFFSET(minor, section, name, group, field) MEMBER(minor, section, name)
#define SKIP(minor, section, name) MEMBER(minor, section, name)
#include "cpython/debug_offsets.def"
#undef MEMBER
#undef SIZE
#undef OFFSET
#undef SKIP
    MEMBER_COUNT
};

enum role { ROLE_SIZE, ROLE_OFFSET, ROLE_SKIP };

static const struct member {
    const char *name;
    enum role role;
    uint8_t minor; // the first one that has it
    uint16_t field;
} members[MEMBER_COUNT] = {
#define SIZE(minor, section, name) {#section "." #name, ROLE_SIZE, minor, PY_FIELD_COUNT},
#define OFFSET(minor, section, name, group, field) \
    {#section "." #name, ROLE_OFFSET, minor, PY_##group##_##field},
#define SKIP(minor, section, name) {#section "." #name, ROLE_SKIP, minor, PY_FIELD_COUNT},
#include "cpython/debug_offsets.def"
#undef SIZE
#undef OFFSET
#undef SKIP
};

// The values of one target, by member; `present` tells a missing one from a zero.
struct offsets {
    uint64_t value[MEMBER_COUNT];
    bool present[MEMBER_COUNT];
};

struct err *py_debug_offsets_head(struct mem *mem, uint64_t addr, uint32_t *ret_hexversion,
                                  bool *ret_free_threaded)
{
    struct {
        char cookie[COOKIE_BYTES];
        uint64_t version, free_threaded;
    } head;
    TRY(err_wrap(mem_read(mem, addr, &head, sizeof(head)), "_Py_DebugOffsets"));
    if (memcmp(head.cookie, COOKIE, COOKIE_BYTES) != 0)
        return err_create(ERR_BAD_DATA, "no _Py_DebugOffsets at 0x%llx: cookie missing",
                          (unsigned long long)addr);
    if (head.version > UINT32_MAX)
        return err_create(ERR_BAD_DATA, "_Py_DebugOffsets: version is 0x%llx",
                          (unsigned long long)head.version);
    if (head.free_threaded > 1)
        return err_create(ERR_BAD_DATA, "_Py_DebugOffsets: free_threaded is 0x%llx",
                          (unsigned long long)head.free_threaded);
    *ret_hexversion = (uint32_t)head.version;
    *ret_free_threaded = head.free_threaded != 0;
    return NULL;
}

// PY_VERSION_HEX (patchlevel.h): major, minor, patch, then level (0xA alpha, 0xB beta, 0xC
// candidate, 0xF final) and serial. The struct is stable from the candidates on.
static struct err *check_head(struct mem *mem, uint64_t addr, const struct py_layout *layout)
{
    uint32_t hexversion;
    bool free_threaded;
    TRY(py_debug_offsets_head(mem, addr, &hexversion, &free_threaded));
    if (hexversion >> 16 != layout->version)
        return err_create(ERR_BAD_DATA, "_Py_DebugOffsets: version is 0x%x, not one of %d.%d",
                          hexversion, layout->version >> 8, layout->version & 0xff);
    if (layout->version < 0x030d || layout->version > 0x030f)
        return err_create(ERR_UNSUPPORTED, "the _Py_DebugOffsets of CPython %d.%d is unknown",
                          layout->version >> 8, layout->version & 0xff);
    if ((hexversion >> 4 & 0xf) < 0xc)
        return err_create(ERR_UNSUPPORTED,
                          "_Py_DebugOffsets of a pre-release (0x%x) is not the released one",
                          hexversion);
    if (free_threaded != !!(layout->build & PY_BUILD_FREE_THREADED))
        return err_create(ERR_BAD_DATA, "_Py_DebugOffsets: free_threaded is %d", free_threaded);
    return NULL;
}

static struct err *read_values(struct mem *mem, uint64_t addr, uint8_t minor, struct offsets *ret)
{
    uint64_t raw[MEMBER_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++)
        count += members[i].minor <= minor;
    TRY(err_wrap(mem_read(mem, addr + COOKIE_BYTES, raw, count * sizeof(raw[0])),
                 "_Py_DebugOffsets"));
    *ret = (struct offsets){0};
    size_t next = 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (members[i].minor > minor)
            continue;
        ret->present[i] = true;
        ret->value[i] = raw[next++];
    }
    return NULL;
}

static struct err *bad_value(const char *name, uint64_t value, const char *why, uint64_t limit)
{
    return err_create(ERR_BAD_DATA, "_Py_DebugOffsets: %s is 0x%llx: %s %llu", name,
                      (unsigned long long)value, why, (unsigned long long)limit);
}

// A zero leaves the static row: it is either right already (the offset 0), or stands for a field
// that this build lacks.
static struct err *set_field(struct py_layout *layout, enum py_field_id field, const char *name,
                             uint64_t value, uint64_t size)
{
    static const uint8_t widths[PY_FIELD_COUNT] = {
#define FIELD(group, name, width, comment) width,
#include "cpython/layout_fields.def"
#undef FIELD
    };
    uint8_t width = widths[field];
    uint8_t align = width ? width : 4; // the least aligned array of ours is PyLongObject.ob_digit
    if (!value)
        return NULL;
    if (value > size || size - value < width)
        return bad_value(name, value, "beyond the struct's size of", size);
    if (value % align)
        return bad_value(name, value, "not a multiple of", align);
    layout->fields[field] = (struct py_field){(uint32_t)value + 1, width};
    return NULL;
}

static struct err *apply_members(const struct offsets *offsets, struct py_layout *layout)
{
    uint64_t size = 0; // of the section's struct
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        const struct member *member = &members[i];
        uint64_t value = offsets->value[i];
        if (!offsets->present[i])
            continue;
        if (member->role == ROLE_SIZE) {
            if (!value || value > STRUCT_BYTES_MAX)
                return bad_value(member->name, value, "not within 1 and", STRUCT_BYTES_MAX);
            size = value;
        } else if (member->role == ROLE_OFFSET) {
            TRY(set_field(layout, (enum py_field_id)member->field, member->name, value, size));
        }
    }
    return NULL;
}

// Offsets that follow from two members.
static struct err *apply_combined(const struct offsets *offsets, struct py_layout *layout)
{
    const uint64_t *value = offsets->value;
    TRY(set_field(layout, PY_TS_size, members[MEMBER_thread_state_size].name,
                  value[MEMBER_thread_state_size], value[MEMBER_thread_state_size]));

    uint64_t collecting = value[MEMBER_gc_collecting];
    if (collecting && value[MEMBER_interpreter_state_gc]) {
        if (collecting > value[MEMBER_gc_size])
            return bad_value(members[MEMBER_gc_collecting].name, collecting,
                             "beyond the struct's size of", value[MEMBER_gc_size]);
        if (value[MEMBER_interpreter_state_gc] > STRUCT_BYTES_MAX)
            return bad_value(members[MEMBER_interpreter_state_gc].name,
                             value[MEMBER_interpreter_state_gc], "beyond", STRUCT_BYTES_MAX);
        TRY(set_field(layout, PY_IS_gc_collecting, "interpreter_state.gc + gc.collecting",
                      value[MEMBER_interpreter_state_gc] + collecting,
                      value[MEMBER_interpreter_state_size]));
    }

    static const struct {
        enum member_id member;
        enum py_field_id field;
    } gil[] = {
        {MEMBER_interpreter_state_gil_runtime_state_locked, PY_GIL_locked},
        {MEMBER_interpreter_state_gil_runtime_state_holder, PY_GIL_last_holder},
    };
    uint64_t base = value[MEMBER_interpreter_state_gil_runtime_state];
    for (size_t i = 0; base && i < ARRAY_SIZE(gil); i++) {
        uint64_t at = value[gil[i].member];
        if (at) // one before the base becomes a huge offset, and is refused
            TRY(set_field(layout, gil[i].field, members[gil[i].member].name, at - base,
                          py_offset(layout, PY_GIL_end)));
    }
    return NULL;
}

struct err *py_layout_import(struct mem *mem, uint64_t addr, struct py_layout *layout)
{
    TRY(check_head(mem, addr, layout));
    struct offsets offsets;
    TRY(read_values(mem, addr, layout->version & 0xff, &offsets));
    struct py_layout copy = *layout;
    TRY(apply_members(&offsets, &copy));
    TRY(apply_combined(&offsets, &copy));
    *layout = copy;
    return NULL;
}
