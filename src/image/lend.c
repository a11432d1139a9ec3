// SPDX-License-Identifier: GPL-3.0-or-later
// Lends a core the file bytes that its writer left out, where they are provably those that were in
// memory: pages of segments that nobody could write to. Writable data is never lent, nor is RELRO,
// which is mapped read-only and yet was written by ld.so before.
#include "image/image_private.h"

#include <stdlib.h>
#include <unistd.h>

#include "util/guard.h"

#define MAX_DYNAMIC_BYTES 16384u

// Programs have hundreds of modules, and a core may be searched through all of them.
static bool open_to_lend(struct image_module *module)
{
    if (module->file.fd >= 0)
        return true;
    if (!image_module_open(module))
        return false;
    struct image *image = module->image;
    struct image_module **oldest = &image->lending[image->lending_next];
    if (*oldest && *oldest != module)
        image_module_close(*oldest);
    *oldest = module;
    image->lending_next = (image->lending_next + 1) % IMAGE_MAX_OPEN;
    return true;
}

static size_t read_loan(void *arg, uint64_t addr, void *buffer, size_t size)
{
    const struct image_loan *loan = arg;
    size_t done = 0;
    if (!open_to_lend(loan->module))
        return 0;
    while (done < size) {
        ssize_t got = pread(loan->module->file.fd, (char *)buffer + done, size - done,
                            (off_t)(loan->offset + (addr - loan->start) + done));
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

// Text relocations write into segments without PF_W.
static bool has_text_relocations(const struct image_module *module)
{
    const Elf64_Phdr *dynamic = elf_headers_find(&module->headers, PT_DYNAMIC);
    if (!dynamic)
        return false;
    size_t bytes = dynamic->p_filesz < MAX_DYNAMIC_BYTES ? dynamic->p_filesz : MAX_DYNAMIC_BYTES;
    AUTO_FREE Elf64_Dyn *entries = malloc(bytes + 1);
    if (!entries || dynamic->p_offset > INT64_MAX ||
        pread(module->file.fd, entries, bytes, (off_t)dynamic->p_offset) != (ssize_t)bytes)
        return true;
    for (size_t i = 0; i < bytes / sizeof(*entries) && entries[i].d_tag != DT_NULL; i++)
        if (entries[i].d_tag == DT_TEXTREL ||
            (entries[i].d_tag == DT_FLAGS && (entries[i].d_un.d_val & DF_TEXTREL)))
            return true;
    return false;
}

static uint64_t page_down(uint64_t value)
{
    return value & ~4095ull;
}

static uint64_t page_up(uint64_t value)
{
    return (value + 4095) & ~4095ull;
}

// Adds [start, end), which the file holds at `offset`, wherever the core has no bytes of its own.
static struct err *fill_gaps(struct image *image, struct image_module *module, uint64_t start,
                             uint64_t end, uint64_t offset)
{
    struct mem *mem = image->target->mem;
    struct mem_segment_info info;
    for (uint64_t at = start; at < end && mem_segment_at(mem, at, &info) && info.start < end;) {
        uint64_t from = info.start > at ? info.start : at;
        uint64_t until = info.end < end ? info.end : end;
        at = until;
        if (info.origin != MEM_ABSENT && info.origin != MEM_TRUNCATED)
            continue;
        struct image_loan *loan = calloc(1, sizeof(*loan));
        if (!loan || !vec_push(&module->loans, loan)) {
            free(loan);
            return err_create(ERR_NO_MEMORY, "out of memory");
        }
        *loan = (struct image_loan){.module = module,
                                    .start = from,
                                    .offset = offset + (from - start),
                                    .size = until - from};
        TRY(mem_add(mem, from, until, MEM_FILE, read_loan, loan, true));
    }
    return NULL;
}

// The part of a mapping that one read-only segment of the file explains.
static struct err *lend_segment(struct image *image, struct image_module *module,
                                const struct image_range *range, const Elf64_Phdr *phdr)
{
    uint64_t bias = module->public.bias;
    if (range->start - range->offset != bias + phdr->p_vaddr - phdr->p_offset ||
        phdr->p_filesz > INT64_MAX || phdr->p_offset > INT64_MAX)
        return NULL;
    // A mapping holds whole pages of the file, also those bytes around the segment.
    uint64_t low = page_down(phdr->p_offset), high = page_up(phdr->p_offset + phdr->p_filesz);
    uint64_t file_end = (uint64_t)module->file.stat.st_size;
    if (high > file_end)
        high = file_end;
    uint64_t from = range->offset, until = range->offset + (range->end - range->start);
    if (from < low)
        from = low;
    if (until > high)
        until = high;
    if (from >= until)
        return NULL;
    uint64_t start = range->start + (from - range->offset);
    return fill_gaps(image, module, start, start + (until - from), from);
}

static struct err *lend_ranges(struct image *image, struct image_module *module)
{
    vec_foreach (range, &module->ranges) {
        if (range->writable)
            continue;
        for (size_t i = 0; i < module->headers.count; i++) {
            const Elf64_Phdr *phdr = &module->headers.phdrs[i];
            if (phdr->p_type == PT_LOAD && !(phdr->p_flags & PF_W))
                TRY(lend_segment(image, module, range, phdr));
        }
    }
    return NULL;
}

struct err *image_lend(struct image *image, struct image_module *module)
{
    bool usable = module->public.file_state == MODULE_FILE_VERIFIED ||
                  module->public.file_state == MODULE_FILE_UNVERIFIED;
    if (image->target->kind != TARGET_CORE || module->is_vdso || !usable ||
        !image_module_open(module))
        return NULL;
    struct err *err = has_text_relocations(module) ? NULL : lend_ranges(image, module);
    image_module_close(module);
    return err;
}
