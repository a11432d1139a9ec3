// SPDX-License-Identifier: GPL-3.0-or-later
// See target/disassemble.h.
#include "target/disassemble.h"

#ifdef HAVE_CAPSTONE

#include <capstone.h>
#include <elf.h>
#include <string.h>

// The DWARF number of a register by its name, of which `r` may be a part: eax of rax.
static int register_number(const struct arch *arch, csh handle, unsigned id)
{
    // x86: all names of one register lead to its 64 bits.
    static const struct {
        unsigned part, whole;
    } parts[] = {
        {X86_REG_EAX, X86_REG_RAX},  {X86_REG_EBX, X86_REG_RBX},  {X86_REG_ECX, X86_REG_RCX},
        {X86_REG_EDX, X86_REG_RDX},  {X86_REG_ESI, X86_REG_RSI},  {X86_REG_EDI, X86_REG_RDI},
        {X86_REG_EBP, X86_REG_RBP},  {X86_REG_ESP, X86_REG_RSP},  {X86_REG_R8D, X86_REG_R8},
        {X86_REG_R9D, X86_REG_R9},   {X86_REG_R10D, X86_REG_R10}, {X86_REG_R11D, X86_REG_R11},
        {X86_REG_R12D, X86_REG_R12}, {X86_REG_R13D, X86_REG_R13}, {X86_REG_R14D, X86_REG_R14},
        {X86_REG_R15D, X86_REG_R15}, {X86_REG_AL, X86_REG_RAX},   {X86_REG_BL, X86_REG_RBX},
        {X86_REG_CL, X86_REG_RCX},   {X86_REG_DL, X86_REG_RDX},   {X86_REG_AX, X86_REG_RAX},
        {X86_REG_BX, X86_REG_RBX},   {X86_REG_CX, X86_REG_RCX},   {X86_REG_DX, X86_REG_RDX},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].part == id)
            id = parts[i].whole;
    const char *name = cs_reg_name(handle, id);
    for (int i = 0; name && i < arch->unwind->count; i++)
        if (strcmp(arch->unwind->names[i], name) == 0)
            return i;
    return -1;
}

static uint64_t value_of(const struct arch *arch, const struct arch_regs *regs, int number)
{
    return number < 0 ? 0 : regs->raw[arch->unwind->raw[number]];
}

// What libcapstone 4 says of newer instructions is often wrong. Moves write to their first operand.
static uint8_t access_of(const cs_insn *insn, const cs_x86_op *operand)
{
    const char *name = insn->mnemonic + (insn->mnemonic[0] == 'v');
    if (strncmp(name, "mov", 3) != 0)
        return operand->access;
    return operand == &insn->detail->x86.operands[0] ? CS_AC_WRITE : CS_AC_READ;
}

static void take_memory(const struct arch *arch, csh handle, const cs_insn *insn,
                        const cs_x86_op *operand, const struct arch_regs *regs,
                        struct target_instruction *ret)
{
    uint8_t access = access_of(insn, operand);
    const x86_op_mem *mem = &operand->mem;
    int base = register_number(arch, handle, mem->base);
    int index = register_number(arch, handle, mem->index);
    // fs and gs have a base that few cores tell; lea only computes.
    if (insn->id == X86_INS_LEA || insn->id == X86_INS_NOP || mem->segment == X86_REG_FS ||
        mem->segment == X86_REG_GS)
        return;
    ret->has_memory = true;
    ret->base = base;
    ret->reads |= access & CS_AC_READ;
    ret->writes |= access & CS_AC_WRITE;
    ret->address = (uint64_t)mem->disp + value_of(arch, regs, base) +
                   value_of(arch, regs, index) * (uint64_t)mem->scale;
    if (mem->base == X86_REG_RIP)
        ret->address += regs->ip + insn->size;
    if (base >= 0)
        ret->operands |= 1ull << base;
    if (index >= 0)
        ret->operands |= 1ull << index;
}

bool target_disassemble(const struct arch *arch, const uint8_t *code, size_t size,
                        const struct arch_regs *regs, struct target_instruction *ret)
{
    csh handle;
    cs_insn *insn = NULL;
    *ret = (struct target_instruction){.base = -1};
    if (arch->elf_machine != EM_X86_64 || cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
        return false;
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    bool known = cs_disasm(handle, code, size, regs->ip, 1, &insn) == 1;
    if (known) {
        snprintf(ret->text, sizeof(ret->text), "%s%s%s", insn->mnemonic, insn->op_str[0] ? " " : "",
                 insn->op_str);
        ret->size = (uint8_t)insn->size;
        ret->calls = cs_insn_group(handle, insn, CS_GRP_CALL);
        ret->jumps =
            cs_insn_group(handle, insn, CS_GRP_JUMP) || cs_insn_group(handle, insn, CS_GRP_RET);
        const cs_x86 *x86 = &insn->detail->x86;
        for (uint8_t i = 0; i < x86->op_count; i++) {
            const cs_x86_op *operand = &x86->operands[i];
            if (operand->type == X86_OP_MEM)
                take_memory(arch, handle, insn, operand, regs, ret);
            int number =
                operand->type == X86_OP_REG ? register_number(arch, handle, operand->reg) : -1;
            if (number >= 0)
                ret->operands |= 1ull << number;
        }
        cs_free(insn, 1);
    }
    cs_close(&handle);
    return known;
}

#else

bool target_disassemble(const struct arch *arch, const uint8_t *code, size_t size,
                        const struct arch_regs *regs, struct target_instruction *ret)
{
    (void)arch, (void)code, (void)size, (void)regs;
    *ret = (struct target_instruction){.base = -1};
    return false;
}

#endif
