// SPDX-License-Identifier: GPL-3.0-or-later
// options.def and commands.def as tables: what parser, help, man pages and completions are made of.
#ifndef CLI_OPTION_ROWS_H
#define CLI_OPTION_ROWS_H

#include "cli/cli.h"

// Commands as options.def names them, and sets of them.
#define SNAP 1u
#define ANALYZE 2u
#define GCORE 4u
#define REPORT 8u
#define DIFF 16u
#define TOP 32u
#define PS 64u
#define RUN 128u
#define LIVE (SNAP | TOP | RUN)               // takes snapshots of a live process
#define SEEN (LIVE | ANALYZE)                 // reads a target
#define SHOWN (SNAP | ANALYZE | REPORT | RUN) // writes a report
#define FILTERED (SHOWN | TOP)
#define EVERY (~0u)

enum option_id {
    OPT_GROUP, // no option: the heading of a group
#define GROUP(title)
#define OPTION(id, short_name, long_name, argument, commands, help) OPT_##id,
#define ALIAS(long_name, id)
#define CHOICES(id, words)
#include "cli/options.def"
#undef GROUP
#undef OPTION
#undef ALIAS
#undef CHOICES
    OPTION_COUNT
};

struct option_row {
    enum option_id id;
    char short_name;                  // 0: none
    const char *long_name, *argument; // NULL: takes none
    unsigned commands;
    const char *help; // of a group: its title; of an alias: NULL
};
enum {
    OPTION_ROWS = 0
#define GROUP(title) +1
#define OPTION(id, short_name, long_name, argument, commands, help) +1
#define ALIAS(long_name, id) +1
#define CHOICES(id, words)
#include "cli/options.def"
#undef GROUP
#undef OPTION
#undef ALIAS
#undef CHOICES
};
extern const struct option_row option_rows[OPTION_ROWS];

// The row itself, or the one that it is another name of.
const struct option_row *option_meaning(const struct option_row *row);
// May the command have it? (An alias may where its meaning may; a group never.)
bool option_fits(const struct option_row *row, const struct command *command);

// The next of the rows that a command's help shows, from *at on (0: all of them), which it moves behind
// it; NULL: that was all. *ret_group: the heading that comes before it, NULL: none.
const struct option_row *option_next(const struct command *command, size_t *at,
                                     const char **ret_group);

// The words that its value may be, separated by spaces; NULL: anything.
const char *option_choices(enum option_id id);

struct example {
    unsigned flag; // of its command
    bool in_overview;
    const char *line, *help;
};
extern const struct example examples[]; // NULL-terminated by line

#endif
