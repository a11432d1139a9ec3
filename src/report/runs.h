// SPDX-License-Identifier: GPL-3.0-or-later
#ifndef REPORT_RUNS_H
#define REPORT_RUNS_H

#include "report/plain.h"

// What a command line runs, in short: "shop/manage.py runserver", "-m http.server 8000",
// "-c 'import x; ...'"; of other programs than Python all words. `exe` and `comm` are what is shown
// of a process without arguments; both may be NULL.
void runs_say(struct plain *plain, char *const *argv, const char *exe, const char *comm);

#endif
