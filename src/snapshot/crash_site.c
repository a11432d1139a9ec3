// SPDX-License-Identifier: GPL-3.0-or-later
// Where it crashed: the thread, its registers when the signal came, the instruction.
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "image/symbols.h"
#include "snapshot/crash_private.h"
#include "util/guard.h"

#define SIGINFO_BYTES 128
#define FRAMES_SEARCHED 64 // for a signal handler that is at work

uint32_t crash_text(const struct crash_site *site, const char *fmt, ...)
{
    AUTO_FREE char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int size = vasprintf(&text, fmt, args);
    va_end(args);
    if (size < 0) {
        text = NULL;
        return 0;
    }
    return strtab_add(site->in->strings, text, (size_t)size);
}

bool crash_is_non_canonical(uint64_t address)
{
    uint64_t high = address >> 47;
    return high != 0 && high != 0x1ffff;
}

const char *crash_poison(uint64_t address)
{
    // Objects/obmalloc.c: the first three from some release of 3.7 on, the others before. malloc's are
    // those of glibc's MALLOC_PERTURB_, and of texts that ran over.
    static const struct {
        uint8_t byte;
        const char *what;
    } rows[] = {
        {0xdd, "memory that Python's debug allocator has freed (0xdd)"},
        {0xcd, "memory of Python's debug allocator that nobody has written to (0xcd)"},
        {0xfd, "the end of a block of Python's debug allocator (0xfd)"},
        {0xdb, "memory that Python's debug allocator has freed (0xdb)"},
        {0xcb, "memory of Python's debug allocator that nobody has written to (0xcb)"},
        {0xfb, "the end of a block of Python's debug allocator (0xfb)"},
    };
    uint8_t byte = (uint8_t)(address >> 56);
    uint64_t pattern = 0x0101010101010101ull * byte;
    if (!byte || byte == 0xff || address - pattern + 0x8000 > 0x10000)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].byte == byte)
            return rows[i].what;
    return byte >= 0x20 && byte < 0x7f
               ? "memory that was filled with one character"
               : "memory that was filled with one byte (MALLOC_PERTURB_ does "
                 "that to freed memory)";
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

// The thread whose stack pointer, or whose thread structure, lies in it.
static pid_t stack_owner(const struct crash_site *site, const struct target_mapping *mapping)
{
    for (size_t i = 0; i < site->in->thread_count; i++) {
        const struct live_thread *thread = &site->in->threads[i];
        if (thread->has_regs && thread->regs.sp >= mapping->start && thread->regs.sp < mapping->end)
            return thread->tid;
    }
    return 0;
}

uint32_t crash_mapping(const struct crash_site *site, uint64_t address, uint64_t *ret_offset)
{
    const struct target_mapping *mapping = target_mapping_at(site->target, address);
    *ret_offset = 0;
    if (!mapping)
        return 0;
    *ret_offset = address - mapping->start;
    if (mapping->path && mapping->path[0]) {
        const struct module *module = image_module_at(site->image, address);
        *ret_offset = module ? address - module->start : *ret_offset + mapping->offset;
        return strtab_add_cstr(site->in->strings, base_name(mapping->path));
    }
    if (!mapping->readable && !mapping->writable && !mapping->executable)
        return crash_text(site, "a guard page");
    pid_t owner = stack_owner(site, mapping);
    if (owner)
        return crash_text(site, "the stack of thread %d", owner);
    return crash_text(site, "anonymous memory");
}

// ---- A handler in between ------------------------------------------------------------------------

// sigaction(2), asm-generic/siginfo.h: signo, errno, code, and a union at 16.
static bool read_siginfo(struct mem *mem, uint64_t at, struct target_signal *ret)
{
    unsigned char bytes[SIGINFO_BYTES];
    int32_t signo, code;
    AUTO_ERR struct err *err = mem_read(mem, at, bytes, sizeof(bytes));
    if (err)
        return false;
    memcpy(&signo, bytes, 4);
    memcpy(&code, bytes + 8, 4);
    if (signo != ret->signo && (ret->signo != SIGABRT || (signo != SIGSEGV && signo != SIGBUS &&
                                                          signo != SIGFPE && signo != SIGILL)))
        return false;
    ret->signo = signo;
    ret->code = code;
    ret->has_info = true;
    ret->has_sender = code == SI_USER || code == SI_TKILL || code == SI_QUEUE;
    ret->has_fault_address = code > 0 && code < SI_KERNEL;
    if (ret->has_sender) {
        memcpy(&ret->sender_pid, bytes + 16, 4);
        memcpy(&ret->sender_uid, bytes + 20, 4);
    } else {
        ret->sender_pid = 0;
    }
    ret->fault_address = 0;
    if (ret->has_fault_address)
        memcpy(&ret->fault_address, bytes + 16, 8);
    return true;
}

static uint64_t word_at(struct mem *mem, uint64_t address)
{
    uint64_t word = 0;
    AUTO_ERR struct err *err = mem_read_u64(mem, address, &word);
    return err ? 0 : word;
}

// A handler that takes only the number: what the CPU said is there all the same. Intel SDM, volume 3A,
// 6.15; a page fault's error code: bit 0 the page is there, bit 1 write, bit 4 instruction fetch.
static bool read_trap(struct mem *mem, uint64_t sp, struct target_signal *signal)
{
    enum { DIVIDE = 0, INVALID = 6, STACK = 12, PROTECTION = 13, PAGE = 14 };
    const struct arch_unwind *unwind = arch_host()->unwind;
    uint64_t trap = word_at(mem, sp + unwind->signal_trap);
    uint64_t error = word_at(mem, sp + unwind->signal_error);
    bool segv = signal->signo == SIGSEGV, bus = signal->signo == SIGBUS;
    if (signal->signo == SIGABRT)
        return true;
    if ((segv || bus) && trap == PAGE) {
        signal->has_fault_address = true;
        signal->fault_address = word_at(mem, sp + unwind->signal_address);
        signal->code = bus ? BUS_ADRERR : error & 1 ? SEGV_ACCERR : SEGV_MAPERR;
    } else if ((segv && trap == PROTECTION) || (bus && trap == STACK)) {
        signal->code = SI_KERNEL;
    } else if (signal->signo == SIGFPE && trap == DIVIDE) {
        signal->code = FPE_INTDIV;
    } else if (signal->signo == SIGILL && trap == INVALID) {
        signal->code = ILL_ILLOPN;
    } else {
        return false;
    }
    signal->has_sender = false;
    return true;
}

static int access_of(struct mem *mem, uint64_t sp)
{
    uint64_t code = word_at(mem, sp + arch_host()->unwind->signal_error);
    return code & 16 ? CRASH_EXECUTE : code & 2 ? CRASH_WRITE : CRASH_READ;
}

// faulthandler and others print what they know, and then raise the signal again, or abort.
static void look_through_handler(struct crash_site *site)
{
    const struct arch *arch = arch_host();
    struct mem *mem = site->target->mem;
    bool by_itself =
        !site->signal.has_info || site->signal.code == SI_TKILL || site->signal.code == SI_USER;
    for (size_t i = 0;
         by_itself && site->native && i + 1 < site->native->frames.count && i < FRAMES_SEARCHED;
         i++) {
        const struct unwind_frame *frame = &site->native->frames.items[i];
        struct target_signal signal = site->signal;
        struct arch_regs regs;
        if (!frame->signal || !arch->unwind->signal_info ||
            !arch_signal_regs(arch, mem, frame->sp, &regs) ||
            (!read_siginfo(mem, frame->sp + arch->unwind->signal_info, &signal) &&
             !read_trap(mem, frame->sp, &signal)))
            continue;
        regs.tls = site->regs.tls;
        site->signal = signal;
        site->regs = regs;
        site->has_regs = true;
        site->raised_again = true;
        site->fault_frame = i + 1;
        if (signal.signo == SIGSEGV && signal.has_fault_address)
            site->access = access_of(mem, frame->sp);
        return;
    }
}

// ---- All of it -----------------------------------------------------------------------------------

static void read_instruction(struct crash_site *site)
{
    const struct target_instruction *instruction = &site->instruction;
    site->code_bytes =
        mem_read_some(site->target->mem, site->regs.ip, site->code, sizeof(site->code));
    if (!target_disassemble(arch_host(), site->code, site->code_bytes, &site->regs,
                            &site->instruction))
        return;
    if (!site->access && instruction->has_memory)
        site->access = instruction->writes ? CRASH_WRITE : CRASH_READ;
}

void crash_site_find(const struct snap_input *in, struct image *image,
                     const struct snapshot *snapshot, struct crash_site *ret)
{
    *ret = (struct crash_site){
        .in = in, .image = image, .target = in->target, .signal = in->target->signal};
    vec_foreach (thread, &snapshot->threads)
        if (thread->crashed)
            ret->thread = thread;
    for (size_t i = 0; i < in->thread_count; i++) {
        if (in->threads[i].tid != ret->signal.tid)
            continue;
        ret->has_regs = in->threads[i].has_regs;
        ret->regs = in->threads[i].regs;
        if (in->native_stacks && in->native_stacks[i].frames.count)
            ret->native = &in->native_stacks[i];
    }
    look_through_handler(ret);
    if (ret->has_regs)
        read_instruction(ret);
}
