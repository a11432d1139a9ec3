// SPDX-License-Identifier: GPL-3.0-or-later
// A target: the process, alive or dead, as its memory, its mappings, its threads' registers and a
// few facts. Three sources fill it (a live PID, an ELF core, later a capture); what stands above
// does not ask which.
#ifndef TARGET_TARGET_H
#define TARGET_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mem/mem.h"
#include "target/arch.h"
#include "util/err.h"
#include "util/vec.h"

enum target_kind { TARGET_LIVE, TARGET_CORE };

struct target_mapping {
    uint64_t start, end;
    uint64_t offset; // in the file, bytes
    uint64_t inode;  // 0: anonymous, or not known (a core does not say)
    uint64_t device;
    bool readable, writable, executable;
    bool deleted; // " (deleted)" was there; it is cut from the path
    char *path;   // as the target sees it; NULL: anonymous. "[heap]", "[stack]", "[vdso]" as is
};

struct target_thread {
    pid_t tid; // as pycore's PID namespace numbers it
    bool has_regs;
    struct arch_regs regs;
    char comm[16]; // what the kernel calls it; empty: not known (a core, but for pycore's own)
};

// A note of pycore's own (of a type that gdb takes for none it knows, whatever the owner). The
// name that the kernel has for a thread, which no other core holds, follows the thread's NT_PRSTATUS.
#define TARGET_NOTE_OWNER "PYCORE"
#define TARGET_NOTE_THREAD_NAME 0x50590003 // 1 and 2: src/capture/file.c

// The signal that ended a process, from a core's NT_SIGINFO or NT_PRSTATUS. A fact that the core
// does not hold is not claimed.
struct target_signal {
    int signo; // 0: none (a core written from a running process)
    bool has_info;
    int code; // si_code
    bool has_sender;
    pid_t sender_pid;
    uid_t sender_uid;
    bool has_fault_address;
    uint64_t fault_address;
    pid_t tid; // the thread that took it; 0: not known
};

// A core's segment of a type of somebody's own: captures keep their facts in such (PT_LOOS to
// PT_HIOS, elf(5)).
struct target_extra {
    uint32_t type;
    uint64_t phys;                  // p_paddr
    uint64_t offset, present_bytes; // in the file; as much of it as is there
    bool cut;                       // it promised more
};

VEC_DEFINE(target_extras, struct target_extra);
VEC_DEFINE(target_mappings, struct target_mapping);
VEC_DEFINE(target_threads, struct target_thread);
VEC_DEFINE(target_notes, char *);

struct target {
    enum target_kind kind;
    pid_t pid;
    char *path; // of the core; NULL for a live process
    struct mem *mem;
    struct target_mappings mappings; // sorted by start
    struct target_threads threads;   // core: every thread; live: see target/live.h
    char *exe;                       // as the target names it; NULL: not known
    char *host;                      // the machine that a core was written on; NULL: not known
    char **argv;                     // NULL-terminated; NULL: not known
    uint64_t auxv_phdr, auxv_entry;  // AT_PHDR, AT_ENTRY; 0: not known
    uint64_t args_start; // on the main stack: from here to its end lie the arguments' and the
                         // environment's pointers and texts; 0: not known
    struct target_signal signal;
    struct target_extras extras; // in the order of the file
    bool truncated;              // a core that ends before its segments do
    uint64_t missing_bytes;      // how much of them
    const char *why_cut;         // when that is known; belongs to the source
    uint64_t absent_bytes;       // mapped, and left out by the dump filter
    const char *why_absent;      // stacks and heaps were left out: what would have kept them
    int64_t taken_at_ns;         // wall clock, ns since 1970; 0: not known (a core: its mtime)
    struct target_notes notes;   // what could not be had, and what would mend it
    void *source;                // private to the file that filled this
    void (*destroy_source)(void *source);
};

void target_destroy(struct target *target);
const struct target_mapping *target_mapping_at(const struct target *target, uint64_t addr);
// printf-style; duplicates are dropped.
void target_note(struct target *target, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Bytes [at, at + size) of it, all or nothing.
bool target_read_extra(const struct target *target, const struct target_extra *extra, uint64_t at,
                       void *ret, size_t size);

// Opens an ELF core. ERR_UNSUPPORTED / ERR_BAD_DATA / ERR_OS in one clear line for everything that
// is no core of this machine's kind (an empty file, a directory, /dev/null, an executable, a
// 32-bit core, text). A core that is cut anywhere opens as far as it goes, with a note; only one
// without a readable program header table or any thread is refused.
// Reads are bounded by p_filesz: what was not dumped is MEM_ABSENT, what was cut MEM_TRUNCATED.
// A compressed file (gzip, zstd, lz4, xz, told by content) is unpacked into a temporary file without
// a name below TMPDIR; where that ends early, the core is one that is cut.
struct err *target_open_core(const char *path, struct target **ret);

struct target_core_options {
    uint64_t max_unpacked_bytes; // 0: 128 GiB, or 200 times the file if that is more
    // While a compressed file is unpacked, about ten times a second; in bytes of that file.
    void (*progress)(void *arg, const char *path, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_arg;
};
struct err *target_open_core_with(const char *path, const struct target_core_options *options,
                                  struct target **ret);

#endif
