// SPDX-License-Identifier: GPL-3.0-or-later
// Signals that end a run with its report, and SIGUSR1, which asks for one while it goes on.
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <signal.h>

extern volatile sig_atomic_t interrupted;    // SIGINT, SIGTERM or SIGHUP came
extern volatile sig_atomic_t interim_wanted; // SIGUSR1 came; whoever writes the report clears it

// Also: a reader that went away (SIGPIPE) does not end pycore in the middle of a stop.
void signals_catch(void);
// SIGUSR1 alone.
void signals_catch_interim(void);

#endif
