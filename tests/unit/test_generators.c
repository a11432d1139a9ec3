// SPDX-License-Identifier: GPL-3.0-or-later
// Suspended generators in reports: grouped by place, in text, Markdown and JSON (golden files, which
// PYCORE_GOLDEN=write makes anew), and read back.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "report/generator_groups.h"
#include "round_trip.h"
#include "suspended_maker.h"

#define ROWS "rows /srv/shop/app/export.py:20"

static void make_generators(struct values *v, size_t exports)
{
    struct snap_thread *main = add_thread(v, "MainThread", SNAP_IO_WAIT);
    add_frame(v, main, "serve", "/srv/shop/app/server.py", 33);
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_generator(&scene, SNAP_ASYNC_GENERATOR, true,
                    "wait /srv/shop/app/feed.py:5 < feed /srv/shop/app/feed.py:12");
    for (size_t i = 0; i < exports; i++)
        scene_generator(&scene, SNAP_GENERATOR, true, ROWS);
    scene_generator(&scene, SNAP_GENERATOR, false, ROWS);
    for (size_t i = 0; i < 2; i++)
        scene_generator(&scene, SNAP_COROUTINE, false, "send /srv/shop/app/mail.py:8");
    scene.suspended->moment = true;
}

static void test_golden(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_generators(v, 3);
    check_golden("generators.json", render(report_json, v));
    VALUES many = values_create();
    make_generators(many, 1200);
    check_golden("generators.txt", render(report_text, many));
    many->snapshot->suspended->generators_left_out = 7;
    check_golden("generators.md", render(report_md, many));
}

// A hotspot report has a table of them.
static void test_run(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    make_generators(v, 30);
    v->input.last = v->snapshot;
    v->input.snapshot_count = 0;
    check_says(v, "Suspended generators (in the last snapshot)", true);
    check_says(v, "| 30 | generator | suspended |", true);
}

static void test_documents(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_generators(v, 50);
    v->snapshot->suspended->generators_left_out = 9;
    check_round_trip(v);
    // Without a stack, which no reader of processes gives.
    v->snapshot->suspended->generators.items[0].stack = SNAP_NO_INDEX;
    check_round_trip(v);
}

static void test_groups(void **state)
{
    (void)state;
    struct generator_groups groups;
    VALUES v = values_create();
    make_generators(v, 5);
    assert_true(generator_groups_init(&groups, v->snapshot->suspended));
    static const struct {
        uint32_t count, first;
        enum snap_generator_kind kind;
        bool begun;
    } expected[] = {{5, 1, SNAP_GENERATOR, true},
                    {2, 7, SNAP_COROUTINE, false},
                    {1, 0, SNAP_ASYNC_GENERATOR, true},
                    {1, 6, SNAP_GENERATOR, false}};
    assert_int_equal(groups.list.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        const struct generator_group *group = &groups.list.items[i];
        assert_int_equal(group->count, expected[i].count);
        assert_int_equal(group->kind, expected[i].kind);
        assert_int_equal(group->begun, expected[i].begun);
        for (uint32_t k = 0; k < group->count; k++)
            assert_int_equal(groups.order[group->first + k], expected[i].first + k);
    }
    generator_groups_deinit(&groups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
