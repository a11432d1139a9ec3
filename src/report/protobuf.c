// SPDX-License-Identifier: GPL-3.0-or-later
// See report/protobuf.h.
#include "report/protobuf.h"

enum wire_type { TYPE_VARINT = 0, TYPE_BYTES = 2 };

#define VARINT_BYTES 10 // 64 bits, seven in each

void protobuf_varint(struct wire_out *out, uint64_t value)
{
    unsigned char bytes[VARINT_BYTES];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[size++] = (unsigned char)(value | 0x80);
    bytes[size++] = (unsigned char)value;
    wire_bytes(out, bytes, size);
}

static void put_tag(struct wire_out *out, unsigned field, enum wire_type type)
{
    protobuf_varint(out, (uint64_t)field << 3 | type);
}

void protobuf_number(struct wire_out *out, unsigned field, uint64_t value)
{
    if (!value)
        return;
    put_tag(out, field, TYPE_VARINT);
    protobuf_varint(out, value);
}

void protobuf_bytes(struct wire_out *out, unsigned field, const void *bytes, size_t size)
{
    put_tag(out, field, TYPE_BYTES);
    protobuf_varint(out, size);
    wire_bytes(out, bytes, size);
}

void protobuf_message(struct wire_out *out, unsigned field, struct wire_out *message)
{
    out->failed |= message->failed;
    protobuf_bytes(out, field, message->bytes.items, message->bytes.count);
    vec_clear(&message->bytes);
}
