// SPDX-License-Identifier: GPL-3.0-or-later
// Rendering a comparison of two reports (profile/diff.h): profiles, or two thread dumps.
#ifndef REPORT_DIFF_H
#define REPORT_DIFF_H

#include "profile/diff.h"
#include "report/report.h"

struct report_diff {
    const char *tool_version;
    const char *command;
    const char *names[DIFF_SIDES];                 // of the files, as they were given
    const struct report_input *inputs[DIFF_SIDES]; // with profiles, or one snapshot each
    const struct prof_diff *diff;                  // of the profiles; NULL: dumps
    // Of the dumps.
    bool same_process; // known to be
    const struct diff_motion_thread *motions;
    size_t motion_count;
};

typedef struct err *report_diff_fn(FILE *out, const struct report_diff *diff,
                                   const struct report_options *options);

// Their names, NULL-terminated.
extern const char *const report_diff_formats[];
// By the name of the format in report_formats; NULL: comparisons are not written in it.
report_diff_fn *report_diff_format(const char *name);

#endif
