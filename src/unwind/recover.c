// SPDX-License-Identifier: GPL-3.0-or-later
// The frame pointer of a thread of which only pc and stack pointer are known.
#include "unwind/walk.h"

void recover_learn(struct row_slot *slot, const struct walk *walk)
{
    const struct arch_unwind *arch = walk->unwinder->arch;
    if (!walk_knows(walk, arch->fp))
        return;
    int64_t distance = (int64_t)(walk->regs.value[arch->fp] - walk->regs.value[arch->sp]);
    if (slot->fp_state == FP_NOT_SEEN) {
        slot->fp_minus_sp = distance;
        slot->fp_state = FP_STABLE;
    } else if (slot->fp_minus_sp != distance) {
        slot->fp_state = FP_UNSTABLE;
    }
}

bool recover_frame_pointer(struct walk *walk, const struct row_slot *slot, uint64_t *ret)
{
    (void)walk;
    (void)slot;
    (void)ret;
    return false;
}
