// SPDX-License-Identifier: GPL-3.0-or-later
// Symbols of a module whose file is not at hand, from its dynamic section in the target's memory.
// The hash tables are walked the way ld.so does (System V gABI, "Hash Table"; DT_GNU_HASH as in
// glibc's elf/dl-lookup.c), with every count bounded by the module's own extent.
#include "image/image_private.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

#define MAX_DYNAMIC_ENTRIES 1024
#define MAX_CHAIN 100000
#define MAX_LISTED (1u << 20)
#define MAX_NAME_BYTES (64u << 20)

struct tables {
    uint64_t symtab, strtab, strsz, hash, gnu_hash;
};

// ld.so adds the bias to the pointers it finds here; the vDSO's, and musl's, keep the file's
// addresses.
static uint64_t pointer(const struct module *module, uint64_t value)
{
    if (value >= module->start && value < module->end)
        return value;
    value += module->bias;
    return value >= module->start && value < module->end ? value : 0;
}

static bool read_tables(struct mem *mem, const struct image_module *module, struct tables *ret)
{
    const struct module *public = &module->public;
    const Elf64_Phdr *dynamic = elf_headers_find(&module->headers, PT_DYNAMIC);
    *ret = (struct tables){0};
    if (!dynamic)
        return false;
    uint64_t at = public->bias + dynamic->p_vaddr;
    for (size_t i = 0; i < MAX_DYNAMIC_ENTRIES; i++, at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn entry;
        if (mem_read_some(mem, at, &entry, sizeof(entry)) != sizeof(entry))
            break;
        uint64_t value = entry.d_un.d_ptr;
        switch (entry.d_tag) {
        case DT_NULL:
            return ret->symtab && ret->strtab && (ret->hash || ret->gnu_hash);
        case DT_SYMTAB:
            ret->symtab = pointer(public, value);
            break;
        case DT_STRTAB:
            ret->strtab = pointer(public, value);
            break;
        case DT_STRSZ:
            ret->strsz = value;
            break;
        case DT_HASH:
            ret->hash = pointer(public, value);
            break;
        case DT_GNU_HASH:
            ret->gnu_hash = pointer(public, value);
            break;
        case DT_SYMENT:
            if (value != sizeof(Elf64_Sym))
                return false;
        }
    }
    return false;
}

static bool read_u32(struct mem *mem, uint64_t addr, uint32_t *ret)
{
    return mem_read_some(mem, addr, ret, sizeof(*ret)) == sizeof(*ret);
}

static bool name_matches(struct mem *mem, const struct tables *tables, uint32_t offset,
                         const char *name)
{
    char text[256];
    size_t size = strlen(name) + 1;
    return size <= sizeof(text) && offset < tables->strsz && size <= tables->strsz - offset &&
           mem_read_some(mem, tables->strtab + offset, text, size) == size &&
           memcmp(text, name, size) == 0;
}

static bool symbol_matches(struct mem *mem, const struct tables *tables, uint32_t index,
                           const char *name, Elf64_Sym *ret)
{
    uint64_t at = tables->symtab + (uint64_t)index * sizeof(*ret);
    return mem_read_some(mem, at, ret, sizeof(*ret)) == sizeof(*ret) &&
           ret->st_shndx != SHN_UNDEF && ret->st_shndx != SHN_ABS &&
           ELF64_ST_TYPE(ret->st_info) != STT_TLS && name_matches(mem, tables, ret->st_name, name);
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static uint32_t sysv_hash(const char *name)
{
    uint32_t hash = 0;
    for (; *name; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        hash ^= (hash >> 24) & 0xf0;
        hash &= 0x0fffffff;
    }
    return hash;
}

// Bucket count, first hashed symbol, Bloom words (64 bits each), Bloom shift; Bloom filter,
// buckets, and a chain of hashes whose lowest bit marks the last one. The filter is not asked.
static bool find_gnu(struct mem *mem, const struct tables *tables, const char *name, Elf64_Sym *ret)
{
    uint32_t head[4], index, hash = gnu_hash(name);
    if (mem_read_some(mem, tables->gnu_hash, head, sizeof(head)) != sizeof(head) || head[0] == 0)
        return false;
    uint64_t buckets = tables->gnu_hash + sizeof(head) + (uint64_t)head[2] * 8;
    uint64_t chain = buckets + (uint64_t)head[0] * 4;
    if (!read_u32(mem, buckets + (uint64_t)(hash % head[0]) * 4, &index) || index < head[1])
        return false;
    for (size_t i = 0; i < MAX_CHAIN; i++, index++) {
        uint32_t entry;
        if (!read_u32(mem, chain + (uint64_t)(index - head[1]) * 4, &entry))
            return false;
        if ((entry | 1) == (hash | 1) && symbol_matches(mem, tables, index, name, ret))
            return true;
        if (entry & 1)
            return false;
    }
    return false;
}

static bool find_sysv(struct mem *mem, const struct tables *tables, const char *name,
                      Elf64_Sym *ret)
{
    uint32_t head[2], index;
    if (mem_read_some(mem, tables->hash, head, sizeof(head)) != sizeof(head) || head[0] == 0)
        return false;
    uint64_t buckets = tables->hash + sizeof(head), chain = buckets + (uint64_t)head[0] * 4;
    if (!read_u32(mem, buckets + (uint64_t)(sysv_hash(name) % head[0]) * 4, &index))
        return false;
    for (size_t i = 0; i < MAX_CHAIN && index != STN_UNDEF && index < head[1]; i++) {
        if (symbol_matches(mem, tables, index, name, ret))
            return true;
        if (!read_u32(mem, chain + (uint64_t)index * 4, &index))
            return false;
    }
    return false;
}

bool image_dynamic_symbol(struct mem *mem, const struct image_module *module, const char *name,
                          uint64_t *ret_addr, uint64_t *ret_size)
{
    struct tables tables;
    Elf64_Sym symbol;
    if (!read_tables(mem, module, &tables))
        return false;
    if (!(tables.gnu_hash && find_gnu(mem, &tables, name, &symbol)) &&
        !(tables.hash && find_sysv(mem, &tables, name, &symbol)))
        return false;
    *ret_addr = module->public.bias + symbol.st_value;
    *ret_size = symbol.st_size;
    return true;
}

// DT_GNU_HASH does not say how many symbols there are: the last one ends the chain of the bucket
// that begins last.
static size_t count_gnu(struct mem *mem, const struct tables *tables)
{
    uint32_t head[4], last = 0;
    if (mem_read_some(mem, tables->gnu_hash, head, sizeof(head)) != sizeof(head) || head[0] == 0 ||
        head[0] > MAX_LISTED)
        return 0;
    size_t bytes = (size_t)head[0] * 4;
    AUTO_FREE uint32_t *buckets = malloc(bytes);
    uint64_t at = tables->gnu_hash + sizeof(head) + (uint64_t)head[2] * 8;
    if (!buckets || mem_read_some(mem, at, buckets, bytes) != bytes)
        return 0;
    for (size_t i = 0; i < head[0]; i++)
        last = buckets[i] > last ? buckets[i] : last;
    if (last < head[1])
        return head[1]; // none that others can bind to
    at += bytes + (uint64_t)(last - head[1]) * 4;
    for (size_t i = 0; i < MAX_CHAIN; i++, at += 4) {
        uint32_t entry;
        if (!read_u32(mem, at, &entry))
            break;
        last++;
        if (entry & 1)
            break;
    }
    return last;
}

static size_t count_sysv(struct mem *mem, const struct tables *tables)
{
    uint32_t head[2];
    return mem_read_some(mem, tables->hash, head, sizeof(head)) == sizeof(head) ? head[1] : 0;
}

// What a table claims to be long does not decide what is allocated: it ends with its module.
static void *read_within(struct mem *mem, const struct module *module, uint64_t at, uint64_t want,
                         size_t *ret_bytes)
{
    if (at < module->start || at >= module->end)
        return NULL;
    uint64_t room = module->end - at;
    size_t bytes = (size_t)(want < room ? want : room);
    void *ret = malloc(bytes ? bytes : 1);
    if (ret)
        *ret_bytes = mem_read_some(mem, at, ret, bytes);
    return ret;
}

bool image_dynamic_table(struct mem *mem, const struct image_module *module,
                         struct image_dynamic_table *ret)
{
    const struct module *public = &module->public;
    struct tables tables;
    *ret = (struct image_dynamic_table){0};
    if (!read_tables(mem, module, &tables))
        return false;
    uint64_t count = tables.hash ? count_sysv(mem, &tables) : 0;
    if (count == 0 && tables.gnu_hash)
        count = count_gnu(mem, &tables);
    count = count < MAX_LISTED ? count : MAX_LISTED;
    size_t bytes = 0;
    ret->symbols = read_within(mem, public, tables.symtab, count * sizeof(Elf64_Sym), &bytes);
    ret->count = bytes / sizeof(Elf64_Sym);
    ret->names = read_within(mem, public, tables.strtab,
                             tables.strsz < MAX_NAME_BYTES ? tables.strsz : MAX_NAME_BYTES,
                             &ret->names_bytes);
    if (ret->symbols && ret->names && ret->count)
        return true;
    image_dynamic_table_deinit(ret);
    return false;
}

void image_dynamic_table_deinit(struct image_dynamic_table *table)
{
    free(table->symbols);
    free(table->names);
    *table = (struct image_dynamic_table){0};
}
