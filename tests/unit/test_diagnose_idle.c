// SPDX-License-Identifier: GPL-3.0-or-later
// Processes that look idle: those that nothing will wake, and what is said of the main thread of the others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define BOOT " boot:9"

// ---- Nobody left ---------------------------------------------------------------------------------

#define CONSUMER "acquire! wait:7 get:8 consume:5" BOOT

static void queue_without_its_tasks_done(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_QUEUE_GET, 1, 0, CONSUMER);
    scene_waits(s, SNAP_WAIT_QUEUE_JOIN, 1, 0, "acquire! wait:7 main:3");
}

static void queue_without_consumers(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_JOIN, 2, 2, "wait:7 main:3");
    scene_waits(s, SNAP_WAIT_QUEUE_PUT, 1, 0, "acquire! wait:7 produce:9" BOOT);
    scene_thread(s, SNAP_LOCK_WAIT, "futex!")->known_to_python = false; // of a library's pool
    s->last->threads.items[2].details->wait.kind = SNAP_WAIT_COND;
}

static void missing_at_a_barrier(struct scene *s)
{
    for (int i = 0; i < 3; i++)
        scene_waits(s, SNAP_WAIT_BARRIER, 1, 0, "acquire! wait:7 meet:9" BOOT);
}

static void barrier_of_a_service_at_rest(struct scene *s)
{
    missing_at_a_barrier(s);
    scene_waits(s, SNAP_WAIT_QUEUE_GET, 2, 0, "acquire! get:5 work:4" BOOT);
}

static void semaphore_not_released(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_JOIN, 2, 2, "wait:7 main:3");
    scene_waits(s, SNAP_WAIT_SEMAPHORE, 1, 0, "acquire! wait:7 use:9" BOOT)->gives_back = true;
}

static void result_of_nobody(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_FUTURE, 1, 0, "acquire! wait:7 main:9");
}

static void test_nobody_left(void **state)
{
    (void)state;
    scene_check(queue_without_its_tasks_done, "nobody-left:high",
                "HUNG - \x01T2\x02 waits for the tasks of queue \x01thing-1\x02 in \x01"
                "main\x02 (\x01"
                "app.py:3\x02), and nobody is left to do them: all 2 threads wait for each other, "
                "or for work.");
    scene_check(queue_without_consumers, "nobody-left:high", "HUNG - \x01T2\x02 waits for room in");
    scene_check(missing_at_a_barrier, "nobody-left:high", "HUNG - 3 of 3 threads wait for barrier");
    scene_check(semaphore_not_released, "nobody-left:high", "HUNG - \x01T2\x02 waits for semaphore");
    scene_check(result_of_nobody, "nobody-left:high", "HUNG - \x01T1\x02 waits for the result of");
}

static void with_a_limit(struct scene *s)
{
    queue_without_its_tasks_done(s);
    s->last->threads.items[0].details->wait.timeout_ns = 1000;
}

static void with_one_that_sleeps(struct scene *s)
{
    missing_at_a_barrier(s);
    scene_talks(s, SNAP_WAIT_SLEEP, "clock_nanosleep", "", "sleep! main:3");
}

static void with_a_library_that_listens(struct scene *s)
{
    queue_without_consumers(s);
    s->last->threads.items[2].details->wait.kind = SNAP_WAIT_POLL;
}

static void with_one_that_works(struct scene *s)
{
    queue_without_its_tasks_done(s);
    scene_thread(s, SNAP_RUNNING, "compute:3" BOOT);
}

static void with_one_that_moved(struct scene *s)
{
    queue_without_its_tasks_done(s);
    s->last->threads.items[0].held_still = false;
}

static void with_one_taken_later(struct scene *s)
{
    queue_without_its_tasks_done(s);
    s->last->threads.items[0].held_still = false;
    s->last->threads.items[0].was_stopped = true;
}

static void with_one_that_ran_lately(struct scene *s)
{
    queue_without_its_tasks_done(s);
    s->last->cpu_window_ns = 100 * MS;
    s->last->threads.items[0].has_cpu = true;
    s->last->threads.items[0].cpu_ns = MS;
}

// Woken by a signal, perhaps.
static void idle_without_work(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_EVENT, 1, 0, "acquire! wait:7 main:3");
    for (int i = 0; i < 3; i++)
        scene_waits(s, SNAP_WAIT_QUEUE_GET, 2, 0, CONSUMER);
}

static void semaphore_as_a_signal(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_JOIN, 2, 2, "wait:7 main:3");
    scene_waits(s, SNAP_WAIT_SEMAPHORE, 1, 0, "acquire! wait:7 consume:9" BOOT);
}

static void test_somebody_left(void **state)
{
    (void)state;
    scene_check(with_a_limit, "", "IDLE - nothing is wrong that can be seen: ");
    scene_check(barrier_of_a_service_at_rest, "", "IDLE - ");
    scene_check(with_one_that_sleeps, "", "IDLE - nothing is wrong that can be seen: ");
    scene_check(with_a_library_that_listens, "", "IDLE - nothing is wrong that can be seen: ");
    scene_check(with_one_that_works, "", "BUSY - ");
    scene_check(with_one_that_moved, "", "IDLE - ");
    scene_check(with_one_taken_later, "", "IDLE - nothing is wrong that can be seen: ");
    scene_check(with_one_that_ran_lately, "", "IDLE - nothing is wrong that can be seen: ");
    scene_check(idle_without_work, "",
                "IDLE - nothing is wrong that can be seen, but no thread is left that could wake "
                "another: all 4 threads wait (3 queue-get, 1 event)");
    scene_check(semaphore_as_a_signal, "", "IDLE - ");
}

// ---- The main thread of what is idle -------------------------------------------------------------

static void main_thread_first(struct scene *s)
{
    s->last->threads.items[0].tid = s->last->threads.items[0].pid;
}

static void main_joins_one_that_reads(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_JOIN, 1, 2, "wait:7 main:3")->since_ns = 570 * MS;
    scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.3.9:5432", "recv! query:91" BOOT);
    main_thread_first(s);
}

static void main_waits_for_a_child(struct scene *s)
{
    struct snap_wait *wait = scene_talks(s, SNAP_WAIT_CHILD, "wait4", "wait4", "wait4! main:3");
    wait->owner = 4711;
    wait->owner_known = SNAP_OBSERVED;
    main_thread_first(s);
}

static void main_sleeps_beside_a_full_queue(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_SLEEP, "clock_nanosleep", "clock_nanosleep", "sleep! main:3");
    scene_waits(s, SNAP_WAIT_QUEUE_GET, 2, 0, CONSUMER);
    scene_waits(s, SNAP_WAIT_QUEUE_PUT, 1, 0, "acquire! wait:7 produce:9" BOOT);
    main_thread_first(s);
}

static void child_of_another_process(struct scene *s)
{
    main_waits_for_a_child(s);
    scene_waits(s, SNAP_WAIT_EVENT, 1, 0, "acquire! wait:7 child:9");
    s->last->threads.items[1].pid = s->last->threads.items[1].tid = 4711;
}

static void others_of_another_process(struct scene *s)
{
    main_waits_for_a_child(s);
    scene_waits(s, SNAP_WAIT_EVENT, 1, 0, "acquire! wait:7 other:9");
    s->last->threads.items[1].pid = s->last->threads.items[1].tid = 4712;
}

static void tasks_apart(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! select:3 main:3");
    main_thread_first(s);
    scene_awaits(s, SNAP_AWAIT_QUEUE_JOIN, 1, 0, "main:11");
    scene_awaits(s, SNAP_AWAIT_QUEUE_GET, 2, 0, "worker:4");
    scene_awaits(s, SNAP_AWAIT_EVENT, 3, 0, "listen:7");
    scene_awaits(s, SNAP_AWAIT_SLEEP, 0, 0, "tick:8");
    struct snap_tasks *tasks = &s->last->suspended->tasks;
    uint32_t name = tasks->items[0].name; // in no order
    tasks->items[0].name = tasks->items[1].name;
    tasks->items[1].name = name;
}

static void test_main_thread(void **state)
{
    (void)state;
    scene_check(main_joins_one_that_reads, "",
                "IDLE - nothing is wrong that can be seen: all 2 threads wait (1 thread-join, 1 read); "
                "\x01T1\x02 is waiting for the end of thread \x01thing-1\x02 in \x01main\x02 (\x01"
                "app.py:3\x02), for at least 570 ms; \x01T2\x02 is in \x01recvfrom\x02 on "
                "\x01" "10.0.3.9:5432\x02, called by \x01query\x02 (\x01" "app.py:91\x02).");
    scene_check(main_waits_for_a_child, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 child); \x01T1\x02 "
                "is in \x01wait4\x02 for process 4711, called by \x01main\x02 (\x01" "app.py:3\x02).");
    scene_check(child_of_another_process, "",
                "IDLE - nothing is wrong that can be seen: all 2 threads wait (1 event, 1 child); "
                "\x01T1\x02 of process 100 is in \x01wait4\x02 for process 4711, called by \x01main\x02 "
                "(\x01" "app.py:3\x02); \x01T2\x02 of process 4711 is waiting for event \x01thing-1\x02 in "
                "\x01" "child\x02 (\x01" "app.py:9\x02).");
    scene_check(others_of_another_process, "",
                "IDLE - nothing is wrong that can be seen: all 2 threads wait (1 event, 1 child).");
    scene_check(tasks_apart, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 poll); 4 tasks wait, "
                "task \x01Task-1\x02 for an item of queue \x01thing-2\x02 in \x01worker\x02 (\x01"
                "app.py:4\x02).");
    scene_check(main_sleeps_beside_a_full_queue, "",
                "IDLE - nothing is wrong that can be seen: all 3 threads wait (1 queue-get, 1 queue-put, 1 "
                "sleep); \x01T1\x02 is in \x01" "clock_nanosleep\x02, called by \x01main\x02 (\x01"
                "app.py:3\x02); \x01T3\x02 is waiting for room in queue \x01thing-1\x02 in "
                "\x01produce\x02 (\x01" "app.py:9\x02).");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_left),
        cmocka_unit_test(test_somebody_left),
        cmocka_unit_test(test_main_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
