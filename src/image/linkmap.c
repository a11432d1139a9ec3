// SPDX-License-Identifier: GPL-3.0-or-later
// Names the mappings of a core that has no NT_FILE note (the kernel leaves it out where it would
// grow too large, converters know none), from ld.so's own list in memory: the program's DT_DEBUG
// leads to r_debug and its link_map (link.h, System V gABI, "Dynamic Section").
#include "image/image_private.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

#define MAX_LOADED 4096
#define MAX_DYNAMIC 1024
#define MAX_NAME 4096

// The part of struct link_map that debuggers may use.
struct link_map_head {
    uint64_t l_addr, l_name, l_ld, l_next;
};

static void guard_headers(struct elf_headers *headers)
{
    elf_headers_deinit(headers);
}

static bool headers_of_place(const struct image_place *place, struct elf_headers *ret)
{
    struct image_file file;
    if (!image_file_open(place, &file))
        return false;
    bool good = elf_headers_from_file(&file, ret);
    image_file_close(&file);
    return good;
}

static bool has_names(struct target *target)
{
    vec_foreach (mapping, &target->mappings)
        if (mapping->path && *mapping->path == '/')
            return true;
    return false;
}

static bool program_headers(struct image *image, struct elf_headers *ret, uint64_t *ret_bias)
{
    struct target *target = image->target;
    const struct target_mapping *mapping = target_mapping_at(target, target->auxv_phdr);
    struct image_place place = {NULL, image->exe};
    if (!(mapping && elf_headers_from_memory(target->mem, mapping->start, ret)) &&
        !(image->exe && headers_of_place(&place, ret)))
        return false;
    const Elf64_Phdr *self = elf_headers_find(ret, PT_PHDR);
    if (self && target->auxv_phdr)
        *ret_bias = target->auxv_phdr - self->p_vaddr;
    else
        *ret_bias = target->auxv_entry - ret->ehdr.e_entry;
    return target->auxv_phdr || target->auxv_entry;
}

// Gives the file's name to the nameless mappings that its segments account for.
static struct err *name_mappings(struct target *target, const struct elf_headers *headers,
                                 uint64_t bias, const char *path)
{
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *phdr = &headers->phdrs[i];
        if (phdr->p_type != PT_LOAD || phdr->p_filesz > INT64_MAX)
            continue;
        uint64_t low = (bias + phdr->p_vaddr) & ~4095ull;
        uint64_t high = (bias + phdr->p_vaddr + phdr->p_filesz + 4095) & ~4095ull;
        vec_foreach (mapping, &target->mappings) {
            if (mapping->path || mapping->start < low || mapping->end > high)
                continue;
            mapping->path = strdup(path);
            if (!mapping->path)
                return err_create(ERR_NO_MEMORY, "out of memory");
            mapping->offset = (phdr->p_offset & ~4095ull) + (mapping->start - low);
        }
    }
    return NULL;
}

// Address of the first struct link_map; 0: none.
static uint64_t first_loaded(struct mem *mem, const struct elf_headers *headers, uint64_t bias)
{
    const Elf64_Phdr *dynamic = elf_headers_find(headers, PT_DYNAMIC);
    for (size_t i = 0; dynamic && i < MAX_DYNAMIC; i++) {
        Elf64_Dyn entry;
        uint64_t at = bias + dynamic->p_vaddr + i * sizeof(entry), map;
        if (mem_read_some(mem, at, &entry, sizeof(entry)) != sizeof(entry) ||
            entry.d_tag == DT_NULL)
            return 0;
        if (entry.d_tag != DT_DEBUG)
            continue;
        // struct r_debug: int version, padding, struct link_map *
        return mem_read_some(mem, entry.d_un.d_ptr + 8, &map, sizeof(map)) == sizeof(map) ? map : 0;
    }
    return 0;
}

static struct err *name_loaded(struct image *image, const struct link_map_head *loaded)
{
    struct target *target = image->target;
    AUTO_FREE char *name = NULL;
    AUTO_ERR struct err *unreadable = mem_read_cstr(target->mem, loaded->l_name, MAX_NAME, &name);
    if (unreadable || *name != '/')
        return NULL; // the program itself, the vDSO
    GUARD(guard_headers) struct elf_headers headers = {0};
    struct image_place place = {image->sysroot, name};
    // The running library's own, where the core has them: the file may be elsewhere, or another
    // build. A library's first segment is at address 0, as linkers make them.
    if (!elf_headers_from_memory(target->mem, loaded->l_addr, &headers) &&
        !headers_of_place(&place, &headers))
        return NULL;
    return name_mappings(target, &headers, loaded->l_addr, name);
}

struct err *image_name_mappings(struct image *image)
{
    struct target *target = image->target;
    GUARD(guard_headers) struct elf_headers headers = {0};
    uint64_t bias = 0;
    if (target->kind != TARGET_CORE || has_names(target) ||
        !program_headers(image, &headers, &bias))
        return NULL;
    if (image->exe)
        TRY(name_mappings(target, &headers, bias, image->exe));
    uint64_t at = first_loaded(target->mem, &headers, bias);
    struct link_map_head loaded;
    for (size_t i = 0; at && i < MAX_LOADED; i++, at = loaded.l_next) {
        if (mem_read_some(target->mem, at, &loaded, sizeof(loaded)) != sizeof(loaded))
            break;
        TRY(name_loaded(image, &loaded));
    }
    return NULL;
}
