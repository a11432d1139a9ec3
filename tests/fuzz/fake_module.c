// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_module.h.
#include "fake_module.h"

#include <string.h>

#define AT(member) offsetof(struct fake_module, member)

static const char names[] = "\0work\0_PyRuntime\0__jit_debug_descriptor";
enum { NAME_WORK = 1, NAME_RUNTIME = 6, NAME_DESCRIPTOR = 17 };

static const char section_names[] = "\0.dynsym\0.dynstr\0.text\0.eh_frame\0.shstrtab";

static uint32_t gnu_hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static void fill_symbols(struct fake_module *module, uint64_t data)
{
    Elf64_Sym *symbols = module->symbols;
    symbols[1] = (Elf64_Sym){.st_name = NAME_WORK,
                             .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                             .st_shndx = 3,
                             .st_value = AT(text),
                             .st_size = 256};
    symbols[2] = (Elf64_Sym){.st_name = NAME_RUNTIME,
                             .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                             .st_shndx = 3,
                             .st_value = data,
                             .st_size = 4096};
    symbols[3] = symbols[2];
    symbols[3].st_name = NAME_DESCRIPTOR;
    symbols[3].st_size = 24;
    memcpy(module->names, names, sizeof(names));
    // One bucket each, of which the chain goes through all symbols.
    static const uint32_t hash[] = {1, 4, 1, 0, 2, 3, 0};
    uint32_t gnu_hash[] = {1,
                           1,
                           1,
                           6,
                           UINT32_MAX,
                           UINT32_MAX,
                           1,
                           gnu_hash_of(names + NAME_WORK) & ~1u,
                           gnu_hash_of(names + NAME_RUNTIME) & ~1u,
                           gnu_hash_of(names + NAME_DESCRIPTOR) | 1u};
    memcpy(module->hash, hash, sizeof(hash));
    memcpy(module->gnu_hash, gnu_hash, sizeof(gnu_hash));
    Elf64_Dyn dynamic[] = {
        {DT_SYMTAB, {AT(symbols)}},
        {DT_STRTAB, {AT(names)}},
        {DT_STRSZ, {sizeof(names)}},
        {DT_HASH, {AT(hash)}},
        {DT_GNU_HASH, {AT(gnu_hash)}},
        {DT_SYMENT, {sizeof(Elf64_Sym)}},
        {DT_NULL, {0}},
    };
    memcpy(module->dynamic, dynamic, sizeof(dynamic));
}

static size_t put_entry(uint8_t *at, uint32_t id, const void *body, uint32_t size)
{
    uint32_t length = 4 + (size + 3) / 4 * 4;
    memcpy(at, &length, 4);
    memcpy(at + 4, &id, 4);
    memset(at + 8, 0, length - 4); // DW_CFA_nop
    memcpy(at + 8, body, size);
    return 4 + (size_t)length;
}

// LSB core specification, "DWARF Extensions"; DWARF 5, 6.4.
static size_t fill_frames(struct fake_module *module)
{
    // Version 1, "zR": pointers are relative, of four bytes. CFA = rsp + 8, return address there.
    static const uint8_t cie[] = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1};
    // At first as the CIE says; after 4 bytes CFA = rsp + 16, rbp below; after 8 CFA = rbp + 16;
    // then an expression as in procedure linkage tables, and one for the return address.
    static const uint8_t rules[] = {0,    0x44, 0x0e, 16, 0x86, 2,    0x44, 0x0d, 6,    0x0a, 0x48,
                                    0x0f, 11,   0x77, 8,  0x80, 0,    0x3f, 0x1a, 0x3b, 0x2a, 0x33,
                                    0x24, 0x22, 0x10, 16, 3,    0x77, 16,   6,    0x44, 0x0b};
    uint8_t fde[8 + sizeof(rules)];
    size_t at = put_entry(module->eh_frame, 0, cie, sizeof(cie));
    for (int i = 0; i < 2; i++) {
        int32_t start = (int32_t)(AT(text) + (size_t)i * 256) - (int32_t)(AT(eh_frame) + at + 8);
        uint32_t size = 256;
        memcpy(fde, &start, 4);
        memcpy(fde + 4, &size, 4);
        memcpy(fde + 8, rules, sizeof(rules));
        at +=
            put_entry(module->eh_frame + at, (uint32_t)at + 4, fde, i ? 9 : (uint32_t)sizeof(fde));
    }
    // Without a search table: libdw then goes from entry to entry.
    uint8_t head[8] = {1, 0x1b, 0xff, 0xff};
    int32_t distance = (int32_t)AT(eh_frame) - (int32_t)(AT(eh_frame_hdr) + 4);
    memcpy(head + 4, &distance, 4);
    memcpy(module->eh_frame_hdr, head, sizeof(head));
    return at + 4;
}

static Elf64_Phdr segment(uint32_t type, uint64_t at, uint64_t size)
{
    return (Elf64_Phdr){.p_type = type,
                        .p_flags = PF_R | PF_X,
                        .p_offset = at,
                        .p_vaddr = at,
                        .p_paddr = at,
                        .p_filesz = size,
                        .p_memsz = size,
                        .p_align = type == PT_LOAD ? 4096 : 4};
}

static void fill_headers(struct fake_module *module)
{
    module->header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = AT(phdrs),
        .e_shoff = AT(sections),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 4,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = 6,
        .e_shstrndx = 5};
    module->phdrs[0] = segment(PT_LOAD, 0, sizeof(*module));
    module->phdrs[1] = segment(PT_DYNAMIC, AT(dynamic), sizeof(module->dynamic));
    module->phdrs[2] = segment(PT_GNU_EH_FRAME, AT(eh_frame_hdr), sizeof(module->eh_frame_hdr));
    module->phdrs[3] = segment(PT_NOTE, AT(build_id), sizeof(module->build_id));
    module->build_id.header = (Elf64_Nhdr){4, 20, NT_GNU_BUILD_ID};
    memcpy(module->build_id.name, "GNU", 4);
    memset(module->build_id.id, 0x5a, sizeof(module->build_id.id));
}

static Elf64_Shdr section(uint32_t name, uint32_t type, uint64_t at, uint64_t size)
{
    return (Elf64_Shdr){.sh_name = name,
                        .sh_type = type,
                        .sh_flags = SHF_ALLOC,
                        .sh_addr = at,
                        .sh_offset = at,
                        .sh_size = size,
                        .sh_addralign = 1};
}

static void fill_sections(struct fake_module *module)
{
    memcpy(module->section_names, section_names, sizeof(section_names));
    Elf64_Shdr *sections = module->sections;
    sections[1] = section(1, SHT_DYNSYM, AT(symbols), sizeof(module->symbols));
    sections[1].sh_link = 2;
    sections[1].sh_entsize = sizeof(Elf64_Sym);
    sections[2] = section(9, SHT_STRTAB, AT(names), sizeof(module->names));
    sections[3] = section(17, SHT_PROGBITS, AT(text), sizeof(module->text));
    sections[3].sh_flags |= SHF_EXECINSTR;
    sections[4] = section(23, SHT_PROGBITS, AT(eh_frame), sizeof(module->eh_frame));
    sections[5] = section(33, SHT_STRTAB, AT(section_names), sizeof(module->section_names));
    sections[5].sh_flags = 0;
}

size_t fake_module(struct fake_module *ret, uint64_t data)
{
    memset(ret, 0, sizeof(*ret));
    fill_headers(ret);
    fill_symbols(ret, data);
    fill_sections(ret);
    memset(ret->text, 0x90, sizeof(ret->text)); // nop
    for (size_t i = 16; i + 16 < sizeof(ret->text); i += 16)
        memcpy(ret->text + i - 5, "\xe8\x00\x00\x00\x00", 5); // call
    return fill_frames(ret);
}
