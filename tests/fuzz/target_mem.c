// SPDX-License-Identifier: GPL-3.0-or-later
// The memory model and the copy of a snapshot, beside a plain array that says what must be read.
// The input is a list of operations on 64 KiB of addresses.
#include "fuzz.h"
#include "mem/copy.h"

#define BASE 0x7f0000000000u
#define SPAN 65536u
#define MAX_READ 9000u

enum { NOT_THERE, FIRST_SOURCE, SOURCES = 4 };

static uint8_t owner[SPAN]; // of each address

static uint8_t byte_of(unsigned source, uint64_t addr)
{
    return (uint8_t)(addr * 131 + addr / 256 + source * 57);
}

static uint8_t source_ids[SOURCES] = {0, 1, 2, 3};

static size_t read_source(void *arg, uint64_t addr, void *buffer, size_t size)
{
    uint8_t source = *(const uint8_t *)arg, *bytes = buffer;
    // Source 3 has holes.
    for (size_t i = 0; i < size; i++) {
        if (source == 3 && (addr + i) % 4099 == 0)
            return i;
        bytes[i] = byte_of(source, addr + i);
    }
    return size;
}

static bool is_there(uint64_t addr)
{
    return addr >= BASE && addr < BASE + SPAN && owner[addr - BASE] != NOT_THERE &&
           !(owner[addr - BASE] == 3 && addr % 4099 == 0);
}

static void add(struct mem *mem, uint64_t start, uint64_t end, unsigned source)
{
    AUTO_ERR struct err *err =
        mem_add(mem, start, end, source == NOT_THERE ? MEM_ABSENT : MEM_CORE,
                source == NOT_THERE ? NULL : read_source, &source_ids[source], source % 2);
    for (uint64_t at = start; !err && at < end; at++)
        owner[at - BASE] = (uint8_t)source;
}

static void check_read(struct mem *mem, uint64_t addr, size_t size)
{
    uint8_t bytes[MAX_READ];
    size_t got = mem_read_some(mem, addr, bytes, size);
    FUZZ_CHECK(got <= size);
    for (size_t i = 0; i < got; i++)
        FUZZ_CHECK(is_there(addr + i) && bytes[i] == byte_of(owner[addr + i - BASE], addr + i));
    FUZZ_CHECK(got == size || !is_there(addr + got));
    AUTO_ERR struct err *err = mem_read(mem, addr, bytes, size);
    FUZZ_CHECK(!err == (got == size));
}

static void check_copy(struct mem *mem, struct mem_copy *copy, uint64_t addr, size_t size)
{
    uint8_t bytes[MAX_READ];
    // In most rounds what misses is fetched, as the sampler does it.
    bool had = mem_copy_has(copy, addr, size);
    size_t got = mem_read_some(mem_copy_view(copy), addr, bytes, size);
    FUZZ_CHECK(!had || got == size);
    for (size_t i = 0; i < got; i++)
        FUZZ_CHECK(is_there(addr + i) && bytes[i] == byte_of(owner[addr + i - BASE], addr + i));
    if (addr % 3 == 0)
        return;
    struct mem_ranges misses = {0};
    for (size_t i = 0; i < mem_copy_misses(copy)->count; i++)
        FUZZ_CHECK(vec_push(&misses, mem_copy_window(mem_copy_misses(copy)->items[i])));
    mem_copy_clear_misses(copy);
    vec_foreach (range, &misses) {
        void *place;
        if (range->size > SPAN)
            range->size = SPAN;
        FUZZ_CHECK(mem_copy_reserve(copy, *range, &place));
        FUZZ_CHECK(mem_copy_commit(copy, *range, place,
                                   mem_read_some(mem, range->addr, place, range->size)));
    }
    vec_deinit(&misses);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size < 4096 ? size : 4096};
    struct mem *mem = mem_create();
    struct mem_copy *copy = mem_copy_create();
    FUZZ_CHECK(mem && copy);
    memset(owner, NOT_THERE, sizeof(owner));
    bool settled = false; // a copy is of memory that stands still
    while (in.size) {
        unsigned op = (unsigned)fuzz_take(&in, 1);
        uint64_t start = BASE + fuzz_take(&in, 2), length = fuzz_take(&in, 2) % MAX_READ;
        if (op % 4 < 2 && !settled && start + length <= BASE + SPAN) {
            add(mem, start, start + length, op / 4 % SOURCES);
        } else if (op % 4 < 3) {
            check_read(mem, op / 4 % 16 == 7 ? start - BASE : start, length);
        } else {
            settled = true;
            check_copy(mem, copy, start, length);
        }
        if (op == 255) {
            mem_copy_clear(copy);
            settled = false;
        }
    }
    mem_copy_destroy(copy);
    mem_destroy(mem);
}

static void seeds(void)
{
    static const uint8_t few[] = {4,   0, 16,  0,  16, 8,  0, 20, 0,  8, 0, 0, 18, 0,
                                  4,   2, 0,   15, 0,  32, 3, 1,  16, 0, 4, 3, 1,  16,
                                  255, 9, 255, 0,  0,  1,  0, 12, 0,  0, 0, 30};
    uint8_t many[400];
    fuzz_seed(few, sizeof(few));
    for (size_t i = 0; i < sizeof(many); i++)
        many[i] = (uint8_t)(i * 37 + i / 5 * 11);
    fuzz_seed(many, sizeof(many));
}

FUZZ_TARGET(mem, run, seeds, 3000)
