// SPDX-License-Identifier: GPL-3.0-or-later
// Names of C++ and Rust as their authors wrote them.
#ifndef IMAGE_DEMANGLE_H
#define IMAGE_DEMANGLE_H

// NULL: not mangled, or not to be had (too long, nonsense, no demangler built in). To be freed.
char *image_demangle(const char *name);

#endif
