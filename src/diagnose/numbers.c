// SPDX-License-Identifier: GPL-3.0-or-later
// Finding threads by their numbers.
#include <stdlib.h>

#include "diagnose/diag.h"
#include "util/bisect.h"

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
    size_t at =
        bisect(count, i, numbers[i].pid < pid || (numbers[i].pid == pid && numbers[i].tid < tid));
    bool found = at < count && numbers[at].pid == pid && numbers[at].tid == tid;
    return found ? numbers[at].index : DIAG_NONE;
}
