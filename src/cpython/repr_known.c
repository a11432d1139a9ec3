// SPDX-License-Identifier: GPL-3.0-or-later
// Classes written in Python whose repr() everybody knows: enum members, dataclasses, UUID, paths,
// fractions; told from their attributes.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"

// "<Color.RED: 1>"
static bool write_enum(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t name = repr_attr(repr, object, "_name_"), value = repr_attr(repr, object, "_value_");
    char text[256];
    size_t size;
    if (!value)
        return false;
    repr_printf(repr, "<%s", repr_short_name(repr, class));
    if (name && repr_key(repr, name, text, sizeof(text), &size)) {
        repr_puts(repr, ".");
        repr_put(repr, text, size);
    }
    repr_puts(repr, ": ");
    if (repr_enter(repr, object, "...", "enum", 1)) {
        repr_object(repr, value);
        repr_leave(repr);
    }
    repr_puts(repr, ">");
    return true;
}

// ---- Dataclasses --------------------------------------------------------------------------------

struct field {
    char name[128];
    size_t size;
    uint64_t of; // dataclasses.Field
};
VEC_DEFINE(fields, struct field);

struct collector {
    struct repr *repr;
    struct fields fields;
};

static bool collect(void *arg, uint64_t key, uint64_t value)
{
    struct collector *to = arg;
    struct field field = {.of = value};
    if (repr_key(to->repr, key, field.name, sizeof(field.name), &field.size) &&
        !vec_push(&to->fields, field))
        to->repr->no_memory = true;
    return !to->repr->no_memory && to->fields.count < 256;
}

static bool is_false(struct repr *repr, uint64_t object)
{
    const struct repr_class *class = repr_class_of(repr, object);
    uint64_t word;
    // False is the only bool whose int is zero: lv_tag 1, or ob_size 0.
    return class && class->base && class->base->write == repr_bool &&
           repr_read(repr, object, PY_LONG_size, &word) &&
           (repr->dec->layout.version >= 0x030c ? (word & 3) == 1 : word == 0);
}

// Lib/dataclasses.py: a Field says whether repr() shows it; pseudo-fields (ClassVar, InitVar) are no
// attributes of the instance.
static bool write_dataclass(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct collector to = {.repr = repr};
    if (!repr_ok(repr, py_expect(repr->dec, class->fields, PY_KIND_DICT, "fields")) ||
        !repr_ok(repr, py_dict_walk(repr->dec, class->fields, collect, &to))) {
        vec_deinit(&to.fields);
        return false;
    }
    if (!repr_enter(repr, object, "...", repr_short_name(repr, class), to.fields.count)) {
        vec_deinit(&to.fields);
        return true;
    }
    size_t shown = 0;
    repr_printf(repr, "%s(", repr_short_name(repr, class));
    for (size_t i = 0; i < to.fields.count; i++) {
        struct field *field = &to.fields.items[i];
        uint64_t value = repr_attr(repr, object, field->name);
        uint64_t says = value ? repr_attr(repr, field->of, "repr") : 0;
        if (!value || (says && is_false(repr, says)))
            continue;
        if (!repr_next(repr, shown++, to.fields.count) ||
            !repr_field(repr, field->name, field->size, value))
            break;
    }
    repr_puts(repr, ")");
    repr_leave(repr);
    vec_deinit(&to.fields);
    return true;
}

// ---- By name ------------------------------------------------------------------------------------

// uuid.UUID: one int of 128 bits.
static bool write_uuid(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t number = repr_attr(repr, object, "int"), word;
    uint32_t digits[5] = {0};
    if (!number || !repr_read(repr, number, PY_LONG_size, &word))
        return false;
    uint64_t count = repr->dec->layout.version >= 0x030c ? ((word & 3) == 1 ? 0 : word >> 3) : word;
    if (count > 5 || !repr_bytes(repr, number + py_offset(&repr->dec->layout, PY_LONG_digits),
                                 digits, 4 * count))
        return false;
    unsigned __int128 value = 0;
    for (size_t i = 5; i-- > 0;)
        value = value << 30 | digits[i];
    uint64_t high = (uint64_t)(value >> 64), low = (uint64_t)value;
    repr_printf(repr, "%s('%08x-%04x-%04x-%04x-%012" PRIx64 "')", repr_short_name(repr, class),
                (unsigned)(high >> 32), (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xffff,
                (unsigned)(low >> 48), (uint64_t)(low & 0xffffffffffffull));
    return true;
}

static bool write_fraction(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t top = repr_attr(repr, object, "_numerator"),
             bottom = repr_attr(repr, object, "_denominator");
    if (!top || !bottom || !repr_enter(repr, object, "...", "Fraction", 2))
        return false;
    repr_printf(repr, "%s(", repr_short_name(repr, class));
    repr_object(repr, top);
    repr_puts(repr, ", ");
    repr_object(repr, bottom);
    repr_puts(repr, ")");
    repr_leave(repr);
    return true;
}

// The strings of a list or tuple of a path's parts, joined.
static bool join_parts(struct repr *repr, uint64_t parts, char *ret, size_t room)
{
    struct py_type_info info;
    uint64_t count, items, item;
    size_t used = 0, size;
    if (!repr_ok(repr, py_type_of(repr->dec, parts, &info)))
        return false;
    if (info.kind == PY_KIND_TUPLE) {
        if (!repr_read(repr, parts, PY_TUPLE_size, &count))
            return false;
        items = parts + py_offset(&repr->dec->layout, PY_TUPLE_items);
    } else if (!repr_read(repr, parts, PY_LIST_size, &count) ||
               !repr_read(repr, parts, PY_LIST_items, &items)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        char part[512];
        if (!repr_u64(repr, items + 8 * i, &item) ||
            !repr_key(repr, item, part, sizeof(part), &size) || used + size + 2 > room)
            return false;
        if (used && ret[used - 1] != '/')
            ret[used++] = '/';
        memcpy(ret + used, part, size);
        used += size;
    }
    ret[used] = '\0';
    return true;
}

// pathlib: _str where it was made; else the parts (_parts up to 3.11, _raw_paths later).
static bool write_path(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    char text[4096];
    size_t size;
    uint64_t whole = repr_attr(repr, object, "_str"), parts = 0;
    if (!whole || !repr_key(repr, whole, text, sizeof(text), &size)) {
        parts = repr_attr(repr, object, "_raw_paths");
        if (!parts)
            parts = repr_attr(repr, object, "_parts");
        if (!parts || !join_parts(repr, parts, text, sizeof(text)))
            return false;
        size = strlen(text);
    }
    repr_printf(repr, "%s(", repr_short_name(repr, class));
    if (size)
        repr_quoted(repr, text, size, REPR_STR);
    else
        repr_puts(repr, "'.'");
    repr_puts(repr, ")");
    return true;
}

// os.environ: the mapping of what is set; values are never shown by default.
static bool write_environment(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t data = repr_attr(repr, object, "_data");
    if (!data)
        return false;
    repr_puts(repr, "environ(");
    repr_named(repr, "environ", 7, data);
    repr_puts(repr, ")");
    return true;
}

static const struct {
    const char *name, *module;
    repr_fn *write;
} known[] = {
    {"UUID", "uuid", write_uuid},           {"Fraction", "fractions", write_fraction},
    {"PosixPath", "pathlib", write_path},   {"PurePosixPath", "pathlib", write_path},
    {"WindowsPath", "pathlib", write_path}, {"PureWindowsPath", "pathlib", write_path},
    {"_Environ", "os", write_environment},
};

static bool is_of_module(struct repr *repr, const struct repr_class *class, const char *module)
{
    uint64_t dict, name;
    char text[64];
    size_t size;
    return repr_read(repr, class->addr, PY_TYPE_dict, &dict) && dict &&
           repr_ok(repr, py_dict_get(repr->dec, dict, "__module__", &name)) && name &&
           repr_key(repr, name, text, sizeof(text), &size) &&
           strncmp(text, module, strlen(module)) == 0;
}

bool repr_known_class(struct repr *repr, uint64_t object, const struct repr_class *class,
                      bool *ret_written)
{
    *ret_written = false;
    if (!class->of_python || class->is_type)
        return false;
    if (class->is_enum)
        return (*ret_written = write_enum(repr, object, class));
    if (class->fields && !class->base)
        return (*ret_written = write_dataclass(repr, object, class));
    for (size_t i = 0; !class->base && i < ARRAY_SIZE(known); i++)
        if (strcmp(repr_type_name(repr, class), known[i].name) == 0 &&
            is_of_module(repr, class, known[i].module))
            return (*ret_written = known[i].write(repr, object, class));
    return false;
}
