// SPDX-License-Identifier: GPL-3.0-or-later
// Writing ELF core files: the notes that debuggers read, and the headers around the segments.
// Full cores (pycore gcore) and captures are both made of this. elf(5), core(5).
#ifndef DUMP_COREFILE_H
#define DUMP_COREFILE_H

#include "target/arch.h"
#include "target/target.h"
#include "util/err.h"
#include "util/vec.h"

VEC_DEFINE(corefile_bytes, unsigned char);

// Appends one note, padded to 4 bytes. False: out of memory.
bool corefile_note(struct corefile_bytes *notes, const char *name, uint32_t type, const void *desc,
                   size_t size);

// NT_PRPSINFO. `psargs`: the command line, cut where the note ends.
struct corefile_process {
    pid_t pid, ppid, pgrp, sid;
    uid_t uid;
    gid_t gid;
    char state; // the kernel's letter
    const char *name, *psargs;
};
bool corefile_note_process(struct corefile_bytes *notes, const struct corefile_process *process);

// NT_PRSTATUS. Registers that are not known are zero; captures say in a note of their own which
// ones are known. `signo`: of the signal that ended the process, 0: none.
bool corefile_note_thread(struct corefile_bytes *notes, const struct arch *arch, pid_t tid,
                          const struct corefile_process *process, const struct arch_regs *regs,
                          int signo);

// NT_FILE: the mappings that have a file.
bool corefile_note_files(struct corefile_bytes *notes, const struct target_mappings *mappings);

struct corefile_segment {
    uint32_t type, flags;           // p_type, p_flags
    uint64_t addr, phys;            // p_vaddr, p_paddr
    uint64_t mem_bytes, file_bytes; // p_memsz, p_filesz
    uint64_t align;                 // p_align, and of its bytes in the file: 1, 4 or the page size
    uint64_t offset;                // p_offset: set by corefile_place()
};
VEC_DEFINE(corefile_segments, struct corefile_segment);

// Gives each segment, in the order of the list, its place in the file, behind the headers. Returns
// where the last one ends.
uint64_t corefile_place(struct corefile_segments *segments);
// The same headers as bytes, for a file that is written from front to back: `front` is its start,
// `back` (mostly empty) lies behind the last segment, at the next multiple of 8. False: out of
// memory.
bool corefile_headers(const struct arch *arch, const struct corefile_segments *segments,
                      struct corefile_bytes *front, struct corefile_bytes *back);
// ELF header and program headers at the start of `fd`; with more than PN_XNUM - 1 segments section
// header 0, which counts them, at the end of the last one.
struct err *corefile_write_headers(int fd, const struct arch *arch,
                                   const struct corefile_segments *segments);

#endif
