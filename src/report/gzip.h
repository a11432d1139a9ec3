// SPDX-License-Identifier: GPL-3.0-or-later
// A gzip stream into a FILE (RFC 1952), without time and name: the same bytes give the same file.
#ifndef REPORT_GZIP_H
#define REPORT_GZIP_H

#include <stdio.h>

#include "util/err.h"

struct gzip;

struct err *gzip_begin(FILE *out, struct gzip **ret);
struct err *gzip_write(struct gzip *gzip, const void *bytes, size_t size);
// The end of the stream; `out` stays open.
struct err *gzip_end(struct gzip *gzip);
void gzip_destroy(struct gzip *gzip);

#endif
