// SPDX-License-Identifier: GPL-3.0-or-later
// Hiding what looks like a secret: see util/redact.h.
#include "util/redact.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/guard.h"

#define HIDDEN "***"

// Parts of names; case, '-' and '_' do not count.
static const char *const secret_words[] = {
    "password",  "passwd",  "passphrase", "secret",     "token",      "apikey",
    "accesskey", "authkey", "privatekey", "credential", "signingkey", "encryptionkey",
};

// What keys of known services begin with, and how many letters, digits, '-', '_' and '.' follow at
// least.
static const struct {
    const char *prefix;
    size_t rest;
} secret_values[] = {
    {"ghp_", 20}, {"gho_", 20},     {"ghs_", 20},  {"github_pat_", 20}, {"glpat-", 16},
    {"sk-", 20},  {"sk_live_", 16}, {"xoxb-", 16}, {"xoxp-", 16},       {"xoxa-", 16},
    {"AKIA", 16}, {"ASIA", 16},     {"AIza", 30},  {"eyJ", 24},
};

bool redact_is_secret_name(const char *name, unsigned long size)
{
    char plain[512];
    size_t used = 0;
    for (size_t i = 0; i < size && used < sizeof(plain) - 1; i++)
        if (name[i] != '-' && name[i] != '_' && name[i] != '.')
            plain[used++] = (char)tolower((unsigned char)name[i]);
    plain[used] = '\0';
    // A tokenizer, or how many tokens a model may make, is no secret.
    for (size_t i = 0; i < ARRAY_SIZE(secret_words); i++)
        if (strstr(plain, secret_words[i]) &&
            (strcmp(secret_words[i], "token") != 0 ||
             (!strstr(plain, "tokeniz") && !strstr(plain, "maxtoken"))))
            return true;
    return false;
}

static bool is_secret_value(const char *value)
{
    for (size_t i = 0; i < ARRAY_SIZE(secret_values); i++) {
        size_t size = strlen(secret_values[i].prefix), rest = 0;
        if (strncmp(value, secret_values[i].prefix, size) != 0)
            continue;
        for (const char *at = value + size;
             isalnum((unsigned char)*at) || (*at && strchr("-_.", *at)); at++)
            rest++;
        if (rest >= secret_values[i].rest)
            return true;
    }
    return false;
}

static char *printed(const char *head, size_t head_size, const char *tail)
{
    char *text = NULL;
    return asprintf(&text, "%.*s" HIDDEN "%s", (int)head_size, head, tail) < 0 ? NULL : text;
}

// The first password of a "scheme://user:password@host": false when there is none.
static bool find_password(const char *text, const char **ret_start, const char **ret_end)
{
    for (const char *at = text; (at = strstr(at, "://"));) {
        at += 3;
        const char *end = at + strcspn(at, "/?# ");
        const char *host = memrchr(at, '@', (size_t)(end - at));
        const char *colon = host ? memchr(at, ':', (size_t)(host - at)) : NULL;
        if (!colon)
            continue;
        *ret_start = colon + 1;
        *ret_end = host;
        return true;
    }
    return false;
}

// Of all addresses in it. NULL: out of memory.
static char *hide_passwords(const char *text)
{
    char *shown = strdup(text);
    const char *start, *end;
    for (size_t done = 0; shown && find_password(shown + done, &start, &end);) {
        size_t head = (size_t)(start - shown);
        char *next = printed(shown, head, end);
        free(shown);
        shown = next;
        done = head + strlen(HIDDEN);
    }
    return shown;
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

// A "name=value", "name: value" or "bearer value" somewhere in `text`, the value of which is secret.
static bool find_value(const char *text, const char **ret_start, const char **ret_end)
{
    static const char bearer[] = "bearer ";
    for (const char *at = text; *at; at++) {
        const char *value = NULL;
        if (*at == '=' || *at == ':') {
            const char *name = at;
            while (name > text && is_name_char(name[-1]))
                name--;
            if (redact_is_secret_name(name, (size_t)(at - name)))
                value = at + 1 + strspn(at + 1, " ");
        } else if (strncasecmp(at, bearer, sizeof(bearer) - 1) == 0) {
            value = at + sizeof(bearer) - 1;
        }
        if (!value || !*value || strncmp(value, HIDDEN, strlen(HIDDEN)) == 0)
            continue;
        *ret_start = value;
        *ret_end = value + strcspn(value, ";&,\"' \n");
        if (*ret_end > *ret_start)
            return true;
    }
    return false;
}

// NULL: out of memory.
static char *hide_values(char *shown)
{
    const char *start, *end;
    while (shown && find_value(shown, &start, &end)) {
        char *next = printed(shown, (size_t)(start - shown), end);
        free(shown);
        shown = next;
    }
    return shown;
}

char *redact_argument(const char *previous, const char *argument)
{
    const char *equals = strchr(argument, '=');
    if (previous && previous[0] == '-' && !strchr(previous, '=') && argument[0] != '-' &&
        redact_is_secret_name(previous, strlen(previous)))
        return strdup(HIDDEN);
    if (equals && (redact_is_secret_name(argument, (size_t)(equals - argument)) ||
                   is_secret_value(equals + 1)))
        return printed(argument, (size_t)(equals + 1 - argument), "");
    return is_secret_value(argument) ? strdup(HIDDEN) : hide_values(hide_passwords(argument));
}
