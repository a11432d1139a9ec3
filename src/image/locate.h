// SPDX-License-Identifier: GPL-3.0-or-later
// The search for one module's file: one place after the other, until one is proved to be the
// module's; the best so far stays with the module.
#ifndef IMAGE_LOCATE_H
#define IMAGE_LOCATE_H

#include "image/image_private.h"

struct image_search {
    struct image *image;
    struct image_module *module;
    struct err *err;
};

enum image_trust {
    IMAGE_BY_NAME,  // what lies under the name now; the mapped file may have been another
    IMAGE_BY_USER,  // in a place that the user named
    IMAGE_BY_ID,    // only if the build ID proves it
    IMAGE_BY_INODE, // the place itself guarantees that this is what is mapped
};

// True when the search is over.
bool image_try_place(struct image_search *search, enum image_trust trust, const char *root,
                     const char *path_format, ...) __attribute__((format(printf, 4, 5)));

#endif
