// SPDX-License-Identifier: GPL-3.0-or-later
// The list of modules: made, kept up to date, asked. See image/image.h.
#include "image/image_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/hash.h"
#include "util/strtab.h"

void image_destroy(struct image *image)
{
    if (!image)
        return;
    vec_foreach (module, &image->modules)
        image_module_destroy(*module);
    vec_deinit(&image->modules);
    vec_foreach (retired, &image->retired)
        image_module_destroy(*retired);
    vec_deinit(&image->retired);
    strtab_destroy(image->names);
    image_jits_destroy(image->jits);
    image_debuginfod_close(image);
    free(image->exe);
    free(image->sysroot);
    free(image->debug_dir);
    free(image);
}

static uint64_t hash_mappings(struct target *target)
{
    uint64_t hash = HASH_SEED;
    vec_foreach (mapping, &target->mappings) {
        if (!mapping->path)
            continue;
        hash = hash_u64(hash, mapping->start);
        hash = hash_u64(hash, mapping->end);
        hash = hash_u64(hash, mapping->offset);
        hash = hash_u64(hash, mapping->inode ^ (mapping->device << 32) ^ mapping->executable);
        hash = hash_bytes(hash, mapping->path, strlen(mapping->path));
    }
    return hash;
}

static bool same_module(const struct image_module *a, const struct image_module *b)
{
    return a->public.start == b->public.start && a->inode == b->inode && a->device == b->device &&
           a->deleted == b->deleted && strcmp(a->public.path, b->public.path) == 0 &&
           a->public.build_id_bytes == b->public.build_id_bytes &&
           memcmp(a->public.build_id, b->public.build_id, a->public.build_id_bytes) == 0;
}

static struct image_module *find_same(struct image *image, const struct image_module *module)
{
    vec_foreach (old, &image->modules)
        if (!(*old)->keep && same_module(*old, module))
            return *old;
    return NULL;
}

static void guard_found(struct image_found *found)
{
    vec_deinit(found);
}

// Replaces the list; modules that stay keep their objects and what was opened for them.
static struct err *replace_modules(struct image *image, struct image_found *found,
                                   struct image_found *fresh)
{
    if (!vec_reserve(&image->retired, image->retired.count + image->modules.count))
        return err_create(ERR_NO_MEMORY, "out of memory");
    vec_foreach (slot, found) {
        struct image_module *old = find_same(image, *slot);
        if (old) {
            old->keep = true;
            old->public.end = (*slot)->public.end;
            image_module_destroy(*slot);
            *slot = old;
        } else if (!vec_push(fresh, *slot)) {
            return err_create(ERR_NO_MEMORY, "out of memory");
        }
    }
    vec_foreach (module, &image->modules) {
        if (!(*module)->keep)
            image->retired.items[image->retired.count++] = *module;
        (*module)->keep = false;
    }
    vec_deinit(&image->modules);
    image->modules.items = found->items;
    image->modules.count = found->count;
    image->modules.capacity = found->capacity;
    *found = (struct image_found){0};
    return NULL;
}

static struct err *find_files(struct image *image, struct image_found *fresh)
{
    // The vDSO is all in memory.
    vec_foreach (module, fresh)
        if (!image->record || (*module)->is_vdso)
            TRY(image_locate(image, *module));
    if (image->record)
        return NULL;
    vec_foreach (module, fresh)
        TRY(image_lend(image, *module));
    image_note_states(image, fresh);
    return NULL;
}

static struct err *list(struct image *image)
{
    GUARD(guard_found) struct image_found found = {0};
    GUARD(guard_found) struct image_found fresh = {0};
    uint64_t hash = hash_mappings(image->target);
    struct err *err = image_list_modules(image, &found);
    if (!err && image->record)
        err = image_record_modules(image, &found);
    if (!err)
        err = replace_modules(image, &found, &fresh);
    if (err) {
        // Those that stayed are in both lists.
        vec_foreach (module, &found)
            if (!(*module)->keep)
                image_module_destroy(*module);
        vec_foreach (module, &image->modules)
            (*module)->keep = false;
        return err;
    }
    TRY(find_files(image, &fresh));
    image->mappings_hash = hash;
    image->generation++;
    return NULL;
}

static bool copy_option(const char *text, char **ret)
{
    if (text && *text)
        *ret = strdup(text);
    return !text || !*text || *ret;
}

static void guard_image(struct image **image)
{
    image_destroy(*image);
}

struct err *image_open(struct target *target, const struct image_options *options,
                       struct image **ret)
{
    GUARD(guard_image) struct image *image = calloc(1, sizeof(*image));
    if (!image)
        return err_create(ERR_NO_MEMORY, "out of memory");
    image->target = target;
    if (options && (!copy_option(options->exe, &image->exe) ||
                    !copy_option(options->sysroot, &image->sysroot) ||
                    !copy_option(options->debug_dir, &image->debug_dir)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    image->files = options ? options->files : NULL;
    image->use_debuginfod = options && options->debuginfod;
    image->record = options ? options->record : NULL;
    // Needs files. What they say is in the mappings that whoever records has copied.
    if (!image->record)
        TRY(image_name_mappings(image));
    TRY(list(image));
    *ret = TAKE(image);
    return NULL;
}

struct err *image_refresh(struct image *image)
{
    bool may_change = image->target->kind == TARGET_LIVE || image->record;
    if (!may_change || hash_mappings(image->target) == image->mappings_hash)
        return NULL;
    return list(image);
}

size_t image_module_count(const struct image *image)
{
    return image->modules.count;
}

struct module *image_module(const struct image *image, size_t index)
{
    return index < image->modules.count ? &image->modules.items[index]->public : NULL;
}

struct module *image_module_at(const struct image *image, uint64_t addr)
{
    size_t low = 0, high = image->modules.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct module *module = &image->modules.items[middle]->public;
        if (addr < module->start)
            high = middle;
        else if (addr >= module->end)
            low = middle + 1;
        else
            return module;
    }
    return NULL;
}

uint64_t image_generation(const struct image *image)
{
    return image->generation;
}

void module_build_id_text(const struct module *module, char ret[static 129])
{
    *ret = '\0';
    for (size_t i = 0; i < module->build_id_bytes; i++)
        snprintf(ret + 2 * i, 3, "%02x", module->build_id[i]);
}
