// SPDX-License-Identifier: GPL-3.0-or-later
// Opcode rows of every CPython version, and decoding of instructions, jumps and exception tables.
#include "callsite_tables.h"

#define OP(number, name, caches_, effect_, a_, b_, jump_, jump_effect_, role_, param_) \
    [number] = {.known = true,                                                         \
                .base = number,                                                        \
                .caches = caches_,                                                     \
                .effect = EFFECT_##effect_,                                            \
                .a = a_,                                                               \
                .b = b_,                                                               \
                .jump = JUMP_##jump_,                                                  \
                .jump_effect = jump_effect_,                                           \
                .role = ROLE_##role_,                                                  \
                .param = param_},
#define VARIANT(number, name, base_) [number] = {.known = true, .base = base_},

static const struct py_opcode_row rows[][256] = {
    {
#include "opcodes/op36.def"
    },
    {
#include "opcodes/op37.def"
    },
    {
#include "opcodes/op38.def"
    },
    {
#include "opcodes/op39.def"
    },
    {
#include "opcodes/op310.def"
    },
    {
#include "opcodes/op311.def"
    },
    {
#include "opcodes/op312.def"
    },
    {
#include "opcodes/op313.def"
    },
    {
#include "opcodes/op314.def"
    },
    {
#include "opcodes/op315.def"
    },
};

#undef OP
#undef VARIANT

const struct py_opcode_row *py_opcode_rows(uint16_t version)
{
    size_t i = (size_t)version - 0x0306;
    return version >= 0x0306 && i < sizeof(rows) / sizeof(rows[0]) ? rows[i] : NULL;
}

bool py_instr_decoder_init(struct py_instr_decoder *decoder, const struct py_bytecode *bc)
{
    decoder->rows = py_opcode_rows(bc->version);
    decoder->code = bc->code;
    decoder->units = (uint32_t)(bc->size_bytes / 2);
    decoder->version = bc->version;
    return decoder->rows && bc->code && bc->size_bytes > 0 && bc->size_bytes % 2 == 0 &&
           bc->size_bytes <= PY_CALLSITE_CODE_MAX_BYTES;
}

static const struct py_opcode_row *row_at(const struct py_instr_decoder *decoder, uint32_t unit)
{
    const struct py_opcode_row *row = &decoder->rows[decoder->code[(size_t)unit * 2]];
    return row->known ? &decoder->rows[row->base] : NULL;
}

// An executor replaces a whole JUMP_BACKWARD, or only its first EXTENDED_ARG prefix: then the
// jump itself still stands behind it and there is no cache to skip (Python/optimizer.c, 3.13).
static bool replaces_prefix(const struct py_instr_decoder *decoder, uint32_t unit)
{
    const struct py_opcode_row *behind =
        unit + 1 < decoder->units ? row_at(decoder, unit + 1) : NULL;
    return behind && (behind->jump == JUMP_GO_BACKWARD || behind->role == ROLE_EXTENDED_ARG);
}

bool py_instr_decode(const struct py_instr_decoder *decoder, uint32_t start, struct py_instr *ret)
{
    uint32_t oparg = 0;
    uint32_t unit = start;
    const struct py_opcode_row *row;

    for (uint32_t prefixes = 0;; prefixes++, unit++) {
        if (unit >= decoder->units || !(row = row_at(decoder, unit)))
            return false;
        oparg = oparg << 8 | decoder->code[(size_t)unit * 2 + 1];
        if (row->role != ROLE_EXTENDED_ARG || prefixes == PY_INSTR_PREFIXES_MAX)
            break;
    }
    uint32_t caches = row->caches;
    if (row->jump == JUMP_EXECUTOR && replaces_prefix(decoder, unit))
        caches = 0;
    if (caches >= decoder->units - unit)
        return false;
    *ret = (struct py_instr){
        .row = row,
        .start = start,
        .unit = unit,
        .next = unit + 1 + caches,
        .oparg = oparg,
        .opcode = row->base,
    };
    return true;
}

bool py_instr_owner(const struct py_instr_decoder *decoder, uint32_t unit, struct py_instr *ret)
{
    if (unit >= decoder->units)
        return false;
    for (uint32_t start = 0; py_instr_decode(decoder, start, ret); start = ret->next) {
        if (unit < ret->next)
            return true;
    }
    return false;
}

int64_t py_instr_effect(const struct py_instr *instr)
{
    uint32_t oparg = instr->oparg;
    int64_t factor = 0;

    switch ((enum py_effect)instr->row->effect) {
    case EFFECT_ARG:
        factor = oparg;
        break;
    case EFFECT_BIT0:
        factor = oparg & 1;
        break;
    case EFFECT_BIT2:
        factor = oparg >> 2 & 1;
        break;
    case EFFECT_IS_3:
        factor = oparg == 3;
        break;
    case EFFECT_BITS4:
        factor = __builtin_popcount(oparg & 15);
        break;
    case EFFECT_UNPACK_EX:
        factor = (oparg & 255) + (oparg >> 8);
        break;
    default:
        break;
    }
    return instr->row->a + instr->row->b * factor;
}

bool py_instr_jumps(const struct py_instr *instr)
{
    return instr->row->jump >= JUMP_FORWARD && instr->row->jump <= JUMP_GO_ABSOLUTE;
}

bool py_instr_falls_through(const struct py_instr *instr)
{
    return instr->row->jump == JUMP_NEXT ||
           (instr->row->jump >= JUMP_FORWARD && instr->row->jump <= JUMP_ABSOLUTE);
}

int64_t py_instr_target(const struct py_instr_decoder *decoder, const struct py_instr *instr)
{
    // Jump arguments count bytes until 3.9, code units since (What's New in Python 3.10).
    int64_t distance = decoder->version <= 0x0309 ? instr->oparg / 2 : instr->oparg;

    switch (instr->row->jump) {
    case JUMP_ABSOLUTE:
    case JUMP_GO_ABSOLUTE:
        return distance;
    case JUMP_BACKWARD:
    case JUMP_GO_BACKWARD:
        return instr->next - distance;
    default:
        return instr->next + distance;
    }
}

// Big-endian groups of 6 bits, bit 6: more follow. False at the end or when it cannot be true.
static bool read_varint(const struct py_bytecode *bc, size_t *offset, uint32_t *ret)
{
    uint32_t value = 0;

    while (*offset < bc->exception_table_size) {
        uint8_t byte = bc->exception_table[(*offset)++];
        if (value >> 24)
            return false;
        value = value << 6 | (byte & 63);
        if (!(byte & 64)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

bool py_handler_next(const struct py_bytecode *bc, size_t *offset, struct py_handler *ret)
{
    uint32_t size;
    uint32_t depth_lasti;

    if (!bc->exception_table || bc->version < 0x030b || !read_varint(bc, offset, &ret->start) ||
        !read_varint(bc, offset, &size) || !read_varint(bc, offset, &ret->target) ||
        !read_varint(bc, offset, &depth_lasti))
        return false;
    ret->end = ret->start + size;
    // The unwinder pushes lasti when asked to, then the exception (Python/ceval.c).
    ret->kept = depth_lasti >> 1;
    ret->depth = (depth_lasti >> 1) + (depth_lasti & 1) + 1;
    return true;
}
