// SPDX-License-Identifier: GPL-3.0-or-later
// What kind of fault it was, in a word and in a sentence.
#include <signal.h>
#include <string.h>

#include "snapshot/crash_private.h"
#include "util/guard.h"

#define NULL_BYTES 0x10000ull    // vm.mmap_min_addr: nothing is ever mapped below
#define GUARD_BYTES (1ull << 20) // the kernel's gap below the main stack: 256 pages
#define NEAR_BYTES (64ull << 10)

struct place { // an address that was used
    uint64_t address;
    bool computed; // from the instruction, because the CPU did not tell
    const struct target_mapping *mapping;
    const char *verb; // "read of", "write to"
};

static const char *verb_of(int access)
{
    static const char *const verbs[] = {"use of", "read of", "write to", "call of"};
    return verbs[access];
}

static const struct target_mapping *mapping_above(const struct target *target, uint64_t address)
{
    vec_foreach (mapping, &target->mappings)
        if (mapping->start > address && (mapping->readable || mapping->writable))
            return mapping;
    return NULL;
}

// A guard is a mapping without permissions, the gap below the main stack, or, with glibc 2.42 and Linux
// 6.13 (MADV_GUARD_INSTALL), a part of the stack's mapping that faults as if nothing were mapped.
static const struct target_mapping *guarded_stack(const struct crash_site *site,
                                                  const struct place *place)
{
    const struct target_mapping *at = place->mapping;
    if (at && at->writable && site->signal.signo == SIGSEGV && site->signal.code == SEGV_MAPERR)
        return place->address - at->start <= NEAR_BYTES ? at : NULL;
    if (at && (at->readable || at->writable))
        return NULL;
    const struct target_mapping *above = mapping_above(site->target, place->address);
    return above && above->writable && above->start - place->address <= GUARD_BYTES ? above : NULL;
}

// The stack pointer has come to the lower end of a stack, or below, and the address lies there.
static bool is_overflow(const struct crash_site *site, const struct place *place)
{
    const struct target_mapping *stack = guarded_stack(site, place);
    uint64_t sp = site->regs.sp;
    return site->has_regs && stack && place->address + GUARD_BYTES >= sp &&
           place->address <= sp + NEAR_BYTES && sp + GUARD_BYTES >= stack->start &&
           sp <= stack->start + 4 * NEAR_BYTES;
}

static const char *base_register(const struct crash_site *site)
{
    int base = site->instruction.base;
    return base < 0 ? NULL : arch_host()->unwind->names[base];
}

static uint64_t base_value(const struct crash_site *site)
{
    return site->regs.raw[arch_host()->unwind->raw[site->instruction.base]];
}

// The poison in what the address was computed from, or in the address.
static const char *poison_of(const struct crash_site *site, const struct place *place)
{
    const char *what = site->instruction.has_memory && site->instruction.base >= 0
                           ? crash_poison(base_value(site))
                           : NULL;
    return what ? what : crash_poison(place->address);
}

static void say_control(const struct crash_site *site, const struct place *place,
                        struct snap_crash *ret)
{
    unsigned long long address = place->address;
    uint64_t offset;
    const char *poison = crash_poison(place->address);
    uint32_t where = crash_mapping(site, place->address, &offset);
    ret->fault = SNAP_FAULT_CODE;
    if (address < NULL_BYTES) {
        ret->fault = SNAP_FAULT_NULL;
        ret->cause = address
                         ? crash_text(site, "call of 0x%llx, near NULL: no code is there", address)
                         : crash_text(site, "call of a NULL function pointer");
    } else if (poison) {
        ret->fault = SNAP_FAULT_POISON;
        ret->cause =
            crash_text(site, "call of 0x%llx, a function pointer from %s", address, poison);
    } else if (place->mapping && !place->mapping->executable) {
        ret->cause = crash_text(site, "execution of data at 0x%llx, in %s", address,
                                where ? strtab_get(site->in->strings, where) : "memory");
    } else {
        ret->cause = crash_text(site, "call of 0x%llx, where nothing is mapped", address);
    }
}

static void say_null(const struct crash_site *site, const struct place *place,
                     struct snap_crash *ret)
{
    const char *base = base_register(site);
    bool base_is_null = base && base_value(site) == 0;
    ret->fault = SNAP_FAULT_NULL;
    ret->cause = crash_text(
        site, "%s 0x%llx, %s NULL pointer%s%s%s", place->verb, (unsigned long long)place->address,
        place->address ? "a field of what should be behind a" : "a", base_is_null ? " (" : "",
        base_is_null ? base : "", base_is_null ? " is NULL)" : "");
}

static void say_protection(const struct crash_site *site, const struct place *place,
                           struct snap_crash *ret)
{
    const struct target_mapping *mapping = place->mapping;
    uint64_t offset;
    uint32_t where = crash_mapping(site, place->address, &offset);
    const char *name = where ? strtab_get(site->in->strings, where) : "memory";
    const char *why = !mapping->readable && !mapping->writable ? "where no access is allowed"
                      : !mapping->writable                     ? "which is read-only"
                                                               : "which does not allow it";
    ret->fault = SNAP_FAULT_PROTECTION;
    // What is only read-only was written to, whatever is known of the instruction.
    bool wrote = mapping->readable && !mapping->writable;
    ret->cause = crash_text(site, "%s 0x%llx, in %s, %s", wrote ? "write to" : place->verb,
                            (unsigned long long)place->address, name, why);
}

static void say_overflow(const struct crash_site *site, const struct place *place,
                         struct snap_crash *ret)
{
    ret->fault = SNAP_FAULT_STACK;
    ret->recursion = crash_recursion(site);
    const char *function = strtab_get(site->in->strings, ret->recursion);
    ret->cause = crash_text(site, "stack overflow: %s 0x%llx, below the end of the stack%s%s",
                            place->verb, (unsigned long long)place->address,
                            function ? "; runaway recursion of " : "", function ? function : "");
}

static void say_address(const struct crash_site *site, const struct place *place,
                        struct snap_crash *ret)
{
    unsigned long long address = place->address;
    const char *poison = poison_of(site, place);
    if (is_overflow(site, place)) {
        say_overflow(site, place, ret);
    } else if (poison) {
        ret->fault = SNAP_FAULT_POISON;
        ret->cause = crash_text(site, "%s 0x%llx, a pointer from %s", place->verb, address, poison);
    } else if (crash_is_non_canonical(place->address)) {
        ret->fault = SNAP_FAULT_NON_CANONICAL;
        ret->cause = crash_text(site,
                                "%s 0x%llx, which is no address: a pointer was overwritten, or "
                                "is none",
                                place->verb, address);
    } else if (place->address < NULL_BYTES) {
        say_null(site, place, ret);
    } else if (place->mapping && (site->signal.code == SEGV_ACCERR || !place->mapping->readable)) {
        say_protection(site, place, ret);
    } else if (!place->mapping) {
        ret->fault = SNAP_FAULT_UNMAPPED;
        ret->cause = crash_text(site, "%s 0x%llx, where nothing is mapped", place->verb, address);
    } else {
        ret->fault = SNAP_FAULT_OTHER;
        ret->cause = crash_text(site, "%s 0x%llx", place->verb, address);
    }
}

// The CPU told no address (general protection): it is what the instruction makes of the registers.
static bool find_place(const struct crash_site *site, struct place *ret)
{
    const struct target_instruction *instruction = &site->instruction;
    *ret = (struct place){.address = site->signal.fault_address, .verb = verb_of(site->access)};
    if (!site->signal.has_fault_address) {
        if (!site->has_regs || !instruction->has_memory)
            return false;
        ret->address = instruction->address;
        ret->computed = true;
    }
    ret->mapping = target_mapping_at(site->target, ret->address);
    return true;
}

// Without a disassembler, or without a memory operand: a register with such a value must be it.
static void say_general_protection(const struct crash_site *site, struct snap_crash *ret)
{
    const struct arch_unwind *unwind = arch_host()->unwind;
    ret->fault = SNAP_FAULT_OTHER;
    ret->cause =
        crash_text(site, "general protection fault: a privileged instruction, a misaligned "
                         "operand, or what is no address");
    for (int i = 0; site->has_regs && i < unwind->count; i++) {
        uint64_t value = site->regs.raw[unwind->raw[i]];
        bool used = !site->instruction.size || (site->instruction.operands >> i & 1);
        if (!used || !crash_is_non_canonical(value))
            continue;
        const char *poison = crash_poison(value);
        ret->fault = poison ? SNAP_FAULT_POISON : SNAP_FAULT_NON_CANONICAL;
        ret->cause =
            crash_text(site, "use of what is no address: %s is 0x%llx%s%s", unwind->names[i],
                       (unsigned long long)value, poison ? ", from " : "", poison ? poison : "");
        if (poison)
            return;
    }
}

static void say_segv(const struct crash_site *site, struct snap_crash *ret)
{
    struct place place;
    if (!find_place(site, &place)) {
        say_general_protection(site, ret);
        return;
    }
    bool of_code =
        site->has_regs && site->signal.has_fault_address && place.address == site->regs.ip;
    if (place.computed && !crash_is_non_canonical(place.address)) {
        ret->fault = SNAP_FAULT_OTHER;
        ret->cause = crash_text(site, "general protection fault: %s 0x%llx%s", place.verb,
                                (unsigned long long)place.address,
                                place.address % 16 ? ", which is not aligned" : "");
        return;
    }
    ret->mapping = crash_mapping(site, place.address, &ret->mapping_offset);
    if (of_code || site->access == CRASH_EXECUTE)
        say_control(site, &place, ret);
    else
        say_address(site, &place, ret);
}

static void say_bus(const struct crash_site *site, struct snap_crash *ret)
{
    struct place place;
    if (!find_place(site, &place)) {
        say_general_protection(site, ret);
        return;
    }
    ret->mapping = crash_mapping(site, place.address, &ret->mapping_offset);
    if (place.computed && crash_is_non_canonical(place.address)) { // a stack fault
        say_address(site, &place, ret);
        return;
    }
    const char *name = strtab_get(site->in->strings, ret->mapping);
    unsigned long long address = place.address;
    ret->fault = SNAP_FAULT_OTHER;
    if (site->signal.code == BUS_ADRERR) {
        ret->fault = SNAP_FAULT_BEYOND_FILE;
        ret->cause = crash_text(site,
                                "%s 0x%llx, beyond the end of the mapped file %s (it was cut, or "
                                "its file system is full)",
                                place.verb, address, name ? name : "");
    } else if (site->signal.code == BUS_ADRALN) {
        ret->cause = crash_text(site, "%s 0x%llx, which is not aligned", place.verb, address);
    } else {
        ret->cause = crash_text(site, "%s 0x%llx: the hardware could not", place.verb, address);
    }
}

static void say_sent(const struct crash_site *site, struct snap_crash *ret)
{
    const struct target_signal *signal = &site->signal;
    bool by_itself = signal->has_sender && signal->sender_pid == site->target->pid;
    const char *name = sigabbrev_np(signal->signo);
    ret->fault = SNAP_FAULT_SENT;
    if (signal->signo == SIGABRT && (by_itself || !signal->has_sender)) {
        ret->fault = SNAP_FAULT_ABORT;
        ret->cause = crash_text(site, "the program ended itself (abort)");
    } else if (by_itself) {
        ret->cause = crash_text(site, "the program sent itself SIG%s", name ? name : "?");
    } else if (signal->has_sender && signal->sender_pid) {
        ret->cause =
            crash_text(site, "SIG%s, sent by process %d", name ? name : "?", signal->sender_pid);
    } else {
        ret->cause = crash_text(site, "SIG%s was sent to it", name ? name : "?");
    }
}

void crash_classify(const struct crash_site *site, struct snap_crash *ret)
{
    const struct target_signal *signal = &site->signal;
    // si_code (sigaction(2)): up to 0 somebody sent it; the kernel's own are above.
    bool sent =
        signal->has_info ? signal->code <= 0 : signal->signo != SIGSEGV && signal->signo != SIGBUS;
    if (sent) {
        say_sent(site, ret);
    } else if (signal->signo == SIGSEGV) {
        say_segv(site, ret);
    } else if (signal->signo == SIGBUS) {
        say_bus(site, ret);
    } else {
        ret->fault = SNAP_FAULT_OTHER;
        ret->cause =
            signal->signo == SIGFPE && signal->code == FPE_INTDIV
                ? crash_text(site, "integer division by zero")
            : signal->signo == SIGILL
                ? crash_text(site,
                             "illegal instruction: code for another processor, a compiler's trap, "
                             "or no code")
                : crash_text(site, "SIG%s",
                             sigabbrev_np(signal->signo) ? sigabbrev_np(signal->signo) : "?");
    }
}
