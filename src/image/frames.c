// SPDX-License-Identifier: GPL-3.0-or-later
// Call frame information that came out of a target's memory, looked through before libdw evaluates
// it: a register number of two billion, or ten million remembered states, would make libdw take as
// much memory. LSB core specification, "DWARF Extensions"; DWARF 5, section 6.4.
#include <dwarf.h>
#include <gelf.h>
#include <string.h>

#include "image/image_private.h"

// No machine of ours has more columns (aarch64: 96 and some).
#define MAX_COLUMN 256
// The longest one of libpython, gdb or libLLVM has some hundred bytes.
#define MAX_PROGRAM_BYTES (8u << 10)
#define MAX_REMEMBERED 64
// Initial instructions are some ten bytes; each FDE has them looked through again.
#define MAX_INITIAL_BYTES 256

struct bytes {
    const uint8_t *at, *end;
    bool bad; // it ended too early
};

struct entry {
    const uint8_t *start; // of its length
    const uint8_t *id;
    struct bytes body; // behind the id
};

// What an FDE must know of its CIE.
struct cie {
    bool has_data;        // augmentation "z..."
    size_t pointer_bytes; // of the FDE's addresses
};

static uint64_t take(struct bytes *bytes, size_t size)
{
    uint64_t value = 0;
    if ((size_t)(bytes->end - bytes->at) < size) {
        bytes->bad = true;
        bytes->at = bytes->end;
        return 0;
    }
    memcpy(&value, bytes->at, size < sizeof(value) ? size : sizeof(value));
    bytes->at += size;
    return value;
}

static void skip(struct bytes *bytes, uint64_t size)
{
    if (size > (uint64_t)(bytes->end - bytes->at)) {
        bytes->bad = true;
        bytes->at = bytes->end;
    } else {
        bytes->at += size;
    }
}

static uint64_t take_leb(struct bytes *bytes)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = (uint8_t)take(bytes, 1);
        if (shift < 63)
            value |= (uint64_t)(byte & 0x7f) << shift;
        else if (byte & 0x7f)
            value = UINT64_MAX; // more than anything may be
        if (!(byte & 0x80) || bytes->bad)
            return value;
    }
}

// 0: an encoding that unwind tables do not have.
static size_t encoded_bytes(uint8_t encoding)
{
    switch (encoding & 0x0f) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
        return 8;
    case DW_EH_PE_udata4:
    case DW_EH_PE_sdata4:
        return 4;
    case DW_EH_PE_udata2:
    case DW_EH_PE_sdata2:
        return 2;
    default:
        return 0;
    }
}

// The operands of each instruction: r(egister), l(eb), b(lock), p(ointer), 1, 2, 4, 8 bytes. NULL:
// not known.
static const char *operands_of(uint8_t opcode)
{
    static const char *const operands[] = {
        [DW_CFA_nop] = "",
        [DW_CFA_set_loc] = "p",
        [DW_CFA_advance_loc1] = "1",
        [DW_CFA_advance_loc2] = "2",
        [DW_CFA_advance_loc4] = "4",
        [DW_CFA_offset_extended] = "rl",
        [DW_CFA_restore_extended] = "r",
        [DW_CFA_undefined] = "r",
        [DW_CFA_same_value] = "r",
        [DW_CFA_register] = "rr",
        [DW_CFA_remember_state] = "",
        [DW_CFA_restore_state] = "",
        [DW_CFA_def_cfa] = "rl",
        [DW_CFA_def_cfa_register] = "r",
        [DW_CFA_def_cfa_offset] = "l",
        [DW_CFA_def_cfa_expression] = "b",
        [DW_CFA_expression] = "rb",
        [DW_CFA_offset_extended_sf] = "rl",
        [DW_CFA_def_cfa_sf] = "rl",
        [DW_CFA_def_cfa_offset_sf] = "l",
        [DW_CFA_val_offset] = "rl",
        [DW_CFA_val_offset_sf] = "rl",
        [DW_CFA_val_expression] = "rb",
        [DW_CFA_MIPS_advance_loc8] = "8",
        [DW_CFA_GNU_window_save] = "", // aarch64: negate_ra_state
        [DW_CFA_GNU_args_size] = "l",
        [DW_CFA_GNU_negative_offset_extended] = "rl",
    };
    if (opcode & 0xc0)
        return (opcode & 0xc0) == DW_CFA_offset ? "l" : "";
    return opcode < sizeof(operands) / sizeof(*operands) ? operands[opcode] : NULL;
}

static bool operand_is_sane(struct bytes *program, char operand, size_t pointer_bytes)
{
    switch (operand) {
    case 'r':
        return take_leb(program) < MAX_COLUMN;
    case 'l':
        take_leb(program);
        break;
    case 'b':
        skip(program, take_leb(program));
        break;
    case 'p':
        skip(program, pointer_bytes);
        break;
    default:
        skip(program, (uint64_t)(operand - '0'));
    }
    return !program->bad;
}

static bool program_is_sane(struct bytes program, size_t pointer_bytes)
{
    size_t remembered = 0;
    if (program.bad || program.end - program.at > (ptrdiff_t)MAX_PROGRAM_BYTES)
        return false;
    while (program.at < program.end) {
        uint8_t opcode = *program.at++;
        const char *operands = operands_of(opcode);
        if (!operands)
            return false;
        for (; *operands; operands++)
            if (!operand_is_sane(&program, *operands, pointer_bytes))
                return false;
        if (opcode == DW_CFA_remember_state && ++remembered > MAX_REMEMBERED)
            return false;
        if (opcode == DW_CFA_restore_state && remembered > 0)
            remembered--;
    }
    return true;
}

// `debug`: of .debug_frame, DWARF 5, 6.4.1.
static bool cie_is_sane(struct bytes body, bool debug, struct cie *ret)
{
    *ret = (struct cie){.pointer_bytes = 8};
    uint64_t version = take(&body, 1);
    const char *augmentation = (const char *)body.at;
    const uint8_t *end = memchr(body.at, '\0', (size_t)(body.end - body.at));
    if (body.bad || !end || (version != 1 && version != 3 && !(debug && version == 4)))
        return false;
    body.at = end + 1;
    // Of an address, and of a segment selector.
    if (version == 4 && (take(&body, 1) != 8 || take(&body, 1) != 0))
        return false;
    take_leb(&body); // code alignment
    take_leb(&body); // data alignment
    if ((version == 1 ? take(&body, 1) : take_leb(&body)) >= MAX_COLUMN || body.bad)
        return false;
    ret->has_data = *augmentation == 'z';
    if (*augmentation && !ret->has_data)
        return false; // of compilers long gone
    struct bytes data = {body.at, body.at, false};
    if (ret->has_data) {
        uint64_t size = take_leb(&body);
        data.at = body.at;
        skip(&body, size);
        data.end = body.at;
    }
    for (const char *letter = augmentation; *letter; letter++) {
        if (*letter == 'R')
            ret->pointer_bytes = encoded_bytes((uint8_t)take(&data, 1));
        else if (*letter == 'L')
            take(&data, 1);
        else if (*letter == 'P')
            skip(&data, encoded_bytes((uint8_t)take(&data, 1)));
    }
    return !data.bad && ret->pointer_bytes && body.end - body.at <= MAX_INITIAL_BYTES &&
           program_is_sane(body, ret->pointer_bytes);
}

static bool fde_is_sane(struct bytes body, const struct cie *cie)
{
    skip(&body, cie->pointer_bytes);
    skip(&body, cie->pointer_bytes);
    if (cie->has_data)
        skip(&body, take_leb(&body));
    return program_is_sane(body, cie->pointer_bytes);
}

// The entry at *at, which moves on. False: the end, or what is no entry.
static bool next_entry(const uint8_t *bytes, size_t size, size_t *at, struct entry *ret)
{
    struct bytes rest = {bytes + *at, bytes + size, false};
    ret->start = rest.at;
    uint64_t length = take(&rest, 4);
    if (length == UINT32_MAX)
        length = take(&rest, 8);
    if (rest.bad || length < 4 || length > (uint64_t)(rest.end - rest.at))
        return false;
    rest.end = rest.at + length;
    ret->id = rest.at;
    take(&rest, 4);
    ret->body = rest;
    *at = (size_t)(rest.end - bytes);
    return true;
}

static bool entry_is_sane(const uint8_t *bytes, size_t size, const struct entry *entry,
                          bool debug)
{
    const uint32_t of_cie = debug ? UINT32_MAX : 0;
    uint32_t back;
    struct entry of;
    struct cie cie;
    memcpy(&back, entry->id, sizeof(back));
    if (back == of_cie)
        return cie_is_sane(entry->body, debug, &cie);
    size_t here = (size_t)(entry->id - bytes);
    if (debug ? back >= size : back > here)
        return false;
    size_t at = debug ? back : here - back;
    if (!next_entry(bytes, size, &at, &of) || memcmp(of.id, &of_cie, sizeof(of_cie)) != 0)
        return false;
    return cie_is_sane(of.body, debug, &cie) && fde_is_sane(entry->body, &cie);
}

size_t image_frames_disarm(uint8_t *bytes, size_t size)
{
    size_t disarmed = 0;
    struct entry entry;
    for (size_t at = 0; next_entry(bytes, size, &at, &entry);) {
        if (entry_is_sane(bytes, size, &entry, false))
            continue;
        // A CIE of a version that nobody knows, which no FDE can be of.
        size_t id = (size_t)(entry.id - bytes);
        memset(bytes + id, 0, 4);
        if (entry.body.at < entry.body.end)
            bytes[id + 4] = 0xff;
        disarmed++;
    }
    return disarmed;
}

bool image_debug_frames_sane(const uint8_t *bytes, size_t size)
{
    struct entry entry;
    size_t at = 0;
    for (size_t start = 0; next_entry(bytes, size, &at, &entry); start = at)
        // The 64-bit form has another header.
        if (memcmp(bytes + start, "\xff\xff\xff\xff", 4) == 0 ||
            !entry_is_sane(bytes, size, &entry, true))
            return false;
    return at == size;
}

bool image_frames_sane(Elf *elf)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names) != 0)
        return true; // no sections: nothing that libdw could find
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        const char *name;
        Elf_Data *data;
        struct entry entry;
        if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS ||
            !(name = elf_strptr(elf, names, header.sh_name)) || strcmp(name, ".eh_frame") != 0 ||
            !(data = elf_rawdata(section, NULL)) || !data->d_buf)
            continue;
        for (size_t at = 0; next_entry(data->d_buf, data->d_size, &at, &entry);)
            if (!entry_is_sane(data->d_buf, data->d_size, &entry, false))
                return false;
    }
    return true;
}
