// SPDX-License-Identifier: GPL-3.0-or-later
// What is known beyond stacks, in the JSON report: see json_crash.c.
#ifndef REPORT_JSON_CRASH_H
#define REPORT_JSON_CRASH_H

#include "report/json.h"

// "exceptions" and "hidden_values" of a thread, each only where there are some
void json_exceptions(struct json_report *report, const struct snap_thread *thread);
// "crash": {...}; nothing where nothing crashed
void json_crash(struct json_report *report, const struct snap_crash *crash);
// "environment": {...}; nothing where nothing is known of it (json_environment.c)
void json_environment(struct json_report *report, const struct snap_environment *environment);

#endif
