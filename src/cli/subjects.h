// SPDX-License-Identifier: GPL-3.0-or-later
// The processes that a run looks at, one or many: all of them make one snapshot.
//
//     struct subjects subjects;
//     subjects_init(&subjects, &session, &sampling);
//     subjects_add(&subjects, pid);      // one that has to be a Python; or:
//     subjects_meet(&subjects, pid);     // as often as there are processes, whatever they are
//     subjects_begin(&subjects);
//     while (...)
//         subjects_take(&subjects, &snapshot);
//     subjects_deinit(&subjects);
//
// One process alone is reported as it is: what refuses it ends the run. Of several (subjects_meet,
// or a search) each may refuse, end, or become another program, and costs only itself.
#ifndef CLI_SUBJECTS_H
#define CLI_SUBJECTS_H

#include "cli/pythons.h"
#include "cli/subject.h"

// A living process of which no snapshots are taken: it is no Python, or may not be read. It is not
// opened again until it executes another program.
struct bystander {
    pid_t pid;
    uint64_t start_ticks;
    struct proc_program program;
    size_t process;    // of session_process(); SIZE_MAX: it is not in the report
    unsigned tries;    // how often it was opened: its Python may be just starting
    uint64_t again_ns; // when it is opened once more; UINT64_MAX: never
};

struct subjects {
    struct session *session;         // borrowed
    struct sampler_options sampling; // of each of them
    struct image_files *files;       // that they share
    struct pythons *pythons;         // which programs are worth opening
    VEC(struct subject *) items;     // of which snapshots are taken, as they came
    VEC(struct bystander) bystanders;
    VEC(uint64_t) starts; // by session_process(): start_ticks, which tell reused numbers apart
    bool several;         // one that refuses, or ends, is no end
    bool children;        // children of all of these are looked for, too
    const char *name;     // ... and processes with that name (cli/search.h); NULL: none
    bool is_last;     // the next snapshot is the last one of the run, by which it will be judged
    uint64_t next_look_ns, begin_ns;
    uint64_t first_ns;  // CLOCK_MONOTONIC: of the first snapshot
    uint64_t uncounted; // processes that were no Python, beyond a bound
};

// How the options say that snapshots are to be taken.
struct sampler_options sampling_of(const struct options *options);

void subjects_init(struct subjects *subjects, struct session *session,
                   const struct sampler_options *sampling);
void subjects_deinit(struct subjects *subjects);
// Errors: those of sampler_open().
struct err *subjects_add(struct subjects *subjects, pid_t pid);
// What it is shows: one to take snapshots of, or a bystander that the source names with the reason.
// ERR_NOT_FOUND: it has ended already. Other errors: out of memory.
struct err *subjects_meet(struct subjects *subjects, pid_t pid);
// Opens all that belong to them: children, processes with that name.
struct err *subjects_gather(struct subjects *subjects);
// Warms up, and reads the clocks that the first snapshot's CPU shares begin with. Right before the
// first snapshot.
struct err *subjects_begin(struct subjects *subjects);
// Between snapshots: what came, ended, or executed another program since the last look. It looks
// only as often as is cheap, and opens one process at most: *ret_more, there are more to be opened.
struct err *subjects_follow(struct subjects *subjects, bool *ret_more);
// One snapshot of all. Of several processes each stands still for itself, one after the other:
// pause_ns is that of the one that stood still for the longest. A process that ends is not looked at
// again, and its samples stay. ERR_GONE: all have ended. ERR_NOT_FOUND: there is no Python in the
// one process just now, as after an exec; the next call looks again.
struct err *subjects_take(struct subjects *subjects, struct snapshot **ret);

#endif
