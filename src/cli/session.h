// SPDX-License-Identifier: GPL-3.0-or-later
// What both commands do with snapshots: keep them or aggregate them, tell whether anything is
// missing, and print the report.
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/cli.h"
#include "snapshot/build.h"

struct session {
    const struct options *options;
    struct strtab *strings;
    struct snap_source source;
    struct snap_notes notes;
    struct profile *profile; // NULL: one snapshot, a thread dump
    VEC(struct snapshot *) kept;
    uint64_t taken;
    uint64_t cpu_begin_ns;   // pycore's own CPU time before the run
    uint64_t notes_left_out; // of single threads, beyond a bound
    bool interrupted, incomplete;
};

struct err *session_init(struct session *session, const struct options *options, bool aggregate);
void session_deinit(struct session *session);
// Takes the snapshot over.
void session_add(struct session *session, struct snapshot *snapshot);
// Renders; the exit code. `lines` may be NULL.
struct source;
int session_finish(struct session *session, const struct prof_run *run, struct source *lines,
                   const char *command);

#endif
