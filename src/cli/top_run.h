// SPDX-License-Identifier: GPL-3.0-or-later
// What pycore top does beside showing: it takes snapshots, counts them, saves reports.
#ifndef CLI_TOP_RUN_H
#define CLI_TOP_RUN_H

#include "cli/subjects.h"
#include "cli/top_window.h"
#include "report/top.h"

struct top_run {
    struct session session; // counts all since the start
    struct subjects subjects;
    struct top_window window;
    pid_t pid;
    uint64_t start_ticks; // tell a reused number
    struct source *lines;
    struct top_state state;
    uint64_t interval_ns;
    bool adapts;         // the interval; else the user has chosen it
    uint64_t begin_ns;   // CLOCK_MONOTONIC: when it began to count, later by the time it did not
    uint64_t last_ns;    // ... of the last snapshot
    uint64_t next_ns;    // ... when the next one is due
    uint64_t slot_ns;    // ... when the interval of that one ends
    uint64_t own_cpu_ns; // pycore's, at the last snapshot
    // Since the interval was looked at.
    uint64_t look_ns, look_own_ns, look_pause_ns;
    uint64_t lost_ns;           // since when there is no Python in the process; 0: there is
    struct prof_report *report; // what is shown; NULL: nothing so far
    const struct snapshot *latest;
    char *command;
    char *status; // for the user; NULL: all is well
    bool ended;   // there will be no more snapshots
};

struct err *top_run_open(struct top_run *run, const struct options *options, pid_t pid, int argc,
                         char **argv);
void top_run_close(struct top_run *run);
// Clocks and schedule begin here: before the first snapshot, and after pycore itself was stopped.
struct err *top_run_begin(struct top_run *run);
// Takes a snapshot. What ends the run sets `ended`, and is told in `status`.
void top_run_sample(struct top_run *run);
// Computes anew what is shown, unless it is held.
void top_run_count(struct top_run *run);
// Begins to count anew.
void top_run_restart(struct top_run *run);
// Are pauses and processor time where they should be? Called once a second.
void top_run_adapt(struct top_run *run);
// A report of all since the start. What came of it is state.message.
void top_run_save(struct top_run *run, const char *path);

// What there is to show. `ret_input` must live as long as it.
struct top_values top_run_values(const struct top_run *run, struct report_input *ret_input);

#endif
