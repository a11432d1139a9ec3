// SPDX-License-Identifier: GPL-3.0-or-later
// Values as CPython's marshal.load() reads them, of any version (Python/marshal.c: w_object() and
// r_object(), the types that version 2 of the format has; no references, no interned strings).
// Dicts are written by hand: marshal_begin_dict, keys and values in turn, marshal_end_dict.
#ifndef REPORT_MARSHAL_H
#define REPORT_MARSHAL_H

#include "util/wire.h"

void marshal_begin_dict(struct wire_out *out);
void marshal_end_dict(struct wire_out *out);
// Its items follow.
void marshal_tuple(struct wire_out *out, uint32_t items);
// UTF-8.
void marshal_text(struct wire_out *out, const char *text);
void marshal_integer(struct wire_out *out, uint64_t value);
void marshal_float(struct wire_out *out, double value);

#endif
