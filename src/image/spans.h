// SPDX-License-Identifier: GPL-3.0-or-later
// Address ranges that nest and overlap, made flat once so that one search by halves finds the
// innermost of those that hold an address.
#ifndef IMAGE_SPANS_H
#define IMAGE_SPANS_H

#include <stdint.h>

#include "util/vec.h"

struct image_span {
    uint64_t start, end;
    uint64_t value; // what lies there
};

VEC_DEFINE(image_spans, struct image_span);

bool image_spans_add(struct image_spans *spans, uint64_t start, uint64_t end, uint64_t value);
// Sorts by start; of those that start at one address, the order in which they were added stays.
bool image_spans_sort(struct image_spans *spans);
// Of sorted spans: cuts them so that none overlap. Where several hold an address, the one that
// comes last in the sorted order has it.
bool image_spans_flatten(struct image_spans *spans);
const struct image_span *image_spans_find(const struct image_spans *spans, uint64_t addr);

#endif
