// SPDX-License-Identifier: GPL-3.0-or-later
// Chains of what awaits what, and the collector's lists: whole, in rings, and damaged.
#include "fake_coroutine.h"
#include "util/limits.h"

static uint16_t version_of(const struct fake_python *py)
{
    return py->dec->layout.version;
}

struct chain {
    struct py_frames frames;
    uint64_t end;
    bool running;
};

static struct err *follow(struct fake_python *py, uint64_t object, struct chain *ret)
{
    vec_clear(&ret->frames);
    return py_await_chain(&py->process, object, &ret->frames, &ret->end, &ret->running);
}

// ---- Chains -------------------------------------------------------------------------------------

static void whole(struct fake_python *py)
{
    struct fake_generators kinds;
    struct chain chain = {0};
    struct py_generator read;
    fake_generators_init(py, &kinds);
    uint64_t future = fake_object(py, fake_type(py, "_asyncio.Future", 0), 64);
    uint64_t iterator = fake_wrapper(py, "_asyncio.FutureIter", future);
    uint64_t inner = fake_generator(py, &kinds, kinds.generator, iterator);
    uint64_t agen = fake_generator(py, &kinds, kinds.async_generator, inner);
    uint64_t step = fake_wrapper(py, "async_generator_asend", agen);
    uint64_t wrapper = fake_wrapper(py, "coroutine_wrapper", step);
    uint64_t outer = fake_generator(py, &kinds, kinds.coroutine, wrapper);
    assert_ok(follow(py, outer, &chain));
    assert_int_equal(chain.frames.count, 3);
    assert_int_equal(chain.frames.items[0].addr, fake_generator_frame(py, inner));
    assert_int_equal(chain.frames.items[1].addr, fake_generator_frame(py, agen));
    assert_int_equal(chain.frames.items[2].addr, fake_generator_frame(py, outer));
    assert_int_equal(chain.end, future);
    assert_false(chain.running);
    vec_foreach (frame, &chain.frames) {
        assert_string_equal(strtab_get(py->strings, frame->name), "f");
        assert_int_equal(frame->first_line, 10);
        assert_int_equal(frame->flags, PY_FRAME_GENERATOR);
    }
    assert_ok(py_generator_read(py->dec, agen, &read));
    assert_int_equal(read.kind, PY_ASYNC_GENERATOR);
    assert_int_equal(read.state, PY_GEN_SUSPENDED);
    assert_int_equal(read.awaits, inner);
    assert_int_equal(read.code, kinds.code);
    assert_string_equal(strtab_get(py->strings, read.name), "g");
    uint64_t of = 0;
    assert_ok(py_generator_inner(py->dec, outer, &of));
    assert_int_equal(of, agen);
    assert_ok(py_generator_inner(py->dec, inner, &of));
    assert_int_equal(of, 0);
    vec_deinit(&chain.frames);
}

static void test_whole(void **state)
{
    (void)state;
    fake_each_build(whole, 1 << 20);
}

static void states(struct fake_python *py)
{
    struct fake_generators kinds;
    struct chain chain = {0};
    fake_generators_init(py, &kinds);
    uint64_t inner = fake_generator(py, &kinds, kinds.generator, 0);
    uint64_t outer = fake_generator(py, &kinds, kinds.generator, inner);
    assert_ok(follow(py, outer, &chain)); // one that has not begun has its frame, too
    assert_int_equal(chain.frames.count, 2);
    assert_int_equal(chain.end, 0);
    fake_generator_state(py, inner, PY_GEN_RUNNING);
    assert_ok(follow(py, outer, &chain));
    assert_int_equal(chain.frames.count, 1);
    assert_true(chain.running);
    fake_generator_state(py, inner, PY_GEN_DONE);
    assert_ok(follow(py, outer, &chain));
    assert_int_equal(chain.frames.count, 1);
    assert_int_equal(chain.end, inner);
    assert_false(chain.running);
    // A future that is over, an object of the program's own.
    uint64_t over = fake_wrapper(py, "_asyncio.FutureIter", 0);
    assert_ok(follow(py, fake_generator(py, &kinds, kinds.coroutine, over), &chain));
    assert_int_equal(chain.end, over);
    uint64_t own = fake_object(py, fake_type(py, "app.Awaitable", 0), 64);
    assert_ok(follow(py, own, &chain));
    assert_int_equal(chain.end, own);
    assert_int_equal(chain.frames.count, 0);
    struct py_generator read;
    assert_err(py_generator_read(py->dec, own, &read), ERR_BAD_DATA, "is no generator");
    vec_deinit(&chain.frames);
}

static void test_states(void **state)
{
    (void)state;
    fake_each_build(states, 1 << 20);
}

static void rings(struct fake_python *py)
{
    struct fake_generators kinds;
    struct chain chain = {0};
    uint64_t members[5];
    fake_generators_init(py, &kinds);
    // a -> b -> c -> d -> e -> c
    for (size_t i = ARRAY_SIZE(members); i-- > 0;)
        members[i] = fake_generator(py, &kinds, kinds.coroutine, i == 4 ? 8 : members[i + 1]);
    fake_put_slot(py, fake_generator_frame(py, members[4]), 3, members[2]);
    assert_err(follow(py, members[0], &chain), ERR_BAD_DATA, "bites its tail");
    assert_int_equal(chain.frames.count, 5);
    assert_int_equal(chain.frames.items[4].addr, fake_generator_frame(py, members[0]));
    // Wrappers have no frames that could be counted.
    uint64_t wrapper = fake_wrapper(py, "coroutine_wrapper", 0);
    fake_put_u64(&py->memory, wrapper + fake_offset(py, PY_OB_type) + 8, wrapper);
    assert_err(follow(py, wrapper, &chain), ERR_BAD_DATA, "bites its tail");
    assert_int_equal(chain.frames.count, 0);
    uint64_t of;
    assert_ok(
        py_generator_inner(py->dec, fake_generator(py, &kinds, kinds.coroutine, wrapper), &of));
    assert_int_equal(of, 0);
    vec_deinit(&chain.frames);
}

static void test_rings(void **state)
{
    (void)state;
    fake_each_build(rings, 1 << 20);
}

static void damaged(struct fake_python *py)
{
    struct fake_generators kinds;
    struct chain chain = {0};
    fake_generators_init(py, &kinds);
    uint64_t inner = fake_generator(py, &kinds, kinds.generator, 0);
    uint64_t outer = fake_generator(py, &kinds, kinds.generator, inner);
    uint64_t frame = fake_generator_frame(py, outer);
    bool modern = version_of(py) >= 0x030b;
    // What it delegates to lies nowhere: its own frame stays.
    fake_put_slot(py, frame, 3, 0x1000);
    assert_err(follow(py, outer, &chain), ERR_FAULT, "");
    assert_int_equal(chain.frames.count, 1);
    fake_put_slot(py, frame, 3, inner);
    // Another's frame.
    fake_set(py, frame, modern ? PY_IF_owner : PY_FO_gen, modern ? 0 : inner);
    assert_err(follow(py, outer, &chain), ERR_BAD_DATA, "is another's");
    fake_set(py, frame, modern ? PY_IF_owner : PY_FO_gen, modern ? 1 : outer);
    // A value stack beyond its frame.
    fake_set(py, frame, PY_IF_stacktop, 5000);
    fake_set(py, frame, PY_IF_stackpointer, outer + 5000);
    fake_set(py, frame, PY_FO_stacktop, frame + 5000);
    fake_set(py, frame, PY_FO_stackdepth, 5000);
    assert_err(follow(py, outer, &chain), ERR_BAD_DATA, "no value stack");
    // A state that there is not.
    fake_set(py, outer, PY_GEN_state, 99);
    if (fake_set(py, frame, PY_FO_state, 99) || modern)
        assert_err(follow(py, outer, &chain), ERR_BAD_DATA, "impossible state 99");
    vec_deinit(&chain.frames);
}

static void test_damaged(void **state)
{
    (void)state;
    fake_each_build(damaged, 1 << 20);
}

static void test_long_chain(void **state)
{
    (void)state;
    struct fake_python py;
    struct fake_generators kinds;
    struct chain chain = {0};
    fake_python_init(&py, 0x030c, PY_BUILD_RELEASE, 16 << 20);
    fake_generators_init(&py, &kinds);
    uint64_t at = fake_generator(&py, &kinds, kinds.coroutine, 0);
    for (size_t i = 1; i < LIMIT_AWAIT_FRAMES; i++)
        at = fake_generator(&py, &kinds, kinds.coroutine, at);
    assert_ok(follow(&py, at, &chain));
    assert_int_equal(chain.frames.count, LIMIT_AWAIT_FRAMES);
    at = fake_generator(&py, &kinds, kinds.coroutine, at);
    assert_err(follow(&py, at, &chain), ERR_LIMIT, "more than 10000 frames");
    assert_int_equal(chain.frames.count, LIMIT_AWAIT_FRAMES);
    // Of all chains together.
    py.process.awaits_walked = LIMIT_FRAMES_PER_SNAPSHOT - 3;
    assert_err(follow(&py, at, &chain), ERR_LIMIT, "of what waits");
    assert_int_equal(chain.frames.count, 3);
    vec_deinit(&chain.frames);
    fake_python_deinit(&py);
}

// ---- The heap -----------------------------------------------------------------------------------

struct visited {
    uint64_t objects[64];
    size_t count, most;
};

static bool visit(void *arg, uint64_t object)
{
    struct visited *visited = arg;
    assert_true(visited->count < ARRAY_SIZE(visited->objects));
    visited->objects[visited->count++] = object;
    return visited->count != visited->most;
}

static void assert_visited(const struct visited *visited, const uint64_t *objects, size_t count)
{
    assert_int_equal(visited->count, count);
    for (size_t i = 0; i < count; i++) {
        size_t times = 0;
        for (size_t k = 0; k < count; k++)
            times += visited->objects[k] == objects[i];
        assert_int_equal(times, 1);
    }
}

static void heap(struct fake_python *py)
{
    struct visited all = {0}, some = {.most = 3}, rest = {0};
    uint64_t objects[12], lists[12];
    size_t count = 0;
    bool has_permanent = py_layout_has(&py->dec->layout, PY_GC_permanent);
    if (!py_layout_has(&py->dec->layout, PY_GC_head_size)) {
        assert_err(py_heap_walk(&py->process, fake_interpreter(py, 0, 0), visit, &all),
                   ERR_UNSUPPORTED, "free-threaded");
        return;
    }
    uint64_t interp = fake_collector(py), size = fake_offset(py, PY_GC_head_size);
    assert_ok(py_heap_walk(&py->process, interp, visit, &all));
    assert_int_equal(all.count, 0);
    for (unsigned i = 0; i < 12; i++) {
        unsigned generation = i < 6 ? 1 : i < 10 ? 2 : has_permanent ? 3 : 0;
        lists[count] = fake_generation(py, interp, generation);
        objects[count] = fake_tracked(py, lists[count]);
        count++;
    }
    assert_ok(py_heap_walk(&py->process, interp, visit, &all));
    assert_visited(&all, objects, count);
    assert_ok(py_heap_walk(&py->process, interp, visit, &some));
    assert_int_equal(some.count, 3);
    // One that was overwritten: what lies behind it is reached from the other end.
    fake_put_u64(&py->memory, objects[2] - size, 0xdddddddddddddddd);
    fake_put_u64(&py->memory, objects[2] - size + 8, 0xdddddddddddddddd);
    assert_err(py_heap_walk(&py->process, interp, visit, &rest), ERR_BAD_DATA, "is broken");
    objects[2] = objects[count - 1];
    assert_visited(&rest, objects, count - 1);
}

static void test_heap(void **state)
{
    (void)state;
    fake_each_build(heap, 1 << 20);
}

// While a collection is under way the backward links count references; a ring must end all the same.
static void collected(struct fake_python *py)
{
    struct visited all = {0}, rings_of = {0};
    uint64_t objects[6];
    if (!py_layout_has(&py->dec->layout, PY_GC_head_size))
        return;
    uint64_t interp = fake_collector(py), size = fake_offset(py, PY_GC_head_size);
    uint64_t list = fake_generation(py, interp, 2);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        objects[i] = fake_tracked(py, list);
    if (!fake_set(py, interp, PY_IS_gc_collecting, 1) &&
        !fake_set(py, py->process.runtime, PY_RT_gc_collecting, 1))
        return; // 3.6 does not say so
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        fake_put_u64(&py->memory, objects[i] - size + 8, 4 * i + 2);
    assert_ok(py_heap_walk(&py->process, interp, visit, &all));
    assert_visited(&all, objects, ARRAY_SIZE(objects));
    fake_put_u64(&py->memory, objects[5] - size, objects[3] - size);
    assert_err(py_heap_walk(&py->process, interp, visit, &rings_of), ERR_BAD_DATA, "is broken");
    // No lists at all.
    for (unsigned i = 0; i < 3; i++)
        fake_put_u64(&py->memory, fake_generation(py, interp, i), 0);
    assert_err(py_heap_walk(&py->process, interp, visit, &all), ERR_BAD_DATA, "not where they");
}

static void test_collected(void **state)
{
    (void)state;
    fake_each_build(collected, 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),      cmocka_unit_test(test_states),
        cmocka_unit_test(test_rings),      cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_long_chain), cmocka_unit_test(test_heap),
        cmocka_unit_test(test_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
