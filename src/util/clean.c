// SPDX-License-Identifier: GPL-3.0-or-later
// The target's text made harmless: see util/clean.h.
#include "util/clean.h"

#include <stdio.h>

#include "util/guard.h"

// Characters without a shape of their own that move, hide or separate others (Unicode 15,
// categories Cf, Zl and Zp, and the blank-looking fillers).
static const struct {
    uint32_t first, last;
} unseen_ranges[] = {
    {0x0000, 0x001f},   {0x007f, 0x009f},   {0x00ad, 0x00ad},   {0x034f, 0x034f},
    {0x061c, 0x061c},   {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
    {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},   {0x2800, 0x2800},
    {0x3164, 0x3164},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
    {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

bool clean_is_unseen(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(unseen_ranges) && unseen_ranges[i].first <= code; i++)
        if (code <= unseen_ranges[i].last)
            return true;
    return false;
}

size_t clean_decode(const char *bytes, size_t size, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; // shorter ones are overlong
    const unsigned char *at = (const unsigned char *)bytes;
    if (at[0] < 0x80) {
        *ret_code = at[0];
        return 1;
    }
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || length > size)
        return 0;
    uint32_t code = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    *ret_code = code;
    return code >= least[length] && code <= 0x10ffff ? length : 0;
}

size_t clean_char(const char *at, size_t size, char ret[CLEAN_BYTES])
{
    uint32_t code = 0;
    size_t length = clean_decode(at, size, &code);
    // Surrogates and what is no character (Unicode 15, 23.7) have no shape either.
    bool shapeless = (code >= 0xd800 && code <= 0xdfff) || (code & 0xfffe) == 0xfffe ||
                     (code >= 0xfdd0 && code <= 0xfdef) || clean_is_unseen(code);
    if (length == 0)
        snprintf(ret, CLEAN_BYTES, "\\udc%02x", (unsigned char)*at);
    else if (code == '\n' || code == '\r' || code == '\t')
        snprintf(ret, CLEAN_BYTES, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
    else if (shapeless)
        snprintf(ret, CLEAN_BYTES,
                 code > 0xffff ? "\\U%08x"
                 : code < 0xa0 ? "\\x%02x"
                               : "\\u%04x",
                 code);
    else
        snprintf(ret, CLEAN_BYTES, "%.*s", (int)length, at);
    return length ? length : 1;
}
