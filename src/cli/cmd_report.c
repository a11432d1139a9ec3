// SPDX-License-Identifier: GPL-3.0-or-later
// pycore report: what a capture, a core or a JSON document says, in any format.
#include "cli/filter.h"
#include "cli/loaded.h"
#include "util/guard.h"

// `command` is shown where the file does not say how it was made: a core.
static struct err *render(const struct options *options, struct loaded *loaded, const char *command,
                          int *ret_code)
{
    struct report_input input = *loaded_input(loaded), of_profile = input;
    struct options shown = *options;
    shown.report.snapshots |= loaded_has_snapshots(loaded);
    if (outputs_have(options, REPORT_OF_PROFILE)) {
        const struct report_input *with_profile;
        TRY(loaded_profile(loaded, &with_profile));
        of_profile = *with_profile;
    }
    if (!input.command)
        input.command = of_profile.command = command;
    bool complete = input.source->complete && !input.interrupted;
    *ret_code = !write_report(&shown, &input, &of_profile) ? EXIT_NO_REPORT
                : complete                                 ? EXIT_COMPLETE
                                                           : EXIT_PARTIAL;
    return NULL;
}

// False, after a message: there is nothing to choose from.
static bool can_filter(const struct options *options, const struct loaded *loaded)
{
    if (loaded_has_samples(loaded))
        return true;
    complain("%s needs the samples one by one: a capture (snap --save), or JSON written with "
             "--snapshots",
             options->thread ? "--thread"
             : options->gil  ? "--gil"
                             : "--on-cpu");
    return false;
}

static struct err *filter_and_render(const struct options *options, struct loaded *loaded,
                                     const char *command, int *ret_code)
{
    if (filter_is_set(options)) {
        if (!can_filter(options, loaded)) {
            *ret_code = EXIT_USAGE;
            return NULL;
        }
        TRY(loaded_filter(loaded, options));
    }
    return render(options, loaded, command, ret_code);
}

int run_report(const struct options *options, int argc, char **argv)
{
    if (options->file_count < 1) {
        complain("report takes a capture, a core or a JSON report; \"pycore help report\" shows "
                 "the options");
        return EXIT_USAGE;
    }
    if (!outputs_look_writable(options))
        return EXIT_NO_REPORT;
    AUTO_FREE char *command = command_text(argc, argv);
    struct loaded *loaded = NULL;
    int code = EXIT_NO_REPORT;
    struct err *err =
        loaded_open_files(options, options->files, options->file_count, false, &loaded);
    if (!err)
        err = filter_and_render(options, loaded, command, &code);
    loaded_close(loaded);
    return err ? fail(err) : code;
}
