// SPDX-License-Identifier: GPL-3.0-or-later
// Values that are keys or tokens by their looks: see util/redact.h.
#include <ctype.h>
#include <string.h>

#include "redact_private.h"
#include "util/guard.h"
#include "util/redact.h"

// What keys of known services begin with, and how many letters, digits, '-', '_' and '.' follow at
// least. Those that a word may begin with need a digit.
#define SERVICE_KEY_MIN_BYTES 12 // the shortest of them, with what follows
static const struct {
    const char *prefix;
    size_t rest;
    bool digit;
} services[] = {
    {"ghp_", 8, true},          {"gho_", 8, true},
    {"ghu_", 8, true},          {"ghs_", 8, true},
    {"ghr_", 8, true},          {"glpat-", 12, false},
    {"sk-", 16, true},          {"sk_live_", 8, false},
    {"sk_test_", 8, false},     {"rk_live_", 8, false},
    {"pk_live_", 8, false},     {"whsec_", 12, false},
    {"xoxb-", 8, false},        {"xoxp-", 8, false},
    {"xoxa-", 8, false},        {"xoxr-", 8, false},
    {"xoxs-", 8, false},        {"xapp-", 8, true},
    {"AKIA", 12, true},         {"ASIA", 12, true},
    {"AIza", 20, false},        {"ya29.", 16, false},
    {"eyJ", 16, false},         {"SG.", 20, false},
    {"hf_", 20, false},         {"npm_", 20, false},
    {"pypi-", 20, false},       {"dop_v1_", 16, false},
    {"shpat_", 16, false},      {"shpss_", 16, false},
    {"sntrys_", 16, false},     {"xkeysib-", 16, true},
    {"github_pat_", 12, false}, {"AGE-SECRET-KEY-", 8, false},
    {"GOCSPX-", 16, false},     {"sq0atp-", 12, false},
    {"sq0csp-", 12, false},     {"dapi", 24, true},
    {"hvs.", 20, false},        {"dp.pt.", 20, false},
    {"lin_api_", 16, false},    {"figd_", 16, true},
    {"ATATT3", 16, false},      {"pscale_tkn_", 12, false},
    {"PMAK-", 16, true},        {"NRAK-", 16, true},
    {"glsa_", 16, true},        {"glc_", 20, true},
    {"sbp_", 20, true},         {"r8_", 20, true},
    {"gsk_", 20, true},         {"nvapi-", 20, true},
    {"ntn_", 20, true},         {"tskey-", 12, true},
    {"xai-", 20, true},         {"pplx-", 20, true},
};

static bool is_service_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

#define KEY_MAX_BYTES 512

size_t redact_service_key(const char *text, size_t size)
{
    if (size < SERVICE_KEY_MIN_BYTES)
        return 0;
    size = size < KEY_MAX_BYTES ? size : KEY_MAX_BYTES;
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        if (text[0] != services[i].prefix[0])
            continue;
        size_t head = strlen(services[i].prefix), at = head;
        if (size < head || memcmp(text, services[i].prefix, head) != 0)
            continue;
        bool digit = false;
        for (; at < size && is_service_char(text[at]); at++)
            digit |= isdigit((unsigned char)text[at]) != 0;
        while (at > head && text[at - 1] == '.')
            at--;
        if (at - head >= services[i].rest && (digit || !services[i].digit))
            return at;
    }
    return 0;
}

bool redact_is_run_char(char c)
{
    return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '_' || c == '-';
}

// 8-4-4-4-12 digits of RFC 9562: a name, not a key.
static bool is_uuid(const char *text, size_t size)
{
    if (size != 36)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

struct looks {
    size_t lower, upper, digits, others;
    size_t hex;      // of 0-9 and a-f, or A-F
    size_t in_words; // letters of one case, five and more in a row: random ones hardly have them
    size_t turns;    // from one class of characters to another
};

static void look(const char *text, size_t size, struct looks *ret)
{
    size_t row = 0;
    int last = -1;
    *ret = (struct looks){0};
    for (size_t i = 0; i <= size; i++) {
        unsigned char c = i < size ? (unsigned char)text[i] : 0;
        int class = islower(c) ? 0 : isupper(c) ? 1 : isdigit(c) ? 2 : 3;
        // "Server" goes on from its capital.
        bool goes_on = class == last || (class == 0 && last == 1);
        if (!goes_on || class > 1) {
            ret->in_words += row >= 5 ? row : 0;
            row = 0;
        }
        if (i == size)
            break;
        row += class < 2;
        ret->turns += i && class != last;
        ret->lower += class == 0;
        ret->upper += class == 1;
        ret->digits += class == 2;
        ret->others += class == 3;
        ret->hex += isxdigit(c) != 0;
        last = class;
    }
}

bool redact_is_path(const char *text, size_t size)
{
    return size > 1 && text[0] == '/' && memchr(text + 1, '/', size - 1);
}

#define RANDOM_MIN_BYTES 20

bool redact_is_random(const char *text, size_t size)
{
    struct looks looks;
    if (redact_is_path(text, size)) {
        const char *slash = memchr(text + 1, '/', size - 1);
        size_t name = (size_t)(slash - text);
        return redact_is_random(text + 1, name - 1) || redact_is_random(slash, size - name);
    }
    if (size < RANDOM_MIN_BYTES || is_uuid(text, size))
        return false;
    look(text, size, &looks);
    size_t letters = looks.lower + looks.upper;
    if (!looks.digits || !letters)
        return false;
    // A hash in hexadecimal, or a key of 128 bits and more.
    if (looks.hex == size)
        return size >= 32 && looks.digits >= 4 && letters >= 4;
    if (size < 24 || looks.in_words * 2 >= size || looks.others * 6 > size)
        return false;
    if (looks.lower && looks.upper)
        return looks.turns * 4 >= size;
    return looks.digits >= 4 && looks.turns * 4 >= size;
}

// Nothing is said of it, and it is too short to look random: what is left are keys of services.
bool redact_is_plain_name(const char *text, size_t size)
{
    if (size >= RANDOM_MIN_BYTES || (size && text[0] == '-')) // "-pSECRET"
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!is_service_char(text[i]))
            return false;
        bool begins = !i || !isalnum((unsigned char)text[i - 1]);
        if (begins && redact_service_key(text + i, size - i))
            return false;
    }
    return true;
}

bool redact_is_secret_value(const char *text, size_t size)
{
    while (size && text[size - 1] == '=')
        size--;
    if (redact_service_key(text, size) == size && size)
        return true;
    for (size_t i = 0; i < size; i++)
        if (!redact_is_run_char(text[i]))
            return false;
    return redact_is_random(text, size);
}
