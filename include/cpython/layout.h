// SPDX-License-Identifier: GPL-3.0-or-later
// Where CPython keeps the fields we read: one `struct py_layout` per interpreter build, filled
// from a static table (src/cpython/layouts/cp3XX.def), then, for 3.13 and later, from the
// `_Py_DebugOffsets` that the target carries itself.
//
// Offsets are stored + 1, so a zero-initialised field means "this version has no such field":
// reading it is an error that names it, never a read at offset 0.
#ifndef CPYTHON_LAYOUT_H
#define CPYTHON_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/mem.h"
#include "util/err.h"

enum py_build {
    PY_BUILD_RELEASE = 1,
    PY_BUILD_DEBUG = 2,         // Py_DEBUG
    PY_BUILD_FREE_THREADED = 4, // Py_GIL_DISABLED
    PY_BUILD_TRACE_REFS = 8,    // two words before each object head
};

enum py_field_id {
#define FIELD(group, name, width, comment) PY_##group##_##name,
#include "cpython/layout_fields.def"
#undef FIELD
    PY_FIELD_COUNT
};

struct py_field {
    uint32_t offset_plus_1;
    uint8_t width; // 0: an embedded struct or array, only its address is meant
};

struct py_layout {
    uint16_t version; // 0x030d for 3.13
    uint8_t patch;    // of the target
    uint8_t build;    // enum py_build bits
    struct py_field fields[PY_FIELD_COUNT];
};

// The static rows for one build: of the rows of `version` with the same build bits, for each field
// the one with the highest "first patch" not above `patch`. ERR_UNSUPPORTED names the version and
// the versions there are; an unknown minor is never read as the latest known one.
struct err *py_layout_static(uint16_t version, uint8_t patch, uint8_t build, struct py_layout *ret);

// Overlays what `_Py_DebugOffsets` at `addr` says (3.13+). Every value is bounded (offset + width
// within the stated struct size, struct size <= 1 MiB) and aligned before it is used; the first
// bad one fails the whole import with its name and leaves `layout` as it was.
struct err *py_layout_import(struct mem *mem, uint64_t addr, struct py_layout *layout);
// Reads cookie, version and free_threaded only. ERR_BAD_DATA when there is no cookie.
struct err *py_debug_offsets_head(struct mem *mem, uint64_t addr, uint32_t *ret_hexversion,
                                  bool *ret_free_threaded);

bool py_layout_has(const struct py_layout *layout, enum py_field_id field);
const char *py_field_name(enum py_field_id field);
// Only after py_layout_has() or for fields every version has; asserts otherwise.
uint32_t py_offset(const struct py_layout *layout, enum py_field_id field);

// Reads a field of the struct at `base`, zero-extended from its own width (1, 2, 4 or 8 bytes).
// ERR_UNSUPPORTED when this version lacks the field.
struct err *py_read(struct mem *mem, const struct py_layout *layout, uint64_t base,
                    enum py_field_id field, uint64_t *ret);
// The same from bytes already at hand: `bytes` are the struct's first `size` bytes.
// False when absent or beyond the bytes.
bool py_pick(const struct py_layout *layout, const void *bytes, size_t size, enum py_field_id field,
             uint64_t *ret);

// For fields that mean "none" when they are 0, and when this version lacks them.
static inline uint64_t py_pick_or_0(const struct py_layout *layout, const void *bytes, size_t size,
                                    enum py_field_id field)
{
    uint64_t value = 0;
    py_pick(layout, bytes, size, field, &value);
    return value;
}

// The versions that have rows, oldest first; for messages, --help and tests.
const uint16_t *py_layout_versions(size_t *ret_count);

#endif
