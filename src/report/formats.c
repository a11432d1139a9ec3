// SPDX-License-Identifier: GPL-3.0-or-later
// The list of formats, from formats.def, and how one is found by name or by the ending of a file.
#include <string.h>

#include "report/report.h"

const struct report_format report_formats[] = {
#define FORMAT(name, ending, help, function, flags) {name, ending, help, function, flags},
#include "report/formats.def"
#undef FORMAT
    {NULL, NULL, NULL, NULL, 0},
};

const struct report_format *report_format_by_name(const char *name)
{
    for (const struct report_format *format = report_formats; format->name; format++)
        if (strcmp(format->name, name) == 0)
            return format;
    return NULL;
}

// The longest ending that fits: a .speedscope.json is no .json.
const struct report_format *report_format_by_ending(const char *path)
{
    const struct report_format *best = NULL;
    size_t length = strlen(path), longest = 0;
    for (const struct report_format *format = report_formats; format->name; format++) {
        size_t ending = strlen(format->ending);
        if (ending > longest && length >= ending &&
            strcmp(path + length - ending, format->ending) == 0) {
            best = format;
            longest = ending;
        }
    }
    return best;
}
