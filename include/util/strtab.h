// SPDX-License-Identifier: GPL-3.0-or-later
// A string interner: each distinct byte string is stored once and known by a small number, so that
// snapshots compare and count names without comparing bytes. Id 0 is "no string" (a fact that is
// absent), which is not the empty string. Ids and pointers live as long as the table.
#ifndef UTIL_STRTAB_H
#define UTIL_STRTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strtab;

struct strtab *strtab_create(void);
void strtab_destroy(struct strtab *tab);

// 0 when memory is out, LIMIT_STRTAB_BYTES are held, or bytes is NULL.
uint32_t strtab_add(struct strtab *tab, const char *bytes, size_t size);
uint32_t strtab_add_cstr(struct strtab *tab, const char *text);
// NUL-terminated; NULL for id 0. Strings may hold NUL bytes themselves: ask for the size.
const char *strtab_get(const struct strtab *tab, uint32_t id);
// Whether it is this text. "No string" is none, not even "".
bool strtab_is(const struct strtab *tab, uint32_t id, const char *text);
size_t strtab_size(const struct strtab *tab, uint32_t id);
// Kept with a string by util/redact.h: what is shown in its place; 0: not worked out yet.
uint32_t strtab_shown(const struct strtab *tab, uint32_t id);
void strtab_set_shown(struct strtab *tab, uint32_t id, uint32_t shown);
size_t strtab_count(const struct strtab *tab);
// Bytes held, for the memory bound of long runs.
size_t strtab_bytes(const struct strtab *tab);

#endif
