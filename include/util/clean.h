// SPDX-License-Identifier: GPL-3.0-or-later
// Text from the target, or from a core that somebody else made, as it may be shown: nothing in it
// drives a terminal, ends a line, or moves, hides or imitates its neighbours. A format's own marks
// (<, |, quotes) are that format's affair: it escapes what comes out of here.
#ifndef UTIL_CLEAN_H
#define UTIL_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The bytes that begin at `at` as one code point; surrogates are let through (WTF-8). Returns how
// many there are, 0 when they are not UTF-8 (RFC 3629: overlong forms are not). `size` is not 0.
size_t clean_decode(const char *at, size_t size, uint32_t *ret_code);

// Controls (C0, DEL, C1), marks of direction, what is invisible: never to be shown as it is.
bool clean_is_unseen(uint32_t code);

enum { CLEAN_BYTES = 12 };

// What stands for the character at `at`, NUL-terminated: itself, or \n \x1b \u202e \U000e0041, or
// \udcXX for a byte that is no UTF-8 (CPython's surrogateescape), \udXXX for a lone surrogate.
// Returns the bytes that it takes. `size` is not 0.
size_t clean_char(const char *at, size_t size, char ret[CLEAN_BYTES]);

#endif
