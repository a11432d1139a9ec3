// SPDX-License-Identifier: GPL-3.0-or-later
// Options and help, all from options.def.
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "util/guard.h"

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

#define DEFAULT_MAX_PAUSE_NS 5000000u

enum option_id {
    OPT_GROUP, // no option: the heading of a group
#define GROUP(title)
#define OPTION(id, short_name, long_name, argument, commands, help) OPT_##id,
#define ALIAS(long_name, id)
#include "cli/options.def"
#undef GROUP
#undef OPTION
#undef ALIAS
    OPTION_COUNT
};

struct option_row {
    enum option_id id;
    char short_name;
    const char *long_name, *argument; // of a group: NULL
    unsigned commands;
    const char *help; // of a group: its title; of an alias: NULL
};

static const struct option_row rows[] = {
#define GROUP(title) {OPT_GROUP, 0, NULL, NULL, 0, title},
#define OPTION(id, short_name, long_name, argument, valid, help) \
    {OPT_##id, short_name, long_name, argument, valid, help},
#define ALIAS(long_name, id) {OPT_##id, 0, long_name, NULL, 0, NULL},
#include "cli/options.def"
#undef GROUP
#undef OPTION
#undef ALIAS
};

// The row itself, or the one that it is another name of.
static const struct option_row *meaning(const struct option_row *row)
{
    for (size_t i = 0; !row->help && i < ARRAY_SIZE(rows); i++)
        if (rows[i].id == row->id && rows[i].help)
            return &rows[i];
    return row;
}

const struct command commands[] = {
    {"snap", "PID", "stacks of a live process; with -n or -d its hotspots", SNAP, run_snap},
    {"analyze", "CORE...", "the same from a core dump or a capture", ANALYZE, run_analyze},
    {"gcore", "PID", "write a core dump of a process that lives on", GCORE, run_gcore},
    {"report", "FILE", "a capture or a JSON report once more, in any format", REPORT, run_report},
    {"diff", "A B", "what got hotter and what colder between two of these", DIFF, run_diff},
    {"top", "PID", "a live view of threads and functions", TOP, run_top},
    {"ps", "", "the Python processes of this machine", PS, run_ps},
    {"run", "-- PROGRAM...", "start a program, and observe it until it exits", RUN, run_run},
    {NULL, NULL, NULL, 0, NULL},
};

void print_command_help(FILE *out, const struct command *command)
{
    fprintf(out, "Usage: pycore %s [OPTION]... %s\n%s.\n\n", command->name, command->arguments,
            command->help);
    const char *group = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].id == OPT_GROUP)
            group = rows[i].help;
        if (!(rows[i].commands & command->flag))
            continue;
        if (group)
            fprintf(out, "%s:\n", group);
        group = NULL;
        char left[64], flag[8] = "    ";
        if (rows[i].short_name)
            snprintf(flag, sizeof(flag), "-%c, ", rows[i].short_name);
        snprintf(left, sizeof(left), "%s--%s%s%s", flag, rows[i].long_name,
                 rows[i].argument ? " " : "", rows[i].argument ? rows[i].argument : "");
        fprintf(out, "  %-24s %s\n", left, rows[i].help);
    }
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
    fputs("  help COMMAND       options of a command\n\n"
          "Examples:\n"
          "  pycore snap 4711                        what every thread is doing right now\n"
          "  pycore snap 4711 -n 50 -i 200ms         where the time goes\n"
          "  pycore snap 4711 -d 30s -o report.md    the same, for a ticket\n"
          "  pycore analyze core.4711                a crash\n"
          "  pycore gcore 4711 -o core.4711          evidence to look at later\n\n"
          "Exit codes: 0 complete report, 1 report with gaps (its notes say which),\n"
          "2 no report, 64 usage. The target is only read, and never left stopped.\n",
          out);
}

bool parse_time(const char *text, bool bare_seconds, uint64_t *ret_ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    double value = strtod(text, &end);
    double scale = *end == '\0' && bare_seconds ? 1e9 : 0;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (strcmp(end, units[i].unit) == 0)
            scale = units[i].ns;
    if (errno || scale == 0 || !(value > 0) || value * scale > 1e18 || value * scale < 1)
        return false;
    *ret_ns = (uint64_t)(value * scale);
    return true;
}

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || !isdigit((unsigned char)text[0]) || *end || value < low || value > high)
        return false;
    *ret = value;
    return true;
}

static bool parse_color(const char *text, bool *ret)
{
    const char *no_color = getenv("NO_COLOR");
    if (strcmp(text, "auto") == 0)
        *ret = isatty(STDOUT_FILENO) && !(no_color && no_color[0]); // no-color.org
    else if (strcmp(text, "always") == 0 || strcmp(text, "never") == 0)
        *ret = text[0] == 'a';
    else
        return false;
    return true;
}

static bool parse_stop(const char *text, enum stop_mode *ret)
{
    static const char *const words[] = {
        [STOP_RUNNING] = "running", [STOP_ALL] = "all", [STOP_NONE] = "none"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum stop_mode)i;
            return true;
        }
    }
    return false;
}

static bool parse_weight(const char *text, enum report_weight *ret)
{
    static const char *const words[] = {[REPORT_WEIGHT_SAMPLES] = "samples",
                                        [REPORT_WEIGHT_WALL] = "wall",
                                        [REPORT_WEIGHT_CPU] = "cpu"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum report_weight)i;
            return true;
        }
    }
    return false;
}

static bool parse_sort(const char *text, enum report_sort *ret)
{
    static const char *const words[] = {
        [REPORT_SORT_DEFAULT] = "default", [REPORT_SORT_OWN] = "own",
        [REPORT_SORT_SELF] = "self",       [REPORT_SORT_TOTAL] = "total",
        [REPORT_SORT_CPU] = "cpu",         [REPORT_SORT_WAITING] = "waiting",
        [REPORT_SORT_CALLS] = "calls",     [REPORT_SORT_NAME] = "name"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum report_sort)i;
            return true;
        }
    }
    return false;
}

// What is wrong with it; NULL: nothing.
static const char *parse_format(enum option_id id, const char *text,
                                const struct report_format **ret)
{
    static char wrong[160];
    const char *const diff[] = {"text", "md", "json", "html", NULL};
    const char *const ps[] = {"text", "json", NULL};
    const char *const *some = id == OPT_DIFF_FORMAT ? diff : id == OPT_PS_FORMAT ? ps : NULL;
    bool fits = !some;
    for (size_t i = 0; some && some[i]; i++)
        fits |= strcmp(text, some[i]) == 0;
    *ret = fits ? report_format_by_name(text) : NULL;
    if (*ret)
        return NULL;
    size_t used = (size_t)snprintf(wrong, sizeof(wrong), "is no format; there are");
    for (size_t i = 0; some ? some[i] != NULL : report_formats[i].name != NULL; i++)
        if (used < sizeof(wrong))
            used += (size_t)snprintf(wrong + used, sizeof(wrong) - used, "%s %s", i ? "," : "",
                                     some ? some[i] : report_formats[i].name);
    return wrong;
}

static bool parse_compression(const char *text, enum dump_compression *ret)
{
    if (strcmp(text, "gz") != 0 && strcmp(text, "zst") != 0)
        return false;
    *ret = text[0] == 'g' ? DUMP_GZIP : DUMP_ZSTD;
    return true;
}

// Octal, decimal or hexadecimal, as the kernel reads it (fs/proc/base.c, proc_coredump_filter_write).
static bool parse_mask(const char *text, int *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 0);
    if (errno || !isdigit((unsigned char)text[0]) || *end || value > 0x1ff)
        return false;
    *ret = (int)value;
    return true;
}

// NULL: taken. Otherwise what is wrong with the value.
static const char *take(enum option_id id, const char *value, struct options *ret)
{
    uint64_t number;
    switch (id) {
    case OPT_PID:
        if (!parse_number(value, 1, INT32_MAX, &number))
            return "is no process number";
        ret->pid = (int64_t)number;
        return NULL;
    case OPT_COUNT:
    case OPT_TABLES:
        return parse_number(value, 1, 1000000000, &ret->count) ? NULL : "is no count above 0";
    case OPT_INTERVAL:
    case OPT_TOP_INTERVAL:
        return parse_time(value, false, &ret->interval_ns)
                   ? NULL
                   : "needs a number and a unit: 500us, 200ms, 1s";
    case OPT_DURATION:
        return parse_time(value, true, &ret->duration_ns)
                   ? NULL
                   : "is no duration: 10s, 2m, 500ms, or seconds";
    case OPT_STOP:
        return parse_stop(value, &ret->stop) ? NULL : "is none of running, all, none";
    case OPT_MAX_PAUSE:
        return parse_time(value, true, &ret->max_pause_ns)
                   ? NULL
                   : "is no duration: 5ms, 500us, or seconds";
    case OPT_FORMAT:
    case OPT_DIFF_FORMAT:
    case OPT_PS_FORMAT:
        return parse_format(id, value, &ret->format);
    case OPT_OUTPUT:
    case OPT_CORE_OUTPUT:
        if (ret->output_count == MAX_OUTPUTS)
            return "is one output too many";
        ret->outputs[ret->output_count++] = value;
        return NULL;
    case OPT_TOP:
        if (!parse_number(value, 1, 1000000, &number))
            return "is no count above 0";
        ret->report.top = (unsigned)number;
        return NULL;
    case OPT_COLOR:
        return parse_color(value, &ret->report.color) ? NULL : "is none of auto, always, never";
    case OPT_SAVE:
        ret->save = value;
        return NULL;
    case OPT_EXE:
        ret->exe = value;
        return NULL;
    case OPT_SYSROOT:
        ret->sysroot = value;
        return NULL;
    case OPT_DEBUG_DIR:
        ret->debug_dir = value;
        return NULL;
    case OPT_SOURCE_ROOT:
        ret->source_root = value;
        return NULL;
    case OPT_COMPRESS:
        return parse_compression(value, &ret->compression) ? NULL : "is none of gz, zst";
    case OPT_FILTER:
        return parse_mask(value, &ret->filter) ? NULL : "is no mask: 0x33, or 0x7f for all";
    case OPT_FORK:
        ret->fork = true;
        return NULL;
    case OPT_MINI:
        ret->mini = true;
        return NULL;
    case OPT_NO_JITTER:
        ret->no_jitter = true;
        return NULL;
    case OPT_FULL:
        ret->report.full = true;
        return NULL;
    case OPT_SNAPSHOTS:
        ret->report.snapshots = true;
        return NULL;
    case OPT_QUIET:
        ret->quiet = true;
        return NULL;
    case OPT_VERBOSE:
        ret->verbose = true;
        return NULL;
    case OPT_NO_NATIVE:
        ret->no_native = true;
        return NULL;
    case OPT_RAW_NATIVE:
        ret->raw_native = true;
        return NULL;
    case OPT_DEBUGINFOD:
        ret->debuginfod = true;
        return NULL;
    case OPT_CHILDREN:
        ret->children = true;
        return NULL;
    case OPT_PIDS:
        ret->pids = value;
        return NULL;
    case OPT_NAME:
        ret->name = value;
        return *value ? NULL : "is no pattern";
    case OPT_WHEN:
        ret->when = value;
        return NULL;
    case OPT_RATE:
        if (!parse_number(value, 1, 100000, &number))
            return "is no number of snapshots a second";
        ret->interval_ns = 1000000000u / number;
        return NULL;
    case OPT_THREAD:
        ret->thread = value;
        return *value ? NULL : "is no name";
    case OPT_GIL:
        ret->gil = true;
        return NULL;
    case OPT_ON_CPU:
        ret->on_cpu = true;
        return NULL;
    case OPT_IDLE:
        ret->report.weight = REPORT_WEIGHT_WALL;
        return NULL;
    case OPT_WEIGHT:
        return parse_weight(value, &ret->report.weight) ? NULL : "is none of samples, wall, cpu";
    case OPT_THREADS:
        ret->report.threads = true;
        return NULL;
    case OPT_FUNCTION:
        ret->report.by_function = true;
        return NULL;
    case OPT_NOLINENO:
        ret->report.no_lines = true;
        return NULL;
    case OPT_HIDE_BOILERPLATE:
        ret->report.hide_boilerplate = true;
        return NULL;
    case OPT_STRIP_PREFIX:
        if (ret->report.strip_count == REPORT_STRIP_MAX)
            return "is one prefix too many";
        ret->report.strip[ret->report.strip_count++] = value;
        return NULL;
    case OPT_MAX_DEPTH:
        if (!parse_number(value, 1, 1000000, &number))
            return "is no depth above 0";
        ret->report.max_depth = (unsigned)number;
        return NULL;
    case OPT_SORT:
        return parse_sort(value, &ret->report.sort)
                   ? NULL
                   : "is none of own, self, total, cpu, waiting, calls, name";
    case OPT_GROUP:
    case OPT_HELP:
    case OPTION_COUNT:
        break;
    }
    return NULL;
}

static void defaults(struct options *ret)
{
    struct winsize size;
    *ret = (struct options){.pid = -1, .filter = -1, .max_pause_ns = DEFAULT_MAX_PAUSE_NS};
    parse_color("auto", &ret->report.color);
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        ret->report.width = size.ws_col;
}

static int usage(const struct command *command, const char *message, const char *subject)
{
    complain("%s%s%s; \"pycore help %s\" shows the options", subject ? subject : "",
             subject ? " " : "", message, command->name);
    return EXIT_USAGE;
}

int options_parse(const struct command *command, int argc, char **argv, struct options *ret,
                  bool *ret_done)
{
    struct option longs[ARRAY_SIZE(rows) + 1] = {0};
    // A program that is started has options of its own.
    char shorts[2 * OPTION_COUNT + 3] = "+:";
    char *short_options = command->flag == RUN ? shorts : shorts + 1;
    size_t long_count = 0, short_count = 2;
    *ret_done = false;
    defaults(ret);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct option_row *row = meaning(&rows[i]);
        if (!(row->commands & command->flag))
            continue;
        int has = row->argument ? required_argument : no_argument;
        longs[long_count++] = (struct option){rows[i].long_name, has, NULL, 1000 + (int)i};
        if (!rows[i].short_name)
            continue;
        shorts[short_count++] = rows[i].short_name;
        if (rows[i].argument)
            shorts[short_count++] = ':';
    }
    opterr = 0;
    optind = 1;
    for (int found; (found = getopt_long(argc, argv, short_options, longs, NULL)) != -1;) {
        const struct option_row *row = found >= 1000 ? meaning(&rows[found - 1000]) : NULL;
        for (size_t i = 0; !row && i < ARRAY_SIZE(rows); i++)
            if (found == rows[i].short_name && (rows[i].commands & command->flag))
                row = &rows[i];
        if (found == '?' || found == ':' || !row)
            return usage(command, found == ':' ? "needs a value" : "is no option of this command",
                         argv[optind - 1]);
        if (row->id == OPT_HELP) {
            print_command_help(stdout, command);
            *ret_done = true;
            return EXIT_COMPLETE;
        }
        const char *wrong = take(row->id, optarg, ret);
        if (wrong) {
            complain("--%s: \"%s\" %s", row->long_name, optarg, wrong);
            return EXIT_USAGE;
        }
    }
    ret->files = argv + optind;
    ret->file_count = argc - optind;
    return 0;
}
