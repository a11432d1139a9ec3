// SPDX-License-Identifier: GPL-3.0-or-later
// Text a person reads: growing strings, hostile bytes made harmless, widths in columns, and the one
// style of numbers (1,234; 4.2 ms; 69 %). What is written here is UTF-8 without control
// characters, but for the two marks below.
#ifndef UTIL_PLAIN_H
#define UTIL_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/strtab.h"

// Around a piece of the target's own text inside a sentence. The target cannot forge them, since
// its control characters are escaped; formats drop them or turn them into their own quoting.
#define PLAIN_CODE "\x01"
#define PLAIN_CODE_END "\x02"

struct plain {
    char *bytes; // NUL-terminated once anything was added
    size_t size, capacity;
    bool failed; // out of memory: what follows is lost
};

enum plain_keep { PLAIN_KEEP_START, PLAIN_KEEP_END };

void plain_deinit(struct plain *plain);
void plain_clear(struct plain *plain);
// Never NULL.
const char *plain_text(const struct plain *plain);

void plain_bytes(struct plain *plain, const char *bytes, size_t size);
void plain_str(struct plain *plain, const char *text);
void plain_add(struct plain *plain, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void plain_pad(struct plain *plain, size_t columns);

// The target's bytes: controls as \n \x1b, characters that move or hide others as \u202e,
// bytes that are no UTF-8 as \udcXX (CPython's surrogateescape), lone surrogates as \udXXX.
void plain_safe(struct plain *plain, const char *bytes, size_t size);
// The same for a string of the table, at most so many columns (0: all); "?" for id 0.
void plain_id(struct plain *plain, const struct strtab *strings, uint32_t id, size_t columns,
              enum plain_keep keep);

// The marks of code are taken out, where all of the text is code.
void plain_unmark(struct plain *plain);

// One character of clean UTF-8: its size in bytes (at least 1) and its width in columns.
size_t plain_char(const char *text, unsigned *ret_columns);
size_t plain_columns(const char *text);
// Clean text without marks, cut to so many columns with "..." where it was cut.
void plain_clip(struct plain *plain, const char *text, size_t columns, enum plain_keep keep);

void plain_count(struct plain *plain, uint64_t value);                     // 12,345
void plain_things(struct plain *plain, uint64_t value, const char *thing); // 1 thread, 3 threads
void plain_plural(struct plain *plain, uint64_t value, const char *thing); // threads
void plain_duration(struct plain *plain, uint64_t ns);                     // 84 us, 0.12 ms, 3.4 s
void plain_percent(struct plain *plain, double share);                     // 69, 4.2, 0.04
void plain_range(struct plain *plain, double low, double high);            // 58-79, 0.3-1.2
void plain_time(struct plain *plain, int64_t ns); // 2026-11-22 03:12:00 UTC

#endif
