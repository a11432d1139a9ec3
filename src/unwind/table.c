// SPDX-License-Identifier: GPL-3.0-or-later
// Rows from call frame information: .eh_frame and .debug_frame of a module's file, .debug_frame of
// its separate debug file. libdw evaluates the programs; what it gives is copied. DWARF 5, 6.4.
#include "unwind/table.h"

#include <dwarf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "util/guard.h"

// Longer ones are not what compilers and assemblers write.
#define MAX_OPS 256

struct cfi_table {
    struct image *image;
    struct module *module;
    Dwarf_CFI *eh;
    Dwarf *own, *debug;
    bool own_tried, debug_tried;
};

struct cfi_table *cfi_table_open(struct image *image, struct module *module)
{
    struct cfi_table *table = calloc(1, sizeof(*table));
    if (!table)
        return NULL;
    table->image = image;
    table->module = module;
    Elf *elf = image_elf(image, module);
    table->eh = elf ? dwarf_getcfi_elf(elf) : NULL;
    return table;
}

void cfi_table_close(struct cfi_table *table)
{
    if (!table)
        return;
    if (table->eh)
        dwarf_cfi_end(table->eh);
    if (table->own)
        dwarf_end(table->own);
    if (table->debug)
        dwarf_end(table->debug);
    free(table);
}

// Opening a Dwarf handle may decompress all of its sections: not without need.
static bool has_debug_frame(Elf *elf)
{
    GElf_Shdr header;
    return image_elf_section(elf, ".debug_frame", &header) ||
           image_elf_section(elf, ".zdebug_frame", &header);
}

static Dwarf_CFI *debug_frame(Elf *elf, Dwarf **dwarf, bool *tried)
{
    if (!*tried) {
        *tried = true;
        if (has_debug_frame(elf))
            *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
    }
    return *dwarf ? dwarf_getcfi(*dwarf) : NULL;
}

// ---- From libdw's operations to a rule ----------------------------------------------------------

// Offsets that need more than 32 bits are left to expressions.
static bool fits(uint64_t number, int32_t *ret)
{
    *ret = (int32_t)number;
    return (uint64_t)(int64_t)*ret == number;
}

static bool as_register_offset(const Dwarf_Op *op, uint8_t *ret_reg, int32_t *ret_offset)
{
    if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
        *ret_reg = op->atom - DW_OP_breg0;
        return *ret_reg < ARCH_MAX_DWARF && fits(op->number, ret_offset);
    }
    if (op->atom != DW_OP_bregx || op->number >= ARCH_MAX_DWARF)
        return false;
    *ret_reg = (uint8_t)op->number;
    return fits(op->number2, ret_offset);
}

static bool as_register(const Dwarf_Op *op, uint8_t *ret_reg)
{
    if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31)
        *ret_reg = op->atom - DW_OP_reg0;
    else if (op->atom == DW_OP_regx && op->number < ARCH_MAX_DWARF)
        *ret_reg = (uint8_t)op->number;
    else
        return false;
    return *ret_reg < ARCH_MAX_DWARF;
}

// libdw begins each with the CFA on the stack; `ops` is "CFA [+ offset]".
static bool as_cfa_offset(const Dwarf_Op *ops, size_t count, int32_t *ret_offset)
{
    *ret_offset = 0;
    if (count == 0 || count > 2 || ops[0].atom != DW_OP_call_frame_cfa)
        return false;
    return count == 1 || (ops[1].atom == DW_OP_plus_uconst && fits(ops[1].number, ret_offset));
}

static struct expression *copy_ops(const Dwarf_Op *ops, size_t count)
{
    if (count > MAX_OPS)
        return NULL;
    struct expression *ret = malloc(sizeof(*ret) + count * sizeof(*ops));
    if (!ret)
        return NULL;
    ret->count = count;
    memcpy(ret->ops, ops, count * sizeof(*ops));
    return ret;
}

// False: cannot be told in our terms.
static bool rule_from_ops(const Dwarf_Op *ops, size_t count, struct rule *ret)
{
    bool value = count && ops[count - 1].atom == DW_OP_stack_value;
    size_t bare = value ? count - 1 : count;
    if (as_cfa_offset(ops, bare, &ret->offset)) {
        ret->kind = value ? RULE_CFA_VALUE : RULE_CFA_MEMORY;
        return true;
    }
    if (bare == 1 && as_register(ops, &ret->reg)) {
        ret->kind = RULE_REG_VALUE;
        ret->offset = 0;
        return true;
    }
    // The CFA that an expression finds on the stack is of no use to "register + offset".
    size_t first = ops[0].atom == DW_OP_call_frame_cfa ? 1 : 0;
    if (bare == first + 1 && as_register_offset(ops + first, &ret->reg, &ret->offset)) {
        ret->kind = value ? RULE_REG_VALUE : RULE_REG_MEMORY;
        return true;
    }
    ret->kind = value ? RULE_EXPR_VALUE : RULE_EXPR_MEMORY;
    return (ret->expression = copy_ops(ops, bare)) != NULL;
}

static bool read_cfa(Dwarf_Frame *frame, struct rule *ret)
{
    Dwarf_Op *ops;
    size_t count;
    if (dwarf_frame_cfa(frame, &ops, &count) != 0 || count == 0)
        return false;
    if (count == 1 && as_register_offset(ops, &ret->reg, &ret->offset)) {
        ret->kind = RULE_REG_VALUE;
        return true;
    }
    ret->kind = RULE_EXPR_VALUE;
    return (ret->expression = copy_ops(ops, count)) != NULL;
}

enum answer { ANSWER_RULE, ANSWER_SAME, ANSWER_UNDEFINED, ANSWER_BAD };

static enum answer ask(Dwarf_Frame *frame, int column, struct rule *ret)
{
    Dwarf_Op own[3], *ops;
    size_t count;
    ret->column = (uint8_t)column;
    if (dwarf_frame_register(frame, column, own, &ops, &count) != 0)
        return ANSWER_BAD;
    if (count == 0)
        return ops ? ANSWER_UNDEFINED : ANSWER_SAME;
    return rule_from_ops(ops, count, ret) ? ANSWER_RULE : ANSWER_BAD;
}

static void read_return_address(Dwarf_Frame *frame, const struct arch_unwind *arch, int column,
                                struct row *row)
{
    switch (ask(frame, column, &row->ra)) {
    case ANSWER_UNDEFINED:
        row->base = true;
        break;
    case ANSWER_SAME: // still in its register (a leaf function where calls do not push it)
        row->ra = (struct rule){.kind = RULE_REG_VALUE, .reg = (uint8_t)column};
        row->unsupported |= column >= arch->count;
        break;
    case ANSWER_BAD:
        row->unsupported = true;
        break;
    case ANSWER_RULE:
        break;
    }
}

static void read_registers(Dwarf_Frame *frame, const struct arch_unwind *arch, struct row *row)
{
    for (int column = 0; column < arch->count; column++) {
        struct rule *rule = &row->rules[row->rule_count];
        *rule = (struct rule){0};
        switch (ask(frame, column, rule)) {
        case ANSWER_SAME:
            row->keep |= 1ull << column;
            break;
        case ANSWER_RULE:
            // The stack pointer is the CFA unless something else is said.
            if (column == arch->sp && rule->kind == RULE_CFA_VALUE && rule->offset == 0)
                break;
            row->rule_count++;
            break;
        case ANSWER_BAD:
            row->unsupported = true;
            break;
        case ANSWER_UNDEFINED:
            // Where no rule is given, the ABI's holds. That of elfutils up to 0.188 (and perhaps
            // later) has rax in the place of rbx: backends/x86_64_cfi.c.
            row->keep |= arch->preserved & 1ull << column;
            break;
        }
    }
    row->keep &= ~(1ull << arch->sp);
}

static struct row *row_at(Dwarf_CFI *cfi, uint64_t bias, const struct arch_unwind *arch,
                          uint64_t pc)
{
    Dwarf_Frame *frame = NULL;
    if (!cfi || dwarf_cfi_addrframe(cfi, pc - bias, &frame) != 0)
        return NULL;
    struct row *row = row_create(arch->count);
    Dwarf_Addr start, end;
    int column = row ? dwarf_frame_info(frame, &start, &end, &row->signal) : -1;
    if (column < 0 || pc - bias < start || pc - bias >= end) {
        row_destroy(row);
        free(frame);
        return NULL;
    }
    // Where it begins is not told rightly behind DW_CFA_restore_state: `start` is then that of the
    // remembered state, before an epilogue that has rows of its own (elfutils 0.188, cfi.c).
    row->start = pc;
    row->end = end + bias;
    read_return_address(frame, arch, column, row);
    if (!read_cfa(frame, &row->cfa) && !row->base)
        row->unsupported = true;
    read_registers(frame, arch, row);
    row_settle(row);
    free(frame);
    return row;
}

struct row *cfi_table_row(struct cfi_table *table, const struct arch_unwind *arch, uint64_t pc)
{
    uint64_t bias = table->module->bias;
    struct row *row = row_at(table->eh, bias, arch, pc);
    if (!row)
        row = row_at(
            debug_frame(image_elf(table->image, table->module), &table->own, &table->own_tried),
            bias, arch, pc);
    if (!row && !table->own)
        row = row_at(
            debug_frame(table->debug_tried ? NULL : image_debug_elf(table->image, table->module),
                        &table->debug, &table->debug_tried),
            bias, arch, pc);
    return row;
}

struct row *cfi_row_of_elf(Elf *elf, uint64_t bias, const struct arch_unwind *arch, uint64_t pc)
{
    Dwarf_CFI *cfi = elf ? dwarf_getcfi_elf(elf) : NULL;
    struct row *row = row_at(cfi, bias, arch, pc);
    if (cfi)
        dwarf_cfi_end(cfi);
    return row;
}
