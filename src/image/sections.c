// SPDX-License-Identifier: GPL-3.0-or-later
// Sections of an ELF file by their names and numbers.
#include <string.h>

#include "image/elf.h"
#include "image/image_private.h"

Elf_Scn *image_elf_section(Elf *elf, const char *name, GElf_Shdr *ret)
{
    size_t names_index;
    if (!elf || elf_getshdrstrndx(elf, &names_index) != 0)
        return NULL;
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        const char *its =
            gelf_getshdr(section, ret) ? elf_strptr(elf, names_index, ret->sh_name) : NULL;
        if (its && ret->sh_type == SHT_PROGBITS && strcmp(its, name) == 0)
            return section;
    }
    return NULL;
}

const char *image_elf_strings(Elf *elf, size_t index, size_t *ret_bytes)
{
    Elf_Scn *section = elf_getscn(elf, index);
    GElf_Shdr header;
    Elf_Data *data = section && gelf_getshdr(section, &header) && header.sh_type == SHT_STRTAB
                         ? elf_getdata(section, NULL)
                         : NULL;
    *ret_bytes = data && data->d_buf ? data->d_size : 0;
    return *ret_bytes ? data->d_buf : NULL;
}
