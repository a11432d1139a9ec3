// SPDX-License-Identifier: GPL-3.0-or-later
// Processes by name.
#ifndef CLI_SEARCH_H
#define CLI_SEARCH_H

#include <stdbool.h>
#include <sys/types.h>

// Does the pattern (glob(7)) match one of these: the process's short name, a word of its command
// line, with or without its folder, or all of that line? "gunicorn" matches "/usr/bin/gunicorn" and
// "gunicorn: master [app]".
bool search_matches(const char *pattern, pid_t pid);

#endif
