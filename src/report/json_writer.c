// SPDX-License-Identifier: GPL-3.0-or-later
// The streaming JSON writer (RFC 8259). Reports are made of very many short pieces: they do not go through
// printf, and do not take the stream's lock, as one thread writes.
#include "report/json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "util/clean.h"

#define SHORT_BYTES 100
#define INDENT_MAX 40 // deep trees: beyond it the blanks would outweigh the data

static void put(struct json_writer *json, const char *bytes, size_t size)
{
    fwrite_unlocked(bytes, 1, size, json->out);
}

static void put_text(struct json_writer *json, const char *text)
{
    put(json, text, strlen(text));
}

static void put_char(struct json_writer *json, char c)
{
    putc_unlocked(c, json->out);
}

static void put_line(struct json_writer *json, unsigned depth)
{
    static const char line[] = "\n                                        ";
    _Static_assert(sizeof(line) == INDENT_MAX + 2, "a line break, blanks, and the end");
    put(json, line, 1 + (depth < INDENT_MAX ? depth : INDENT_MAX));
}

static void put_decimal(struct json_writer *json, uint64_t value)
{
    char digits[20], *at = digits + sizeof(digits);
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    put(json, at, (size_t)(digits + sizeof(digits) - at));
}

void json_line(struct json_writer *json)
{
    if (json->begun)
        put_char(json, ',');
    put_line(json, json->depth);
    json->begun = false; // the separator is written
}

// What is written as it is, of which nearly all text is made.
static size_t plain_run(const struct json_writer *json, const char *at, const char *end)
{
    const char *begin = at;
    while (at < end && *at >= ' ' && *at <= '~' && *at != '"' && *at != '\\' &&
           (!json->embedded || (*at != '<' && *at != '>' && *at != '&')))
        at++;
    return (size_t)(at - begin);
}

// A short text that is plain, with what is before and behind it, in one piece. False: it is another one.
static bool put_short(struct json_writer *json, const char *before, const char *text, size_t size,
                      const char *after)
{
    char piece[SHORT_BYTES + 8], *to = piece;
    if (size > SHORT_BYTES || plain_run(json, text, text + size) != size)
        return false;
    while (*before)
        *to++ = *before++;
    to = (char *)memcpy(to, text, size) + size;
    while (*after)
        *to++ = *after++;
    put(json, piece, (size_t)(to - piece));
    return true;
}

static void put_escaped(struct json_writer *json, const char *bytes, size_t size);

static void put_key(struct json_writer *json, const char *key)
{
    const char *begin = !json->begun ? "\"" : json->embedded ? ",\"" : ", \"";
    const char *end = json->embedded ? "\":" : "\": ";
    size_t comma = strlen(begin) - 1;
    json->begun = true;
    if (!key) {
        put(json, begin, comma);
    } else if (!put_short(json, begin, key, strlen(key), end)) {
        put(json, begin, comma);
        put_escaped(json, key, strlen(key));
        put_text(json, end + 1);
    }
}

static void begin(struct json_writer *json, const char *key, char bracket)
{
    put_key(json, key);
    put_char(json, bracket);
    json->depth++;
    json->begun = false;
}

static void end(struct json_writer *json, enum json_layout layout, char bracket)
{
    json->depth--;
    if (layout == JSON_LINES && json->begun)
        put_line(json, json->depth);
    put_char(json, bracket);
    json->begun = true;
}

void json_begin_object(struct json_writer *json, const char *key)
{
    begin(json, key, '{');
}

void json_end_object(struct json_writer *json, enum json_layout layout)
{
    end(json, layout, '}');
}

void json_begin_array(struct json_writer *json, const char *key)
{
    begin(json, key, '[');
}

void json_end_array(struct json_writer *json, enum json_layout layout)
{
    end(json, layout, ']');
}

static bool put_short_escape(struct json_writer *json, uint32_t code)
{
    static const struct {
        uint32_t code;
        const char *escape;
    } escapes[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\r', "\\r"},
                   {'\t', "\\t"}, {'\b', "\\b"},  {'\f', "\\f"}};
    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        if (escapes[i].code == code) {
            put_text(json, escapes[i].escape);
            return true;
        }
    }
    return false;
}

// A report may well go to a terminal or an editor: what must not be shown as it is, is escaped.
static bool must_escape(const struct json_writer *json, uint32_t code)
{
    return clean_is_unseen(code) || (code >= 0xd800 && code <= 0xdfff) ||
           (json->embedded && (code == '<' || code == '>' || code == '&'));
}

static void put_code(struct json_writer *json, uint32_t code)
{
    if (code > 0xffff) // RFC 8259, 7: a pair of surrogates
        fprintf(json->out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd7c0 + (code >> 10),
                0xdc00 + (code & 0x3ff));
    else
        fprintf(json->out, "\\u%04" PRIx32, code);
}

// A character, or the surrogate that stands for a byte. Returns how many bytes that is.
static size_t next_code(const char *at, const char *end, uint32_t *ret_code)
{
    size_t length = clean_decode(at, (size_t)(end - at), ret_code);
    if (length)
        return length;
    *ret_code = 0xdc00u | (unsigned char)*at;
    return 1;
}

static void put_literal(struct json_writer *json, uint32_t code)
{
    char bytes[4];
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(size == 1 ? code : (0xf00u >> size & 0xff) | code);
    put(json, bytes, size);
}

static void put_escaped(struct json_writer *json, const char *bytes, size_t size)
{
    const char *at = bytes, *end = bytes + size;
    if (put_short(json, "\"", bytes, size, "\""))
        return;
    put_char(json, '"');
    while (at < end) {
        uint32_t code, low;
        size_t run = plain_run(json, at, end);
        if (run) {
            put(json, at, run);
            at += run;
            continue;
        }
        at += next_code(at, end, &code);
        if (code >= 0xd800 && code <= 0xdbff && at < end) {
            // Two surrogates side by side are one character to every reader: it is written as one.
            size_t length = next_code(at, end, &low);
            if (low >= 0xdc00 && low <= 0xdfff) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                at += length;
            }
        }
        if (!must_escape(json, code) && code != '"' && code != '\\')
            put_literal(json, code);
        else if (!put_short_escape(json, code))
            put_code(json, code);
    }
    put_char(json, '"');
}

void json_string(struct json_writer *json, const char *key, const char *bytes, size_t size)
{
    put_key(json, key);
    put_escaped(json, bytes, size);
}

void json_text(struct json_writer *json, const char *key, const char *text)
{
    if (text)
        json_string(json, key, text, strlen(text));
    else
        json_null(json, key);
}

void json_u64(struct json_writer *json, const char *key, uint64_t value)
{
    put_key(json, key);
    put_decimal(json, value);
}

void json_i64(struct json_writer *json, const char *key, int64_t value)
{
    put_key(json, key);
    if (value < 0)
        put_char(json, '-');
    put_decimal(json, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_hex(struct json_writer *json, const char *key, uint64_t value)
{
    put_key(json, key);
    char text[] = "\"0x0123456789abcdef\"", *end = text + sizeof(text) - 1, *at = end - 1;
    do
        *--at = "0123456789abcdef"[value & 15];
    while (value >>= 4);
    memcpy(at -= 3, "\"0x", 3);
    put(json, at, (size_t)(end - at));
}

void json_bool(struct json_writer *json, const char *key, bool value)
{
    put_key(json, key);
    put_text(json, value ? "true" : "false");
}

void json_null(struct json_writer *json, const char *key)
{
    put_key(json, key);
    put_text(json, "null");
}

// By integers, because printf writes the decimal point of the locale.
void json_double(struct json_writer *json, const char *key, double value)
{
    if (!(fabs(value) < 1e12)) {
        json_null(json, key);
        return;
    }
    uint64_t millionths = (uint64_t)llround(fabs(value) * 1e6);
    char fraction[6];
    size_t digits = sizeof(fraction);
    for (uint64_t i = digits, rest = millionths % 1000000; i-- > 0; rest /= 10)
        fraction[i] = (char)('0' + rest % 10);
    while (digits > 1 && fraction[digits - 1] == '0')
        digits--;
    put_key(json, key);
    if (value < 0 && millionths)
        put_char(json, '-');
    put_decimal(json, millionths / 1000000);
    put_char(json, '.');
    put(json, fraction, digits);
}

void json_again(struct json_writer *json, const char *item, size_t size)
{
    put(json, item, size);
    json->begun = true;
}

// Floored, also before 1970.
void json_utc(struct json_writer *json, const char *key, int64_t at_ns)
{
    time_t seconds = at_ns / 1000000000 - (at_ns % 1000000000 < 0);
    struct tm utc;
    char text[40];
    if (at_ns && gmtime_r(&seconds, &utc) &&
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc))
        json_text(json, key, text);
    else
        json_null(json, key);
}

void json_begin_document(struct json_writer *json, const char *schema, const char *version)
{
    json_begin_object(json, NULL);
    json_line(json);
    json_text(json, "schema", schema);
    json_line(json);
    json_begin_object(json, "tool");
    json_text(json, "name", "pycore");
    json_text(json, "version", version);
}
