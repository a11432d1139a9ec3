// SPDX-License-Identifier: GPL-3.0-or-later
// threading's names: sys.modules["threading"]._active maps idents to Thread objects, whose _name
// is a plain attribute in every version (Lib/threading.py).
#include "cpython/modules.h"
#include "cpython/process.h"
#include "util/guard.h"

struct pair {
    uint64_t key, value;
};

struct pairs {
    VEC(struct pair) list;
};

static bool collect(void *arg, uint64_t key, uint64_t value)
{
    struct pairs *pairs = arg;
    return vec_push(&pairs->list, (struct pair){key, value});
}

static struct err *name_of(struct py_decoder *dec, const struct pair *pair,
                           struct py_thread_names *ret)
{
    int64_t ident;
    uint64_t object;
    uint32_t name;
    TRY(py_int(dec, pair->key, &ident));
    TRY(py_instance_attr(dec, pair->value, "_name", &object));
    if (!object)
        return NULL;
    TRY(py_str_id(dec, object, &name));
    return vec_push(ret, (struct py_thread_name){(uint64_t)ident, name})
               ? NULL
               : err_create(ERR_NO_MEMORY, "thread names");
}

// Finding the dict means reading the keys of sys.modules, so its address is kept: threading never
// replaces it (Lib/threading.py empties it after a fork).
static struct err *find_active(struct py_process *process, uint64_t interp, uint64_t *ret)
{
    struct py_decoder *dec = &process->dec;
    uint64_t modules, module, dict;
    size_t slot = interp / 64 % ARRAY_SIZE(process->active);
    struct py_type_info type;
    *ret = 0;
    if (process->active[slot].interp == interp) {
        AUTO_ERR struct err *err = py_type_of(dec, process->active[slot].dict, &type);
        if (!err && type.kind == PY_KIND_DICT) {
            *ret = process->active[slot].dict;
            return NULL;
        }
    }
    TRY(py_modules(dec, interp, &modules));
    if (!modules)
        return NULL;
    TRY(py_dict_get(dec, modules, "threading", &module));
    if (!module)
        return NULL;
    TRY(py_module_dict(dec, module, &dict));
    TRY(py_dict_get(dec, dict, "_active", ret));
    if (!*ret)
        return NULL;
    TRY(py_expect(dec, *ret, PY_KIND_DICT, "threading._active"));
    process->active[slot].interp = interp;
    process->active[slot].dict = *ret;
    return NULL;
}

struct err *py_thread_names(struct py_process *process, uint64_t interp,
                            struct py_thread_names *ret)
{
    struct py_decoder *dec = &process->dec;
    uint64_t active;
    TRY(find_active(process, interp, &active));
    if (!active)
        return NULL;
    struct pairs pairs = {0};
    struct err *err = py_dict_walk(dec, active, collect, &pairs);
    vec_foreach (pair, &pairs.list) {
        // A thread whose name is damaged costs the others nothing.
        struct err *one = name_of(dec, pair, ret);
        err_destroy(one);
    }
    vec_deinit(&pairs.list);
    return err;
}
