// SPDX-License-Identifier: GPL-3.0-or-later
// Recorded answers of modules' files, read back and asked. The input is the stream.
#include "fake_module.h"
#include "fuzz.h"
#include "image/record.h"
#include "image/symbols.h"

static struct fake_module module;

static const struct fuzz_region regions[] = {
    FAKE_MODULE_REGION(module),
};

static void ask(struct image *image, struct module *at)
{
    struct image_symbol symbol;
    struct image_location locations[8];
    uint64_t addr, size;
    image_symbol(image, at, "_PyRuntime", &addr, &size);
    image_symbol(image, at, "absent", &addr, &size);
    image_section(image, at, ".text", &addr, &size);
    for (uint64_t pc = FAKE_MODULE_ADDR; pc < FAKE_MODULE_ADDR + sizeof(module); pc += 211) {
        if (image_symbol_at(image, at, pc, &symbol))
            FUZZ_CHECK(symbol.name && strlen(symbol.name) < 1 << 20);
        FUZZ_CHECK(image_locations(image, at, pc, locations, 8) <= 8);
    }
}

static void ask_all(struct image_record *record)
{
    struct image_options options = {.record = record};
    struct image *image = NULL;
    fake_module(&module, 0x2000);
    struct target *target = fuzz_scene(regions, ARRAY_SIZE(regions));
    AUTO_ERR struct err *err = image_open(target, &options, &image);
    for (size_t i = 0; !err && i < image_module_count(image); i++)
        ask(image, image_module(image, i));
    image_destroy(image);
    target_destroy(target);
}

static void run(const uint8_t *data, size_t size)
{
    struct image_record *record = image_record_create();
    struct wire_in in = {data, data + size, false};
    FUZZ_CHECK(record);
    struct err *err = image_record_read(record, &in);
    if (!err)
        ask_all(record);
    err_destroy(err);
    image_record_destroy(record);
}

// What is recorded of a library without a file.
static void seeds(void)
{
    static const struct image_options options = {.sysroot = "/nowhere"};
    struct image *source = NULL;
    struct wire_out out = {0};
    fake_module(&module, 0x2000);
    struct target *target = fuzz_scene(regions, ARRAY_SIZE(regions));
    struct image_record *record = image_record_create();
    FUZZ_CHECK(record && !image_open(target, &options, &source));
    image_record_write(record, &out);
    fuzz_seed(out.bytes.items, out.bytes.count);
    wire_out_deinit(&out);
    image_record_set_source(record, source);
    ask_all(record);
    image_record_set_source(record, NULL);
    image_record_write(record, &out);
    fuzz_seed(out.bytes.items, out.bytes.count);
    wire_out_deinit(&out);
    image_record_destroy(record);
    image_destroy(source);
    target_destroy(target);
}

FUZZ_TARGET(record, run, seeds, 6000)
