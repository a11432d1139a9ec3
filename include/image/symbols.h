// SPDX-License-Identifier: GPL-3.0-or-later
// From addresses to names: what function, file and line a native program counter belongs to.
//
// Symbols of a module come from .symtab, .dynsym, .gnu_debugdata (MiniDebugInfo) and a separate
// debug file, sorted once and searched by halves. Lines and inlined calls come from DWARF, when
// there is some. Without a file, the dynamic symbols in the target's memory are used.
#ifndef IMAGE_SYMBOLS_H
#define IMAGE_SYMBOLS_H

#include "image/image.h"

struct image_symbol {
    const char *name;     // demangled (C++, Rust); owned by the image
    const char *raw_name; // as the symbol table has it
    uint64_t start, size; // in the target; size 0: not known
};

// The function that addr lies in; of several at one address the one that people know it by (global
// before local, no compiler-made names). False: none, also in the gap behind a symbol whose size
// is known. `module` NULL: code made at run time that was registered for debuggers (image/elf.h).
bool image_symbol_at(struct image *image, struct module *module, uint64_t addr,
                     struct image_symbol *ret);

struct image_location {
    const char *function; // of the inlined call; NULL for the function itself: use its symbol
    const char *file;     // as DWARF has it, absolute where it can be made so; NULL: not known
    int32_t line;         // -1: not known
    bool inlined;         // it was inlined into the next one
};
// Innermost first: calls that were inlined at addr, and then the function itself. Returns how many
// (at most `limit`); 0: no DWARF for that address. The strings are the image's.
size_t image_locations(struct image *image, struct module *module, uint64_t addr,
                       struct image_location *ret, size_t limit);

#endif
