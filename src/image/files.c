// SPDX-License-Identifier: GPL-3.0-or-later
// What is opened and worked out of a file, once for all modules that are that file: debug information
// of an interpreter and its C library takes some 15 MB and 50 ms, and a server may have a hundred
// workers.
#include <stdlib.h>
#include <string.h>

#include "image/image_private.h"
#include "lines.h"
#include "symbol_table.h"
#include "util/strtab.h"

struct image_shared {
    struct stat identity;
    Elf *elf, *debug;
    bool debug_tried, fetch_tried;
    struct image_symbols *symbols;
    struct image_lines *lines;
};

struct image_files {
    VEC(struct image_shared *) items;
    struct strtab *names;
};

struct image_files *image_files_create(void)
{
    return calloc(1, sizeof(struct image_files));
}

void image_files_destroy(struct image_files *files)
{
    if (!files)
        return;
    vec_foreach (item, &files->items) {
        image_lines_destroy((*item)->lines);
        image_symbols_destroy((*item)->symbols);
        elf_end((*item)->elf);
        elf_end((*item)->debug);
        free(*item);
    }
    vec_deinit(&files->items);
    strtab_destroy(files->names);
    free(files);
}

struct strtab **image_files_names(struct image_files *files)
{
    return &files->names;
}

// A file that was written to has another time; one that took its place, another inode.
static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static struct image_shared *find(struct image_files *files, const struct stat *identity)
{
    vec_foreach (item, &files->items)
        if (same_file(&(*item)->identity, identity))
            return *item;
    struct image_shared *shared = calloc(1, sizeof(*shared));
    if (!shared || !vec_push(&files->items, shared)) {
        free(shared);
        return NULL;
    }
    shared->identity = *identity;
    return shared;
}

bool image_files_own(const struct image_module *module)
{
    return module->shared && module->elf && module->elf == module->shared->elf;
}

void image_files_take(struct image_module *module)
{
    struct image_files *files = module->image->files;
    if (!files || module->is_vdso || !module->identity.st_ino)
        return;
    if (!module->shared)
        module->shared = find(files, &module->identity);
    // What the module has of its own is not the store's: made before it had a store, or without its
    // file, from memory.
    struct image_shared *shared = module->shared;
    bool has_own = module->elf ? shared && module->elf != shared->elf
                               : module->debug || module->symbols || module->lines;
    if (!shared || !shared->elf || has_own)
        return;
    module->elf = shared->elf;
    module->debug_tried |= shared->debug_tried;
    module->fetch_tried |= shared->fetch_tried;
    // What is just being made is there already.
    if (!module->debug)
        module->debug = shared->debug;
    if (!module->symbols)
        module->symbols = shared->symbols;
    if (!module->lines)
        module->lines = shared->lines;
}

void image_files_give(struct image_module *module)
{
    struct image_shared *shared = module->shared;
    if (!shared || !module->elf || (shared->elf && shared->elf != module->elf))
        return;
    shared->elf = module->elf;
    shared->debug = module->debug;
    shared->debug_tried = module->debug_tried;
    shared->fetch_tried = module->fetch_tried;
    shared->symbols = module->symbols;
    shared->lines = module->lines;
}
