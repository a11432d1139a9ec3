// SPDX-License-Identifier: GPL-3.0-or-later
// Between the files of util/redact.h.
#ifndef UTIL_REDACT_PRIVATE_H
#define UTIL_REDACT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define REDACT_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

// A text, or a part of one, whose bytes are being marked.
struct redact_text {
    const char *bytes;
    size_t size;
    unsigned char *marks; // 1: hidden
    bool source;          // Python source: only literals are values
};

void redact_mark(struct redact_text *text, size_t start, size_t end);
// The first of `ends`, a NUL byte, or the end.
size_t redact_span(const struct redact_text *text, size_t from, const char *ends);
// Behind the literal's opening quote at `at`; where its closing one is in *ret_end.
size_t redact_open_literal(const struct redact_text *text, size_t at, size_t *ret_end);

static inline char redact_at(const struct redact_text *text, size_t at)
{
    return at < text->size ? text->bytes[at] : '\0';
}

static inline size_t redact_skip_spaces(const struct redact_text *text, size_t at)
{
    while (redact_at(text, at) == ' ' || redact_at(text, at) == '\t')
        at++;
    return at;
}

static inline bool redact_is_name_char(char c)
{
    return c && strchr(REDACT_NAME_CHARS, c);
}

static inline bool redact_is_quote(char c)
{
    return c == '"' || c == '\'';
}

// Whether the word is part of the name, in small letters or capitals.
static inline bool redact_holds(const char *name, size_t size, const char *word)
{
    for (size_t i = 0, length = strlen(word); i + length <= size; i++)
        if (strncasecmp(name + i, word, length) == 0)
            return true;
    return false;
}

// Of source: all literals from `at` up to the end of the argument or the statement, which it returns.
size_t redact_mark_literals(struct redact_text *text, size_t at);
// Passwords of URLs, what follows a secret name, and redact_phrases(): of a text that is no source.
void redact_mark_text(struct redact_text *text);
// What is special in source (redact_source.c).
void redact_mark_source(struct redact_text *text);
// What follows a secret without a sign between them: prose, SQL, XML, command lines, "user:password@host"
// (redact_phrase.c). Not of source, but of its literals and comments.
void redact_phrases(struct redact_text *text);
// How much of an argument is shown, when the one before it is `previous` (NULL: none); SIZE_MAX: it is
// no password by its place.
size_t redact_shown_of_argument(const char *previous, const char *argument);

// How many bytes from `text` on are a known service's key; 0: none.
size_t redact_service_key(const char *text, size_t size);
// One short name of letters, digits, '-', '_' and '.', of which redact_bytes() hides nothing: told at once.
bool redact_is_plain_name(const char *text, size_t size);
// Characters of base64, base64url and hexadecimal.
bool redact_is_run_char(char c);
// A run of such characters is no word, name or path.
bool redact_is_random(const char *text, size_t size);
// It begins with '/' and has another one: its names are looked at one by one, for together they look random.
bool redact_is_path(const char *text, size_t size);

#endif
