// SPDX-License-Identifier: GPL-3.0-or-later
// Unwind tables that are in no memory: .debug_frame of a module's file or of its debug file, kept
// as an ELF image with that section alone. Go's compiler and C libraries without .eh_frame have it.
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "record_store.h"
#include "util/guard.h"

static const char names[] = "\0.debug_frame\0.shstrtab";
enum { NAME_FRAME = 1, NAME_NAMES = 14, SECTIONS = 3 };

// ELF header, the section, the names, section headers.
static unsigned char *assemble(uint16_t type, uint16_t machine, uint64_t flags, const void *bytes,
                               size_t size, size_t *ret_size)
{
    size_t names_at = sizeof(Elf64_Ehdr) + size;
    size_t headers_at = (names_at + sizeof(names) + 7) & ~(size_t)7;
    unsigned char *elf = calloc(1, headers_at + SECTIONS * sizeof(Elf64_Shdr));
    if (!elf)
        return NULL;
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = type,
        .e_machine = machine,
        .e_version = EV_CURRENT,
        .e_shoff = headers_at,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SECTIONS,
        .e_shstrndx = SECTIONS - 1};
    Elf64_Shdr sections[SECTIONS] = {{0},
                                     {.sh_name = NAME_FRAME,
                                      .sh_type = SHT_PROGBITS,
                                      .sh_flags = flags,
                                      .sh_offset = sizeof(header),
                                      .sh_size = size,
                                      .sh_addralign = 8},
                                     {.sh_name = NAME_NAMES,
                                      .sh_type = SHT_STRTAB,
                                      .sh_offset = names_at,
                                      .sh_size = sizeof(names),
                                      .sh_addralign = 1}};
    memcpy(elf, &header, sizeof(header));
    if (size)
        memcpy(elf + sizeof(header), bytes, size);
    memcpy(elf + names_at, names, sizeof(names));
    memcpy(elf + headers_at, sections, sizeof(sections));
    *ret_size = headers_at + sizeof(sections);
    return elf;
}

bool record_add_frames(struct image_record *record, uint16_t type, uint16_t machine,
                       const void *bytes, size_t size)
{
    struct record_frames frames = {
        .at = sizeof(Elf64_Ehdr), .size = size, .type = type, .machine = machine};
    if (!size || size > RECORD_MAX_FRAMES_BYTES ||
        size > RECORD_MAX_ALL_FRAMES_BYTES - record->frames_bytes ||
        (type != ET_EXEC && type != ET_DYN))
        return false;
    if (!image_debug_frames_sane(bytes, size))
        return false;
    frames.elf = assemble(type, machine, 0, bytes, size, &frames.elf_bytes);
    if (!frames.elf || !vec_push(&record->frames, frames)) {
        free(frames.elf);
        return false;
    }
    record->frames_bytes += size;
    return true;
}

// Decompressing changes an ELF handle for good: that of a copy.
static bool copy_compressed(struct image_record *record, const GElf_Ehdr *header,
                            const Elf_Data *data)
{
    size_t size;
    Elf64_Chdr head;
    AUTO_FREE unsigned char *bytes = assemble(header->e_type, header->e_machine, SHF_COMPRESSED,
                                              data->d_buf, data->d_size, &size);
    if (!bytes || data->d_size < sizeof(head))
        return false;
    memcpy(&head, data->d_buf, sizeof(head));
    if (head.ch_size > RECORD_MAX_FRAMES_BYTES)
        return false;
    Elf *elf = elf_memory((char *)bytes, size);
    Elf_Scn *section = elf ? elf_getscn(elf, 1) : NULL;
    Elf_Data *plain =
        section && elf_compress(section, 0, 0) == 1 ? elf_rawdata(section, NULL) : NULL;
    bool done =
        plain && plain->d_buf &&
        record_add_frames(record, header->e_type, header->e_machine, plain->d_buf, plain->d_size);
    elf_end(elf);
    return done;
}

bool record_copy_frames(struct image_record *record, Elf *elf)
{
    GElf_Shdr section_header;
    GElf_Ehdr header;
    Elf_Scn *section = image_elf_section(elf, ".debug_frame", &section_header);
    Elf_Data *data = section && gelf_getehdr(elf, &header) ? elf_rawdata(section, NULL) : NULL;
    if (!data || !data->d_buf || data->d_size > RECORD_MAX_FRAMES_BYTES)
        return false;
    if (section_header.sh_flags & SHF_COMPRESSED)
        return copy_compressed(record, &header, data);
    return record_add_frames(record, header.e_type, header.e_machine, data->d_buf, data->d_size);
}
