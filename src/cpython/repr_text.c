// SPDX-License-Identifier: GPL-3.0-or-later
// str, bytes, bytearray. Secrets in them are hidden before the quotes are put around.
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/clean.h"
#include "util/guard.h"
#include "util/redact.h"

// More than is shown is read, so that what begins in the part that is shown is recognised.
#define LOOK_AHEAD 1024

// Categories that str.isprintable() refuses beyond those of clean_is_unseen(): separators (Zs, Zl, Zp)
// and private use (Co).
static bool is_printable(uint32_t code)
{
    if (clean_is_unseen(code) || (code >= 0xd800 && code <= 0xf8ff) || code >= 0xe0000)
        return false;
    return code != 0xa0 && code != 0xad && code != 0x1680 && !(code >= 0x2000 && code <= 0x200a) &&
           code != 0x2028 && code != 0x2029 && code != 0x202f && code != 0x205f && code != 0x3000;
}

static void put_escaped(struct repr *repr, uint32_t code)
{
    const char *name = strchr("\n\r\t", (int)code);
    if (code && code < 0x80 && name)
        repr_printf(repr, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
    else
        repr_printf(repr, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
}

void repr_quoted(struct repr *repr, const char *text, size_t size, enum repr_quotes quotes)
{
    bool bytes = quotes != REPR_STR;
    bool single = memchr(text, '\'', size) && !memchr(text, '"', size);
    char quote = single ? '"' : '\'';
    repr_put(repr, &quote, 1);
    for (size_t i = 0, step; i < size && !repr->full; i += step) {
        uint32_t code = (unsigned char)text[i];
        step = bytes ? 1 : clean_decode(text + i, size - i, &code);
        if (!step) // no UTF-8: cannot be, text is made of code points
            step = 1;
        // bytearray_repr, Objects/bytearrayobject.c, up to 3.14 escapes the quote that it did not take, too.
        if (code == (unsigned char)quote || code == '\\' ||
            (code == '\'' && quotes == REPR_BYTEARRAY && repr->dec->layout.version < 0x030f))
            repr_printf(repr, "\\%c", (char)code);
        else if (code < 0x20 || code == 0x7f || (bytes && code >= 0x80) || !is_printable(code))
            put_escaped(repr, code);
        else
            repr_put(repr, text + i, step);
    }
    repr_put(repr, &quote, 1);
}

// What a list of "NAME=value" strings is: an environment, as it is handed to exec().
static size_t environment_name(const struct repr *repr, const char *text, size_t size)
{
    const char *equals = memchr(text, '=', size);
    return repr_hides_values(repr) && equals ? (size_t)(equals + 1 - text) : 0;
}

static bool write_variable(struct repr *repr, const char *text, size_t name,
                           enum repr_quotes quotes)
{
    AUTO_FREE char *shown = NULL;
    int size = asprintf(&shown, "%.*s" REDACT_HIDDEN, (int)name, text);
    if (size < 0) {
        shown = NULL;
        repr->no_memory = true;
        return false;
    }
    repr_quoted(repr, shown, (size_t)size, quotes);
    repr->hidden++;
    return true;
}

// `size` bytes of UTF-8 (or any bytes), the first `shown` of which are to be shown if nothing in them
// is hidden.
static bool write_text(struct repr *repr, const char *text, size_t size, size_t shown,
                       enum repr_quotes quotes)
{
    if (repr->options->show_secrets) {
        repr_quoted(repr, text, shown, quotes);
        return true;
    }
    size_t name = environment_name(repr, text, size), clean_size, hidden = 0;
    AUTO_FREE char *clean = redact_bytes(text, size, &clean_size, &hidden);
    if (!clean) {
        repr->no_memory = true;
        return false;
    }
    if (name)
        return write_variable(repr, text, name, quotes);
    size_t end = hidden ? (clean_size < shown ? clean_size : shown) : shown;
    // No character is cut in two.
    while (quotes == REPR_STR && end && end < clean_size &&
           ((unsigned char)clean[end] & 0xc0) == 0x80)
        end--;
    repr_quoted(repr, clean, end, quotes);
    repr->hidden += hidden;
    return true;
}

// Bytes that the first `chars` characters take.
static size_t prefix(const char *text, size_t size, size_t chars)
{
    size_t at = 0;
    while (at < size && chars--)
        do
            at++;
        while (at < size && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

bool repr_str(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    AUTO_FREE char *text = NULL;
    size_t size, chars, limit = repr->options->chars;
    if (!repr_ok(repr, py_str_part(repr->dec, object, limit + LOOK_AHEAD, &text, &size, &chars)) ||
        !write_text(repr, text, size, prefix(text, size, limit), REPR_STR))
        return false;
    if (chars > limit)
        repr_printf(repr, "... (%zu chars)", chars);
    return true;
}

static bool write_bytes(struct repr *repr, uint64_t addr, uint64_t count, enum repr_quotes quotes)
{
    size_t limit = repr->options->chars;
    size_t size = count < limit + LOOK_AHEAD ? count : limit + LOOK_AHEAD;
    AUTO_FREE char *bytes = malloc(size + 1);
    if (!bytes) {
        repr->no_memory = true;
        return false;
    }
    if (!repr_bytes(repr, addr, bytes, size))
        return false;
    repr_puts(repr, "b");
    if (!write_text(repr, bytes, size, size < limit ? size : limit, quotes))
        return false;
    if (count > limit)
        repr_printf(repr, "... (%llu bytes)", (unsigned long long)count);
    return true;
}

bool repr_bytes_object(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t count;
    return repr_read(repr, object, PY_BYTES_size, &count) && count < INT64_MAX &&
           write_bytes(repr, object + py_offset(&repr->dec->layout, PY_BYTES_data), count,
                       REPR_BYTES);
}

bool repr_bytearray(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t count, start;
    if (!repr_read(repr, object, PY_BYTEARRAY_size, &count) ||
        !repr_read(repr, object, PY_BYTEARRAY_start, &start) || count >= INT64_MAX)
        return false;
    repr_printf(repr, "%s(", repr_short_name(repr, class));
    if (!write_bytes(repr, start, start ? count : 0, REPR_BYTEARRAY))
        return false;
    repr_puts(repr, ")");
    return true;
}
