// SPDX-License-Identifier: GPL-3.0-or-later
// Waits for the moment that --when describes.
#ifndef CLI_MOMENT_H
#define CLI_MOMENT_H

#include "cli/subjects.h"
#include "cli/when.h"

// Looks twice a second at what /proc says of the processes, all of them together, and touches none.
// `text` is the expression as it was given. NULL: it is so now. ERR_GONE: the processes ended before.
// ERR_TIMEOUT: `interrupted` (cli/signals.h) came before.
struct err *moment_wait(struct subjects *subjects, const struct when *when, const char *text);

#endif
