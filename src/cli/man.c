// SPDX-License-Identifier: GPL-3.0-or-later
// Man pages in man(7)'s macros, from the tables that --help is made of: they cannot differ.
#include <ctype.h>
#include <string.h>

#include "cli/option_rows.h"
#include "diagnose/diagnose.h"

// groff_char(7), groff_man_style(7): a minus that can be copied, and a backslash that is one.
static void put_text(FILE *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool first = i == 0 || text[i - 1] == '\n';
        if (first && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", out);
        if (text[i] == '-')
            fputs("\\-", out);
        else if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '\'')
            fputs("\\(aq", out);
        else
            putc(text[i], out);
    }
}

static void put(FILE *out, const char *text)
{
    put_text(out, text, strlen(text));
}

// Paragraphs are separated by empty lines.
static void put_paragraphs(FILE *out, const char *text)
{
    for (const char *end; *text; text = end + strspn(end, "\n")) {
        end = strstr(text, "\n\n");
        if (!end)
            end = text + strlen(text);
        put_text(out, text, (size_t)(end - text));
        fputs(*end ? "\n.PP\n" : "\n", out);
    }
}

static void put_title(FILE *out, const struct command *command)
{
    fputs(".\\\" Made by pycore itself (src/cli/man.c); do not edit.\n.TH PYCORE", out);
    if (command) {
        fputs("\\-", out);
        for (const char *at = command->name; *at; at++)
            putc(toupper((unsigned char)*at), out);
    }
    fputs(" 1 \"\" \"pycore " PACKAGE_VERSION "\" \"User Commands\"\n.SH NAME\npycore", out);
    if (command)
        fprintf(out, "\\-%s", command->name);
    fputs(" \\- ", out);
    put(out, command ? command->help : "what a Python process does, from outside");
    putc('\n', out);
}

// Where the help does not name them all.
static void put_choices(FILE *out, const struct option_row *row)
{
    const char *choices = option_choices(row->id);
    bool named = true;
    for (const char *word = choices; word;
         word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL) {
        char text[32];
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(word, " "), word);
        named &= strstr(row->help, text) != NULL;
    }
    if (named)
        return;
    fputs("One of ", out);
    put(out, choices);
    fputs(".\n", out);
}

static void put_option(FILE *out, const struct option_row *row)
{
    fputs(".TP\n", out);
    if (row->short_name)
        fprintf(out, "\\fB\\-%c\\fR, ", row->short_name);
    fputs("\\fB\\-\\-", out);
    put(out, row->long_name);
    fputs("\\fR", out);
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        if (option_rows[i].help || option_rows[i].id != row->id)
            continue;
        fputs(", \\fB\\-\\-", out);
        put(out, option_rows[i].long_name);
        fputs("\\fR", out);
    }
    if (row->argument)
        fprintf(out, " \\fI%s\\fR", row->argument);
    putc('\n', out);
    put(out, row->help);
    fputs(".\n", out);
    put_choices(out, row);
}

static void put_options(FILE *out, const struct command *command)
{
    const struct option_row *row;
    const char *group;
    fputs(".SH OPTIONS\n", out);
    for (size_t at = 0; (row = option_next(command, &at, &group));) {
        if (group)
            fprintf(out, ".SS %s\n", group);
        put_option(out, row);
    }
}

static void put_formats(FILE *out)
{
    fputs(".SH FORMATS\nWithout \\fB\\-f\\fR, the ending of the file decides; standard output gets "
          "text.\n",
          out);
    for (const struct report_format *format = report_formats; format->name; format++) {
        fprintf(out, ".TP\n\\fB%s\\fR (", format->name);
        put(out, format->ending);
        fputs(")\n", out);
        put(out, format->help);
        fputs(".\n", out);
    }
}

static void put_examples(FILE *out, const struct command *command)
{
    fputs(".SH EXAMPLES\n", out);
    for (const struct example *example = examples; example->line; example++) {
        if (command ? example->flag != command->flag : !example->in_overview)
            continue;
        fputs(".TP\n.B ", out);
        put(out, example->line);
        putc('\n', out);
        put(out, example->help);
        putc('\n', out);
    }
}

static void put_exit_status(FILE *out)
{
    static const char *const rows[][2] = {
        {"0", "a complete report"},
        {"1",
         "a report, but something it should hold could not be read, or it was interrupted; its "
         "notes say what is missing and what mends it"},
        {"2", "no report; one line on standard error says what, where, and what to do"},
        {"3", "a report was made, and it has a finding as severe as --fail-on asks for"},
        {"64", "the command line was wrong"},
    };
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fprintf(out, ".TP\n.B %s\n", rows[i][0]);
        put(out, rows[i][1]);
        fputs(".\n", out);
    }
    fputs(".PP\n\\fBpycore run\\fR exits as the program did, but with 3 when --fail-on asks for "
          "that.\n",
          out);
}

static void put_environment(FILE *out)
{
    static const char *const rows[][2] = {
        {"NO_COLOR", "when set and not empty, no colours with --color auto"},
        {"TMPDIR", "where packed cores are unpacked, into files without a name; else /var/tmp"},
        {"DEBUGINFOD_URLS", "servers that --debuginfod asks"},
    };
    fputs(".SH ENVIRONMENT\n", out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fprintf(out, ".TP\n.B %s\n", rows[i][0]);
        put(out, rows[i][1]);
        fputs(".\n", out);
    }
    fputs(".SH PERMISSIONS\n"
          "Reading another process needs the right to trace it, see\n.BR ptrace (2):\n"
          "be its user, or root, or have CAP_SYS_PTRACE. Where a rule refuses, pycore names it and "
          "the "
          "cure.\n",
          out);
}

static void put_see_also(FILE *out, const struct command *command)
{
    fputs(".SH SEE ALSO\n", out);
    if (command)
        fputs(".BR pycore (1),\n", out);
    for (const struct command *other = commands; other->name; other++)
        if (other != command)
            fprintf(out, ".BR pycore\\-%s (1),\n", other->name);
    fputs(".BR ptrace (2),\n.BR core (5),\n.BR proc (5)\n", out);
}

static void put_findings(FILE *out)
{
    fputs(".SH FINDINGS\n"
          "What a report may find, by the names that its JSON and its fingerprint have:\n",
          out);
    for (const struct diag_rule *rule = diag_rules; rule->id; rule++) {
        fputs(".TP\n.B ", out);
        put(out, rule->id);
        putc('\n', out);
        put(out, rule->help);
        fputs(".\n", out);
    }
}

static void put_overview(FILE *out)
{
    fputs(".SH SYNOPSIS\n.B pycore\n.I COMMAND\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n", out);
    put_paragraphs(
        out, "What is this Python process doing, and why is it hot, hung or crashed? pycore "
             "answers from outside: it takes a live process or a core dump, reads it as memory, "
             "and reconstructs the stack of every thread, Python and native frames in one "
             "order. Repeated brief snapshots become a report of where the time goes.\n\n"
             "Nothing is installed in the target, and nothing is written into it.");
    fputs(".SH COMMANDS\n", out);
    for (const struct command *command = commands; command->name; command++) {
        fprintf(out, ".TP\n\\fBpycore\\-%s\\fR(1)\n", command->name);
        put(out, command->help);
        fputs(".\n", out);
    }
    put_findings(out);
}

static void put_command(FILE *out, const struct command *command)
{
    fprintf(out, ".SH SYNOPSIS\n.B pycore %s\n[\\fIOPTION\\fR]...\n", command->name);
    if (command->arguments[0]) {
        fputs(".I ", out);
        put(out, command->arguments);
        putc('\n', out);
    }
    fputs(".SH DESCRIPTION\n", out);
    put_paragraphs(out, command->description);
    put_options(out, command);
    for (size_t i = 0; i < OPTION_ROWS; i++)
        if (option_rows[i].id == OPT_FORMAT && option_fits(&option_rows[i], command))
            put_formats(out);
}

void print_man(FILE *out, const struct command *command)
{
    put_title(out, command);
    if (command)
        put_command(out, command);
    else
        put_overview(out);
    put_examples(out, command);
    put_exit_status(out);
    put_environment(out);
    put_see_also(out, command);
}
