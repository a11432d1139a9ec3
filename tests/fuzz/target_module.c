// SPDX-License-Identifier: GPL-3.0-or-later
// A library that is damaged, in memory (no file at hand) and as a file: headers, build ID, symbols
// by name and by address, sections, unwind tables put together again. Input: changes.
#include "fake_module.h"
#include "fuzz.h"
#include "image/elf.h"
#include "image/symbol_table.h"
#include "image/symbols.h"

static struct fake_module module;

static const struct fuzz_region regions[] = {
    FAKE_MODULE_REGION(module),
};

static void ask(struct image *image, struct module *at)
{
    static const char *const names[] = {"work", "_PyRuntime", "absent", ""};
    uint64_t addr, size;
    char id[129];
    FUZZ_CHECK(at->start < at->end && at->build_id_bytes <= sizeof(at->build_id));
    module_build_id_text(at, id);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        image_symbol(image, at, names[i], &addr, &size);
        image_section(image, at, names[i], &addr, &size);
    }
    for (uint64_t pc = FAKE_MODULE_ADDR; pc < FAKE_MODULE_ADDR + sizeof(module); pc += 97) {
        struct image_symbol symbol;
        struct image_location locations[4];
        if (image_symbol_at(image, at, pc, &symbol))
            FUZZ_CHECK(symbol.start <= pc && strlen(symbol.name) < 1 << 20);
        FUZZ_CHECK(image_locations(image, at, pc, locations, 4) <= 4);
    }
    image_elf(image, at);
    image_debug_elf(image, at);
}

static void ask_file(void)
{
    struct image_symbols symbols = {0};
    struct fake_module copy = module; // libelf may write into it
    elf_version(EV_CURRENT);
    Elf *elf = elf_memory((char *)&copy, sizeof(copy));
    char link[256];
    uint32_t crc;
    void *bytes = NULL;
    if (!elf)
        return;
    symbol_table_add_elf(&symbols, elf, SHT_DYNSYM);
    symbol_table_add_elf(&symbols, elf, SHT_SYMTAB);
    symbol_table_add_plt(&symbols, elf);
    symbol_table_finish(&symbols);
    for (uint64_t pc = 0; pc < sizeof(module); pc += 97) {
        struct function_symbol *symbol = symbol_table_find(&symbols, pc);
        FUZZ_CHECK(!symbol || symbol->start <= pc);
    }
    image_debuglink_read(elf, link, &crc);
    elf_end(minidebug_open(elf, &bytes));
    free(bytes);
    vec_deinit(&symbols.functions);
    vec_deinit(&symbols.spans);
    vec_deinit(&symbols.elfs);
    vec_deinit(&symbols.bytes);
    elf_end(elf);
}

static void run(const uint8_t *data, size_t size)
{
    static const struct image_options options = {.sysroot = "/nowhere"};
    struct fuzz_input in = {data, size};
    struct image *image = NULL;
    fake_module(&module, 0x2000);
    fuzz_change((uint8_t *)&module, sizeof(module), 0, &in);
    struct target *target = fuzz_scene(regions, ARRAY_SIZE(regions));
    FUZZ_CHECK(!image_open(target, &options, &image));
    image_jit_refresh(image, target->mem);
    for (size_t i = 0; i < image_module_count(image); i++)
        ask(image, image_module(image, i));
    image_destroy(image);
    target_destroy(target);
    ask_file();
}

static void seeds(void)
{
    fuzz_seed_changes(NULL, 0, 0);
    fuzz_seed_changes(NULL, 0, 6);
}

FUZZ_TARGET(module, run, seeds, 6000)
