// SPDX-License-Identifier: GPL-3.0-or-later
// Files that hold a process, cores and captures, read into a session.
#ifndef CLI_EVIDENCE_H
#define CLI_EVIDENCE_H

#include "cli/recording.h"
#include "cli/replaying.h"
#include "target/source.h"

// What the files have been opened to, until the report is written. Begin with {0}.
struct evidence {
    VEC(struct replay *) replays;
    VEC(struct target *) targets;
    struct source *source;
};

// Adds a file's snapshots to the session; its kind is told by its content. With a `recording`
// (NULL: none) what is read of a core is recorded.
struct err *evidence_add(struct evidence *evidence, struct session *session,
                         struct recording *recording, const char *path);
void evidence_close(struct evidence *evidence);

// What a report of the files has besides the session: of a single capture, what it was made with.
struct evidence_facts {
    struct prof_run run;
    struct report_source_reader lines;
    const char *command; // that made the capture; NULL: not known
};
// Once all files are added. Valid until they are closed.
struct evidence_facts evidence_facts(struct evidence *evidence, struct session *session);

#endif
