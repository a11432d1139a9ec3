// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_offsets.h. The order of the members is the decoder's own list: what fuzzing needs is one
// that is taken, not one that proves the list.
#include "fake_offsets.h"

#include <string.h>

#include "util/guard.h"

enum { NO_FIELD = PY_FIELD_COUNT, THE_SIZE };

static const struct {
    uint8_t minor;
    uint16_t field;
} members[] = {
#define SIZE(minor, section, name) {minor, THE_SIZE},
#define OFFSET(minor, section, name, group, field) {minor, PY_##group##_##field},
#define SKIP(minor, section, name) {minor, NO_FIELD},
#include "cpython/debug_offsets.def"
#undef SIZE
#undef OFFSET
#undef SKIP
};

size_t fake_offsets(const struct py_layout *layout, uint32_t hexversion,
                    uint8_t ret[static FAKE_OFFSETS_BYTES])
{
    size_t at = 8, index = 0;
    memset(ret, 0, FAKE_OFFSETS_BYTES);
    memcpy(ret, "xdebugpy", 8);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        if (members[i].minor > (layout->version & 0xff))
            continue;
        uint64_t value = 0;
        uint16_t field = members[i].field;
        if (index == 0)
            value = hexversion;
        else if (index == 1)
            value = (layout->build & PY_BUILD_FREE_THREADED) != 0;
        else if (field == THE_SIZE)
            value = 512 << 10;
        else if (field < PY_FIELD_COUNT && layout->fields[field].offset_plus_1)
            value = layout->fields[field].offset_plus_1 - 1;
        memcpy(ret + at, &value, sizeof(value));
        at += sizeof(value);
        index++;
    }
    return at;
}
