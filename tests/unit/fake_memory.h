// SPDX-License-Identifier: GPL-3.0-or-later
// A target's memory, made up by the test: one arena that objects are put into, readable through the
// memory model. Also includes what every test needs.
#ifndef FAKE_MEMORY_H
#define FAKE_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem/mem.h"
#include "util/guard.h"

#define FAKE_BASE 0x7f0000000000u

struct fake_memory {
    struct mem *mem;
    uint8_t *bytes;
    size_t size, used;
};

// `size` bytes at FAKE_BASE, all readable and zero.
void fake_memory_init(struct fake_memory *memory, size_t size);
// Everything is readable again.
void fake_memory_reset(struct fake_memory *memory);
void fake_memory_deinit(struct fake_memory *memory);
// Fresh zeros, aligned to 16. Never two objects of one address; fails the test when it is full.
uint64_t fake_alloc(struct fake_memory *memory, size_t size);
// The test's own view of an address.
void *fake_at(struct fake_memory *memory, uint64_t addr);
void fake_put(struct fake_memory *memory, uint64_t addr, const void *bytes, size_t size);
void fake_put_u64(struct fake_memory *memory, uint64_t addr, uint64_t value);
// [start, end) cannot be read any more.
void fake_hide(struct fake_memory *memory, uint64_t start, uint64_t end);

// A seeded xorshift64*: the same numbers in every run.
uint64_t fake_random(uint64_t *seed);

// Fail the test with the error's own words. Both consume it.
#define assert_ok(call) fake_assert_ok((call), __FILE__, __LINE__)
#define assert_err(call, code, part) fake_assert_err((call), (code), (part), __FILE__, __LINE__)
void fake_assert_ok(struct err *err, const char *file, int line);
void fake_assert_err(struct err *err, enum err_code code, const char *part, const char *file,
                     int line);

#endif
