// SPDX-License-Identifier: GPL-3.0-or-later
// ELF headers as they lie in the target's memory or in a file, and what follows from them: the
// bias, the span, the running module's build ID.
#include "image/image_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/guard.h"

#define MAX_NOTES_BYTES 65536u

bool elf_headers_usable(const Elf64_Ehdr *ehdr)
{
    return memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0 && ehdr->e_ident[EI_CLASS] == ELFCLASS64 &&
           ehdr->e_ident[EI_DATA] == ELFDATA2LSB &&
           (ehdr->e_type == ET_EXEC || ehdr->e_type == ET_DYN) &&
           ehdr->e_phentsize == sizeof(Elf64_Phdr) && ehdr->e_phnum > 0 &&
           ehdr->e_phnum <= IMAGE_MAX_HEADERS;
}

static bool reserve(struct elf_headers *headers)
{
    headers->count = headers->ehdr.e_phnum;
    headers->phdrs = calloc(headers->count, sizeof(*headers->phdrs));
    return headers->phdrs != NULL;
}

bool elf_headers_from_memory(struct mem *mem, uint64_t addr, struct elf_headers *ret)
{
    *ret = (struct elf_headers){0};
    uint64_t table;
    if (mem_read_some(mem, addr, &ret->ehdr, sizeof(ret->ehdr)) != sizeof(ret->ehdr) ||
        !elf_headers_usable(&ret->ehdr) || __builtin_add_overflow(addr, ret->ehdr.e_phoff, &table) ||
        !reserve(ret))
        return false;
    size_t bytes = ret->count * sizeof(*ret->phdrs);
    if (mem_read_some(mem, table, ret->phdrs, bytes) == bytes)
        return true;
    elf_headers_deinit(ret);
    return false;
}

bool elf_headers_from_file(const struct image_file *file, struct elf_headers *ret)
{
    *ret = (struct elf_headers){0};
    if (pread(file->fd, &ret->ehdr, sizeof(ret->ehdr), 0) != (ssize_t)sizeof(ret->ehdr) ||
        !elf_headers_usable(&ret->ehdr) || ret->ehdr.e_phoff > INT64_MAX || !reserve(ret))
        return false;
    size_t bytes = ret->count * sizeof(*ret->phdrs);
    if (pread(file->fd, ret->phdrs, bytes, (off_t)ret->ehdr.e_phoff) == (ssize_t)bytes)
        return true;
    elf_headers_deinit(ret);
    return false;
}

void elf_headers_deinit(struct elf_headers *headers)
{
    free(headers->phdrs);
    *headers = (struct elf_headers){0};
}

bool elf_headers_span(const struct elf_headers *headers, uint64_t *ret_low, uint64_t *ret_high)
{
    *ret_low = UINT64_MAX;
    *ret_high = 0;
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *phdr = &headers->phdrs[i];
        uint64_t end;
        if (phdr->p_type != PT_LOAD || __builtin_add_overflow(phdr->p_vaddr, phdr->p_memsz, &end))
            continue;
        if (phdr->p_vaddr < *ret_low)
            *ret_low = phdr->p_vaddr;
        if (end > *ret_high)
            *ret_high = end;
    }
    return *ret_low < *ret_high;
}

// Of two segments that share a file page (small libraries), the lower one is mapped first, so the
// caller asks with the module's first mapping.
bool elf_headers_bias(const struct elf_headers *headers, uint64_t start, uint64_t offset,
                      uint64_t *ret)
{
    const Elf64_Phdr *best = NULL;
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *phdr = &headers->phdrs[i];
        uint64_t page_mask = phdr->p_align >= 4096 && (phdr->p_align & (phdr->p_align - 1)) == 0
                                 ? phdr->p_align - 1
                                 : 4095;
        uint64_t end;
        if (phdr->p_type != PT_LOAD || phdr->p_filesz == 0 ||
            __builtin_add_overflow(phdr->p_offset, phdr->p_filesz, &end))
            continue;
        if (offset < (phdr->p_offset & ~page_mask) || offset >= end)
            continue;
        if (!best || phdr->p_vaddr < best->p_vaddr)
            best = phdr;
    }
    if (!best)
        return false;
    // p_vaddr and p_offset agree modulo the page size, so the difference is whole pages.
    *ret = start - offset - (best->p_vaddr - best->p_offset);
    return true;
}

const Elf64_Phdr *elf_headers_find(const struct elf_headers *headers, uint32_t type)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->phdrs[i].p_type == type)
            return &headers->phdrs[i];
    return NULL;
}

// Notes as elf(5) has them; 8-byte alignment is that of .note.gnu.property.
static bool find_build_id(const uint8_t *notes, size_t size, uint64_t align, struct module *module)
{
    align = align == 8 ? 8 : 4;
    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
        Elf64_Nhdr header;
        memcpy(&header, notes + at, sizeof(header));
        uint64_t name_at = at + sizeof(header);
        uint64_t desc_at = (name_at + header.n_namesz + align - 1) & ~(align - 1);
        uint64_t next = (desc_at + header.n_descsz + align - 1) & ~(align - 1);
        if (desc_at + header.n_descsz > size)
            return false;
        if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
            memcmp(notes + name_at, "GNU", 4) == 0 && header.n_descsz > 0 &&
            header.n_descsz <= sizeof(module->build_id)) {
            memcpy(module->build_id, notes + desc_at, header.n_descsz);
            module->build_id_bytes = header.n_descsz;
            return true;
        }
        if (next > size)
            return false;
        at = next;
    }
    return false;
}

void image_read_build_id(struct image_module *module, struct mem *mem)
{
    bool all_read = module->headers_in_memory;
    for (size_t i = 0; module->headers_in_memory && i < module->headers.count; i++) {
        const Elf64_Phdr *phdr = &module->headers.phdrs[i];
        if (phdr->p_type != PT_NOTE || phdr->p_filesz == 0)
            continue;
        size_t bytes = phdr->p_filesz < MAX_NOTES_BYTES ? phdr->p_filesz : MAX_NOTES_BYTES;
        AUTO_FREE uint8_t *notes = malloc(bytes);
        if (!notes)
            return;
        size_t got = mem_read_some(mem, module->public.bias + phdr->p_vaddr, notes, bytes);
        if (find_build_id(notes, got, phdr->p_align, &module->public))
            return;
        if (got < phdr->p_filesz)
            all_read = false;
    }
    module->no_build_id = all_read;
}
