// SPDX-License-Identifier: GPL-3.0-or-later
// From instruction offset to line: the three table formats of CPython 3.6-3.15. Each is walked to
// its very end (tables over 64 KiB are real), and a damaged one gives "no line", never a wrong one.
#include "cpython/code.h"

#define NO_LINE ((struct py_line){-1, -1})

static struct py_line look_up(const struct py_decoder *dec, const struct py_code *code,
                              int32_t offset_bytes)
{
    if (offset_bytes < 0)
        return (struct py_line){code->first_line, -1};
    if (!code->line_table || !py_codes_may_walk(dec->codes, code->line_table_bytes))
        return NO_LINE;
    if (dec->layout.version >= 0x030b)
        return py_line_location(code, (uint32_t)offset_bytes);
    if (dec->layout.version == 0x030a)
        return py_line_ranges(code, (uint32_t)offset_bytes);
    return py_line_lnotab(code, (uint32_t)offset_bytes);
}

struct py_line py_code_line(const struct py_decoder *dec, struct py_code *code,
                            int32_t offset_bytes)
{
    if (!code->last_line.valid || code->last_line.offset_bytes != offset_bytes) {
        code->last_line.line = look_up(dec, code, offset_bytes);
        code->last_line.offset_bytes = offset_bytes;
        code->last_line.valid = true;
    }
    return code->last_line.line;
}

// A number of a varint, less one; a column that no source has is none.
static int32_t column_before(uint32_t number)
{
    return number <= INT32_MAX ? (int32_t)number - 1 : -1;
}

static struct py_line plain_line(int64_t line)
{
    return line < INT32_MIN || line > INT32_MAX ? NO_LINE : (struct py_line){(int32_t)line, -1};
}

// Objects/lnotab_notes.txt, 3.6-3.9: pairs of unsigned byte increment, signed line increment.
struct py_line py_line_lnotab(const struct py_code *code, uint32_t offset_bytes)
{
    int64_t line = code->first_line;
    uint64_t at = 0;
    for (size_t i = 0; i + 1 < code->line_table_bytes; i += 2) {
        at += code->line_table[i];
        if (at > offset_bytes)
            break;
        line += (int8_t)code->line_table[i + 1];
    }
    return plain_line(line);
}

// Objects/lnotab_notes.txt, 3.10 (PEP 626): pairs of range length in bytes and line increment from
// the last line; -128 marks a range without a line, whose length counts all the same.
struct py_line py_line_ranges(const struct py_code *code, uint32_t offset_bytes)
{
    int64_t line = code->first_line;
    uint64_t end = 0;
    for (size_t i = 0; i + 1 < code->line_table_bytes; i += 2) {
        int8_t delta = (int8_t)code->line_table[i + 1];
        end += code->line_table[i];
        if (delta != -128)
            line += delta;
        if (offset_bytes < end)
            return delta == -128 ? NO_LINE : plain_line(line);
    }
    return NO_LINE;
}

struct cursor {
    const uint8_t *at, *end;
    bool damaged;
};

static uint8_t next_byte(struct cursor *cursor)
{
    if (cursor->at == cursor->end) {
        cursor->damaged = true;
        return 0;
    }
    return *cursor->at++;
}

// Six bits a byte, least significant first; bit 6 says that more follow.
static uint32_t next_varint(struct cursor *cursor)
{
    uint32_t value = 0;
    for (unsigned shift = 0;; shift += 6) {
        uint8_t byte = next_byte(cursor);
        if (shift < 32)
            value |= (uint32_t)(byte & 63) << shift;
        if (!(byte & 64))
            return value;
        if (shift > 30) {
            cursor->damaged = true;
            return 0;
        }
    }
}

static int32_t next_signed(struct cursor *cursor)
{
    uint32_t value = next_varint(cursor);
    return value & 1 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
}

// InternalDocs/code_objects.md (Objects/locations.md in 3.11), PEP 657.
enum {
    CODE_SHORT_LAST = 9,
    CODE_ONE_LINE0 = 10,
    CODE_ONE_LINE2 = 12,
    CODE_NO_COLUMNS = 13,
    CODE_LONG = 14,
    CODE_NONE = 15
};

struct py_line py_line_location(const struct py_code *code, uint32_t offset_bytes)
{
    struct cursor cursor = {code->line_table, code->line_table + code->line_table_bytes, false};
    int64_t line = code->first_line;
    uint64_t end = 0;
    while (cursor.at < cursor.end) {
        uint8_t head = next_byte(&cursor);
        if (!(head & 128))
            return NO_LINE;
        unsigned kind = head >> 3 & 15;
        int32_t column = -1;
        end += 2 * ((head & 7) + 1u);
        if (kind <= CODE_SHORT_LAST) {
            column = (int32_t)(kind << 3 | next_byte(&cursor) >> 4);
        } else if (kind <= CODE_ONE_LINE2) {
            line += kind - CODE_ONE_LINE0;
            column = next_byte(&cursor);
            next_byte(&cursor);
        } else if (kind == CODE_NO_COLUMNS) {
            line += next_signed(&cursor);
        } else if (kind == CODE_LONG) {
            line += next_signed(&cursor);
            next_varint(&cursor);
            column = column_before(next_varint(&cursor));
            next_varint(&cursor);
        }
        if (cursor.damaged || line < INT32_MIN || line > INT32_MAX)
            return NO_LINE;
        if (offset_bytes < end)
            return kind == CODE_NONE ? NO_LINE : (struct py_line){(int32_t)line, column};
    }
    return NO_LINE;
}
