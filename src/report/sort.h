// SPDX-License-Identifier: GPL-3.0-or-later
// --sort: the order of functions in a table, the same in every format.
#ifndef REPORT_SORT_H
#define REPORT_SORT_H

#include "report/report.h"
#include "report/weigh.h"

// Fills `order` with the indexes of all functions of the profile: largest first, or by name; what is
// equal by own weight, then by total, then as in the profile. `kind` is not REPORT_SORT_DEFAULT.
void sort_functions(const struct report_input *input, const struct weigh *weigh,
                    enum report_sort kind, uint32_t *order);
// What it is sorted by; 0 for names.
uint64_t sort_value(const struct weigh *weigh, enum report_sort kind,
                    const struct prof_function *function);
// "Functions by their own work"
const char *sort_title(enum report_sort kind);

#endif
