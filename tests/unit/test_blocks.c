// SPDX-License-Identifier: GPL-3.0-or-later
// Scattered bytes: compared with a plain array of which each byte is known or not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "mem/blocks.h"

#define SPAN 4096

struct model {
    unsigned char bytes[SPAN];
    bool known[SPAN], changed[SPAN];
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 33;
}

static void compare_ranges(const struct mem_blocks *blocks, uint64_t base, const bool *wanted,
                           bool changed)
{
    struct mem_ranges ranges = {0};
    assert_true(mem_blocks_ranges(blocks, changed, &ranges));
    size_t next = 0;
    for (size_t at = 0; at < SPAN;) {
        if (!wanted[at]) {
            at++;
            continue;
        }
        size_t end = at;
        while (end < SPAN && wanted[end])
            end++;
        assert_true(next < ranges.count);
        assert_int_equal(ranges.items[next].addr, base + at);
        assert_int_equal(ranges.items[next].size, end - at);
        next++;
        at = end;
    }
    assert_int_equal(next, ranges.count);
    vec_deinit(&ranges);
}

static void compare(const struct mem_blocks *blocks, uint64_t base, const struct model *model)
{
    uint64_t known = 0;
    for (size_t at = 0; at < SPAN; at += 7) {
        unsigned char got[200];
        size_t there = 0, gap = 0;
        while (there < sizeof(got) && at + there < SPAN && model->known[at + there])
            there++;
        while (gap < sizeof(got) && at + gap < SPAN && !model->known[at + gap])
            gap++;
        if (at + gap == SPAN)
            gap = sizeof(got);
        assert_int_equal(mem_blocks_get(blocks, base + at, got, sizeof(got)), there);
        assert_memory_equal(got, model->bytes + at, there);
        assert_int_equal(mem_blocks_gap(blocks, base + at, sizeof(got)), gap);
    }
    for (size_t at = 0; at < SPAN; at++)
        known += model->known[at];
    assert_int_equal(mem_blocks_bytes(blocks), known);
    compare_ranges(blocks, base, model->known, false);
    compare_ranges(blocks, base, model->changed, true);
}

static void test_model(void **state)
{
    (void)state;
    // Also where addresses end, and where blocks of 64 bytes are not met from their start.
    static const uint64_t bases[] = {0, 0x7f0000000000 - 33, UINT64_MAX - SPAN - 64};
    for (size_t b = 0; b < 3; b++) {
        struct mem_blocks *blocks = mem_blocks_create();
        struct model model = {0};
        uint64_t random = 42 + b;
        assert_non_null(blocks);
        for (int round = 0; round < 300; round++) {
            size_t at = next_random(&random) % (SPAN - 300), size = 1 + next_random(&random) % 300;
            unsigned char bytes[300];
            for (size_t i = 0; i < size; i++)
                bytes[i] = (unsigned char)(next_random(&random) % 3);
            if (round % 11 == 10) {
                // Two pieces of it, and what lies between them stays.
                size_t third = size / 3;
                struct mem_range ranges[] = {{bases[b] + at, third},
                                             {bases[b] + at + 2 * third, third}};
                mem_blocks_drop(blocks, &(struct mem_ranges){.items = ranges, .count = 2});
                memset(model.known + at, 0, third);
                memset(model.known + at + 2 * third, 0, third);
            } else {
                assert_true(mem_blocks_put(blocks, bases[b] + at, bytes, size));
                for (size_t i = 0; i < size; i++) {
                    if (!model.known[at + i] || model.bytes[at + i] != bytes[i])
                        model.changed[at + i] = true;
                    model.known[at + i] = true;
                    model.bytes[at + i] = bytes[i];
                }
            }
            if (round % 29 == 28) {
                mem_blocks_settle(blocks);
                memset(model.changed, 0, sizeof(model.changed));
            }
            if (round % 11 != 10 && round % 5 == 0) {
                // What was dropped is no change that could be stored.
                for (size_t i = 0; i < SPAN; i++)
                    model.changed[i] &= model.known[i];
                compare(blocks, bases[b], &model);
            }
        }
        mem_blocks_clear(blocks);
        assert_int_equal(mem_blocks_bytes(blocks), 0);
        mem_blocks_destroy(blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
