// SPDX-License-Identifier: GPL-3.0-or-later
// Values in a byte stream: see util/wire.h.
#include "util/wire.h"

#include <string.h>

#define NO_TEXT UINT32_MAX

void wire_bytes(struct wire_out *out, const void *bytes, size_t size)
{
    if (out->failed || !vec_reserve(&out->bytes, out->bytes.count + size)) {
        out->failed = true;
        return;
    }
    if (size)
        memcpy(out->bytes.items + out->bytes.count, bytes, size);
    out->bytes.count += size;
}

static void put(struct wire_out *out, uint64_t value, size_t size)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
    wire_bytes(out, bytes, size);
}

void wire_u8(struct wire_out *out, uint8_t value)
{
    put(out, value, 1);
}

void wire_u32(struct wire_out *out, uint32_t value)
{
    put(out, value, 4);
}

void wire_u64(struct wire_out *out, uint64_t value)
{
    put(out, value, 8);
}

void wire_i64(struct wire_out *out, int64_t value)
{
    put(out, (uint64_t)value, 8);
}

void wire_bool(struct wire_out *out, bool value)
{
    put(out, value, 1);
}

void wire_double(struct wire_out *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put(out, bits, 8);
}

void wire_str(struct wire_out *out, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    if (size >= NO_TEXT) {
        out->failed = true;
        return;
    }
    wire_u32(out, text ? (uint32_t)size : NO_TEXT);
    wire_bytes(out, text, size);
}

size_t wire_begin(struct wire_out *out, uint32_t tag)
{
    wire_u32(out, tag);
    wire_u64(out, 0);
    return out->bytes.count;
}

void wire_end(struct wire_out *out, size_t begun)
{
    if (out->failed)
        return;
    uint64_t size = out->bytes.count - begun;
    for (size_t i = 0; i < 8; i++)
        out->bytes.items[begun - 8 + i] = (unsigned char)(size >> 8 * i);
}

void wire_out_deinit(struct wire_out *out)
{
    vec_deinit(&out->bytes);
}

// ---- Reading ------------------------------------------------------------------------------------

static const unsigned char *take(struct wire_in *in, size_t size)
{
    if (in->bad || size > (size_t)(in->end - in->next)) {
        in->bad = true;
        return NULL;
    }
    const unsigned char *bytes = in->next;
    in->next += size;
    return bytes;
}

static uint64_t get(struct wire_in *in, size_t size)
{
    const unsigned char *bytes = take(in, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < size; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

uint8_t wire_get_u8(struct wire_in *in)
{
    return (uint8_t)get(in, 1);
}

uint32_t wire_get_u32(struct wire_in *in)
{
    return (uint32_t)get(in, 4);
}

uint64_t wire_get_u64(struct wire_in *in)
{
    return get(in, 8);
}

int64_t wire_get_i64(struct wire_in *in)
{
    return (int64_t)get(in, 8);
}

bool wire_get_bool(struct wire_in *in)
{
    uint64_t value = get(in, 1);
    in->bad |= value > 1;
    return value == 1;
}

double wire_get_double(struct wire_in *in)
{
    uint64_t bits = get(in, 8);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

const char *wire_get_str(struct wire_in *in, size_t *ret_size)
{
    uint32_t size = wire_get_u32(in);
    *ret_size = 0;
    if (in->bad || size == NO_TEXT)
        return NULL;
    const unsigned char *bytes = take(in, size);
    *ret_size = bytes ? size : 0;
    return (const char *)bytes;
}

char *wire_get_strdup(struct wire_in *in)
{
    size_t size;
    const char *text = wire_get_str(in, &size);
    return text ? strndup(text, size) : NULL;
}

bool wire_get_bytes(struct wire_in *in, void *ret, size_t size)
{
    const unsigned char *bytes = take(in, size);
    if (bytes && size)
        memcpy(ret, bytes, size);
    return bytes;
}

uint32_t wire_get_count(struct wire_in *in, size_t item_bytes)
{
    uint32_t count = wire_get_u32(in);
    if (in->bad || count > (size_t)(in->end - in->next) / item_bytes) {
        in->bad = true;
        return 0;
    }
    return count;
}

bool wire_next(struct wire_in *in, uint32_t *ret_tag, struct wire_in *ret_body)
{
    if (in->bad || in->next == in->end)
        return false;
    *ret_tag = wire_get_u32(in);
    uint64_t size = wire_get_u64(in);
    const unsigned char *bytes = size <= SIZE_MAX ? take(in, (size_t)size) : NULL;
    if (!bytes)
        return false;
    *ret_body = (struct wire_in){.next = bytes, .end = bytes + size};
    return true;
}
