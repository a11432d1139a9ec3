// SPDX-License-Identifier: GPL-3.0-or-later
// The ELF files behind modules, for those who read unwind tables and debug information from them.
#ifndef IMAGE_ELF_H
#define IMAGE_ELF_H

#include <gelf.h>

#include "image/image.h"

// The module's own file, or, where none can be had, an ELF image rebuilt from the target's memory:
// program headers (PT_LOADs without bytes, PT_GNU_EH_FRAME), .eh_frame_hdr and .eh_frame, no
// section headers; the vDSO's is complete. NULL: none, also where some of these bytes are not
// there. Addresses in it are the file's: add module->bias. Lives as long as the image.
Elf *image_elf(struct image *image, struct module *module);
// The separate debug file's: by build ID, by .gnu_debuglink, by debuginfod where that was allowed.
// NULL: none. Its .debug_frame may know more, its program headers' offsets mean nothing. May wait
// for the network: never under a stop, and only for modules that lie on a stack.
Elf *image_debug_elf(struct image *image, struct module *module);
// The same, but only what is on this machine, or was fetched before.
Elf *image_local_debug_elf(struct image *image, struct module *module);

// The first section of that name that has bytes of its own (SHT_PROGBITS); NULL: none. `elf` may be NULL.
// *ret is its header.
Elf_Scn *image_elf_section(Elf *elf, const char *name, GElf_Shdr *ret);

// Code that was made at run time and registered for debuggers (GDB's JIT interface: the symbol
// __jit_debug_descriptor, gdb manual "JIT Interface"; CPython 3.15's JIT uses it).
struct image_jit {
    uint64_t start, end; // of its code
    uint64_t bias;       // 0: the image has the code's own addresses
    Elf *elf;            // lives until the next image_jit_refresh
};
// Reads the list of registered objects again. Cheap when nothing changed; nothing is there in most
// programs. `mem` is where to read it from.
void image_jit_refresh(struct image *image, struct mem *mem);
// Another number when what image_jit_at() returns may have changed: rows made from it are void.
uint64_t image_jit_generation(const struct image *image);
const struct image_jit *image_jit_at(const struct image *image, uint64_t addr);

#endif
