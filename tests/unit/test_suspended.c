// SPDX-License-Identifier: GPL-3.0-or-later
// What waits without a thread: of several processes as one list.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "snapshot/suspended.h"

static uint32_t stack_at(struct snap_suspended *suspended, int32_t line)
{
    struct snap_frame frame = {.kind = SNAP_PYTHON, .function = 1, .line = line};
    uint32_t stack;
    assert_true(snap_suspended_stack(suspended, &frame, 1, &stack));
    return stack;
}

// Two tasks of one loop: the second one awaits the first, which has its lock.
static struct snap_suspended *make(pid_t pid, int32_t line)
{
    struct snap_suspended *suspended = snap_suspended_create();
    assert_non_null(suspended);
    suspended->moment = true;
    suspended->tasks_left_out = 1;
    struct snap_loop loop = {.pid = pid, .tid = pid, .current = 1};
    assert_true(vec_push(&suspended->loops, loop));
    struct snap_task task = {
        .pid = pid, .stack = stack_at(suspended, line), .await = {.holder = SNAP_NO_INDEX}};
    assert_true(vec_push(&suspended->tasks, task));
    task.stack = SNAP_NO_INDEX;
    task.await.holder = 0;
    task.await.task_count = 1;
    assert_true(vec_push(&task.await.tasks, 0));
    assert_true(vec_push(&suspended->tasks, task));
    struct snap_greenlet greenlet = {.pid = pid,
                                     .parent = SNAP_NO_INDEX,
                                     .stack = SNAP_NO_INDEX,
                                     .await = {.holder = SNAP_NO_INDEX}};
    assert_true(vec_push(&suspended->greenlets, greenlet));
    greenlet.parent = 0;
    assert_true(vec_push(&suspended->greenlets, greenlet));
    struct snap_generator generator = {.pid = pid, .stack = stack_at(suspended, 77)};
    assert_true(vec_push(&suspended->generators, generator));
    assert_true(snap_suspended_link(suspended));
    return suspended;
}

static void test_indexes_move(void **state)
{
    (void)state;
    struct snap_suspended *all = snap_suspended_create();
    struct snap_suspended *parts[] = {make(10, 5), make(11, 6), make(12, 5)};
    assert_non_null(all);
    for (size_t i = 0; i < 3; i++) {
        assert_true(snap_suspended_take(all, parts[i]));
        assert_int_equal(parts[i]->tasks.count, 0);
        snap_suspended_destroy(parts[i]);
    }
    assert_int_equal(all->loops.count, 3);
    assert_int_equal(all->tasks.count, 6);
    assert_int_equal(all->stacks.count, 3); // what is the same is there once
    assert_int_equal(all->tasks_left_out, 3);
    assert_false(all->moment);
    for (uint32_t i = 0; i < 3; i++) {
        const struct snap_task *first = &all->tasks.items[2 * i], *second = first + 1;
        assert_int_equal(all->loops.items[i].current, 2 * i + 1);
        assert_int_equal(first->loop, i);
        assert_int_equal(first->await.holder, SNAP_NO_INDEX);
        assert_int_equal(first->awaited_by.count, 1);
        assert_int_equal(first->awaited_by.items[0], 2 * i + 1);
        assert_int_equal(all->stacks.items[first->stack].items[0].line, i == 1 ? 6 : 5);
        assert_int_equal(second->stack, SNAP_NO_INDEX);
        assert_int_equal(second->await.holder, 2 * i);
        assert_int_equal(second->await.tasks.items[0], 2 * i);
        assert_int_equal(all->greenlets.items[2 * i].parent, SNAP_NO_INDEX);
        assert_int_equal(all->greenlets.items[2 * i + 1].parent, 2 * i);
        assert_int_equal(all->stacks.items[all->generators.items[i].stack].items[0].line, 77);
    }
    snap_suspended_destroy(all);
}

static uint32_t add_stack(struct snap_suspended *suspended, const char *kinds)
{
    struct snap_frames frames = {0};
    uint32_t ret;
    for (const char *kind = kinds; *kind; kind++) {
        struct snap_frame frame = {.kind = *kind == 'n' ? SNAP_NATIVE : SNAP_PYTHON,
                                   .line = *kind};
        assert_true(vec_push(&frames, frame));
    }
    assert_true(snap_suspended_stack(suspended, frames.items, frames.count, &ret));
    vec_deinit(&frames);
    return ret;
}

// Native frames do not make another place, but where there is nothing else.
static void test_places(void **state)
{
    (void)state;
    static const char *const stacks[] = {"ab", "nab", "b", "anb", "n", "nn", "nbn"};
    static const uint32_t expected[] = {0, 0, 2, 0, 4, 5, 2};
    struct snap_suspended *suspended = snap_suspended_create();
    uint32_t places[7];
    assert_non_null(suspended);
    assert_true(snap_suspended_places(suspended, places)); // none
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(add_stack(suspended, stacks[i]), i);
    assert_true(snap_suspended_places(suspended, places));
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(places[i], expected[i]);
    snap_suspended_destroy(suspended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_indexes_move),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
