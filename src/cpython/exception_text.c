// SPDX-License-Identifier: GPL-3.0-or-later
// What str() of an exception gives, from its fields: each of the methods in Objects/exceptions.c once.
// Which of them a class has is told by its tp_str, which heirs take over from their base.
#include <stdlib.h>
#include <string.h>

#include "cpython/exception_parts.h"
#include "cpython/repr.h"
#include "util/guard.h"
#include "util/limits.h"

#define TEXT_MAX_BYTES 4096
#define ITEMS_MAX 64
#define DEPTH_MAX 6
#define NOTES_MAX 16

// ---- Values --------------------------------------------------------------------------------------

static struct err *untold(void)
{
    return err_create(ERR_UNSUPPORTED, "only the program's own code can tell");
}

static struct err *put_value(struct py_decoder *dec, FILE *out, uint64_t object, bool repr,
                             unsigned depth);

static struct err *put_tuple(struct py_decoder *dec, FILE *out, uint64_t tuple, unsigned depth)
{
    uint64_t count, item;
    TRY(py_read(dec->mem, &dec->layout, tuple, PY_TUPLE_size, &count));
    if (count > ITEMS_MAX || depth >= DEPTH_MAX)
        return untold();
    fputc('(', out);
    for (uint64_t i = 0; i < count; i++) {
        TRY(py_tuple_item(dec, tuple, i, &item));
        if (i)
            fputs(", ", out);
        TRY(put_value(dec, out, item, true, depth + 1));
    }
    fputs(count == 1 ? ",)" : ")", out);
    return NULL;
}

static struct err *put_text(struct py_decoder *dec, FILE *out, uint64_t object)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    TRY(py_str(dec, object, &text, &size));
    fwrite(text, 1, size, out);
    return NULL;
}

// Types whose repr() is told exactly.
static bool is_exact(struct py_decoder *dec, const struct py_type_info *info)
{
    static const char *const names[] = {"NoneType", "bool", "float", "complex", "ellipsis"};
    if (info->kind == PY_KIND_STR || info->kind == PY_KIND_INT || info->kind == PY_KIND_BYTES ||
        info->kind == PY_KIND_TYPE)
        return true;
    const char *name = info->heap ? NULL : strtab_get(dec->strings, info->name);
    for (size_t i = 0; name && i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

// Secrets are looked for in the finished text.
static struct err *put_repr(struct py_decoder *dec, FILE *out, uint64_t object)
{
    struct py_repr_options options = py_repr_defaults;
    GUARD(py_repr_deinit) struct py_repr repr = {0};
    options.chars = TEXT_MAX_BYTES;
    options.text_bytes = 2 * TEXT_MAX_BYTES;
    options.show_secrets = true;
    TRY(py_repr(dec, object, NULL, 0, &options, &repr));
    fwrite(repr.text, 1, repr.size, out);
    return NULL;
}

static struct err *put_value(struct py_decoder *dec, FILE *out, uint64_t object, bool repr,
                             unsigned depth)
{
    struct py_type_info info;
    TRY(py_type_of(dec, object, &info));
    if (info.kind == PY_KIND_STR && !repr)
        return put_text(dec, out, object);
    if (info.kind == PY_KIND_TUPLE)
        return put_tuple(dec, out, object, depth);
    return is_exact(dec, &info) ? put_repr(dec, out, object) : untold();
}

static struct err *put_field(struct py_decoder *dec, FILE *out, uint64_t exception,
                             enum py_field_id field, bool repr)
{
    uint64_t object;
    TRY(py_read(dec->mem, &dec->layout, exception, field, &object));
    if (!object) {
        fputs("None", out);
        return NULL;
    }
    return put_value(dec, out, object, repr, 0);
}

static uint64_t field_of(struct py_decoder *dec, uint64_t exception, enum py_field_id field)
{
    uint64_t value = 0;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, exception, field, &value);
    return err ? 0 : value;
}

// ---- One function per method ---------------------------------------------------------------------

static struct err *put_args(struct py_decoder *dec, FILE *out, uint64_t args, bool key)
{
    uint64_t count, item;
    TRY(py_expect(dec, args, PY_KIND_TUPLE, "args"));
    TRY(py_read(dec->mem, &dec->layout, args, PY_TUPLE_size, &count));
    if (count == 0)
        return NULL;
    if (count > 1)
        return put_tuple(dec, out, args, 0);
    TRY(py_tuple_item(dec, args, 0, &item));
    return put_value(dec, out, item, key, 0);
}

static struct err *put_own_args(struct py_decoder *dec, FILE *out, uint64_t exception, bool key)
{
    uint64_t args;
    TRY(py_read(dec->mem, &dec->layout, exception, PY_EXC_args, &args));
    return put_args(dec, out, args, key);
}

static struct err *base_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    return put_own_args(dec, out, exception, false);
}

static struct err *key_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    return put_own_args(dec, out, exception, true);
}

static struct err *import_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    uint64_t message = field_of(dec, exception, PY_IMPERR_message);
    AUTO_ERR struct err *none = py_expect(dec, message, PY_KIND_STR, "message");
    return none ? base_text(dec, out, exception) : put_text(dec, out, message);
}

static struct err *os_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    bool file = field_of(dec, exception, PY_OSERR_filename);
    bool number =
        field_of(dec, exception, PY_OSERR_number) && field_of(dec, exception, PY_OSERR_text);
    if (!file && !number)
        return base_text(dec, out, exception);
    fputs("[Errno ", out);
    TRY(put_field(dec, out, exception, PY_OSERR_number, false));
    fputs("] ", out);
    TRY(put_field(dec, out, exception, PY_OSERR_text, false));
    if (!file)
        return NULL;
    fputs(": ", out);
    TRY(put_field(dec, out, exception, PY_OSERR_filename, true));
    if (!field_of(dec, exception, PY_OSERR_filename2))
        return NULL;
    fputs(" -> ", out);
    return put_field(dec, out, exception, PY_OSERR_filename2, true);
}

static struct err *syntax_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    AUTO_FREE char *file = NULL;
    size_t size;
    int64_t line = 0;
    AUTO_ERR struct err *fileless =
        py_str(dec, field_of(dec, exception, PY_SYNERR_filename), &file, &size);
    AUTO_ERR struct err *lineless = py_int(dec, field_of(dec, exception, PY_SYNERR_line), &line);
    const char *slash = fileless ? NULL : strrchr(file, '/');
    TRY(put_field(dec, out, exception, PY_SYNERR_message, false));
    if (!fileless && !lineless)
        fprintf(out, " (%s, line %lld)", slash ? slash + 1 : file, (long long)line);
    else if (!fileless)
        fprintf(out, " (%s)", slash ? slash + 1 : file);
    else if (!lineless)
        fprintf(out, " (line %lld)", (long long)line);
    return NULL;
}

static struct err *group_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    uint64_t members, count;
    TRY(put_field(dec, out, exception, PY_EG_message, false));
    TRY(py_read(dec->mem, &dec->layout, exception, PY_EG_members, &members));
    TRY(py_expect(dec, members, PY_KIND_TUPLE, "exceptions"));
    TRY(py_read(dec->mem, &dec->layout, members, PY_TUPLE_size, &count));
    fprintf(out, " (%llu sub-exception%s)", (unsigned long long)count, count > 1 ? "s" : "");
    return NULL;
}

static struct err *put_range(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    uint64_t start, end;
    TRY(py_read(dec->mem, &dec->layout, exception, PY_UNIERR_start, &start));
    TRY(py_read(dec->mem, &dec->layout, exception, PY_UNIERR_end, &end));
    if (end == start + 1)
        fprintf(out, " in position %lld: ", (long long)start);
    else
        fprintf(out, " in position %lld-%lld: ", (long long)start, (long long)end - 1);
    return put_field(dec, out, exception, PY_UNIERR_reason, false);
}

// One byte, or one character, is shown. Past the object's end none is: then it is a range, too.
static bool is_one(struct py_decoder *dec, uint64_t exception, enum py_field_id length,
                   uint64_t *ret_object, uint64_t *ret_start)
{
    uint64_t size = 0;
    *ret_object = field_of(dec, exception, PY_UNIERR_object);
    *ret_start = field_of(dec, exception, PY_UNIERR_start);
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, *ret_object, length, &size);
    return !err && *ret_start < size && field_of(dec, exception, PY_UNIERR_end) == *ret_start + 1;
}

static struct err *decode_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    uint64_t object, start;
    fputc('\'', out);
    TRY(put_field(dec, out, exception, PY_UNIERR_encoding, false));
    if (is_one(dec, exception, PY_BYTES_size, &object, &start)) {
        uint8_t byte;
        TRY(py_expect(dec, object, PY_KIND_BYTES, "object"));
        TRY(mem_read_u8(dec->mem, object + py_offset(&dec->layout, PY_BYTES_data) + start, &byte));
        fprintf(out, "' codec can't decode byte 0x%02x", byte);
    } else {
        fputs("' codec can't decode bytes", out);
    }
    return put_range(dec, out, exception);
}

// The character at `index` of UTF-8 as py_str() makes it.
static uint32_t character_at(const char *text, size_t size, uint64_t index)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char *c = (const unsigned char *)text + i;
        if ((*c & 0xc0) == 0x80 || index--)
            continue;
        size_t left = size - i;
        if (*c < 0x80)
            return *c;
        if (*c < 0xe0 && left > 1)
            return (*c & 31u) << 6 | (c[1] & 63u);
        if (*c < 0xf0 && left > 2)
            return (*c & 15u) << 12 | (c[1] & 63u) << 6 | (c[2] & 63u);
        return left > 3 ? (*c & 7u) << 18 | (c[1] & 63u) << 12 | (c[2] & 63u) << 6 | (c[3] & 63u)
                        : 0;
    }
    return 0;
}

static struct err *put_character(struct py_decoder *dec, FILE *out, uint64_t exception,
                                 const char *verb)
{
    uint64_t object, start;
    fprintf(out, "can't %s character", verb);
    if (!is_one(dec, exception, PY_STR_length, &object, &start)) {
        fputc('s', out);
        return put_range(dec, out, exception);
    }
    AUTO_FREE char *text = NULL;
    size_t size;
    if (start >= LIMIT_STRING_CHARS)
        return untold();
    TRY(py_str(dec, object, &text, &size));
    uint32_t c = character_at(text, size, start);
    fprintf(out, c <= 0xff ? " '\\x%02x'" : c <= 0xffff ? " '\\u%04x'" : " '\\U%08x'", c);
    return put_range(dec, out, exception);
}

static struct err *encode_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    fputc('\'', out);
    TRY(put_field(dec, out, exception, PY_UNIERR_encoding, false));
    fputs("' codec ", out);
    return put_character(dec, out, exception, "encode");
}

static struct err *translate_text(struct py_decoder *dec, FILE *out, uint64_t exception)
{
    return put_character(dec, out, exception, "translate");
}

static const struct method {
    const char *type; // whose tp_str it is
    struct err *(*put)(struct py_decoder *dec, FILE *out, uint64_t exception);
} methods[] = {
    {"BaseException", base_text},
    {"KeyError", key_text},
    {"OSError", os_text},
    {"ImportError", import_text},
    {"SyntaxError", syntax_text},
    {"UnicodeEncodeError", encode_text},
    {"UnicodeDecodeError", decode_text},
    {"UnicodeTranslateError", translate_text},
    {"BaseExceptionGroup", group_text},
};

// The first of its bases that has one of these methods, if it still is the class's own.
static struct err *method_of(struct py_decoder *dec, uint64_t type, const struct method **ret)
{
    uint64_t own, base_str, base = type;
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_str, &own));
    for (size_t depth = 0; base && depth < LIMIT_MRO; depth++) {
        struct py_type_info info;
        TRY(py_type_info(dec, base, &info));
        const char *name = info.heap ? NULL : strtab_get(dec->strings, info.name);
        for (size_t i = 0; name && i < ARRAY_SIZE(methods); i++) {
            if (strcmp(methods[i].type, name) != 0)
                continue;
            TRY(py_read(dec->mem, &dec->layout, base, PY_TYPE_str, &base_str));
            *ret = &methods[i];
            return own == base_str ? NULL : untold();
        }
        TRY(py_read(dec->mem, &dec->layout, base, PY_TYPE_base, &base));
    }
    return err_create(ERR_BAD_DATA, "no exception");
}

// ---- Texts ---------------------------------------------------------------------------------------

struct text {
    char *bytes;
    size_t size;
    FILE *out;
};

static void text_deinit(struct text *text)
{
    if (text->out)
        fclose(text->out);
    free(text->bytes);
}

static struct err *text_open(struct text *text)
{
    *text = (struct text){0};
    text->out = open_memstream(&text->bytes, &text->size);
    return text->out ? NULL : err_create(ERR_NO_MEMORY, "exception");
}

// The whole text, or its beginning, cut between characters.
static struct err *text_take(struct py_decoder *dec, struct text *text, uint32_t *ret)
{
    if (fclose(TAKE(text->out)) != 0)
        return err_create(ERR_NO_MEMORY, "exception");
    size_t size = text->size;
    AUTO_FREE char *cut = NULL;
    const char *from = text->bytes;
    if (size > TEXT_MAX_BYTES) {
        for (size = TEXT_MAX_BYTES; size && ((unsigned char)from[size] & 0xc0) == 0x80;)
            size--;
        if (asprintf(&cut, "%.*s…", (int)size, from) < 0) {
            cut = NULL;
            return err_create(ERR_NO_MEMORY, "exception");
        }
        from = cut;
        size = strlen(cut);
    }
    *ret = strtab_add(dec->strings, from, size);
    return NULL;
}

struct err *py_exception_message(struct py_decoder *dec, uint64_t object, uint32_t *ret)
{
    GUARD(text_deinit) struct text text = {0};
    struct py_type_info type;
    const struct method *method = NULL;
    TRY(py_type_of(dec, object, &type));
    TRY(method_of(dec, type.addr, &method));
    TRY(text_open(&text));
    TRY(method->put(dec, text.out, object));
    return text_take(dec, &text, ret);
}

struct err *py_exception_arguments(struct py_decoder *dec, uint64_t object, bool show_secrets,
                                   struct py_exception *ret)
{
    struct py_repr_options options = py_repr_defaults;
    GUARD(py_repr_deinit) struct py_repr repr = {0};
    uint64_t args;
    options.show_secrets = show_secrets;
    TRY(py_read(dec->mem, &dec->layout, object, PY_EXC_args, &args));
    TRY(py_expect(dec, args, PY_KIND_TUPLE, "args"));
    TRY(py_repr(dec, args, NULL, 0, &options, &repr));
    ret->hidden += repr.hidden_count;
    ret->arguments = strtab_add(dec->strings, repr.text, repr.size);
    return NULL;
}

// Objects/exceptions.c, oserror_parse_args: (errno, strerror[, filename[, winerror[, filename2]]]).
static struct err *put_os_args(struct py_decoder *dec, FILE *out, uint64_t args)
{
    uint64_t count, item;
    TRY(py_read(dec->mem, &dec->layout, args, PY_TUPLE_size, &count));
    if (count < 2 || count > 5)
        return put_args(dec, out, args, false);
    fputs("[Errno ", out);
    TRY(py_tuple_item(dec, args, 0, &item));
    TRY(put_value(dec, out, item, false, 0));
    fputs("] ", out);
    TRY(py_tuple_item(dec, args, 1, &item));
    TRY(put_value(dec, out, item, false, 0));
    for (size_t i = 2; i < count; i += 2) {
        TRY(py_tuple_item(dec, args, i, &item));
        fputs(i == 2 ? ": " : " -> ", out);
        TRY(put_value(dec, out, item, true, 0));
    }
    return NULL;
}

static struct err *put_raw(struct py_decoder *dec, FILE *out, uint64_t type, uint64_t value)
{
    const struct method *method = NULL;
    struct py_type_info info;
    TRY(method_of(dec, type, &method));
    if (!value)
        return NULL;
    TRY(py_type_of(dec, value, &info));
    if (!info.heap && strtab_is(dec->strings, info.name, "NoneType"))
        return NULL;
    // Python/errors.c, _PyErr_CreateException: a tuple is the arguments, all else the only one.
    bool is_tuple = info.kind == PY_KIND_TUPLE;
    if (method->put == os_text && is_tuple)
        return put_os_args(dec, out, value);
    if (method->put != base_text && method->put != key_text && (is_tuple || method->put != os_text))
        return untold();
    bool key = method->put == key_text;
    return is_tuple ? put_args(dec, out, value, key) : put_value(dec, out, value, key, 0);
}

struct err *py_exception_message_raw(struct py_decoder *dec, uint64_t type, uint64_t value,
                                     uint32_t *ret)
{
    GUARD(text_deinit) struct text text = {0};
    TRY(text_open(&text));
    TRY(put_raw(dec, text.out, type, value));
    return text_take(dec, &text, ret);
}

struct err *py_exception_notes(struct py_decoder *dec, uint64_t object, struct py_texts *ret)
{
    uint64_t dict, list, count, items, note;
    TRY(py_read(dec->mem, &dec->layout, object, PY_EXC_dict, &dict));
    if (!dict || dec->layout.version < 0x030b)
        return NULL;
    TRY(py_dict_get(dec, dict, "__notes__", &list));
    struct py_type_info info;
    if (!list)
        return NULL;
    TRY(py_type_of(dec, list, &info));
    if (info.heap || !strtab_is(dec->strings, info.name, "list"))
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, list, PY_LIST_size, &count));
    TRY(py_read(dec->mem, &dec->layout, list, PY_LIST_items, &items));
    for (size_t i = 0; i < count && i < NOTES_MAX; i++) {
        GUARD(text_deinit) struct text text = {0};
        uint32_t id;
        TRY(mem_read_u64(dec->mem, items + 8 * i, &note));
        TRY(text_open(&text));
        TRY(put_value(dec, text.out, note, false, 0));
        TRY(text_take(dec, &text, &id));
        if (!vec_push(ret, id))
            return err_create(ERR_NO_MEMORY, "exception");
    }
    return NULL;
}
