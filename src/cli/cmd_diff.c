// SPDX-License-Identifier: GPL-3.0-or-later
// pycore diff: not there yet.
#include "cli/cli.h"

int run_diff(const struct options *options, int argc, char **argv)
{
    (void)options, (void)argc, (void)argv;
    complain("diff is not there yet");
    return EXIT_NO_REPORT;
}
