// SPDX-License-Identifier: GPL-3.0-or-later
// An ELF core on its way to becoming a target: what its notes say (core_notes.c), which bytes it
// holds (core.c), and the address space that follows from both (core_maps.c).
#ifndef TARGET_CORE_H
#define TARGET_CORE_H

#include <libelf.h>

#include "target/target.h"

// The kernel's own ceiling for the file note is 4 MiB by default (sysctl
// kernel.core_file_note_size_limit, at most 16 MiB); 40,000 threads are 130 MiB with their vector
// registers, but in many notes: this bounds one PT_NOTE segment of a sane process.
#define CORE_NOTES_MAX_BYTES (64u << 20)

// One PT_LOAD. Sorted and free of overlaps once core.c has been through them.
struct core_segment {
    uint64_t start, end;    // addresses: p_vaddr, p_vaddr + p_memsz
    uint64_t dumped_bytes;  // p_filesz
    uint64_t present_bytes; // as much of them as the file still holds
    uint64_t offset;        // p_offset
    uint32_t flags;         // PF_R ...
    uint32_t order;         // place in the program header table
    int fd;                 // borrowed
};

VEC_DEFINE(core_segments, struct core_segment);

// One entry of NT_FILE.
struct core_file {
    uint64_t start, end;
    uint64_t offset;  // bytes
    const char *path; // in the note's bytes, NUL-terminated
    uint32_t order;
};

VEC_DEFINE(core_files, struct core_file);

struct core_notes {
    struct target_threads threads;
    struct core_files files;
    char *file_bytes; // the NT_FILE note that `files` points into
    bool has_files;
    bool cut;         // a note ran past what the file holds
    bool by_debugger; // gdb's order of notes, not the kernel's
    bool threads_cut; // more than LIMIT_THREADS
    size_t count;     // notes seen
    pid_t pid;        // NT_PRPSINFO
    char psargs[81];
    bool has_psargs;
    int first_signal;     // pr_cursig of the first NT_PRSTATUS
    uint8_t siginfo[128]; // of that thread
    bool has_siginfo;
    uint64_t auxv_head[4]; // its first two entries, to know it again on the stack
    bool has_auxv;
    uint64_t phdr, entry, random, execfn, vdso; // AT_*; 0: not there
};

// Adds the notes of [offset, offset + size) of the file to `ret`. What is malformed or cut ends the
// walk and is remembered in ret->cut; only a lack of memory is an error.
struct err *core_notes_read(Elf *elf, const struct arch *arch, uint64_t offset, uint64_t size,
                            struct core_notes *ret);
void core_notes_deinit(struct core_notes *notes);
// The signal that ended the process, if one did.
struct target_signal core_notes_signal(const struct core_notes *notes);

// Fills target->mem, target->mappings, missing_bytes, absent_bytes. `segments` is borrowed for the
// target's life.
struct err *core_maps_build(struct target *target, const struct core_segments *segments,
                            struct core_notes *notes);
// target->argv, from the main stack where the core holds it, else from NT_PRPSINFO.
struct err *core_argv_read(struct target *target, const struct core_notes *notes);

#endif
