// SPDX-License-Identifier: GPL-3.0-or-later
// A profile that a test feeds with snapshots of its own making.
#ifndef PROFILE_RUN_H
#define PROFILE_RUN_H

#include "profile/profile.h"
#include "snap_maker.h"

struct run {
    struct strtab *strings;
    struct profile *profile;
    struct snapshot *snapshot; // the one being made
    struct prof_report *report;
    uint64_t at_ns;
};

static inline int setup(void **state)
{
    static struct run run;
    run = (struct run){.strings = strtab_create()};
    run.profile = profile_create(run.strings);
    run.snapshot = snapshot_create();
    *state = &run;
    return run.profile && run.snapshot ? 0 : -1;
}

static inline int teardown(void **state)
{
    struct run *run = *state;
    prof_report_destroy(run->report);
    snapshot_destroy(run->snapshot);
    profile_destroy(run->profile);
    strtab_destroy(run->strings);
    return 0;
}

#endif
