// SPDX-License-Identifier: GPL-3.0-or-later
// The exceptions of one thread state: the one in flight and those that it handles, with what Python
// would print of them: type, message, notes, traceback, cause, context, members of groups. No code
// of the target is run: what str() of a class of the program would say is not known.
#ifndef CPYTHON_EXCEPTION_H
#define CPYTHON_EXCEPTION_H

#include "cpython/stack.h"

enum py_exception_role {
    PY_EXC_RAISED,  // in flight: set, and not caught so far
    PY_EXC_HANDLED, // in an `except` or `finally`
    PY_EXC_CAUSE,   // `raise ... from` this one
    PY_EXC_CONTEXT, // the other one was raised while this one was handled
    PY_EXC_MEMBER,  // of an exception group
};

struct py_traceback_line {
    uint32_t function, file; // co_name, co_filename; 0: not readable
    int32_t line;            // -1: none, or not known
};
VEC_DEFINE(py_traceback, struct py_traceback_line);
VEC_DEFINE(py_texts, uint32_t);

struct py_exception {
    uint64_t addr; // 0: no object so far (up to 3.11, an exception may be but a type and arguments)
    enum py_exception_role role;
    uint32_t of;        // CAUSE, CONTEXT, MEMBER: index of the one it belongs to; else UINT32_MAX
    uint32_t type;      // as tracebacks call it: "ValueError", "json.decoder.JSONDecodeError"
    uint32_t message;   // what str() gives; 0: only the program's own code, or memory that is not
                        // there, would tell
    uint32_t arguments; // then its `args` (cpython/repr.h); 0: not that, either
    size_t hidden; // things in `arguments` that look like secrets. Those in other texts are there
    struct py_texts notes;         // __notes__, 3.11+
    struct py_traceback traceback; // outermost first
    size_t lines_left_out;         // of its middle
    bool cut;                      // its inner end could not be read
    size_t members;                // of a group
};
VEC_DEFINE(py_exceptions, struct py_exception);

// Appends to *ret those of `stack`: in flight, then handled, the innermost first; behind each one its
// cause or else its context, as Python's own output has it, and the first members of groups. Each
// object once: what another one was raised from, or in the handling of, is told as that. What cannot be read
// is left out; the only error is ERR_NO_MEMORY.
struct err *py_exceptions_read(struct py_process *process, const struct py_stack *stack,
                               bool show_secrets, struct py_exceptions *ret);
// One that nobody raises or handles now, with what belongs to it.
struct err *py_exception_read(struct py_process *process, uint64_t object, bool show_secrets,
                              struct py_exceptions *ret);
void py_exceptions_deinit(struct py_exceptions *exceptions);

#endif
