// SPDX-License-Identifier: GPL-3.0-or-later
// The snapshots of the last seconds, and what they add up to. It is counted anew each time from the
// snapshots themselves: so the numbers are those that a report of just these snapshots would have.
#ifndef CLI_TOP_WINDOW_H
#define CLI_TOP_WINDOW_H

#include "profile/profile.h"

#define TOP_WINDOW_NS 10000000000u

struct top_window_item {
    struct snapshot *snapshot;
    uint64_t own_cpu_ns; // that pycore used since the snapshot before
    size_t bytes;
};

struct top_window {
    VEC(struct top_window_item) items; // oldest first
    size_t bytes;
    const struct snapshot *shown; // the last one when it was last asked for,
    struct snapshot *orphan;      // ... should it have left the window since
};

void top_window_deinit(struct top_window *window);
// All snapshots are gone, but for the one that is shown.
void top_window_clear(struct top_window *window);
// Takes the snapshot over. Those that are too old leave, or that would be too much memory.
void top_window_add(struct top_window *window, struct snapshot *snapshot, uint64_t own_cpu_ns);
// NULL: there are none, or memory is out. `interval_ns` is passed on.
struct prof_report *top_window_report(const struct top_window *window, struct strtab *strings,
                                      uint64_t interval_ns);
// The newest tasks and greenlets that are known, of the last snapshot that has some; valid as long as
// that is in the window. NULL: none.
const struct snap_suspended *top_window_suspended(const struct top_window *window);
// The last snapshot; valid until this is asked again. NULL: there is none.
const struct snapshot *top_window_show(struct top_window *window);

#endif
