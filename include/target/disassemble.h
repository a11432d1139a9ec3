// SPDX-License-Identifier: GPL-3.0-or-later
// One instruction of the target: what it means and which memory it was about to use. By libcapstone,
// where pycore was built with it; without, nothing is known of an instruction but its bytes.
#ifndef TARGET_DISASSEMBLE_H
#define TARGET_DISASSEMBLE_H

#include "target/arch.h"

struct target_instruction {
    char text[192]; // "mov rax, qword ptr [rax + 8]"
    uint8_t size;
    uint64_t operands; // registers that it uses: a bit for each DWARF number
    bool has_memory; // it has a memory operand (that of a push, pop, call or return does not count)
    bool reads, writes; // that memory
    uint64_t address;   // of it, by the registers
    int base;           // DWARF number of the register that the address is built upon; -1: none
    bool calls, jumps;  // to what its operand says
};

// The instruction at `code`, which the thread is to execute with `regs`. False: it is not known.
bool target_disassemble(const struct arch *arch, const uint8_t *code, size_t size,
                        const struct arch_regs *regs, struct target_instruction *ret);

#endif
