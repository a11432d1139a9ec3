// SPDX-License-Identifier: GPL-3.0-or-later
// From mappings to modules: mappings of one file that belong to one loading of it, told by its
// ELF header in memory where that is there, by its name where it is not.
#include "image/image_private.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/limits.h"

#define MAX_SEARCHED_RANGES 256

void image_module_destroy(struct image_module *module)
{
    if (!module)
        return;
    free(module->public.path);
    free(module->public.file);
    free(module->other_build);
    vec_deinit(&module->ranges);
    elf_headers_deinit(&module->headers);
    image_place_deinit(&module->place);
    image_file_close(&module->file);
    if (!image_files_own(module)) {
        image_lines_destroy(module->lines);
        image_symbols_destroy(module->symbols);
        elf_end(module->elf);
        elf_end(module->debug);
    }
    elf_end(module->rebuilt);
    free(module->rebuilt_bytes);
    vec_foreach (loan, &module->loans)
        free(*loan);
    vec_deinit(&module->loans);
    free(module);
}

static bool add_range(struct image_module *module, const struct target_mapping *mapping)
{
    return vec_push(&module->ranges, (struct image_range){.start = mapping->start,
                                                          .end = mapping->end,
                                                          .offset = mapping->offset,
                                                          .writable = mapping->writable,
                                                          .executable = mapping->executable});
}

static struct image_module *module_create(struct image *image, const struct target_mapping *mapping)
{
    struct image_module *module = calloc(1, sizeof(*module));
    if (!module)
        return NULL;
    module->image = image;
    module->file.fd = -1;
    module->inode = mapping->inode;
    module->device = mapping->device;
    module->deleted = mapping->deleted;
    module->is_vdso = strcmp(mapping->path, "[vdso]") == 0;
    module->public.file_state = MODULE_FILE_MISSING;
    module->public.start = mapping->start;
    module->public.end = mapping->end;
    module->public.path = strdup(mapping->path);
    if (!module->public.path || !add_range(module, mapping)) {
        image_module_destroy(module);
        return NULL;
    }
    if (mapping->offset == 0)
        module->headers_in_memory =
            elf_headers_from_memory(image->target->mem, mapping->start, &module->headers);
    image_module_settle(module);
    return module;
}

void image_module_settle(struct image_module *module)
{
    const struct image_range *first = &module->ranges.items[0];
    const struct image_range *last = &module->ranges.items[module->ranges.count - 1];
    uint64_t low, high;
    module->public.start = first->start;
    module->public.end = last->end;
    if (!elf_headers_span(&module->headers, &low, &high) ||
        !elf_headers_bias(&module->headers, first->start, first->offset, &module->public.bias))
        return;
    // The .bss lies in anonymous memory behind the file's last mapping.
    uint64_t end = (module->public.bias + high + 4095) & ~4095ull;
    if (end > module->public.end && high < INT64_MAX)
        module->public.end = end;
}

static bool same_file(const struct image_module *module, const struct target_mapping *mapping)
{
    return module->inode == mapping->inode && module->device == mapping->device &&
           module->deleted == mapping->deleted && strcmp(module->public.path, mapping->path) == 0;
}

static bool has_executable_offset(const struct image_module *module, uint64_t offset)
{
    size_t count = module->ranges.count;
    // A core may say that a file is mapped in a million pieces.
    for (size_t i = count > MAX_SEARCHED_RANGES ? count - MAX_SEARCHED_RANGES : 0; i < count; i++) {
        const struct image_range *range = &module->ranges.items[i];
        if (range->executable && offset >= range->offset &&
            offset - range->offset < range->end - range->start)
            return true;
    }
    return false;
}

// A further mapping of the same loading, and not a second loading (dlmopen, data reads) that
// follows it in memory, nor a page of the text mapped once more (libffi's closures).
static bool continues(const struct image_module *module, const struct target_mapping *mapping)
{
    if (!module || !same_file(module, mapping))
        return false;
    if (module->headers_in_memory)
        return mapping->start < module->public.end;
    // A loading begins with the file's first page, and has each page of the text once.
    if (mapping->offset == 0 && module->ranges.items[0].offset != 0)
        return false;
    return !(mapping->executable && has_executable_offset(module, mapping->offset));
}

// A mapped file that is no ELF file, or that was only mapped to be read, is no module. Where the
// header is not in memory (old gdb's cores; linkers that map none) the file has to tell.
static bool plausible(struct image_module *module)
{
    bool executable = module->is_vdso;
    vec_foreach (range, &module->ranges)
        executable |= range->executable;
    if (module->headers_in_memory)
        return executable || module->ranges.count > 1;
    if (module->image->target->kind == TARGET_LIVE)
        return executable && module->ranges.items[0].offset != 0;
    // gdb leaves out what was not written to: nothing is known of its permissions.
    return executable || module->ranges.count > 1;
}

static bool holds(const struct image_module *module, uint64_t addr)
{
    return addr && addr >= module->public.start && addr < module->public.end;
}

static struct err *finish(struct image_module *module, struct image_found *ret)
{
    if (!module)
        return NULL;
    image_module_settle(module);
    if (!plausible(module)) {
        image_module_destroy(module);
        return NULL;
    }
    const struct target *target = module->image->target;
    module->is_exe = holds(module, target->auxv_entry) || holds(module, target->auxv_phdr) ||
                     (target->exe && strcmp(target->exe, module->public.path) == 0);
    image_read_build_id(module, target->mem);
    if (vec_push(ret, module))
        return NULL;
    image_module_destroy(module);
    return err_create(ERR_NO_MEMORY, "out of memory");
}

static bool is_candidate(const struct target_mapping *mapping)
{
    return mapping->path && (*mapping->path == '/' || strcmp(mapping->path, "[vdso]") == 0);
}

// Text of a file that is loaded elsewhere: libffi maps a page of its own text again and again, as
// trampolines for closures (its src/tramp.c). Nothing in there is at the library's addresses.
static bool is_copied_text(const struct image_module *module, const struct image_found *found)
{
    if (module->ranges.count != 1 || !module->ranges.items[0].executable)
        return false;
    vec_foreach (slot, found) {
        const struct image_module *other = *slot;
        if (other != module && other->inode == module->inode && other->device == module->device &&
            strcmp(other->public.path, module->public.path) == 0 &&
            other->ranges.items[0].offset == 0 &&
            has_executable_offset(other, module->ranges.items[0].offset))
            return true;
    }
    return false;
}

static void drop_copied_text(struct image_found *found)
{
    // Only such modules begin elsewhere than at the file's first page; the rest need no search.
    for (size_t i = 0; i < found->count; i++)
        if (found->items[i]->ranges.items[0].offset != 0 && is_copied_text(found->items[i], found))
            found->items[i]->dropped = true;
    size_t kept = 0;
    vec_foreach (slot, found) {
        if ((*slot)->dropped)
            image_module_destroy(*slot);
        else
            found->items[kept++] = *slot;
    }
    found->count = kept;
}

// What a header claims of its .bss must not reach into the next module.
static void clip_ends(struct image_found *found)
{
    for (size_t i = 0; i + 1 < found->count; i++) {
        struct module *module = &found->items[i]->public;
        uint64_t next = found->items[i + 1]->public.start;
        if (module->end > next)
            module->end = next;
    }
}

struct err *image_list_modules(struct image *image, struct image_found *ret)
{
    struct image_module *current = NULL;
    vec_foreach (mapping, &image->target->mappings) {
        if (!is_candidate(mapping))
            continue;
        if (continues(current, mapping)) {
            if (!add_range(current, mapping)) {
                image_module_destroy(current);
                return err_create(ERR_NO_MEMORY, "out of memory");
            }
            continue;
        }
        struct image_module *finished = TAKE(current);
        TRY(finish(finished, ret));
        if (ret->count >= LIMIT_MODULES) {
            target_note(image->target, "only the first %d mapped files were looked at",
                        LIMIT_MODULES);
            break;
        }
        current = module_create(image, mapping);
        if (!current)
            return err_create(ERR_NO_MEMORY, "out of memory");
    }
    TRY(finish(current, ret));
    drop_copied_text(ret);
    clip_ends(ret);
    return NULL;
}
