// SPDX-License-Identifier: GPL-3.0-or-later
// A bounded evaluator for the DWARF expressions that occur in call frame information.
#ifndef UNWIND_EXPRESSION_H
#define UNWIND_EXPRESSION_H

#include "unwind/rows.h"

enum expression_result {
    EXPRESSION_OK,
    EXPRESSION_UNKNOWN,  // an operation that we do not evaluate
    EXPRESSION_BAD,      // not an expression: stack underflow, endless loop
    EXPRESSION_REGISTER, // needs a register that is not known
    EXPRESSION_MEMORY,   // needs bytes that are not there: *ret is their address
};

typedef bool expression_read_fn(void *arg, uint64_t addr, uint64_t *ret);

enum expression_result expression_eval(const struct expression *expression,
                                       const struct unwind_regs *regs, uint64_t cfa,
                                       expression_read_fn *read, void *arg, uint64_t *ret);

#endif
