// SPDX-License-Identifier: GPL-3.0-or-later
// pycore report: not there yet.
#include "cli/cli.h"

int run_report(const struct options *options, int argc, char **argv)
{
    (void)options, (void)argc, (void)argv;
    complain("report is not there yet");
    return EXIT_NO_REPORT;
}
