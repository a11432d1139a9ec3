// SPDX-License-Identifier: GPL-3.0-or-later
// See cpython/modules.h.
#include "cpython/modules.h"

#include "util/guard.h"

struct err *py_modules(struct py_decoder *dec, uint64_t interp, uint64_t *ret)
{
    *ret = 0;
    return interp ? py_read(dec->mem, &dec->layout, interp, PY_IS_modules, ret) : NULL;
}

struct err *py_module_text(struct py_decoder *dec, uint64_t modules, const char *module,
                           const char *attribute, uint32_t *ret)
{
    uint64_t object, dict;
    *ret = 0;
    TRY(py_dict_get(dec, modules, module, &object));
    if (!object)
        return NULL;
    TRY(py_module_dict(dec, object, &dict));
    TRY(py_dict_get(dec, dict, attribute, &object));
    return object ? py_str_id(dec, object, ret) : NULL;
}
