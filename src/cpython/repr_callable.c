// SPDX-License-Identifier: GPL-3.0-or-later
// Functions, methods, classes, modules, generators, weak references, cells, functools.partial.
#include <stdlib.h>
#include <string.h>

#include "cpython/coroutine.h"
#include "repr_private.h"
#include "util/guard.h"
#include "util/redact.h"

typedef unsigned long long ull;

// A str as it is, without quotes; a name of an object.
static bool put_name(struct repr *repr, uint64_t object)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    if (!repr_ok(repr, py_str(repr->dec, object, &text, &size)))
        return false;
    AUTO_FREE char *shown =
        repr->options->show_secrets ? NULL : redact_path_bytes(text, size, &size);
    repr_put(repr, shown ? shown : text, size < repr->options->chars ? size : repr->options->chars);
    return true;
}

static bool put_field_name(struct repr *repr, uint64_t object, enum py_field_id field)
{
    uint64_t name;
    return repr_read(repr, object, field, &name) && put_name(repr, name);
}

bool repr_function(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    repr_puts(repr, "<function ");
    if (!put_field_name(repr, object, PY_FUNC_qualname))
        return false;
    repr_printf(repr, " at 0x%llx>", (ull)object);
    return true;
}

// "<bound method Class.name of <object>>"; of the object only what it is.
bool repr_method(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t function, self;
    struct py_type_info info;
    if (!repr_read(repr, object, PY_METHOD_func, &function) ||
        !repr_read(repr, object, PY_METHOD_self, &self) ||
        !repr_ok(repr, py_type_of(repr->dec, function, &info)))
        return false;
    repr_puts(repr, "<bound method ");
    if (info.kind != PY_KIND_FUNCTION || !put_field_name(repr, function, PY_FUNC_qualname))
        repr_puts(repr, "?");
    repr_puts(repr, " of ");
    const struct repr_class *of = repr_class_of(repr, self);
    if (of && of->is_type) {
        repr_object(repr, self);
    } else if (of) {
        repr_puts(repr, "<");
        repr_full_name(repr, of);
        repr_printf(repr, " object at 0x%llx>", (ull)self);
    } else {
        repr_puts(repr, "?");
    }
    repr_puts(repr, ">");
    return true;
}

// meth_repr, Objects/methodobject.c: a function of a module, or a method of what is bound.
bool repr_builtin(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t def, name_addr, self;
    AUTO_FREE char *name = NULL;
    if (!repr_read(repr, object, PY_CFUNC_ml, &def) ||
        !repr_read(repr, def, PY_ML_name, &name_addr) ||
        !repr_read(repr, object, PY_CFUNC_self, &self) ||
        !repr_ok(repr, mem_read_cstr(repr->dec->mem, name_addr, 256, &name)))
        return false;
    struct py_type_info info;
    bool of_module =
        !self || !repr_ok(repr, py_type_of(repr->dec, self, &info)) || info.kind == PY_KIND_MODULE;
    const struct repr_class *of = of_module ? NULL : repr_class_of(repr, self);
    if (of) {
        repr_printf(repr, "<built-in method %s of %s object at 0x%llx>", name,
                    repr_type_name(repr, of), (ull)self);
    } else {
        repr_printf(repr, "<built-in function %s>", name);
    }
    return true;
}

bool repr_module(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t name, dict, file = 0;
    if (!repr_read(repr, object, PY_MODULE_name, &name) ||
        !repr_read(repr, object, PY_MODULE_dict, &dict))
        return false;
    repr_puts(repr, "<module ");
    if (!repr_object(repr, name))
        return true;
    if (dict && repr_ok(repr, py_dict_get(repr->dec, dict, "__file__", &file)) && file &&
        !repr_is_none(repr, file)) {
        repr_puts(repr, " from ");
        repr_object(repr, file);
    } else if (dict && repr_ok(repr, py_dict_get(repr->dec, dict, "__loader__", &file)) && file &&
               !repr_is_none(repr, file)) {
        repr_puts(repr, " (built-in)");
    }
    repr_puts(repr, ">");
    return true;
}

bool repr_type(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    const struct repr_class *self = repr_class(repr, object);
    if (!self)
        return false;
    bool is_enum = class->of_python && self->is_enum;
    repr_puts(repr, is_enum ? "<enum '" : "<class '");
    if (is_enum)
        repr_puts(repr, repr_short_name(repr, self));
    else
        repr_full_name(repr, self);
    repr_puts(repr, "'>");
    return true;
}

// code_repr, Objects/codeobject.c. Never its constants: they are the program's literals.
bool repr_code(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t file, line;
    repr_puts(repr, "<code object ");
    if (!put_field_name(repr, object, PY_CO_name) ||
        !repr_read(repr, object, PY_CO_filename, &file) ||
        !repr_read(repr, object, PY_CO_firstlineno, &line))
        return false;
    repr_printf(repr, " at 0x%llx, file \"", (ull)object);
    if (!put_name(repr, file))
        return false;
    repr_printf(repr, "\", line %d>", (int32_t)line);
    return true;
}

// What is known by its type alone.
bool repr_opaque(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    repr_printf(repr, "<%s object at 0x%llx>", repr_type_name(repr, class), (ull)object);
    return true;
}

// ---- Generators ---------------------------------------------------------------------------------

bool repr_generator(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    // Lib/inspect.py, getgeneratorstate
    static const char *const names[] = {
        [PY_GEN_CREATED] = "created",
        [PY_GEN_SUSPENDED] = "suspended",
        [PY_GEN_RUNNING] = "running",
        [PY_GEN_DONE] = "closed",
    };
    enum py_generator_state read;
    bool known = repr_ok(repr, py_generator_state(repr->dec, object, &read));
    const char *state = known ? names[read] : NULL;
    repr_printf(repr, "<%s object ", repr_type_name(repr, class));
    if (!put_field_name(repr, object, PY_GEN_qualname))
        return false;
    repr_printf(repr, " at 0x%llx%s%s>", (ull)object, state ? ", " : "", state ? state : "");
    return true;
}

// ---- References ---------------------------------------------------------------------------------

bool repr_weakref(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t to;
    if (!repr_read(repr, object, PY_WEAKREF_object, &to))
        return false;
    const struct repr_class *of = repr_class_of(repr, to);
    if (repr_is_none(repr, to) || !of)
        repr_printf(repr, "<weakref at 0x%llx; dead>", (ull)object);
    else
        repr_printf(repr, "<weakref at 0x%llx; to '%s' at 0x%llx>", (ull)object,
                    repr_type_name(repr, of), (ull)to);
    return true;
}

bool repr_cell(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t to;
    if (!repr_read(repr, object, PY_CELL_ref, &to))
        return false;
    if (!to) {
        repr_printf(repr, "<cell at 0x%llx: empty>", (ull)object);
        return true;
    }
    if (!repr_enter(repr, object, "<cell ...>", "cell", 1))
        return true;
    repr_printf(repr, "<cell at 0x%llx: ", (ull)object);
    repr_object(repr, to);
    repr_puts(repr, ">");
    repr_leave(repr);
    return true;
}

// partialobject, Modules/_functoolsmodule.c: fn, args, kw behind the head.
bool repr_partial(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t parts[3];
    struct py_type_info args, kw;
    if (!repr_bytes(repr, object + repr_head(repr), parts, sizeof(parts)) ||
        !repr_ok(repr, py_type_of(repr->dec, parts[1], &args)) || args.kind != PY_KIND_TUPLE ||
        !repr_ok(repr, py_type_of(repr->dec, parts[2], &kw)) || kw.kind != PY_KIND_DICT)
        return false;
    if (!repr_enter(repr, object, "functools.partial(...)", "partial", 1))
        return true;
    repr_printf(repr, "%s(", repr_type_name(repr, class));
    repr_object(repr, parts[0]);
    uint64_t count = 0;
    if (repr_read(repr, parts[1], PY_TUPLE_size, &count) && count) {
        repr_puts(repr, ", *");
        repr_object(repr, parts[1]);
    }
    if (repr_read(repr, parts[2], PY_DICT_used, &count) && count) {
        repr_puts(repr, ", **");
        repr_object(repr, parts[2]);
    }
    repr_puts(repr, ")");
    repr_leave(repr);
    return true;
}
