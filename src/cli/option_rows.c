// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/option_rows.h.
#include "cli/option_rows.h"

const struct option_row option_rows[OPTION_ROWS] = {
#define GROUP(title) {OPT_GROUP, 0, NULL, NULL, 0, title},
#define OPTION(id, short_name, long_name, argument, valid, help) \
    {OPT_##id, short_name, long_name, argument, valid, help},
#define ALIAS(long_name, id) {OPT_##id, 0, long_name, NULL, 0, NULL},
#define CHOICES(id, words)
#include "cli/options.def"
#undef GROUP
#undef OPTION
#undef ALIAS
#undef CHOICES
};

const struct command commands[] = {
#define COMMAND(name, flag, operands, help, run, description) \
    {name, operands, help, description, flag, run},
#define EXAMPLE(flag, line, help)
#define SHOWN_EXAMPLE(flag, line, help)
#include "cli/commands.def"
#undef COMMAND
#undef EXAMPLE
#undef SHOWN_EXAMPLE
    {NULL, NULL, NULL, NULL, 0, NULL},
};

const struct example examples[] = {
#define COMMAND(name, flag, operands, help, run, description)
#define EXAMPLE(flag, line, help) {flag, false, line, help},
#define SHOWN_EXAMPLE(flag, line, help) {flag, true, line, help},
#include "cli/commands.def"
#undef COMMAND
#undef EXAMPLE
#undef SHOWN_EXAMPLE
    {0, false, NULL, NULL},
};

const struct option_row *option_meaning(const struct option_row *row)
{
    for (size_t i = 0; !row->help && i < OPTION_ROWS; i++)
        if (option_rows[i].id == row->id && option_rows[i].help)
            return &option_rows[i];
    return row;
}

bool option_fits(const struct option_row *row, const struct command *command)
{
    return row->id != OPT_GROUP && option_meaning(row)->commands & command->flag;
}

const struct option_row *option_next(const struct command *command, size_t *at,
                                     const char **ret_group)
{
    *ret_group = NULL;
    while (*at < OPTION_ROWS) {
        const struct option_row *row = &option_rows[(*at)++];
        if (row->id == OPT_GROUP)
            *ret_group = row->help;
        else if (option_fits(row, command) && row->help)
            return row;
    }
    return NULL;
}

const char *option_choices(enum option_id id)
{
    switch (id) {
#define GROUP(title)
#define OPTION(id, short_name, long_name, argument, valid, help)
#define ALIAS(long_name, id)
#define CHOICES(id, words) \
    case OPT_##id:         \
        return words;
#include "cli/options.def"
#undef GROUP
#undef OPTION
#undef ALIAS
#undef CHOICES
    default:
        return NULL;
    }
}
