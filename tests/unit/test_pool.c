// SPDX-License-Identifier: GPL-3.0-or-later
// Native thread pools and the Python call that waits for them: linked when it goes on just when
// they work, left alone when it is a coincidence.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "profile/profile.h"
#include "snap_maker.h"

struct moment {
    bool pool_works;
    enum snap_state state; // of the Python thread
    const char *stack;
};

static struct prof_report *profile_of(struct strtab *strings, struct profile *profile,
                                      const struct moment *moments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct snapshot *snapshot = snapshot_create();
        make_thread(strings, snapshot, 100, SNAP_SLEEP, "main:3");
        make_thread(strings, snapshot, 101, moments[i].state, moments[i].stack);
        struct snap_thread *native = make_thread(
            strings, snapshot, 102, moments[i].pool_works ? SNAP_RUNNING : SNAP_LOCK_WAIT, "");
        native->known_to_python = false;
        native->has_cpu = true;
        native->cpu_ns = moments[i].pool_works ? 1000 : 0;
        assert_true(profile_add(profile, snapshot));
        snapshot_destroy(snapshot);
    }
    struct prof_run run = {.duration_ns = 1000000};
    return profile_report(profile, &run);
}

// Ten snapshots of each of up to four moments; which function the pool was linked to, NULL: none.
static void check(const struct moment *kinds, size_t count, const char *linked)
{
    struct moment moments[40];
    assert_true(count <= 4);
    for (size_t i = 0; i < 10 * count; i++)
        moments[i] = kinds[i % count];
    struct strtab *strings = strtab_create();
    struct profile *profile = profile_create(strings);
    struct prof_report *report = profile_of(strings, profile, moments, 10 * count);
    assert_non_null(report);
    const struct prof_pool *pool = &report->pool;
    if (linked) {
        assert_int_not_equal(pool->function, UINT32_MAX);
        assert_string_equal(strtab_get(strings, report->functions[pool->function].function),
                            linked);
        assert_int_equal(report->threads[pool->thread].tid, 101);
    } else {
        assert_int_equal(pool->function, UINT32_MAX);
    }
    prof_report_destroy(report);
    profile_destroy(profile);
    strtab_destroy(strings);
}

static void test_call_that_waits_for_the_pool(void **state)
{
    (void)state;
    const struct moment in = {true, SNAP_LOCK_WAIT, "dot! multiply:7 main:3"};
    const struct moment out = {false, SNAP_RUNNING, "prepare:2 main:3"};
    check((struct moment[]){in, out}, 2, "multiply");
}

// The same with native frames: what is innermost then says nothing of who waits.
static void test_native_frames(void **state)
{
    (void)state;
    const struct moment in = {true, SNAP_LOCK_WAIT, "futex~@1 dgemm~@2 dot! multiply:7 main:3"};
    const struct moment out = {false, SNAP_RUNNING, "memmove~@1 prepare:2 main:3"};
    check((struct moment[]){in, out}, 2, "multiply");
    const struct moment with = {true, SNAP_LOCK_WAIT, "futex~@1 multiply:7 main:3"};
    const struct moment without = {false, SNAP_LOCK_WAIT, "futex~@1 rest:7 main:3"};
    check((struct moment[]){with, without}, 2, "multiply");
}

static void test_operators_of_one_function(void **state)
{
    (void)state;
    // a @ b is no call, numpy.dot is one: both belong to the same Python function.
    const struct moment moments[] = {{true, SNAP_RUNNING, "dot! multiply:7 main:3"},
                                     {true, SNAP_RUNNING, "multiply:8 main:3"},
                                     {false, SNAP_RUNNING, "prepare:2 main:3"}};
    check(moments, 3, "multiply");
}

static void test_always_there_is_no_link(void **state)
{
    (void)state;
    // It works half of the time without the pool: it does not wait for it.
    const struct moment with = {true, SNAP_RUNNING, "spin:7 main:3"};
    const struct moment without = {false, SNAP_RUNNING, "spin:7 main:3"};
    check((struct moment[]){with, without}, 2, NULL);
}

// OpenBLAS's threads spin between two calls: whatever waits for a lock all the time goes with them.
static void test_pool_that_never_rests(void **state)
{
    (void)state;
    const struct moment with = {true, SNAP_LOCK_WAIT, "acquire! put:7 main:3"};
    check((struct moment[]){with}, 1, NULL);
}

static void test_sleep_is_no_link(void **state)
{
    (void)state;
    const struct moment with = {true, SNAP_SLEEP, "sleep! idle:7 main:3"};
    check((struct moment[]){with, with}, 2, NULL);
}

static void test_pool_at_rest(void **state)
{
    (void)state;
    const struct moment rest = {false, SNAP_RUNNING, "spin:7 main:3"};
    check((struct moment[]){rest, rest}, 2, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_that_waits_for_the_pool),
        cmocka_unit_test(test_native_frames),
        cmocka_unit_test(test_operators_of_one_function),
        cmocka_unit_test(test_always_there_is_no_link),
        cmocka_unit_test(test_pool_that_never_rests),
        cmocka_unit_test(test_sleep_is_no_link),
        cmocka_unit_test(test_pool_at_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
