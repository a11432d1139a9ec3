// SPDX-License-Identifier: GPL-3.0-or-later
// What is said of modules whose files are not at hand, or not proved to be theirs: by name, build
// ID, and what lies in their place.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/image_private.h"
#include "util/guard.h"

#define NAMES_IN_NOTE 4

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// Without these there is no report at all, so they are named first.
static bool is_interpreter(const struct image_module *module)
{
    return module->is_exe || strncmp(base_name(module->public.path), "libpython", 9) == 0;
}

// "libx.so (build ID 12…; /usr/lib/libx.so has 34…)"
static bool append_name(char **names, const struct image_module *module)
{
    char *longer = NULL, id[129];
    const char *other = module->public.file_state == MODULE_FILE_WRONG ? module->other_build : NULL;
    const char *so_far = *names ? *names : "", *comma = *names ? ", " : "";
    const char *name = base_name(module->public.path);
    module_build_id_text(&module->public, id);
    int made;
    if (other)
        made = asprintf(&longer, "%s%s%s (build ID %s; %s)", so_far, comma, name, *id ? id : "none",
                        other);
    else if (*id)
        made = asprintf(&longer, "%s%s%s (build ID %s)", so_far, comma, name, id);
    else
        made = asprintf(&longer, "%s%s%s", so_far, comma, name);
    if (made < 0)
        return false;
    free(*names);
    *names = longer;
    return true;
}

// One note for all modules in one state: a core from another machine has a hundred of them.
static void note_state(struct image *image, const struct image_found *found, enum module_file state,
                       const char *what)
{
    size_t count = 0;
    AUTO_FREE char *names = NULL;
    for (int first = 1; first >= 0; first--) {
        vec_foreach (module, found) {
            if ((*module)->public.file_state != state || is_interpreter(*module) != first)
                continue;
            if (count++ < NAMES_IN_NOTE && !append_name(&names, *module))
                return;
        }
    }
    if (count > NAMES_IN_NOTE)
        target_note(image->target, "%s: %s and %zu more", what, names, count - NAMES_IN_NOTE);
    else if (count)
        target_note(image->target, "%s: %s", what, names);
}

void image_note_states(struct image *image, const struct image_found *found)
{
    bool core = image->target->kind == TARGET_CORE;
    note_state(image, found, MODULE_FILE_MISSING,
               core ? "mapped files that are not at hand (give --sysroot, or --exe for the program)"
                    : "mapped files that cannot be opened");
    note_state(image, found, MODULE_FILE_WRONG,
               core ? "mapped files of which only another build is at hand, which was not used "
                      "(give --sysroot, or --exe for the program)"
                    : "mapped files of which only another build is at hand, which was not used");
    note_state(image, found, MODULE_FILE_UNVERIFIED,
               "mapped files that were used though no build ID proves that they are those that "
               "ran");
}

static bool lacks_file(const struct image_module *module)
{
    return !module->is_vdso && (module->public.file_state == MODULE_FILE_MISSING ||
                                module->public.file_state == MODULE_FILE_WRONG);
}

char *image_missing_interpreter(const struct image *image)
{
    char *names = NULL;
    vec_foreach (module, &image->modules)
        if (lacks_file(*module) && is_interpreter(*module) && !append_name(&names, *module))
            break;
    return names;
}

bool image_lacks_code(const struct image *image, uint64_t addr)
{
    const struct image_module *module = (struct image_module *)image_module_at(image, addr);
    uint8_t byte;
    return module && lacks_file(module) && mem_read_some(image->target->mem, addr, &byte, 1) != 1;
}
