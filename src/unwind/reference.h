// SPDX-License-Identifier: GPL-3.0-or-later
// libdwfl as unwinder, over our own modules and memory: slower, and independent of our rows.
#ifndef UNWIND_REFERENCE_H
#define UNWIND_REFERENCE_H

#include "unwind/walk.h"

struct reference;

void reference_destroy(struct reference *reference);
// Appends the frames that follow those in `ret`, whose last one `regs` are of.
enum step reference_walk(struct unwinder *unwinder, const struct unwind_regs *regs, bool exact,
                         struct unwind_stack *ret);
// The whole of it, in place of unwind(): for tests and measurements.
void reference_unwind(struct unwinder *unwinder, struct mem *stack,
                      const struct unwind_start *start, struct unwind_stack *ret);

#endif
