// SPDX-License-Identifier: GPL-3.0-or-later
// What looks like a secret is not shown and not stored: a report gets attached to tickets. The one
// place that says what looks like one. It errs on the side of hiding.
#ifndef UTIL_REDACT_H
#define UTIL_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "util/strtab.h"

// What stands in the place of what was hidden of a text.
#define REDACT_HIDDEN "***"

// A name such as DB_PASSWORD, api-key, authToken: what it stands for is not to be shown. Goes by whole
// words of snake, kebab and camel case: neither a tokenizer nor max_tokens is secret.
bool redact_is_secret_name(const char *name, size_t size);
// The name of a variable that every environment has (PATH), or of an environment ("child_env").
bool redact_is_environment_name(const char *name, size_t size);
// All of it is a key or token: a known service's, a JWT, letters and digits as no word has them.
bool redact_is_secret_value(const char *text, size_t size);

// The text with each thing hidden that looks like a secret: keys and tokens, passwords in URLs, PEM
// blocks, what follows a secret name ("password=x", "'token': 'y'", "Authorization: Bearer z"). May
// hold NUL bytes; the result is NUL-terminated, for free(). *hidden is added to. NULL: out of memory.
char *redact_bytes(const char *text, size_t size, size_t *ret_size, size_t *hidden);
char *redact_text(const char *text, size_t *hidden);
// The same of an interned text, worked out once; 0: out of memory.
uint32_t redact_id(struct strtab *strings, uint32_t id);
// The same for a line of Python source: of what follows a secret name only literals are hidden.
char *redact_source(const char *line, size_t *hidden);

// The same for a path, and other text that names something: where only what certainly is a secret is
// hidden ("token=x", "user:x@", a known service's key), and nothing by its looks alone.
char *redact_path(const char *path);
char *redact_path_bytes(const char *path, size_t size, size_t *ret_size); // may hold NUL bytes
// Writes SUBSTITUTE characters (26) over what redact_path() would hide, so that lengths stay; all of the
// functions above take these for hidden.
#define REDACT_BLOT '\x1a'
void redact_blot(char *text, size_t size);
// By its place in a command line: what follows "-p", or a "user:password" that follows "-u".
bool redact_is_secret_argument(const char *previous, const char *argument);

// The argument as it may be shown, for free(): "--password=***", "https://user:***@host". `previous`
// is the argument before it (NULL: none): what follows "--token" is one. NULL: out of memory.
char *redact_argument(const char *previous, const char *argument);

#endif
