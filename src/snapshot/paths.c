// SPDX-License-Identifier: GPL-3.0-or-later
// See snapshot/paths.h. Directories as CPython's sysconfig names them; dist-packages is Debian's.
#include "snapshot/paths.h"

#include <string.h>

#include "util/guard.h"

const char *snap_package_part(const char *path)
{
    static const char *const folders[] = {"/site-packages/", "/dist-packages/"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        const char *at = strstr(path, folders[i]);
        if (at)
            return at + strlen(folders[i]);
    }
    return NULL;
}

static const char *part_of_library(const char *path)
{
    static const char *const libraries[] = {"/lib/python3.", "/lib64/python3."};
    for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
        const char *at = strstr(path, libraries[i]);
        const char *slash = at ? strchr(at + strlen(libraries[i]), '/') : NULL;
        if (slash)
            return slash + 1;
    }
    return NULL;
}

const char *snap_installed_part(const char *path)
{
    const char *part = snap_package_part(path);
    return part ? part : part_of_library(path);
}

enum snap_origin snap_origin_of(const char *path)
{
    static const char frozen[] = "<frozen ";
    if (!path)
        return SNAP_OWN_CODE;
    if (snap_package_part(path))
        return SNAP_PACKAGE;
    return part_of_library(path) || strncmp(path, frozen, sizeof(frozen) - 1) == 0 ? SNAP_LIBRARY
                                                                                   : SNAP_OWN_CODE;
}
