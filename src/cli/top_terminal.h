// SPDX-License-Identifier: GPL-3.0-or-later
// The terminal of pycore top: shows a screen, waits for a key. Whatever ends pycore but SIGKILL, the
// terminal is left as it was found.
#ifndef CLI_TOP_TERMINAL_H
#define CLI_TOP_TERMINAL_H

#include "report/screen.h"

enum terminal_event {
    TERMINAL_NOTHING, // in the time that was given
    TERMINAL_KEY,     // *ret_key: see cli/top_keys.h
    TERMINAL_RESIZED,
    TERMINAL_RESUMED, // pycore was stopped (Ctrl-Z) and runs on
    TERMINAL_GONE,    // nobody is there any more
};

// There is one at most. False: there can be none, and *ret_why says why (static text).
bool terminal_open(bool color, const char **ret_why);
void terminal_close(void);
// An empty screen of the terminal's size and letters. NULL: out of memory.
struct screen *terminal_screen(void);
// Only cells that changed are sent; all of them after `repaint`.
void terminal_show(const struct screen *screen, bool repaint);
// Waits until `until_ns` (CLOCK_MONOTONIC), or for a signal.
enum terminal_event terminal_wait(uint64_t until_ns, uint32_t *ret_key);
// Is the locale's character set UTF-8?
bool terminal_is_utf8(void);

#endif
