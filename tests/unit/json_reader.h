// SPDX-License-Identifier: GPL-3.0-or-later
// A strict JSON reader (RFC 8259) for the tests: it refuses whatever is not JSON, and finds a value
// by its path, "profile.functions[0].self". Strings are given back as WTF-8.
#ifndef TESTS_JSON_READER_H
#define TESTS_JSON_READER_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct json_reader {
    const char *at;
    unsigned depth;
    char text[1024]; // of the last string
    size_t text_size;
};

static bool json_skip(struct json_reader *r);

static void json_blank(struct json_reader *r)
{
    r->at += strspn(r->at, " \t\r\n");
}

static bool json_char(struct json_reader *r, char wanted)
{
    if (*r->at != wanted)
        return false;
    r->at++;
    return true;
}

static void json_keep(struct json_reader *r, uint32_t code)
{
    char bytes[4];
    int size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = size - 1; i > 0; i--, code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(size == 1 ? code : (0xf00u >> size & 0xff) | code);
    for (int i = 0; i < size && r->text_size < sizeof(r->text) - 1; i++)
        r->text[r->text_size++] = bytes[i];
    r->text[r->text_size] = '\0';
}

static bool json_hex4(struct json_reader *r, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        if (!isxdigit((unsigned char)*r->at))
            return false;
        *ret = *ret * 16 +
               (uint32_t)(isdigit((unsigned char)*r->at) ? *r->at - '0' : (*r->at | 32) - 'a' + 10);
    }
    return true;
}

static bool json_escape(struct json_reader *r)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (*r->at == 'u') {
        uint32_t code;
        r->at++;
        if (!json_hex4(r, &code))
            return false;
        json_keep(r, code);
        return true;
    }
    const char *letter = *r->at ? strchr(letters, *r->at) : NULL;
    if (!letter)
        return false;
    r->at++;
    json_keep(r, (unsigned char)meant[letter - letters]);
    return true;
}

// One character of valid UTF-8, no control character; the table is RFC 3629's (section 4).
static bool json_plain(struct json_reader *r)
{
    static const struct {
        unsigned char first, first_end, second, second_end, more;
    } rows[] = {
        {0x20, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
        {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
        {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3}};
    const unsigned char *at = (const unsigned char *)r->at;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (at[0] < rows[i].first || at[0] > rows[i].first_end)
            continue;
        if (rows[i].more && (at[1] < rows[i].second || at[1] > rows[i].second_end))
            return false;
        for (size_t j = 2; j <= rows[i].more; j++)
            if (at[j] >> 6 != 2)
                return false;
        for (size_t j = 0; j <= rows[i].more && r->text_size < sizeof(r->text) - 1; j++)
            r->text[r->text_size++] = (char)at[j];
        r->text[r->text_size] = '\0';
        r->at += rows[i].more + 1;
        return true;
    }
    return false;
}

static bool json_read_string(struct json_reader *r)
{
    r->text_size = 0;
    r->text[0] = '\0';
    if (!json_char(r, '"'))
        return false;
    while (!json_char(r, '"'))
        if (json_char(r, '\\') ? !json_escape(r) : !json_plain(r))
            return false;
    return true;
}

static bool json_digits(struct json_reader *r)
{
    size_t count = strspn(r->at, "0123456789");
    r->at += count;
    return count > 0;
}

static bool json_number(struct json_reader *r)
{
    json_char(r, '-');
    if (!json_char(r, '0') && !json_digits(r))
        return false;
    if (isdigit((unsigned char)*r->at))
        return false;
    if (json_char(r, '.') && !json_digits(r))
        return false;
    if (json_char(r, 'e') || json_char(r, 'E')) {
        if (!json_char(r, '+'))
            json_char(r, '-');
        return json_digits(r);
    }
    return true;
}

static bool json_word(struct json_reader *r, const char *word)
{
    if (strncmp(r->at, word, strlen(word)) != 0)
        return false;
    r->at += strlen(word);
    return true;
}

// After a comma there must be another item; `closing` ends the list.
static bool json_list(struct json_reader *r, char closing)
{
    r->at++;
    json_blank(r);
    if (json_char(r, closing))
        return true;
    do {
        json_blank(r);
        if (closing == '}') {
            if (!json_read_string(r))
                return false;
            json_blank(r);
            if (!json_char(r, ':'))
                return false;
        }
        if (!json_skip(r))
            return false;
        json_blank(r);
    } while (json_char(r, ','));
    return json_char(r, closing);
}

static bool json_skip(struct json_reader *r)
{
    json_blank(r);
    if (++r->depth > 900) // CPython's own parser gives up at 1000
        return false;
    bool good = *r->at == '{'   ? json_list(r, '}')
                : *r->at == '[' ? json_list(r, ']')
                : *r->at == '"' ? json_read_string(r)
                                : json_word(r, "null") || json_word(r, "true") ||
                                      json_word(r, "false") || json_number(r);
    r->depth--;
    return good;
}

static bool json_valid(const char *text)
{
    struct json_reader r = {.at = text};
    if (json_skip(&r)) {
        json_blank(&r);
        if (!*r.at)
            return true;
    }
    fprintf(stderr, "not JSON at byte %d: %.60s\n", (int)(r.at - text), r.at);
    return false;
}

static bool json_member(struct json_reader *r, const char *key, size_t size)
{
    json_blank(r);
    if (!json_char(r, '{'))
        return false;
    do {
        json_blank(r);
        if (!json_read_string(r))
            return false;
        bool found = r->text_size == size && memcmp(r->text, key, size) == 0;
        json_blank(r);
        if (!json_char(r, ':'))
            return false;
        json_blank(r);
        if (found)
            return true;
        json_skip(r);
        json_blank(r);
    } while (json_char(r, ','));
    return false;
}

static bool json_item(struct json_reader *r, size_t index)
{
    json_blank(r);
    if (!json_char(r, '['))
        return false;
    json_blank(r);
    if (*r->at == ']')
        return false;
    for (; index; index--) {
        json_skip(r);
        json_blank(r);
        if (!json_char(r, ','))
            return false;
    }
    json_blank(r);
    return true;
}

// Where the value of a valid text begins; NULL: there is none.
static const char *json_find(const char *text, const char *path)
{
    struct json_reader r = {.at = text};
    while (*path) {
        if (*path == '[') {
            char *end;
            if (!json_item(&r, strtoul(path + 1, &end, 10)))
                return NULL;
            path = end + 1;
        } else {
            path += *path == '.';
            size_t size = strcspn(path, ".[");
            if (!json_member(&r, path, size))
                return NULL;
            path += size;
        }
    }
    return r.at;
}

// The value as it is written, without the rest of the text. One is kept at a time.
static const char *json_raw(const char *text, const char *path)
{
    static char value[4096];
    struct json_reader r = {.at = json_find(text, path)};
    if (!r.at)
        return "(none)";
    const char *start = r.at;
    json_skip(&r);
    snprintf(value, sizeof(value), "%.*s", (int)(r.at - start), start);
    return value;
}

#endif
