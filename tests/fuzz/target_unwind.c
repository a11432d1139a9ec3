// SPDX-License-Identifier: GPL-3.0-or-later
// From call frame information to rows, and walks by them. Input: flags, where the first pc lies,
// .eh_frame_hdr (16 bytes), 32 words of stack, then .eh_frame.
#include "fake_module.h"
#include "fuzz.h"
#include "unwind/unwind.h"
#include "util/limits.h"

#define STACK_ADDR 0x7ffd00000000u
#define STACK_WORDS 32
#define TEXT_ADDR (FAKE_MODULE_ADDR + offsetof(struct fake_module, text))

static struct fake_module module;
static uint64_t stack[512];

// Mostly small numbers: an offset into the text or into the stack.
static uint64_t word_of(struct fuzz_input *in)
{
    uint64_t value = fuzz_take(in, 2);
    switch (value >> 14) {
    case 0:
        return TEXT_ADDR + (value & 511);
    case 1:
        return STACK_ADDR + (value & 0xfff);
    case 2:
        return value & 0xff;
    default:
        return value << (value & 63);
    }
}

static void walk(struct unwinder *unwinder, struct target *target, uint64_t pc, bool complete)
{
    struct unwind_stack ret = {0};
    struct unwind_start start = {.complete = complete};
    uint64_t raw[27] = {[4] = STACK_ADDR + 64, [16] = pc, [19] = STACK_ADDR};
    arch_host()->regs_from_gregset(raw, &start.regs);
    unwind(unwinder, target->mem, &start, &ret);
    FUZZ_CHECK(ret.frames.count >= 1 && ret.frames.count <= LIMIT_NATIVE_FRAMES);
    FUZZ_CHECK(ret.frames.count <= 2 * ARRAY_SIZE(stack)); // it goes up, a word at least
    vec_foreach (frame, &ret.frames)
        FUZZ_CHECK(frame->cfa == 0 || frame->cfa >= frame->sp || frame->signal);
    uint64_t from, to;
    if (unwind_function(unwinder, pc, &from, &to))
        FUZZ_CHECK(from <= pc && pc < to);
    unwind_stack_deinit(&ret);
}

static void run(const uint8_t *data, size_t size)
{
    static const struct fuzz_region regions[] = {
        FAKE_MODULE_REGION(module),
        {.addr = STACK_ADDR,
         .bytes = (const uint8_t *)stack,
         .size = sizeof(stack),
         .writable = true},
    };
    static const struct image_options options = {.sysroot = "/nowhere"};
    struct fuzz_input in = {data, size};
    unsigned flags = (unsigned)fuzz_take(&in, 1), place = (unsigned)fuzz_take(&in, 1);
    fake_module(&module, 0x2000);
    struct fuzz_input head = fuzz_take_bytes(&in, sizeof(module.eh_frame_hdr));
    if (flags & 1)
        memcpy(module.eh_frame_hdr, head.data, head.size);
    struct fuzz_input words = fuzz_take_bytes(&in, 2 * STACK_WORDS);
    for (size_t i = 0; i < ARRAY_SIZE(stack); i++)
        stack[i] = i < STACK_WORDS ? word_of(&words) : TEXT_ADDR + 16 * (i % 30) + 16;
    struct fuzz_input frames = fuzz_take_bytes(&in, sizeof(module.eh_frame));
    memset(module.eh_frame, 0, sizeof(module.eh_frame));
    if (frames.size)
        memcpy(module.eh_frame, frames.data, frames.size);
    // A .debug_frame has another form of the same.
    if (flags & 2)
        memcpy(module.section_names + 23, ".debug_frame", 13);
    struct target *target = fuzz_scene(regions, ARRAY_SIZE(regions));
    struct image *image = NULL;
    struct unwinder *unwinder = NULL;
    FUZZ_CHECK(!image_open(target, &options, &image));
    FUZZ_CHECK(!unwinder_create(target, image, &unwinder));
    for (unsigned i = 0; i < 4; i++)
        walk(unwinder, target, TEXT_ADDR + (place + 8 * i) % FAKE_TEXT_BYTES, !(flags & 4));
    unwinder_destroy(unwinder);
    image_destroy(image);
    target_destroy(target);
}

static void seeds(void)
{
    struct fake_module whole;
    uint8_t seed[2 + 16 + 2 * STACK_WORDS + FAKE_EH_FRAME_BYTES] = {0};
    size_t used = fake_module(&whole, 0);
    for (unsigned flags = 0; flags < 8; flags++) {
        seed[0] = (uint8_t)flags;
        seed[1] = (uint8_t)(flags * 5);
        memcpy(seed + 2, whole.eh_frame_hdr, 16);
        for (unsigned i = 0; i < STACK_WORDS; i++) {
            uint16_t word = (uint16_t)(i % 3 ? 16 * i : 0x4000 | 8 * (i + 3));
            memcpy(seed + 18 + (size_t)2 * i, &word, 2);
        }
        memcpy(seed + 18 + 2 * STACK_WORDS, whole.eh_frame, used);
        fuzz_seed(seed, 18 + 2 * STACK_WORDS + used);
    }
}

FUZZ_TARGET(unwind, run, seeds, 8000)
