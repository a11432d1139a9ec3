// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_memory.h.
#include "fake_memory.h"

static size_t read_arena(void *arg, uint64_t addr, void *buffer, size_t size)
{
    const struct fake_memory *memory = arg;
    memcpy(buffer, memory->bytes + (addr - FAKE_BASE), size);
    return size;
}

void fake_memory_init(struct fake_memory *memory, size_t size)
{
    *memory = (struct fake_memory){.bytes = calloc(1, size), .size = size};
    assert_non_null(memory->bytes);
    fake_memory_reset(memory);
}

void fake_memory_reset(struct fake_memory *memory)
{
    mem_destroy(memory->mem);
    memory->mem = mem_create();
    assert_non_null(memory->mem);
    assert_ok(mem_add(memory->mem, FAKE_BASE, FAKE_BASE + memory->size, MEM_CORE, read_arena,
                      memory, false));
}

void fake_memory_deinit(struct fake_memory *memory)
{
    mem_destroy(memory->mem);
    free(memory->bytes);
}

uint64_t fake_alloc(struct fake_memory *memory, size_t size)
{
    size_t at = memory->used;
    memory->used += (size + 15) / 16 * 16 + 16;
    if (memory->used > memory->size)
        fail_msg("the fake memory of %zu bytes is full", memory->size);
    return FAKE_BASE + at;
}

void *fake_at(struct fake_memory *memory, uint64_t addr)
{
    return memory->bytes + (addr - FAKE_BASE);
}

void fake_put(struct fake_memory *memory, uint64_t addr, const void *bytes, size_t size)
{
    if (size)
        memcpy(fake_at(memory, addr), bytes, size);
}

void fake_put_u64(struct fake_memory *memory, uint64_t addr, uint64_t value)
{
    fake_put(memory, addr, &value, sizeof(value));
}

void fake_hide(struct fake_memory *memory, uint64_t start, uint64_t end)
{
    assert_ok(mem_add(memory->mem, start, end, MEM_ABSENT, NULL, NULL, false));
}

uint64_t fake_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dull;
}

void fake_assert_ok(struct err *err, const char *file, int line)
{
    if (!err)
        return;
    print_error("%s:%d: error %d: %s\n", file, line, err_code(err), err_message(err));
    err_destroy(err);
    _fail(file, line);
}

void fake_assert_err(struct err *err, enum err_code code, const char *part, const char *file,
                     int line)
{
    if (err && err_code(err) == code && strstr(err_message(err), part)) {
        err_destroy(err);
        return;
    }
    print_error("%s:%d: expected error %d with \"%s\", got %d: %s\n", file, line, code, part,
                err ? (int)err_code(err) : -1, err ? err_message(err) : "success");
    err_destroy(err);
    _fail(file, line);
}
