// SPDX-License-Identifier: GPL-3.0-or-later
// Bytecode under sys.settrace, sys.setprofile or sys.monitoring (PEP 669, 3.12+): two opcodes stand
// in place of others, whose originals are kept beside the code (Python/instrumentation.c,
// _PyCoMonitoringData in Include/cpython/code.h; 3.14+: Include/internal/pycore_code.h).
#include <stdlib.h>

#include "cpython/code.h"
#include "util/guard.h"

// INSTRUMENTED_LINE and INSTRUMENTED_INSTRUCTION: Include/opcode.h (3.12), opcode_ids.h (3.13+).
static const struct {
    uint16_t version;
    uint8_t line, instruction;
} rows[] = {
    {0x030c, 254, 253},
    {0x030d, 254, 247},
    {0x030e, 254, 238},
    {0x030f, 253, 237},
};

// The originals of line starts, one byte for each code unit. 3.12 and early 3.13: {opcode, line
// delta} for each unit. Late 3.13 (seen in 3.13.15 and 3.13.18, not in 3.13.0) and 3.14+: a byte
// that says how long an entry is (2 to 5), then the entries, opcode first. In 3.13 that byte tells
// the two apart: as opcodes, none of these numbers begins a function.
static struct err *read_lines(struct py_decoder *dec, uint64_t addr, uint8_t *originals,
                              size_t units)
{
    uint8_t entry_bytes;
    TRY(mem_read_u8(dec->mem, addr, &entry_bytes));
    bool plausible = entry_bytes >= 2 && entry_bytes <= 5;
    bool sized = dec->layout.version >= 0x030e || (dec->layout.version == 0x030d && plausible);
    if (sized && !plausible)
        return err_create(ERR_BAD_DATA, "line entries of %u bytes", entry_bytes);
    if (!sized)
        entry_bytes = 2;
    AUTO_FREE uint8_t *entries = malloc(units * entry_bytes + 1);
    if (!entries)
        return err_create(ERR_NO_MEMORY, "code");
    TRY(mem_read(dec->mem, addr + sized, entries, units * entry_bytes));
    for (size_t i = 0; i < units; i++)
        originals[i] = entries[i * entry_bytes];
    return NULL;
}

struct err *py_code_restore(struct py_decoder *dec, uint64_t monitoring, struct py_code *code)
{
    size_t units = code->bytecode_bytes / 2, row = 0;
    uint64_t lines, instructions;
    while (row < ARRAY_SIZE(rows) && rows[row].version != dec->layout.version)
        row++;
    if (row == ARRAY_SIZE(rows) || !monitoring)
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, monitoring, PY_MON_lines, &lines));
    TRY(py_read(dec->mem, &dec->layout, monitoring, PY_MON_instructions, &instructions));
    AUTO_FREE uint8_t *by_line = calloc(units + 1, 1);
    AUTO_FREE uint8_t *by_instruction = calloc(units + 1, 1);
    if (!by_line || !by_instruction)
        return err_create(ERR_NO_MEMORY, "code");
    if (lines)
        TRY(read_lines(dec, lines, by_line, units));
    if (instructions)
        TRY(mem_read(dec->mem, instructions, by_instruction, units));
    // An inline cache may hold these numbers by chance; nobody decodes what stands in one.
    for (size_t i = 0; i < units; i++) {
        uint8_t *opcode = &code->bytecode[2 * i];
        if (lines && *opcode == rows[row].line)
            *opcode = by_line[i];
        if (instructions && *opcode == rows[row].instruction)
            *opcode = by_instruction[i];
    }
    return NULL;
}
