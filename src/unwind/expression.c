// SPDX-License-Identifier: GPL-3.0-or-later
// DWARF expressions (DWARF 5, section 2.5) over known registers and the stack's bytes.
#include "unwind/expression.h"

#include <dwarf.h>
#include <stdlib.h>

#define MAX_DEPTH 64
#define MAX_STEPS 4096

struct machine {
    const struct unwind_regs *regs;
    uint64_t cfa;
    expression_read_fn *read;
    void *arg;
    uint64_t stack[MAX_DEPTH];
    size_t depth;
    uint64_t missing; // address
};

static enum expression_result push(struct machine *machine, uint64_t value)
{
    if (machine->depth == MAX_DEPTH)
        return EXPRESSION_BAD;
    machine->stack[machine->depth++] = value;
    return EXPRESSION_OK;
}

static enum expression_result push_register(struct machine *machine, uint64_t reg, uint64_t offset)
{
    if (reg >= ARCH_MAX_DWARF || !(machine->regs->known >> reg & 1))
        return EXPRESSION_REGISTER;
    return push(machine, machine->regs->value[reg] + offset);
}

// Loads `size` bytes, little endian as all machines that we know are.
static enum expression_result load(struct machine *machine, uint64_t size)
{
    if (machine->depth < 1 || size == 0 || size > 8)
        return EXPRESSION_BAD;
    uint64_t *top = &machine->stack[machine->depth - 1], value;
    uint64_t addr = *top;
    // A read of eight bytes may reach into a page that is not there, of fewer not.
    uint64_t shift = size < 8 && (addr & 4095) > 4088 ? 8 - size : 0;
    if (!machine->read(machine->arg, addr - shift, &value)) {
        machine->missing = addr;
        return EXPRESSION_MEMORY;
    }
    value >>= shift * 8;
    *top = size == 8 ? value : value & ((1ull << size * 8) - 1);
    return EXPRESSION_OK;
}

static enum expression_result unary(struct machine *machine, const Dwarf_Op *op)
{
    if (machine->depth < 1)
        return EXPRESSION_BAD;
    uint64_t *top = &machine->stack[machine->depth - 1];
    switch (op->atom) {
    case DW_OP_abs:
        if ((int64_t)*top < 0)
            *top = -*top;
        return EXPRESSION_OK;
    case DW_OP_neg:
        *top = -*top;
        return EXPRESSION_OK;
    case DW_OP_not:
        *top = ~*top;
        return EXPRESSION_OK;
    case DW_OP_plus_uconst:
        *top += op->number;
        return EXPRESSION_OK;
    default:
        return EXPRESSION_UNKNOWN;
    }
}

static enum expression_result binary(struct machine *machine, const Dwarf_Op *op)
{
    bool arithmetic = op->atom >= DW_OP_and && op->atom <= DW_OP_xor;
    if (!arithmetic && !(op->atom >= DW_OP_eq && op->atom <= DW_OP_ne))
        return EXPRESSION_UNKNOWN;
    if (machine->depth < 2)
        return EXPRESSION_BAD;
    uint64_t b = machine->stack[--machine->depth], *top = &machine->stack[machine->depth - 1];
    uint64_t a = *top;
    int64_t sa = (int64_t)a, sb = (int64_t)b;
    switch (op->atom) {
#define CASE(name, value)         \
    case DW_OP_##name:            \
        *top = (uint64_t)(value); \
        return EXPRESSION_OK
        CASE(and, a & b);
        CASE(or, a | b);
        CASE(xor, a ^ b);
        CASE(plus, a + b);
        CASE(minus, a - b);
        CASE(mul, a * b);
        CASE(shl, b < 64 ? a << b : 0);
        CASE(shr, b < 64 ? a >> b : 0);
        CASE(shra, sa >> (b < 64 ? b : 63));
        CASE(eq, sa == sb);
        CASE(ne, sa != sb);
        CASE(lt, sa < sb);
        CASE(le, sa <= sb);
        CASE(gt, sa > sb);
        CASE(ge, sa >= sb);
#undef CASE
    case DW_OP_div:
        if (b == 0)
            return EXPRESSION_BAD;
        *top = sb == -1 ? -a : (uint64_t)(sa / sb);
        return EXPRESSION_OK;
    case DW_OP_mod:
        if (b == 0)
            return EXPRESSION_BAD;
        *top = a % b;
        return EXPRESSION_OK;
    default:
        return EXPRESSION_UNKNOWN;
    }
}

static enum expression_result pick(struct machine *machine, uint64_t index)
{
    if (index >= machine->depth)
        return EXPRESSION_BAD;
    return push(machine, machine->stack[machine->depth - 1 - index]);
}

static enum expression_result shuffle(struct machine *machine, const Dwarf_Op *op)
{
    uint64_t *top = machine->stack + machine->depth, kept;
    switch (op->atom) {
    case DW_OP_dup:
        return pick(machine, 0);
    case DW_OP_over:
        return pick(machine, 1);
    case DW_OP_pick:
        return pick(machine, op->number);
    case DW_OP_drop:
        if (machine->depth < 1)
            return EXPRESSION_BAD;
        machine->depth--;
        return EXPRESSION_OK;
    case DW_OP_swap:
        if (machine->depth < 2)
            return EXPRESSION_BAD;
        kept = top[-1];
        top[-1] = top[-2];
        top[-2] = kept;
        return EXPRESSION_OK;
    case DW_OP_rot: // the top becomes the third
        if (machine->depth < 3)
            return EXPRESSION_BAD;
        kept = top[-1];
        top[-1] = top[-2];
        top[-2] = top[-3];
        top[-3] = kept;
        return EXPRESSION_OK;
    default:
        return EXPRESSION_UNKNOWN;
    }
}

static enum expression_result constant(struct machine *machine, const Dwarf_Op *op)
{
    switch (op->atom) {
    // libdw has extended the signs already.
    case DW_OP_addr: // the file's address: of no use where the bias is not zero, and not used
        return EXPRESSION_UNKNOWN;
    case DW_OP_const1u:
    case DW_OP_const1s:
    case DW_OP_const2u:
    case DW_OP_const2s:
    case DW_OP_const4u:
    case DW_OP_const4s:
    case DW_OP_const8u:
    case DW_OP_const8s:
    case DW_OP_constu:
    case DW_OP_consts:
        return push(machine, op->number);
    default:
        return EXPRESSION_UNKNOWN;
    }
}

static enum expression_result one(struct machine *machine, const Dwarf_Op *op)
{
    if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
        return push(machine, op->atom - DW_OP_lit0);
    if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
        return push_register(machine, op->atom - DW_OP_breg0, op->number);
    // A register as a location stands for its value here: readelf and gdb read it so, too.
    if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31)
        return push_register(machine, op->atom - DW_OP_reg0, 0);
    switch (op->atom) {
    case DW_OP_bregx:
        return push_register(machine, op->number, op->number2);
    case DW_OP_regx:
        return push_register(machine, op->number, 0);
    case DW_OP_call_frame_cfa:
        return push(machine, machine->cfa);
    case DW_OP_nop:
        return EXPRESSION_OK;
    case DW_OP_deref:
        return load(machine, 8);
    case DW_OP_deref_size:
        return load(machine, op->number);
    case DW_OP_abs:
    case DW_OP_neg:
    case DW_OP_not:
    case DW_OP_plus_uconst:
        return unary(machine, op);
    case DW_OP_dup:
    case DW_OP_over:
    case DW_OP_pick:
    case DW_OP_drop:
    case DW_OP_swap:
    case DW_OP_rot:
        return shuffle(machine, op);
    default:
        break;
    }
    enum expression_result result = constant(machine, op);
    return result == EXPRESSION_UNKNOWN ? binary(machine, op) : result;
}

// Where a branch goes: the operation whose offset that is, or the end.
static bool target_of(const struct expression *expression, size_t at, size_t *ret)
{
    const Dwarf_Op *op = &expression->ops[at];
    // The two bytes of the distance follow the opcode.
    uint64_t want = op->offset + 3 + (uint64_t)(int64_t)(int16_t)op->number;
    for (*ret = 0; *ret < expression->count; ++*ret)
        // libdw's own first operation (the CFA) has no place among the bytes.
        if (expression->ops[*ret].offset == want &&
            !(*ret == 0 && expression->ops[0].atom == DW_OP_call_frame_cfa))
            return true;
    return want > expression->ops[expression->count - 1].offset;
}

enum expression_result expression_eval(const struct expression *expression,
                                       const struct unwind_regs *regs, uint64_t cfa,
                                       expression_read_fn *read, void *arg, uint64_t *ret)
{
    struct machine machine = {.regs = regs, .cfa = cfa, .read = read, .arg = arg};
    size_t at = 0;
    for (size_t steps = 0; at < expression->count; steps++) {
        const Dwarf_Op *op = &expression->ops[at];
        if (steps == MAX_STEPS)
            return EXPRESSION_BAD;
        if (op->atom == DW_OP_skip || op->atom == DW_OP_bra) {
            bool taken = op->atom == DW_OP_skip;
            if (!taken && machine.depth < 1)
                return EXPRESSION_BAD;
            if (!taken)
                taken = machine.stack[--machine.depth] != 0;
            if (taken && !target_of(expression, at, &at))
                return EXPRESSION_BAD;
            at += !taken;
            continue;
        }
        enum expression_result result = one(&machine, op);
        *ret = machine.missing;
        if (result != EXPRESSION_OK)
            return result;
        at++;
    }
    if (machine.depth == 0)
        return EXPRESSION_BAD;
    *ret = machine.stack[machine.depth - 1];
    return EXPRESSION_OK;
}
