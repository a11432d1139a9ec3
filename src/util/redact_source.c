// SPDX-License-Identifier: GPL-3.0-or-later
// Secrets in a line of Python source: see redact_private.h. Only literals are values.
#include <stdlib.h>
#include <string.h>

#include "redact_private.h"
#include "util/guard.h"
#include "util/redact.h"

// A value that is put in later: "%s", "{}", "{name}", or nothing.
static bool is_placeholder(const struct redact_text *text, size_t start, size_t end)
{
    char first = start < end ? text->bytes[start] : '\0';
    return start >= end || first == '%' || first == '{';
}

// Whether a literal's text ends with a secret name, alone or with a sign and no value: "password=%s".
static bool announces(const struct redact_text *text, size_t start, size_t end, bool *ret_alone)
{
    for (size_t at = start; at < end;) {
        size_t stop = at;
        while (stop < end && redact_is_name_char(text->bytes[stop]))
            stop++;
        if (stop > at && redact_is_secret_name(text->bytes + at, stop - at)) {
            size_t value = stop;
            while (value < end && strchr("=: ", text->bytes[value]))
                value++;
            *ret_alone = at == start && stop == end;
            if (*ret_alone || (value > stop && is_placeholder(text, value, end)))
                return true;
        }
        at = stop > at ? stop : at + 1;
    }
    return false;
}

// os.getenv("API_TOKEN") or "x"; "password=%s" % "x".
static void mark_announced(struct redact_text *text, size_t close, bool alone)
{
    size_t at = close + 1;
    if (!alone) {
        bool handed = redact_at(text, redact_skip_spaces(text, at)) == ',';
        do // log.info("password %s", "x", ...)
            at = redact_mark_literals(text, at) + 1;
        while (handed && redact_at(text, at - 1) == ',');
        return;
    }
    while (redact_at(text, at) == ')' || redact_at(text, at) == ']' || redact_at(text, at) == ' ')
        at++;
    if (at + 3 < text->size && memcmp(text->bytes + at, "or ", 3) == 0)
        redact_mark_literals(text, at + 3);
}

// "x" == password
static bool is_compared(const struct redact_text *text, size_t at)
{
    at = redact_skip_spaces(text, at);
    if ((redact_at(text, at) != '=' && redact_at(text, at) != '!') ||
        redact_at(text, at + 1) != '=')
        return false;
    at = redact_skip_spaces(text, at + 2);
    at += redact_at(text, at) == '(';
    size_t end = at;
    while (redact_is_name_char(redact_at(text, end)))
        end++;
    return redact_is_secret_name(text->bytes + at, end - at);
}

// run(["sshpass", "-p", "x"]): what the literal that ends before `at` makes of the next one.
static void mark_option(struct redact_text *text, size_t start, size_t end, size_t at)
{
    size_t close, next = redact_skip_spaces(text, at);
    if (start >= end || text->bytes[start] != '-' || redact_at(text, next) != ',')
        return;
    next = redact_skip_spaces(text, next + 1);
    if (!redact_is_quote(redact_at(text, next)))
        return;
    size_t from = redact_open_literal(text, next, &close);
    AUTO_FREE char *option = strndup(text->bytes + start, end - start);
    AUTO_FREE char *value = strndup(text->bytes + from, close - from);
    size_t shown = option && value ? redact_shown_of_argument(option, value) : 0;
    if (shown != SIZE_MAX && from + shown < close)
        redact_mark(text, from + shown, close);
}

// What is in literals and comments is no source.
static void mark_within(struct redact_text *text)
{
    for (size_t at = 0, end; at < text->size; at++) {
        bool comment = text->bytes[at] == '#';
        if (!comment && !redact_is_quote(text->bytes[at]))
            continue;
        size_t start = comment ? at + 1 : redact_open_literal(text, at, &end);
        size_t quotes = start - at;
        end = comment ? text->size : end;
        struct redact_text part = {text->bytes + start, end - start, text->marks + start, false};
        redact_mark_text(&part);
        bool alone = false;
        if (!comment && is_compared(text, end + quotes))
            redact_mark(text, start, end);
        if (!comment && announces(text, start, end, &alone))
            mark_announced(text, end + quotes - 1, alone);
        if (!comment)
            mark_option(text, start, end, end + quotes);
        at = end + quotes - 1;
    }
}

// user, password = "x", "y"
static void mark_assigned(struct redact_text *text)
{
    bool several = false, secret = false;
    size_t at = 0;
    while (at < text->size) {
        size_t end = at;
        while (end < text->size && redact_is_name_char(text->bytes[end]))
            end++;
        secret |= redact_is_secret_name(text->bytes + at, end - at);
        char c = redact_at(text, end);
        several |= c == ',';
        if (c == '=')
            at = end + 1;
        if (c == '=' || !c || !strchr(", \t*", c))
            break;
        at = end + 1;
    }
    if (!several || !secret || !at || redact_at(text, at - 1) != '=' || redact_at(text, at) == '=')
        return;
    do
        at = redact_mark_literals(text, at) + 1;
    while (redact_at(text, at - 1) == ',');
}

// Calls that take a secret, whatever they are given.
static bool takes_secret(const char *path, size_t size, const char *name, size_t name_size)
{
    static const char *const words[] = {"pass",   "pwd",    "token", "secret", "apikey",
                                        "api_key", "auth"};
    static const char *const names[] = {"login",  "log_in",  "logon",        "signin",
                                        "sign_in", "authenticate", "Fernet"};
    static const char *const modules[] = {"jwt.", "hmac."};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strlen(names[i]) == name_size && memcmp(names[i], name, name_size) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
        if (size > strlen(modules[i]) && memcmp(path, modules[i], strlen(modules[i])) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (redact_holds(name, name_size, words[i]))
            return redact_is_secret_name(name, name_size);
    return false;
}

// set_password("x"), check_token("x"): all literals that are handed over.
static void mark_calls(struct redact_text *text)
{
    for (size_t at = 0; at < text->size;) {
        size_t end = at;
        while (end < text->size && redact_is_name_char(text->bytes[end]))
            end++;
        size_t name = end;
        while (name > at && text->bytes[name - 1] != '.')
            name--;
        bool defined = at >= 4 && memcmp(text->bytes + at - 4, "def ", 4) == 0;
        if (redact_at(text, end) == '(' && !defined &&
            takes_secret(text->bytes + at, end - at, text->bytes + name, end - name))
            for (size_t next = end + 1;
                 redact_at(text, next - 1) && redact_at(text, next - 1) != ')';)
                next = redact_mark_literals(text, next) + 1;
        at = end > at ? end : at + 1;
    }
}

void redact_mark_source(struct redact_text *text)
{
    mark_within(text);
    mark_assigned(text);
    mark_calls(text);
}
