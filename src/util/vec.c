// SPDX-License-Identifier: GPL-3.0-or-later
// The one function behind the typed vectors: doubling growth.
#include "util/vec.h"

#include <stdint.h>

bool vec_grow(void **items, size_t *capacity, size_t want, size_t item_bytes)
{
    size_t next = *capacity ? *capacity : 8;
    while (next < want) {
        if (next > SIZE_MAX / 2)
            return false;
        next *= 2;
    }
    if (next > SIZE_MAX / item_bytes)
        return false;
    void *grown = realloc(*items, next * item_bytes);
    if (!grown)
        return false;
    *items = grown;
    *capacity = next;
    return true;
}
