// SPDX-License-Identifier: GPL-3.0-or-later
// The snapshots of a capture into a session: the way back from what recording.h has put there.
#ifndef CLI_REPLAYING_H
#define CLI_REPLAYING_H

#include "capture/capture.h"
#include "cli/session.h"

// Of the session's notes: how a replay knows that values of variables are in the capture.
#define REPLAYING_LOCALS_NOTE "the capture holds values of variables, secrets among them (--locals)"

// What snapshot_build() needs, of a snapshot that has just been recorded or is replayed. Valid
// as long as `recorded` and `snapshot`.
void replaying_input(const struct session *session, const struct recorded *recorded,
                     struct capture_snapshot *snapshot, bool is_core, struct snap_input *ret);

// Adds a capture's snapshots to the session; *ret_replay holds what session_finish() needs of it.
// With the first file of a session its facts are the session's.
struct err *replaying_add(struct session *session, struct target *core, const char *path,
                             struct replay **ret_replay);
// The run as it was, and the lines of source text as they were.
struct prof_run replaying_run(const struct replay *replay);
struct report_source_reader replaying_lines(const struct replay *replay);

#endif
