// SPDX-License-Identifier: GPL-3.0-or-later
// A pull parser for JSON (RFC 8259), strict: the caller asks for the value that should come next.
//
//     if (json_read_object(&in))
//         while (json_read_key(&in, &key, &size))
//             if (is_it(key, size)) count = json_read_u64(&in);
//             else json_skip(&in);
//
// The first fault ends it: from then on lists are at their end and values are 0, so that callers
// test `in.err` once. Depth is bounded; nothing else depends on what the text says of itself.
#ifndef REPORT_JSON_READER_H
#define REPORT_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/vec.h"

struct json_reader {
    const char *begin, *at, *end;
    unsigned depth;
    bool fresh;      // an object or a list has just begun: no comma is due
    struct err *err; // the first fault, with its line; the owner's to destroy
    VEC(char) text;  // of the last string that had escapes
};

enum json_type {
    JSON_NOTHING,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_BOOL,
    JSON_NULL
};

// `bytes` are borrowed.
void json_reader_init(struct json_reader *in, const char *bytes, size_t size);
void json_reader_deinit(struct json_reader *in);
// Ends reading: "line 12: what is wrong".
void json_fault(struct json_reader *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// What the next value is, by its first character.
enum json_type json_peek(struct json_reader *in);
// Takes a null, if that is the next value.
bool json_read_null(struct json_reader *in);
void json_skip(struct json_reader *in);
// Behind the last value there is nothing but blanks.
void json_read_end(struct json_reader *in);

// A place to come back to.
struct json_mark {
    const char *at;
    unsigned depth;
    bool fresh;
};
struct json_mark json_get_mark(const struct json_reader *in);
void json_go_to(struct json_reader *in, struct json_mark mark);

// Begins an object or a list; a fault, and false, when the value is none.
bool json_read_object(struct json_reader *in);
bool json_read_array(struct json_reader *in);
// The next one of the innermost object or list. False: that was all, and it is closed. Between two
// calls exactly one value is to be read or skipped. The key is valid until the next string.
bool json_read_key(struct json_reader *in, const char **ret_key, size_t *ret_size);
bool json_read_item(struct json_reader *in);

// Exact to 64 bits; what is not a whole number, or not in range, is a fault.
uint64_t json_read_u64(struct json_reader *in, uint64_t most);
int64_t json_read_i64(struct json_reader *in, int64_t least, int64_t most);
// Correctly rounded up to 15 significant digits, which is more than json_double() writes; further
// ones are cut.
double json_read_double(struct json_reader *in);
bool json_read_bool(struct json_reader *in);
// "0x7f..."
uint64_t json_read_hex(struct json_reader *in);
// The bytes that json_string() wrote: \udc80 to \udcff are single bytes that are no UTF-8
// (surrogateescape), but where they would make a character together; these and other lone
// surrogates are encoded like characters (surrogatepass). "" after a fault. Not NUL-terminated;
// valid until the next string.
const char *json_read_string(struct json_reader *in, size_t *ret_size);

#endif
