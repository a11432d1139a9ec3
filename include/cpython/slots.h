// SPDX-License-Identifier: GPL-3.0-or-later
// The objects that one Python frame holds: its variables, and what lies on its value stack.
#ifndef CPYTHON_SLOTS_H
#define CPYTHON_SLOTS_H

#include "cpython/stack.h"

enum { PY_SLOTS_MAX = 512 }; // of one frame that are looked at

struct py_slots {
    struct py_code *code; // valid until the codes are trimmed
    struct py_callsite site;
    bool has_site;
    uint32_t locals; // objects[0 .. locals) are variables, cells included as cells
    uint32_t count;  // ... and [locals, count) the value stack with stale slots above its depth
    uint32_t live; // [locals, live) were certainly pushed before the call that the frame is inside
                   // of, and are still there
    uint64_t objects[PY_SLOTS_MAX]; // 0: empty, or no object
};

// ERR_UNSUPPORTED: the frame's code is not known. All slots or none.
struct err *py_slots_read(struct py_decoder *dec, const struct py_frame *frame,
                          struct py_slots *ret);
// The method of that name that the object's class has, as a frame at the end of its code (or of the part
// of it that is looked at), of which `self` alone is known. False: there is none that is written in Python.
bool py_slots_of_method(struct py_decoder *dec, uint64_t object, const char *name,
                        struct py_frame *ret_frame, struct py_slots *ret);
// Name of variable `index`, 0: it has none that can be read.
uint32_t py_slots_name(struct py_decoder *dec, const struct py_frame *frame,
                       const struct py_slots *slots, uint32_t index);
// What a variable's slot means: the content of a cell, other objects as they are.
uint64_t py_slots_value(struct py_decoder *dec, uint64_t object);
// The variable of that name; 0: there is none, or it is not set.
uint64_t py_slots_find(struct py_decoder *dec, const struct py_frame *frame,
                       const struct py_slots *slots, const char *name);
// Its globals, a dict; 0: not known.
uint64_t py_frame_globals(struct py_decoder *dec, const struct py_frame *frame);

#endif
