// SPDX-License-Identifier: GPL-3.0-or-later
// Any object as text, like repr() says it, read from memory: nothing of the target is executed. What
// repr() would run Python code for (dataclasses, enum members, classes with a __repr__ of their own)
// is told from attributes. Bounded, and safe on cycles and on damage: one bad object costs that object.
//
//   [1, 'a'... (5000 chars), [...]]     <list of 7> where it is nested too deep
//   <__main__.Job object at 0x7f...: id=3, state='new'>
//   <freed object at 0x7f...>, <unreadable object at 0x7f...>
//   <hidden str> for what looks like a secret (util/redact.h)
#ifndef CPYTHON_REPR_H
#define CPYTHON_REPR_H

#include "cpython/decoder.h"

struct py_repr_options {
    unsigned depth;    // nested containers and instances shown; at most PY_REPR_DEPTH_MAX
    size_t items;      // of each container
    size_t chars;      // of each str, bytes, bytearray
    size_t text_bytes; // of all; the end is then "..."
    size_t objects;    // that are read for it
    bool show_secrets;
};
#define PY_REPR_DEPTH_MAX 32
extern const struct py_repr_options py_repr_defaults;

struct py_repr {
    char *text; // what str and bytes hold is escaped; names are as the target has them
    size_t size;
    bool hidden;         // all of it stands for a secret: `text` says only of what type
    size_t hidden_count; // things in it that are not shown
};

// `name` is what the program calls it ("password", 8), NULL: nothing is known. The only error is
// ERR_NO_MEMORY.
struct err *py_repr(struct py_decoder *dec, uint64_t object, const char *name, size_t name_size,
                    const struct py_repr_options *options, struct py_repr *ret);
void py_repr_deinit(struct py_repr *repr);

#endif
