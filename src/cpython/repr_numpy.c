// SPDX-License-Identifier: GPL-3.0-or-later
// numpy's arrays and scalars, by the C structs that its ABI promises (numpy/ndarraytypes.h): of
// PyArrayObject_fields data, nd, dimensions, strides, base, descr, flags behind the head; of
// PyArray_Descr typeobj, kind, type, byteorder. Where a descriptor keeps the size of an item differs
// between numpy 1 and 2, so that of numbers is told by their type.
#include <inttypes.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"

enum { DIMENSIONS_MAX = 64 }; // NPY_MAXDIMS of numpy 2

struct array {
    uint64_t data;
    int32_t nd, padding;
    uint64_t dimensions, strides, base, descr;
};

struct descr {
    uint64_t type_object;
    char kind, type, byteorder, flags;
    int32_t type_num;
    uint32_t size1, align1; // numpy 1: elsize, alignment; numpy 2: flags of 64 bits
    uint64_t size2;         // numpy 2: elsize
};

// By the character of the type (enum NPY_TYPECHAR).
static const struct {
    char type;
    uint8_t size;
    const char *name;
} types[] = {
    {'?', 1, "bool"},        {'b', 1, "int8"},    {'B', 1, "uint8"},      {'h', 2, "int16"},
    {'H', 2, "uint16"},      {'i', 4, "int32"},   {'I', 4, "uint32"},     {'l', 8, "int64"},
    {'L', 8, "uint64"},      {'q', 8, "int64"},   {'Q', 8, "uint64"},     {'e', 2, "float16"},
    {'f', 4, "float32"},     {'d', 8, "float64"}, {'g', 16, "float128"},  {'F', 8, "complex64"},
    {'D', 16, "complex128"}, {'O', 8, "object"},  {'M', 8, "datetime64"}, {'m', 8, "timedelta64"},
};

static int find_type(char type)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].type == type)
            return (int)i;
    return -1;
}

static int64_t as_signed(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, bytes, size);
    unsigned shift = 64 - 8 * (unsigned)size;
    return (int64_t)(value << shift) >> shift;
}

// IEEE 754 binary16.
static double half(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023, value;
    if (exponent == 31)
        value = fraction != 0 ? __builtin_nan("") : __builtin_inf();
    else
        value =
            __builtin_ldexp(exponent ? fraction + 1024 : fraction, (exponent ? exponent : 1) - 25);
    return bits >> 15 ? -value : value;
}

static void put_float(struct repr *repr, float value)
{
    char text[32];
    for (int precision = 1; precision <= 9; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    bool whole = !strpbrk(text, ".en");
    repr_printf(repr, "%s%s", text, whole ? ".0" : "");
}

// False: items of this type are not shown.
static bool put_number(struct repr *repr, size_t at, const uint8_t *bytes)
{
    double parts[2];
    float floats[2];
    uint64_t number = 0;
    char type = types[at].type;
    size_t size = types[at].size;
    memcpy(&number, bytes, size < 8 ? size : 8);
    switch (type) {
    case '?':
        repr_puts(repr, bytes[0] ? "True" : "False");
        return true;
    case 'e':
        put_float(repr, (float)half((uint16_t)number));
        return true;
    case 'f':
        memcpy(floats, bytes, 4);
        put_float(repr, floats[0]);
        return true;
    case 'd':
        memcpy(parts, bytes, 8);
        repr_double(repr, parts[0], true);
        return true;
    case 'F':
        memcpy(floats, bytes, 8);
        repr_printf(repr, "(%g%+gj)", (double)floats[0], (double)floats[1]);
        return true;
    case 'D':
        memcpy(parts, bytes, 16);
        repr_printf(repr, "(%.17g%+.17gj)", parts[0], parts[1]);
        return true;
    case 'O':
        repr_object(repr, number);
        return true;
    case 'g':
        return false;
    default:
        break;
    }
    if (strchr("BHILQ", type))
        repr_printf(repr, "%" PRIu64, number);
    else
        repr_printf(repr, "%" PRId64, as_signed(bytes, size));
    return true;
}

// Address of item `index` in C order; false: it would lie outside of what can be.
static uint64_t item_at(const struct array *array, const int64_t *dimensions,
                        const int64_t *strides, uint64_t index)
{
    uint64_t addr = array->data;
    for (int i = array->nd; i-- > 0;) {
        uint64_t along = (uint64_t)dimensions[i];
        addr += (uint64_t)strides[i] * (index % along);
        index /= along;
    }
    return addr;
}

static bool read_shape(struct repr *repr, const struct array *array, int64_t *dimensions,
                       int64_t *strides, uint64_t *ret_count)
{
    *ret_count = 1;
    if (array->nd < 0 || array->nd > DIMENSIONS_MAX)
        return false;
    size_t bytes = 8 * (size_t)array->nd;
    if (bytes && (!repr_bytes(repr, array->dimensions, dimensions, bytes) ||
                  !repr_bytes(repr, array->strides, strides, bytes)))
        return false;
    for (int i = 0; i < array->nd; i++)
        if (dimensions[i] < 0 ||
            __builtin_mul_overflow(*ret_count, (uint64_t)dimensions[i], ret_count))
            return false;
    return true;
}

static void put_shape(struct repr *repr, const struct array *array, const int64_t *dimensions)
{
    repr_puts(repr, "shape=(");
    for (int i = 0; i < array->nd; i++)
        repr_printf(repr, "%s%" PRId64, i ? ", " : "", dimensions[i]);
    repr_puts(repr, array->nd == 1 ? ",)" : ")");
}

static void put_items(struct repr *repr, const struct array *array, size_t type,
                      const int64_t *dimensions, const int64_t *strides, uint64_t count)
{
    uint8_t bytes[16];
    repr_puts(repr, ", [");
    for (uint64_t i = 0; i < count && repr_next(repr, i, count); i++) {
        if (!repr_bytes(repr, item_at(array, dimensions, strides, i), bytes, types[type].size)) {
            repr_puts(repr, "<unreadable>");
            break;
        }
        if (!put_number(repr, type, bytes))
            break;
    }
    repr_puts(repr, "]");
}

// "array(shape=(2, 3), dtype=float64, [0.0, 1.0, ... 4 more])"
bool repr_ndarray(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct array array;
    struct descr descr;
    int64_t dimensions[DIMENSIONS_MAX], strides[DIMENSIONS_MAX];
    uint64_t count, head = repr_head(repr);
    if (!repr_bytes(repr, object + head, &array, sizeof(array)) ||
        !repr_bytes(repr, array.descr + head, &descr, sizeof(descr)) ||
        !read_shape(repr, &array, dimensions, strides, &count))
        return false;
    int type = find_type(descr.type);
    if (!repr_enter(repr, object, "array(...)", "array", count))
        return true;
    repr_puts(repr, class->of_python ? repr_short_name(repr, class) : "array");
    repr_puts(repr, "(");
    put_shape(repr, &array, dimensions);
    // An alignment is never 0, flags stay below 2^32.
    uint64_t text = descr.align1 ? descr.size1 : descr.size2;
    if (type >= 0)
        repr_printf(repr, ", dtype=%s", types[type].name);
    else if (descr.kind == 'U' && text < 1 << 20)
        repr_printf(repr, ", dtype=<U%" PRIu64, text / 4);
    else if (descr.kind == 'S' && text < 1 << 20)
        repr_printf(repr, ", dtype=S%" PRIu64, text);
    else if (descr.kind >= ' ' && descr.kind < 0x7f)
        repr_printf(repr, ", dtype of kind %c", descr.kind);
    // '>': stored the other way round.
    if (type >= 0 && descr.byteorder != '>' && !strchr("gMm", descr.type))
        put_items(repr, &array, (size_t)type, dimensions, strides, count);
    repr_puts(repr, ")");
    repr_leave(repr);
    return true;
}

// PyFloat64ScalarObject and its likes: the value follows the head. By tp_name: "numpy.int64".
bool repr_numpy_scalar(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    const char *name = repr_short_name(repr, class);
    uint8_t bytes[16];
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        bool same = strcmp(types[i].name, name) == 0 ||
                    (types[i].type == '?' && strcmp(name, "bool_") == 0);
        if (!same || strchr("OgMm", types[i].type))
            continue;
        if (!repr_bytes(repr, object + repr_head(repr), bytes, types[i].size))
            return false;
        repr_printf(repr, "numpy.%s(", name);
        put_number(repr, i, bytes);
        repr_puts(repr, ")");
        return true;
    }
    return false;
}
