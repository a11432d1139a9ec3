// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes of an address space, scattered: each byte is known or not. What a capture has gathered so
// far, and what its later snapshots changed, is kept like this. Small pieces anywhere are cheap
// (64 bytes at least), large gaps cost nothing.
#ifndef MEM_BLOCKS_H
#define MEM_BLOCKS_H

#include "mem/copy.h"

struct mem_blocks;

struct mem_blocks *mem_blocks_create(void);
void mem_blocks_destroy(struct mem_blocks *blocks);
// Forgets what is known of these ranges, which are sorted and do not overlap.
void mem_blocks_drop(struct mem_blocks *blocks, const struct mem_ranges *ranges);
void mem_blocks_clear(struct mem_blocks *blocks);
// False: out of memory.
bool mem_blocks_put(struct mem_blocks *blocks, uint64_t addr, const void *bytes, size_t size);
// How many bytes from `addr` on, at most `size`, are known; they are copied to `ret`.
size_t mem_blocks_get(const struct mem_blocks *blocks, uint64_t addr, void *ret, size_t size);
// How many from `addr` on, at most `size`, are not.
size_t mem_blocks_gap(const struct mem_blocks *blocks, uint64_t addr, size_t size);
// How many are known in all.
uint64_t mem_blocks_bytes(const struct mem_blocks *blocks);
// What they take in memory.
size_t mem_blocks_footprint(const struct mem_blocks *blocks);

// The known bytes as sorted, separate ranges. `changed`: only those that became known, or became
// others, since the last mem_blocks_settle(). False: out of memory.
bool mem_blocks_ranges(const struct mem_blocks *blocks, bool changed, struct mem_ranges *ret);
void mem_blocks_settle(struct mem_blocks *blocks);

#endif
