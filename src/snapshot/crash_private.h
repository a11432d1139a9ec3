// SPDX-License-Identifier: GPL-3.0-or-later
// The pieces of snapshot/crash.h, and the place of the crash that all of them look at.
#ifndef SNAPSHOT_CRASH_PRIVATE_H
#define SNAPSHOT_CRASH_PRIVATE_H

#include "snapshot/crash.h"
#include "target/disassemble.h"

struct crash_site {
    const struct snap_input *in;
    struct image *image;
    const struct target *target;
    const struct snap_thread *thread;  // as shown; NULL: not known which
    const struct unwind_stack *native; // NULL: none
    size_t fault_frame;                // its native frame that was at work
    // The signal that began it. A handler that has raised it again, or called abort(), lies between
    // that and the one that ended the process.
    struct target_signal signal;
    bool raised_again;
    bool has_regs;
    struct arch_regs regs; // when it came
    int access;            // CRASH_READ ...; 0: not known
    uint8_t code[16];      // of the instruction
    size_t code_bytes;
    struct target_instruction instruction; // size 0: not known
};

enum { CRASH_READ = 1, CRASH_WRITE, CRASH_EXECUTE };

// crash_site.c
void crash_site_find(const struct snap_input *in, struct image *image,
                     const struct snapshot *snapshot, struct crash_site *ret);
// An address that no pointer has: bits 47 to 63 are not equal.
bool crash_is_non_canonical(uint64_t address);
// What has left such a pointer: a byte repeated, or close to that. NULL: nothing known.
const char *crash_poison(uint64_t address);
// A printf-style sentence; 0: out of memory.
uint32_t crash_text(const struct crash_site *site, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
// What lies at an address: "libfoo.so", "the stack of thread 12", "anonymous memory"; 0: nothing.
uint32_t crash_mapping(const struct crash_site *site, uint64_t address, uint64_t *ret_offset);

// crash_fault.c
void crash_classify(const struct crash_site *site, struct snap_crash *ret);
// crash_recursion.c: "sink (app.py:12), 5213 times on the stack"; 0: nothing repeats
uint32_t crash_recursion(const struct crash_site *site);
// crash_registers.c
struct err *crash_registers(const struct crash_site *site, struct snap_registers *ret);
// What an address is: "dict of 3 items", "libfoo.so+0x12"; 0: nothing to be said.
uint32_t crash_describe(const struct crash_site *site, uint64_t address);
// crash_message.c: what the program left behind; 0: nothing
uint32_t crash_message(const struct crash_site *site);
// crash_cxx.c: the C++ exception that nobody caught; NULL: none. To be freed.
char *crash_cxx(const struct crash_site *site);
// crash_module.c
void crash_module(const struct crash_site *site, struct snap_crash *ret);

#endif
