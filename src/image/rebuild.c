// SPDX-License-Identifier: GPL-3.0-or-later
// The unwind tables of a module without a file, read from the target's memory and put into a small
// ELF image of their own: PT_LOADs without bytes, which say where the module lies, and
// PT_GNU_EH_FRAME. It is made from bytes that are there, or not made.
#include <stdlib.h>
#include <string.h>

#include "image/image_private.h"
#include "util/guard.h"
#include "util/limits.h"

#define HDR_BYTES 8 // of .eh_frame_hdr: version, three encodings, the pointer as an sdata4
#define PAGE_BYTES 4096u

enum { PE_SDATA4 = 0x0b, PE_UDATA4 = 0x03, PE_PCREL = 0x10, PE_DATAREL = 0x30 };

// In the file's addresses.
struct tables {
    uint64_t hdr, hdr_size;
    uint64_t eh_frame;
    uint64_t limit; // end of the segment's bytes
};

static const Elf64_Phdr *segment_of(const struct elf_headers *headers, uint64_t addr)
{
    for (size_t i = 0; i < headers->count; i++) {
        const Elf64_Phdr *phdr = &headers->phdrs[i];
        if (phdr->p_type == PT_LOAD && addr >= phdr->p_vaddr &&
            addr - phdr->p_vaddr < phdr->p_filesz)
            return phdr;
    }
    return NULL;
}

// LSB core specification, "The .eh_frame_hdr section". Linkers write no other pointers than these.
static bool find_tables(struct mem *mem, const struct image_module *module, struct tables *ret)
{
    const Elf64_Phdr *own = elf_headers_find(&module->headers, PT_GNU_EH_FRAME);
    const Elf64_Phdr *segment = own ? segment_of(&module->headers, own->p_vaddr) : NULL;
    uint8_t head[HDR_BYTES];
    int32_t value;
    // ld.so relocates what lies in writable segments: those bytes are not the file's.
    if (!segment || (segment->p_flags & PF_W) || own->p_filesz < sizeof(head) ||
        own->p_filesz > segment->p_filesz - (own->p_vaddr - segment->p_vaddr) ||
        mem_read_some(mem, module->public.bias + own->p_vaddr, head, sizeof(head)) !=
            sizeof(head) ||
        head[0] != 1 || ((head[1] & 0x0f) != PE_SDATA4 && (head[1] & 0x0f) != PE_UDATA4))
        return false;
    uint8_t base = head[1] & 0xf0;
    if (base != PE_PCREL && base != PE_DATAREL)
        return false;
    memcpy(&value, head + 4, sizeof(value));
    ret->hdr = own->p_vaddr;
    ret->hdr_size = own->p_filesz;
    ret->eh_frame = own->p_vaddr + (base == PE_PCREL ? 4 : 0) + (uint64_t)(int64_t)value;
    ret->limit = segment->p_vaddr + segment->p_filesz;
    return segment_of(&module->headers, ret->eh_frame) == segment;
}

// What was read so far. What lies behind the tables (constants, the next section) is no part of a
// capture, so nothing is read before it is known to be needed, save the rest of a page.
struct window {
    struct mem *mem;
    uint64_t start; // in memory
    size_t limit;
    VEC(uint8_t) bytes;
};

// True: the first `size` bytes are there.
static bool reach(struct window *window, size_t size)
{
    size_t there = window->bytes.count;
    if (size <= there)
        return true;
    if (size > window->limit)
        return false;
    uint64_t end = (window->start + size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
    size_t want = end - window->start < window->limit ? end - window->start : window->limit;
    if (!vec_reserve(&window->bytes, want))
        return false;
    window->bytes.count += mem_read_some(window->mem, window->start + there,
                                         window->bytes.items + there, want - there);
    return size <= window->bytes.count;
}

// Walks the entries (LSB core specification, "The .eh_frame section"), each of which must be there
// in full, from `first` to the terminator, a length of zero. Without one (linked without crtend.o)
// the last is that which is followed by what cannot be an entry. Returns where they end; 0: they
// are not all there.
static size_t eh_frame_end(struct window *window, size_t first)
{
    size_t limit = window->limit;
    for (size_t at = first;;) {
        uint32_t length32, id;
        if (limit - at < 4)
            return at;
        if (!reach(window, at + 4))
            return 0;
        memcpy(&length32, window->bytes.items + at, sizeof(length32));
        uint64_t length = length32;
        size_t head = 4;
        if (length32 == UINT32_MAX) {
            if (limit - at < 12)
                return at;
            if (!reach(window, at + 12))
                return 0;
            memcpy(&length, window->bytes.items + at + 4, sizeof(length));
            head = 12;
        }
        if (length < 4 || length > limit - at - head)
            return at;
        if (!reach(window, at + head + 4))
            return 0;
        memcpy(&id, window->bytes.items + at + head, sizeof(id));
        // The distance back to its CIE; zero: it is one.
        if (id > at - first + head)
            return at;
        if (!reach(window, at + head + length))
            return 0;
        at += head + length;
    }
}

static void guard_window(struct window *window)
{
    vec_deinit(&window->bytes);
}

// Header, program headers, zeros for alignment, then `bytes`, which were at `addr` in the file.
static void *assemble(const struct image_module *module, const struct tables *tables,
                      const uint8_t *bytes, uint64_t addr, size_t size, size_t *ret_size)
{
    const struct elf_headers *headers = &module->headers;
    Elf64_Ehdr ehdr = headers->ehdr;
    AUTO_FREE Elf64_Phdr *phdrs = calloc(headers->count + 1, sizeof(*phdrs));
    size_t count = 0;
    for (size_t i = 0; phdrs && i < headers->count; i++) {
        if (headers->phdrs[i].p_type != PT_LOAD)
            continue;
        phdrs[count] = headers->phdrs[i];
        phdrs[count].p_filesz = 0;
        count++;
    }
    size_t start = sizeof(ehdr) + (count + 1) * sizeof(*phdrs);
    start += (addr - start) % 16; // aligned as in the file
    // Zeros behind it end the entries where no terminator does.
    uint8_t *image = phdrs ? calloc(1, start + size + 4) : NULL;
    if (!image)
        return NULL;
    phdrs[count++] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME,
                                  .p_flags = PF_R,
                                  .p_offset = start + (tables->hdr - addr),
                                  .p_vaddr = tables->hdr,
                                  .p_paddr = tables->hdr,
                                  .p_filesz = tables->hdr_size,
                                  .p_memsz = tables->hdr_size,
                                  .p_align = 4};
    ehdr.e_phoff = sizeof(ehdr);
    ehdr.e_phnum = (Elf64_Half)count;
    ehdr.e_shoff = 0;
    ehdr.e_shnum = ehdr.e_shstrndx = 0;
    memcpy(image, &ehdr, sizeof(ehdr));
    memcpy(image + sizeof(ehdr), phdrs, count * sizeof(*phdrs));
    memcpy(image + start, bytes, size);
    *ret_size = start + size + 4;
    return image;
}

Elf *image_rebuild(struct mem *mem, const struct image_module *module, void **ret_bytes)
{
    struct tables tables;
    // Headers of a file count only where that was found to be the module's (locate.c).
    if (!module->headers.count || !find_tables(mem, module, &tables))
        return NULL;
    uint64_t addr = tables.hdr < tables.eh_frame ? tables.hdr : tables.eh_frame;
    GUARD(guard_window)
    struct window window = {
        .mem = mem, .start = module->public.bias + addr, .limit = tables.limit - addr};
    struct image *owner = module->image;
    if (window.limit > IMAGE_MAX_REBUILT_BYTES ||
        owner->from_memory_bytes > LIMIT_FROM_MEMORY_BYTES)
        return NULL;
    size_t hdr_end = tables.hdr - addr + tables.hdr_size, eh_frame = tables.eh_frame - addr;
    size_t size = reach(&window, hdr_end) ? eh_frame_end(&window, eh_frame) : 0;
    if (size <= eh_frame)
        return NULL;
    image_frames_disarm(window.bytes.items + eh_frame, size - eh_frame);
    size = size > hdr_end ? size : hdr_end;
    AUTO_FREE void *image = assemble(module, &tables, window.bytes.items, addr, size, &size);
    elf_version(EV_CURRENT);
    Elf *elf = image ? elf_memory(image, size) : NULL;
    if (!elf)
        return NULL;
    owner->from_memory_bytes += size;
    *ret_bytes = TAKE(image);
    return elf;
}
