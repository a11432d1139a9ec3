// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of an exception. See cpython/exception.h.
#ifndef CPYTHON_EXCEPTION_PARTS_H
#define CPYTHON_EXCEPTION_PARTS_H

#include "cpython/exception.h"

// exception_text.c. str() of it. ERR_UNSUPPORTED: the class has a __str__ of its own, or an argument cannot
// be told.
struct err *py_exception_message(struct py_decoder *dec, uint64_t object, uint32_t *ret);
// repr() of its `args`: ret->arguments, and what was hidden of it.
struct err *py_exception_arguments(struct py_decoder *dec, uint64_t object, bool show_secrets,
                                   struct py_exception *ret);
// The same of one that is but a type and `value`: NULL, None, an argument, or a tuple of them.
struct err *py_exception_message_raw(struct py_decoder *dec, uint64_t type, uint64_t value,
                                     uint32_t *ret);
struct err *py_exception_notes(struct py_decoder *dec, uint64_t object, struct py_texts *ret);

// traceback.c. `traceback` 0 or None: nothing. Only ERR_NO_MEMORY is returned.
struct err *py_traceback_read(struct py_process *process, uint64_t traceback,
                              struct py_exception *ret);

#endif
