// SPDX-License-Identifier: GPL-3.0-or-later
// The command line into struct options, by the rows of options.def.
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/option_rows.h"
#include "util/guard.h"

#define DEFAULT_MAX_PAUSE_NS 5000000u

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

// Which of the option's choices it is, from 0; -1: none.
static int choice_of(enum option_id id, const char *text)
{
    size_t size = strlen(text);
    int index = 0;
    for (const char *word = option_choices(id); word; index++) {
        if (size && strcspn(word, " ") == size && strncmp(word, text, size) == 0)
            return index;
        word = strchr(word, ' ');
        word += word != NULL;
    }
    return -1;
}

// "is none of running, all, none"; for formats all that there are.
static const char *no_choice(enum option_id id)
{
    static char text[256];
    size_t used = (size_t)snprintf(text, sizeof(text), "is none of");
    const char *comma = "";
    for (const char *word = option_choices(id); word && used < sizeof(text); comma = ",") {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %.*s", comma,
                                 (int)strcspn(word, " "), word);
        word = strchr(word, ' ');
        word += word != NULL;
    }
    for (size_t i = 0; id == OPT_FORMAT && report_formats[i].name && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %s", i ? "," : "",
                                 report_formats[i].name);
    return text;
}

static bool wants_color(int choice)
{
    const char *no_color = getenv("NO_COLOR");
    if (choice == 0) // auto: no-color.org
        return isatty(STDOUT_FILENO) && !(no_color && no_color[0]);
    return choice == 1;
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
    int choice = 0;
    if (option_choices(id) && (choice = choice_of(id, value)) < 0)
        return no_choice(id);
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
    case OPT_RUN_INTERVAL:
    case OPT_TOP_INTERVAL:
        return parse_time(value, false, &ret->interval_ns)
                   ? NULL
                   : "needs a number and a unit: 500us, 200ms, 1s";
    case OPT_DURATION:
        return parse_time(value, true, &ret->duration_ns)
                   ? NULL
                   : "is no duration: 10s, 2m, 500ms, or seconds";
    case OPT_STOP:
        ret->stop = (enum stop_mode)choice;
        return NULL;
    case OPT_MAX_PAUSE:
        return parse_time(value, true, &ret->max_pause_ns)
                   ? NULL
                   : "is no duration: 5ms, 500us, or seconds";
    case OPT_FORMAT:
    case OPT_DIFF_FORMAT:
    case OPT_PS_FORMAT:
        ret->format = report_format_by_name(value);
        return ret->format ? NULL : no_choice(id);
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
        ret->report.color = wants_color(choice);
        return NULL;
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
        ret->compression = choice == 0 ? DUMP_GZIP : DUMP_ZSTD;
        return NULL;
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
    case OPT_NO_TASKS:
        ret->no_tasks = true;
        return NULL;
    case OPT_LOCALS:
        ret->locals = true;
        return NULL;
    case OPT_GENERATORS:
        ret->generators = true;
        return NULL;
    case OPT_SHOW_SECRETS:
        ret->show_secrets = true;
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
    case OPT_FAIL_ON:
        ret->fail_on = true;
        ret->fail_from = (enum diag_severity)choice;
        return NULL;
    case OPT_IDLE:
        ret->report.weight = REPORT_WEIGHT_WALL;
        return NULL;
    case OPT_WEIGHT:
        ret->report.weight = (enum report_weight)choice;
        return NULL;
    case OPT_THREADS:
        ret->report.threads = true;
        return NULL;
    case OPT_ASYNC_STACKS:
        ret->report.async_stacks = true;
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
        ret->report.sort = (enum report_sort)(REPORT_SORT_OWN + choice);
        return NULL;
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
    ret->report.color = wants_color(0);
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
    struct option longs[OPTION_ROWS + 1] = {0};
    // A program that is started has options of its own.
    char shorts[2 * OPTION_COUNT + 3] = "+:";
    char *short_options = command->flag == RUN ? shorts : shorts + 1;
    size_t long_count = 0, short_count = 2;
    *ret_done = false;
    defaults(ret);
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = option_meaning(&option_rows[i]);
        if (!option_fits(row, command))
            continue;
        int has = row->argument ? required_argument : no_argument;
        longs[long_count++] = (struct option){option_rows[i].long_name, has, NULL, 1000 + (int)i};
        if (!option_rows[i].short_name)
            continue;
        shorts[short_count++] = option_rows[i].short_name;
        if (option_rows[i].argument)
            shorts[short_count++] = ':';
    }
    opterr = 0;
    optind = 1;
    for (int found; (found = getopt_long(argc, argv, short_options, longs, NULL)) != -1;) {
        const struct option_row *row =
            found >= 1000 ? option_meaning(&option_rows[found - 1000]) : NULL;
        for (size_t i = 0; !row && i < OPTION_ROWS; i++)
            if (found == option_rows[i].short_name && (option_rows[i].commands & command->flag))
                row = &option_rows[i];
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
