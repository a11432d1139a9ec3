// SPDX-License-Identifier: GPL-3.0-or-later
// The list of formats, from formats.def, and how one is found by name or by that of a file.
#include <fnmatch.h>
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

// Is the file's name one of those that mean the format: by an ending, or else by a pattern?
static bool is_named(const struct report_format *format, const char *path, bool by_pattern)
{
    const char *slash = strrchr(path, '/'), *word = format->ending;
    for (size_t size; *word; word += size + (word[size] == ' ')) {
        char text[64];
        size = strcspn(word, " ");
        snprintf(text, sizeof(text), "%s%.*s", word[0] == '.' ? "*" : "", (int)size, word);
        if ((word[0] != '.') == by_pattern && fnmatch(text, slash ? slash + 1 : path, 0) == 0)
            return true;
    }
    return false;
}

const struct report_format *report_format_by_ending(const char *path)
{
    for (int by_pattern = 0; by_pattern < 2; by_pattern++)
        for (const struct report_format *format = report_formats; format->name; format++)
            if (is_named(format, path, by_pattern))
                return format;
    return NULL;
}
