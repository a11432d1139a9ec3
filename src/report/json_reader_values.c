// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers and strings of the JSON reader.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/json_scan.h"
#include "util/clean.h"

// ---- Numbers ------------------------------------------------------------------------------------

#define FIRST_MAX 1000000000000000 // 10^15: it is exact in a double

struct number {
    bool negative, whole; // whole: neither fraction nor exponent
    bool too_large;       // `digits` does not hold it
    uint64_t digits;      // of a whole number: all of them
    // The same for all numbers: digits at first, below FIRST_MAX, times 10^exponent.
    uint64_t first;
    int exponent;
};

static bool is_digit(const struct json_reader *in)
{
    return in->at < in->end && *in->at >= '0' && *in->at <= '9';
}

// At least one digit must come; `scale` is what each one of a fraction takes from the exponent.
static bool scan_digits(struct json_reader *in, struct number *number, int scale)
{
    if (!is_digit(in)) {
        json_fault(in, "a digit should be here");
        return false;
    }
    for (; is_digit(in); in->at++) {
        unsigned digit = (unsigned)(*in->at - '0');
        if (number->digits > (UINT64_MAX - digit) / 10)
            number->too_large = true;
        number->digits = number->digits * 10 + digit;
        if (number->first < FIRST_MAX / 10) {
            number->first = number->first * 10 + digit;
            number->exponent -= scale;
        } else {
            number->exponent += 1 - scale;
        }
    }
    return true;
}

static bool scan_exponent(struct json_reader *in, struct number *number)
{
    struct number power = {0};
    bool negative = json_scan_char(in, '-');
    if (!negative)
        json_scan_char(in, '+');
    if (!scan_digits(in, &power, 0))
        return false;
    int value = power.too_large || power.digits > 100000 ? 100000 : (int)power.digits;
    number->exponent += negative ? -value : value;
    return true;
}

static bool scan_number(struct json_reader *in, struct number *ret)
{
    *ret = (struct number){.whole = true};
    if (!json_scan_expect(in, JSON_NUMBER))
        return false;
    ret->negative = json_scan_char(in, '-');
    const char *start = in->at;
    if (!scan_digits(in, ret, 0))
        return false;
    if (*start == '0' && in->at - start > 1) {
        json_fault(in, "a number begins with 0");
        return false;
    }
    if (json_scan_char(in, '.')) {
        ret->whole = false;
        if (!scan_digits(in, ret, 1))
            return false;
    }
    if (json_scan_char(in, 'e') || json_scan_char(in, 'E')) {
        ret->whole = false;
        return scan_exponent(in, ret);
    }
    return true;
}

uint64_t json_read_u64(struct json_reader *in, uint64_t most)
{
    struct number number;
    if (!scan_number(in, &number))
        return 0;
    if (number.whole && !number.negative && !number.too_large && number.digits <= most)
        return number.digits;
    json_fault(in, "not a whole number from 0 to %" PRIu64, most);
    return 0;
}

int64_t json_read_i64(struct json_reader *in, int64_t least, int64_t most)
{
    struct number number;
    if (!scan_number(in, &number))
        return 0;
    uint64_t limit = number.negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    if (number.whole && !number.too_large && number.digits <= limit) {
        int64_t value = number.negative ? (int64_t)(0 - number.digits) : (int64_t)number.digits;
        if (value >= least && value <= most)
            return value;
    }
    json_fault(in, "not a whole number from %" PRId64 " to %" PRId64, least, most);
    return 0;
}

// Up to 10^22 a power of ten is exact, so that one division or product rounds once, and rightly
// (Clinger, "How to Read Floating Point Numbers Accurately", 1990).
double json_read_double(struct json_reader *in)
{
    struct number number;
    if (!scan_number(in, &number))
        return 0;
    double value = (double)number.first, power = 1;
    for (int i = abs(number.exponent); i > 0 && power < INFINITY; i--)
        power *= 10;
    value = number.exponent < 0 ? value / power : value * power;
    if (!isfinite(value)) {
        json_fault(in, "a number out of range");
        return 0;
    }
    return number.negative ? -value : value;
}

// ---- Strings ------------------------------------------------------------------------------------

static bool is_surrogate(uint32_t code)
{
    return code >= 0xd800 && code <= 0xdfff;
}

static bool hex_digit(char c, unsigned *ret)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    if (found)
        *ret = (unsigned)(found - digits);
    return found != NULL;
}

uint64_t json_read_hex(struct json_reader *in)
{
    size_t size;
    uint64_t value = 0;
    const char *text = json_read_string(in, &size);
    bool good = size > 2 && size <= 18 && memcmp(text, "0x", 2) == 0;
    for (size_t i = 2; good && i < size; i++) {
        unsigned digit = 0;
        good = hex_digit(text[i], &digit);
        value = value << 4 | digit;
    }
    if (!good && !in->err)
        json_fault(in, "not an address such as \"0x7f00\"");
    return in->err ? 0 : value;
}

// The four digits behind \u, if they are there.
static bool scan_hex4(struct json_reader *in, uint32_t *ret)
{
    *ret = 0;
    if (in->end - in->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        unsigned digit;
        if (!hex_digit(in->at[i], &digit))
            return false;
        *ret = *ret << 4 | digit;
    }
    in->at += 4;
    return true;
}

static void keep(struct json_reader *in, const char *bytes, size_t size)
{
    if (!vec_reserve(&in->text, in->text.count + size)) {
        json_fault(in, "no memory for a string");
        return;
    }
    if (size)
        memcpy(in->text.items + in->text.count, bytes, size);
    in->text.count += size;
}

static void keep_code(struct json_reader *in, uint32_t code)
{
    char bytes[4];
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(size == 1 ? code : (0xf00u >> size & 0xff) | code);
    keep(in, bytes, size);
}

// Four digits that are the code of a byte: \udc80 to \udcff.
static bool scan_byte(struct json_reader *in, char *ret)
{
    const char *before = in->at;
    uint32_t code;
    if (json_scan_word(in, "\\u") && scan_hex4(in, &code) && code >= 0xdc80 && code <= 0xdcff) {
        *ret = (char)(code & 0xff);
        return true;
    }
    in->at = before;
    return false;
}

// A run of bytes that were no UTF-8. Those that are UTF-8 together cannot have been that: they were
// surrogates, each encoded like a character.
static void keep_bytes(struct json_reader *in)
{
    size_t begin = in->text.count;
    for (char byte; !in->err && scan_byte(in, &byte);)
        keep(in, &byte, 1);
    size_t size = in->text.count - begin;
    bool all_raw = true;
    uint32_t code;
    for (size_t i = 0; i < size; i++)
        all_raw &= clean_decode(in->text.items + begin + i, size - i, &code) == 0;
    if (all_raw || in->err)
        return;
    char *run = malloc(size);
    if (!run) {
        json_fault(in, "no memory for a string");
        return;
    }
    memcpy(run, in->text.items + begin, size);
    in->text.count = begin;
    for (size_t i = 0, length; i < size && !in->err; i += length ? length : 1) {
        length = clean_decode(run + i, size - i, &code);
        if (!length)
            keep(in, run + i, 1);
        for (size_t k = 0; k < length; k++)
            keep_code(in, 0xdc00u | (unsigned char)run[i + k]);
    }
    free(run);
}

// Behind "\u".
static void scan_unicode(struct json_reader *in)
{
    const char *escape = in->at - 2;
    uint32_t code, low;
    if (!scan_hex4(in, &code)) {
        json_fault(in, "four hexadecimal digits should follow \\u");
        return;
    }
    if (code >= 0xdc80 && code <= 0xdcff) {
        in->at = escape;
        keep_bytes(in);
        return;
    }
    const char *behind = in->at;
    if (code >= 0xd800 && code <= 0xdbff) { // RFC 8259, 7: the first of a pair?
        if (json_scan_word(in, "\\u") && scan_hex4(in, &low) && low >= 0xdc00 && low <= 0xdfff)
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        else
            in->at = behind;
    }
    keep_code(in, code);
}

static void scan_escape(struct json_reader *in)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char letter = in->at < in->end ? *in->at++ : '\0';
    const char *found = letter ? strchr(letters, letter) : NULL;
    if (letter == 'u')
        scan_unicode(in);
    else if (found)
        keep(in, &meant[found - letters], 1);
    else
        json_fault(in, "no such escape in a string");
}

// Over characters that stand for themselves, up to a quote or an escape.
static void scan_plain(struct json_reader *in)
{
    while (in->at < in->end && *in->at != '"' && *in->at != '\\') {
        unsigned char byte = (unsigned char)*in->at;
        uint32_t code = byte;
        size_t length = byte < 0x80 ? 1 : clean_decode(in->at, (size_t)(in->end - in->at), &code);
        if (byte < 0x20 || !length || is_surrogate(code)) {
            json_fault(in, byte < 0x20 ? "a control character in a string"
                                       : "a string that is not UTF-8");
            return;
        }
        in->at += length;
    }
    if (in->at == in->end)
        json_fault(in, "it ends within a string");
}

const char *json_read_string(struct json_reader *in, size_t *ret_size)
{
    *ret_size = 0;
    if (!json_scan_expect(in, JSON_STRING))
        return "";
    const char *start = ++in->at;
    scan_plain(in);
    size_t size = (size_t)(in->at - start);
    if (in->err)
        return "";
    if (json_scan_char(in, '"')) { // as it stands
        *ret_size = size;
        return start;
    }
    in->text.count = 0;
    keep(in, start, size);
    while (!in->err && !json_scan_char(in, '"')) {
        if (json_scan_char(in, '\\')) {
            scan_escape(in);
            continue;
        }
        start = in->at;
        scan_plain(in);
        if (!in->err)
            keep(in, start, (size_t)(in->at - start));
    }
    if (in->err)
        return "";
    *ret_size = in->text.count;
    return in->text.items ? in->text.items : "";
}
