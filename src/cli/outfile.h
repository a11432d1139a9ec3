// SPDX-License-Identifier: GPL-3.0-or-later
// Output files that appear whole or not at all: written under a name of their own beside the place
// that they are for, and renamed when complete. Whatever ends pycore meanwhile, an error or a
// signal, takes the unfinished file away (after SIGKILL it is left there, as NAME.XXXXXXXX.part).
#ifndef CLI_OUTFILE_H
#define CLI_OUTFILE_H

#include <stdbool.h>

#include "util/err.h"

enum outfile_kind {
    // 0600; in the place of a file that is the user's own, with that one's mode and group.
    OUTFILE_REPORT,
    // Cores and captures hold secrets: 0600 always. On the disk before they have their name.
    OUTFILE_EVIDENCE,
};

struct outfile {
    int fd;        // to write to, and to read again; seekable unless in_place
    bool in_place; // a pipe, a device, or an open file such as /dev/stdout: nothing is renamed
    // Private.
    enum outfile_kind kind;
    int folder;
    char *path, *name, *temporary;
    struct outfile *next;
};

// Symbolic links are followed, but for those of others in a folder where everybody may write.
// *ret must stay where it is until it is committed or aborted; after an error it needs neither.
struct err *outfile_begin(const char *path, enum outfile_kind kind, struct outfile *ret);
// Closes it and gives it its name. After an error there is no such file (or still the old one).
struct err *outfile_commit(struct outfile *file);
// As if it had never been begun.
void outfile_abort(struct outfile *file);

// Evidence is not written over a file that somebody led us to: what outfile_begin() says of a link.
struct err *outfile_refuse_link(const char *path);
// Would outfile_begin() work? Better asked before a long run. Nothing is created, and a pipe is not
// waited for.
struct err *outfile_check(const char *path);
// Is it, once links are followed, the same file as this one? An input must not be replaced.
bool outfile_is(const char *path, const char *other);

#endif
