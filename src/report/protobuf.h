// SPDX-License-Identifier: GPL-3.0-or-later
// Messages of Protocol Buffers, as far as writing one takes
// (https://protobuf.dev/programming-guides/encoding/). A message is gathered in a wire_out and put
// into the one around it with its length. Fields that are 0 or empty are left out, as proto3 does.
//
// There is no library behind it: the official one is C++, those for C want a code generator at build
// time, and all of them hold the whole message in memory. This is what is needed of one.
#ifndef REPORT_PROTOBUF_H
#define REPORT_PROTOBUF_H

#include "util/wire.h"

// A number without its field, as in packed lists.
void protobuf_varint(struct wire_out *out, uint64_t value);
// Of any integer type and bool. Signed ones (int64) are given as their two's complement.
void protobuf_number(struct wire_out *out, unsigned field, uint64_t value);
// Also of a string, which is UTF-8. It is written even when empty: lists have empty items.
void protobuf_bytes(struct wire_out *out, unsigned field, const void *bytes, size_t size);
// A message, or a packed list of varints; it is empty afterwards.
void protobuf_message(struct wire_out *out, unsigned field, struct wire_out *message);

#endif
