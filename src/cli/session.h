// SPDX-License-Identifier: GPL-3.0-or-later
// What both commands do with snapshots: keep them or aggregate them, tell whether anything is
// missing, and print the report.
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/filter.h"
#include "snapshot/build.h"
#include "snapshot/packages.h"
#include "target/surroundings.h"

struct session {
    const struct options *options;
    struct strtab *strings;
    struct snap_source source;
    struct snap_notes notes;
    struct surroundings surroundings; // of the first process
    struct package_finder *packages;  // that the stacks have shown
    struct profile *profile;          // NULL: one snapshot, a thread dump
    struct profile *unfiltered;       // with a filter: of all samples, for the diagnosis
    VEC(struct snapshot *) kept;
    struct snapshot *last, *before; // of a profile whose snapshots are not kept
    struct diagnosis *diagnosis;    // of the last report
    struct report_source_reader lines;
    char *line; // the last one that was read, without secrets
    uint64_t taken;
    uint64_t cpu_begin_ns; // pycore's own CPU time before the run
    struct filter_counts filtered;
    uint64_t notes_left_out; // of single threads, beyond a bound
    bool interrupted, incomplete;
    bool interim;        // the run goes on after this report
    bool without_locals; // the capture has none
};

struct err *session_init(struct session *session, const struct options *options, bool aggregate);
void session_deinit(struct session *session);
// Takes the snapshot over.
void session_add(struct session *session, struct snapshot *snapshot);
// The finished values of a session, to be rendered. ret->profile is the caller's, for
// prof_report_destroy(); all else is borrowed.
struct err *session_report(struct session *session, const struct prof_run *run,
                           struct report_source_reader lines, const char *command,
                           struct report_input *ret);
// EXIT_FINDING where a finding is as severe as --fail-on says; else as `complete` says.
int session_exit_code(const struct options *options, const struct report_input *input);
// For formats that show profiles only: snapshots as a profile of their own; `run` may be all zeros.
// NULL: out of memory.
struct prof_report *session_profile_of(struct strtab *strings,
                                       const struct snapshot *const *snapshots, size_t count,
                                       const struct prof_run *run);
// Only counts it: it stays the caller's, with the threads that do not count marked (`left_out`).
void session_count(struct session *session, struct snapshot *snapshot);
// Begins to count anew: what was counted so far is gone. False: out of memory, all is as it was.
bool session_restart(struct session *session);
// What the packages on the stacks are, with the target's files (NULL: none at hand). Before a report,
// or a capture, is written.
void session_find_packages(struct session *session, struct source *source);
// Renders; the exit code.
int session_finish(struct session *session, const struct prof_run *run,
                   struct report_source_reader lines, const char *command);
// Lines of source text from `source`, which may be NULL.
struct report_source_reader session_lines(struct source *source);
// From here on snapshots become one statistical report.
void session_aggregate(struct session *session);
// pycore's own CPU time since the session began.
uint64_t session_own_cpu_ns(const struct session *session);
// Notes of a snapshot that only those who took it know. `pid`: which process it is of, where there
// are several; else 0.
void session_note_snapshot(struct session *session, struct snapshot *snapshot, uint64_t skipped,
                           bool changed_program, pid_t pid);
// A process of the source, to be filled in: the first one that is added is source.process, *ret is
// what snap_process_at() takes.
struct err *session_add_process(struct session *session, pid_t pid, size_t *ret);
struct snap_process *session_process(struct session *session, size_t process);

#endif
