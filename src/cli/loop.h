// SPDX-License-Identifier: GPL-3.0-or-later
// The sampling loop of a run, over one process or many. It keeps a fixed schedule: one snapshot at a
// random moment of each interval; intervals that were missed are counted. Its snapshots go into the
// session.
//
//     struct loop loop;
//     loop_init(&loop, &session);        // count, interval, duration: from the options
//     subjects_add(&loop.subjects, pid); // the processes
//     loop_run(&loop);
//     code = loop_finish(&loop, argc, argv);
//     loop_deinit(&loop);
#ifndef CLI_LOOP_H
#define CLI_LOOP_H

#include "cli/subjects.h"

struct loop {
    struct session *session; // borrowed; with a profile many snapshots are taken, else one
    struct subjects subjects;
    struct recording *recording; // --save; NULL: none
    struct source *lines;        // source text of the first process, as it is seen while that lives
    uint64_t count, interval_ns, limit_ns; // may be changed before loop_run(); limit 0: none
    uint64_t begin_ns, last_ns;            // CLOCK_MONOTONIC
    uint64_t lost_ns;                      // since when there is no Python; 0: there is
    uint64_t random;
    struct prof_run run;
    struct err *err; // what ended it early
    // Interim reports (SIGUSR1) say by which command they were made. NULL: none are written.
    int argc;
    char **argv;
    // The end is what `idle` says: a process that ends, or has no Python, ends nothing and is no gap.
    bool until_idle;
    // Called between snapshots, at least every 50 ms and never while anything is stopped. False
    // ends the run as if all its snapshots were taken. NULL: nothing to do.
    bool (*idle)(void *arg, struct loop *loop);
    void *idle_arg;
};

void loop_init(struct loop *loop, struct session *session);
void loop_deinit(struct loop *loop);
// Takes the snapshots, until they are enough, the processes have ended, or `interrupted`
// (cli/signals.h). What ended it early is told by loop_finish().
void loop_run(struct loop *loop);
// Renders; the exit code.
int loop_finish(struct loop *loop, int argc, char **argv);

// As many open files as may be: snapshots need two for each thread of the target.
void loop_allow_descriptors(void);

#endif
