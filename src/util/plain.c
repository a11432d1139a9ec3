// SPDX-License-Identifier: GPL-3.0-or-later
// Growing strings, and the target's bytes made harmless: what is shown can neither drive the
// terminal, nor reorder or hide its neighbours, nor break a line.
#include "util/plain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clean.h"
#include "util/guard.h"
#include "util/vec.h"

void plain_deinit(struct plain *plain)
{
    free(plain->bytes);
    *plain = (struct plain){0};
}

void plain_clear(struct plain *plain)
{
    plain->size = 0;
    if (plain->bytes)
        plain->bytes[0] = '\0';
}

const char *plain_text(const struct plain *plain)
{
    return plain->bytes ? plain->bytes : "";
}

static bool make_room(struct plain *plain, size_t more)
{
    size_t want = plain->size + more + 1;
    if (!plain->failed && want > plain->capacity &&
        !vec_grow((void **)&plain->bytes, &plain->capacity, want, 1))
        plain->failed = true;
    return !plain->failed;
}

void plain_bytes(struct plain *plain, const char *bytes, size_t size)
{
    if (!make_room(plain, size))
        return;
    memcpy(plain->bytes + plain->size, bytes, size);
    plain->size += size;
    plain->bytes[plain->size] = '\0';
}

void plain_str(struct plain *plain, const char *text)
{
    plain_bytes(plain, text, strlen(text));
}

void plain_add(struct plain *plain, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, fmt, args);
    if (size >= 0 && make_room(plain, (size_t)size)) {
        vsnprintf(plain->bytes + plain->size, (size_t)size + 1, fmt, again);
        plain->size += (size_t)size;
    }
    va_end(again);
    va_end(args);
}

void plain_pad(struct plain *plain, size_t columns)
{
    if (!make_room(plain, columns))
        return;
    memset(plain->bytes + plain->size, ' ', columns);
    plain->size += columns;
    plain->bytes[plain->size] = '\0';
}

// ---- Characters ----------------------------------------------------------------------------------

struct range {
    uint32_t first, last;
};

// Marks drawn over the character before them.
static const struct range narrow_ranges[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},
    {0x064b, 0x065f}, {0x093a, 0x093c}, {0x0941, 0x0948}, {0x1ab0, 0x1aff},
    {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
};

// East Asian Width W and F, in the blocks where they lie (UAX #11), and emoji.
static const struct range wide_ranges[] = {
    {0x1100, 0x115e},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x2614, 0x2615},
    {0x26a1, 0x26a1},   {0x2705, 0x2705},   {0x2728, 0x2728},   {0x274c, 0x274c},
    {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},
    {0xa000, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18aff},
    {0x1b000, 0x1b2ff}, {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e},
    {0x1f191, 0x1f19a}, {0x1f200, 0x1f320}, {0x1f32d, 0x1f5ff}, {0x1f600, 0x1f64f},
    {0x1f680, 0x1f6ff}, {0x1f7e0, 0x1f7eb}, {0x1f90c, 0x1f9ff}, {0x1fa70, 0x1faff},
    {0x20000, 0x3fffd},
};

static bool is_within(const struct range *ranges, size_t count, uint32_t code)
{
    for (size_t i = 0; i < count && ranges[i].first <= code; i++)
        if (code <= ranges[i].last)
            return true;
    return false;
}

void plain_safe(struct plain *plain, const char *bytes, size_t size)
{
    const char *at = bytes, *end = bytes + size;
    while (at < end) {
        const char *run = at;
        while (at < end && *at >= 0x20 && *at < 0x7f)
            at++;
        plain_bytes(plain, run, (size_t)(at - run));
        if (at == end)
            break;
        char shown[CLEAN_BYTES];
        at += clean_char(at, (size_t)(end - at), shown);
        plain_str(plain, shown);
    }
}

void plain_id(struct plain *plain, const struct strtab *strings, uint32_t id, size_t columns,
              enum plain_keep keep)
{
    const char *bytes = strtab_get(strings, id);
    if (!bytes) {
        plain_str(plain, "?");
        return;
    }
    if (columns == 0) {
        plain_safe(plain, bytes, strtab_size(strings, id));
        return;
    }
    GUARD(plain_deinit) struct plain whole = {0};
    plain_safe(&whole, bytes, strtab_size(strings, id));
    plain_clip(plain, plain_text(&whole), columns, keep);
    plain->failed |= whole.failed;
}

void plain_unmark(struct plain *plain)
{
    size_t kept = 0;
    for (size_t i = 0; i < plain->size; i++)
        if (plain->bytes[i] != PLAIN_CODE[0] && plain->bytes[i] != PLAIN_CODE_END[0])
            plain->bytes[kept++] = plain->bytes[i];
    if (plain->bytes)
        plain->bytes[plain->size = kept] = '\0';
}

size_t plain_char(const char *text, unsigned *ret_columns)
{
    unsigned char first = (unsigned char)text[0];
    *ret_columns = first >= 0x20;
    if (first < 0x80)
        return 1;
    uint32_t code = 0;
    size_t length = clean_decode(text, strnlen(text, 4), &code);
    if (is_within(narrow_ranges, ARRAY_SIZE(narrow_ranges), code))
        *ret_columns = 0;
    else if (is_within(wide_ranges, ARRAY_SIZE(wide_ranges), code))
        *ret_columns = 2;
    return length ? length : 1;
}

size_t plain_columns(const char *text)
{
    size_t total = 0;
    for (unsigned columns; *text; total += columns)
        text += plain_char(text, &columns);
    return total;
}

void plain_clip(struct plain *plain, const char *text, size_t columns, enum plain_keep keep)
{
    size_t all = plain_columns(text);
    if (all <= columns) {
        plain_str(plain, text);
        return;
    }
    size_t dots = columns < 3 ? columns : 3, room = columns - dots;
    const char *at = text;
    size_t passed = 0, stop = keep == PLAIN_KEEP_START ? room : all - room;
    while (*at) {
        unsigned width;
        size_t size = plain_char(at, &width);
        if (keep == PLAIN_KEEP_START ? passed + width > stop : passed >= stop)
            break;
        passed += width;
        at += size;
    }
    if (keep == PLAIN_KEEP_START)
        plain_bytes(plain, text, (size_t)(at - text));
    plain_bytes(plain, "...", dots);
    if (keep == PLAIN_KEEP_END)
        plain_str(plain, at);
}
