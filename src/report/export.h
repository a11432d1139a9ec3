// SPDX-License-Identifier: GPL-3.0-or-later
// What the exports for other programs (svg, folded, speedscope, csv) say in the same words.
#ifndef REPORT_EXPORT_H
#define REPORT_EXPORT_H

#include "report/plain.h"
#include "report/view.h"

// Stands for the frames of a stack that has none: nothing was read, or all are hidden.
#define EXPORT_NO_FRAMES "(no frames)"

// The state of a stack that is of tasks which wait.
#define EXPORT_AWAITS "await"

// "python3.11 serve.py --port 80", at most one line.
void export_command(struct plain *out, const struct report_input *input);
// "Process 4711 on web-3, Python 3.11.7, 2026-11-22 03:12:00 UTC."; of several: "3 processes ..."
void export_subject(struct plain *out, const struct report_input *input);
// "50 snapshots, one every 200 ms, over 10 s; 20 threads."
void export_run(struct plain *out, const struct prof_report *profile);

// Guard of a view.
void export_view(struct view **place);
struct err *export_no_memory(void);
// NULL, or that it could not be written.
struct err *export_finish(FILE *out);

#endif
