// SPDX-License-Identifier: GPL-3.0-or-later
// A differential flame graph as SVG within a page of HTML.
#ifndef REPORT_DIFF_FLAME_H
#define REPORT_DIFF_FLAME_H

#include "report/diff_page.h"

// `page` is one of profiles. False: out of memory.
bool diff_flame(FILE *out, const struct diff_page *page);

#endif
