// SPDX-License-Identifier: GPL-3.0-or-later
// Values in a byte stream, little-endian: how captures store what is no memory of the target.
// Writing gathers in memory; reading is of hostile bytes: every read is bounded, and the first one
// that does not fit makes all later ones give 0 and the stream bad.
#ifndef UTIL_WIRE_H
#define UTIL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/vec.h"

struct wire_out {
    VEC(unsigned char) bytes;
    bool failed; // out of memory: what is there is of no use
};

void wire_u8(struct wire_out *out, uint8_t value);
void wire_u32(struct wire_out *out, uint32_t value);
void wire_u64(struct wire_out *out, uint64_t value);
void wire_i64(struct wire_out *out, int64_t value);
void wire_bool(struct wire_out *out, bool value);
void wire_double(struct wire_out *out, double value);
// With its length; NULL and "" differ.
void wire_str(struct wire_out *out, const char *text);
void wire_bytes(struct wire_out *out, const void *bytes, size_t size);
// A record: its tag and size, then what is written until wire_end(). Records may lie in records;
// readers skip tags they do not know.
size_t wire_begin(struct wire_out *out, uint32_t tag);
void wire_end(struct wire_out *out, size_t begun);
void wire_out_deinit(struct wire_out *out);

struct wire_in {
    const unsigned char *next, *end;
    bool bad;
};

uint8_t wire_get_u8(struct wire_in *in);
uint32_t wire_get_u32(struct wire_in *in);
uint64_t wire_get_u64(struct wire_in *in);
int64_t wire_get_i64(struct wire_in *in);
bool wire_get_bool(struct wire_in *in);
double wire_get_double(struct wire_in *in);
// NULL: there was none, or the stream is bad. Not NUL-terminated: *ret_size bytes of the stream.
const char *wire_get_str(struct wire_in *in, size_t *ret_size);
// A copy with a final NUL, cut at the first one inside; for free(). NULL: as above, or no memory.
char *wire_get_strdup(struct wire_in *in);
bool wire_get_bytes(struct wire_in *in, void *ret, size_t size);
// How many items of at least `item_bytes` a list says it has; 0 and a bad stream when so many do
// not fit in what is left.
uint32_t wire_get_count(struct wire_in *in, size_t item_bytes);
// The next record. False: the end, or a bad stream. *ret_body is the record's own stream.
bool wire_next(struct wire_in *in, uint32_t *ret_tag, struct wire_in *ret_body);

#endif
