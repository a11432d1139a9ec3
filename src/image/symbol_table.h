// SPDX-License-Identifier: GPL-3.0-or-later
// The functions of one module, sorted, with names that are borrowed from where they were read.
#ifndef IMAGE_SYMBOL_TABLE_H
#define IMAGE_SYMBOL_TABLE_H

#include "image/image_private.h"
#include "spans.h"

// From this one on a library's table is cut: Chromium has one million.
#define IMAGE_MAX_SYMBOLS (8u << 20)

struct function_symbol {
    const char *name, *pretty; // pretty: NULL until asked for
    uint64_t start, size;      // in the file's addresses; size 0: not known
    uint64_t limit;            // where its section ends
    uint8_t binding;
};

struct image_symbols {
    VEC(struct function_symbol) functions;
    struct image_spans spans; // .value: index of a function
    VEC(Elf *) elfs;          // opened for this table: names lie in them
    VEC(void *) bytes;        // likewise
};

// Adds the functions of .symtab (or of .dynsym) of one ELF. False: it has no such table.
bool symbol_table_add_elf(struct image_symbols *symbols, Elf *elf, uint32_t table_type);
// Adds functions of a table that is already in memory; `limit` is where its module ends.
void symbol_table_add(struct image_symbols *symbols, const Elf64_Sym *table, size_t count,
                      const char *names, size_t names_bytes, uint64_t limit);
// Adds the stubs of the procedure linkage table: plt.c.
void symbol_table_add_plt(struct image_symbols *symbols, Elf *elf);
// To be called once, when all is added.
void symbol_table_finish(struct image_symbols *symbols);
struct function_symbol *symbol_table_find(const struct image_symbols *symbols, uint64_t addr);

// The ELF in .gnu_debugdata ("MiniDebugInfo" in gdb's manual), unpacked; NULL: none, or no
// liblzma. *ret_bytes is what it lies in, to be freed after elf_end().
Elf *minidebug_open(Elf *elf, void **ret_bytes);

#endif
