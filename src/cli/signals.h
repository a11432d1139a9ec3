// SPDX-License-Identifier: GPL-3.0-or-later
// Signals that end a run with its report.
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <signal.h>

extern volatile sig_atomic_t interrupted; // SIGINT, SIGTERM or SIGHUP came

// Also: a reader that went away (SIGPIPE) does not end pycore in the middle of a stop.
void signals_catch(void);

#endif
