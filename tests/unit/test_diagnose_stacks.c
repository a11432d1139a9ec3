// SPDX-License-Identifier: GPL-3.0-or-later
// Rules on the stacks of one snapshot: event loops, the GIL, recursion.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define BOOT " boot:9"

// ---- Event loops ---------------------------------------------------------------------------------

static void sleeps_in_coroutine(struct scene *s)
{
    scene_thread(s, SNAP_SLEEP, "sleep! step:12* _run:80 _run_once:1900 main:3");
}

static void talks_in_callback(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.3.9:5432",
                "recv! query:91 handle:7* _run:80 _run_once:1900 main:3");
}

// For half a millisecond, or for long: that it ran lately is no excuse.
static void sleeps_for(struct scene *s, int64_t left_ns)
{
    scene_talks(s, SNAP_WAIT_SLEEP, "clock_nanosleep", "",
                "sleep! step:12* _run:80 _run_once:1900 main:3")
        ->left_ns = left_ns;
    s->last->threads.items[0].state = SNAP_SLEEP;
    s->last->cpu_window_ns = 100 * MS;
    s->last->threads.items[0].has_cpu = true;
    s->last->threads.items[0].cpu_ns = MS;
}

static void naps(struct scene *s)
{
    sleeps_for(s, MS / 2);
}

static void sleeps_on(struct scene *s)
{
    sleeps_for(s, 900 * MS);
}

// A lock, for which it waits at this moment, or did for all the while that was looked at.
static void locks_in_callback(struct scene *s, bool ran)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 0, "__enter__! handle:7* _run:80 _run_once:1900 main:3");
    scene_thread(s, SNAP_SLEEP, "sleep! save:3" BOOT);
    s->last->cpu_window_ns = 100 * MS;
    s->last->threads.items[0].has_cpu = true;
    s->last->threads.items[0].cpu_ns = ran ? MS : 0;
}

static void locks_for_a_moment(struct scene *s)
{
    locks_in_callback(s, true);
}

static void locks_for_long(struct scene *s)
{
    locks_in_callback(s, false);
}

static void sleeps_under_trio(struct scene *s)
{
    scene_thread(s, SNAP_SLEEP, "sleep! step:12* unrolled_run:80 main:3");
}

static void loop_at_rest(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! select:4 _run_once:1900 main:3");
    scene_thread(s, SNAP_SLEEP, "sleep! generate:4* work:3" BOOT);
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! get_events:4 unrolled_run:9" BOOT);
}

static void loop_in_a_loop(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "",
                "poll! select:4 _run_once:1900 inner:3* _run:80 _run_once:1900 main:3");
}

static void working_coroutine(struct scene *s)
{
    scene_thread(s, SNAP_RUNNING, "step:12* _run:80 _run_once:1900 main:3");
}

static void test_event_loop(void **state)
{
    (void)state;
    scene_check(sleeps_in_coroutine, "blocking-call-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 stands still: \x01step\x02 "
                "(\x01"
                "app.py:12\x02) blocks in \x01sleep\x02.");
    scene_check(talks_in_callback, "blocking-call-in-event-loop:medium", "BLOCKED - ");
    scene_check(naps, "blocking-call-in-event-loop:medium", "BLOCKED - ");
    scene_check(sleeps_on, "blocking-call-in-event-loop:high", "BLOCKED - ");
    scene_check(locks_for_a_moment, "blocking-call-in-event-loop:low", "IDLE - ");
    scene_check(locks_for_long, "blocking-call-in-event-loop:medium", "BLOCKED - ");
    scene_check(sleeps_under_trio, "blocking-call-in-event-loop:high", "BLOCKED - ");
    scene_check(loop_at_rest, "", "IDLE - ");
    scene_check(loop_in_a_loop, "", "IDLE - ");
    scene_check(working_coroutine, "", "BUSY - ");
}

// ---- The GIL in one snapshot ---------------------------------------------------------------------

static void gil_of(struct scene *s, enum snap_state state, const char *stack, int waiters)
{
    struct snap_thread *holder = scene_thread(s, state, stack);
    holder->has_holds_gil = holder->holds_gil = true;
    for (int i = 0; i < waiters; i++)
        scene_thread(s, SNAP_GIL_WAIT, "work:5" BOOT);
}

static void sleeps_with_the_gil(struct scene *s)
{
    gil_of(s, SNAP_SLEEP, "nanosleep~@1 ext_spin~@2 spin! call:12 main:3", 3);
}

static void computes_with_the_gil(struct scene *s)
{
    gil_of(s, SNAP_RUNNING, "memcpy~@1 ext_spin~@2 spin! call:12 main:3", 3);
}

static void python_with_the_gil(struct scene *s)
{
    gil_of(s, SNAP_RUNNING, "memcpy~@1 call:12 main:3", 3);
}

static void nobody_wants_the_gil(struct scene *s)
{
    gil_of(s, SNAP_RUNNING, "ext_spin~@2 spin! call:12 main:3", 0);
}

static void test_gil_held(void **state)
{
    (void)state;
    scene_check(sleeps_with_the_gil, "gil-held-by-native:high",
                "HUNG - 3 of 4 threads wait for the GIL, held by \x01T1\x02 in \x01"
                "ext_spin\x02 "
                "(\x01"
                "ext.cpython-311-x86_64-linux-gnu.so\x02), called by \x01"
                "call\x02 "
                "(\x01"
                "app.py:12\x02), which sleeps in the kernel with it.");
    scene_check(computes_with_the_gil, "gil-held-by-native:medium", "BLOCKED - ");
    scene_check(python_with_the_gil, "", "BUSY - ");
    scene_check(nobody_wants_the_gil, "", "BUSY - ");
}

// ---- Recursion -----------------------------------------------------------------------------------

static void deep(struct scene *s, size_t depth, size_t period)
{
    AUTO_FREE char *stack = malloc(depth * 8 + 1);
    for (size_t i = 0; i < depth; i++)
        snprintf(stack + i * 8, 9, "f%03zu:01 ", i % period);
    scene_thread(s, SNAP_RUNNING, stack);
}

static void one_function(struct scene *s)
{
    deep(s, 950, 1);
}

static void three_functions(struct scene *s)
{
    deep(s, 6000, 3);
}

static void many_functions(struct scene *s)
{
    deep(s, 980, 300);
}

static void shallow(struct scene *s)
{
    deep(s, 300, 1);
}

static void test_recursion(void **state)
{
    (void)state;
    scene_check(one_function, "runaway-recursion:medium",
                "RECURSION - \x01T1\x02 is 950 calls deep, nearly all of them of \x01"
                "f000\x02");
    scene_check(three_functions, "runaway-recursion:high", "RECURSION - ");
    scene_check(many_functions, "", "BUSY - ");
    scene_check(shallow, "", "BUSY - ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_loop),
        cmocka_unit_test(test_gil_held),
        cmocka_unit_test(test_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
