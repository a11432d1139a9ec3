// SPDX-License-Identifier: GPL-3.0-or-later
// A typed vector: `VEC(struct thing) things = {0};` has .items, .count, .capacity. The macros
// return false when memory is out; the vector is then unchanged.
#ifndef UTIL_VEC_H
#define UTIL_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VEC(type)               \
    struct {                    \
        type *items;            \
        size_t count, capacity; \
    }

// A vector type with a name, for structs and parameters.
#define VEC_DEFINE(name, type)  \
    struct name {               \
        type *items;            \
        size_t count, capacity; \
    }

bool vec_grow(void **items, size_t *capacity, size_t want, size_t item_bytes);

#define vec_reserve(vec, want)    \
    ((want) <= (vec)->capacity || \
     vec_grow((void **)&(vec)->items, &(vec)->capacity, (want), sizeof(*(vec)->items)))

#define vec_push(vec, ...)                                                                       \
    (vec_reserve((vec), (vec)->count + 1) ? ((vec)->items[(vec)->count++] = (__VA_ARGS__), true) \
                                          : false)

#define vec_clear(vec) ((void)((vec)->count = 0))

#define vec_deinit(vec)                     \
    do {                                    \
        free((vec)->items);                 \
        (vec)->items = NULL;                \
        (vec)->count = (vec)->capacity = 0; \
    } while (0)

#define vec_foreach(item, vec)                             \
    for (__typeof__((vec)->items + 0) item = (vec)->items; \
         item && item < (vec)->items + (vec)->count; item++)

#endif
