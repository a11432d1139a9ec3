// SPDX-License-Identifier: GPL-3.0-or-later
// Types and the plain values: str, bytes, int, tuple. See cpython/decoder.h.
#include <stdlib.h>
#include <string.h>

#include "cpython/code.h"
#include "cpython/decoder.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"
#include "util/vec.h"

#define TPFLAGS_HEAPTYPE (1ull << 9)
#define TYPE_CACHE_SLOTS 1024
#define STR_CACHE_SLOTS 1024

struct py_types {
    struct py_type_info slots[TYPE_CACHE_SLOTS]; // addr 0: empty; static types only, or `still`
    bool still;                                  // see py_decoder_still
    struct {
        uint64_t addr; // of the str; 0: empty
        uint32_t id;
    } strs[STR_CACHE_SLOTS]; // empty, but while `still`
};

// Names of exact builtin types (tp_name), which no version has changed.
static const struct {
    const char *name;
    enum py_kind kind;
} kinds[] = {
    {"str", PY_KIND_STR},
    {"bytes", PY_KIND_BYTES},
    {"int", PY_KIND_INT},
    {"tuple", PY_KIND_TUPLE},
    {"dict", PY_KIND_DICT},
    {"code", PY_KIND_CODE},
    {"type", PY_KIND_TYPE},
    {"module", PY_KIND_MODULE},
    {"function", PY_KIND_FUNCTION},
    {"method", PY_KIND_BOUND_METHOD},
    {"instancemethod", PY_KIND_BOUND_METHOD}, // im_func lies where im_func of a method lies
    {"builtin_function_or_method", PY_KIND_BUILTIN},
    {"builtin_method", PY_KIND_BUILTIN}, // 3.9+: PyCMethod_Type (Objects/methodobject.c)
    {"method_descriptor", PY_KIND_METHOD_DESCRIPTOR},
    {"classmethod_descriptor", PY_KIND_CLASS_METHOD_DESCRIPTOR},
    {"wrapper_descriptor", PY_KIND_SLOT_WRAPPER},
    {"method-wrapper", PY_KIND_METHOD_WRAPPER},
    {"generator", PY_KIND_GENERATOR},
    {"coroutine", PY_KIND_GENERATOR},
    {"async_generator", PY_KIND_GENERATOR},
};

struct err *py_decoder_init(struct py_decoder *dec, const struct py_layout *layout, struct mem *mem,
                            struct strtab *strings)
{
    *dec = (struct py_decoder){.mem = mem, .layout = *layout, .strings = strings};
    dec->types = calloc(1, sizeof(*dec->types));
    dec->codes = py_codes_create();
    if (!dec->types || !dec->codes) {
        py_decoder_deinit(dec);
        return err_create(ERR_NO_MEMORY, "decoder");
    }
    return NULL;
}

void py_decoder_deinit(struct py_decoder *dec)
{
    free(dec->types);
    py_codes_destroy(dec->codes);
    dec->types = NULL;
    dec->codes = NULL;
}

void py_decoder_forget(struct py_decoder *dec)
{
    memset(dec->types, 0, sizeof(*dec->types));
    py_codes_clear(dec->codes);
}

// May it be kept whatever happens? What is not known to be static may be freed.
static bool is_lasting(const struct py_type_info *type)
{
    return !type->heap && type->kind != PY_KIND_OTHER;
}

void py_decoder_still(struct py_decoder *dec, bool still)
{
    struct py_types *types = dec->types;
    for (size_t i = 0; types->still && i < TYPE_CACHE_SLOTS; i++)
        if (!is_lasting(&types->slots[i]))
            types->slots[i].addr = 0;
    if (types->still)
        memset(types->strs, 0, sizeof(types->strs));
    types->still = still;
}

uint64_t py_untag(const struct py_decoder *dec, uint64_t word)
{
    // Include/internal/pycore_stackref.h, 3.14 and 3.15: the low bits hold the kind of reference,
    // 3 marks an integer; NULL is the bare value 1.
    if (dec->layout.version < 0x030e)
        return word;
    if ((word & 3) == 3)
        return 0;
    return word & ~3ull;
}

static enum py_kind kind_of_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    return PY_KIND_OTHER;
}

struct err *py_type_info(struct py_decoder *dec, uint64_t type, struct py_type_info *ret)
{
    struct py_type_info *slot = &dec->types->slots[hash_u64(HASH_SEED, type) % TYPE_CACHE_SLOTS];
    if (slot->addr == type && type) {
        *ret = *slot;
        return NULL;
    }
    if (!type || type % 8)
        return err_create(ERR_BAD_DATA, "0x%llx is no type object", (unsigned long long)type);
    uint64_t name_addr, flags;
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_name, &name_addr));
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_flags, &flags));
    AUTO_FREE char *name = NULL;
    TRY(mem_read_cstr(dec->mem, name_addr, 256, &name));
    bool heap = flags & TPFLAGS_HEAPTYPE;
    *ret = (struct py_type_info){
        .addr = type,
        .kind = heap ? PY_KIND_OTHER : kind_of_name(name),
        .flags = flags,
        .name = strtab_add_cstr(dec->strings, name),
        .heap = heap,
    };
    if (dec->types->still || is_lasting(ret))
        *slot = *ret;
    return NULL;
}

struct err *py_type_of(struct py_decoder *dec, uint64_t object, struct py_type_info *ret)
{
    if (!object || object % 8)
        return err_create(ERR_BAD_DATA, "0x%llx is no object", (unsigned long long)object);
    uint64_t type;
    TRY(py_read(dec->mem, &dec->layout, object, PY_OB_type, &type));
    return py_type_info(dec, type, ret);
}

struct err *py_expect(struct py_decoder *dec, uint64_t object, enum py_kind kind, const char *what)
{
    struct py_type_info info;
    TRY(py_type_of(dec, object, &info));
    if (info.kind != kind)
        return err_create(ERR_BAD_DATA, "%s at 0x%llx is a %s", what, (unsigned long long)object,
                          strtab_get(dec->strings, info.name));
    return NULL;
}

static char *put_utf8(char *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xc0 | point >> 6);
        *to++ = (char)(0x80 | (point & 63));
    } else if (point < 0x10000) {
        *to++ = (char)(0xe0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 63));
        *to++ = (char)(0x80 | (point & 63));
    } else {
        *to++ = (char)(0xf0 | (point >> 18 & 7));
        *to++ = (char)(0x80 | (point >> 12 & 63));
        *to++ = (char)(0x80 | (point >> 6 & 63));
        *to++ = (char)(0x80 | (point & 63));
    }
    return to;
}

// Where the characters lie and how wide they are.
struct str_shape {
    uint64_t data;
    size_t chars;
    unsigned width; // 1, 2, 4
};

// PyUnicodeObject's state word: Include/cpython/unicodeobject.h of each version. interned:2
// kind:3 compact:1 ascii:1 ready:1; free-threaded 3.14+: interned is a byte of its own.
static struct err *str_shape(struct py_decoder *dec, uint64_t object, struct str_shape *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t length, state;
    TRY(py_read(dec->mem, lay, object, PY_STR_length, &length));
    TRY(py_read(dec->mem, lay, object, PY_STR_state, &state));
    bool wide_interned = (lay->build & PY_BUILD_FREE_THREADED) && lay->version >= 0x030e;
    unsigned bits = wide_interned ? (unsigned)(state >> 8) : (unsigned)(state >> 2);
    unsigned kind = bits & 7;
    bool compact = bits >> 3 & 1, ascii = bits >> 4 & 1;
    if (kind == 0 && py_layout_has(lay, PY_STR_wstr)) {
        // A legacy string that nobody has made ready: only wchar_t, four bytes each on Linux.
        TRY(py_read(dec->mem, lay, object, PY_STR_wstr, &ret->data));
        TRY(py_read(dec->mem, lay, object, PY_STR_wstr_length, &length));
        ret->width = 4;
    } else {
        if (kind != 1 && kind != 2 && kind != 4)
            return err_create(ERR_BAD_DATA, "str at 0x%llx has the impossible kind %u",
                              (unsigned long long)object, kind);
        ret->width = kind;
        if (compact)
            ret->data = object + py_offset(lay, ascii ? PY_STR_ascii_data : PY_STR_compact_data);
        else
            TRY(py_read(dec->mem, lay, object, PY_STR_data, &ret->data));
    }
    if (length > INT64_MAX / 8)
        return err_create(ERR_BAD_DATA, "str at 0x%llx has an impossible length",
                          (unsigned long long)object);
    ret->chars = length;
    return NULL;
}

struct err *py_str_part(struct py_decoder *dec, uint64_t object, size_t limit, char **ret,
                        size_t *ret_bytes, size_t *ret_chars)
{
    struct str_shape shape;
    TRY(str_shape(dec, object, &shape));
    size_t chars = shape.chars > limit ? limit : shape.chars;
    AUTO_FREE unsigned char *raw = malloc(chars * shape.width + 1);
    AUTO_FREE char *text = malloc(chars * 4 + 4);
    if (!raw || !text)
        return err_create(ERR_NO_MEMORY, "string");
    TRY(mem_read(dec->mem, shape.data, raw, chars * shape.width));
    char *to = text;
    for (size_t i = 0; i < chars; i++) {
        uint32_t point = 0;
        memcpy(&point, raw + i * shape.width, shape.width);
        if (point > 0x10ffff)
            return err_create(ERR_BAD_DATA, "str at 0x%llx holds no characters",
                              (unsigned long long)object);
        to = put_utf8(to, point);
    }
    *to = '\0';
    *ret_bytes = (size_t)(to - text);
    *ret_chars = shape.chars;
    *ret = TAKE(text);
    return NULL;
}

struct err *py_str(struct py_decoder *dec, uint64_t object, char **ret, size_t *ret_bytes)
{
    size_t chars;
    TRY(py_expect(dec, object, PY_KIND_STR, "name"));
    TRY(py_str_part(dec, object, LIMIT_STRING_CHARS, ret, ret_bytes, &chars));
    if (chars > LIMIT_STRING_CHARS)
        // There is room for one more (see above).
        *put_utf8(*ret + *ret_bytes, 0x2026) = '\0', *ret_bytes += 3;
    return NULL;
}

struct err *py_str_id(struct py_decoder *dec, uint64_t object, uint32_t *ret)
{
    struct py_types *types = dec->types;
    size_t slot = hash_u64(HASH_SEED, object) % STR_CACHE_SLOTS;
    if (object && types->strs[slot].addr == object) {
        *ret = types->strs[slot].id;
        return NULL;
    }
    AUTO_FREE char *text = NULL;
    size_t bytes = 0;
    TRY(py_str(dec, object, &text, &bytes));
    *ret = strtab_add(dec->strings, text, bytes);
    if (!*ret)
        return err_create(ERR_NO_MEMORY, "string");
    if (types->still) {
        types->strs[slot].addr = object;
        types->strs[slot].id = *ret;
    }
    return NULL;
}

struct err *py_bytes(struct py_decoder *dec, uint64_t object, size_t limit, uint8_t **ret,
                     size_t *ret_bytes)
{
    TRY(py_expect(dec, object, PY_KIND_BYTES, "bytes"));
    uint64_t size;
    TRY(py_read(dec->mem, &dec->layout, object, PY_BYTES_size, &size));
    if (size > limit)
        return err_create(ERR_LIMIT, "bytes at 0x%llx: %llu bytes are more than %zu",
                          (unsigned long long)object, (unsigned long long)size, limit);
    AUTO_FREE uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        return err_create(ERR_NO_MEMORY, "bytes");
    TRY(mem_read(dec->mem, object + py_offset(&dec->layout, PY_BYTES_data), bytes, size));
    bytes[size] = 0;
    *ret_bytes = size;
    *ret = TAKE(bytes);
    return NULL;
}

struct err *py_int(struct py_decoder *dec, uint64_t object, int64_t *ret)
{
    TRY(py_expect(dec, object, PY_KIND_INT, "int"));
    uint64_t word, count;
    bool negative;
    TRY(py_read(dec->mem, &dec->layout, object, PY_LONG_size, &word));
    if (dec->layout.version >= 0x030c) {
        // lv_tag: bits 0-1 sign (0 positive, 1 zero, 2 negative), digits from bit 3 on.
        negative = (word & 3) == 2;
        count = (word & 3) == 1 ? 0 : word >> 3;
    } else {
        negative = (int64_t)word < 0;
        count = negative ? 0 - word : word;
    }
    if (count > 3)
        return err_create(ERR_LIMIT, "int of %llu digits", (unsigned long long)count);
    uint32_t digits[3] = {0};
    TRY(mem_read(dec->mem, object + py_offset(&dec->layout, PY_LONG_digits), digits, count * 4));
    for (size_t i = 0; i < count; i++)
        if (digits[i] >> 30)
            return err_create(ERR_BAD_DATA, "int at 0x%llx has a digit of more than 30 bits",
                              (unsigned long long)object);
    if (digits[2] > 7)
        return err_create(ERR_LIMIT, "int of more than 62 bits");
    int64_t value = (int64_t)((uint64_t)digits[2] << 60 | (uint64_t)digits[1] << 30 | digits[0]);
    *ret = negative ? -value : value;
    return NULL;
}

struct err *py_tuple_item(struct py_decoder *dec, uint64_t object, size_t index, uint64_t *ret)
{
    TRY(py_expect(dec, object, PY_KIND_TUPLE, "tuple"));
    uint64_t size;
    TRY(py_read(dec->mem, &dec->layout, object, PY_TUPLE_size, &size));
    if (index >= size)
        return err_create(ERR_BAD_DATA, "tuple at 0x%llx has no item %zu",
                          (unsigned long long)object, index);
    return mem_read_u64(dec->mem, object + py_offset(&dec->layout, PY_TUPLE_items) + 8 * index,
                        ret);
}
