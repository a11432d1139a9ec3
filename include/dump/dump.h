// SPDX-License-Identifier: GPL-3.0-or-later
// A full core of a process whose memory holds still: the stopped target itself, or a frozen copy of
// it. What is dumped is what the kernel would dump (core(5), "Controlling which mappings are
// written"); pages that were never touched are not touched now.
#ifndef DUMP_DUMP_H
#define DUMP_DUMP_H

#include "dump/corefile.h"
#include "mem/mem.h"
#include "target/regsets.h"
#include "util/err.h"

// /proc/PID/coredump_filter, core(5).
enum {
    DUMP_ANON_PRIVATE = 1 << 0,
    DUMP_ANON_SHARED = 1 << 1,
    DUMP_FILE_PRIVATE = 1 << 2,
    DUMP_FILE_SHARED = 1 << 3,
    DUMP_ELF_HEADERS = 1 << 4,
    DUMP_HUGETLB_PRIVATE = 1 << 5,
    DUMP_HUGETLB_SHARED = 1 << 6,
    DUMP_DAX_PRIVATE = 1 << 7,
    DUMP_DAX_SHARED = 1 << 8,
    DUMP_FILTER_DEFAULT = 0x33,
};

// What the kernel's decision rests on, besides struct target_mapping of the same index.
struct dump_mapping {
    bool known;         // smaps had it
    bool dont_dump, io; // VmFlags dd, io
    bool hugetlb, shared;
    bool userfault;            // another thread provides its pages, and that thread may stand still
    bool dax, executable_file; // of the file's inode, when it can be looked at
    bool unlinked;             // nobody can open the file by a name any more
    uint64_t swapped_bytes;    // swapped out
    uint64_t touched_bytes;    // anonymous pages, in memory or swapped out
    uint64_t resident_bytes;   // all pages, in memory or swapped out
    uint64_t file_bytes;       // size of the file; UINT64_MAX: not known
};
VEC_DEFINE(dump_mappings, struct dump_mapping);

// Everything that goes into the file: of a stopped target, or of a copy of one. Who fills it sets pid,
// memory_pid, mem, mappings and threads; dump_input_facts() and dump_look_at_mappings() do the rest.
struct dump_input {
    pid_t pid; // the target
    pid_t
        memory_pid; // the process whose /proc/X/{pagemap,smaps,map_files} are looked at: the target,
                    // or its frozen child
    struct mem *mem; // borrowed. What has origin MEM_COPY is taken from there whatever memory_pid's
                     // page tables say
    const struct target_mappings *mappings; // borrowed; sorted
    struct dump_mappings details;           // one for each, from dump_look_at_mappings()
    struct regsets_threads threads;         // the one that a debugger shows first comes first
    struct corefile_process process;
    char *name, *psargs; // what process.name and .psargs point to
    struct corefile_bytes auxv;
    unsigned filter;
};

// process, auxv and filter from /proc/PID of input.pid.
struct err *dump_input_facts(struct dump_input *input);
// dump_input.details from /proc/MEMORY_PID/smaps: of a stopped process or a frozen copy only, as the
// kernel walks all page tables for it and holds up page faults meanwhile.
struct err *dump_look_at_mappings(struct dump_input *input);
void dump_input_deinit(struct dump_input *input);

// How many bytes of a mapping the kernel would dump (fs/coredump.c, vma_dump_size).
uint64_t dump_mapping_bytes(const struct dump_input *input, size_t index);

enum dump_compression { DUMP_PLAIN, DUMP_GZIP, DUMP_ZSTD };
// NULL: pycore was built with it. Otherwise what is missing.
const char *dump_compression_missing(enum dump_compression compression);

// Called between batches. False: the dump is to end here (ERR_OTHER "interrupted").
struct dump_progress {
    uint64_t done_bytes, total_bytes; // of memory
    uint64_t began_ns;                // CLOCK_MONOTONIC
};
typedef bool dump_progress_fn(void *arg, const struct dump_progress *progress);

struct dump_result {
    uint64_t memory_bytes;     // in the core
    uint64_t stored_bytes;     // of these, not in holes
    uint64_t file_bytes;       // length of the file
    uint64_t unreadable_bytes; // zeros lie in their place
    uint64_t first_unreadable;
};

struct dump_options {
    enum dump_compression compression;
    dump_progress_fn *progress; // may be NULL
    void *arg;
};

// What dump_write() would read from memory and, uncompressed, store at most.
uint64_t dump_estimate_bytes(const struct dump_input *input);
// `fd`: an empty regular file. ERR_OS with ENOSPC and the like when it cannot be written.
struct err *dump_write(int fd, const struct dump_input *input, const struct dump_options *options,
                       struct dump_result *ret);

// The speed at which up to `limit_bytes` of a process that runs, or not, come into `fd`, in bytes a
// second; the file is empty afterwards. Of `input` only mem, memory_pid and mappings are looked at.
// 0: there was too little memory to tell.
uint64_t dump_rehearse(int fd, const struct dump_input *input, enum dump_compression compression,
                       uint64_t limit_bytes);
// Bytes of memory that a dump of the running process will have to store, about, from
// /proc/PID/status; 0: not known.
uint64_t dump_expected_bytes(pid_t pid, unsigned filter);

#endif
