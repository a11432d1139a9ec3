// SPDX-License-Identifier: GPL-3.0-or-later
// The bytes that one snapshot copied out of a live process, as an address space of its own.
//
// Decoding runs over a copy: what is in it is consistent, because the target stood still when it
// was taken. What is not in it is a miss: the range is remembered, so that whoever fills the copy
// can fetch all misses of all threads in one batch and let the decoder try again. The same decoder
// code thus both finds out what to copy and decodes it afterwards.
#ifndef MEM_COPY_H
#define MEM_COPY_H

#include "mem/mem.h"
#include "util/vec.h"

struct mem_range {
    uint64_t addr;
    size_t size;
};

VEC_DEFINE(mem_ranges, struct mem_range);

struct mem_copy;

struct mem_copy *mem_copy_create(void);
void mem_copy_destroy(struct mem_copy *copy);
// Forgets all bytes, known gaps and misses; keeps the allocations for the next snapshot.
void mem_copy_clear(struct mem_copy *copy);

// The address space to decode from; owned by the copy.
struct mem *mem_copy_view(struct mem_copy *copy);
// Where reads that miss go instead of being remembered (NULL: nowhere). What they bring is kept
// in the copy, too. Set while the target runs: before the stop, to learn what will be needed, and
// after it, for what does not change while its owner lives.
void mem_copy_set_fallback(struct mem_copy *copy, struct mem *fallback);
// Says that a range will be needed, as if a read of it had missed.
void mem_copy_want(struct mem_copy *copy, uint64_t addr, size_t size);
// The ranges that were read since the last clear, merged: what to fetch first next time.
bool mem_copy_used(struct mem_copy *copy, struct mem_ranges *ret);

// Reserves room for a range that is about to be read; the caller fills *ret (page-offset-aligned
// like addr, which makes the kernel's copy about three times faster) and then commits.
bool mem_copy_reserve(struct mem_copy *copy, struct mem_range range, void **ret);
// `got` leading bytes arrived; the rest of the range becomes a known gap: reading it fails at once
// and is no miss any more.
bool mem_copy_commit(struct mem_copy *copy, struct mem_range range, void *bytes, size_t got);
// Misses since the last mem_copy_clear_misses, in the order they happened.
const struct mem_ranges *mem_copy_misses(const struct mem_copy *copy);
void mem_copy_clear_misses(struct mem_copy *copy);
// The range to fetch for a miss: at least as much, and what is likely to be asked for next.
struct mem_range mem_copy_window(struct mem_range range);
bool mem_copy_has(struct mem_copy *copy, uint64_t addr, size_t size);
// For whoever records a run: while it is on, each range that was read is written down, in order, with
// the bytes that the reader got. *ret_bytes: those of all ranges, one behind the other.
void mem_copy_keep_log(struct mem_copy *copy, bool on);
const struct mem_ranges *mem_copy_log(const struct mem_copy *copy,
                                      const unsigned char **ret_bytes);
void mem_copy_clear_log(struct mem_copy *copy);
// Writes down what is there of a range that nobody read, as if it had been.
void mem_copy_log_range(struct mem_copy *copy, uint64_t addr, size_t size);
size_t mem_copy_bytes(const struct mem_copy *copy);

#endif
