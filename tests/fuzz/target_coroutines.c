// SPDX-License-Identifier: GPL-3.0-or-later
// Chains of generators that await each other, and the collector's lists. Input: which Python, then changes.
#include "fake_coroutine.h"
#include "kept_python.h"
#include "util/limits.h"

static const uint16_t versions[] = {0x0306, 0x0309, 0x030a, 0x030b, 0x030c, 0x030d, 0x030e, 0x030f};

#define GENERATORS 12

static struct whole {
    struct kept_python kept;
    uint64_t generators[GENERATORS], interp;
} wholes[ARRAY_SIZE(versions)];

static void make_whole(struct whole *whole, uint16_t version)
{
    static const char *const wrappers[] = {"coroutine_wrapper", "async_generator_asend",
                                           "async_generator_athrow", "anext_awaitable"};
    struct fake_python *py = &whole->kept.py;
    struct fake_generators kinds;
    fake_python_init(py, version, PY_BUILD_RELEASE, 192 << 10);
    fake_generators_init(py, &kinds);
    const uint64_t types[] = {kinds.generator, kinds.coroutine, kinds.async_generator};
    uint64_t at = fake_wrapper(py, "_asyncio.FutureIter", fake_str(py, "a future"));
    for (size_t i = 0; i < GENERATORS; i++) {
        if (i % 2)
            at = fake_wrapper(py, wrappers[i / 2 % ARRAY_SIZE(wrappers)], at);
        at = whole->generators[i] = fake_generator(py, &kinds, types[i % 3], at);
    }
    whole->interp = fake_collector(py);
    for (unsigned i = 0; i < 60; i++)
        fake_tracked(py, fake_generation(py, whole->interp, i % 3));
    kept_python_keep(&whole->kept);
}

__attribute__((destructor)) static void free_wholes(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(wholes); i++)
        kept_python_free(&wholes[i].kept);
}

static bool visit(void *arg, uint64_t object)
{
    size_t *count = arg;
    FUZZ_CHECK(object > FAKE_BASE);
    return ++*count < 100000;
}

static void read_generator(struct fake_python *py, uint64_t object)
{
    struct py_generator read;
    struct py_frames frames = {0};
    uint64_t end, inner;
    bool running;
    err_destroy(py_generator_read(py->dec, object, &read));
    err_destroy(py_generator_inner(py->dec, object, &inner));
    struct err *err = py_await_chain(&py->process, object, &frames, &end, &running);
    // So many there are; in a ring no frame is taken twice.
    FUZZ_CHECK(frames.count <= GENERATORS || err);
    FUZZ_CHECK(frames.count <= LIMIT_AWAIT_FRAMES);
    err_destroy(err);
    vec_deinit(&frames);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    size_t which = fuzz_take(&in, 1) % ARRAY_SIZE(versions), objects = 0;
    struct whole *whole = &wholes[which];
    if (!whole->kept.bytes)
        make_whole(whole, versions[which]);
    struct fake_python *py = &whole->kept.py;
    kept_python_change(&whole->kept, &in);
    py->process.awaits_walked = 0;
    for (size_t i = 0; i < GENERATORS; i++)
        read_generator(py, whole->generators[i]);
    err_destroy(py_heap_walk(&py->process, whole->interp, visit, &objects));
    FUZZ_CHECK(objects < 100000);
}

static void seeds(void)
{
    for (uint8_t i = 0; i < ARRAY_SIZE(versions); i++)
        fuzz_seed_changes(&i, 1, 8);
}

FUZZ_TARGET(coroutines, run, seeds, 10000)
