// SPDX-License-Identifier: GPL-3.0-or-later
// Rendering finished values. One file per format, each a function of this shape; formats.def lists
// them and feeds --format, help and completion.
//
// To add a format: report/FORMAT.c, a line in formats.def, one golden file.
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include <stdio.h>

#include "diagnose/diagnose.h"
#include "profile/profile.h"
#include "util/err.h"

// Source text for a line, or NULL: not readable. *ret_newer: the file is newer than the process.
// The text belongs to the provider until it is asked again.
struct report_source_reader {
    const char *(*line)(void *arg, const char *file, int32_t line, bool *ret_newer);
    void *arg;
};

struct report_input {
    const char *tool_version;
    const char *command; // how to reproduce: the command line, for the last line
    const struct strtab *strings;
    const struct snap_source *source;
    const struct snapshot *const *snapshots; // one-shot use: exactly these
    size_t snapshot_count;
    const struct prof_report *profile; // NULL: a thread dump of snapshots[0]
    const struct snapshot *last; // with a profile: its last snapshot, of which waits, locks and
                                 // exceptions are told; NULL: snapshots[0], or none
    const struct diagnosis *diagnosis; // of report_last(); NULL: none was made
    bool shows_secrets;                // nothing was hidden: a report says so
    const struct snap_notes *notes;    // of the whole run
    bool interrupted;
    bool interim; // written while the run goes on
    struct report_source_reader source_reader;
};

// The snapshot of which a report tells what threads wait for: `last`, else the last of `snapshots`; of a
// profile's the one before it where that knows more waits, for the very last one may show how a
// program ends, not what it waited for. NULL: there is none.
const struct snapshot *report_last(const struct report_input *input);
// Of the last two snapshots of a run (`before` NULL: there is but one) the one that it is judged by.
const struct snapshot *report_judged(const struct snapshot *before, const struct snapshot *last);

enum report_weight { REPORT_WEIGHT_SAMPLES, REPORT_WEIGHT_WALL, REPORT_WEIGHT_CPU };

// The order of tables of functions; by default each table has its own.
enum report_sort {
    REPORT_SORT_DEFAULT,
    REPORT_SORT_OWN,
    REPORT_SORT_SELF,
    REPORT_SORT_TOTAL,
    REPORT_SORT_CPU,
    REPORT_SORT_WAITING,
    REPORT_SORT_CALLS,
    REPORT_SORT_NAME,
};

enum { REPORT_STRIP_MAX = 16 };

struct report_options {
    bool color;     // text only
    bool full;      // no cut at 32,000 characters
    bool table;     // a thread dump has its threads as a table, too; formats for browsers set it
    bool snapshots; // json: every snapshot of a hotspot report, and its time line
    unsigned width; // of the terminal; 0: not one, 100 columns
    unsigned top;   // rows of each table; 0: the format's default
    enum report_weight weight;
    enum report_sort sort;
    // How stacks are shown; json and its numbers know nothing of these (src/report/view.h).
    bool async_stacks;     // of a task: what waits for it is below it, not the event loop
    bool threads;          // each process and thread is a frame, the outermost one
    bool by_function;      // a function is one frame, with its first line, whatever line it was at
    bool no_lines;         // ... and without any line
    bool hide_boilerplate; // of importlib, runpy, threading, and of the C start-up code
    unsigned max_depth;    // outermost frames that are kept; 0: all
    const char *strip[REPORT_STRIP_MAX]; // beginnings of paths that are left out
    size_t strip_count;
};

#define REPORT_CUT_CHARS 32000 // what issue trackers take in one field

typedef struct err *report_fn(FILE *out, const struct report_input *input,
                              const struct report_options *options);

enum report_format_flag {
    REPORT_OF_PROFILE = 1, // it shows profiles only: a single snapshot becomes one of its own
    REPORT_BINARY = 2,     // no text: not for a terminal
};

struct report_format {
    const char *name, *ending, *help; // formats.def
    report_fn *render;
    unsigned flags; // enum report_format_flag
};
// The renderers that formats.def names.
#define FORMAT(name, ending, help, function, flags) report_fn function;
#include "report/formats.def"
#undef FORMAT

// NULL-terminated by name.
extern const struct report_format report_formats[];
const struct report_format *report_format_by_name(const char *name);
const struct report_format *report_format_by_ending(const char *path);

#endif
