// SPDX-License-Identifier: GPL-3.0-or-later
// The terminal's way back when a signal ends pycore at once (a crash, SIGQUIT): what has to be sent is
// prepared before, since a handler may call next to nothing.
#ifndef CLI_TOP_RESCUE_H
#define CLI_TOP_RESCUE_H

#include <stdbool.h>

// False: the terminal is none that can show a screen, and *ret_why says why (static text). To be called
// before anything changes it.
bool rescue_prepare(const char **ret_why);
void rescue_begin(void);
void rescue_end(void);

#endif
