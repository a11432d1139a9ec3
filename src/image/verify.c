// SPDX-License-Identifier: GPL-3.0-or-later
// Is this file the one that ran? By build ID where both sides have one; otherwise whatever both
// hold is compared, and a contradiction refuses the file.
#include "image/image_private.h"

#include <elfutils/libdwelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/guard.h"

#define MAX_DYNAMIC_BYTES 16384u

// The kernel and ld.so map the header unchanged.
static bool same_headers(const struct elf_headers *a, const struct elf_headers *b)
{
    return memcmp(&a->ehdr, &b->ehdr, sizeof(a->ehdr)) == 0 && a->count == b->count &&
           memcmp(a->phdrs, b->phdrs, a->count * sizeof(*a->phdrs)) == 0;
}

// Every mapping must be one that the file's program headers ask for, at the same bias.
static bool mappings_fit(struct image_module *module, const struct elf_headers *headers,
                         uint64_t file_bytes)
{
    uint64_t bias;
    const struct image_range *first = &module->ranges.items[0];
    if (!elf_headers_bias(headers, first->start, first->offset, &bias))
        return false;
    vec_foreach (range, &module->ranges) {
        bool fits = false;
        for (size_t i = 0; i < headers->count && !fits; i++) {
            const Elf64_Phdr *phdr = &headers->phdrs[i];
            if (phdr->p_type != PT_LOAD || phdr->p_filesz > file_bytes ||
                phdr->p_offset > file_bytes)
                continue;
            uint64_t end = (phdr->p_offset + phdr->p_filesz + 4095) & ~4095ull;
            // mprotect(2) splits mappings (RELRO), and page sizes differ: a part will do.
            fits = range->offset >= (phdr->p_offset & ~4095ull) && range->offset < end &&
                   range->start - range->offset == bias + phdr->p_vaddr - phdr->p_offset;
        }
        // Linkers align segments by reserving the gap with a mapping of the file itself.
        if (!fits && (range->writable || range->executable))
            return false;
    }
    return true;
}

static bool is_mapped(struct image_module *module, uint64_t addr, size_t size)
{
    vec_foreach (range, &module->ranges)
        if (addr >= range->start && addr < range->end && size <= range->end - addr)
            return true;
    return false;
}

// The dynamic section is written to by ld.so (pointers get the bias added, DT_DEBUG), so gdb's
// cores hold it too. Its sizes and counts are as good as a fingerprint.
static bool same_dynamic(struct image_module *module, struct mem *mem,
                         const struct image_file *file, const struct elf_headers *headers)
{
    const Elf64_Phdr *dynamic = elf_headers_find(headers, PT_DYNAMIC);
    uint64_t bias;
    const struct image_range *first = &module->ranges.items[0];
    if (!dynamic || dynamic->p_offset > INT64_MAX ||
        !elf_headers_bias(headers, first->start, first->offset, &bias))
        return true;
    size_t bytes = dynamic->p_filesz < MAX_DYNAMIC_BYTES ? dynamic->p_filesz : MAX_DYNAMIC_BYTES;
    size_t count = bytes / sizeof(Elf64_Dyn);
    AUTO_FREE Elf64_Dyn *on_disk = calloc(count + 1, sizeof(*on_disk));
    AUTO_FREE Elf64_Dyn *running = calloc(count + 1, sizeof(*running));
    if (!on_disk || !running)
        return true;
    bytes = count * sizeof(Elf64_Dyn);
    if (pread(file->fd, on_disk, bytes, (off_t)dynamic->p_offset) != (ssize_t)bytes)
        return false;
    if (!is_mapped(module, bias + dynamic->p_vaddr, bytes))
        return true;
    count = mem_read_some(mem, bias + dynamic->p_vaddr, running, bytes) / sizeof(Elf64_Dyn);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = on_disk[i].d_un.d_val, ran = running[i].d_un.d_val;
        if (on_disk[i].d_tag != running[i].d_tag)
            return false;
        if (on_disk[i].d_tag == DT_NULL)
            break;
        if (on_disk[i].d_tag != DT_DEBUG && ran != value && ran != value + bias)
            return false;
    }
    return true;
}

enum module_file image_verify(struct image_module *module, struct mem *mem,
                              const struct image_file *file, const struct elf_headers *headers)
{
    const struct module *running = &module->public;
    const void *id = NULL;
    ssize_t id_bytes = dwelf_elf_gnu_build_id(file->elf, &id);
    if (id_bytes > 0 && running->build_id_bytes)
        return (size_t)id_bytes == running->build_id_bytes &&
                       memcmp(id, running->build_id, running->build_id_bytes) == 0
                   ? MODULE_FILE_VERIFIED
                   : MODULE_FILE_WRONG;
    if (id_bytes <= 0 && running->build_id_bytes)
        return MODULE_FILE_WRONG;
    if (id_bytes > 0 && module->no_build_id)
        return MODULE_FILE_WRONG;
    if (module->headers_in_memory && !same_headers(&module->headers, headers))
        return MODULE_FILE_WRONG;
    if (!mappings_fit(module, headers, (uint64_t)file->stat.st_size) ||
        !same_dynamic(module, mem, file, headers))
        return MODULE_FILE_WRONG;
    return MODULE_FILE_UNVERIFIED;
}
