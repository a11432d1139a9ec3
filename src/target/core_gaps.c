// SPDX-License-Identifier: GPL-3.0-or-later
// What a core does not hold, what that costs, and what would have kept it: notes for the report.
#include "target/core.h"

#include <inttypes.h>
#include <string.h>

struct gaps {
    size_t mappings, cut_mappings;
    size_t cut_stacks, absent_stacks; // threads
    size_t modules, headless_modules;
};

static void count_segments(const struct core_segments *segments, struct gaps *gaps)
{
    for (size_t i = 0; i < segments->count; i++) {
        const struct core_segment *segment = &segments->items[i];
        gaps->mappings += segment->dumped_bytes > 0;
        gaps->cut_mappings += segment->present_bytes < segment->dumped_bytes;
    }
}

// A stack that overflowed: its pointer has come into the guard pages below it.
#define GUARD_BYTES (64u << 10)

static bool is_in_guard(const struct target *target, uint64_t sp,
                        const struct mem_segment_info *guard)
{
    struct mem_segment_info above;
    return guard->origin == MEM_ABSENT && guard->end - sp <= GUARD_BYTES &&
           mem_segment_at(target->mem, guard->end, &above) && above.start == guard->end &&
           above.origin == MEM_CORE;
}

static void count_threads(const struct target *target, struct gaps *gaps)
{
    for (size_t i = 0; i < target->threads.count; i++) {
        uint64_t sp = target->threads.items[i].regs.sp;
        struct mem_segment_info info;
        if (!mem_segment_at(target->mem, sp, &info) || sp < info.start)
            continue;
        if (is_in_guard(target, sp, &info))
            continue;
        gaps->cut_stacks += info.origin == MEM_TRUNCATED;
        gaps->absent_stacks += info.origin == MEM_ABSENT;
    }
}

// Modules, told by an executable mapping of the same file; their first page has the ELF header and,
// mostly, the build ID.
static void count_modules(const struct target *target, struct gaps *gaps)
{
    const struct target_mapping *first = NULL;
    const char *counted = NULL;
    for (size_t i = 0; i < target->mappings.count; i++) {
        const struct target_mapping *mapping = &target->mappings.items[i];
        struct mem_segment_info info;
        if (!mapping->path || *mapping->path != '/')
            continue;
        if (mapping->offset == 0)
            first = mapping;
        if (!mapping->executable || !first || strcmp(first->path, mapping->path) != 0 ||
            (counted && strcmp(counted, mapping->path) == 0))
            continue;
        counted = mapping->path;
        gaps->modules++;
        gaps->headless_modules += mem_segment_at(target->mem, first->start, &info) &&
                                  info.start <= first->start && info.origin == MEM_ABSENT;
    }
}

static void note_cut(struct target *target, const struct gaps *gaps, bool whose_fault)
{
    target_note(target, "the core is truncated: it ends %" PRIu64 " bytes before its memory does%s",
                target->missing_bytes,
                whose_fault ? " (raise 'ulimit -c', or free disk space, where it is written)" : "");
    target_note(target,
                "what the core lost: all or part of %zu of its %zu mappings, and with them the "
                "native stacks of %zu of its %zu threads",
                gaps->cut_mappings, gaps->mappings, gaps->cut_stacks, target->threads.count);
}

void core_note_gaps(struct target *target, const struct core_segments *segments,
                    const struct core_notes *notes, bool whose_fault)
{
    struct gaps gaps = {0};
    count_segments(segments, &gaps);
    count_threads(target, &gaps);
    count_modules(target, &gaps);
    if (target->missing_bytes)
        note_cut(target, &gaps, whose_fault);
    if (notes->cut)
        target_note(target, "the core's notes are cut or damaged; threads or files may be missing");
    if (notes->threads_cut)
        target_note(target, "only the first %zu threads were read", target->threads.count);
    if (!notes->has_files)
        target_note(target,
                    "the core does not say which files were mapped (no NT_FILE note): name the "
                    "program with --exe");
    // core(5): bit 0 keeps anonymous private memory, which stacks and heaps are.
    if (gaps.absent_stacks) {
        static const char cure[] = "set bit 0 of /proc/PID/coredump_filter (0x33 is the kernel's "
                                   "own choice)";
        target_note(target, "the core was written without the stacks of %zu of its %zu threads: %s",
                    gaps.absent_stacks, target->threads.count, cure);
        if (gaps.absent_stacks == target->threads.count)
            target->why_absent = "the core was written without private memory: set bit 0 of "
                                 "/proc/PID/coredump_filter (0x33 is the kernel's own choice)";
    }
    // Bits 2 and 4 keep file-backed pages, and the first page of ELF files. A debugger never does.
    if (gaps.headless_modules * 2 > gaps.modules && !notes->by_debugger)
        target_note(target,
                    "the core holds no ELF headers, so that the builds of %zu modules cannot "
                    "be told: set bit 4 of /proc/PID/coredump_filter (0x33 is the kernel's own "
                    "choice)",
                    gaps.headless_modules);
}
