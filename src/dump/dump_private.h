// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of this layer share: see dump/dump.h.
#ifndef DUMP_DUMP_PRIVATE_H
#define DUMP_DUMP_PRIVATE_H

#include "dump/dump.h"

// ---- mappings.c ---------------------------------------------------------------------------------

bool dump_is_vdso(const struct target_mapping *mapping);
// The file behind a mapping of `pid`, or -1: not that one, or not for us.
int dump_open_mapped(pid_t pid, const struct target_mapping *mapping, int flags);

// ---- pages.c: which pages are there -------------------------------------------------------------

struct pages_region {
    uint64_t start, end;
};

// The page table of a process, by PAGEMAP_SCAN or, on kernels before 6.7, by reading pagemap.
struct pages {
    int fd; // -1: may not be looked at; then every page counts as there
    bool no_scan, no_guard;
    // Guard regions (madvise(2), MADV_GUARD_INSTALL) look as if swapped out to kernels before 6.16:
    // set where nothing is.
    bool nothing_swapped;
    uint64_t known_from, known_to; // for these addresses `regions` holds all that is there
    VEC(struct pages_region) regions;
    size_t at; // the region that was asked for last
};
void pages_open(struct pages *pages, pid_t pid);
void pages_close(struct pages *pages);
// True: the pages from `addr` to *ret_end, at most `end`, are in memory or swapped out. False: none
// of them is. For ascending addresses.
bool pages_run(struct pages *pages, uint64_t addr, uint64_t end, uint64_t *ret_end);

// ---- sink.c: where the bytes go -----------------------------------------------------------------

// A file that is written from front to back: with holes, or compressed.
struct sink;
struct err *sink_open(int fd, enum dump_compression compression, struct sink **ret);
struct err *sink_write(struct sink *sink, const void *bytes, size_t size);
// Zeros; a hole where there can be one.
struct err *sink_skip(struct sink *sink, uint64_t size);
// All is handed to the kernel. *ret_bytes: length of the file.
struct err *sink_finish(struct sink *sink, uint64_t *ret_bytes);
uint64_t sink_position(const struct sink *sink); // before compression
void sink_close(struct sink *sink);

#endif
