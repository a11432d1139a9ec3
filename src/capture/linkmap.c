// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes that pycore itself has no use for, and debuggers have: the dynamic linker's list of loaded
// objects, by which they find the modules of a core (System V gABI, "Dynamic Linking"; <link.h>).
#include <elf.h>
#include <link.h>
#include <stdlib.h>

#include "recorder.h"
#include "util/guard.h"

#define HEADERS_MAX 64u
#define DYNAMIC_MAX 512u
#define OBJECTS_MAX 4096u
#define NAME_MAX_BYTES 4096u

// r_debug's address, from the main program's dynamic section; 0: not known.
static uint64_t find_debug(struct mem *mem, uint64_t phdr_addr)
{
    uint64_t dynamic = 0, bias = 0;
    bool has_bias = false;
    for (size_t i = 0; i < HEADERS_MAX; i++) {
        Elf64_Phdr phdr;
        AUTO_ERR struct err *err = mem_read(mem, phdr_addr + i * sizeof(phdr), &phdr, sizeof(phdr));
        if (err || phdr.p_type > PT_HIPROC)
            break;
        if (phdr.p_type == PT_PHDR) {
            bias = phdr_addr - phdr.p_vaddr;
            has_bias = true;
        } else if (phdr.p_type == PT_DYNAMIC) {
            dynamic = phdr.p_vaddr;
        }
        if (has_bias && dynamic)
            break;
    }
    for (size_t i = 0; has_bias && dynamic && i < DYNAMIC_MAX; i++) {
        Elf64_Dyn entry;
        AUTO_ERR struct err *err =
            mem_read(mem, bias + dynamic + i * sizeof(entry), &entry, sizeof(entry));
        if (err || entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_DEBUG)
            return entry.d_un.d_ptr;
    }
    return 0;
}

void record_link_map(struct mem *mem, uint64_t phdr_addr)
{
    struct r_debug debug;
    uint64_t at = phdr_addr ? find_debug(mem, phdr_addr) : 0;
    AUTO_ERR struct err *none = at ? mem_read(mem, at, &debug, sizeof(debug)) : NULL;
    if (!at || none)
        return;
    uint64_t next = (uintptr_t)debug.r_map;
    for (size_t i = 0; next && i < OBJECTS_MAX; i++) {
        struct link_map object;
        AUTO_FREE char *name = NULL;
        AUTO_ERR struct err *err =
            mem_read(mem, next, &object, offsetof(struct link_map, l_prev) + sizeof(object.l_prev));
        if (err)
            return;
        err_destroy(mem_read_cstr(mem, (uintptr_t)object.l_name, NAME_MAX_BYTES, &name));
        next = (uintptr_t)object.l_next;
    }
}
