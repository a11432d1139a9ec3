// SPDX-License-Identifier: GPL-3.0-or-later
// Threads with identical stacks, which handle the same exceptions, put together, and the repetitions within
// a stack found.
#ifndef REPORT_GROUPS_H
#define REPORT_GROUPS_H

#include "snapshot/snapshot.h"

struct group {
    uint32_t first, count; // range in groups.order
    bool crashed, works, known_to_python;
};

struct groups {
    uint32_t *order;        // thread indexes; those of a group are neighbours
    VEC(struct group) list; // the crashed thread's first, then working ones, then by size
};

// `apart`: threads whose variables are known stay by themselves. False: out of memory.
bool groups_init(struct groups *groups, const struct snapshot *snapshot, bool apart);
void groups_deinit(struct groups *groups);

struct repetition {
    size_t start, period, times; // frames [start, start + period) stand `times` times in a row
};
VEC_DEFINE(repetitions, struct repetition);

// The stack as runs, in order, without a gap; a run that is not repeated has times 1, period 1.
bool repetitions_find(const struct snap_frames *frames, struct repetitions *ret);

#endif
