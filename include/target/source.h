// SPDX-License-Identifier: GPL-3.0-or-later
// Files beside the target: lines of source text, what is installed. Read as the target itself would read
// them: below its root, with its ids. The path comes from the target and is hostile: it must not make a
// privileged pycore show a file that the target's own user could not read, nor open anything but a regular
// file.
#ifndef TARGET_SOURCE_H
#define TARGET_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct source;

// Live: files of process `pid`, with its root and its user and groups.
struct source *source_create_live(pid_t pid);
// Core: files below `root`, with our own rights; NULL root: no source at all.
struct source *source_create_root(const char *root);
void source_destroy(struct source *source);
// Files modified after this (ns since 1970) are newer than the process; 0: not known.
void source_set_start(struct source *source, uint64_t start_time_ns);

// The text of a line without its newline, NULL when it cannot be had. Valid until the next call.
// Files are cached up to a bound; those over 16 MiB are not read.
const char *source_line(struct source *source, const char *file, int32_t line, bool *ret_newer);

// A small file as a whole, to be freed, with a NUL behind it; NULL: not there, not readable, or larger
// than `limit`. *ret_newer as above.
char *source_file(struct source *source, const char *path, size_t limit, size_t *ret_size,
                  bool *ret_newer);
// The names in a folder, as many as `limit`, in no order. False: it cannot be read.
typedef void source_visit(void *arg, const char *name);
bool source_folder(struct source *source, const char *path, size_t limit, source_visit *visit,
                   void *arg);

#endif
