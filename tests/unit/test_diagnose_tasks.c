// SPDX-License-Identifier: GPL-3.0-or-later
// Rules on tasks that wait for each other and for locks: scenes in which they speak, and some that
// look like them and in which they must not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define POLL "poll! select:4 _run_once:1900 main:3"

// The loop's thread, asleep in its own poll.
static void at_rest(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", POLL);
    scene_loop(s, 1);
}

static void sleepers(struct scene *s, int count, const char *stack)
{
    for (int i = 0; i < count; i++)
        scene_awaits(s, SNAP_AWAIT_SLEEP, 0, 0, stack);
}

// ---- Cycles --------------------------------------------------------------------------------------

static void two_await_each_other(struct scene *s)
{
    at_rest(s);
    scene_awaits_tasks(s, "2", "first:12* main:3*");
    scene_awaits_tasks(s, "1", "second:20*");
}

static void two_locks(struct scene *s)
{
    at_rest(s);
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 2, "__aenter__:20* transfer:12*");
    scene_awaits(s, SNAP_AWAIT_LOCK, 2, 1, "__aenter__:20* audit:30*");
    scene_awaits(s, SNAP_AWAIT_LOCK, 2, 1, "__aenter__:20* audit:29*"); // stands behind them
}

static void lock_taken_twice(struct scene *s)
{
    at_rest(s);
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 1, "__aenter__:20* inner:12* outer:5*");
    sleepers(s, 1, "tick:3*");
}

static void ring_through_gather(struct scene *s)
{
    at_rest(s);
    scene_awaits_tasks(s, "23", "parent:12*");
    sleepers(s, 1, "tick:3*");
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 1, "__aenter__:20* child:30*");
}

static void ring_of_three(struct scene *s)
{
    at_rest(s);
    scene_awaits_tasks(s, "2", "one:12*");
    scene_awaits_tasks(s, "3", "two:13*");
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 1, "__aenter__:20* three:14*");
}

static void ring_with_a_limit(struct scene *s)
{
    two_locks(s);
    s->last->suspended->tasks.items[1].await.left_ns = 5;
}

static void all_of_them_wait(struct scene *s) // for the first one, but none will ever come
{
    at_rest(s);
    scene_awaits_tasks(s, "23", "_wait:500* parent:12*");
    scene_awaits_tasks(s, "1", "left:30*");
    scene_awaits_tasks(s, "1", "right:30*");
}

// A job of a thread asks for the result of a coroutine, which wants the lock of who awaits the job.
static void ring_over_a_thread(struct scene *s)
{
    at_rest(s);
    scene_waits(s, SNAP_WAIT_FUTURE, 9, 0, "acquire! wait:3 call_back:9 run:58 _worker:83 boot:9");
    scene_awaits(s, SNAP_AWAIT_EXECUTOR, 0, 0, "handle:12*")->thread = 102;
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 1, "__aenter__:20* update:30*");
    s->last->suspended->tasks.items[1].answers = 0x7f0009;
}

// The loop's own thread waits for a task of its loop.
static void loop_waits_for_itself(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_FUTURE, 9, 0,
                "acquire! wait:3 handle:7* _run:80 _run_once:1900 main:3");
    scene_loop(s, 1)->current = 0;
    scene_task(s, SNAP_TASK_RUNNING, "handle:7*");
    scene_task(s, SNAP_TASK_CREATED, "update:30*")->answers = 0x7f0009;
}

static void test_cycle(void **state)
{
    (void)state;
    scene_check(two_await_each_other, "task-cycle:high",
                "DEADLOCK - Task \x01Task-1\x02 and task \x01Task-2\x02 wait for each other: task "
                "\x01Task-1\x02 awaits task \x01Task-2\x02 in \x01"
                "first\x02 (\x01"
                "app.py:12\x02); task \x01Task-2\x02 awaits");
    scene_check(two_locks, "task-cycle:high",
                "DEADLOCK - Task \x01Task-1\x02 and task \x01Task-2\x02 wait for each other: task "
                "\x01Task-1\x02 holds lock \x01thing-2\x02 and waits for lock \x01thing-1\x02 in "
                "\x01transfer\x02 (\x01"
                "app.py:12\x02), held by task \x01Task-2\x02; task \x01Task-2\x02 holds lock");
    scene_check(lock_taken_twice, "task-cycle:high",
                "DEADLOCK - Task \x01Task-1\x02 waits for lock \x01thing-1\x02 in \x01inner\x02 "
                "(\x01"
                "app.py:12\x02), which it holds itself.");
    scene_check(ring_through_gather, "task-cycle:high", "DEADLOCK - ");
    scene_check(ring_of_three, "task-cycle:high",
                "DEADLOCK - Task \x01Task-1\x02, task \x01Task-2\x02 and task \x01Task-3\x02 wait "
                "for each other in a ring: ");
    scene_check(ring_with_a_limit, "task-cycle:medium", "DEADLOCK - ");
    scene_check(all_of_them_wait, "task-cycle:high", "DEADLOCK - ");
    scene_check(
        ring_over_a_thread, "task-cycle:high",
        "DEADLOCK - Task \x01Task-1\x02, thread \x01T2\x02 and task \x01Task-2\x02 wait for "
        "each other in a ring: task \x01Task-1\x02 holds lock \x01thing-1\x02 and awaits a "
        "job in \x01handle\x02 (\x01"
        "app.py:12\x02), which thread \x01T2\x02 runs; ");
    scene_check(loop_waits_for_itself, "task-cycle:high blocking-call-in-event-loop:medium",
                "DEADLOCK - ");
}

static void tree_of_tasks(struct scene *s)
{
    at_rest(s);
    scene_awaits_tasks(s, "23", "main:3*");
    scene_awaits_tasks(s, "4", "left:12*");
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 2, "__aenter__:20* right:12*");
    sleepers(s, 1, "tick:3*");
}

static void waits_for_the_first(struct scene *s) // which may be one that is outside of the ring
{
    at_rest(s);
    scene_awaits_tasks(s, "23", "_wait:500* parent:12*");
    scene_awaits_tasks(s, "1", "left:30*");
    sleepers(s, 1, "tick:3*");
}

static void waits_for_the_first_of_many(struct scene *s) // not all of them are known
{
    all_of_them_wait(s);
    s->last->suspended->tasks.items[0].await.task_count = 3;
}

static void await_each_other_as_others_run(struct scene *s)
{
    two_await_each_other(s);
    struct snap_task *tasks = s->last->suspended->tasks.items;
    tasks[0].await.object = tasks[1].object;
    tasks[1].await.object = tasks[0].object;
    s->last->suspended->moment = false;
}

static void locks_as_others_run(struct scene *s)
{
    two_locks(s);
    s->last->suspended->moment = false;
}

// A lock that was passed on, and a task that was awaited later.
static void locks_and_tasks_as_others_run(struct scene *s)
{
    ring_of_three(s);
    struct snap_task *tasks = s->last->suspended->tasks.items;
    tasks[0].await.object = tasks[1].object;
    tasks[1].await.object = tasks[2].object;
    s->last->suspended->moment = false;
}

// What was seen of them was so at one moment, whatever others did.
static void locks_and_tasks_that_stood(struct scene *s)
{
    locks_and_tasks_as_others_run(s);
    vec_foreach (task, &s->last->suspended->tasks)
        task->stood = true;
}

static void one_of_them_did_not_stand(struct scene *s)
{
    locks_and_tasks_that_stood(s);
    s->last->suspended->tasks.items[2].stood = false;
}

static void locks_called_alike(struct scene *s)
{
    two_locks(s);
    struct snap_task *tasks = s->last->suspended->tasks.items;
    tasks[0].await.what = tasks[1].await.what;
}

static void only_one_says_so(struct scene *s)
{
    await_each_other_as_others_run(s);
    s->last->suspended->tasks.items[1].await.object++;
}

static void seems_to_await_itself(struct scene *s)
{
    at_rest(s);
    scene_awaits_tasks(s, "1", "handle:12*");
}

static void one_is_ready(struct scene *s)
{
    two_await_each_other(s);
    s->last->suspended->tasks.items[1].state = SNAP_TASK_READY;
}

static void job_goes_on(struct scene *s)
{
    ring_over_a_thread(s);
    s->last->threads.items[1].held_still = false;
}

static void job_asks_for_another(struct scene *s)
{
    ring_over_a_thread(s);
    s->last->suspended->tasks.items[1].answers = 0x7f0008;
}

static void test_cycle_as_others_run(void **state)
{
    (void)state;
    scene_check(await_each_other_as_others_run, "task-cycle:high", "DEADLOCK - ");
    scene_check(locks_as_others_run, "task-cycle:high", "DEADLOCK - ");
    scene_check(locks_and_tasks_that_stood, "task-cycle:high", "DEADLOCK - ");
    scene_check(locks_called_alike, "task-cycle:high",
                "DEADLOCK - Task \x01Task-1\x02 and task \x01Task-2\x02 wait for each other: "
                "task \x01Task-1\x02 holds a lock and waits for lock \x01thing-2\x02");
}

static void test_no_cycle(void **state)
{
    (void)state;
    scene_check(tree_of_tasks, "", "IDLE - ");
    scene_check(waits_for_the_first, "", "IDLE - ");
    scene_check(waits_for_the_first_of_many, "", "IDLE - ");
    scene_check(locks_and_tasks_as_others_run, "", "IDLE - ");
    scene_check(one_of_them_did_not_stand, "", "IDLE - ");
    scene_check(only_one_says_so, "", "IDLE - ");
    scene_check(seems_to_await_itself, "", "IDLE - ");
    scene_check(one_is_ready, "", "IDLE - ");
    scene_check(job_goes_on, "", "IDLE - ");
    scene_check(job_asks_for_another, "", "IDLE - ");
}

// A long chain, one ring, pairs, all of them behind one ring; hostile indexes.
static void test_many_tasks(void **state)
{
    (void)state;
    enum { MANY = 50000 };
    for (int shape = 0; shape < 5; shape++) {
        struct scene scene = scene_create(false);
        at_rest(&scene);
        for (uint32_t i = 0; i < MANY; i++) {
            struct snap_await *await = scene_awaits(&scene, SNAP_AWAIT_TASK, 0, 0, "f:3*");
            uint32_t other = shape < 2 ? (i + 1) % MANY : shape == 2 ? i ^ 1 : shape == 3 ? !i : ~i;
            await->task_count = 1;
            if (shape > 0 || i + 1 < MANY)
                assert_true(vec_push(&await->tasks, other));
        }
        struct diagnosis *diagnosis = scene_diagnose(&scene);
        assert_non_null(diagnosis);
        AUTO_FREE char *ids = scene_ids(diagnosis);
        assert_int_equal(strncmp(ids, "task-cycle:high", 15) == 0, shape > 0 && shape < 4);
        assert_true(diagnosis->findings.count <= 9);
        if (shape == 3) {
            size_t last = diagnosis->findings.items[0].evidence.count - 1;
            assert_string_equal(
                diagnosis->findings.items[0].evidence.items[last],
                "49,998 further tasks wait behind them, directly or through others.");
        }
        diagnosis_destroy(diagnosis);
        scene_destroy(&scene);
    }
}

// ---- Pile-ups ------------------------------------------------------------------------------------

static void pile(struct scene *s, enum snap_await_kind kind, unsigned holder, int count,
                 const char *stack)
{
    for (int i = 0; i < count; i++)
        scene_awaits(s, kind, 1, holder, stack);
}

static void slow_holder(struct scene *s)
{
    at_rest(s);
    scene_awaits(s, SNAP_AWAIT_READ, 5, 0, "query:91* update:13*");
    pile(s, SNAP_AWAIT_LOCK, 1, 300, "__aenter__:20* update:12*");
}

static void small_pile_at_a_lock(struct scene *s)
{
    at_rest(s);
    sleepers(s, 1, "update:13*");
    pile(s, SNAP_AWAIT_LOCK, 1, 25, "__aenter__:20* update:12*");
}

static void limit_is_reached(struct scene *s)
{
    at_rest(s);
    for (int i = 0; i < 4; i++)
        scene_awaits(s, SNAP_AWAIT_READ, 5, 0, "query:91* fetch:13*");
    pile(s, SNAP_AWAIT_SEMAPHORE, 0, 200, "__aenter__:20* fetch:12*");
}

static void limit_on_one_line(struct scene *s) // async with limit: await query()
{
    at_rest(s);
    for (int i = 0; i < 4; i++)
        scene_awaits(s, SNAP_AWAIT_READ, 5, 0, "query:91* fetch:12*");
    pile(s, SNAP_AWAIT_SEMAPHORE, 0, 200, "__aenter__:20* fetch:12*");
}

static void nobody_takes(struct scene *s)
{
    at_rest(s);
    pile(s, SNAP_AWAIT_QUEUE_PUT, 0, 150, "produce:12*");
    sleepers(s, 1, "consume:13*");
}

static void all_await_one(struct scene *s)
{
    at_rest(s);
    scene_awaits(s, SNAP_AWAIT_CONNECT, 5, 0, "open:91*");
    for (int i = 0; i < 150; i++)
        scene_awaits_tasks(s, "1", "cached:12* handle:3*");
}

static void pool_is_empty(struct scene *s)
{
    at_rest(s);
    for (int i = 0; i < 150; i++) // each has a future of its own
        scene_awaits(s, SNAP_AWAIT_FUTURE, 1 + (unsigned)i, 0, "getconn:200* handle:12*");
    scene_awaits(s, SNAP_AWAIT_READ, 5, 0, "query:91* handle:13*");
}

// A run: who holds it has been there since then; the last snapshot is built once more.
static void run_of(struct scene *s, scene_fn *make, uint64_t since_ns)
{
    for (int i = 0; i < 30; i++) {
        scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", POLL);
        scene_next(s);
    }
    make(s);
    vec_foreach (task, &s->last->suspended->tasks)
        task->since_ns = task->await.kind == SNAP_AWAIT_READ ? since_ns : 2900 * MS;
}

static void limit_stands_still(struct scene *s)
{
    run_of(s, limit_is_reached, 2900 * MS);
}

static void limit_is_served(struct scene *s)
{
    run_of(s, limit_is_reached, 80 * MS);
}

static void small_pile_moved(struct scene *s)
{
    small_pile_at_a_lock(s);
    s->last->suspended->moment = false;
}

static void large_pile_moved(struct scene *s)
{
    slow_holder(s);
    s->last->suspended->moment = false;
}

static void limit_moved(struct scene *s)
{
    limit_is_reached(s);
    s->last->suspended->moment = false;
}

// Who got through sleeps for a moment.
static void nap(struct scene *s, scene_fn *make)
{
    make(s);
    vec_foreach (task, &s->last->suspended->tasks)
        if (task->await.kind == SNAP_AWAIT_READ) {
            task->await.kind = SNAP_AWAIT_SLEEP;
            task->await.left_ns = 50 * (int64_t)MS;
        }
}

static void limit_naps(struct scene *s)
{
    nap(s, limit_is_reached);
}

static void holder_naps(struct scene *s)
{
    nap(s, slow_holder);
}

static void holder_stands_still(struct scene *s)
{
    run_of(s, slow_holder, 2900 * MS);
}

static void test_pile_up(void **state)
{
    (void)state;
    scene_check(slow_holder, "task-pile-up:high",
                "BLOCKED - 300 of 301 tasks wait for lock \x01thing-1\x02 in \x01update\x02 (\x01"
                "app.py:12\x02), held by task \x01Task-1\x02, itself waiting for input from "
                "\x01thing-5\x02 in \x01query\x02 (\x01"
                "app.py:91\x02).");
    scene_check(small_pile_at_a_lock, "task-pile-up:medium", "BLOCKED - 25 of 26 tasks");
    scene_check(limit_is_reached, "task-pile-up:medium",
                "BLOCKED - 200 of 204 tasks wait for semaphore \x01thing-1\x02 in \x01"
                "fetch\x02 (\x01"
                "app.py:12\x02); the 4 that went on are all in one place: task \x01Task-1\x02, "
                "itself waiting for input from \x01thing-5\x02 in \x01query\x02");
    scene_check(limit_on_one_line, "task-pile-up:medium",
                "BLOCKED - 200 of 204 tasks wait for semaphore \x01thing-1\x02 in \x01"
                "fetch\x02 (\x01"
                "app.py:12\x02); the 4 that went on are all in one place");
    scene_check(nobody_takes, "task-pile-up:medium", "BLOCKED - 150 of 151 tasks wait for room");
    scene_check(all_await_one, "task-pile-up:medium",
                "BLOCKED - 150 of 151 tasks wait for task \x01Task-1\x02 in \x01"
                "cached\x02 (\x01"
                "app.py:12\x02), which is itself waiting for the connection to");
    scene_check(pool_is_empty, "task-pile-up:medium",
                "BLOCKED - 150 of 151 tasks wait for a connection of a pool in \x01handle\x02");
    scene_check(limit_stands_still, "task-pile-up:high", "BLOCKED - 200 of 204 tasks");
    scene_check(limit_is_served, "task-pile-up:low", "IDLE - ");
    scene_check(small_pile_moved, "task-pile-up:low", "IDLE - ");
    scene_check(large_pile_moved, "task-pile-up:medium", "BLOCKED - ");
    scene_check(limit_moved, "task-pile-up:low", "IDLE - ");
    scene_check(limit_naps, "task-pile-up:low", "IDLE - ");
    scene_check(holder_naps, "task-pile-up:medium", "BLOCKED - ");
    scene_check(holder_stands_still, "task-pile-up:high", "BLOCKED - 300 of 301 tasks");
}

static void idle_connections(struct scene *s)
{
    at_rest(s);
    for (int i = 0; i < 300; i++)
        scene_awaits(s, SNAP_AWAIT_READ, 10 + (unsigned)i, 0, "read:20* handle:12*");
    sleepers(s, 300, "keep_alive:9*");
}

static void idle_consumers(struct scene *s)
{
    at_rest(s);
    pile(s, SNAP_AWAIT_QUEUE_GET, 0, 300, "consume:12*");
}

static void futures_of_their_own(struct scene *s)
{
    at_rest(s);
    for (int i = 0; i < 300; i++)
        scene_awaits(s, SNAP_AWAIT_FUTURE, 1 + (unsigned)i, 0, "next_request:12*");
}

static void one_event(struct scene *s)
{
    at_rest(s);
    pile(s, SNAP_AWAIT_EVENT, 0, 300, "subscribe:12*");
    pile(s, SNAP_AWAIT_CONDITION, 0, 300, "listen:12*");
}

static void few_at_a_limit(struct scene *s)
{
    at_rest(s);
    pile(s, SNAP_AWAIT_SEMAPHORE, 0, 60, "__aenter__:20* fetch:12*");
}

static void few_of_many(struct scene *s)
{
    idle_connections(s);
    pile(s, SNAP_AWAIT_SEMAPHORE, 0, 120, "__aenter__:20* fetch:12*");
}

static void gather_of_sleeps(struct scene *s)
{
    at_rest(s);
    scene_awaits(s, SNAP_AWAIT_SEVERAL, 0, 0, "main:3*")->task_count = 300;
    sleepers(s, 300, "work:5*");
    for (uint32_t i = 1; i <= 300; i++)
        assert_true(vec_push(&s->last->suspended->tasks.items[0].await.tasks, i));
    assert_true(snap_suspended_link(s->last->suspended));
}

static void test_no_pile_up(void **state)
{
    (void)state;
    scene_check(idle_connections, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 poll); 600 "
                "tasks wait, 300 of them for input in \x01read\x02 (\x01"
                "app.py:20\x02), 300 of them for the end of a sleep in \x01keep_alive\x02 (\x01"
                "app.py:9\x02).");
    scene_check(idle_consumers, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 poll); 300 "
                "tasks wait, all of them for an item of queue \x01thing-1\x02 in \x01"
                "consume\x02 (\x01"
                "app.py:12\x02).");
    scene_check(futures_of_their_own, "", "IDLE - ");
    scene_check(one_event, "", "IDLE - ");
    scene_check(few_at_a_limit, "", "IDLE - ");
    scene_check(few_of_many, "", "IDLE - ");
    scene_check(gather_of_sleeps, "", "IDLE - ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cycle),
        cmocka_unit_test(test_no_cycle),
        cmocka_unit_test(test_cycle_as_others_run),
        cmocka_unit_test(test_many_tasks),
        cmocka_unit_test(test_pile_up),
        cmocka_unit_test(test_no_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
