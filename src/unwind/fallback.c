// SPDX-License-Identifier: GPL-3.0-or-later
// Out of code that has no call frame information: stubs that are known by their bytes, then the
// chain of frame pointers, then the next word on the stack that follows a call instruction.
#include <gelf.h>
#include <string.h>

#include "image/elf.h"
#include "unwind/walk.h"
#include "util/guard.h"

#define MAX_STUB_BYTES 32
#define ENTRY_BYTES 64 // _start of any C library is shorter
#define GOOD_FRAMES 5
#define SCAN_WORDS 1024 // a frame of 8 KiB; larger ones belong to code that has unwind tables

// ---- Stubs --------------------------------------------------------------------------------------

static struct rule in_memory(unsigned column, unsigned reg, int32_t offset)
{
    return (struct rule){
        .kind = RULE_REG_MEMORY, .column = (uint8_t)column, .reg = (uint8_t)reg, .offset = offset};
}

static struct row *signal_row(const struct arch_unwind *arch)
{
    struct row *row = row_create(arch->count);
    if (!row)
        return NULL;
    for (unsigned column = 0; column < arch->count; column++)
        row->rules[row->rule_count++] = in_memory(column, arch->sp, arch->signal_frame[column]);
    row->cfa = in_memory(0, arch->sp, arch->signal_frame[arch->sp]);
    row->ra = in_memory(arch->ra, arch->sp, arch->signal_frame[arch->count]);
    row->signal = true;
    return row;
}

static struct row *plain_row(const struct arch_unwind *arch, const struct arch_stub_row *stub)
{
    struct row *row = row_create(1);
    if (!row)
        return NULL;
    row->keep = ((1ull << arch->count) - 1) & ~(1ull << arch->sp);
    row->cfa = (struct rule){.kind = RULE_REG_VALUE, .reg = arch->sp, .offset = stub->cfa};
    row->ra = (struct rule){.kind = RULE_CFA_MEMORY, .offset = -8};
    if (stub->fp) {
        row->keep &= ~(1ull << arch->fp);
        row->rules[row->rule_count++] =
            (struct rule){.kind = RULE_CFA_MEMORY, .column = arch->fp, .offset = stub->fp};
    }
    return row;
}

static struct row *row_of_stub(const struct arch_unwind *arch, const struct arch_stub_row *stub)
{
    struct row *row = stub->kind == ARCH_STUB_SIGNAL  ? signal_row(arch)
                      : stub->kind == ARCH_STUB_PLAIN ? plain_row(arch, stub)
                                                      : row_create(0);
    if (!row)
        return NULL;
    row->base = stub->kind == ARCH_STUB_BASE;
    row->stub = true;
    row_settle(row);
    return row;
}

static const struct arch_stub_row *match(const struct arch_unwind *arch, const uint8_t *code,
                                         size_t before, size_t size)
{
    for (const struct arch_stub *stub = arch->stubs; stub->size; stub++)
        for (size_t i = 0; i < ARRAY_SIZE(stub->rows); i++) {
            const struct arch_stub_row *row = &stub->rows[i];
            if (row->kind != ARCH_STUB_NONE && row->at <= before &&
                before - row->at + stub->size <= size &&
                memcmp(code + before - row->at, stub->bytes, stub->size) == 0)
                return row;
        }
    return NULL;
}

// The entry point of a program or of the dynamic linker (_start), where a C library has no unwind
// table for it that says so.
static bool at_entry(struct unwinder *unwinder, uint64_t pc)
{
    struct module *module = image_module_at(unwinder->image, pc);
    Elf *elf = module ? image_elf(unwinder->image, module) : NULL;
    GElf_Ehdr header;
    return elf && gelf_getehdr(elf, &header) && header.e_entry &&
           pc - 1 - module->bias - header.e_entry < ENTRY_BYTES;
}

struct row_slot *stub_at(struct unwinder *unwinder, uint64_t pc, bool exact)
{
    static const struct arch_stub_row base = {.kind = ARCH_STUB_BASE};
    uint8_t code[2 * MAX_STUB_BYTES];
    size_t before = MAX_STUB_BYTES;
    if (pc < 4096 || !code_is_executable(unwinder, pc))
        return NULL;
    if (mem_read_some(unwinder->target->mem, pc - before, code, before) < before)
        before = pc & 4095 & (MAX_STUB_BYTES - 1); // the stub may lie at the start of its page
    size_t size = mem_read_some(unwinder->target->mem, pc - before, code, before + MAX_STUB_BYTES);
    const struct arch_stub_row *stub = match(unwinder->arch, code, before, size);
    if (!stub && at_entry(unwinder, pc))
        stub = &base;
    struct row *row = stub ? row_of_stub(unwinder->arch, stub) : NULL;
    return row ? row_cache_add_stub(unwinder->rows, pc, exact, row) : NULL;
}

// ---- Guesses ------------------------------------------------------------------------------------

static enum step move_on(struct walk *walk, uint64_t pc, uint64_t sp, enum unwind_how how)
{
    walk->out->frames.items[walk->out->frames.count - 1].cfa = sp;
    walk->regs.pc = pc;
    walk->regs.value[walk->unwinder->arch->sp] = sp;
    walk->exact = false;
    walk->learn = walk->learn && how == UNWIND_STUB;
    walk->guessed |= how == UNWIND_SCAN; // what follows from a guess is one
    walk->how = (uint8_t)(walk->guessed ? UNWIND_SCAN : how);
    return STEP_ON;
}

// A call through a null or wild pointer: nothing ran there, so the return address is the last thing
// on the stack.
static enum step after_bad_call(struct walk *walk)
{
    const struct arch_unwind *arch = walk->unwinder->arch;
    uint64_t sp = walk->regs.value[arch->sp], ra, target;
    if (arch->ra < arch->count) {
        if (!walk_knows(walk, arch->ra))
            return STEP_NONE;
        ra = walk->regs.value[arch->ra];
    } else {
        if (!stack_read(walk->unwinder, sp, &ra))
            return walk_end(walk, UNWIND_END_MEMORY, sp);
        sp += sizeof(ra);
    }
    if (!code_follows_call(walk->unwinder, ra, &target))
        return STEP_NONE;
    return move_on(walk, ra, sp, UNWIND_STUB);
}

static enum step by_frame_pointer(struct walk *walk)
{
    const struct arch_unwind *arch = walk->unwinder->arch;
    uint64_t fp = walk->regs.value[arch->fp], sp = walk->regs.value[arch->sp];
    uint64_t next, ra, target;
    if (!walk_knows(walk, arch->fp) || fp % 8 != 0 || fp < sp ||
        !stack_read(walk->unwinder, fp, &next) || !stack_read(walk->unwinder, fp + 8, &ra))
        return STEP_NONE;
    if (next != 0 && (next <= fp || next % 8 != 0))
        return STEP_NONE;
    if (ra == 0 && next == 0)
        return walk_end(walk, UNWIND_END_BASE, 0);
    if (!code_follows_call(walk->unwinder, ra, &target))
        return STEP_NONE;
    walk->regs.known = 1ull << arch->sp | 1ull << arch->fp;
    walk->regs.value[arch->fp] = next;
    return move_on(walk, ra, fp + 16, UNWIND_FRAME_POINTER);
}

// Whether the call in front of a return address may have led into the module of `pc`: a direct call
// goes there, or to a slot of a linkage table. What deeper calls left behind mostly went elsewhere.
static bool may_lead_to(struct unwinder *unwinder, uint64_t target, uint64_t pc)
{
    uint8_t code[16];
    struct image *image = unwinder->image;
    if (target == 0 || image_module_at(image, target) == image_module_at(image, pc))
        return true;
    size_t got = mem_read_some(unwinder->target->mem, target, code, sizeof(code));
    return got == 0 || unwinder->arch->may_jump_to(code, got, target, pc, pc + 1);
}

// By exact rules, to the base or at least a good way to the next piece of code without any.
static bool leads_on(const struct walk *walk)
{
    struct unwind_stack scratch = {0};
    struct walk proof = {
        .unwinder = walk->unwinder,
        .regs = walk->regs,
        .out = &scratch,
        .strict = true,
        .how = UNWIND_CFI,
        .jumps = walk->jumps,
    };
    walk_run(&proof);
    bool good = scratch.end == UNWIND_END_BASE ||
                (scratch.end == UNWIND_END_NO_INFO && scratch.frames.count >= GOOD_FRAMES);
    unwind_stack_deinit(&scratch);
    return good;
}

static enum step by_scan(struct walk *walk)
{
    const struct arch_unwind *arch = walk->unwinder->arch;
    uint64_t sp = (walk->regs.value[arch->sp] + 7) & ~7ull, word, target;
    uint64_t fp = walk->regs.value[arch->fp];
    for (uint64_t at = sp; at - sp < SCAN_WORDS * sizeof(word); at += sizeof(word)) {
        if (!stack_read(walk->unwinder, at, &word))
            return walk_end(walk, UNWIND_END_MEMORY, at);
        if (!code_follows_call(walk->unwinder, word, &target) ||
            !may_lead_to(walk->unwinder, target, walk->regs.pc))
            continue;
        // A frame pointer that this code did not use may still be its caller's.
        bool keep = walk_knows(walk, arch->fp) && fp > at && fp % 8 == 0;
        walk->regs.known = 1ull << arch->sp | (uint64_t)keep << arch->fp;
        enum step step = move_on(walk, word, at + sizeof(word), UNWIND_SCAN);
        if (keep && !leads_on(walk))
            walk->regs.known = 1ull << arch->sp;
        return step;
    }
    return STEP_NONE;
}

enum step fallback_step(struct walk *walk)
{
    if (walk->exact && !code_is_executable(walk->unwinder, walk->regs.pc)) {
        enum step step = after_bad_call(walk);
        if (step != STEP_NONE)
            return step;
    }
    enum step step = by_frame_pointer(walk);
    return step != STEP_NONE ? step : by_scan(walk);
}
