// SPDX-License-Identifier: GPL-3.0-or-later
// See report/marshal.h.
#include "report/marshal.h"

// Python/marshal.c, TYPE_*.
enum marshal_type {
    TYPE_NULL = '0', // ends a dict
    TYPE_DICT = '{',
    TYPE_TUPLE = '(', // the small one, ')', is not known to Python 2
    TYPE_UNICODE = 'u',
    TYPE_INT = 'i',
    TYPE_LONG = 'l',
    TYPE_BINARY_FLOAT = 'g',
};

#define LONG_SHIFT 15 // PyLong_MARSHAL_SHIFT: bits in a digit, whatever the interpreter's own are
#define LONG_DIGITS 5 // of 64 bits

void marshal_begin_dict(struct wire_out *out)
{
    wire_u8(out, TYPE_DICT);
}

void marshal_end_dict(struct wire_out *out)
{
    wire_u8(out, TYPE_NULL);
}

void marshal_tuple(struct wire_out *out, uint32_t items)
{
    wire_u8(out, TYPE_TUPLE);
    wire_u32(out, items);
}

void marshal_text(struct wire_out *out, const char *text)
{
    wire_u8(out, TYPE_UNICODE);
    wire_str(out, text);
}

void marshal_integer(struct wire_out *out, uint64_t value)
{
    if (value <= INT32_MAX) {
        wire_u8(out, TYPE_INT);
        wire_u32(out, (uint32_t)value);
        return;
    }
    uint16_t digits[LONG_DIGITS];
    uint32_t count = 0;
    for (; value; value >>= LONG_SHIFT)
        digits[count++] = value & ((1u << LONG_SHIFT) - 1);
    wire_u8(out, TYPE_LONG);
    wire_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_u8(out, (uint8_t)digits[i]);
        wire_u8(out, (uint8_t)(digits[i] >> 8));
    }
}

void marshal_float(struct wire_out *out, double value)
{
    wire_u8(out, TYPE_BINARY_FLOAT);
    wire_double(out, value);
}
