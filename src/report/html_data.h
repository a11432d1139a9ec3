// SPDX-License-Identifier: GPL-3.0-or-later
// The data of the HTML report's scripts, and what they share.
#ifndef REPORT_HTML_DATA_H
#define REPORT_HTML_DATA_H

#include "report/json_writer.h"
#include "report/report.h"
#include "report/view.h"

// <script type="application/json" id="data">: a profile as its scripts want it.
struct err *html_data(FILE *out, const struct report_input *input,
                      const struct report_options *options);

// html_moments.c: "moments", which snapshot had which stacks; null when the profile does not know.
struct err *html_moments(struct json_writer *json, const struct prof_report *profile,
                         const struct view *view);

// html_tree.c: "nodes", "stacks" and "task_stacks"; the latter's frames are numbered behind those of
// `view`. `tasks` NULL: there are none.
struct err *html_stacks(struct json_writer *json, const struct view *view,
                        const struct view *tasks);

#endif
