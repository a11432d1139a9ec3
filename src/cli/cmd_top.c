// SPDX-License-Identifier: GPL-3.0-or-later
// pycore top: not there yet.
#include "cli/cli.h"

int run_top(const struct options *options, int argc, char **argv)
{
    (void)options, (void)argc, (void)argv;
    complain("top is not there yet");
    return EXIT_NO_REPORT;
}
