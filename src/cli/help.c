// SPDX-License-Identifier: GPL-3.0-or-later
// --help, of pycore and of each command.
#include <string.h>

#include "cli/option_rows.h"
#include "util/guard.h"

const struct command *command_by_name(const char *name)
{
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static void print_option(FILE *out, const struct option_row *row)
{
    char left[64], flag[8] = "    ";
    if (row->short_name)
        snprintf(flag, sizeof(flag), "-%c, ", row->short_name);
    snprintf(left, sizeof(left), "%s--%s%s%s", flag, row->long_name, row->argument ? " " : "",
             row->argument ? row->argument : "");
    fprintf(out, "  %-24s %s\n", left, row->help);
}

static void print_options(FILE *out, const struct command *command)
{
    const struct option_row *row;
    const char *group;
    for (size_t at = 0; (row = option_next(command, &at, &group));) {
        if (group)
            fprintf(out, "\n%s:\n", group);
        print_option(out, row);
    }
}

static bool has_formats(const struct command *command)
{
    for (size_t i = 0; i < OPTION_ROWS; i++)
        if (option_rows[i].id == OPT_FORMAT)
            return option_fits(&option_rows[i], command);
    return false;
}

static void print_examples(FILE *out, const struct command *command)
{
    fputs("\nExamples:\n", out);
    for (const struct example *example = examples; example->line; example++)
        if (example->flag == command->flag)
            fprintf(out, "  %s\n      %s\n", example->line, example->help);
}

void print_command_help(FILE *out, const struct command *command)
{
    bool operands = command->arguments[0];
    fprintf(out, "Usage: pycore %s [OPTION]...%s%s\n%s.\n", command->name, operands ? " " : "",
            command->arguments, command->help);
    print_options(out, command);
    if (has_formats(command)) {
        fputs("\nFormats (-f, or the ending of -o's file):\n", out);
        for (const struct report_format *format = report_formats; format->name; format++)
            fprintf(out, "  %-11s %-22s %s\n", format->name, format->ending, format->help);
    }
    print_examples(out, command);
}

void print_help(FILE *out)
{
    fputs("Usage: pycore COMMAND [OPTION]...\n"
          "What is this Python process doing, and why is it hot, hung or crashed?\n\n"
          "Commands:\n",
          out);
    for (const struct command *command = commands; command->name; command++) {
        char left[32];
        snprintf(left, sizeof(left), "%s %s", command->name, command->arguments);
        fprintf(out, "  %-18s %s\n", left, command->help);
    }
    fputs("  help COMMAND       options and examples of a command\n\n"
          "Examples:\n",
          out);
    for (const struct example *example = examples; example->line; example++)
        if (example->in_overview)
            fprintf(out, "  %-39s %s\n", example->line, example->help);
    fputs("\nExit codes: 0 complete report, 1 one with gaps (its notes say which), 2 none,\n"
          "3 a finding as --fail-on asks for, 64 usage. The target is never left stopped.\n",
          out);
}
