// SPDX-License-Identifier: GPL-3.0-or-later
// Completions for bash, zsh and fish, from the tables that --help is made of.
#include <string.h>

#include "cli/option_rows.h"

// What may stand in the place of an option's value, or of what is looked at.
enum value_kind { VALUE_ANY, VALUE_WORDS, VALUE_FILE, VALUE_FOLDER, VALUE_PID, VALUE_PROGRAM };

static enum value_kind kind_of(const char *argument)
{
    static const struct {
        const char *argument;
        enum value_kind kind;
    } rows[] = {{"FILE", VALUE_FILE},
                {"CORE...", VALUE_FILE},
                {"A B", VALUE_FILE},
                {"DIR", VALUE_FOLDER},
                {"PID", VALUE_PID},
                {"A,B,C", VALUE_PID},
                {"-- PROGRAM...", VALUE_PROGRAM}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(argument, rows[i].argument) == 0)
            return rows[i].kind;
    return VALUE_ANY;
}

static enum value_kind value_of(const struct option_row *row)
{
    return row->id == OPT_FORMAT || option_choices(row->id) ? VALUE_WORDS : kind_of(row->argument);
}

static void put_words(FILE *out, const struct option_row *row)
{
    if (row->id != OPT_FORMAT) {
        fputs(option_choices(row->id), out);
        return;
    }
    for (const struct report_format *format = report_formats; format->name; format++)
        fprintf(out, "%s%s", format == report_formats ? "" : " ", format->name);
}

static void put_commands(FILE *out)
{
    for (const struct command *command = commands; command->name; command++)
        fprintf(out, "%s ", command->name);
}

// Inside of single quotes of a shell; `special` characters get a backslash.
static void put_quoted(FILE *out, const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fprintf(out, "%s%c", strchr(special, *text) ? "\\" : "", *text);
    }
}

// Interpreters by their name in the process table: quick, and what one means by it.
#define PIDS "$(ps -eo pid=,args= 2>/dev/null | awk '/[p]ython/ {print $1}')"

// ---- bash ----------------------------------------------------------------------------------------

static void put_bash_value(FILE *out, enum value_kind kind)
{
    static const char *const lines[] = {
        [VALUE_ANY] = ":",
        [VALUE_FILE] = "COMPREPLY=($(compgen -f -- \"$cur\"))",
        [VALUE_FOLDER] = "COMPREPLY=($(compgen -d -- \"$cur\"))",
        [VALUE_PID] = "COMPREPLY=($(compgen -W \"" PIDS "\" -- \"$cur\"))",
        [VALUE_PROGRAM] = "COMPREPLY=($(compgen -c -- \"$cur\"))",
    };
    fprintf(out, "%s ;;\n", lines[kind]);
}

static void put_bash_options(FILE *out, const struct command *command)
{
    fprintf(out, "    %s)\n        case $prev in\n", command->name);
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!option_fits(row, command) || !row->help || !row->argument)
            continue;
        fputs("        ", out);
        if (row->short_name)
            fprintf(out, "-%c | ", row->short_name);
        fprintf(out, "--%s) ", row->long_name);
        if (value_of(row) == VALUE_WORDS) {
            fputs("COMPREPLY=($(compgen -W \"", out);
            put_words(out, row);
            fputs("\" -- \"$cur\")) ;;\n", out);
        } else {
            put_bash_value(out, value_of(row));
        }
    }
    fputs("        *)\n            case $cur in\n            -*) COMPREPLY=($(compgen -W \"", out);
    for (size_t i = 0; i < OPTION_ROWS; i++)
        if (option_fits(&option_rows[i], command))
            fprintf(out, "--%s ", option_rows[i].long_name);
    fputs("\" -- \"$cur\")) ;;\n            *) ", out);
    put_bash_value(out, kind_of(command->arguments));
    fputs("            esac ;;\n        esac ;;\n", out);
}

static void print_bash(FILE *out)
{
    fputs("# bash completion of pycore, made by pycore itself: pycore help --completion bash\n"
          "_pycore()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"",
          out);
    put_commands(out);
    fputs("help --help --version\" -- \"$cur\"))\n        return\n    fi\n"
          "    case ${COMP_WORDS[1]} in\n    help) COMPREPLY=($(compgen -W \"",
          out);
    put_commands(out);
    fputs("\" -- \"$cur\")) ;;\n", out);
    for (const struct command *command = commands; command->name; command++)
        put_bash_options(out, command);
    fputs("    esac\n}\ncomplete -o filenames -o bashdefault -F _pycore pycore\n", out);
}

// ---- zsh -----------------------------------------------------------------------------------------

static void put_zsh_value(FILE *out, enum value_kind kind)
{
    static const char *const actions[] = {
        [VALUE_ANY] = " ",
        [VALUE_FILE] = "_files",
        [VALUE_FOLDER] = "_files -/",
        [VALUE_PID] = "_pycore_pids",
        [VALUE_PROGRAM] = "_normal",
    };
    fputs(actions[kind], out);
}

static void put_zsh_option(FILE *out, const struct option_row *row, const char *long_name)
{
    const struct option_row *meant = option_meaning(row);
    const char *quote = "'";
    if (row->short_name)
        fprintf(out, " \\\n            '(-%c --%s)'{-%c,--%s}'", row->short_name, long_name,
                row->short_name, long_name);
    else
        fprintf(out, " \\\n            %s--%s", quote, long_name);
    fputs("[", out);
    put_quoted(out, meant->help, "[]:");
    fputs("]", out);
    if (meant->argument) {
        fprintf(out, ":%s:", meant->argument);
        if (value_of(meant) == VALUE_WORDS) {
            fputs("(", out);
            put_words(out, meant);
            fputs(")", out);
        } else {
            put_zsh_value(out, value_of(meant));
        }
    }
    fputs(quote, out);
}

// What stands behind "--" is a command line of its own. (zsh finds its commands by an array `commands`.)
static const char zsh_program[] = "        local -i dashes=${words[(i)--]}\n"
                                  "        if ((dashes < CURRENT)); then\n"
                                  "            shift dashes words\n"
                                  "            ((CURRENT -= dashes))\n"
                                  "            _normal\n"
                                  "            return\n"
                                  "        fi\n";

static void print_zsh(FILE *out)
{
    fputs("#compdef pycore\n"
          "# Made by pycore itself: pycore help --completion zsh\n"
          "_pycore_pids() {\n    local -a pids\n    pids=(${(f)\"" PIDS "\"})\n"
          "    compadd -a pids\n}\n"
          "_pycore() {\n    local -a first\n    first=(\n",
          out);
    for (const struct command *command = commands; command->name; command++) {
        fprintf(out, "        '%s:", command->name);
        put_quoted(out, command->help, ":");
        fputs("'\n", out);
    }
    fputs("        'help:options and examples of a command'\n    )\n"
          "    if ((CURRENT == 2)); then\n        _describe command first\n        return\n    "
          "fi\n"
          "    local command=$words[2]\n    shift words\n    ((CURRENT--))\n    case $command in\n"
          "    help) _describe command first ;;\n",
          out);
    for (const struct command *command = commands; command->name; command++) {
        fprintf(out, "    %s)\n", command->name);
        if (kind_of(command->arguments) == VALUE_PROGRAM)
            fputs(zsh_program, out);
        fputs("        _arguments -s -S", out);
        for (size_t i = 0; i < OPTION_ROWS; i++)
            if (option_fits(&option_rows[i], command))
                put_zsh_option(out, &option_rows[i], option_rows[i].long_name);
        if (command->arguments[0]) {
            fprintf(out, " \\\n            '*:%s:", command->arguments);
            put_zsh_value(out, kind_of(command->arguments));
            fputs("'", out);
        }
        fputs(" ;;\n", out);
    }
    fputs("    esac\n}\n_pycore \"$@\"\n", out);
}

// ---- fish ----------------------------------------------------------------------------------------

static void put_fish_value(FILE *out, const struct option_row *row)
{
    switch (value_of(row)) {
    case VALUE_WORDS:
        fputs(" -x -a '", out);
        put_words(out, row);
        fputs("'", out);
        break;
    case VALUE_FILE:
        fputs(" -r -F", out);
        break;
    case VALUE_FOLDER:
        fputs(" -x -a '(__fish_complete_directories)'", out);
        break;
    case VALUE_PID:
        fputs(" -x -a '(__fish_complete_pids)'", out);
        break;
    default:
        fputs(" -x", out);
    }
}

static void print_fish(FILE *out)
{
    fputs("# fish completion of pycore, made by pycore itself: pycore help --completion fish\n"
          "complete -c pycore -f\n"
          "complete -c pycore -n __fish_use_subcommand -a help -d 'options and examples of a "
          "command'\n"
          "complete -c pycore -n '__fish_seen_subcommand_from help' -a '",
          out);
    put_commands(out);
    fputs("'\n", out);
    for (const struct command *command = commands; command->name; command++) {
        fprintf(out, "complete -c pycore -n __fish_use_subcommand -a %s -d '", command->name);
        put_quoted(out, command->help, "");
        fputs("'\n", out);
        for (size_t i = 0; i < OPTION_ROWS; i++) {
            const struct option_row *row = &option_rows[i], *meant = option_meaning(row);
            if (!option_fits(row, command))
                continue;
            fprintf(out, "complete -c pycore -n '__fish_seen_subcommand_from %s'", command->name);
            if (row->short_name)
                fprintf(out, " -s %c", row->short_name);
            fprintf(out, " -l %s", row->long_name);
            if (meant->argument)
                put_fish_value(out, meant);
            fputs(" -d '", out);
            put_quoted(out, meant->help, "");
            fputs("'\n", out);
        }
        static const char *const operands[] = {
            [VALUE_FILE] = " -F",
            [VALUE_PID] = " -a '(__fish_complete_pids)'",
            [VALUE_PROGRAM] = " -a '(__fish_complete_subcommand)'",
        };
        enum value_kind kind = kind_of(command->arguments);
        if (kind != VALUE_ANY)
            fprintf(out, "complete -c pycore -n '__fish_seen_subcommand_from %s'%s\n",
                    command->name, operands[kind]);
    }
}

bool print_completion(FILE *out, const char *shell)
{
    static const struct {
        const char *shell;
        void (*print)(FILE *out);
    } rows[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].shell, shell) == 0) {
            rows[i].print(out);
            return true;
        }
    }
    return false;
}
