// SPDX-License-Identifier: GPL-3.0-or-later
// Where the files of a core may be: under the names that the core has for them and under their
// build IDs, in the directories that the user named, in the system's, and on debuginfod servers.
#include "image/locate.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

// Links from build IDs to the programs themselves: Debian keeps none, Fedora has them in
// /usr/lib/.build-id, others beside the links to debug files (gdb manual, "Separate Debug Files").
static const char *const system_stores[] = {"/usr/lib/debug", "/usr/lib"};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// In a store DIR/.build-id. The name is made of hexadecimal digits: it leads nowhere else, but the
// links in there may.
static bool try_build_id(struct image_search *search, const char *root, const char *dir)
{
    char id[129];
    module_build_id_text(&search->module->public, id);
    return strlen(id) > 2 &&
           (image_try_place(search, IMAGE_BY_ID, root, "%s/.build-id/%.2s/%s", dir, id, id + 2) ||
            image_try_place(search, IMAGE_BY_ID, root, "%s/.build-id/%.2s/%s.debug", dir, id,
                            id + 2));
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

static bool try_exe(struct image_search *search)
{
    const struct image *image = search->image;
    if (!image->exe || !search->module->is_exe)
        return false;
    if (image_try_place(search, IMAGE_BY_USER, NULL, "%s", image->exe))
        return true;
    note_wrong_exe(image, search->module);
    return false;
}

// A tree like the target's, or a directory with the files side by side, as they get collected for a
// bug report.
static bool try_tree(struct image_search *search, const char *root)
{
    const char *path = search->module->public.path;
    return image_try_place(search, IMAGE_BY_USER, root, "%s", path) ||
           image_try_place(search, IMAGE_BY_USER, root, "/%s", base_name(path));
}

static bool try_stores(struct image_search *search, const char *root)
{
    for (size_t i = 0; i < ARRAY_SIZE(system_stores); i++)
        if (try_build_id(search, root, system_stores[i]))
            return true;
    return false;
}

static bool try_debuginfod(struct image_search *search)
{
    const struct module *module = &search->module->public;
    if (!search->image->use_debuginfod || module->build_id_bytes < 2)
        return false;
    AUTO_FREE char *path =
        image_debuginfod_executable(search->image, module->build_id, module->build_id_bytes);
    return path && image_try_place(search, IMAGE_BY_ID, NULL, "%s", path);
}

void image_search_core(struct image_search *search)
{
    const struct image *image = search->image;
    if (try_exe(search))
        return;
    if (image->sysroot
            ? try_tree(search, image->sysroot)
            : image_try_place(search, IMAGE_BY_NAME, NULL, "%s", search->module->public.path))
        return;
    if (image->debug_dir &&
        (try_build_id(search, NULL, image->debug_dir) || try_tree(search, image->debug_dir)))
        return;
    if (image->sysroot && try_stores(search, image->sysroot))
        return;
    // With a sysroot, too: a build ID is the same everywhere.
    if (try_stores(search, NULL))
        return;
    try_debuginfod(search);
}
