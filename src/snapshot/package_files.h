// SPDX-License-Identifier: GPL-3.0-or-later
// What installers leave beside packages: folders NAME-VERSION.dist-info (PEP 376, PEP 427) and
// NAME-VERSION.egg-info (setuptools).
#ifndef SNAPSHOT_PACKAGE_FILES_H
#define SNAPSHOT_PACKAGE_FILES_H

#include "target/source.h"

struct package_files; // all that was listed, once
struct package_files *package_files_create(void);
void package_files_destroy(struct package_files *files);

struct package_said {
    char name[128], version[64]; // version empty: not known
    bool shared;                 // the outermost package is of several (a namespace, PEP 420)
};
// `site`: the folder with its slash; `file`: within it, of the package `top`. False: nothing is said
// that is certain.
bool package_files_find(struct package_files *files, struct source *source, const char *site,
                        const char *top, const char *file, struct package_said *ret);

// "1.2.3rc1", and nothing else that a file or a module may hold (PEP 440, and a few that are older).
bool package_is_version(const char *text);

#endif
