// SPDX-License-Identifier: GPL-3.0-or-later
// `pycore analyze` in this process, with what it prints looked through.
#ifndef WHOLE_H
#define WHOLE_H

#undef fail // cmocka has a macro of that name
#include "cli/cli.h"

// Bits of a byte of the input.
enum { FORMAT_BITS = 3, NO_NATIVE = 4, RAW_NATIVE = 8, TWICE = 16, FULL = 32 };

// `flags`: these bits. Nothing of this machine is looked at. `path` is borrowed.
struct options whole_options(unsigned flags, char *path);
// The exit code.
int whole_analyze(const struct options *options);
// Of a file with these bytes, of which so many 65536ths are cut off at the end.
void whole_analyze_bytes(unsigned flags, const uint8_t *bytes, size_t size, uint64_t cut);
// Seeds of targets whose input begins with the kind of core, flags, what is cut off, and how many of the
// changes, `first_changes` here, are of the part that is damaged before the rest.
void whole_seeds(uint8_t first_changes);

#endif
