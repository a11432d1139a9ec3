// SPDX-License-Identifier: GPL-3.0-or-later
// Nested address ranges made flat. See spans.h.
#include "spans.h"

#include <string.h>

#define DIGIT_BITS 11
#define DIGITS (1u << DIGIT_BITS)

bool image_spans_add(struct image_spans *spans, uint64_t start, uint64_t end, uint64_t value)
{
    return start >= end || vec_push(spans, (struct image_span){start, end, value});
}

static void sort_by_digit(const struct image_span *from, size_t count, uint64_t lowest, int shift,
                          struct image_span *to)
{
    size_t places[DIGITS] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        places[((from[i].start - lowest) >> shift) & (DIGITS - 1)]++;
    for (size_t digit = 0; digit < DIGITS; digit++) {
        size_t here = places[digit];
        places[digit] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        to[places[((from[i].start - lowest) >> shift) & (DIGITS - 1)]++] = from[i];
}

// By digits, not by comparing: a library has 100,000 symbols, and the first look-up waits for them.
bool image_spans_sort(struct image_spans *spans)
{
    uint64_t lowest = UINT64_MAX, highest = 0;
    bool sorted = true;
    for (size_t i = 0; i < spans->count; i++) {
        uint64_t start = spans->items[i].start;
        sorted &= i == 0 || spans->items[i - 1].start <= start;
        lowest = start < lowest ? start : lowest;
        highest = start > highest ? start : highest;
    }
    if (sorted)
        return true;
    struct image_spans other = {0};
    if (!vec_reserve(&other, spans->count))
        return false;
    other.count = spans->count;
    for (int shift = 0; shift < 64 && (highest - lowest) >> shift; shift += DIGIT_BITS) {
        sort_by_digit(spans->items, spans->count, lowest, shift, other.items);
        struct image_spans swap = *spans;
        *spans = other;
        other = swap;
    }
    vec_deinit(&other);
    return true;
}

// The stretch from *at to `end` belongs to the innermost open span that has not ended there.
static bool emit(struct image_spans *open, uint64_t *at, uint64_t end, struct image_spans *ret)
{
    while (open->count && *at < end) {
        const struct image_span *top = &open->items[open->count - 1];
        uint64_t stop = top->end < end ? top->end : end;
        if (*at < stop && !image_spans_add(ret, *at, stop, top->value))
            return false;
        *at = stop > *at ? stop : *at;
        if (top->end <= *at)
            open->count--;
    }
    return true;
}

bool image_spans_flatten(struct image_spans *spans)
{
    struct image_spans open = {0}, flat = {0};
    uint64_t at = 0;
    bool done = true;
    vec_foreach (span, spans) {
        done = done && emit(&open, &at, span->start, &flat) && vec_push(&open, *span);
        at = span->start;
    }
    done = done && emit(&open, &at, UINT64_MAX, &flat);
    vec_deinit(&open);
    if (!done) {
        vec_deinit(&flat);
        return false;
    }
    vec_deinit(spans);
    *spans = flat;
    return true;
}

const struct image_span *image_spans_find(const struct image_spans *spans, uint64_t addr)
{
    size_t low = 0, high = spans->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct image_span *span = &spans->items[middle];
        if (addr < span->start)
            high = middle;
        else if (addr >= span->end)
            low = middle + 1;
        else
            return span;
    }
    return NULL;
}
