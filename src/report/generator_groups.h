// SPDX-License-Identifier: GPL-3.0-or-later
// Generators that are suspended at the same place, put together.
#ifndef REPORT_GENERATOR_GROUPS_H
#define REPORT_GENERATOR_GROUPS_H

#include "snapshot/suspended.h"

struct generator_group {
    uint32_t first, count; // range in generator_groups.order
    uint32_t stack;
    enum snap_generator_kind kind;
    bool begun;
};

struct generator_groups {
    const struct snap_suspended *suspended;
    uint32_t *order; // indexes; those of a group are neighbours, in their own order
    VEC(struct generator_group) list; // the largest first
};

// False: out of memory.
bool generator_groups_init(struct generator_groups *groups, const struct snap_suspended *suspended);
void generator_groups_deinit(struct generator_groups *groups);

#endif
