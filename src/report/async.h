// SPDX-License-Identifier: GPL-3.0-or-later
// The functions of a profile as --async-stacks counts them, for formats that show no stacks.
#ifndef REPORT_ASYNC_H
#define REPORT_ASYNC_H

#include "report/report.h"

// A copy of the profile's functions in which a function counts where it is in a stack of the view with
// --async-stacks: the event loop below a task does not, and what waits for the task does; and so do
// tasks that wait. Of totals the 95 % bounds are not known then: they are NAN. NULL: out of memory.
struct prof_function *async_functions(const struct prof_report *profile);

#endif
