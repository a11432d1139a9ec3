// SPDX-License-Identifier: GPL-3.0-or-later
// loop-asleep: scenes in which nothing can wake a loop, or nobody wakes it, and some that look like them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define POLL "poll! select:4 _run_once:1900 main:3"
#define LOCK "__aenter__:20* update:12*"

// The loop of the first thread polls, and has nothing that could wake it.
static struct snap_loop *closed_loop(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", POLL);
    struct snap_loop *loop = scene_loop(s, 1);
    loop->ready = loop->scheduled = loop->watched = loop->signals = 0;
    return loop;
}

static struct snap_loop *loop_of(struct scene *s)
{
    return s->last->suspended->loops.items;
}

static void lock_of_nobody(struct scene *s)
{
    closed_loop(s);
    scene_awaits_tasks(s, "23", "main:3*");
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 0, LOCK);
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 0, LOCK);
}

static void lock_of_one_that_waits_for_good(struct scene *s)
{
    closed_loop(s);
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 2, LOCK);
    scene_awaits(s, SNAP_AWAIT_QUEUE_GET, 2, 0, "hold:30*");
}

static void consumers(struct scene *s)
{
    closed_loop(s);
    scene_awaits(s, SNAP_AWAIT_QUEUE_GET, 1, 0, "consume:12*");
    scene_awaits(s, SNAP_AWAIT_EVENT, 2, 0, "main:3*");
}

static void producer_is_dead(struct scene *s)
{
    consumers(s);
    struct snap_task *task = scene_task(s, SNAP_TASK_FINISHED, "");
    task->exception = strtab_add_cstr(s->strings, "ValueError: no");
}

static void until_a_signal_comes(struct scene *s) // await asyncio.Future()
{
    closed_loop(s);
    scene_awaits(s, SNAP_AWAIT_FUTURE, 1, 0, "main:3*");
}

static void future_of_nobody(struct scene *s)
{
    closed_loop(s);
    scene_awaits_tasks(s, "2", "main:3*");
    scene_awaits(s, SNAP_AWAIT_FUTURE, 1, 0, "answer:12*");
    assert_true(snap_suspended_link(s->last->suspended));
}

static void pool_at_rest(struct scene *s) // its thread only runs what the loop asks for
{
    lock_of_nobody(s);
    scene_waits(s, SNAP_WAIT_QUEUE_GET, 5, 0, "acquire! get:4 _worker:81 boot:9");
}

static void main_thread_joins(struct scene *s)
{
    lock_of_nobody(s);
    scene_waits(s, SNAP_WAIT_JOIN, 5, 1, "acquire! start:4");
}

static void not_woken(struct scene *s)
{
    closed_loop(s)->ready = 1;
    scene_awaits_tasks(s, "2", "main:3*");
    scene_task(s, SNAP_TASK_READY, "answer:12*");
}

static void woken_late(struct scene *s)
{
    not_woken(s);
    loop_of(s)->scheduled = 1;
    s->last->threads.items[0].details->wait.timeout_ns = 3600 * 1000 * MS;
}

static void test_asleep(void **state)
{
    (void)state;
    scene_check(lock_of_nobody, "loop-asleep:high",
                "HUNG - The event loop of \x01T1\x02 sleeps, and nothing is left in this process that "
                "could wake it (no timer, no descriptor, no thread at work): 3 tasks wait, 2 of them "
                "for lock \x01thing-1\x02 in \x01update\x02 (\x01"
                "app.py:12\x02), held by nobody that is known.");
    scene_check(lock_of_one_that_waits_for_good, "loop-asleep:high",
                "HUNG - The event loop of \x01T1\x02 sleeps, and nothing is left in this process that "
                "could wake it (no timer, no descriptor, no thread at work): 2 tasks wait, 1 for lock "
                "\x01thing-1\x02 in \x01update\x02 (\x01"
                "app.py:12\x02), held by task \x01Task-2\x02, itself waiting for an item of queue "
                "\x01thing-2\x02 in \x01hold\x02 (\x01"
                "app.py:30\x02).");
    scene_check(producer_is_dead, "loop-asleep:high", "HUNG - ");
    scene_check(future_of_nobody, "loop-asleep:high", "HUNG - ");
    scene_check(pool_at_rest, "loop-asleep:high", "HUNG - ");
    scene_check(main_thread_joins, "loop-asleep:high", "HUNG - ");
    scene_check(not_woken, "loop-asleep:high",
                "HUNG - The event loop of \x01T1\x02 sleeps although 1 callback of it is due, and "
                "nothing wakes it: task \x01Task-2\x02 could go on in \x01"
                "answer\x02 (\x01"
                "app.py:12\x02).");
    scene_check(woken_late, "loop-asleep:medium", "IDLE - The event loop of ");
}

// What is at rest is told as what it is.
static void test_at_rest(void **state)
{
    (void)state;
    scene_check(consumers, "loop-asleep:low",
                "IDLE - The event loop of \x01T1\x02 sleeps, and nothing is left in this process that "
                "could wake it (no timer, no descriptor, no thread at work): 2 tasks wait, 1 for an "
                "item of queue \x01thing-1\x02 in \x01"
                "consume\x02 (\x01"
                "app.py:12\x02), 1 for event ");
    scene_check(until_a_signal_comes, "loop-asleep:low", "IDLE - ");
}

static void has_a_timer(struct scene *s)
{
    lock_of_nobody(s);
    loop_of(s)->scheduled = 1;
}

static void watches(struct scene *s)
{
    lock_of_nobody(s);
    loop_of(s)->watched = 1;
}

static void not_known_what_it_watches(struct scene *s)
{
    lock_of_nobody(s);
    loop_of(s)->watched = -1;
}

static void handles_signals(struct scene *s)
{
    lock_of_nobody(s);
    loop_of(s)->signals = 1;
}

static void other_thread_at_work(struct scene *s)
{
    lock_of_nobody(s);
    scene_thread(s, SNAP_RUNNING, "load:4");
}

static void other_thread_may_come_back(struct scene *s) // and call the loop
{
    lock_of_nobody(s);
    scene_talks(s, SNAP_WAIT_READ, "read", "a pipe", "read! listen:4");
}

static void worker_has_a_job(struct scene *s)
{
    lock_of_nobody(s);
    scene_talks(s, SNAP_WAIT_READ, "read", "a pipe", "read! load:4 run:58 _worker:83 boot:9");
}

static void handler_on_top(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "poll", "", "poll! on_signal:9 select:4 _run_once:1900 main:3");
    struct snap_loop *loop = scene_loop(s, 1);
    loop->ready = loop->scheduled = loop->watched = loop->signals = 0;
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 0, LOCK);
}

static void awaits_the_world(struct scene *s)
{
    lock_of_nobody(s);
    scene_awaits(s, SNAP_AWAIT_CHILD, 0, 0, "run_child:5*");
}

static void others_ran(struct scene *s)
{
    lock_of_nobody(s);
    s->last->suspended->moment = false;
}

static void is_being_woken(struct scene *s)
{
    not_woken(s);
    scene_thread(s, SNAP_RUNNING, "call_soon_threadsafe:4");
}

static void wakes_soon(struct scene *s)
{
    woken_late(s);
    s->last->threads.items[0].details->wait.timeout_ns = 10 * MS;
}

static void test_awake(void **state)
{
    (void)state;
    scene_check(has_a_timer, "", "IDLE - nothing is wrong that can be seen: ");
    scene_check(watches, "", "IDLE - ");
    scene_check(not_known_what_it_watches, "", "IDLE - ");
    scene_check(handles_signals, "", "IDLE - ");
    scene_check(other_thread_at_work, "", "BUSY - ");
    scene_check(other_thread_may_come_back, "", "IDLE - ");
    scene_check(worker_has_a_job, "", "IDLE - ");
    scene_check(handler_on_top, "blocking-call-in-event-loop:medium", "BLOCKED - ");
    scene_check(awaits_the_world, "", "IDLE - ");
    scene_check(others_ran, "", "IDLE - ");
    scene_check(is_being_woken, "", "BUSY - ");
    scene_check(wakes_soon, "", "IDLE - ");
}

// A ring is told as a ring.
static void ring(struct scene *s)
{
    closed_loop(s);
    scene_awaits(s, SNAP_AWAIT_LOCK, 1, 2, LOCK);
    scene_awaits(s, SNAP_AWAIT_LOCK, 2, 1, "__aenter__:20* audit:30*");
}

static void test_ring(void **state)
{
    (void)state;
    scene_check(ring, "task-cycle:high", "DEADLOCK - ");
}

// What a quiet loop's tasks are told to wait for.
static void several_places(struct scene *s)
{
    has_a_timer(s);
    scene_awaits(s, SNAP_AWAIT_SLEEP, 0, 0, "tick:5*");
    struct snap_task *task = scene_task(s, SNAP_TASK_FINISHED, "");
    task->exception = strtab_add_cstr(s->strings, "ValueError: no");
}

static void asked_to_end(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", POLL);
    scene_loop(s, 1);
    scene_awaits(s, SNAP_AWAIT_SLEEP, 0, 0, "stubborn:5*");
    s->last->suspended->tasks.items[0].cancelling = true;
}

static void test_quiet(void **state)
{
    (void)state;
    scene_check(several_places, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 poll); 4 tasks "
                "wait, 2 of them for lock \x01thing-1\x02 in \x01update\x02 (\x01"
                "app.py:12\x02), held by nobody that is known, 1 for the end of a sleep in \x01tick\x02 "
                "(\x01"
                "app.py:5\x02); 1 task ended with an exception that nobody retrieved, \x01ValueError: "
                "no\x02.");
    scene_check(asked_to_end, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 poll); 1 task "
                "waits for the end of a sleep in \x01stubborn\x02 (\x01"
                "app.py:5\x02), which was asked to end.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asleep), cmocka_unit_test(test_at_rest), cmocka_unit_test(test_awake),
        cmocka_unit_test(test_ring),   cmocka_unit_test(test_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
