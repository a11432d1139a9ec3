// SPDX-License-Identifier: GPL-3.0-or-later
// Between the files of util/redact.h.
#ifndef UTIL_REDACT_PRIVATE_H
#define UTIL_REDACT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

// How many bytes from `text` on are a known service's key; 0: none.
size_t redact_service_key(const char *text, size_t size);
// Characters of base64, base64url and hexadecimal.
bool redact_is_run_char(char c);
// A run of such characters is no word, name or path.
bool redact_is_random(const char *text, size_t size);

#endif
