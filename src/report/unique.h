// SPDX-License-Identifier: GPL-3.0-or-later
// Names of a view's functions for readers that tell functions apart by their names: where two have
// the same one (__init__ before Python 3.11, <module>, <lambda>), "name (place)".
#ifndef REPORT_UNIQUE_H
#define REPORT_UNIQUE_H

#include "report/view.h"

struct unique {
    const struct view *view;
    char **texts; // by view frame; NULL: its name
};

enum unique_scope {
    UNIQUE_EVERYWHERE,
    UNIQUE_IN_FILE, // of the same file (native code without one: of any module)
};

struct err *unique_init(struct unique *unique, const struct view *view,
                        const struct report_input *input, const struct report_options *options,
                        enum unique_scope scope);
void unique_deinit(struct unique *unique);

const char *unique_name(const struct unique *unique, size_t frame);

#endif
