// SPDX-License-Identifier: GPL-3.0-or-later
// What looks like a secret is not shown and not stored: a report gets attached to tickets.
#ifndef UTIL_REDACT_H
#define UTIL_REDACT_H

#include <stdbool.h>

// The argument as it may be shown, for free(): "--password=***", "https://user:***@host". `previous`
// is the argument before it (NULL: none): what follows "--token" is one. NULL: out of memory.
char *redact_argument(const char *previous, const char *argument);
// A name such as DB_PASSWORD, api-key, authToken: what it stands for is not to be shown.
bool redact_is_secret_name(const char *name, unsigned long size);

#endif
