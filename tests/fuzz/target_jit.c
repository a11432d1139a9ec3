// SPDX-License-Identifier: GPL-3.0-or-later
// Code that was registered for debuggers: the list of entries and the ELF images they point to.
// Input: changes.
#include "fake_module.h"
#include "fuzz.h"
#include "image/elf.h"
#include "image/symbols.h"
#include "unwind/unwind.h"

#define DATA_OFFSET 0x2000u
#define DATA_ADDR (FAKE_MODULE_ADDR + DATA_OFFSET)
#define CODE_ADDR 0x7d0000000000u
#define ENTRIES 3

static struct fake_module module;
static struct data {
    // gdb manual, "JIT Interface".
    struct {
        uint32_t version, action;
        uint64_t relevant, first;
    } descriptor;
    struct {
        uint64_t next, previous, symfile, symfile_bytes;
    } entries[ENTRIES];
    struct fake_module objects[ENTRIES];
} data_of;

static const struct fuzz_region regions[] = {
    FAKE_MODULE_REGION(module),
    {.addr = DATA_ADDR,
     .bytes = (const uint8_t *)&data_of,
     .size = sizeof(data_of),
     .path = FAKE_MODULE_PATH,
     .offset = DATA_OFFSET,
     .writable = true},
};

static void make(void)
{
    fake_module(&module, DATA_OFFSET);
    module.phdrs[0].p_memsz = DATA_OFFSET + sizeof(data_of);
    memset(&data_of, 0, sizeof(data_of));
    data_of.descriptor.version = 1;
    data_of.descriptor.first = DATA_ADDR + offsetof(struct data, entries);
    for (size_t i = 0; i < ENTRIES; i++) {
        fake_module(&data_of.objects[i], 0);
        uint64_t self = DATA_ADDR + offsetof(struct data, entries) + i * sizeof(*data_of.entries);
        data_of.entries[i].next = i + 1 < ENTRIES ? self + sizeof(*data_of.entries) : 0;
        data_of.entries[i].previous = i ? self - sizeof(*data_of.entries) : 0;
        data_of.entries[i].symfile =
            DATA_ADDR + offsetof(struct data, objects) + i * sizeof(struct fake_module);
        data_of.entries[i].symfile_bytes = sizeof(struct fake_module);
        for (size_t section = 1; section < 6; section++)
            data_of.objects[i].sections[section].sh_addr += CODE_ADDR + i * 0x10000;
        for (size_t symbol = 1; symbol < 4; symbol++)
            data_of.objects[i].symbols[symbol].st_value += CODE_ADDR + i * 0x10000;
    }
}

static void run(const uint8_t *data, size_t size)
{
    static const struct image_options options = {.sysroot = "/nowhere"};
    struct fuzz_input in = {data, size};
    struct image *image = NULL;
    struct unwinder *unwinder = NULL;
    make();
    fuzz_change((uint8_t *)&data_of, sizeof(data_of), DATA_ADDR, &in);
    struct target *target = fuzz_scene(regions, ARRAY_SIZE(regions));
    FUZZ_CHECK(!image_open(target, &options, &image));
    FUZZ_CHECK(!unwinder_create(target, image, &unwinder));
    for (unsigned round = 0; round < 2; round++) {
        image_jit_refresh(image, target->mem);
        unwinder_refresh(unwinder);
        for (size_t i = 0; i < ENTRIES; i++) {
            struct unwind_stack stack = {0};
            struct unwind_start start = {.complete = true};
            struct image_symbol symbol;
            uint64_t pc = CODE_ADDR + i * 0x10000 + offsetof(struct fake_module, text) + 5, from,
                     to;
            uint64_t raw[27] = {[16] = pc, [19] = DATA_ADDR};
            image_symbol_at(image, NULL, pc, &symbol);
            const struct image_jit *jit = image_jit_at(image, pc);
            FUZZ_CHECK(!jit || (jit->start <= pc && pc < jit->end));
            arch_host()->regs_from_gregset(raw, &start.regs);
            unwind(unwinder, target->mem, &start, &stack);
            unwind_function(unwinder, pc, &from, &to);
            unwind_stack_deinit(&stack);
        }
        data_of.entries[0].next ^= 32; // another list
        data_of.descriptor.action = 1;
    }
    unwinder_destroy(unwinder);
    image_destroy(image);
    target_destroy(target);
}

static void seeds(void)
{
    fuzz_seed_changes(NULL, 0, 0);
    fuzz_seed_changes(NULL, 0, 8);
}

FUZZ_TARGET(jit, run, seeds, 3000)
