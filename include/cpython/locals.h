// SPDX-License-Identifier: GPL-3.0-or-later
// The variables of a Python frame.
#ifndef CPYTHON_LOCALS_H
#define CPYTHON_LOCALS_H

#include "cpython/stack.h"

enum py_variable_kind {
    PY_VARIABLE_ARGUMENT,
    PY_VARIABLE_LOCAL, // also a module's and a class body's
    PY_VARIABLE_CELL,  // a local that inner functions use, too
    PY_VARIABLE_FREE,  // an outer function's
};

struct py_variable {
    uint32_t name; // in the decoder's strings
    enum py_variable_kind kind;
    uint64_t object; // its value; what a cell holds
};
VEC_DEFINE(py_variables, struct py_variable);

// Appends those that are set, at most `limit`, in the order in which the code object lists them. Of a
// module or a class body: what its namespace holds, without __special__ names. Reads from dec->mem.
// A variable that cannot be read is left out.
struct err *py_frame_variables(struct py_decoder *dec, const struct py_frame *frame, size_t limit,
                               struct py_variables *ret);

#endif
