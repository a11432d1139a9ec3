// SPDX-License-Identifier: GPL-3.0-or-later
// Names for the stubs of the procedure linkage table, which symbol tables do not have: "read@plt",
// as gdb and objdump call them. Told from the code, which jumps through a slot that a relocation
// names; linkers order these tables as they like.
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "symbol_table.h"
#include "util/guard.h"

#define SUFFIX "@plt"
#define MAX_STUBS 1000000
#define MAX_TEXT (64u << 20)

// Slots of the global offset table, by address; .value: where the symbol's name lies.
struct slots {
    struct image_spans spans;
    const char *names;
    size_t names_bytes;
};

static const char *name_at(const struct slots *slots, uint64_t offset)
{
    const char *name = offset < slots->names_bytes ? slots->names + offset : NULL;
    return name && *name && memchr(name, '\0', slots->names_bytes - offset) ? name : NULL;
}

static void add_slots(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct slots *ret)
{
    Elf_Scn *symbols_section = elf_getscn(elf, header->sh_link);
    GElf_Shdr symbols_header;
    size_t names_bytes;
    if (!symbols_section || !gelf_getshdr(symbols_section, &symbols_header) ||
        symbols_header.sh_type != SHT_DYNSYM)
        return;
    Elf_Data *symbols = elf_getdata(symbols_section, NULL);
    Elf_Data *relocations = elf_getdata(section, NULL);
    const char *names = image_elf_strings(elf, symbols_header.sh_link, &names_bytes);
    if (!symbols || !relocations || !names)
        return;
    ret->names = names; // of one ELF file there is one dynamic symbol table
    ret->names_bytes = names_bytes;
    GElf_Rela relocation;
    for (int i = 0; i < MAX_STUBS && gelf_getrela(relocations, i, &relocation); i++) {
        GElf_Sym symbol;
        uint64_t type = GELF_R_TYPE(relocation.r_info);
        if ((type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) &&
            gelf_getsym(symbols, (int)GELF_R_SYM(relocation.r_info), &symbol) &&
            !image_spans_add(&ret->spans, relocation.r_offset, relocation.r_offset + 8,
                             symbol.st_name))
            return;
    }
}

// jmp *disp32(%rip), behind an endbr64 or a bnd prefix if there is one.
static bool jump_slot(const uint8_t *stub, size_t size, uint64_t addr, uint64_t *ret)
{
    for (size_t i = 0; i + 6 <= size && i <= 5; i++) {
        int32_t displacement;
        if (stub[i] != 0xff || stub[i + 1] != 0x25)
            continue;
        memcpy(&displacement, stub + i + 2, sizeof(displacement));
        *ret = addr + i + 6 + (uint64_t)(int64_t)displacement;
        return true;
    }
    return false;
}

VEC_DEFINE(text, char);

static bool append(struct text *text, const char *name, uint64_t *ret_at)
{
    size_t size = strlen(name);
    if (text->count + size + sizeof(SUFFIX) > MAX_TEXT ||
        !vec_reserve(text, text->count + size + sizeof(SUFFIX)))
        return false;
    *ret_at = text->count;
    memcpy(text->items + text->count, name, size);
    memcpy(text->items + text->count + size, SUFFIX, sizeof(SUFFIX));
    text->count += size + sizeof(SUFFIX);
    return true;
}

// Until the text has its final place, names are offsets in it (function.limit, which these do not
// need: they have sizes).
static void add_stubs(struct image_symbols *symbols, const struct slots *slots, Elf_Scn *section,
                      const GElf_Shdr *header, struct text *text)
{
    size_t stub_bytes = header->sh_entsize == 8 ? 8 : 16;
    Elf_Data *data = header->sh_type == SHT_PROGBITS ? elf_getdata(section, NULL) : NULL;
    if (!data || !data->d_buf || header->sh_addr > UINT64_MAX - data->d_size)
        return;
    for (size_t at = 0; at + stub_bytes <= data->d_size && at / stub_bytes < MAX_STUBS;
         at += stub_bytes) {
        uint64_t slot, addr = header->sh_addr + at, name_offset;
        if (!jump_slot((const uint8_t *)data->d_buf + at, stub_bytes, addr, &slot))
            continue;
        const struct image_span *span = image_spans_find(&slots->spans, slot);
        const char *name = span ? name_at(slots, span->value) : NULL;
        if (!name || symbols->functions.count >= IMAGE_MAX_SYMBOLS ||
            !append(text, name, &name_offset))
            continue;
        (void)vec_push(&symbols->functions, (struct function_symbol){.start = addr,
                                                                     .size = stub_bytes,
                                                                     .limit = name_offset,
                                                                     .binding = STB_LOCAL});
    }
}

static void add_plt(struct image_symbols *symbols, Elf *elf, struct slots *slots, struct text *text)
{
    size_t names_index;
    if (elf_getshdrstrndx(elf, &names_index) != 0)
        return;
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    while ((section = elf_nextscn(elf, section)))
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_RELA)
            add_slots(elf, section, &header, slots);
    if (!image_spans_sort(&slots->spans) || !image_spans_flatten(&slots->spans))
        return;
    while ((section = elf_nextscn(elf, section))) {
        const char *name =
            gelf_getshdr(section, &header) ? elf_strptr(elf, names_index, header.sh_name) : NULL;
        if (name && strncmp(name, ".plt", 4) == 0 && (header.sh_flags & SHF_EXECINSTR))
            add_stubs(symbols, slots, section, &header, text);
    }
}

void symbol_table_add_plt(struct image_symbols *symbols, Elf *elf)
{
    GElf_Ehdr header;
    struct slots slots = {.names = NULL};
    struct text text = {0};
    size_t first = symbols->functions.count;
    if (!elf || gelf_getclass(elf) != ELFCLASS64 || !gelf_getehdr(elf, &header) ||
        header.e_machine != EM_X86_64)
        return;
    add_plt(symbols, elf, &slots, &text);
    vec_deinit(&slots.spans);
    if (!text.items || !vec_push(&symbols->bytes, text.items)) {
        symbols->functions.count = first;
        vec_deinit(&text);
        return;
    }
    for (size_t i = first; i < symbols->functions.count; i++)
        symbols->functions.items[i].name = text.items + symbols->functions.items[i].limit;
}
