// SPDX-License-Identifier: GPL-3.0-or-later
// int, bool, float, complex, Decimal, and what is made of ints: range, slice.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"

// Digits of 30 bits that are turned into decimal ones, at a cost of their square. CPython itself
// stops at 4300 decimal digits (sys.set_int_max_str_digits).
#define INT_DIGITS_MAX 480
#define INT_DECIMALS_MAX (INT_DIGITS_MAX * 10)

// ---- int ----------------------------------------------------------------------------------------

static bool read_int(struct repr *repr, uint64_t object, uint64_t *ret_count, bool *ret_negative)
{
    uint64_t word;
    if (!repr_read(repr, object, PY_LONG_size, &word))
        return false;
    if (repr->dec->layout.version >= 0x030c) {
        // lv_tag, see py_int().
        *ret_negative = (word & 3) == 2;
        *ret_count = (word & 3) == 1 ? 0 : word >> 3;
        return (word & 3) != 3;
    }
    *ret_negative = (int64_t)word < 0;
    *ret_count = *ret_negative ? 0 - word : word;
    return true;
}

// Divides by 10^9 from the highest digit down; gives the remainder.
static uint32_t divide(uint32_t *digits, size_t count)
{
    uint64_t rest = 0;
    for (size_t i = count; i-- > 0;) {
        uint64_t part = rest << 30 | digits[i];
        digits[i] = (uint32_t)(part / 1000000000);
        rest = part % 1000000000;
    }
    return (uint32_t)rest;
}

static bool write_digits(struct repr *repr, uint32_t *digits, size_t count, bool negative)
{
    char text[INT_DECIMALS_MAX + 16], *at = text + sizeof(text);
    while (count && !digits[count - 1])
        count--;
    if (!count) {
        repr_puts(repr, "0");
        return true;
    }
    while (count) {
        uint32_t part = divide(digits, count);
        while (count && !digits[count - 1])
            count--;
        for (int i = 0; i < 9 && (count || part); i++, part /= 10)
            *--at = (char)('0' + part % 10);
    }
    if (negative)
        *--at = '-';
    repr_put(repr, at, (size_t)(text + sizeof(text) - at));
    return true;
}

bool repr_long(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint32_t digits[INT_DIGITS_MAX];
    uint64_t count, addr = object + py_offset(&repr->dec->layout, PY_LONG_digits);
    bool negative;
    if (!read_int(repr, object, &count, &negative) || count > 1ull << 40)
        return false;
    if (count > INT_DIGITS_MAX) {
        uint32_t top;
        if (!repr_bytes(repr, addr + 4 * (count - 1), &top, 4) || !top || top >> 30)
            return false;
        repr_printf(repr, "<%sint of %" PRIu64 " bits>", negative ? "negative " : "",
                    count * 30 - (uint64_t)(__builtin_clz(top) - 2));
        return true;
    }
    if (!repr_bytes(repr, addr, digits, 4 * count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (digits[i] >> 30)
            return false;
    return write_digits(repr, digits, count, negative);
}

bool repr_bool(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t count;
    bool negative;
    if (!read_int(repr, object, &count, &negative) || count > 1 || negative)
        return false;
    uint32_t digit = 0;
    if (count &&
        !repr_bytes(repr, object + py_offset(&repr->dec->layout, PY_LONG_digits), &digit, 4))
        return false;
    if (digit > 1)
        return false;
    repr_puts(repr, digit ? "True" : "False");
    return true;
}

// ---- float --------------------------------------------------------------------------------------

// The shortest digits that give the same double again, and where the point is: 0.ddd * 10^point.
static int shortest(double value, char digits[32])
{
    char text[48];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    char *exponent = strchr(text, 'e');
    size_t used = 0;
    for (char *at = text; at < exponent; at++)
        if (*at >= '0' && *at <= '9')
            digits[used++] = *at;
    while (used > 1 && digits[used - 1] == '0')
        used--;
    digits[used] = '\0';
    return atoi(exponent + 1) + 1;
}

// float.__repr__: format code 'r' of PyOS_double_to_string (Python/pystrtod.c): exponents below -4
// and from 16 on are written out.
void repr_double(struct repr *repr, double value, bool with_point)
{
    if (!isfinite(value)) {
        repr_puts(repr, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    char digits[32];
    const char *sign = signbit(value) ? "-" : "";
    int point = value == 0 ? 1 : shortest(fabs(value), digits), count;
    if (value == 0)
        strcpy(digits, "0");
    count = (int)strlen(digits);
    if (point > 16 || point < -3)
        repr_printf(repr, "%s%c%s%se%c%02d", sign, digits[0], count > 1 ? "." : "", digits + 1,
                    point > 0 ? '+' : '-', abs(point - 1));
    else if (point <= 0)
        repr_printf(repr, "%s0.%.*s%s", sign, -point, "0000", digits);
    else if (count > point)
        repr_printf(repr, "%s%.*s.%s", sign, point, digits, digits + point);
    else
        repr_printf(repr, "%s%s%.*s%s", sign, digits, point - count, "0000000000000000",
                    with_point ? ".0" : "");
}

bool repr_float(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    double value;
    if (!repr_bytes(repr, object + py_offset(&repr->dec->layout, PY_FLOAT_value), &value, 8))
        return false;
    repr_double(repr, value, true);
    return true;
}

// complex_repr, Objects/complexobject.c: a real part of +0.0 is left out.
bool repr_complex(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    double parts[2];
    if (!repr_bytes(repr, object + py_offset(&repr->dec->layout, PY_COMPLEX_value), parts,
                    sizeof(parts)))
        return false;
    bool both = parts[0] != 0 || signbit(parts[0]);
    if (both) {
        repr_puts(repr, "(");
        repr_double(repr, parts[0], false);
        if (!signbit(parts[1]) || isnan(parts[1]))
            repr_puts(repr, "+");
    }
    repr_double(repr, parts[1], false);
    repr_puts(repr, both ? "j)" : "j");
    return true;
}

// ---- Decimal ------------------------------------------------------------------------------------

// PyDecObject behind its head (Modules/_decimal/_decimal.c): hash, then mpd_t (libmpdec/mpdecimal.h):
// flags, exp, digits, len, alloc, and data, which points to words of 19 decimal digits.
struct mpd {
    uint64_t flags;
    int64_t exp, digits, len, alloc;
    uint64_t data;
};
enum { MPD_NEG = 1, MPD_INF = 2, MPD_NAN = 4, MPD_SNAN = 8, MPD_WORDS_MAX = 40, MPD_WORD = 19 };

// To-scientific-string of the General Decimal Arithmetic Specification.
static void put_decimal(struct repr *repr, const char *digits, int64_t exp)
{
    int64_t count = (int64_t)strlen(digits), point = count + exp;
    if (exp <= 0 && point > -6) {
        if (point <= 0)
            repr_printf(repr, "0.%.*s%s", (int)-point, "00000", digits);
        else if (exp)
            repr_printf(repr, "%.*s.%s", (int)point, digits, digits + point);
        else
            repr_puts(repr, digits);
        return;
    }
    repr_printf(repr, "%c%s%sE%+" PRId64, digits[0], count > 1 ? "." : "", digits + 1, point - 1);
}

bool repr_decimal(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct mpd mpd;
    uint64_t words[MPD_WORDS_MAX];
    char digits[MPD_WORDS_MAX * MPD_WORD + 1] = "";
    if (!repr_bytes(repr, object + repr_head(repr) + 8, &mpd, sizeof(mpd)) || mpd.len < 0 ||
        mpd.len > MPD_WORDS_MAX || !repr_bytes(repr, mpd.data, words, 8 * (size_t)mpd.len))
        return false;
    size_t used = 0;
    for (int64_t i = mpd.len; i-- > 0;) {
        if (words[i] >= 10000000000000000000ull)
            return false;
        used += (size_t)sprintf(digits + used, used ? "%019" PRIu64 : "%" PRIu64, words[i]);
    }
    uint8_t flags = (uint8_t)mpd.flags;
    repr_printf(repr, "%s('%s", repr_short_name(repr, class), flags & MPD_NEG ? "-" : "");
    if (flags & MPD_INF)
        repr_puts(repr, "Infinity");
    else if (flags & (MPD_NAN | MPD_SNAN))
        repr_puts(repr, flags & MPD_SNAN ? "sNaN" : "NaN");
    else if (used)
        put_decimal(repr, digits, mpd.exp);
    repr_puts(repr, "')");
    return true;
}

// ---- range, slice -------------------------------------------------------------------------------

bool repr_range(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t start, stop, step;
    int64_t one = 0;
    if (!repr_read(repr, object, PY_RANGE_start, &start) ||
        !repr_read(repr, object, PY_RANGE_stop, &stop) ||
        !repr_read(repr, object, PY_RANGE_step, &step))
        return false;
    repr_puts(repr, "range(");
    repr_object(repr, start);
    repr_puts(repr, ", ");
    repr_object(repr, stop);
    if (!repr_int(repr, step, &one) || one != 1) {
        repr_puts(repr, ", ");
        repr_object(repr, step);
    }
    repr_puts(repr, ")");
    return true;
}

bool repr_slice(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    static const enum py_field_id fields[] = {PY_SLICE_start, PY_SLICE_stop, PY_SLICE_step};
    uint64_t values[3];
    for (size_t i = 0; i < 3; i++)
        if (!repr_read(repr, object, fields[i], &values[i]))
            return false;
    if (!repr_enter(repr, object, "slice(...)", "slice", 3))
        return true;
    repr_puts(repr, "slice(");
    for (size_t i = 0; i < 3; i++) {
        repr_puts(repr, i ? ", " : "");
        repr_object(repr, values[i]);
    }
    repr_puts(repr, ")");
    repr_leave(repr);
    return true;
}
