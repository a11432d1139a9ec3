// SPDX-License-Identifier: GPL-3.0-or-later
// For coroutine*.c only.
#ifndef CPYTHON_COROUTINE_READ_H
#define CPYTHON_COROUTINE_READ_H

#include "cpython/coroutine.h"
#include "cpython/stack_walk.h"

// py_generator_read() without the names, and with the frame: located, but not named.
struct err *py_generator_read_frame(struct py_decoder *dec, uint64_t object,
                                    struct py_generator *ret, struct py_frame *ret_frame);

#endif
