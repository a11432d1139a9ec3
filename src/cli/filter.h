// SPDX-License-Identifier: GPL-3.0-or-later
// Which thread samples count: --thread, --gil, --on-cpu. What is left out is in no number of the
// report, but for those that the kernel gives for the process as a whole.
#ifndef CLI_FILTER_H
#define CLI_FILTER_H

#include "cli/cli.h"

struct filter_counts {
    uint64_t samples, kept;
};

bool filter_is_set(const struct options *options);
// Marks threads as left_out, and takes away what is only known of the process as a whole.
void filter_mark(const struct options *options, const struct strtab *strings,
                 struct snapshot *snapshot, struct filter_counts *ret_counts);
// Removes the marked threads.
void filter_drop(struct snapshot *snapshot);
// "only samples of threads that hold the GIL (--gil): 412 of 5,000"; nothing without a filter.
void filter_note(const struct options *options, const struct filter_counts *counts,
                 struct strtab *strings, struct snap_notes *notes);

#endif
