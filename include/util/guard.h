// SPDX-License-Identifier: GPL-3.0-or-later
// Scope guards: `AUTO_FREE char *text = ...;` is released when the scope is left, by any way out.
// `TRY(call)` passes an error on; guards make that safe everywhere.
#ifndef UTIL_GUARD_H
#define UTIL_GUARD_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/err.h"

static inline void guard_free(void *place)
{
    free(*(void **)place);
}

static inline void guard_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void guard_fclose(FILE **file)
{
    if (*file)
        fclose(*file);
}

static inline void guard_err(struct err **err)
{
    err_destroy(*err);
}

// clang takes a variable that is only released for an unused one.
#define GUARD(function) __attribute__((cleanup(function), unused))
#define AUTO_FREE GUARD(guard_free)
#define AUTO_CLOSE GUARD(guard_close)
#define AUTO_FCLOSE GUARD(guard_fclose)
#define AUTO_ERR GUARD(guard_err)

// Hands the pointer to the caller of the scope: the guard then has nothing to free.
#define TAKE(place)                         \
    ({                                      \
        __typeof__(place) taken_ = (place); \
        (place) = NULL;                     \
        taken_;                             \
    })

#define TRY(call)                      \
    do {                               \
        struct err *try_err_ = (call); \
        if (try_err_)                  \
            return try_err_;           \
    } while (0)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
