// SPDX-License-Identifier: GPL-3.0-or-later
// Halving what is sorted.
#ifndef UTIL_BISECT_H
#define UTIL_BISECT_H

#include <stddef.h>

// Of `count` items the first ones fulfil `before`, an expression of the index `at`, and the others do not:
// how many do, which is the index of the first of the others.
#define bisect(count, at, before)                  \
    ({                                             \
        size_t low_ = 0, high_ = (count);          \
        while (low_ < high_) {                     \
            size_t at = low_ + (high_ - low_) / 2; \
            if (before)                            \
                low_ = at + 1;                     \
            else                                   \
                high_ = at;                        \
        }                                          \
        low_;                                      \
    })

#endif
