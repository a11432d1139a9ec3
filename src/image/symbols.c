// SPDX-License-Identifier: GPL-3.0-or-later
// Symbols and sections by name, from a module's file, its debug file, or its memory. Few names are
// asked of a module, so tables are scanned, not indexed.
#include "image/image_private.h"

#include <gelf.h>
#include <string.h>

#include "util/guard.h"

static bool is_place(const GElf_Sym *symbol)
{
    int type = GELF_ST_TYPE(symbol->st_info);
    return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS &&
           symbol->st_shndx != SHN_COMMON && type != STT_TLS && type != STT_SECTION &&
           type != STT_FILE;
}

static bool scan(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, const char *name,
                 GElf_Sym *ret)
{
    size_t names_size;
    const char *names = image_elf_strings(elf, header->sh_link, &names_size);
    Elf_Data *data = elf_getdata(section, NULL);
    if (!names || names[names_size - 1] != '\0' || !data || header->sh_entsize != sizeof(Elf64_Sym))
        return false;
    bool found_local = false;
    for (int i = 0; i < (int)(data->d_size / sizeof(Elf64_Sym)); i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, i, &symbol) || symbol.st_name >= names_size ||
            names[symbol.st_name] != *name || strcmp(names + symbol.st_name, name) != 0 ||
            !is_place(&symbol))
            continue;
        *ret = symbol;
        if (GELF_ST_BIND(symbol.st_info) != STB_LOCAL)
            return true;
        found_local = true; // a static of the same name must not hide the global one
    }
    return found_local;
}

// The dynamic table first: it is small, and has every symbol that others can bind to. *has_table
// says whether the file could answer at all.
static bool find_in_elf(Elf *elf, const char *name, bool *has_table, GElf_Sym *ret)
{
    static const uint32_t types[] = {SHT_DYNSYM, SHT_SYMTAB};
    for (size_t i = 0; elf && i < ARRAY_SIZE(types); i++) {
        for (Elf_Scn *section = elf_nextscn(elf, NULL); section;
             section = elf_nextscn(elf, section)) {
            GElf_Shdr header;
            if (!gelf_getshdr(section, &header) || header.sh_type != types[i] ||
                header.sh_size == 0)
                continue;
            *has_table = true;
            if (scan(elf, section, &header, name, ret))
                return true;
        }
    }
    return false;
}

bool image_symbol(struct image *image, struct module *module, const char *name, uint64_t *ret_addr,
                  uint64_t *ret_size)
{
    struct image_module *self = (struct image_module *)module;
    GElf_Sym symbol;
    bool has_table = false, has_debug_table = false;
    if (image->record)
        return image_record_symbol(self, name, ret_addr, ret_size);
    if (find_in_elf(image_module_elf(self), name, &has_table, &symbol) ||
        find_in_elf(image_module_debug_elf(self), name, &has_debug_table, &symbol)) {
        *ret_addr = module->bias + symbol.st_value;
        *ret_size = symbol.st_size;
        return true;
    }
    // No file, or one whose section headers were stripped off. A debug file's table is no substitute
    // for the dynamic one: it has other names for the same (clock_getres@@GLIBC_2.17).
    return !has_table && image_dynamic_symbol(image->target->mem, self, name, ret_addr, ret_size);
}

static bool find_section(Elf *elf, const char *name, GElf_Shdr *ret)
{
    size_t names_index;
    if (!elf || elf_getshdrstrndx(elf, &names_index) != 0)
        return false;
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        if (!gelf_getshdr(section, ret) || !(ret->sh_flags & SHF_ALLOC))
            continue;
        const char *found = elf_strptr(elf, names_index, ret->sh_name);
        if (found && strcmp(found, name) == 0)
            return true;
    }
    return false;
}

bool image_section(struct image *image, struct module *module, const char *name, uint64_t *ret_addr,
                   uint64_t *ret_size)
{
    struct image_module *self = (struct image_module *)module;
    GElf_Shdr header;
    if (image->record)
        return image_record_section(self, name, ret_addr, ret_size);
    if (!find_section(image_module_elf(self), name, &header) &&
        !find_section(image_module_debug_elf(self), name, &header))
        return false;
    *ret_addr = module->bias + header.sh_addr;
    *ret_size = header.sh_size;
    return true;
}
