// SPDX-License-Identifier: GPL-3.0-or-later
// Classes: what a class derives from, and what is remembered of it while one text is made.
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"

#define TPFLAGS_IMMUTABLE (1ull << 8) // 3.10+: Py_TPFLAGS_IMMUTABLETYPE
#define TPFLAGS_TUPLE (1ull << 26)
#define TPFLAGS_TYPE (1ull << 31)

static bool write_none(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)object, (void)class;
    repr_puts(repr, "None");
    return true;
}

static bool write_ellipsis(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)object, (void)class;
    repr_puts(repr, "Ellipsis");
    return true;
}

static bool write_not_implemented(struct repr *repr, uint64_t object,
                                  const struct repr_class *class)
{
    (void)object, (void)class;
    repr_puts(repr, "NotImplemented");
    return true;
}

// By tp_name, which no version has changed but where both are listed. A name without a dot may be
// any Python class's, so it counts for static types only; bool before int: the innermost is taken.
static const struct repr_base bases[] = {
    {"NoneType", write_none, REPR_PLAIN},
    {"bool", repr_bool, REPR_PLAIN},
    {"ellipsis", write_ellipsis, REPR_PLAIN},
    {"NotImplementedType", write_not_implemented, REPR_PLAIN},
    {"str", repr_str, REPR_VALUE},
    {"bytes", repr_bytes_object, REPR_VALUE},
    {"bytearray", repr_bytearray, REPR_VALUE},
    {"int", repr_long, REPR_VALUE},
    {"float", repr_float, REPR_VALUE},
    {"complex", repr_complex, REPR_VALUE},
    {"decimal.Decimal", repr_decimal, REPR_VALUE},
    {"range", repr_range, REPR_PLAIN},
    {"slice", repr_slice, REPR_PLAIN},
    {"tuple", repr_tuple, REPR_VALUE},
    {"list", repr_list, REPR_VALUE},
    {"collections.deque", repr_deque, REPR_VALUE},
    {"set", repr_set, REPR_VALUE},
    {"frozenset", repr_set, REPR_VALUE},
    {"dict", repr_dict, REPR_VALUE},
    {"collections.OrderedDict", repr_ordered_dict, REPR_VALUE},
    {"collections.defaultdict", repr_default_dict, REPR_VALUE},
    {"mappingproxy", repr_mapping_proxy, REPR_VALUE},
    {"datetime.datetime", repr_datetime, REPR_PLAIN},
    {"datetime.date", repr_date, REPR_PLAIN},
    {"datetime.time", repr_time, REPR_PLAIN},
    {"datetime.timedelta", repr_timedelta, REPR_PLAIN},
    {"datetime.timezone", repr_timezone, REPR_PLAIN},
    {"function", repr_function, REPR_PLAIN},
    {"method", repr_method, REPR_PLAIN},
    {"builtin_function_or_method", repr_builtin, REPR_PLAIN},
    {"builtin_method", repr_builtin, REPR_PLAIN},
    {"module", repr_module, REPR_PLAIN},
    {"code", repr_code, REPR_PLAIN},
    {"frame", repr_opaque, REPR_PLAIN},
    {"traceback", repr_opaque, REPR_PLAIN},
    {"property", repr_opaque, REPR_PLAIN},
    {"memoryview", repr_opaque, REPR_PLAIN},
    {"generator", repr_generator, REPR_PLAIN},
    {"coroutine", repr_generator, REPR_PLAIN},
    {"async_generator", repr_generator, REPR_PLAIN},
    {"weakref", repr_weakref, REPR_PLAIN},
    {"weakref.ReferenceType", repr_weakref, REPR_PLAIN},
    {"cell", repr_cell, REPR_VALUE},
    {"functools.partial", repr_partial, REPR_VALUE},
    {"BaseException", repr_exception, REPR_VALUE},
    {"_io.FileIO", repr_file, REPR_PLAIN},
    {"_io.BufferedReader", repr_buffered, REPR_PLAIN},
    {"_io.BufferedWriter", repr_buffered, REPR_PLAIN},
    {"_io.BufferedRandom", repr_buffered, REPR_PLAIN},
    {"_io.TextIOWrapper", repr_text_file, REPR_PLAIN},
    {"_socket.socket", repr_socket, REPR_PLAIN},
    {"_thread.lock", repr_lock, REPR_PLAIN},
    {"_thread.RLock", repr_lock, REPR_PLAIN},
    {"numpy.ndarray", repr_ndarray, REPR_VALUE},
    {"numpy.generic", repr_numpy_scalar, REPR_VALUE},
};

static const struct repr_base *find_base(struct repr *repr, const struct py_type_info *info)
{
    const char *name = strtab_get(repr->dec->strings, info->name);
    for (size_t i = 0; name && i < ARRAY_SIZE(bases); i++)
        if (strcmp(bases[i].name, name) == 0 && (!info->heap || strchr(name, '.')))
            return &bases[i];
    return NULL;
}

// A type's type is a type: its flags say so.
static bool is_type(struct repr *repr, uint64_t type, struct py_type_info *ret)
{
    struct py_type_info meta;
    uint64_t meta_addr;
    if (!type || type % 8 || !repr_read(repr, type, PY_OB_type, &meta_addr))
        return false;
    return repr_ok(repr, py_type_info(repr->dec, meta_addr, &meta)) &&
           (meta.flags & TPFLAGS_TYPE) && repr_ok(repr, py_type_info(repr->dec, type, ret));
}

// Made by a class statement (or type()): a heap type whose tp_name has no module. Those of C carry
// one, and are immutable from 3.10 on.
static bool is_of_python(struct repr *repr, const struct py_type_info *info)
{
    const char *name = strtab_get(repr->dec->strings, info->name);
    if (!info->heap || !name || strchr(name, '.'))
        return false;
    return repr->dec->layout.version < 0x030a || !(info->flags & TPFLAGS_IMMUTABLE);
}

static uint64_t own_attr(struct repr *repr, uint64_t type, const char *name)
{
    uint64_t dict, value = 0;
    // 3.12+: that of a static builtin type lies elsewhere.
    if (!repr_read(repr, type, PY_TYPE_dict, &dict) || !dict ||
        !repr_ok(repr, py_dict_get(repr->dec, dict, name, &value)))
        return 0;
    return value;
}

// From the class along tp_base to a type that is known.
static void find_bases(struct repr *repr, struct repr_class *class)
{
    uint64_t type = class->addr;
    for (int i = 0; i < 64 && type; i++) {
        struct py_type_info info;
        if (!is_type(repr, type, &info))
            return;
        class->base = find_base(repr, &info);
        if (class->base) {
            class->base_addr = type;
            return;
        }
        if (is_of_python(repr, &info) && !class->own_repr)
            class->own_repr = own_attr(repr, type, "__repr__") != 0;
        if (!repr_read(repr, type, PY_TYPE_base, &type))
            return;
    }
}

static bool has_enum_meta(struct repr *repr, uint64_t type)
{
    struct py_type_info meta;
    if (!repr_ok(repr, py_type_of(repr->dec, type, &meta)) || !meta.heap)
        return false;
    // enum.EnumMeta; EnumType from 3.11 on. Those that derive from it are rare.
    return strtab_is(repr->dec->strings, meta.name, "EnumMeta") ||
           strtab_is(repr->dec->strings, meta.name, "EnumType");
}

static void describe(struct repr *repr, struct repr_class *class)
{
    class->is_type = class->info.flags & TPFLAGS_TYPE;
    class->of_python = is_of_python(repr, &class->info);
    find_bases(repr, class);
    if (!class->of_python || class->is_type)
        return;
    class->is_enum = has_enum_meta(repr, class->addr);
    bool tuple = class->info.flags & TPFLAGS_TUPLE;
    if (!class->is_enum && (tuple || !class->base))
        repr_class_attr(repr, class, tuple ? "_fields" : "__dataclass_fields__", &class->fields);
}

const struct repr_class *repr_class(struct repr *repr, uint64_t type)
{
    struct py_type_info info;
    vec_foreach (known, &repr->classes)
        if ((*known)->addr == type)
            return *known;
    if (!is_type(repr, type, &info))
        return NULL;
    struct repr_class *class = calloc(1, sizeof(*class));
    if (!class || !vec_push(&repr->classes, class)) {
        free(class);
        repr->no_memory = true;
        return NULL;
    }
    class->addr = type;
    class->info = info;
    describe(repr, class);
    return class;
}

const struct repr_class *repr_class_of(struct repr *repr, uint64_t object)
{
    uint64_t type;
    if (!object || object % 8 || !repr_read(repr, object, PY_OB_type, &type))
        return NULL;
    return repr_class(repr, type);
}

bool repr_class_attr(struct repr *repr, const struct repr_class *class, const char *name,
                     uint64_t *ret)
{
    uint64_t mro, count, type;
    *ret = 0;
    if (!repr_read(repr, class->addr, PY_TYPE_mro, &mro) ||
        !repr_ok(repr, py_expect(repr->dec, mro, PY_KIND_TUPLE, "mro")) ||
        !repr_read(repr, mro, PY_TUPLE_size, &count))
        return false;
    uint64_t items = mro + py_offset(&repr->dec->layout, PY_TUPLE_items);
    for (uint64_t i = 0; i < count && i < 64 && !*ret; i++) {
        struct py_type_info info;
        if (!repr_u64(repr, items + 8 * i, &type) || !is_type(repr, type, &info))
            return false;
        if (is_of_python(repr, &info))
            *ret = own_attr(repr, type, name);
    }
    return true;
}

const char *repr_type_name(struct repr *repr, const struct repr_class *class)
{
    const char *name = strtab_get(repr->dec->strings, class->info.name);
    return name ? name : "?";
}

const char *repr_short_name(struct repr *repr, const struct repr_class *class)
{
    const char *name = repr_type_name(repr, class), *dot = strrchr(name, '.');
    return dot && dot[1] ? dot + 1 : name;
}

void repr_full_name(struct repr *repr, const struct repr_class *class)
{
    uint64_t qualname = 0;
    char module[256], name[512];
    size_t size;
    if (!class->info.heap) {
        repr_puts(repr, repr_type_name(repr, class));
        return;
    }
    uint64_t module_name = own_attr(repr, class->addr, "__module__");
    if (module_name && repr_key(repr, module_name, module, sizeof(module), &size) &&
        strcmp(module, "builtins") != 0)
        repr_printf(repr, "%s.", module);
    if (repr_read(repr, class->addr, PY_HT_qualname, &qualname) &&
        repr_key(repr, qualname, name, sizeof(name), &size))
        repr_puts(repr, name);
    else
        repr_puts(repr, repr_short_name(repr, class));
}
