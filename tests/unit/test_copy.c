// SPDX-License-Identifier: GPL-3.0-or-later
// The copy of a stopped target's bytes: misses, gaps, what was used, and random histories against
// a model that has one word for each address.
#include "fake_memory.h"

#include "mem/copy.h"

#define BASE 0x560000000000u

static uint8_t truth(uint64_t addr)
{
    return (uint8_t)(addr * 167 + (addr >> 8) * 29 + 1);
}

// Reserves, fills with the truth, and commits the first `got` bytes.
static void commit(struct mem_copy *copy, uint64_t addr, size_t size, size_t got)
{
    struct mem_range range = {addr, size};
    void *place;
    assert_true(mem_copy_reserve(copy, range, &place));
    for (size_t i = 0; i < got; i++)
        ((uint8_t *)place)[i] = truth(addr + i);
    memset((uint8_t *)place + got, 0xee, size - got);
    assert_true(mem_copy_commit(copy, range, place, got));
}

static size_t read_some(struct mem_copy *copy, uint64_t addr, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    size_t got = mem_read_some(mem_copy_view(copy), addr, bytes, size);
    for (size_t i = 0; i < got; i++)
        if (bytes[i] != truth(addr + i))
            fail_msg("wrong byte at +%llu", (unsigned long long)(addr + i - BASE));
    free(bytes);
    return got;
}

static void assert_miss(struct mem_copy *copy, size_t index, uint64_t addr, size_t size)
{
    const struct mem_ranges *misses = mem_copy_misses(copy);
    assert_true(index < misses->count);
    assert_int_equal(misses->items[index].addr, addr);
    assert_int_equal(misses->items[index].size, size);
}

static void test_misses_and_gaps(void **state)
{
    (void)state;
    struct mem_copy *copy = mem_copy_create();
    assert_int_equal(read_some(copy, BASE, 8), 0);
    assert_miss(copy, 0, BASE, 8);
    commit(copy, BASE, 100, 60);
    assert_int_equal(mem_copy_bytes(copy), 60);
    assert_int_equal(read_some(copy, BASE + 10, 50), 50);
    assert_int_equal(mem_copy_misses(copy)->count, 1); // they are not taken back by themselves
    mem_copy_clear_misses(copy);
    assert_int_equal(mem_copy_misses(copy)->count, 0);
    assert_int_equal(read_some(copy, BASE + 50, 20), 10); // into the gap: known, no miss
    assert_int_equal(read_some(copy, BASE + 99, 1), 0);
    assert_int_equal(mem_copy_misses(copy)->count, 0);
    assert_int_equal(read_some(copy, BASE + 100, 4), 0);
    assert_int_equal(read_some(copy, BASE - 4, 8), 0);
    assert_miss(copy, 0, BASE + 100, 4);
    assert_miss(copy, 1, BASE - 4, 8);
    // The part that is there is not asked for again.
    commit(copy, BASE + 200, 50, 50);
    assert_int_equal(read_some(copy, BASE + 240, 30), 10);
    assert_miss(copy, 2, BASE + 250, 20);
    // A wish is a miss of what is not there; a known gap is no wish.
    mem_copy_want(copy, BASE + 230, 40);
    assert_miss(copy, 3, BASE + 250, 20);
    mem_copy_want(copy, BASE + 200, 50);
    mem_copy_want(copy, BASE + 55, 50);
    assert_int_equal(mem_copy_misses(copy)->count, 4);
    assert_true(mem_copy_has(copy, BASE + 200, 50));
    assert_false(mem_copy_has(copy, BASE + 200, 51));
    assert_false(mem_copy_has(copy, BASE + 60, 1));
    assert_int_equal(mem_copy_misses(copy)->count, 4);
    // A range of which nothing came.
    commit(copy, BASE + 4096, 64, 0);
    assert_int_equal(read_some(copy, BASE + 4100, 8), 0);
    assert_int_equal(mem_copy_misses(copy)->count, 4);
    mem_copy_destroy(copy);
    mem_copy_destroy(NULL);
}

static void test_reads_span_pieces(void **state)
{
    (void)state;
    struct mem_copy *copy = mem_copy_create();
    commit(copy, BASE + 100, 100, 100);
    commit(copy, BASE, 100, 100);
    commit(copy, BASE + 150, 100, 100);
    assert_int_equal(read_some(copy, BASE, 250), 250);
    assert_int_equal(mem_copy_misses(copy)->count, 0);
    mem_copy_destroy(copy);
}

// Bytes that came are there for good, whatever else is known to be missing around them, before
// and after the pieces are sorted.
static void test_gaps_hide_no_bytes(void **state)
{
    (void)state;
    struct mem_ranges used = {0};
    for (int order = 0; order < 2; order++) {
        struct mem_copy *copy = mem_copy_create();
        if (order)
            commit(copy, BASE + 100, 20, 20);
        commit(copy, BASE, 300, 10);
        if (!order)
            commit(copy, BASE + 100, 20, 20);
        for (int settled = 0; settled < 2; settled++) {
            assert_int_equal(read_some(copy, BASE + 100, 20), 20);
            assert_int_equal(read_some(copy, BASE + 110, 20), 10);
            assert_int_equal(read_some(copy, BASE + 99, 1), 0);
            assert_int_equal(read_some(copy, BASE + 200, 1), 0);
            assert_int_equal(mem_copy_misses(copy)->count, 0);
            assert_true(mem_copy_used(copy, &used)); // sorts
        }
        mem_copy_destroy(copy);
    }
    vec_deinit(&used);
}

// ---- Read-through -------------------------------------------------------------------------------

struct behind {
    size_t calls;
    uint64_t end;
};

static size_t read_behind(void *arg, uint64_t addr, void *buffer, size_t size)
{
    struct behind *behind = arg;
    behind->calls++;
    if (addr >= behind->end)
        return 0;
    if (size > behind->end - addr)
        size = behind->end - addr;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buffer)[i] = truth(addr + i);
    return size;
}

static void test_fallback(void **state)
{
    (void)state;
    struct behind behind = {.end = BASE + 0x3800};
    struct mem *mem = mem_create();
    assert_ok(mem_add(mem, BASE, BASE + 0x4000, MEM_LIVE, read_behind, &behind, false));
    struct mem_copy *copy = mem_copy_create();
    commit(copy, BASE, 32, 32);
    mem_copy_set_fallback(copy, mem);
    assert_int_equal(read_some(copy, BASE + 24, 16), 16);
    assert_int_equal(behind.calls, 1);
    // What lies beside it came along, to the end of the page at most, and stays.
    assert_int_equal(read_some(copy, BASE + 40, 200), 200);
    assert_int_equal(behind.calls, 1);
    assert_int_equal(read_some(copy, BASE + 0xff8, 8), 8);
    assert_int_equal(behind.calls, 2);
    assert_false(mem_copy_has(copy, BASE + 0x1000, 1));
    assert_int_equal(read_some(copy, BASE + 0x1ff8, 0x1000), 0x1000);
    assert_true(mem_copy_has(copy, BASE + 0x1ff8, 0x1000));
    // A source that ends early, and one that has nothing.
    assert_int_equal(read_some(copy, BASE + 0x37f0, 64), 16);
    assert_int_equal(read_some(copy, BASE + 0x3900, 8), 0);
    assert_int_equal(read_some(copy, 0x1000, 8), 0);
    assert_int_equal(mem_copy_misses(copy)->count, 0);
    // Without it the same bytes are still there.
    mem_copy_set_fallback(copy, NULL);
    behind.calls = 0;
    assert_int_equal(read_some(copy, BASE + 0x1ff8, 0x1000), 0x1000);
    assert_int_equal(read_some(copy, BASE + 0x1000, 8), 0);
    assert_miss(copy, 0, BASE + 0x1000, 8);
    assert_int_equal(behind.calls, 0);
    mem_copy_destroy(copy);
    mem_destroy(mem);
}

static void test_window(void **state)
{
    (void)state;
    struct mem_range range = mem_copy_window((struct mem_range){BASE + 16, 8});
    assert_int_equal(range.addr, BASE + 16);
    assert_int_equal(range.size, 256);
    assert_int_equal(mem_copy_window((struct mem_range){BASE + 4090, 4}).size, 6);
    assert_int_equal(mem_copy_window((struct mem_range){BASE + 4090, 8}).size, 8);
    assert_int_equal(mem_copy_window((struct mem_range){BASE, 5000}).size, 5000);
}

// ---- What was used ------------------------------------------------------------------------------

static void test_used(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        size_t size;
    } pieces[] = {
        {0, 64},       // used
        {64 + 128, 8}, // used, at the largest hole that is read along
        {400, 8},      // not used
        {600, 8},      // used, hole too large
        {4070, 16},    // used, near the end of its page
        {4100, 16},    // used, of the next page
        {8192, 0},     // a gap
    };
    static const struct mem_range expected[] = {
        {BASE, 200}, {BASE + 600, 8}, {BASE + 4070, 16}, {BASE + 4100, 16}};
    struct mem_ranges used = {0};
    struct mem_copy *copy = mem_copy_create();
    for (size_t i = ARRAY_SIZE(pieces); i-- > 0;) {
        if (pieces[i].size)
            commit(copy, BASE + pieces[i].offset, pieces[i].size, pieces[i].size);
        else
            commit(copy, BASE + pieces[i].offset, 64, 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
        if (pieces[i].offset != 400)
            read_some(copy, BASE + pieces[i].offset, 1);
    assert_true(mem_copy_has(copy, BASE + 400, 8)); // asking is not using
    assert_true(mem_copy_used(copy, &used));
    assert_int_equal(used.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < used.count; i++) {
        assert_int_equal(used.items[i].addr, expected[i].addr);
        assert_int_equal(used.items[i].size, expected[i].size);
    }
    mem_copy_clear(copy);
    assert_true(mem_copy_used(copy, &used));
    assert_int_equal(used.count, 0);
    // Read from a piece that another one covers whole.
    commit(copy, BASE, 100, 100);
    commit(copy, BASE + 10, 10, 10);
    assert_int_equal(read_some(copy, BASE + 10, 10), 10);
    assert_true(mem_copy_used(copy, &used));
    assert_int_equal(used.count, 1);
    assert_int_equal(used.items[0].addr, BASE);
    vec_deinit(&used);
    mem_copy_destroy(copy);
}

// ---- Room ---------------------------------------------------------------------------------------

static void test_reserve_aligns(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 8, 100, 4095, 4096, 4097, 70000, 1 << 20, (1 << 20) + 1,
                                   5 << 20};
    struct mem_copy *copy = mem_copy_create();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 400; i++) {
            struct mem_range range = {BASE + i * 7919, sizes[i % ARRAY_SIZE(sizes)]};
            if (range.size > 70000 && i > 30)
                range.size = 300;
            void *place;
            assert_true(mem_copy_reserve(copy, range, &place));
            size_t align = range.size >= 4096 ? 4096 : 8;
            assert_int_equal((uintptr_t)place % align,
                             range.size >= 4096 ? range.addr % align : 0);
            memset(place, 0x5a, range.size); // all of it is ours: a sanitizer or the kernel says so
        }
        mem_copy_clear(copy);
    }
    mem_copy_destroy(copy);
}

static void test_clear(void **state)
{
    (void)state;
    struct behind behind = {.end = UINT64_MAX};
    struct mem *mem = mem_create();
    assert_ok(mem_add(mem, 0, UINT64_MAX, MEM_LIVE, read_behind, &behind, false));
    struct mem_copy *copy = mem_copy_create();
    commit(copy, BASE, 64, 32);
    commit(copy, BASE + 8192, 2 << 20, 2 << 20);
    read_some(copy, BASE - 8, 8);
    mem_copy_set_fallback(copy, mem);
    mem_copy_clear(copy);
    assert_int_equal(mem_copy_bytes(copy), 0);
    assert_int_equal(mem_copy_misses(copy)->count, 0);
    assert_int_equal(read_some(copy, BASE, 8), 0);
    assert_int_equal(read_some(copy, BASE + 40, 8), 0); // the gap is forgotten, too
    assert_int_equal(mem_copy_misses(copy)->count, 2);
    assert_int_equal(behind.calls, 0);
    commit(copy, BASE, 64, 64);
    assert_int_equal(read_some(copy, BASE, 64), 64);
    mem_copy_destroy(copy);
    mem_destroy(mem);
}

static void test_top_of_the_address_space(void **state)
{
    (void)state;
    const uint64_t top = UINT64_MAX - 7;
    struct mem_ranges used = {0};
    struct mem_copy *copy = mem_copy_create();
    for (uint64_t i = 0; i < 2; i++)
        commit(copy, BASE + i * 64, 32, 32);
    assert_int_equal(read_some(copy, top, 8), 0);
    mem_copy_want(copy, top, 4096);
    for (size_t i = 0; i < mem_copy_misses(copy)->count; i++) {
        struct mem_range range = mem_copy_window(mem_copy_misses(copy)->items[i]);
        assert_true(range.addr + range.size > range.addr);
        commit(copy, range.addr, range.size, 0);
    }
    assert_true(mem_copy_used(copy, &used));
    mem_copy_clear_misses(copy);
    assert_int_equal(read_some(copy, BASE, 32), 32);
    assert_int_equal(read_some(copy, BASE + 64, 32), 32);
    assert_int_equal(read_some(copy, top, 4), 0);
    assert_int_equal(mem_copy_misses(copy)->count, 0);
    vec_deinit(&used);
    mem_copy_destroy(copy);
}

// ---- A model ------------------------------------------------------------------------------------

enum { SPACE = 40000, UNKNOWN = 0, BYTES = 1, GAP = 2 };

static uint8_t model[SPACE];

// process_vm_readv's way: bytes up to the first hole, whatever comes after it.
static bool is_hole(size_t offset)
{
    return offset % 4096 >= 3000 && offset % 4096 < 3100 + offset / 4096;
}

static void random_commit(struct mem_copy *copy, uint64_t *seed)
{
    size_t at = fake_random(seed) % SPACE, size = 1 + fake_random(seed) % 300, got = 0;
    if (fake_random(seed) % 50 == 0)
        size = 5000;
    if (size > SPACE - at)
        size = SPACE - at;
    while (got < size && !is_hole(at + got))
        got++;
    commit(copy, BASE + at, size, got);
    for (size_t i = 0; i < size; i++)
        if (i < got)
            model[at + i] = BYTES;
        else if (model[at + i] == UNKNOWN)
            model[at + i] = GAP;
}

static void random_read(struct mem_copy *copy, uint64_t *seed)
{
    size_t at = fake_random(seed) % (SPACE - 600), size = 1 + fake_random(seed) % 500, have = 0;
    while (have < size && model[at + have] == BYTES)
        have++;
    size_t before = mem_copy_misses(copy)->count;
    assert_int_equal(mem_copy_has(copy, BASE + at, size), have == size);
    assert_int_equal(read_some(copy, BASE + at, size), have);
    bool miss = have < size && model[at + have] == UNKNOWN;
    if (mem_copy_misses(copy)->count != before + miss)
        fail_msg("at +%zu: %s", at + have, miss ? "a miss was not told" : "a gap became a miss");
    if (miss)
        assert_miss(copy, before, BASE + at + have, size - have);
}

static void test_against_a_model(void **state)
{
    (void)state;
    uint64_t seed = 987654321;
    struct mem_ranges used = {0};
    struct mem_copy *copy = mem_copy_create();
    for (int round = 0; round < 12; round++) {
        memset(model, UNKNOWN, sizeof(model));
        mem_copy_clear(copy);
        // Sparse and dense rounds; several times the 256 pieces that stay unsorted.
        size_t commits = round % 3 == 0 ? 100 : round % 3 == 1 ? 700 : 2000;
        for (size_t i = 0; i < commits; i++) {
            random_commit(copy, &seed);
            for (int r = 0; r < 4; r++)
                random_read(copy, &seed);
            if (fake_random(&seed) % 200 == 0)
                assert_true(mem_copy_used(copy, &used));
        }
        assert_true(mem_copy_used(copy, &used));
        for (size_t i = 0; i < used.count; i++) {
            const struct mem_range *before = &used.items[i ? i - 1 : 0];
            assert_true(!i || before->addr + before->size <= used.items[i].addr);
            assert_int_equal(model[used.items[i].addr - BASE], BYTES);
        }
        for (int r = 0; r < 500; r++)
            random_read(copy, &seed);
    }
    vec_deinit(&used);
    mem_copy_destroy(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misses_and_gaps),
        cmocka_unit_test(test_reads_span_pieces),
        cmocka_unit_test(test_gaps_hide_no_bytes),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_used),
        cmocka_unit_test(test_reserve_aligns),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_top_of_the_address_space),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
