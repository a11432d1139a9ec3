// SPDX-License-Identifier: GPL-3.0-or-later
// The range of the function that a program counter lies in, by its FDE.
#include "unwind/walk.h"

bool unwind_function(struct unwinder *unwinder, uint64_t pc, uint64_t *ret_start,
                     uint64_t *ret_end)
{
    (void)unwinder;
    (void)pc;
    (void)ret_start;
    (void)ret_end;
    return false;
}
