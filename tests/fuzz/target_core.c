// SPDX-License-Identifier: GPL-3.0-or-later
// ELF headers and notes of a core: the input is the file.
#include "core_builder.h"
#include "fuzz.h"
#include "util/limits.h"

static void read_all(struct target *target)
{
    static uint8_t bytes[4096];
    struct mem_segment_info info = {0};
    size_t segments = 0;
    for (uint64_t at = 0; segments++ < 4096 && mem_segment_at(target->mem, at, &info);
         at = info.end) {
        FUZZ_CHECK(info.start < info.end && info.end > at);
        size_t got = mem_read_some(target->mem, info.start, bytes, sizeof(bytes));
        FUZZ_CHECK(got == 0 || info.origin == MEM_CORE);
        // What lies across a border is bytes of both, or none.
        mem_read_some(target->mem, info.end - 8, bytes, 16);
        if (info.end == UINT64_MAX)
            break;
    }
}

static void run(const uint8_t *data, size_t size)
{
    char path[32];
    struct target *target = NULL;
    AUTO_CLOSE int fd = fuzz_file(data, size, path);
    (void)fd; // clang does not take its guard for a use
    struct err *err = target_open_core(path, &target);
    if (err) {
        FUZZ_CHECK(!target && !strchr(err_message(err), '\n'));
        err_destroy(err);
        return;
    }
    FUZZ_CHECK(target->threads.count > 0 && target->threads.count <= LIMIT_THREADS);
    uint64_t last = 0;
    vec_foreach (mapping, &target->mappings) {
        FUZZ_CHECK(mapping->start >= last && mapping->start < mapping->end);
        last = mapping->end;
    }
    vec_foreach (note, &target->notes)
        FUZZ_CHECK(!strpbrk(*note, "\n\033"));
    read_all(target);
    target_destroy(target);
}

static void seed_of(struct builder *builder)
{
    char path[32];
    AUTO_CLOSE int fd = fuzz_file("", 0, path);
    (void)fd; // clang does not take its guard for a use
    size_t size;
    builder_write(builder, path);
    AUTO_FREE uint8_t *bytes = read_whole(path, &size);
    fuzz_seed(bytes, size);
}

static void seeds(void)
{
    static const struct builder_file files[] = {
        {0x400000, 0x402000, 0, "/nowhere/python"},
        {0x402000, 0x403000, 2, "/nowhere/python"},
        {0x7f0000000000, 0x7f0000001000, 0, "/nowhere/lib.so (deleted)"},
    };
    static const uint64_t auxv[] = {AT_SYSINFO_EHDR, 0x7ffff000, AT_PHDR,    0x400040, AT_ENTRY,
                                    0x401000,        AT_RANDOM,  0x7ffe0010, AT_NULL,  0};
    static const char text[64] = "text", stack[64] = "/nowhere/python\0app.py";
    for (unsigned kind = 0; kind < 4; kind++) {
        struct builder builder = {.machine = kind == 3 ? EM_AARCH64 : 0};
        if (kind == 2)
            builder_psinfo(&builder, 100, "python app.py");
        builder_thread(&builder, 100, 11, 0x401000, 0x7ffe0020, 0x7f0000001000);
        if (kind != 2)
            builder_psinfo(&builder, 100, "python app.py");
        builder_siginfo(&builder, 11, 1, 0xdeadbeef);
        builder_note(&builder, NT_AUXV, auxv, sizeof(auxv));
        if (kind)
            builder_files(&builder, files, ARRAY_SIZE(files));
        builder_thread(&builder, 101, 11, 0x401008, 0x7f0000001800, 0x7f0000002000);
        builder_load(&builder, 0x400000, 0x2000, kind == 1 ? 0 : 64, PF_R | PF_X, text);
        builder_load(&builder, 0x402000, 0x1000, 32, PF_R | PF_W, NULL);
        builder_load(&builder, 0x7ffe0000, 0x100, 0x40, PF_R | PF_W, stack);
        seed_of(&builder);
    }
}

FUZZ_TARGET(core, run, seeds, 6000)
