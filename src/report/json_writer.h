// SPDX-License-Identifier: GPL-3.0-or-later
// A streaming JSON writer: keeps track of commas and line breaks, and of nothing else. A key is
// NULL inside an array. The locale does not matter, and neither do bytes: whatever a name holds,
// the document is ASCII-safe JSON in UTF-8.
#ifndef REPORT_JSON_WRITER_H
#define REPORT_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_writer {
    FILE *out;
    unsigned depth;
    bool begun; // the innermost container has an item
    // Inside of an HTML page: without blanks, and without a character that HTML has a use for.
    bool embedded;
};

// Begins a document of this program, up to "tool", which stays open for more: to be ended by
// json_end_object(json, JSON_LINE).
void json_begin_document(struct json_writer *json, const char *schema, const char *version);

// How a container is laid out: its items on lines of their own, or all on one line.
enum json_layout { JSON_LINES, JSON_LINE };

void json_begin_object(struct json_writer *json, const char *key);
void json_end_object(struct json_writer *json, enum json_layout layout);
void json_begin_array(struct json_writer *json, const char *key);
void json_end_array(struct json_writer *json, enum json_layout layout);
// Before an item of a container that is laid out in JSON_LINES.
void json_line(struct json_writer *json);

// Bytes that are not UTF-8 become \udcXX, as CPython's surrogateescape has them; surrogates that
// are encoded like other characters (which "surrogatepass" writes) become \uXXXX.
void json_string(struct json_writer *json, const char *key, const char *bytes, size_t size);
// NULL: null
void json_text(struct json_writer *json, const char *key, const char *text);
void json_u64(struct json_writer *json, const char *key, uint64_t value);
void json_i64(struct json_writer *json, const char *key, int64_t value);
void json_hex(struct json_writer *json, const char *key, uint64_t value); // "0x7f..."
void json_bool(struct json_writer *json, const char *key, bool value);
void json_null(struct json_writer *json, const char *key);
// Up to six digits after the point; null for what is not a number.
void json_double(struct json_writer *json, const char *key, double value);
// Wall clock, ns since 1970, as ISO 8601 in UTC, whole seconds; null for 0.
void json_utc(struct json_writer *json, const char *key, int64_t at_ns);
// An item, with its key, as it was written before: at the same depth, on a line of its own.
void json_again(struct json_writer *json, const char *item, size_t size);

#endif
