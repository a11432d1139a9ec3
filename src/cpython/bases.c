// SPDX-License-Identifier: GPL-3.0-or-later
// A class and what it is derived from: tp_mro, a tuple that begins with the class itself
// (Objects/typeobject.c, type_mro_internal).
#include "cpython/decoder.h"
#include "util/guard.h"
#include "util/limits.h"

struct walk {
    struct py_decoder *dec;
    py_base_visit *visit;
    void *arg;
    size_t count;
    struct err *err;
};

static bool visit_base(void *arg, uint64_t base)
{
    struct walk *walk = arg;
    struct py_type_info info;
    if (walk->count++ == 0) // the class itself
        return true;
    if (walk->count > LIMIT_MRO)
        return false;
    walk->err = py_type_info(walk->dec, base, &info);
    return !walk->err && walk->visit(walk->arg, &info);
}

struct err *py_bases_walk(struct py_decoder *dec, uint64_t type, py_base_visit *visit, void *arg)
{
    struct py_type_info info;
    uint64_t mro;
    TRY(py_type_info(dec, type, &info));
    if (!visit(arg, &info))
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_mro, &mro));
    if (!mro) // not ready yet
        return NULL;
    struct walk walk = {.dec = dec, .visit = visit, .arg = arg};
    TRY(py_tuple_walk(dec, mro, visit_base, &walk));
    return walk.err;
}
