// SPDX-License-Identifier: GPL-3.0-or-later
// The memory model: replacement of segments in every arrangement, the page cache, short reads.
#include "fake_memory.h"

// A source whose byte at an address tells the source and the address, and counts its calls.
struct fill {
    uint8_t seed;
    uint64_t readable_end; // 0: all
    uint64_t lowest, highest; // what it was asked for
    size_t calls;
};

static uint8_t fill_byte(const struct fill *fill, uint64_t addr)
{
    return (uint8_t)(fill->seed + addr * 167 + (addr >> 8) * 13);
}

static size_t read_fill(void *arg, uint64_t addr, void *buffer, size_t size)
{
    struct fill *fill = arg;
    size_t asked = size;
    fill->calls++;
    if (addr < fill->lowest || fill->lowest == fill->highest)
        fill->lowest = addr;
    if (addr + (size - 1) > fill->highest)
        fill->highest = addr + (size - 1);
    if (fill->readable_end && addr + size > fill->readable_end)
        size = addr < fill->readable_end ? fill->readable_end - addr : 0;
    memset(buffer, 0xee, asked); // what is not told as read may be anything
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buffer)[i] = fill_byte(fill, addr + i);
    return size;
}

static void assert_bytes(struct mem *mem, const struct fill *fill, uint64_t addr, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    assert_ok(mem_read(mem, addr, bytes, size));
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != fill_byte(fill, addr + i))
            fail_msg("wrong byte at 0x%llx", (unsigned long long)(addr + i));
    free(bytes);
}

static void assert_fault(struct mem *mem, uint64_t addr, size_t size, uint64_t fault)
{
    uint8_t *bytes = malloc(size + 1);
    uint64_t at = 0, missing = 0;
    assert_non_null(bytes);
    struct err *err = mem_read(mem, addr, bytes, size);
    if (!err)
        fail_msg("%zu bytes at 0x%llx are readable", size, (unsigned long long)addr);
    assert_int_equal(err_code(err), ERR_FAULT);
    assert_true(err_fault_range(err, &at, &missing));
    assert_int_equal(at, fault);
    assert_int_equal(missing, addr + size - fault);
    err_destroy(err);
    free(bytes);
}

// ---- Segments -----------------------------------------------------------------------------------

enum { UNITS = 7, NOBODY = 99, MAPS = UNITS * (UNITS + 1) / 2 };

struct stretch {
    uint64_t start, end;
};

// Compares every read of the small address space with who should own each unit.
static void check_owners(struct mem *mem, struct fill *fills, const uint8_t *owner)
{
    for (uint64_t start = 0; start < UNITS; start++) {
        uint8_t bytes[UNITS];
        size_t got = mem_read_some(mem, 16 + start, bytes, UNITS - start), want = 0;
        while (start + want < UNITS && owner[start + want] != NOBODY &&
               fills[owner[start + want]].seed)
            want++;
        assert_int_equal(got, want);
        for (size_t i = 0; i < got; i++)
            assert_int_equal(bytes[i], fill_byte(&fills[owner[start + i]], 16 + start + i));
        struct mem_segment_info info;
        uint64_t next = start;
        while (next < UNITS && owner[next] == NOBODY)
            next++;
        assert_int_equal(mem_segment_at(mem, 16 + start, &info), next < UNITS);
        if (next < UNITS) {
            assert_true(info.end > 16 + next && info.start <= 16 + next);
            assert_int_equal(info.origin, fills[owner[next]].seed ? MEM_FILE : MEM_ABSENT);
            for (uint64_t i = info.start; i < info.end; i++)
                assert_int_equal(owner[i - 16], owner[next]);
        }
    }
}

static void test_later_segments_replace_earlier(void **state)
{
    (void)state;
    struct stretch all[MAPS];
    size_t count = 0;
    for (uint64_t start = 0; start < UNITS; start++)
        for (uint64_t end = start + 1; end <= UNITS; end++)
            all[count++] = (struct stretch){start, end};
    // Every arrangement of three; the second one is absent memory (seed 0).
    for (size_t n = 0; n < (size_t)MAPS * MAPS * MAPS; n++) {
        const struct stretch three[] = {all[n % MAPS], all[n / MAPS % MAPS], all[n / MAPS / MAPS]};
        struct fill fills[] = {{.seed = 1}, {.seed = 0}, {.seed = 100}};
        uint8_t owner[UNITS];
        memset(owner, NOBODY, sizeof(owner));
        struct mem *mem = mem_create();
        for (uint8_t i = 0; i < 3; i++) {
            assert_null(mem_add(mem, 16 + three[i].start, 16 + three[i].end,
                                fills[i].seed ? MEM_FILE : MEM_ABSENT,
                                fills[i].seed ? read_fill : NULL, &fills[i], false));
            memset(owner + three[i].start, i, three[i].end - three[i].start);
        }
        check_owners(mem, fills, owner);
        mem_destroy(mem);
    }
}

static void test_empty_segments_and_ends(void **state)
{
    (void)state;
    struct fill fill = {.seed = 3};
    struct mem_segment_info info;
    uint8_t byte;
    struct mem *mem = mem_create();
    assert_int_equal(mem_read_some(mem, 0, &byte, 1), 0);
    assert_false(mem_segment_at(mem, 0, &info));
    assert_ok(mem_add(mem, 100, 100, MEM_FILE, read_fill, &fill, true));
    assert_ok(mem_add(mem, 100, 50, MEM_FILE, read_fill, &fill, true));
    assert_false(mem_segment_at(mem, 0, &info));
    assert_ok(mem_add(mem, 100, 200, MEM_TRUNCATED, NULL, NULL, false));
    assert_true(mem_segment_at(mem, 0, &info));
    assert_int_equal(info.start, 100);
    assert_int_equal(info.origin, MEM_TRUNCATED);
    assert_false(mem_segment_at(mem, 200, &info));
    assert_fault(mem, 100, 8, 100);
    assert_int_equal(mem_read_some(mem, 100, &byte, 0), 0);
    mem_destroy(mem);
    mem_destroy(NULL);
    for (enum mem_origin origin = MEM_ABSENT; origin <= MEM_COPY; origin++)
        assert_true(mem_origin_name(origin)[0]);
}

static void test_faults_are_exact(void **state)
{
    (void)state;
    struct fill a = {.seed = 1, .readable_end = 0x1800}, b = {.seed = 2};
    for (int cache = 0; cache < 2; cache++) {
        struct mem *mem = mem_create();
        assert_ok(mem_add(mem, 0x1000, 0x3000, MEM_CORE, read_fill, &a, cache));
        assert_ok(mem_add(mem, 0x3000, 0x3100, MEM_CORE, read_fill, &b, cache));
        assert_bytes(mem, &a, 0x17f8, 8);
        assert_fault(mem, 0x17f8, 9, 0x1800);
        assert_fault(mem, 0x17f9, 8, 0x1800);
        assert_fault(mem, 0x1000, 0x4000, 0x1800); // does not go on behind the gap
        assert_fault(mem, 0x1ff8, 16, 0x1ff8);
        assert_bytes(mem, &b, 0x30f8, 8);
        assert_fault(mem, 0x30fc, 8, 0x3100);
        assert_fault(mem, 0xfff, 2, 0xfff);
        assert_fault(mem, 0, 8, 0);
        mem_destroy(mem);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    struct fake_memory memory;
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;
    fake_memory_init(&memory, 64);
    fake_put_u64(&memory, FAKE_BASE + 8, 0x8877665544332211u);
    assert_ok(mem_read_u8(memory.mem, FAKE_BASE + 9, &u8));
    assert_ok(mem_read_u32(memory.mem, FAKE_BASE + 9, &u32));
    assert_ok(mem_read_u64(memory.mem, FAKE_BASE + 8, &u64));
    assert_int_equal(u8, 0x22);
    assert_int_equal(u32, 0x55443322);
    assert_int_equal(u64, 0x8877665544332211u);
    assert_err(mem_read_u64(memory.mem, FAKE_BASE + 57, &u64), ERR_FAULT,
               "1 bytes at 0x7f0000000040");
    fake_memory_deinit(&memory);
}

// ---- The page cache -----------------------------------------------------------------------------

static void test_cache_reads_each_page_once(void **state)
{
    (void)state;
    struct fill fill = {.seed = 7};
    struct mem *mem = mem_create();
    assert_ok(mem_add(mem, 0x10000, 0x20000, MEM_FILE, read_fill, &fill, true));
    for (int i = 0; i < 100; i++)
        assert_bytes(mem, &fill, 0x10010 + (uint64_t)i * 8, 8);
    assert_int_equal(fill.calls, 1);
    assert_bytes(mem, &fill, 0x11ff0, 0x20); // two pages
    assert_int_equal(fill.calls, 3);
    assert_bytes(mem, &fill, 0x12000, 0x8000); // too large for it
    assert_int_equal(fill.calls, 4);
    // Pages that share a slot of the cache (it has 512).
    assert_ok(mem_add(mem, 0x210000, 0x211000, MEM_FILE, read_fill, &fill, true));
    for (int i = 0; i < 3; i++) {
        assert_bytes(mem, &fill, 0x10000, 16);
        assert_bytes(mem, &fill, 0x210000, 16);
    }
    mem_destroy(mem);
}

static void test_cache_forgets_replaced_pages(void **state)
{
    (void)state;
    struct fill a = {.seed = 1}, b = {.seed = 90};
    struct mem *mem = mem_create();
    assert_ok(mem_add(mem, 0x1000, 0x6000, MEM_FILE, read_fill, &a, true));
    for (uint64_t page = 0x1000; page < 0x6000; page += 0x1000)
        assert_bytes(mem, &a, page, 64);
    assert_ok(mem_add(mem, 0x2800, 0x3001, MEM_CORE, read_fill, &b, false));
    assert_bytes(mem, &a, 0x2000, 0x800);
    assert_bytes(mem, &b, 0x2800, 0x801);
    assert_bytes(mem, &a, 0x3001, 0x10);
    assert_ok(mem_add(mem, 0x4000, 0x5000, MEM_CORE, read_fill, &b, true));
    assert_bytes(mem, &b, 0x4000, 64);
    assert_bytes(mem, &a, 0x5000, 64);
    assert_ok(mem_add(mem, 0x5000, 0x5008, MEM_ABSENT, NULL, NULL, false));
    assert_fault(mem, 0x4ff8, 16, 0x5000);
    assert_bytes(mem, &a, 0x5008, 64);
    mem_destroy(mem);
}

static void test_cache_at_the_top_of_the_address_space(void **state)
{
    (void)state;
    const uint64_t start = 0xfffffffffffff000u, end = start + 0x800;
    struct fill fill = {.seed = 5}, other = {.seed = 77};
    struct mem *mem = mem_create();
    assert_ok(mem_add(mem, start, end, MEM_FILE, read_fill, &fill, true));
    assert_bytes(mem, &fill, start + 0x7f8, 8);
    assert_fault(mem, start + 0x7fc, 8, end);
    // A source is never asked for more than its segment.
    assert_int_equal(fill.lowest, start + 0x7f8);
    assert_int_equal(fill.highest, end - 1);
    assert_ok(mem_add(mem, start, UINT64_MAX, MEM_FILE, read_fill, &fill, true));
    assert_bytes(mem, &fill, start, 64);
    assert_true(fill.highest < UINT64_MAX);
    assert_ok(mem_add(mem, start, UINT64_MAX, MEM_FILE, read_fill, &other, true));
    assert_bytes(mem, &other, start, 64);
    uint8_t bytes[16];
    assert_int_equal(mem_read_some(mem, UINT64_MAX - 8, bytes, 16), 8);
    mem_destroy(mem);
}

enum { SPACE_PAGES = 40, SPACE = SPACE_PAGES * 4096 };

static void test_cache_against_a_model(void **state)
{
    (void)state;
    uint64_t seed = 12345;
    static uint8_t owner[SPACE];
    for (int round = 0; round < 60; round++) {
        struct fill fills[24];
        struct mem *mem = mem_create();
        memset(owner, NOBODY, sizeof(owner));
        if (round % 3 == 1)
            mem_cache_begin(mem);
        for (uint8_t i = 0; i < ARRAY_SIZE(fills); i++) {
            fills[i] = (struct fill){.seed = (uint8_t)(i * 10 + 1)};
            uint64_t start = fake_random(&seed) % SPACE, size = 1 + fake_random(&seed) % 20000;
            if (fake_random(&seed) % 2)
                start &= ~0xfffull;
            uint64_t end = start + size < SPACE ? start + size : SPACE;
            bool absent = fake_random(&seed) % 6 == 0;
            if (round % 3 && fake_random(&seed) % 3 == 0)
                fills[i].readable_end = 0x70000 + start + 1 + fake_random(&seed) % (end - start);
            assert_ok(mem_add(mem, 0x70000 + start, 0x70000 + end, MEM_FILE,
                              absent ? NULL : read_fill, &fills[i], fake_random(&seed) % 2));
            memset(owner + start, absent ? NOBODY : i, end - start);
            if (fills[i].readable_end)
                memset(owner + (fills[i].readable_end - 0x70000), NOBODY,
                       end - (fills[i].readable_end - 0x70000));
            if (round % 12 == 2)
                i % 2 ? mem_cache_end(mem) : mem_cache_begin(mem);
            for (int read = 0; read < 60; read++) {
                static uint8_t bytes[9000];
                uint64_t at = fake_random(&seed) % SPACE;
                size_t want = fake_random(&seed) % (read % 8 ? 40 : sizeof(bytes)), have = 0;
                while (have < want && at + have < SPACE && owner[at + have] != NOBODY)
                    have++;
                assert_int_equal(mem_read_some(mem, 0x70000 + at, bytes, want), have);
                for (size_t b = 0; b < have; b++)
                    if (bytes[b] != fill_byte(&fills[owner[at + b]], 0x70000 + at + b))
                        fail_msg("wrong byte at %llu", (unsigned long long)(at + b));
            }
        }
        mem_destroy(mem);
    }
}

// ---- Strings ------------------------------------------------------------------------------------

static void assert_cstr(struct mem *mem, uint64_t addr, size_t limit, const char *expected)
{
    char *text = NULL;
    assert_ok(mem_read_cstr(mem, addr, limit, &text));
    assert_string_equal(text, expected);
    free(text);
}

static void test_cstr(void **state)
{
    (void)state;
    struct fake_memory memory;
    char long_text[701], *text = NULL;
    fake_memory_init(&memory, 8192);
    memset(long_text, 'x', 700);
    long_text[700] = '\0';
    fake_put(&memory, FAKE_BASE + 10, "hello", 6);
    assert_cstr(memory.mem, FAKE_BASE + 10, 64, "hello");
    assert_cstr(memory.mem, FAKE_BASE + 15, 64, "");
    assert_cstr(memory.mem, FAKE_BASE + 10, 5, "hello");
    assert_cstr(memory.mem, FAKE_BASE + 10, 3, "hel");
    assert_cstr(memory.mem, FAKE_BASE + 10, 0, "");
    fake_put(&memory, FAKE_BASE + 3900, long_text, 701); // over a page border and many windows
    assert_cstr(memory.mem, FAKE_BASE + 3900, 4096, long_text);
    long_text[300] = '\0';
    assert_cstr(memory.mem, FAKE_BASE + 3900, 300, long_text);
    // Ends with the last readable byte, and one that has no end.
    fake_put(&memory, FAKE_BASE + 8188, "end", 4);
    assert_cstr(memory.mem, FAKE_BASE + 8188, 256, "end");
    fake_put(&memory, FAKE_BASE + 8188, "endX", 4);
    assert_err(mem_read_cstr(memory.mem, FAKE_BASE + 8188, 256, &text), ERR_FAULT,
               "at 0x7f0000002000");
    assert_cstr(memory.mem, FAKE_BASE + 8188, 4, "endX");
    assert_err(mem_read_cstr(memory.mem, 0, 256, &text), ERR_FAULT, "at 0x0");
    fake_memory_deinit(&memory);
}

static void test_cache_between_begin_and_end(void **state)
{
    (void)state;
    struct fill fill = {.seed = 3};
    struct mem *mem = mem_create();
    assert_non_null(mem);
    assert_ok(mem_add(mem, 0x10000, 0x20000, MEM_LIVE, read_fill, &fill, false));
    mem_cache_begin(mem);
    for (uint64_t addr = 0x11000; addr < 0x11800; addr += 8)
        assert_bytes(mem, &fill, addr, 8);
    assert_int_equal(fill.calls, 1);
    // What changes meanwhile is not seen.
    fill.seed = 7;
    uint8_t byte;
    assert_ok(mem_read_u8(mem, 0x11000, &byte));
    assert_int_not_equal(byte, fill_byte(&fill, 0x11000));
    mem_cache_end(mem);
    assert_bytes(mem, &fill, 0x11000, 8);
    assert_bytes(mem, &fill, 0x11008, 8);
    assert_int_equal(fill.calls, 3);
    // One that is given up while it is on.
    mem_cache_begin(mem);
    assert_bytes(mem, &fill, 0x12000, 8);
    mem_destroy(mem);
}

// Who reads page after page has those beside them already.
static void test_cache_reads_neighbours(void **state)
{
    (void)state;
    const uint64_t apart = 64u << 20; // what is so far apart shares a place in the cache
    struct fill fill = {.seed = 3, .readable_end = 0x18800}, other = {.seed = 50};
    struct mem *mem = mem_create();
    assert_ok(mem_add(mem, 0x10000, 0x24000, MEM_LIVE, read_fill, &fill, false));
    assert_ok(mem_add(mem, apart, apart + 0x40000, MEM_LIVE, read_fill, &other, false));
    mem_cache_begin(mem);
    assert_bytes(mem, &other, apart + 0x1c000, 8);
    assert_bytes(mem, &fill, 0x10000, 8);
    assert_int_equal(fill.calls, 1);
    assert_int_equal(fill.highest, 0x10fff);
    for (uint64_t page = 0x11000; page <= 0x18000; page += 0x1000)
        assert_bytes(mem, &fill, page + 0x7f8, 8);
    assert_int_equal(fill.calls, 2);
    assert_int_equal(fill.highest, 0x1ffff); // no further than the group
    assert_fault(mem, 0x187fc, 8, 0x18800);
    // Its bytes were overwritten.
    assert_bytes(mem, &other, apart + 0x1c000, 8);
    // A hole that begins with the page that is asked for, or before it.
    assert_bytes(mem, &other, apart + 0x1a000, 16);
    fill.readable_end = 0;
    assert_bytes(mem, &fill, 0x1b000, 8);
    fill.readable_end = 0x1a000;
    assert_fault(mem, 0x1a000, 8, 0x1a000);
    assert_bytes(mem, &other, apart + 0x1e000, 16);
    fill.readable_end = 0;
    assert_bytes(mem, &fill, 0x1f000, 8);
    fill.readable_end = 0x1c800;
    assert_fault(mem, 0x1e000, 8, 0x1e000);
    fill.readable_end = 0;
    assert_bytes(mem, &fill, 0x1d000, 8);
    // Groups end where segments do, and what was read stays as it was.
    assert_bytes(mem, &fill, 0x23000, 8);
    fill.seed++;
    assert_bytes(mem, &fill, 0x22000, 8);
    assert_int_equal(fill.highest, 0x23fff);
    fill.seed--;
    assert_bytes(mem, &fill, 0x23000, 8);
    mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later_segments_replace_earlier),
        cmocka_unit_test(test_empty_segments_and_ends),
        cmocka_unit_test(test_faults_are_exact),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_cache_reads_each_page_once),
        cmocka_unit_test(test_cache_forgets_replaced_pages),
        cmocka_unit_test(test_cache_at_the_top_of_the_address_space),
        cmocka_unit_test(test_cache_against_a_model),
        cmocka_unit_test(test_cstr),
        cmocka_unit_test(test_cache_between_begin_and_end),
        cmocka_unit_test(test_cache_reads_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
