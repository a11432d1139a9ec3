// SPDX-License-Identifier: GPL-3.0-or-later
// An ELF core on its way to becoming a target: the file (core_file.c, core_stored.c), what its notes
// say (core_notes.c), which bytes it holds (core.c), the address space that follows from both
// (core_maps.c), and what all that leaves out (core_gaps.c).
#ifndef TARGET_CORE_H
#define TARGET_CORE_H

#include <elf.h>

#include "target/target.h"

// 40,000 threads are 480 MiB with the largest vector registers there are (AMX, 11 KiB each). Notes
// are read through a window, so this bounds time, not memory.
#define CORE_NOTES_MAX_BYTES (1u << 30)
// The kernel's own ceiling for the file note is 4 MiB by default, 16 MiB at most (sysctl
// kernel.core_file_note_size_limit).
#define CORE_NOTE_MAX_BYTES (64u << 20)

// What systemd-coredump keeps of a process in extended attributes of its file (user.coredump.*,
// systemd-coredump(8)). Absent facts are 0 or empty.
struct core_stored {
    int64_t pid;
    int signo;
    int64_t taken_at_ns;
    char host[256], exe[4096];
};
void core_stored_read(int fd, struct core_stored *ret);

// The file, unpacked where it was compressed: from here on there is no difference.
struct core_input {
    int fd;
    uint64_t size;
    int64_t mtime_ns;
    bool cut;          // not all of a compressed file could be unpacked
    char *note;        // what is to be said of the unpacking
    Elf64_Ehdr header; // checked: a core of a machine that we know
    struct core_stored stored;
};
struct err *core_input_open(const char *path, const struct target_core_options *options,
                            struct core_input *ret);
void core_input_deinit(struct core_input *input);
// Program headers, also where section header 0 counts them (elf(5), PN_XNUM); 0: that one is not
// within the file's first `size` bytes.
size_t core_header_count(int fd, uint64_t size, const Elf64_Ehdr *header);

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
struct err *core_notes_read(int fd, const struct arch *arch, uint64_t offset, uint64_t size,
                            struct core_notes *ret);
void core_notes_deinit(struct core_notes *notes);
// The signal that ended the process, if one did.
struct target_signal core_notes_signal(const struct core_notes *notes);

// Fills target->mem, target->mappings, missing_bytes, absent_bytes. `segments` is borrowed for the
// target's life.
struct err *core_maps_build(struct target *target, const struct core_segments *segments,
                            struct core_notes *notes);
// Notes on what is cut off, what the dump filter left out, and what that costs. `whose_fault`: say
// what would have kept the core whole.
void core_note_gaps(struct target *target, const struct core_segments *segments,
                    const struct core_notes *notes, bool whose_fault);
// target->argv, from the main stack where the core holds it, else from NT_PRPSINFO.
struct err *core_argv_read(struct target *target, const struct core_notes *notes);

#endif
