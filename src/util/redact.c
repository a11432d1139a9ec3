// SPDX-License-Identifier: GPL-3.0-or-later
// Hiding what looks like a secret in a text: each look marks bytes, and each run of marked bytes is
// written as one "***". See util/redact.h.
#include "util/redact.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "redact_private.h"
#include "util/guard.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

struct text {
    const char *bytes;
    size_t size;
    unsigned char *marks; // 1: hidden
    bool source;          // Python source: only literals are values
};

static void mark(struct text *text, size_t start, size_t end)
{
    // What is hidden already stays one thing.
    if (end > start && (end - start != 3 || memcmp(text->bytes + start, REDACT_HIDDEN, 3) != 0))
        memset(text->marks + start, 1, end - start);
}

static size_t find(const struct text *text, size_t from, const char *what)
{
    const char *found = from < text->size
                            ? memmem(text->bytes + from, text->size - from, what, strlen(what))
                            : NULL;
    return found ? (size_t)(found - text->bytes) : SIZE_MAX;
}

static size_t span(const struct text *text, size_t from, const char *ends)
{
    size_t at = from;
    while (at < text->size && text->bytes[at] && !strchr(ends, text->bytes[at]))
        at++;
    return at;
}

// The passwords of "scheme://user:password@host", and a token in the place of both.
static void mark_passwords(struct text *text)
{
    for (size_t at = 0; (at = find(text, at, "://")) != SIZE_MAX;) {
        at += 3;
        size_t end = span(text, at, "/?# \t\n\"'<>");
        const char *host = memrchr(text->bytes + at, '@', end - at);
        if (!host) {
            // A '/' or '#' that should have been escaped: "user:pa/ss@host".
            end = span(text, at, " \t\n\"'<>");
            const char *colon = memchr(text->bytes + at, ':', end - at);
            host = colon && !isdigit((unsigned char)colon[1])
                       ? memrchr(colon, '@', (size_t)(text->bytes + end - colon))
                       : NULL;
        }
        if (!host)
            continue;
        const char *colon = memchr(text->bytes + at, ':', (size_t)(host - text->bytes) - at);
        size_t start = colon ? (size_t)(colon + 1 - text->bytes) : SIZE_MAX;
        if (colon)
            mark(text, start, (size_t)(host - text->bytes));
    }
}

static void mark_pem(struct text *text)
{
    for (size_t at = 0; (at = find(text, at, "-----BEGIN ")) != SIZE_MAX;) {
        size_t end = find(text, at + 11, "-----END ");
        size_t close = end == SIZE_MAX ? SIZE_MAX : find(text, end + 9, "-----");
        close = close == SIZE_MAX ? text->size : close + 5;
        mark(text, at, close);
        at = close;
    }
}

static void mark_keys(struct text *text)
{
    for (size_t at = 0; at < text->size;) {
        bool begins = !at || !isalnum((unsigned char)text->bytes[at - 1]);
        size_t service = begins ? redact_service_key(text->bytes + at, text->size - at) : 0;
        if (service) {
            mark(text, at, at + service);
            at += service;
            continue;
        }
        size_t run = at;
        while (run < text->size && redact_is_run_char(text->bytes[run]))
            run++;
        if (!at || !redact_is_run_char(text->bytes[at - 1]))
            if (redact_is_random(text->bytes + at, run - at)) {
                while (run < text->size && text->bytes[run] == '=')
                    run++;
                mark(text, at, run);
                at = run;
                continue;
            }
        at++;
    }
}

// ---- What follows a secret name -----------------------------------------------------------------

static bool is_name_char(char c)
{
    return c && strchr(NAME_CHARS, c);
}

static char byte_at(const struct text *text, size_t at)
{
    return at < text->size ? text->bytes[at] : '\0';
}

static size_t skip_spaces(const struct text *text, size_t at)
{
    while (byte_at(text, at) == ' ' || byte_at(text, at) == '\t')
        at++;
    return at;
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

// Behind the literal's opening quote at `at`; where its closing one is in *ret_end.
static size_t open_literal(const struct text *text, size_t at, size_t *ret_end)
{
    char quote = byte_at(text, at);
    size_t marks = byte_at(text, at + 1) == quote && byte_at(text, at + 2) == quote ? 3 : 1;
    size_t end = at + marks;
    while (end < text->size) {
        if (text->bytes[end] == '\\' && end + 1 < text->size) {
            end += 2;
            continue;
        }
        if (text->bytes[end] == quote &&
            (marks == 1 || (byte_at(text, end + 1) == quote && byte_at(text, end + 2) == quote)))
            break;
        end++;
    }
    *ret_end = end < text->size ? end : text->size;
    return at + marks;
}

// Of source: all literals up to the end of the argument or the statement.
static size_t mark_literals(struct text *text, size_t at)
{
    int depth = 0;
    for (size_t end; at < text->size; at++) {
        char c = text->bytes[at];
        if (is_quote(c)) {
            size_t start = open_literal(text, at, &end);
            mark(text, start, end);
            at = end + (start - at) - 1;
        } else if (isdigit((unsigned char)c) && !is_name_char(byte_at(text, at - 1))) {
            end = at;
            while (is_name_char(byte_at(text, end)))
                end++;
            mark(text, at, end);
            at = end - 1;
        } else if (strchr("([{", c) && c) {
            depth++;
        } else if (strchr(")]}", c) && c && --depth < 0) {
            break;
        } else if (depth == 0 && strchr(",;#\n", c) && c) {
            break;
        }
    }
    return at;
}

// "Bearer", "Basic", "Token" before what they announce.
static size_t skip_scheme(const struct text *text, size_t at)
{
    static const char *const schemes[] = {"bearer ", "basic ", "token ", "digest ", "apikey "};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t size = strlen(schemes[i]);
        if (at + size < text->size && strncasecmp(text->bytes + at, schemes[i], size) == 0)
            return skip_spaces(text, at + size);
    }
    return at;
}

static bool holds(const char *name, size_t size, const char *word)
{
    for (size_t i = 0, length = strlen(word); i + length <= size; i++)
        if (strncasecmp(name + i, word, length) == 0)
            return true;
    return false;
}

static size_t mark_value(struct text *text, size_t at, bool whole_line)
{
    if (text->source)
        return mark_literals(text, at);
    size_t open = at, end;
    while (open < at + 2 && strchr("bBrRfFuU", byte_at(text, open)) && byte_at(text, open))
        open++;
    if (is_quote(byte_at(text, open))) {
        size_t start = open_literal(text, open, &end);
        mark(text, skip_scheme(text, start), end);
        return end;
    }
    size_t start = skip_scheme(text, at);
    end = span(text, start, whole_line ? "\"'\r\n" : ";&,\"' \r\n");
    mark(text, start, end);
    return end;
}

// Where the value begins that the name [start, end) is given; SIZE_MAX: none follows.
static size_t find_value(const struct text *text, size_t start, size_t end)
{
    char before = start ? text->bytes[start - 1] : '\0';
    bool quoted = is_quote(before) && byte_at(text, end) == before;
    size_t at = end + quoted;
    if (quoted && byte_at(text, at) == ']')
        at++;
    size_t sign = skip_spaces(text, at);
    char c = byte_at(text, sign);
    if (c == '=' || c == ':' || (c == ',' && quoted)) {
        sign++;
        while (byte_at(text, sign) == '=' || byte_at(text, sign) == '>')
            sign++;
        return skip_spaces(text, sign);
    }
    // "password 'x'", "--password x"
    bool option = text->bytes[start] == '-';
    bool literal = is_quote(c) && !quoted;
    return sign > at && (literal || (option && c && c != '-')) ? sign : SIZE_MAX;
}

static void mark_named(struct text *text)
{
    for (size_t at = 0; at < text->size;) {
        size_t end = at;
        while (end < text->size && is_name_char(text->bytes[end]))
            end++;
        if (end == at) {
            at++;
            continue;
        }
        size_t scheme = skip_scheme(text, at);
        const char *name = text->bytes + at;
        if (scheme > at && strncasecmp(name, "bearer", 6) == 0 && !text->source) {
            end = mark_value(text, scheme, false);
        } else if (redact_is_secret_name(name, end - at)) {
            size_t value = find_value(text, at, end);
            bool line = holds(name, end - at, "authorization") || holds(name, end - at, "cookie");
            if (value != SIZE_MAX)
                end = mark_value(text, value, line);
        }
        at = end > at ? end : at + 1;
    }
}

// ---- Results ------------------------------------------------------------------------------------

static char *write_out(const struct text *text, size_t *ret_size, size_t *hidden)
{
    size_t runs = 0, used = 0;
    for (size_t i = 0; i < text->size; i++)
        runs += text->marks[i] && (!i || !text->marks[i - 1]);
    char *shown = malloc(text->size + runs * strlen(REDACT_HIDDEN) + 1);
    if (!shown)
        return NULL;
    for (size_t i = 0; i < text->size; i++) {
        if (!text->marks[i]) {
            shown[used++] = text->bytes[i];
        } else if (!i || !text->marks[i - 1]) {
            memcpy(shown + used, REDACT_HIDDEN, strlen(REDACT_HIDDEN));
            used += strlen(REDACT_HIDDEN);
        }
    }
    shown[used] = '\0';
    *ret_size = used;
    *hidden += runs;
    return shown;
}

static char *redact(const char *bytes, size_t size, bool source, size_t *ret_size, size_t *hidden)
{
    AUTO_FREE unsigned char *marks = calloc(size + 1, 1);
    struct text text = {bytes, size, marks, source};
    if (!marks)
        return NULL;
    mark_passwords(&text);
    mark_pem(&text);
    mark_keys(&text);
    mark_named(&text);
    return write_out(&text, ret_size, hidden);
}

char *redact_bytes(const char *text, size_t size, size_t *ret_size, size_t *hidden)
{
    return redact(text, size, false, ret_size, hidden);
}

char *redact_text(const char *text, size_t *hidden)
{
    size_t size;
    return redact(text, strlen(text), false, &size, hidden);
}

char *redact_source(const char *line, size_t *hidden)
{
    size_t size;
    return redact(line, strlen(line), true, &size, hidden);
}

char *redact_argument(const char *previous, const char *argument)
{
    const char *equals = strchr(argument, '=');
    size_t hidden = 0, name = strspn(argument, NAME_CHARS);
    if (previous && previous[0] == '-' && !strchr(previous, '=') && argument[0] != '-' &&
        redact_is_secret_name(previous, strlen(previous)))
        return strdup(REDACT_HIDDEN);
    if (equals == argument + name && redact_is_secret_name(argument, name)) {
        char *text = NULL;
        return asprintf(&text, "%.*s" REDACT_HIDDEN, (int)(equals + 1 - argument), argument) < 0
                   ? NULL
                   : text;
    }
    return redact_text(argument, &hidden);
}
