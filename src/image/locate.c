// SPDX-License-Identifier: GPL-3.0-or-later
// Tries files for a module and keeps the best; finds the mapped files of a live process. Where those
// of a core may be is in locate_core.c.
#include "image/locate.h"

#include <elfutils/libdwelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

static int rank(enum module_file state)
{
    switch (state) {
    case MODULE_FILE_VERIFIED:
        return 3;
    case MODULE_FILE_UNVERIFIED:
        return 2;
    case MODULE_FILE_WRONG:
        return 1;
    case MODULE_FILE_MISSING:
        return 0;
    }
    return 0;
}

static bool is_mapped_inode(const struct image_module *module, const struct stat *stat)
{
    // A deleted file's number may already be another file's.
    return module->inode && !module->deleted && stat->st_ino == module->inode &&
           stat->st_dev == module->device;
}

// The path for people: what is below the root counts from there.
static char *place_text(const struct image_place *place)
{
    char *text = NULL;
    if (!place->root)
        return strdup(place->path);
    if (asprintf(&text, "%s/%s", place->root, place->path + (*place->path == '/')) < 0)
        return NULL;
    return text;
}

static void guard_file(struct image_file *file)
{
    image_file_close(file);
}

static void guard_headers(struct elf_headers *headers)
{
    elf_headers_deinit(headers);
}

static struct err *take(struct image_module *module, struct image_place *place,
                        const struct image_file *file, struct elf_headers *headers,
                        enum module_file state)
{
    module->public.file_state = state;
    if (state != MODULE_FILE_VERIFIED && state != MODULE_FILE_UNVERIFIED)
        return NULL;
    char *text = place_text(place);
    if (!text)
        return err_create(ERR_NO_MEMORY, "out of memory");
    free(module->public.file);
    module->public.file = text;
    image_place_deinit(&module->place);
    module->identity = file->stat;
    module->place = *place;
    *place = (struct image_place){0};
    if (!module->headers_in_memory) {
        elf_headers_deinit(&module->headers);
        module->headers = *headers;
        *headers = (struct elf_headers){0};
        image_module_settle(module);
    }
    return NULL;
}

// Says once which file was refused, and what tells it apart.
static void remember_other(struct image_module *module, const struct image_place *place,
                           const struct image_file *file)
{
    const void *id = NULL;
    ssize_t id_bytes = dwelf_elf_gnu_build_id(file->elf, &id);
    AUTO_FREE char *text = place_text(place);
    struct module other = {.build_id_bytes = 0};
    char other_id[129];
    if (!text || module->other_build)
        return;
    if (id_bytes > 0 && (size_t)id_bytes <= sizeof(other.build_id)) {
        memcpy(other.build_id, id, (size_t)id_bytes);
        other.build_id_bytes = (size_t)id_bytes;
    }
    module_build_id_text(&other, other_id);
    if (asprintf(&module->other_build, "%s has %s", text, *other_id ? other_id : "none") < 0)
        module->other_build = NULL;
}

// What verification cannot decide is decided by how the file was come by.
static enum module_file judge(const struct image_search *search, enum image_trust trust,
                              const struct image_file *file, enum module_file state)
{
    const struct image_module *module = search->module;
    if (state != MODULE_FILE_UNVERIFIED)
        return state;
    if (trust == IMAGE_BY_ID)
        return MODULE_FILE_WRONG;
    // One inode is one file: no build ID is needed for that. btrfs and overlayfs show other device
    // numbers in maps than in stat(2), so there the inode number alone is a hint, no proof.
    if (search->image->target->kind == TARGET_LIVE) {
        if (trust == IMAGE_BY_INODE || is_mapped_inode(module, &file->stat))
            return MODULE_FILE_VERIFIED;
        if (file->stat.st_ino != module->inode)
            return MODULE_FILE_WRONG;
    }
    // The kernel said that the mapped file was deleted: this one was put there later.
    return module->deleted && trust == IMAGE_BY_NAME ? MODULE_FILE_WRONG : state;
}

static struct err *try_file(struct image_search *search, struct image_place *place,
                            enum image_trust trust)
{
    struct image_module *module = search->module;
    GUARD(guard_file) struct image_file file;
    GUARD(guard_headers) struct elf_headers headers = {0};
    // The program headers of a debug file speak of bytes that it does not have.
    if (!image_file_open(place, &file) || !elf_headers_from_file(&file, &headers) ||
        image_is_debug_only(file.elf))
        return NULL;
    enum module_file state = judge(
        search, trust, &file, image_verify(module, search->image->target->mem, &file, &headers));
    if (state == MODULE_FILE_WRONG)
        remember_other(module, place, &file);
    if (rank(state) <= rank(module->public.file_state))
        return NULL;
    return take(module, place, &file, &headers, state);
}

bool image_try_place(struct image_search *search, enum image_trust trust, const char *root,
                     const char *path_format, ...)
{
    struct image_place place = {0};
    va_list args;
    va_start(args, path_format);
    if (vasprintf(&place.path, path_format, args) < 0)
        place.path = NULL;
    va_end(args);
    if (root)
        place.root = strdup(root);
    if (!place.path || (root && !place.root))
        search->err = err_create(ERR_NO_MEMORY, "out of memory");
    else
        search->err = try_file(search, &place, trust);
    image_place_deinit(&place);
    return search->err || search->module->public.file_state == MODULE_FILE_VERIFIED;
}

static void search_live(struct image_search *search)
{
    const struct module *module = &search->module->public;
    struct image_roots roots;
    // map_files needs a privilege, but is right where names are not: chroot, pivot_root, a library
    // that was replaced (proc(5)).
    const struct image_range *first = &search->module->ranges.items[0];
    if (image_try_place(search, IMAGE_BY_INODE, NULL, "/proc/%d/map_files/%llx-%llx",
                        search->image->target->pid, (unsigned long long)first->start,
                        (unsigned long long)first->end))
        return;
    image_roots_of(search->image, &roots);
    for (size_t i = 0; i < roots.count; i++)
        if (image_try_place(search, IMAGE_BY_NAME, roots.names[i], "%s",
                            image_path_below(&roots, i, module->path)))
            return;
}

// The vDSO is no file; the kernel's image of it, section headers and all, is in memory.
static void open_vdso(struct image *image, struct image_module *module)
{
    const struct image_range *range = &module->ranges.items[0];
    uint64_t size = range->end - range->start;
    if (size > (1u << 20))
        return;
    AUTO_FREE void *bytes = malloc(size);
    if (!bytes || mem_read_some(image->target->mem, range->start, bytes, size) != size)
        return;
    elf_version(EV_CURRENT);
    module->rebuilt_tried = true;
    module->rebuilt = elf_memory(bytes, size);
    if (module->rebuilt && !image_frames_sane(module->rebuilt)) {
        elf_end(module->rebuilt);
        module->rebuilt = NULL;
    }
    if (!module->rebuilt)
        return;
    module->rebuilt_bytes = TAKE(bytes);
    module->public.file_state = MODULE_FILE_VERIFIED;
}

struct err *image_locate(struct image *image, struct image_module *module)
{
    struct image_search search = {.image = image, .module = module};
    if (module->is_vdso)
        open_vdso(image, module);
    else if (image->target->kind == TARGET_LIVE)
        search_live(&search);
    else
        image_search_core(&search);
    return search.err;
}

bool image_module_open(struct image_module *module)
{
    if (module->file.fd >= 0)
        return true;
    if (module->file_failed || !module->public.file)
        return false;
    const struct stat *was = &module->identity, *is = &module->file.stat;
    if (!image_file_open(&module->place, &module->file)) {
        module->file_failed = true;
    } else if (is->st_dev != was->st_dev || is->st_ino != was->st_ino ||
               is->st_size != was->st_size || is->st_mtim.tv_sec != was->st_mtim.tv_sec ||
               is->st_mtim.tv_nsec != was->st_mtim.tv_nsec) {
        // It was verified, and has been replaced since.
        image_file_close(&module->file);
        module->file_failed = true;
    }
    return !module->file_failed;
}

void image_module_close(struct image_module *module)
{
    image_file_close(&module->file);
}

Elf *image_module_elf(struct image_module *module)
{
    if (module->is_vdso)
        return module->rebuilt;
    image_files_take(module);
    if (module->elf)
        return module->elf;
    bool was_open = module->file.fd >= 0;
    if (!image_module_open(module))
        return NULL;
    module->elf = image_file_map(&module->file);
    if (!module->elf)
        module->file_failed = true;
    image_files_give(module);
    if (!was_open)
        image_module_close(module);
    return module->elf;
}
