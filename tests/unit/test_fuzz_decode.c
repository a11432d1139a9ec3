// SPDX-License-Identifier: GPL-3.0-or-later
// Damaged process images of each kind of Python through the whole decoder: never a crash, a hang, a
// leak or a result that is out of bounds. An input is a list of 12-byte changes to a whole image.
//
//   test_fuzz_decode          20,000 random inputs from a fixed seed
//   test_fuzz_decode DIR      each file of DIR is an input (a corpus, a crash that was found)
//
// tests/fuzz/run decode lets libFuzzer make the inputs.
#include "fake_image.h"

#include <dirent.h>
#include <unistd.h>

#include "util/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHANGE_BYTES 12
#define MAX_CHANGES 64

static const struct build {
    uint16_t version;
    uint8_t build;
} builds[] = {
    {0x0306, PY_BUILD_RELEASE}, {0x0308, PY_BUILD_RELEASE}, {0x0309, PY_BUILD_RELEASE},
    {0x030a, PY_BUILD_RELEASE}, {0x030b, PY_BUILD_RELEASE}, {0x030c, PY_BUILD_RELEASE},
    {0x030d, PY_BUILD_RELEASE}, {0x030e, PY_BUILD_RELEASE}, {0x030e, PY_BUILD_FREE_THREADED},
};

// The images before they are damaged.
static struct image {
    struct fake_python py;
    struct py_process process;
    uint8_t *bytes;
} images[ARRAY_SIZE(builds)];

// ---- A whole image ------------------------------------------------------------------------------

static void make_image(struct image *image, const struct build *build)
{
    struct fake_python *py = &image->py;
    fake_image(py, build->version, build->build, 3);
    // What lies behind is absent.
    py->memory.size = py->memory.used;
    image->process = py->process;
    image->bytes = malloc(py->memory.size);
    assert_non_null(image->bytes);
    memcpy(image->bytes, py->memory.bytes, py->memory.size);
}

static void make_images(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(images); i++)
        if (!images[i].bytes)
            make_image(&images[i], &builds[i]);
}

static void free_images(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        free(images[i].bytes);
        fake_python_deinit(&images[i].py);
    }
}

// ---- One input ----------------------------------------------------------------------------------

// position:3 kind:1 value:8
static void change(struct fake_memory *memory, const uint8_t *data)
{
    uint32_t position = 0;
    uint64_t value, word, most = memory->size - 8;
    memcpy(&position, data, 3);
    memcpy(&value, data + 4, 8);
    uint64_t at = position % most / 8 * 8, addr = FAKE_BASE + at;
    memcpy(&word, memory->bytes + at, 8);
    switch (data[3] % 8) {
    case 0:
        fake_put_u64(memory, addr, value);
        break;
    case 1: // a pointer to something else
        fake_put_u64(memory, addr, FAKE_BASE + value % memory->size / 8 * 8);
        break;
    case 2: // a pointer to the same kind of thing, perhaps
        fake_put_u64(memory, addr, word + 8 * (value % 65) - 256);
        break;
    case 3: // a size
        fake_put_u64(memory, addr, 1ull << value % 64);
        break;
    case 4:
        memory->bytes[position % memory->size] = (uint8_t)value;
        break;
    case 5:
        memory->bytes[position % memory->size] ^= (uint8_t)(1u << value % 8);
        break;
    case 6: // another word of the image
        memcpy(&word, memory->bytes + value % most / 8 * 8, 8);
        fake_put_u64(memory, addr, word);
        break;
    default:
        fake_hide(memory, addr, addr + 1 + value % 4096);
        break;
    }
}

struct tally {
    size_t inputs, threads, frames, named, builtins, names, cuts;
};

static struct tally tally;

static void check_stack(struct fake_python *py, const struct py_stack *stack)
{
    assert_true(stack->frames.count <= LIMIT_FRAMES_PER_THREAD);
    vec_foreach (frame, &stack->frames) {
        assert_true(frame->name <= strtab_count(py->strings));
        assert_true(frame->file <= strtab_count(py->strings));
        assert_true(frame->call_qualname <= strtab_count(py->strings));
        assert_true(frame->slot_count <= LIMIT_FRAME_SLOTS);
        tally.named += frame->name != 0;
        tally.builtins += frame->call_name != 0;
    }
    tally.frames += stack->frames.count;
    tally.cuts += stack->cut != NULL;
}

// As the sampler does it: what is missing is fetched, until nothing is.
static bool fetch(struct mem *all, struct mem_copy *copy)
{
    struct mem_ranges misses = {0};
    for (size_t i = 0; i < mem_copy_misses(copy)->count; i++)
        assert_true(vec_push(&misses, mem_copy_window(mem_copy_misses(copy)->items[i])));
    mem_copy_clear_misses(copy);
    vec_foreach (range, &misses) {
        void *place;
        if (range->size > 1 << 20)
            range->size = 1 << 20;
        assert_true(mem_copy_reserve(copy, *range, &place));
        assert_true(mem_copy_commit(copy, *range, place,
                                    mem_read_some(all, range->addr, place, range->size)));
    }
    size_t count = misses.count;
    vec_deinit(&misses);
    return count > 0;
}

static void decode(struct fake_python *py, struct mem_copy *copy)
{
    struct py_process *process = &py->process;
    struct py_state state = {0};
    struct py_thread_names names = {0};
    struct mem *all = py->memory.mem;
    int rounds = 0;
    do
        py_state_read(process, &state);
    while (copy && rounds++ < 100 && fetch(all, copy));
    tally.threads += state.threads.count;
    tally.cuts += state.cut != NULL;
    uint64_t last = 0;
    vec_foreach (thread, &state.threads) {
        struct py_stack stack;
        py_stack_init(&stack, thread, thread->ident % 2);
        rounds = 0;
        while (!py_stack_step(process, &stack)) {
            assert_non_null(copy);
            // Each round brings bytes or gaps, so that it must end: 200 are more than any needs.
            assert_true(rounds++ < 200);
            assert_true(fetch(all, copy));
        }
        py_stack_finish(process, &stack);
        check_stack(py, &stack);
        py_stack_deinit(&stack);
    }
    // Names come when the target runs again.
    py->dec->copy = NULL;
    if (copy)
        mem_copy_set_fallback(copy, all);
    vec_foreach (thread, &state.threads) {
        if (thread->interp != last)
            err_destroy(py_thread_names(process, thread->interp, &names));
        last = thread->interp;
    }
    tally.names += names.count;
    vec_deinit(&names);
    py_state_deinit(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    make_images();
    struct image *image = &images[(data[0] >> 1) % ARRAY_SIZE(images)];
    struct fake_python *py = &image->py;
    struct mem_copy *copy = data[0] & 1 ? mem_copy_create() : NULL;
    memcpy(py->memory.bytes, image->bytes, py->memory.size);
    fake_memory_reset(&py->memory);
    for (size_t i = 0; i < MAX_CHANGES && 1 + (i + 1) * CHANGE_BYTES <= size; i++)
        change(&py->memory, data + 1 + i * CHANGE_BYTES);
    py_decoder_forget(py->dec);
    memset(py->process.active, 0, sizeof(py->process.active));
    py->dec->mem = copy ? mem_copy_view(copy) : py->memory.mem;
    py->dec->copy = copy;
    decode(py, copy);
    mem_copy_destroy(copy);
    tally.inputs++;
    return 0;
}

#ifndef WITH_LIBFUZZER

// ---- The suite's own run ------------------------------------------------------------------------

static const char *corpus;

// Undamaged, each image gives all that is in it; otherwise the rest would test nothing.
static void test_whole_images(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 2 * ARRAY_SIZE(images); i++) {
        tally = (struct tally){0};
        LLVMFuzzerTestOneInput(&i, 1);
        assert_int_equal(tally.threads, 3);
        assert_int_equal(tally.frames, 9);
        assert_int_equal(tally.named, 9);
        assert_int_equal(tally.builtins, 3);
        assert_int_equal(tally.names, 5);
        assert_int_equal(tally.cuts, 0);
    }
}

static void test_random_damage(void **state)
{
    (void)state;
    uint64_t seed = 0x5eed5eed5eed;
    tally = (struct tally){0};
    alarm(240); // a hang is a failure, too
    for (int i = 0; i < 20000; i++) {
        uint8_t data[1 + 16 * CHANGE_BYTES];
        for (size_t byte = 0; byte < sizeof(data); byte++)
            data[byte] = (uint8_t)(fake_random(&seed) >> 32);
        data[0] = (uint8_t)(i % (2 * ARRAY_SIZE(images)));
        LLVMFuzzerTestOneInput(data, 1 + (1 + fake_random(&seed) % 16) * CHANGE_BYTES);
    }
    alarm(0);
    print_message("%zu inputs: %zu threads, %zu frames (%zu named, %zu in builtins), %zu names, "
                  "%zu cut\n",
                  tally.inputs, tally.threads, tally.frames, tally.named, tally.builtins,
                  tally.names, tally.cuts);
    // Much survives, and much is hit.
    assert_true(tally.named > 100000 && tally.builtins > 30000 && tally.cuts > 2000);
}

static void test_corpus(void **state)
{
    (void)state;
    DIR *dir = opendir(corpus);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        static uint8_t data[1 + MAX_CHANGES * CHANGE_BYTES];
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", corpus, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (!file)
            continue;
        size_t size = fread(data, 1, sizeof(data), file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_images),
        cmocka_unit_test(test_random_damage),
    };
    const struct CMUnitTest from_folder[] = {cmocka_unit_test(test_corpus)};
    corpus = argc > 1 ? argv[1] : NULL;
    int failed = corpus ? cmocka_run_group_tests(from_folder, NULL, NULL)
                        : cmocka_run_group_tests(tests, NULL, NULL);
    free_images();
    return failed;
}

#endif
