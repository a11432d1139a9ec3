// SPDX-License-Identifier: GPL-3.0-or-later
// The call frame information of one module, through libdw.
#ifndef UNWIND_TABLE_H
#define UNWIND_TABLE_H

#include "unwind/rows.h"

struct cfi_table;

struct cfi_table *cfi_table_open(struct image *image, struct module *module);
void cfi_table_close(struct cfi_table *table);
// The row for pc (in the target); NULL: none.
struct row *cfi_table_row(struct cfi_table *table, const struct arch_unwind *arch, uint64_t pc);
// The same for an ELF image that is asked once.
struct row *cfi_row_of_elf(Elf *elf, uint64_t bias, const struct arch_unwind *arch, uint64_t pc);

#endif
