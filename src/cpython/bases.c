// SPDX-License-Identifier: GPL-3.0-or-later
// A class and what it is derived from: tp_mro, a tuple that begins with the class itself
// (Objects/typeobject.c, type_mro_internal).
#include "cpython/decoder.h"
#include "util/guard.h"
#include "util/limits.h"

// Item by item: what lies behind the base that ends the walk is not asked for, and captures do not have it.
struct err *py_bases_walk(struct py_decoder *dec, uint64_t type, py_base_visit *visit, void *arg)
{
    struct py_type_info info;
    uint64_t mro, count, base;
    TRY(py_type_info(dec, type, &info));
    if (!visit(arg, &info))
        return NULL;
    TRY(py_read(dec->mem, &dec->layout, type, PY_TYPE_mro, &mro));
    if (!mro) // not ready yet
        return NULL;
    TRY(py_expect(dec, mro, PY_KIND_TUPLE, "mro"));
    TRY(py_read(dec->mem, &dec->layout, mro, PY_TUPLE_size, &count));
    for (size_t i = 1; i < count && i < LIMIT_MRO; i++) {
        TRY(py_tuple_item(dec, mro, i, &base));
        TRY(py_type_info(dec, base, &info));
        if (!visit(arg, &info))
            break;
    }
    return NULL;
}
