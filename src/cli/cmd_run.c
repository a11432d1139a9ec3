// SPDX-License-Identifier: GPL-3.0-or-later
// pycore run: not there yet.
#include "cli/cli.h"

int run_run(const struct options *options, int argc, char **argv)
{
    (void)options, (void)argc, (void)argv;
    complain("run is not there yet");
    return EXIT_NO_REPORT;
}
