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

// How much of the file's name means the format: an ending's length, 1 for a pattern, 0 for nothing.
static size_t meant_by(const struct report_format *format, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t most = 0;
    for (const char *word = format->ending; *word;) {
        char text[64];
        size_t size = strcspn(word, " "), meant = word[0] == '.' ? size : 1;
        snprintf(text, sizeof(text), "%s%.*s", word[0] == '.' ? "*" : "", (int)size, word);
        if (meant > most && fnmatch(text, name, 0) == 0)
            most = meant;
        word += size + (word[size] == ' ');
    }
    return most;
}

// The longest ending that fits: a .speedscope.json is no .json, and callgrind.json is one.
const struct report_format *report_format_by_ending(const char *path)
{
    const struct report_format *best = NULL;
    size_t most = 0;
    for (const struct report_format *format = report_formats; format->name; format++) {
        size_t meant = meant_by(format, path);
        if (meant > most) {
            most = meant;
            best = format;
        }
    }
    return best;
}

const struct snapshot *report_judged(const struct snapshot *before, const struct snapshot *last)
{
    return before && snap_waits_known(before) > snap_waits_known(last) ? before : last;
}

const struct snapshot *report_last(const struct report_input *input)
{
    size_t count = input->snapshot_count;
    if (input->last || !count)
        return input->last;
    return report_judged(input->profile && count > 1 ? input->snapshots[count - 2] : NULL,
                         input->snapshots[count - 1]);
}
