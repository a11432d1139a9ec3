// SPDX-License-Identifier: GPL-3.0-or-later
// A whole core of a made-up Python: notes, a library with unwind tables, objects, a stack.
#ifndef FAKE_CORE_H
#define FAKE_CORE_H

#include <stddef.h>
#include <stdint.h>

struct fake_core {
    uint8_t *bytes; // for free()
    size_t size;
    size_t head_bytes; // headers and notes
};

#define FAKE_CORE_KINDS 12 // Pythons

void fake_core(unsigned kind, struct fake_core *ret);

#endif
