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

#define URL_MAX_BYTES 1024

void redact_mark(struct redact_text *text, size_t start, size_t end)
{
    // What is hidden already stays one thing.
    if (end > start && (end - start != 3 || memcmp(text->bytes + start, REDACT_HIDDEN, 3) != 0))
        memset(text->marks + start, 1, end - start);
}

static size_t find(const struct redact_text *text, size_t from, const char *what)
{
    const char *found = from < text->size
                            ? memmem(text->bytes + from, text->size - from, what, strlen(what))
                            : NULL;
    return found ? (size_t)(found - text->bytes) : SIZE_MAX;
}

size_t redact_span(const struct redact_text *text, size_t from, const char *ends)
{
    size_t at = from;
    while (at < text->size && text->bytes[at] && !strchr(ends, text->bytes[at]))
        at++;
    return at;
}

// The passwords of "scheme://user:password@host", and a token in the place of both.
static void mark_passwords(struct redact_text *text)
{
    for (size_t at = 0; (at = find(text, at, "://")) != SIZE_MAX;) {
        at += 3;
        struct redact_text near = *text; // a word of megabytes is no URL
        near.size = text->size - at > URL_MAX_BYTES ? at + URL_MAX_BYTES : text->size;
        size_t end = redact_span(&near, at, "/?# \t\n\"'<>");
        const char *host = memrchr(text->bytes + at, '@', end - at);
        if (!host) {
            // A '/' or '#' that should have been escaped: "user:pa/ss@host".
            end = redact_span(&near, at, " \t\n\"'<>");
            const char *colon = memchr(text->bytes + at, ':', end - at);
            host = colon && !isdigit((unsigned char)colon[1])
                       ? memrchr(colon, '@', (size_t)(text->bytes + end - colon))
                       : NULL;
        }
        if (!host)
            continue;
        const char *colon = memchr(text->bytes + at, ':', (size_t)(host - text->bytes) - at);
        if (!colon)
            continue;
        // "https://TOKEN:x-oauth-basic@host", "https://TOKEN:@host": the key is in the user's place.
        size_t start = (size_t)(colon + 1 - text->bytes);
        bool none = colon + 1 == host || strncmp(colon + 1, "x-oauth-basic@", 14) == 0;
        redact_mark(text, none ? at : start,
                    (size_t)(none ? colon - text->bytes : host - text->bytes));
    }
}

static void mark_pem(struct redact_text *text)
{
    for (size_t at = 0; (at = find(text, at, "-----BEGIN ")) != SIZE_MAX;) {
        size_t end = find(text, at + 11, "-----END ");
        size_t close = end == SIZE_MAX ? SIZE_MAX : find(text, end + 9, "-----");
        close = close == SIZE_MAX ? text->size : close + 5;
        redact_mark(text, at, close);
        at = close;
    }
}

// What a capture has hidden.
static void mark_blots(struct redact_text *text)
{
    for (size_t i = 0; i < text->size; i++)
        text->marks[i] |= text->bytes[i] == REDACT_BLOT;
}

// A name may begin as a key does ("npm_run_..."), but has no capitals and digits as well.
static bool is_no_name(const char *text, size_t size)
{
    bool digit = false, upper = false;
    for (size_t i = 0; i < size; i++) {
        digit |= isdigit((unsigned char)text[i]) != 0;
        upper |= isupper((unsigned char)text[i]) != 0;
    }
    return digit && upper;
}

// Of a path each name is looked at for itself. Returns the end of what is marked; 0: none, or a name
// of a path.
static size_t mark_run(struct redact_text *text, size_t at, size_t end)
{
    bool path = false;
    while (redact_is_path(text->bytes + at, end - at)) {
        const char *slash = memchr(text->bytes + at + 1, '/', end - at - 1);
        size_t name_end = (size_t)(slash - text->bytes);
        if (redact_is_random(text->bytes + at + 1, name_end - at - 1))
            redact_mark(text, at + 1, name_end);
        at = name_end;
        path = true;
    }
    at += path;
    if (!redact_is_random(text->bytes + at, end - at))
        return 0;
    while (end < text->size && text->bytes[end] == '=')
        end++;
    redact_mark(text, at, end);
    return path ? 0 : end;
}

static void mark_keys(struct redact_text *text, bool certain)
{
    for (size_t at = 0; at < text->size;) {
        bool begins = !at || !isalnum((unsigned char)text->bytes[at - 1]);
        size_t service = begins ? redact_service_key(text->bytes + at, text->size - at) : 0;
        if (service && (!certain || is_no_name(text->bytes + at, service))) {
            size_t end = at + service; // a long one goes on
            while (redact_is_name_char(redact_at(text, end)) &&
                   (text->bytes[end] != '.' || redact_is_name_char(redact_at(text, end + 1))))
                end++;
            redact_mark(text, at, end);
            at = end;
            continue;
        }
        if (certain || (at && redact_is_run_char(text->bytes[at - 1]))) {
            at++;
            continue;
        }
        size_t run = at;
        while (run < text->size && redact_is_run_char(text->bytes[run]))
            run++;
        size_t marked = mark_run(text, at, run);
        at = marked ? marked : at + 1;
    }
}

// ---- What follows a secret name -----------------------------------------------------------------

size_t redact_open_literal(const struct redact_text *text, size_t at, size_t *ret_end)
{
    char quote = redact_at(text, at);
    size_t marks = redact_at(text, at + 1) == quote && redact_at(text, at + 2) == quote ? 3 : 1;
    size_t end = at + marks;
    while (end < text->size) {
        if (text->bytes[end] == '\\' && end + 1 < text->size) {
            end += 2;
            continue;
        }
        if (text->bytes[end] == quote && (marks == 1 || (redact_at(text, end + 1) == quote &&
                                                         redact_at(text, end + 2) == quote)))
            break;
        end++;
    }
    *ret_end = end < text->size ? end : text->size;
    return at + marks;
}

// Of source: all literals up to the end of the argument or the statement.
size_t redact_mark_literals(struct redact_text *text, size_t at)
{
    int depth = 0;
    for (size_t end; at < text->size; at++) {
        char c = text->bytes[at];
        if (redact_is_quote(c)) {
            size_t start = redact_open_literal(text, at, &end);
            redact_mark(text, start, end);
            at = end + (start - at) - 1;
        } else if (isdigit((unsigned char)c) && !redact_is_name_char(redact_at(text, at - 1))) {
            end = at;
            while (redact_is_name_char(redact_at(text, end)))
                end++;
            redact_mark(text, at, end);
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
static size_t skip_scheme(const struct redact_text *text, size_t at)
{
    static const char *const schemes[] = {"bearer ", "basic ", "token ", "digest ", "apikey "};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t size = strlen(schemes[i]);
        if (at + size < text->size && strncasecmp(text->bytes + at, schemes[i], size) == 0)
            return redact_skip_spaces(text, at + size);
    }
    return at;
}

// "[...]", "Token(...)": where the bracket is; SIZE_MAX: it is no such value, or has nothing in it.
static size_t find_bracket(const struct redact_text *text, size_t at)
{
    while (redact_is_name_char(redact_at(text, at)))
        at++;
    char c = redact_at(text, at), next = redact_at(text, at + 1);
    return c && strchr("([{", c) && next && !strchr(")]}", next) ? at : SIZE_MAX;
}

// All that is between the bracket and the one that closes it.
static size_t mark_bracket(struct redact_text *text, size_t open)
{
    int depth = 1;
    size_t at = open + 1;
    for (size_t end; at < text->size; at++) {
        char c = text->bytes[at];
        if (redact_is_quote(c)) {
            size_t start = redact_open_literal(text, at, &end);
            at = end + (start - at) - 1;
        } else if (c && strchr("([{", c)) {
            depth++;
        } else if (c && strchr(")]}", c) && --depth == 0) {
            break;
        }
    }
    size_t end = at < text->size ? at : text->size;
    redact_mark(text, open + 1, end);
    return end;
}

static size_t mark_value(struct redact_text *text, size_t at, bool whole_line)
{
    if (text->source)
        return redact_mark_literals(text, at);
    size_t bracket = find_bracket(text, at);
    if (bracket != SIZE_MAX)
        return mark_bracket(text, bracket);
    size_t open = at, end;
    while (open < at + 2 && strchr("bBrRfFuU", redact_at(text, open)) && redact_at(text, open))
        open++;
    if (redact_is_quote(redact_at(text, open))) {
        size_t start = redact_open_literal(text, open, &end);
        redact_mark(text, skip_scheme(text, start), end);
        return end;
    }
    if (redact_at(text, at) == '\\' && redact_is_quote(redact_at(text, at + 1))) {
        end = redact_span(text, at + 2, "\\\r\n"); // within a quoted text
        redact_mark(text, at + 2, end);
        return end;
    }
    size_t start = skip_scheme(text, at);
    end = redact_span(text, start, whole_line ? "\"'\r\n" : ";&,\"' \r\n");
    redact_mark(text, start, end);
    return end;
}

// Where the value begins that the name [start, end) is given; SIZE_MAX: none follows.
static size_t find_value(const struct redact_text *text, size_t start, size_t end)
{
    char before = start ? text->bytes[start - 1] : '\0';
    // A quote within a quoted text has a backslash before it.
    bool escaped = redact_at(text, end) == '\\' && start > 1 && text->bytes[start - 2] == '\\';
    bool quoted = redact_is_quote(before) && redact_at(text, end + escaped) == before;
    size_t at = quoted ? end + escaped + 1 : end;
    if (quoted && redact_at(text, at) == ']')
        at++;
    size_t sign = redact_skip_spaces(text, at);
    char c = redact_at(text, sign);
    if (c == '=' || c == ':' || (c == ',' && quoted)) {
        sign++;
        while (redact_at(text, sign) == '=' || redact_at(text, sign) == '>')
            sign++;
        return redact_skip_spaces(text, sign);
    }
    // "password 'x'", "--password x"
    bool option = text->bytes[start] == '-';
    bool literal = redact_is_quote(c) && !quoted;
    return sign > at && (literal || (option && c && c != '-')) ? sign : SIZE_MAX;
}

// Of source, a literal that is no name, or a comment, at `at`: how far it goes; 0: there is none.
static size_t skip_literal(const struct redact_text *text, size_t at)
{
    size_t end;
    if (!text->source || (text->bytes[at] != '#' && !redact_is_quote(text->bytes[at])))
        return 0;
    if (text->bytes[at] == '#')
        return text->size;
    size_t start = redact_open_literal(text, at, &end), name = start;
    while (name < end && redact_is_name_char(text->bytes[name]))
        name++;
    return name < end || name == start ? end + (start - at) : 0;
}

static void mark_named(struct redact_text *text)
{
    for (size_t at = 0; at < text->size;) {
        size_t end = at, literal = skip_literal(text, at);
        if (literal) {
            at = literal;
            continue;
        }
        // The quotes of a name are passed with it.
        at += text->source && redact_is_quote(text->bytes[at]);
        bool quoted = at > end;
        end = at;
        while (end < text->size && redact_is_name_char(text->bytes[end]))
            end++;
        if (end == at) {
            at++;
            continue;
        }
        size_t scheme = skip_scheme(text, at), name_end = end;
        const char *name = text->bytes + at;
        if (scheme > at && strncasecmp(name, "bearer", 6) == 0 && !text->source) {
            end = mark_value(text, scheme, false);
        } else if (redact_is_secret_name(name, end - at)) {
            size_t value = find_value(text, at, end);
            bool line = redact_holds(name, end - at, "authorization") ||
                        redact_holds(name, end - at, "cookie") ||
                        redact_holds(name, end - at, "credential");
            if (value != SIZE_MAX)
                end = mark_value(text, value, line);
        }
        end += quoted && end == name_end;
        at = end > at ? end : at + 1;
    }
}

void redact_mark_text(struct redact_text *text)
{
    mark_passwords(text);
    mark_named(text);
    redact_phrases(text);
}

// ---- Results ------------------------------------------------------------------------------------

static char *write_out(const struct redact_text *text, size_t *ret_size, size_t *hidden)
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
    struct redact_text text = {bytes, size, marks, source};
    if (!marks)
        return NULL;
    mark_passwords(&text);
    mark_pem(&text);
    mark_keys(&text, false);
    mark_blots(&text);
    mark_named(&text);
    if (source) {
        redact_mark_source(&text);
    } else {
        redact_phrases(&text);
    }
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

uint32_t redact_id(struct strtab *strings, uint32_t id)
{
    uint32_t shown = strtab_shown(strings, id);
    if (shown || !id)
        return shown;
    const char *bytes = strtab_get(strings, id);
    size_t size = strtab_size(strings, id), hidden = 0;
    bool plain = redact_is_plain_name(bytes, size);
    AUTO_FREE char *text = plain ? NULL : redact_bytes(bytes, size, &size, &hidden);
    shown = plain ? id : text ? strtab_add(strings, text, size) : 0;
    strtab_set_shown(strings, id, shown);
    return shown;
}

// Of a line that is longer, the rest is not shown.
#define SOURCE_MAX_BYTES 16384u

char *redact_source(const char *line, size_t *hidden)
{
    size_t size;
    return redact(line, strnlen(line, SOURCE_MAX_BYTES), true, &size, hidden);
}

static void mark_certain(struct redact_text *text)
{
    mark_passwords(text);
    mark_keys(text, true);
    mark_named(text);
}

char *redact_path(const char *path)
{
    size_t size;
    return redact_path_bytes(path, strlen(path), &size);
}

char *redact_path_bytes(const char *path, size_t size, size_t *ret_size)
{
    size_t hidden = 0;
    AUTO_FREE unsigned char *marks = calloc(size + 1, 1);
    struct redact_text text = {path, size, marks, false};
    if (!marks)
        return NULL;
    mark_certain(&text);
    mark_blots(&text);
    return write_out(&text, ret_size, &hidden);
}

void redact_blot(char *text, size_t size)
{
    AUTO_FREE unsigned char *marks = calloc(size + 1, 1);
    struct redact_text part = {text, size, marks, false};
    if (marks)
        mark_certain(&part);
    for (size_t i = 0; i < size; i++)
        if (!marks || marks[i])
            text[i] = REDACT_BLOT;
}

bool redact_is_secret_argument(const char *previous, const char *argument)
{
    return redact_shown_of_argument(previous, argument) != SIZE_MAX;
}

char *redact_argument(const char *previous, const char *argument)
{
    const char *equals = strchr(argument, '=');
    size_t hidden = 0, name = strspn(argument, REDACT_NAME_CHARS);
    // A key may begin with a '-', but so does the next option.
    bool option = argument[0] == '-' && (argument[1] == '-' || strlen(argument) < 8);
    if (previous && previous[0] == '-' && !strchr(previous, '=') && !option &&
        redact_is_secret_name(previous, strlen(previous)))
        return strdup(REDACT_HIDDEN);
    size_t shown = redact_shown_of_argument(previous, argument);
    if (shown != SIZE_MAX) {
        char *text = NULL;
        return asprintf(&text, "%.*s" REDACT_HIDDEN, (int)shown, argument) < 0 ? NULL : text;
    }
    if (equals == argument + name && redact_is_secret_name(argument, name)) {
        char *text = NULL;
        return asprintf(&text, "%.*s" REDACT_HIDDEN, (int)(equals + 1 - argument), argument) < 0
                   ? NULL
                   : text;
    }
    return redact_text(argument, &hidden);
}
