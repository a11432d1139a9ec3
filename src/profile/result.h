// SPDX-License-Identifier: GPL-3.0-or-later
// A report in the making: where the items of the profile's tables went.
#ifndef PROFILE_RESULT_H
#define PROFILE_RESULT_H

#include "profile/profile_private.h"
#include "util/guard.h"

struct prof_result {
    struct profile *profile;
    struct prof_report *report;
    uint32_t *function_place, *frame_place; // new number of each function and frame
};

void *prof_array(size_t count, size_t item_bytes);
uint32_t *prof_order(size_t count, int (*compare)(const void *, const void *, void *), void *arg);

// result_tree.c
bool prof_copy_tree(struct prof_result *result);
// result_processes.c; after the threads
bool prof_copy_processes(struct prof_result *result);

#endif
