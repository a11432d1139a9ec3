// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_core.h.
#include "fake_core.h"

#include "core_builder.h"
#include "fake_image.h"
#include "fake_module.h"
#include "fake_offsets.h"
#include "fuzz.h"

#define STACK_ADDR 0x7ffd00000000u
#define STACK_WORDS 256

static const struct {
    uint16_t version;
    uint8_t build;
} kinds[FAKE_CORE_KINDS] = {
    {0x0306, PY_BUILD_RELEASE}, {0x0307, PY_BUILD_RELEASE},       {0x0308, PY_BUILD_RELEASE},
    {0x0309, PY_BUILD_RELEASE}, {0x030a, PY_BUILD_RELEASE},       {0x030b, PY_BUILD_RELEASE},
    {0x030c, PY_BUILD_RELEASE}, {0x030d, PY_BUILD_RELEASE},       {0x030e, PY_BUILD_RELEASE},
    {0x030f, PY_BUILD_RELEASE}, {0x030d, PY_BUILD_FREE_THREADED}, {0x030e, PY_BUILD_FREE_THREADED},
};

static uint64_t text(size_t offset)
{
    return FAKE_MODULE_ADDR + offsetof(struct fake_module, text) + offset;
}

static void add_notes(struct builder *builder, size_t arena_bytes)
{
    const struct builder_file files[] = {
        {FAKE_MODULE_ADDR, FAKE_MODULE_ADDR + 4096, 0, FAKE_MODULE_PATH},
        {FAKE_BASE, FAKE_BASE + arena_bytes, 1, FAKE_MODULE_PATH},
    };
    const uint64_t auxv[] = {AT_PHDR,   FAKE_MODULE_ADDR + sizeof(Elf64_Ehdr),
                             AT_RANDOM, STACK_ADDR + 8 * STACK_WORDS - 64,
                             AT_NULL,   0};
    for (int i = 0; i < 2; i++) {
        uint64_t ident = 0x7f0000001000 + 0x1000 * (uint64_t)i;
        builder_thread(builder, 100 + i, 6, text(16), STACK_ADDR + 256 * (uint64_t)i, ident);
        if (i > 0)
            continue;
        builder_psinfo(builder, 100, "python3 app.py");
        builder_siginfo(builder, 6, 0, 100);
        builder_note(builder, NT_AUXV, auxv, sizeof(auxv));
        builder_files(builder, files, ARRAY_SIZE(files));
    }
}

void fake_core(unsigned kind, struct fake_core *ret)
{
    static struct fake_module module;
    uint64_t stack[STACK_WORDS];
    struct builder builder = {0};
    struct fake_python py;
    char path[32];
    size_t used = fake_image(&py, kinds[kind].version, kinds[kind].build, 2);
    used = (used + 4095) & ~4095ull;
    FUZZ_CHECK(used <= py.memory.size);
    if (kinds[kind].version >= 0x030d) {
        uint8_t offsets[FAKE_OFFSETS_BYTES];
        size_t bytes =
            fake_offsets(&py.dec->layout, (uint32_t)kinds[kind].version << 16 | 0xf0, offsets);
        fake_put(&py.memory, py.process.runtime, offsets, bytes);
    }
    fake_module(&module, py.process.runtime - FAKE_MODULE_ADDR);
    for (size_t i = 0; i < STACK_WORDS; i++)
        stack[i] = i % 2 ? text(16 + 16 * (i % 16)) : STACK_ADDR + 8 * (i + 4);
    add_notes(&builder, used);
    builder_load(&builder, FAKE_MODULE_ADDR, 4096, sizeof(module), PF_R | PF_X, &module);
    builder_load(&builder, FAKE_BASE, used, used, PF_R | PF_W, py.memory.bytes);
    builder_load(&builder, STACK_ADDR, sizeof(stack), sizeof(stack), PF_R | PF_W, stack);
    ret->head_bytes = sizeof(Elf64_Ehdr) + 4 * sizeof(Elf64_Phdr) + builder.notes.count;
    AUTO_CLOSE int fd = fuzz_file("", 0, path);
    (void)fd; // clang does not take its guard for a use
    builder_write(&builder, path);
    ret->bytes = read_whole(path, &ret->size);
    fake_python_deinit(&py);
}
