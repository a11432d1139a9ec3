// SPDX-License-Identifier: GPL-3.0-or-later
// Names for C callables, in the words that Python's own profilers use: what the profiler module
// makes of a PyCFunction (Modules/_lsprof.c, normalizeUserObj), with the angle brackets of repr()
// as the braces that pstats prints.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/limits.h"

#define METHOD_DEF_BYTES 32 // sizeof(PyMethodDef): name, function, flags, doc
#define METHOD_TABLE_LIMIT 512
#define BASES_LIMIT 32 // times the line above is what hostile memory can make us read
#define NAME_LIMIT 256
#define TPFLAGS_IMMUTABLE (1ull << 8) // 3.10+: a heap type that C code made for good

static struct err *set(struct py_decoder *dec, const char *name, const char *qualname,
                       uint32_t *ret_name, uint32_t *ret_qualname)
{
    *ret_name = strtab_add_cstr(dec->strings, name);
    *ret_qualname = strtab_add_cstr(dec->strings, qualname);
    return *ret_name && *ret_qualname ? NULL : err_create(ERR_NO_MEMORY, "name");
}

// The type that defines a method: the one in the base chain whose method table holds its entry.
static struct err *defining_type(struct py_decoder *dec, uint64_t type, uint64_t ml, uint64_t *ret)
{
    const struct py_layout *lay = &dec->layout;
    // PyTypeObject: tp_methods, tp_members, tp_getset, tp_base follow each other in all versions
    // (Include/cpython/object.h).
    uint32_t methods_offset = py_offset(lay, PY_TYPE_base) - 24;
    *ret = 0;
    for (int depth = 0; type && depth < BASES_LIMIT; depth++) {
        uint64_t table;
        TRY(mem_read_u64(dec->mem, type + methods_offset, &table));
        bool inside = table && ml >= table && (ml - table) % METHOD_DEF_BYTES == 0 &&
                      (ml - table) / METHOD_DEF_BYTES < METHOD_TABLE_LIMIT;
        for (uint64_t at = table; inside && at < ml; at += METHOD_DEF_BYTES) {
            uint64_t name;
            TRY(mem_read_u64(dec->mem, at, &name));
            inside = name != 0;
        }
        if (inside) {
            *ret = type;
            return NULL;
        }
        TRY(py_read(dec->mem, lay, type, PY_TYPE_base, &type));
    }
    return NULL;
}

static struct err *describe_method(struct py_decoder *dec, const char *what, const char *name,
                                   uint64_t type, uint32_t *ret_name, uint32_t *ret_qualname)
{
    struct py_type_info info;
    TRY(py_type_info(dec, type, &info));
    AUTO_FREE char *text = NULL;
    const char *type_name = strtab_get(dec->strings, info.name);
    if (asprintf(&text, "{%s '%s' of '%s' objects}", what, name, type_name) < 0)
        return err_create(ERR_NO_MEMORY, "name");
    return set(dec, name, text, ret_name, ret_qualname);
}

static struct err *describe_builtin(struct py_decoder *dec, uint64_t object, uint32_t *ret_name,
                                    uint32_t *ret_qualname)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t ml, self, module, name_addr;
    TRY(py_read(dec->mem, lay, object, PY_CFUNC_ml, &ml));
    TRY(py_read(dec->mem, lay, object, PY_CFUNC_self, &self));
    TRY(py_read(dec->mem, lay, object, PY_CFUNC_module, &module));
    TRY(py_read(dec->mem, lay, ml, PY_ML_name, &name_addr));
    AUTO_FREE char *name = NULL;
    TRY(mem_read_cstr(dec->mem, name_addr, NAME_LIMIT, &name));
    struct py_type_info self_type = {0};
    if (self)
        TRY(py_type_of(dec, self, &self_type));
    if (self && self_type.kind != PY_KIND_MODULE) {
        uint64_t type;
        TRY(defining_type(dec, self_type.addr, ml, &type));
        if (type)
            return describe_method(dec, "method", name, type, ret_name, ret_qualname);
    }
    AUTO_FREE char *module_name = NULL, *text = NULL;
    size_t size;
    if (module) {
        // Usually a str; whatever else it is leaves the function's bare name.
        struct err *err = py_str(dec, module, &module_name, &size);
        if (err && err_code(err) != ERR_BAD_DATA)
            return err;
        err_destroy(err);
    }
    if (asprintf(&text, "{built-in method %s%s%s}", module_name ? module_name : "",
                 module_name ? "." : "", name) < 0)
        return err_create(ERR_NO_MEMORY, "name");
    return set(dec, name, text, ret_name, ret_qualname);
}

static struct err *describe_descriptor(struct py_decoder *dec, const char *what, uint64_t object,
                                       uint32_t *ret_name, uint32_t *ret_qualname)
{
    uint64_t type, name_object;
    TRY(py_read(dec->mem, &dec->layout, object, PY_DESCR_type, &type));
    TRY(py_read(dec->mem, &dec->layout, object, PY_DESCR_name, &name_object));
    AUTO_FREE char *name = NULL;
    size_t size;
    TRY(py_str(dec, name_object, &name, &size));
    return describe_method(dec, what, name, type, ret_name, ret_qualname);
}

// A class implemented in C. Calling a Python class runs its Python __init__, which has a frame.
static struct err *describe_type(struct py_decoder *dec, uint64_t type, uint32_t *ret_name,
                                 uint32_t *ret_qualname)
{
    struct py_type_info info;
    TRY(py_type_info(dec, type, &info));
    if (info.heap)
        return NULL;
    const char *full = strtab_get(dec->strings, info.name), *dot = strrchr(full, '.');
    AUTO_FREE char *text = NULL;
    if (asprintf(&text, "{class '%s'}", full) < 0)
        return err_create(ERR_NO_MEMORY, "name");
    return set(dec, dot ? dot + 1 : full, text, ret_name, ret_qualname);
}

// functools.update_wrapper leaves a __name__ in the wrapper's own dict: functools.lru_cache, and all
// functions of numpy since 1.25, have one.
static struct err *own_name(struct py_decoder *dec, uint64_t object, char **ret)
{
    uint64_t value;
    size_t size;
    struct err *err = py_instance_attr(dec, object, "__name__", &value);
    if (!err && value)
        err = py_str(dec, value, ret, &size);
    if (!err || err_code(err) == ERR_FAULT || err_code(err) == ERR_NO_MEMORY)
        return err;
    err_destroy(err);
    return NULL;
}

// Cython's functions begin like a PyCFunctionObject (Cython/Utility/CythonFunction.c). Their type is
// called so, behind "_cython_3_0." or whatever that version's binary interface is called.
bool py_is_cython_function(const char *type)
{
    const char *dot = strrchr(type, '.');
    return strcmp(dot ? dot + 1 : type, "cython_function_or_method") == 0 &&
           (!dot || strncmp(type, "_cython_", 8) == 0);
}

// Callable objects of C types (functools.partial, numpy.ufunc, ...). Those of classes written in
// Python are left out: their __call__ has a frame of its own.
static struct err *describe_object(struct py_decoder *dec, uint64_t object,
                                   const struct py_type_info *info, uint32_t *ret_name,
                                   uint32_t *ret_qualname)
{
    const char *name = strtab_get(dec->strings, info->name);
    if (py_is_cython_function(name))
        return describe_builtin(dec, object, ret_name, ret_qualname);
    bool of_c = !info->heap || (info->flags & TPFLAGS_IMMUTABLE);
    if (!of_c || info->kind != PY_KIND_OTHER)
        return NULL;
    // 3.6 and 3.7 put a bound method's self in its place before they call (call_function() in
    // Python/ceval.c). PyTypeObject: tp_call, tp_str.
    uint64_t call;
    TRY(mem_read_u64(dec->mem, info->addr + py_offset(&dec->layout, PY_TYPE_str) - 8, &call));
    if (!call)
        return NULL;
    const char *dot = strrchr(name, '.');
    AUTO_FREE char *text = NULL, *own = NULL;
    TRY(own_name(dec, object, &own));
    if (asprintf(&text, own ? "{%s object '%s'}" : "{%s object}", name, own) < 0)
        return err_create(ERR_NO_MEMORY, "name");
    return set(dec, own ? own : dot ? dot + 1 : name, text, ret_name, ret_qualname);
}

struct err *py_describe_callable(struct py_decoder *dec, uint64_t object, uint32_t *ret_name,
                                 uint32_t *ret_qualname)
{
    struct py_type_info info;
    *ret_name = *ret_qualname = 0;
    TRY(py_type_of(dec, object, &info));
    switch (info.kind) {
    case PY_KIND_BUILTIN:
        return describe_builtin(dec, object, ret_name, ret_qualname);
    case PY_KIND_METHOD_DESCRIPTOR:
    case PY_KIND_CLASS_METHOD_DESCRIPTOR:
        return describe_descriptor(dec, "method", object, ret_name, ret_qualname);
    case PY_KIND_SLOT_WRAPPER:
        return describe_descriptor(dec, "slot wrapper", object, ret_name, ret_qualname);
    case PY_KIND_BOUND_METHOD: {
        uint64_t function;
        struct py_type_info inner;
        TRY(py_read(dec->mem, &dec->layout, object, PY_METHOD_func, &function));
        TRY(py_type_of(dec, function, &inner));
        if (inner.kind == PY_KIND_BOUND_METHOD)
            return NULL;
        return py_describe_callable(dec, function, ret_name, ret_qualname);
    }
    case PY_KIND_TYPE:
        return describe_type(dec, object, ret_name, ret_qualname);
    default:
        break;
    }
    return describe_object(dec, object, &info, ret_name, ret_qualname);
}

struct err *py_describe_special(struct py_decoder *dec, uint64_t object, const char *method,
                                uint32_t *ret_name, uint32_t *ret_qualname)
{
    const struct py_layout *lay = &dec->layout;
    struct py_type_info info;
    *ret_name = *ret_qualname = 0;
    TRY(py_type_of(dec, object, &info));
    // Looked up by name in the C method tables: a class written in Python has none, and its
    // method has a frame of its own.
    uint64_t type = info.addr;
    for (int depth = 0; type && depth < BASES_LIMIT; depth++) {
        uint64_t table, name_addr;
        TRY(mem_read_u64(dec->mem, type + py_offset(lay, PY_TYPE_base) - 24, &table));
        for (int i = 0; table && i < METHOD_TABLE_LIMIT; i++, table += METHOD_DEF_BYTES) {
            TRY(mem_read_u64(dec->mem, table, &name_addr));
            if (!name_addr)
                break;
            AUTO_FREE char *name = NULL;
            TRY(mem_read_cstr(dec->mem, name_addr, NAME_LIMIT, &name));
            if (strcmp(name, method) == 0)
                return describe_method(dec, "method", method, type, ret_name, ret_qualname);
        }
        TRY(py_read(dec->mem, lay, type, PY_TYPE_base, &type));
    }
    return NULL;
}
