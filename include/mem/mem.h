// SPDX-License-Identifier: GPL-3.0-or-later
// The memory model: one address space as sorted, non-overlapping segments, each with a way to read
// it and a word on where its bytes come from. Live processes, cores, captures and the copies that
// are taken under a stop all look like this; everything above sees only this.
//
// Bytes are never invented. A read either fills the whole buffer with bytes of one address space
// or fails with ERR_FAULT that carries the first range that could not be read.
#ifndef MEM_MEM_H
#define MEM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

enum mem_origin {
    MEM_ABSENT,    // known to exist in the target, but its bytes were not kept (not dumped)
    MEM_TRUNCATED, // the core promised these bytes, and ends before them
    MEM_CORE,      // stored in the core or capture
    MEM_FILE,      // a mapped file's bytes on disk, because the core left them out
    MEM_LIVE,      // read from the running process
    MEM_COPY,      // copied from it under a stop
};

// Reads [addr, addr + size), which lies within the segment. Returns how many leading bytes were
// read; fewer than `size` means the byte after them could not be read.
typedef size_t mem_read_fn(void *arg, uint64_t addr, void *buffer, size_t size);

struct mem;

struct mem *mem_create(void);
void mem_destroy(struct mem *mem);

// Adds [start, end). A later segment replaces what it overlaps, so a core's own bytes are added
// after the file's. `read` is NULL for MEM_ABSENT and MEM_TRUNCATED. `arg` is borrowed.
// `cache` lets small reads go through a page cache: for sources that do not change (files).
struct err *mem_add(struct mem *mem, uint64_t start, uint64_t end, enum mem_origin origin,
                    mem_read_fn *read, void *arg, bool cache);

// All or nothing.
struct err *mem_read(struct mem *mem, uint64_t addr, void *ret, size_t size);
// As much as can be read from `addr` on, up to `size`; 0 when not even the first byte is there.
size_t mem_read_some(struct mem *mem, uint64_t addr, void *ret, size_t size);
struct err *mem_read_u8(struct mem *mem, uint64_t addr, uint8_t *ret);
struct err *mem_read_u32(struct mem *mem, uint64_t addr, uint32_t *ret);
struct err *mem_read_u64(struct mem *mem, uint64_t addr, uint64_t *ret);
// A NUL-terminated string of at most `limit` bytes; longer or unterminated ones are cut there.
struct err *mem_read_cstr(struct mem *mem, uint64_t addr, size_t limit, char **ret);

// No byte more is read than is asked for: not behind the end of a string, either.
void mem_set_exact(struct mem *mem);

// Between these two, small reads of any segment go through a page cache: for whoever reads much of
// what may change, and can tell whether it did. Bytes are of the moment when their page was first read,
// or one beside it (64 KiB at once).
void mem_cache_begin(struct mem *mem);
void mem_cache_end(struct mem *mem);
// The same address space, read by whole pages that are kept (2 MiB at most): for who reads many small
// things of a process that runs, within a short time. Where each byte that is read is written down (see
// mem_set_exact), no page is kept. `mem` is borrowed. NULL: no memory.
struct mem *mem_create_cached(struct mem *mem);

struct mem_segment_info {
    uint64_t start, end;
    enum mem_origin origin;
};
// The segment that holds addr, or the next one above it; false when there is none.
bool mem_segment_at(const struct mem *mem, uint64_t addr, struct mem_segment_info *ret);
const char *mem_origin_name(enum mem_origin origin);

#endif
