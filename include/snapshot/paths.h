// SPDX-License-Identifier: GPL-3.0-or-later
// Whose code a file is, told from where it lies.
#ifndef SNAPSHOT_PATHS_H
#define SNAPSHOT_PATHS_H

enum snap_origin {
    SNAP_OWN_CODE, // of the program
    SNAP_PACKAGE,  // an installed one
    SNAP_LIBRARY,  // Python's own
};

// Where the path within the installation begins: after site-packages, or lib/python3.11. NULL: it
// is not below one.
const char *snap_installed_part(const char *path);
// The same of an installed package's file only.
const char *snap_package_part(const char *path);
// Of a co_filename; NULL is taken for the program's own.
enum snap_origin snap_origin_of(const char *path);

#endif
