// SPDX-License-Identifier: GPL-3.0-or-later
// The processes that a run looks at, one or many: all of them make one snapshot.
//
//     struct subjects subjects;
//     subjects_init(&subjects, &session, &sampling);
//     subjects_add(&subjects, pid);      // as often as there are processes
//     subjects_begin(&subjects);
//     while (...)
//         subjects_take(&subjects, &snapshot);
//     subjects_deinit(&subjects);
#ifndef CLI_SUBJECTS_H
#define CLI_SUBJECTS_H

#include "cli/subject.h"

struct subjects {
    struct session *session;         // borrowed
    struct sampler_options sampling; // of each of them
    VEC(struct subject *) items;     // in the order of snap_process_at(); those that ended, too
    uint64_t first_ns;               // CLOCK_MONOTONIC: of the first snapshot
};

// How the options say that snapshots are to be taken.
struct sampler_options sampling_of(const struct options *options);

void subjects_init(struct subjects *subjects, struct session *session,
                   const struct sampler_options *sampling);
void subjects_deinit(struct subjects *subjects);
// Errors: those of sampler_open().
struct err *subjects_add(struct subjects *subjects, pid_t pid);
// Warms up, and reads the clocks that the first snapshot's CPU shares begin with. Right before the
// first snapshot.
struct err *subjects_begin(struct subjects *subjects);
// One snapshot of all. Of several processes each stands still for itself, one after the other:
// pause_ns is that of the one that stood still for the longest. A process that ends is not looked at
// again, and its samples stay. ERR_GONE: all have ended. ERR_NOT_FOUND: there is no Python in any of
// them just now, as after an exec; the next call looks again.
struct err *subjects_take(struct subjects *subjects, struct snapshot **ret);
// The first process: that of the source.
struct live *subjects_first(const struct subjects *subjects);

#endif
