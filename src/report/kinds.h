// SPDX-License-Identifier: GPL-3.0-or-later
// Threads of one kind: their names differ in numbers only, as those of a pool do.
#ifndef REPORT_KINDS_H
#define REPORT_KINDS_H

#include "report/page.h"

struct kind {
    char *stem;     // the name, each number a "*"
    uint32_t first; // of its threads: an index in prof_report.threads
    size_t threads;
    uint64_t samples, working;
    uint64_t weight; // of the page's weigh.base
};

struct kinds {
    VEC(struct kind) list;
    uint32_t *of_thread; // by index in prof_report.threads
};

// False: out of memory; kinds_deinit() is due in any case.
bool kinds_find(const struct page *page, struct kinds *ret);
void kinds_deinit(struct kinds *kinds);
// Its name in code marks: inference-*.
void kind_say(struct plain *plain, const struct kind *kind);

#endif
