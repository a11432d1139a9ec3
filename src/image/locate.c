// SPDX-License-Identifier: GPL-3.0-or-later
// Finds each module's file: the mapped inode of a live process, and for a core whatever lies under
// the names and build IDs that the user's directories offer.
#include "image/image_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

#define SYSTEM_DEBUG_DIR "/usr/lib/debug"

// One place after the other; the best file so far stays with the module.
struct search {
    struct image *image;
    struct image_module *module;
    struct err *err;
};

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

// `is_the_mapping`: the place itself guarantees that this is what is mapped.
static struct err *try_file(struct search *search, struct image_place *place, bool is_the_mapping)
{
    struct image_module *module = search->module;
    GUARD(guard_file) struct image_file file;
    GUARD(guard_headers) struct elf_headers headers = {0};
    if (!image_file_open(place, &file) || !elf_headers_from_file(&file, &headers))
        return NULL;
    enum module_file state = image_verify(module, search->image->target->mem, &file, &headers);
    bool live = search->image->target->kind == TARGET_LIVE;
    bool same = is_the_mapping || is_mapped_inode(module, &file.stat);
    // One inode is one file: no build ID is needed for that. btrfs and overlayfs show other device
    // numbers in maps than in stat(2), so there the inode number alone is a hint, no proof.
    if (live && state == MODULE_FILE_UNVERIFIED && same)
        state = MODULE_FILE_VERIFIED;
    else if (live && state == MODULE_FILE_UNVERIFIED && file.stat.st_ino != module->inode)
        state = MODULE_FILE_WRONG;
    if (rank(state) <= rank(module->public.file_state))
        return NULL;
    return take(module, place, &file, &headers, state);
}

// True when the search is over.
static bool try_place(struct search *search, bool is_the_mapping, const char *root,
                      const char *path_format, ...) __attribute__((format(printf, 4, 5)));

static bool try_place(struct search *search, bool is_the_mapping, const char *root,
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
        search->err = try_file(search, &place, is_the_mapping);
    image_place_deinit(&place);
    return search->err || search->module->public.file_state == MODULE_FILE_VERIFIED;
}

static void search_live(struct search *search)
{
    const struct module *module = &search->module->public;
    int pid = search->image->target->pid;
    char root[64];
    snprintf(root, sizeof(root), "/proc/%d/root", pid);
    // map_files needs a privilege, but is right where names are not: chroot, pivot_root, a library
    // that was replaced (proc(5)).
    const struct image_range *first = &search->module->ranges.items[0];
    if (try_place(search, true, NULL, "/proc/%d/map_files/%llx-%llx", pid,
                  (unsigned long long)first->start, (unsigned long long)first->end))
        return;
    if (try_place(search, false, root, "%s", module->path))
        return;
    try_place(search, false, NULL, "%s", module->path);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool try_build_id(struct search *search, const char *root, const char *dir)
{
    char id[129];
    module_build_id_text(&search->module->public, id);
    return strlen(id) > 2 &&
           try_place(search, false, root, "%s/.build-id/%.2s/%s", dir, id, id + 2);
}

static void note_wrong_exe(const struct image *image, const struct image_module *module)
{
    char id[129];
    module_build_id_text(&module->public, id);
    if (module->public.file_state == MODULE_FILE_MISSING)
        target_note(image->target, "--exe %s cannot be opened as an ELF program", image->exe);
    else if (module->public.file_state == MODULE_FILE_WRONG)
        target_note(image->target, "--exe %s is another build than the program that ran (%s%s%s)",
                    image->exe, module->public.path, *id ? ", build ID " : "", id);
}

static void search_core(struct search *search)
{
    const struct image *image = search->image;
    const char *path = search->module->public.path, *sysroot = image->sysroot;
    if (image->exe && search->module->is_exe) {
        if (try_place(search, false, NULL, "%s", image->exe))
            return;
        note_wrong_exe(image, search->module);
    }
    if (try_place(search, false, sysroot, "%s", path))
        return;
    // A directory with the files side by side, as they get collected for a bug report.
    if (sysroot && try_place(search, false, sysroot, "/%s", base_name(path)))
        return;
    if (image->debug_dir && try_build_id(search, NULL, image->debug_dir))
        return;
    try_build_id(search, sysroot, SYSTEM_DEBUG_DIR);
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
    if (!module->rebuilt)
        return;
    module->rebuilt_bytes = TAKE(bytes);
    module->public.file_state = MODULE_FILE_VERIFIED;
}

struct err *image_locate(struct image *image, struct image_module *module)
{
    struct search search = {.image = image, .module = module};
    if (module->is_vdso)
        open_vdso(image, module);
    else if (image->target->kind == TARGET_LIVE)
        search_live(&search);
    else
        search_core(&search);
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
    if (module->elf)
        return module->elf;
    bool was_open = module->file.fd >= 0;
    if (!image_module_open(module))
        return NULL;
    module->elf = image_file_map(&module->file);
    if (!module->elf)
        module->file_failed = true;
    if (!was_open)
        image_module_close(module);
    return module->elf;
}
