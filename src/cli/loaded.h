// SPDX-License-Identifier: GPL-3.0-or-later
// A file that a report can be made of, opened: a capture, a core or a JSON document. Which one it
// is, is told by its content. What `pycore report` and `pycore diff` read.
#ifndef CLI_LOADED_H
#define CLI_LOADED_H

#include "cli/cli.h"

struct loaded;

// `aggregate`: a single snapshot becomes a profile as well, so that loaded_input() always has one.
struct err *loaded_open(const struct options *options, const char *path, bool aggregate,
                        struct loaded **ret);
// Several files of one program, as one profile. A JSON document cannot be one of several.
struct err *loaded_open_files(const struct options *options, char *const *paths, int count,
                              bool aggregate, struct loaded **ret);
void loaded_close(struct loaded *loaded);

// Its `command` and `tool_version` are those of the run that made it. Valid until it is closed.
const struct report_input *loaded_input(const struct loaded *loaded);
// The same with a profile: one is made of the snapshots where there is none yet.
struct err *loaded_profile(struct loaded *loaded, const struct report_input **ret);
// Are its samples there one by one, so that some can be left out? Not those of a hotspot report's
// document that was written without --snapshots.
bool loaded_has_samples(const struct loaded *loaded);
// Only the samples that count by --thread, --gil, --on-cpu: what was counted is counted anew. Of
// captures and cores the others were left out as they were read.
struct err *loaded_filter(struct loaded *loaded, const struct options *options);
// A hotspot report's document that holds its snapshots and time line.
bool loaded_has_snapshots(const struct loaded *loaded);

#endif
