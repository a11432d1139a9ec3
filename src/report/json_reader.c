// SPDX-License-Identifier: GPL-3.0-or-later
// See json_reader.h. Numbers and strings are in json_reader_values.c.
#include "report/json_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/json_scan.h"
#include "util/guard.h"

// CPython's parser gives up at its recursion limit, 1000 by default; documents stay below it.
#define DEPTH_MAX 1000

void json_reader_init(struct json_reader *in, const char *bytes, size_t size)
{
    *in = (struct json_reader){.begin = bytes, .at = bytes, .end = bytes + size};
}

void json_reader_deinit(struct json_reader *in)
{
    vec_deinit(&in->text);
    err_destroy(in->err);
    in->err = NULL;
}

void json_fault(struct json_reader *in, const char *fmt, ...)
{
    AUTO_FREE char *why = NULL;
    size_t line = 1;
    va_list args;
    if (in->err)
        return;
    va_start(args, fmt);
    if (vasprintf(&why, fmt, args) < 0)
        why = NULL;
    va_end(args);
    for (const char *at = in->begin; at < in->at; at++)
        line += *at == '\n';
    in->err = err_create(ERR_BAD_DATA, "line %zu: %s", line, why ? why : "no memory to say why");
    in->at = in->end;
}

struct json_mark json_get_mark(const struct json_reader *in)
{
    return (struct json_mark){in->at, in->depth, in->fresh};
}

void json_go_to(struct json_reader *in, struct json_mark mark)
{
    if (in->err)
        return;
    in->at = mark.at;
    in->depth = mark.depth;
    in->fresh = mark.fresh;
}

void json_scan_blanks(struct json_reader *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t'))
        in->at++;
}

bool json_scan_char(struct json_reader *in, char wanted)
{
    if (in->at == in->end || *in->at != wanted)
        return false;
    in->at++;
    return true;
}

bool json_scan_word(struct json_reader *in, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(in->end - in->at) < size || memcmp(in->at, word, size) != 0)
        return false;
    in->at += size;
    return true;
}

enum json_type json_peek(struct json_reader *in)
{
    json_scan_blanks(in);
    if (in->at == in->end)
        return JSON_NOTHING;
    switch (*in->at) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return *in->at == '-' || (*in->at >= '0' && *in->at <= '9') ? JSON_NUMBER : JSON_NOTHING;
    }
}

bool json_scan_expect(struct json_reader *in, enum json_type wanted)
{
    static const char *const names[] = {
        [JSON_NOTHING] = "a value", [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",
        [JSON_STRING] = "a string", [JSON_NUMBER] = "a number",  [JSON_BOOL] = "true or false",
        [JSON_NULL] = "null"};
    enum json_type is = json_peek(in);
    if (in->err)
        return false;
    in->fresh = false;
    if (is == wanted)
        return true;
    if (in->at == in->end)
        json_fault(in, "it ends where %s should be", names[wanted]);
    else
        json_fault(in, "%s should be here", names[wanted]);
    return false;
}

// ---- Objects and lists --------------------------------------------------------------------------

static bool begin(struct json_reader *in, enum json_type wanted)
{
    if (!json_scan_expect(in, wanted))
        return false;
    if (in->depth >= DEPTH_MAX) {
        json_fault(in, "more than %d levels", DEPTH_MAX);
        return false;
    }
    in->at++;
    in->depth++;
    in->fresh = true;
    return true;
}

bool json_read_object(struct json_reader *in)
{
    return begin(in, JSON_OBJECT);
}

bool json_read_array(struct json_reader *in)
{
    return begin(in, JSON_ARRAY);
}

// Up to the next item. False: the end, or a fault.
static bool next(struct json_reader *in, char closing)
{
    if (in->err)
        return false;
    json_scan_blanks(in);
    if (json_scan_char(in, closing)) {
        in->depth--;
        in->fresh = false;
        return false;
    }
    if (!in->fresh && !json_scan_char(in, ',')) {
        json_fault(in, in->at == in->end ? "it ends too early" : "a comma or %c should be here",
                   closing);
        return false;
    }
    in->fresh = false;
    return true;
}

bool json_read_key(struct json_reader *in, const char **ret_key, size_t *ret_size)
{
    *ret_key = "";
    *ret_size = 0;
    if (!next(in, '}'))
        return false;
    *ret_key = json_read_string(in, ret_size);
    json_scan_blanks(in);
    if (!in->err && !json_scan_char(in, ':'))
        json_fault(in, "a colon should be here");
    return !in->err;
}

bool json_read_item(struct json_reader *in)
{
    return next(in, ']');
}

// ---- Small values -------------------------------------------------------------------------------

bool json_read_null(struct json_reader *in)
{
    if (in->err || json_peek(in) != JSON_NULL)
        return false;
    in->fresh = false;
    if (!json_scan_word(in, "null"))
        json_fault(in, "a value should be here");
    return !in->err;
}

bool json_read_bool(struct json_reader *in)
{
    if (!json_scan_expect(in, JSON_BOOL))
        return false;
    if (json_scan_word(in, "true"))
        return true;
    if (!json_scan_word(in, "false"))
        json_fault(in, "true or false should be here");
    return false;
}

void json_skip(struct json_reader *in)
{
    const char *key;
    size_t size;
    switch (json_peek(in)) {
    case JSON_OBJECT:
        for (json_read_object(in); json_read_key(in, &key, &size);)
            json_skip(in);
        return;
    case JSON_ARRAY:
        for (json_read_array(in); json_read_item(in);)
            json_skip(in);
        return;
    case JSON_STRING:
        json_read_string(in, &size);
        return;
    case JSON_BOOL:
        json_read_bool(in);
        return;
    case JSON_NULL:
        json_read_null(in);
        return;
    case JSON_NUMBER:
        json_read_double(in);
        return;
    case JSON_NOTHING:
        json_fault(in, in->at == in->end ? "it ends where a value should be"
                                         : "a value should be here");
    }
}

void json_read_end(struct json_reader *in)
{
    json_scan_blanks(in);
    if (!in->err && in->at < in->end)
        json_fault(in, "more follows where the document should end");
}
