// SPDX-License-Identifier: GPL-3.0-or-later
// A _Py_DebugOffsets that says what a layout says.
#ifndef FAKE_OFFSETS_H
#define FAKE_OFFSETS_H

#include "cpython/layout.h"

#define FAKE_OFFSETS_BYTES 2048

// For 3.13 and later. Returns the bytes used.
size_t fake_offsets(const struct py_layout *layout, uint32_t hexversion,
                    uint8_t ret[static FAKE_OFFSETS_BYTES]);

#endif
