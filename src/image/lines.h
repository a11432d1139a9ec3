// SPDX-License-Identifier: GPL-3.0-or-later
// What is kept of one module's DWARF: where its units and functions lie, found out when first asked.
#ifndef IMAGE_LINES_H
#define IMAGE_LINES_H

#include <elfutils/libdw.h>

#include "image/image_private.h"
#include "spans.h"

struct image_unit {
    Dwarf_Off offset; // of its DIE
    uint64_t bytes;   // of the unit: it has no more DIEs
    bool listed;
    struct image_spans functions; // .value: offset of a DW_TAG_subprogram
};

struct image_lines {
    Dwarf *dwarf, *alt;
    struct image_file alt_file;
    VEC(struct image_unit) units;
    struct image_spans spans; // .value: index of a unit
};

// The DWARF of `elf`, with the file that dwz put shared parts into; false: none, or that is amiss.
bool image_dwarf_open(struct image_module *module, Elf *elf, struct image_lines *ret);
// The unit at an address of the file and the function's DIE therein (assembly code has none).
// False: none known.
bool image_lines_find(struct image_lines *lines, uint64_t addr, Dwarf_Die *ret_unit,
                      Dwarf_Die *ret_function, bool *ret_has_function);

#endif
