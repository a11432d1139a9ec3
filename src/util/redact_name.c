// SPDX-License-Identifier: GPL-3.0-or-later
// Names that stand for secrets: see util/redact.h.
#include <ctype.h>
#include <string.h>

#include "util/guard.h"
#include "util/redact.h"

#define MAX_WORDS 24

// The words of a name, in small letters: "DBPassword2" has db, password.
struct words {
    char text[512];
    const char *items[MAX_WORDS];
    size_t count;
};

// Secret by themselves.
static const char *const secret_words[] = {
    "pass", "pwd",    "pw",   "auth", "authorization", "cookie", "cookies",  "session", "sid",
    "jwt",  "bearer", "csrf", "xsrf", "creds",         "cred",   "sessions", "passkey", "mnemonic",
    "otp",  "totp",   "cvv",  "ssn",  "passcode",      "salt",   "pincode",  "dsn",     "pin",
};

// Secret as a part of a word, too: names are often written without marks.
#define SECRET_PART_MIN_BYTES 6 // the shortest of them
static const char *const secret_parts[] = {
    "password",      "passwd",    "passphrase",  "secret",     "apikey",
    "accesskey",     "authkey",   "credential",  "privatekey", "signingkey",
    "encryptionkey", "sessionid", "accesstoken", "authtoken",  "bearertoken",
    "passwort",      "connstr",   "connectionstring",
};

// What a key opens: "api_key" is secret, "sort_key" is not.
static const char *const key_owners[] = {
    "api",     "access",  "auth",   "private", "secret",  "signing", "sign", "encryption",
    "encrypt", "crypto",  "hmac",   "master",  "service", "ssh",     "aws",  "stripe",
    "license", "licence", "client", "session", "cipher",  "aes",     "rsa",  "account",
    "deploy",  "webhook", "shared", "storage", "openai",  "azure",   "gcp",  "google",
    "kms",     "pgp",     "gpg",    "vault",
};

// Two words that are secret together.
static const struct {
    const char *first, *second;
} secret_pairs[] = {
    {"connection", "string"}, {"conn", "str"},           {"conn", "string"},
    {"seed", "phrase"},       {"recovery", "phrase"},    {"recovery", "code"},
    {"recovery", "codes"},    {"backup", "code"},        {"backup", "codes"},
    {"access", "code"},       {"verification", "code"},  {"login", "code"},
    {"security", "code"},     {"security", "answer"},    {"credit", "card"},
    {"card", "number"},
};

// A last word that makes a number or a setting of it.
static const char *const harmless_ends[] = {
    "count",    "counts", "limit", "length",     "len",      "size",   "expiry",
    "expires",  "ttl",    "age",   "required",   "enabled",  "policy", "timeout",
    "interval", "index",  "idx",   "expiration", "position", "type",   "usage",
};

// Words beside which tokens are those of a language model or a parser.
static const char *const token_measures[] = {"max",   "min", "num",  "n",
                                             "total", "per", "used", "next"};

static bool among(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (word[0] == list[i][0] && strcmp(word, list[i]) == 0)
            return true;
    return false;
}
#define AMONG(word, list) among((word), (list), ARRAY_SIZE(list))

static bool begins_word(const char *name, size_t size, size_t at)
{
    unsigned char here = (unsigned char)name[at], before = (unsigned char)name[at - 1];
    if (isdigit(here) != isdigit(before) && isalnum(before))
        return true;
    if (!isupper(here))
        return false;
    // "authToken", and the last capital of "DBPassword".
    return islower(before) ||
           (isupper(before) && at + 1 < size && islower((unsigned char)name[at + 1]));
}

static void split(const char *name, size_t size, struct words *ret)
{
    size_t used = 0;
    bool within = false;
    ret->count = 0;
    for (size_t i = 0; i < size && used + 2 < sizeof(ret->text); i++) {
        unsigned char here = (unsigned char)name[i];
        if (within && (!isalnum(here) || begins_word(name, size, i))) {
            ret->text[used++] = '\0';
            within = false;
        }
        if (!isalpha(here))
            continue;
        if (!within && ret->count == MAX_WORDS)
            break;
        if (!within)
            ret->items[ret->count++] = &ret->text[used];
        within = true;
        ret->text[used++] = (char)tolower(here);
    }
    ret->text[used] = '\0';
}

static bool ends_with(const char *word, const char *end)
{
    size_t size = strlen(word), tail = strlen(end);
    return size >= tail && strcmp(word + size - tail, end) == 0;
}

static bool is_tokens(const struct words *words, size_t at)
{
    if (!ends_with(words->items[at], "token") && !ends_with(words->items[at], "tokens"))
        return false;
    for (size_t i = 0; i < words->count; i++)
        if (AMONG(words->items[i], token_measures))
            return false;
    return true;
}

static bool is_secret_word(const struct words *words, size_t at)
{
    const char *word = words->items[at];
    if (AMONG(word, secret_words) || is_tokens(words, at))
        return true;
    bool long_enough = strlen(word) >= SECRET_PART_MIN_BYTES;
    for (size_t i = 0; long_enough && i < ARRAY_SIZE(secret_parts); i++)
        if (strstr(word, secret_parts[i]) && !strstr(word, "secretar"))
            return true;
    for (size_t i = 0; at > 0 && i < ARRAY_SIZE(secret_pairs); i++)
        if (strcmp(word, secret_pairs[i].second) == 0 &&
            strcmp(words->items[at - 1], secret_pairs[i].first) == 0)
            return true;
    bool key = strcmp(word, "key") == 0 || strcmp(word, "keys") == 0;
    return key && at > 0 && AMONG(words->items[at - 1], key_owners);
}

bool redact_is_secret_name(const char *name, size_t size)
{
    struct words words;
    split(name, size, &words);
    if (words.count && AMONG(words.items[words.count - 1], harmless_ends))
        return false;
    for (size_t i = 0; i < words.count; i++)
        if (is_secret_word(&words, i))
            return true;
    return false;
}

bool redact_is_environment_name(const char *name, size_t size)
{
    // environ(7), and what shells and service managers always set.
    static const char *const variables[] = {"PATH", "HOME", "USER", "SHELL",  "LOGNAME",  "PWD",
                                            "LANG", "TERM", "MAIL", "LC_ALL", "HOSTNAME", "SHLVL"};
    static const char *const collections[] = {"env", "environ", "environment", "envp"};
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        if (strlen(variables[i]) == size && memcmp(name, variables[i], size) == 0)
            return true;
    struct words words;
    split(name, size, &words);
    for (size_t i = 0; i < words.count; i++)
        if (AMONG(words.items[i], collections))
            return true;
    return false;
}
