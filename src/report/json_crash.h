// SPDX-License-Identifier: GPL-3.0-or-later
// What is known beyond stacks, in the JSON report: see json_crash.c.
#ifndef REPORT_JSON_CRASH_H
#define REPORT_JSON_CRASH_H

#include "report/json.h"

// "exceptions": [...]; nothing where there are none
void json_exceptions(struct json_report *report, const struct snap_thread *thread);
// "crash": {...}; nothing where nothing crashed
void json_crash(struct json_report *report, const struct snap_crash *crash);

#endif
