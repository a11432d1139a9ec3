// SPDX-License-Identifier: GPL-3.0-or-later
// Secrets that no sign announces: see redact_private.h. Each look marks bytes on its own.
#include <ctype.h>
#include <strings.h>

#include "redact_private.h"
#include "util/guard.h"
#include "util/redact.h"

#define CREDENTIALS_MAX_BYTES 256
#define WORD_ENDS " \t\r\n\"'`,;()<>[]{}"

static bool is_among(const char *word, size_t size, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == size && strncasecmp(list[i], word, size) == 0)
            return true;
    return false;
}

static bool is_alnum(char c)
{
    return isalnum((unsigned char)c) != 0;
}

// ---- "user:password@host", where no scheme stands before it ---------------------------------------

static void mark_credentials(struct redact_text *text)
{
    // Address schemes whose colon is no password's, and what stands before a digest.
    static const char *const schemes[] = {"mailto", "sip", "sips", "xmpp", "acct", "git"};
    for (size_t at = 0; at < text->size; at++) {
        if (text->bytes[at] != '@' ||
            !(is_alnum(redact_at(text, at + 1)) || redact_at(text, at + 1) == '['))
            continue;
        if (at + 7 < text->size && memcmp(text->bytes + at + 1, "sha256", 6) == 0)
            continue;
        size_t start = at, colon = SIZE_MAX;
        while (start > 0 && at - start < CREDENTIALS_MAX_BYTES &&
               !strchr(WORD_ENDS "/=|", text->bytes[start - 1]))
            if (text->bytes[--start] == ':')
                colon = start;
        if (colon == SIZE_MAX || colon == start || colon + 1 == at ||
            !isalpha((unsigned char)text->bytes[start]))
            continue;
        if (!is_among(text->bytes + start, colon - start, schemes, ARRAY_SIZE(schemes)))
            redact_mark(text, colon + 1, at);
    }
}

// ---- Command lines -------------------------------------------------------------------------------

// A port, a range of them, a file: what -p has where it is no password.
static bool is_harmless(const char *value, size_t size)
{
    size_t at = 0;
    while (at < size && strchr("0123456789:.,-/", value[at]))
        at++;
    return at == size || value[0] == '/' || value[0] == '.' || value[0] == '~';
}

// "-pSECRET1": no word, as "-print" and "-prune" are.
static bool is_attached(const char *value, size_t size)
{
    bool odd = false;
    for (size_t i = 0; i < size; i++) {
        if (value[i] == '=')
            return false;
        odd |= !islower((unsigned char)value[i]) && value[i] != '-' && value[i] != '_';
    }
    return odd && size >= 4 && !is_harmless(value, size);
}

static bool is_option(const char *word, size_t size, bool users)
{
    static const char *const passwords[] = {"-p", "-P"};
    static const char *const logins[] = {"-u",     "-U",           "--user",  "--proxy-user",
                                         "--auth", "--basic-auth", "--login", "--credentials"};
    for (size_t i = 0; !users && i < ARRAY_SIZE(passwords); i++)
        if (size == 2 && memcmp(word, passwords[i], 2) == 0)
            return true;
    for (size_t i = 0; users && i < ARRAY_SIZE(logins); i++)
        if (strlen(logins[i]) == size && memcmp(word, logins[i], size) == 0)
            return true;
    return false;
}

// Where the secret in `value` begins, that follows the option; SIZE_MAX: nowhere.
static size_t secret_of_option(const char *option, size_t option_size, const char *value,
                               size_t size)
{
    if (is_option(option, option_size, false))
        return size && value[0] != '-' && !is_harmless(value, size) ? 0 : SIZE_MAX;
    const char *colon = is_option(option, option_size, true) ? memchr(value, ':', size) : NULL;
    // Numbers are those of a user and a group.
    return colon && colon > value && !is_harmless(value, size) ? (size_t)(colon + 1 - value)
                                                               : SIZE_MAX;
}

size_t redact_shown_of_argument(const char *previous, const char *argument)
{
    size_t size = strlen(argument), name = strcspn(argument, "=");
    if (previous) {
        size_t start = secret_of_option(previous, strlen(previous), argument, size);
        if (start != SIZE_MAX)
            return start;
    }
    if (argument[0] != '-')
        return SIZE_MAX;
    if (size > 2 && is_option(argument, 2, false) && is_attached(argument + 2, size - 2))
        return 2;
    if (name == size)
        return SIZE_MAX;
    size_t start = secret_of_option(argument, name, argument + name + 1, size - name - 1);
    return start == SIZE_MAX || is_option(argument, name, false) ? SIZE_MAX : name + 1 + start;
}

// "mysql -u root -pSECRET -h db", as one text.
static void mark_options(struct redact_text *text)
{
    for (size_t at = 0; at < text->size; at++) {
        bool begins = !at || strchr(" \t\n\"'", text->bytes[at - 1]);
        if (text->bytes[at] != '-' || !begins)
            continue;
        size_t end = redact_span(text, at, " \t\r\n\"'");
        size_t value = redact_skip_spaces(text, end),
               close = redact_span(text, value, " \t\r\n\"'");
        if (end - at > 2 && is_option(text->bytes + at, 2, false) &&
            is_attached(text->bytes + at + 2, end - at - 2)) {
            redact_mark(text, at + 2, end);
        } else if (value > end && close > value) {
            size_t start =
                secret_of_option(text->bytes + at, end - at, text->bytes + value, close - value);
            if (start != SIZE_MAX)
                redact_mark(text, value + start, close);
        }
        at = end > at ? end - 1 : at;
    }
}

// ---- Markup, SQL, prose --------------------------------------------------------------------------

static bool has_word(const struct redact_text *text, size_t at, const char *word)
{
    size_t size = strlen(word);
    return at + size <= text->size && strncasecmp(text->bytes + at, word, size) == 0;
}

// All quoted from `at` on.
static void mark_quoted(struct redact_text *text, size_t at)
{
    for (size_t end; at < text->size; at++)
        if (redact_is_quote(text->bytes[at])) {
            size_t start = redact_open_literal(text, at, &end);
            redact_mark(text, start, end);
            at = end;
        }
}

// What is said of a password, and is none.
static bool is_said(const char *word, size_t size)
{
    static const char *const words[] = {
        "for",      "from",    "and",      "or",       "not",      "has",         "have",
        "had",      "was",     "were",     "is",       "are",      "in",          "on",
        "at",       "by",      "of",       "to",       "the",      "a",           "an",
        "it",       "too",     "that",     "this",     "with",     "when",        "must",
        "will",     "can",     "cannot",   "could",    "should",   "does",        "did",
        "do",       "set",     "unset",    "wrong",    "bad",      "good",        "ok",
        "okay",     "correct", "invalid",  "valid",    "missing",  "empty",       "none",
        "null",     "given",   "supplied", "provided", "entered",  "sent",        "expired",
        "required", "needed",  "changed",  "reset",    "rejected", "accepted",    "denied",
        "failed",   "refused", "used",     "unknown",  "stored",   "saved",       "hidden",
        "weak",     "short",   "long",     "never",    "now",      "no",          "yes",
        "true",     "false",   "only",     "again",    "already",  "authentication", "auth",
        "login",    "hash",    "file",     "field",    "format",   "policy",      "prompt",
        "grant",    "check",   "length",   "database", "manager",  "protected",   "incorrect",
        "mismatch", "change",  "update",   "error",    "hashing",  "protection",  "characters",
        "which",    "because", "but",      "if",       "then",     "still",       "disabled",
        "enabled",  "allowed", "verification", "retries", "attempt", "attempts",  "first",
    };
    return is_among(word, size, words, ARRAY_SIZE(words));
}

// "with password", "wrong password": what follows may be the password itself.
static bool is_introduced(const struct redact_text *text, size_t at)
{
    static const char *const words[] = {"with", "using", "wrong", "bad", "invalid", "incorrect"};
    size_t end = at;
    while (end > 0 && text->bytes[end - 1] == ' ')
        end--;
    size_t start = end;
    while (start > 0 && isalpha((unsigned char)text->bytes[start - 1]))
        start--;
    return end < at && is_among(text->bytes + start, end - start, words, ARRAY_SIZE(words));
}

// "password is x1y2", "token x1y2 has expired": a word that is none, behind the name [name, at).
static void mark_told(struct redact_text *text, size_t name, size_t at)
{
    static const char *const between[] = {"is ", "was ", "of ", "to ", "as "};
    static const char *const passwords[] = {"password", "passwd", "passphrase", "passcode",
                                            "secret"};
    size_t value = redact_skip_spaces(text, at);
    if (value == at)
        return;
    bool told = is_introduced(text, name);
    for (size_t i = 0; i < ARRAY_SIZE(between); i++)
        if (has_word(text, value, between[i])) {
            told |= i < 2;
            value = redact_skip_spaces(text, value + strlen(between[i]));
            break;
        }
    size_t end = redact_span(text, value, WORD_ENDS), digits = 0, letters = 0;
    while (end > value && strchr(".:!?", text->bytes[end - 1]))
        end--;
    for (size_t i = value; i < end; i++) {
        digits += isdigit((unsigned char)text->bytes[i]) != 0;
        letters += isalpha((unsigned char)text->bytes[i]) != 0;
    }
    bool word = told && end - value >= 4 &&
                is_among(text->bytes + name, at - name, passwords, ARRAY_SIZE(passwords)) &&
                !is_said(text->bytes + value, end - value);
    if (word || (digits && letters && end - value >= 5 && !has_word(text, value, "0x")))
        redact_mark(text, value, end);
}

static void mark_behind_names(struct redact_text *text)
{
    bool named = false, quoted = false;
    for (size_t at = 0; at < text->size;) {
        size_t end = at;
        while (end < text->size && redact_is_name_char(text->bytes[end]))
            end++;
        if (end == at) {
            at++;
            continue;
        }
        size_t size = end - at;
        // INSERT INTO t (name, password) VALUES ('x', 'y'); IDENTIFIED BY 'x'
        bool values = named && size == 6 && has_word(text, at, "values");
        bool identified = has_word(text, at, "identified") &&
                          has_word(text, redact_skip_spaces(text, end), "by ");
        if (!quoted && (values || identified)) {
            mark_quoted(text, end);
            quoted = true;
        }
        if (redact_is_secret_name(text->bytes + at, size)) {
            named = true;
            if (redact_at(text, end) == '>' && at && strchr("<:", text->bytes[at - 1]))
                redact_mark(text, end + 1, redact_span(text, end + 1, "<"));
            else
                mark_told(text, at, end);
        }
        at = end;
    }
}

// Parameters of a URL that are secret there and nowhere else.
static void mark_parameters(struct redact_text *text)
{
    static const char *const names[] = {"sig", "signature", "x-amz-signature", "x-goog-signature",
                                        "key", "code",      "ticket"};
    for (size_t at = 1; at < text->size; at++) {
        if (text->bytes[at - 1] != '?' && text->bytes[at - 1] != '&')
            continue;
        size_t end = at;
        while (end < text->size && redact_is_name_char(text->bytes[end]))
            end++;
        if (redact_at(text, end) != '=' ||
            !is_among(text->bytes + at, end - at, names, ARRAY_SIZE(names)))
            continue;
        at = redact_span(text, end + 1, "&#;" WORD_ENDS);
        redact_mark(text, end + 1, at);
    }
}

// Addresses that are secret themselves.
static void mark_addresses(struct redact_text *text)
{
    static const char slack[] = "hooks.slack.com/services/";
    for (size_t at = 0; at + sizeof(slack) < text->size; at++)
        if (text->bytes[at] == 'h' && has_word(text, at, slack))
            redact_mark(text, at + sizeof(slack) - 1,
                        redact_span(text, at + sizeof(slack) - 1, WORD_ENDS));
}

void redact_phrases(struct redact_text *text)
{
    mark_addresses(text);
    mark_credentials(text);
    mark_options(text);
    mark_behind_names(text);
    mark_parameters(text);
}
