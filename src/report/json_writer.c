// SPDX-License-Identifier: GPL-3.0-or-later
// The streaming JSON writer (RFC 8259).
#include "report/json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define INDENT_MAX 40 // deep trees: beyond it the blanks would outweigh the data

static void put_text(struct json_writer *json, const char *text)
{
    fputs(text, json->out);
}

static void put_line(struct json_writer *json, unsigned depth)
{
    fprintf(json->out, "\n%*s", (int)(depth < INDENT_MAX ? depth : INDENT_MAX), "");
}

void json_line(struct json_writer *json)
{
    if (json->begun)
        fputc(',', json->out);
    put_line(json, json->depth);
    json->begun = false; // the separator is written
}

static void put_escaped(struct json_writer *json, const char *bytes, size_t size);

static void put_key(struct json_writer *json, const char *key)
{
    if (json->begun)
        put_text(json, ", ");
    json->begun = true;
    if (key) {
        put_escaped(json, key, strlen(key));
        put_text(json, ": ");
    }
}

static void begin(struct json_writer *json, const char *key, char bracket)
{
    put_key(json, key);
    fputc(bracket, json->out);
    json->depth++;
    json->begun = false;
}

static void end(struct json_writer *json, enum json_layout layout, char bracket)
{
    json->depth--;
    if (layout == JSON_LINES && json->begun)
        put_line(json, json->depth);
    fputc(bracket, json->out);
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

// Bytes of the UTF-8 sequence that begins at `at`, 0 when there is none: RFC 3629, except that
// surrogates are let through, for the caller to see.
static size_t sequence(const unsigned char *at, size_t left, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; // shorter ones are overlong
    size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : 4;
    if (size == 4 && at[0] >> 3 != 30)
        return 0;
    if (size > left)
        return 0;
    uint32_t code = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if (at[i] >> 6 != 2)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    *ret_code = code;
    return code >= least[size] && code <= 0x10ffff ? size : 0;
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

// Control characters are escaped, those beyond ASCII too: a report may well go to a terminal.
// U+2028 and U+2029 end lines in JavaScript.
static bool must_escape(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0xd800 && code <= 0xdfff);
}

static void put_escaped(struct json_writer *json, const char *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes;
    fputc('"', json->out);
    for (size_t left = size; left;) {
        uint32_t code;
        size_t length = sequence(at, left, &code);
        if (!length)
            fprintf(json->out, "\\udc%02x", at[0]);
        else if (must_escape(code) || code == '"' || code == '\\') {
            if (!put_short_escape(json, code))
                fprintf(json->out, "\\u%04" PRIx32, code);
        } else {
            fwrite(at, 1, length, json->out);
        }
        at += length ? length : 1;
        left -= length ? length : 1;
    }
    fputc('"', json->out);
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
    fprintf(json->out, "%" PRIu64, value);
}

void json_i64(struct json_writer *json, const char *key, int64_t value)
{
    put_key(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void json_hex(struct json_writer *json, const char *key, uint64_t value)
{
    put_key(json, key);
    fprintf(json->out, "\"0x%" PRIx64 "\"", value);
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
    char fraction[8];
    snprintf(fraction, sizeof(fraction), "%06u", (unsigned)(millionths % 1000000));
    size_t digits = 6;
    while (digits > 1 && fraction[digits - 1] == '0')
        digits--;
    put_key(json, key);
    fprintf(json->out, "%s%" PRIu64 ".%.*s", value < 0 && millionths ? "-" : "",
            millionths / 1000000, (int)digits, fraction);
}
