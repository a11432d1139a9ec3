// SPDX-License-Identifier: GPL-3.0-or-later
// Small things that everybody who reads files in pieces needs.
#ifndef UTIL_FDIO_H
#define UTIL_FDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// pread(2) until `size` bytes are there, the file ends, or it fails. Returns how many are.
size_t fd_pread(int fd, void *ret, size_t size, uint64_t offset);
bool bytes_are_zero(const void *bytes, size_t size);

#endif
