// SPDX-License-Identifier: GPL-3.0-or-later
// Finding threads by their numbers.
#include <stdlib.h>

#include "diagnose/diag.h"

static int by_number(const void *left, const void *right)
{
    const struct diag_number *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->tid != b->tid)
        return a->tid < b->tid ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

void numbers_sort(struct diag_number *numbers, size_t count)
{
    qsort(numbers, count, sizeof(*numbers), by_number);
}

uint32_t numbers_find(const struct diag_number *numbers, size_t count, pid_t pid, pid_t tid)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct diag_number *at = &numbers[middle];
        if (at->pid < pid || (at->pid == pid && at->tid < tid))
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < count && numbers[low].pid == pid && numbers[low].tid == tid;
    return found ? numbers[low].index : DIAG_NONE;
}
