// SPDX-License-Identifier: GPL-3.0-or-later
// pycore diff: what changed between two captures, cores or JSON reports.
#include <stdlib.h>
#include <string.h>

#include "cli/loaded.h"
#include "report/diff.h"
#include "util/guard.h"

// The start of a process is told from the machine's, which NTP corrects by some milliseconds.
#define SAME_START_NS 1000000000u

struct comparison {
    struct loaded *loaded[DIFF_SIDES];
    struct prof_diff *diff;
    struct diff_motion_thread *motions;
};

static void comparison_deinit(struct comparison *comparison)
{
    prof_diff_destroy(comparison->diff);
    free(comparison->motions);
    for (int side = 0; side < DIFF_SIDES; side++)
        loaded_close(comparison->loaded[side]);
}

static bool is_dump(const struct report_input *input)
{
    return !input->profile && input->snapshot_count == 1;
}

static bool same_process(const struct report_diff *of)
{
    const struct report_input *a = of->inputs[DIFF_BEFORE], *b = of->inputs[DIFF_AFTER];
    const struct snap_process *before = &a->source->process, *after = &b->source->process;
    uint64_t left = before->start_time_ns, right = after->start_time_ns;
    const char *host = strtab_get(a->strings, a->source->host);
    const char *other = strtab_get(b->strings, b->source->host);
    bool same_host = !host || !other || strcmp(host, other) == 0;
    return before->pid && before->pid == after->pid && left && right && same_host &&
           (left > right ? left - right : right - left) <= SAME_START_NS;
}

static struct err *compare_dumps(struct comparison *comparison, struct report_diff *ret)
{
    struct diff_dump_input dumps[DIFF_SIDES];
    for (int side = 0; side < DIFF_SIDES; side++)
        dumps[side] =
            (struct diff_dump_input){ret->inputs[side]->snapshots[0], ret->inputs[side]->strings};
    ret->same_process = same_process(ret);
    TRY(diff_dumps(dumps, ret->same_process, &comparison->motions, &ret->motion_count));
    ret->motions = comparison->motions;
    return NULL;
}

static struct err *compare_profiles(struct comparison *comparison, struct report_diff *ret)
{
    struct diff_input runs[DIFF_SIDES];
    for (int side = 0; side < DIFF_SIDES; side++) {
        TRY(loaded_profile(comparison->loaded[side], &ret->inputs[side]));
        runs[side] = (struct diff_input){ret->inputs[side]->profile, ret->inputs[side]->strings};
    }
    TRY(prof_diff_create(runs, &comparison->diff));
    ret->diff = comparison->diff;
    return NULL;
}

// Two dumps are compared thread by thread. A dump and a run, or two runs, by what adds up.
static struct err *compare(const struct options *options, struct comparison *comparison,
                           struct report_diff *ret)
{
    for (int side = 0; side < DIFF_SIDES; side++) {
        ret->names[side] = options->files[side];
        TRY(loaded_open(options, ret->names[side], false, &comparison->loaded[side]));
        ret->inputs[side] = loaded_input(comparison->loaded[side]);
    }
    return is_dump(ret->inputs[DIFF_BEFORE]) && is_dump(ret->inputs[DIFF_AFTER])
               ? compare_dumps(comparison, ret)
               : compare_profiles(comparison, ret);
}

static struct err *write_format(FILE *out, const struct report_format *format,
                                const struct report_options *options, void *arg)
{
    return report_diff_format(format->name)(out, arg, options);
}

int run_diff(const struct options *options, int argc, char **argv)
{
    if (options->file_count != 2) {
        complain("diff takes two captures, cores or JSON reports, before and after; \"pycore help "
                 "diff\" shows the options");
        return EXIT_USAGE;
    }
    if (!outputs_among(options, report_diff_formats))
        return EXIT_USAGE;
    if (!outputs_look_writable(options))
        return EXIT_NO_REPORT;
    AUTO_FREE char *command = command_text(argc, argv);
    GUARD(comparison_deinit) struct comparison comparison = {0};
    struct report_diff diff = {.tool_version = PACKAGE_VERSION, .command = command};
    struct err *err = compare(options, &comparison, &diff);
    if (err)
        return fail(err);
    if (!write_outputs(options, write_format, &diff))
        return EXIT_NO_REPORT;
    for (int side = 0; side < DIFF_SIDES; side++)
        if (!diff.inputs[side]->source->complete || diff.inputs[side]->interrupted)
            return EXIT_PARTIAL;
    return EXIT_COMPLETE;
}
