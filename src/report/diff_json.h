// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison as JSON (diff_json.c has the schema).
#ifndef REPORT_DIFF_JSON_H
#define REPORT_DIFF_JSON_H

#include "report/diff.h"

report_diff_fn diff_json;

#endif
