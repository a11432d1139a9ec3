// SPDX-License-Identifier: GPL-3.0-or-later
// sys.modules, and what modules say of themselves.
#ifndef CPYTHON_MODULES_H
#define CPYTHON_MODULES_H

#include "cpython/decoder.h"

// sys.modules of an interpreter; 0: it has none yet.
struct err *py_modules(struct py_decoder *dec, uint64_t interp, uint64_t *ret);
// An attribute of sys.modules[module], which is a str; 0: no such module, or none that is one.
struct err *py_module_text(struct py_decoder *dec, uint64_t modules, const char *module,
                           const char *attribute, uint32_t *ret);

#endif
