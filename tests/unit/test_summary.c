// SPDX-License-Identifier: GPL-3.0-or-later
// The sentences of the summary that lead a reader to the program's own code.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "report_values.h"

// Who works at what: for each kind of threads, the innermost function of one's own code that most of its
// work is in, and the outermost.
static void test_who_works(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    v->profile.samples_working = 45;
    check_says(v, "**Work**", false); // one kind of threads
    check_says(v, "`pricing (4711)`: 90 % of 50 samples at work\n", true);
    // Two workers work in Condition.wait(), which is a library's: below no code of one's own.
    for (size_t i = 4; i < 6; i++) {
        v->threads[i].states[SNAP_LOCK_WAIT] = 20;
        v->threads[i].states[SNAP_RUNNABLE] = 30;
        v->stacks[i - 1].state = SNAP_RUNNABLE;
        v->stacks[i - 1].samples = 30;
    }
    v->profile.samples_working = 105;
    check_says(v,
               "**Work**: 57 % of the working time is of `worker-*` (16 threads).\n"
               "- **Work**: 43 % of the working time is of `pricing (4711)`, 70 % of that in "
               "`hot() app.py:10`, below `Service.loop() service.py:12`.\n",
               true);
    check_says(v, "`worker-*`, 16 threads: 7.5 % of 800 samples at work, 57 % of all the work\n",
               true);
    // One of them, with a function of one's own code above the lock.
    memcpy(v->stack_frames[2], (uint32_t[]){LOCK, WAIT, LOOKUP, BOOT}, 4 * sizeof(uint32_t));
    check_says(v, "(16 threads), 100 % of that in `Cache.lookup() cache.py:118`.\n", true);
    v->options.weight = REPORT_WEIGHT_WALL;
    check_says(v, "**Work**", false);
}

// Where the program comes in, above a builtin or a library that is hot.
static void test_hottest_below(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    const uint32_t frames[] = {POLL, LOCK, WAIT, LOOKUP};
    memcpy(v->stack_frames[2], frames, sizeof(frames));
    set_weight(&v->functions[LOCK], 200, 200, 250, 0);
    v->profile.samples_working = 250;
    for (size_t i = 3; i < 7; i++) {
        v->stacks[i].state = SNAP_RUNNING;
        v->stacks[i].samples = 50;
    }
    set_edge(v, 5, WAIT, LOCK, 200);
    v->profile.edge_count = 6;
    check_says(v,
               "is in `{method 'acquire' of '_thread.lock' objects}`, called from "
               "`Condition.wait() threading.py:288`, below `Cache.lookup() cache.py:118`.\n",
               true);
    check_says(v, "**Then**: 14 % in `hot() app.py:10`.", true);
    v->stacks[3].samples = 30; // as some stacks are not kept
    check_says(v, ", mostly below `Cache.lookup() cache.py:118`.\n", true);
    v->edges[5].caller = LOOKUP; // said already
    check_says(v, "called from `Cache.lookup() cache.py:118`.\n", true);
    set_weight(&v->functions[LOCK], 30, 30, 250, 0);
    check_says(v,
               "**Then**: 12 % in `{method 'acquire' of '_thread.lock' objects}`, below "
               "`Cache.lookup() cache.py:118`.\n",
               true);
    v->edges[5].caller = WAIT;
    v->functions[LOCK].own_working = 400; // less than half of which has stacks
    check_says(v, "called from `Condition.wait() threading.py:288`.\n", true);
}

// The script in bin/ that starts an installed server is none of the program's own code.
static void test_launcher(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    set_function(v, LOOKUP, SNAP_PYTHON, "<module>", "/srv/env/bin/gunicorn", 1);
    v->functions[LOOKUP].function = v->functions[LOOKUP].qualname;
    const uint32_t frames[] = {LOCK, GET, LOOKUP, LOOKUP};
    memcpy(v->stack_frames[1], frames, sizeof(frames));
    check_says(v,
               "**Lock**: `cache-reader (4712)` waits for a lock 100 % of the time in "
               "`Queue.get() queue.py:154`.\n",
               true);
    v->functions[LOOKUP].file = id_of(v, "/srv/env/bin/serve.py");
    check_says(v, "`Queue.get() queue.py:154`, below `<module>() bin/serve.py:1`.\n", true);
    v->functions[LOOKUP].file = id_of(v, "/srv/env/bin/gunicorn");
    v->functions[LOOKUP].function = id_of(v, "main");
    check_says(v, "`Queue.get() queue.py:154`, below `<module>()", true);
}

// One that was seen once, in the GIL's queue, is not the one that waits the most.
static void test_gil_most_of_all(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    check_says(v,
               "**GIL**: 1 thread waits for the GIL: `pricing (4711)`, in 10 % of the snapshots.",
               true);
    struct prof_thread *brief = &v->threads[1];
    brief->samples = brief->states[SNAP_GIL_WAIT] = 1;
    brief->states[SNAP_LOCK_WAIT] = 0;
    check_says(
        v, "2 threads wait for the GIL, most of all `pricing (4711)`, in 10 % of the snapshots.",
        true);
    v->threads[0].states[SNAP_GIL_WAIT] = 0;
    check_says(v, "`cache-reader (4712)`, in 100 % of its 1 snapshot.", true);
    brief->samples = 4;
    check_says(v, "`cache-reader (4712)`, in 25 % of its 4 snapshots.", true);
}

// Native threads whose time tells nothing run code that a Python function runs, too.
static void test_native_threads_share_a_module(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    set_natives(v);
    v->profile.pool.function = v->profile.pool.thread = UINT32_MAX;
    v->threads[2].cpu_ns = 20 * S;
    v->profile.stack_count = 6;
    set_stack(v, 5, 4713, SNAP_RUNNING, 4);
    memcpy(v->stack_frames[4], (uint32_t[]){POLL}, sizeof(uint32_t));
    v->stack_sizes[4] = v->stacks[5].frame_count = 1;
    check_says(v,
               "1 thread that Python does not know used 67 % of the threads' CPU time, in code of "
               "`libblas.so.3`, which Python calls in `hot() app.py:10`: it seems to work for that "
               "(inferred).",
               true);
    v->stacks[5].state = SNAP_LOCK_WAIT; // at rest
    check_says(v, "67 % of the threads' CPU time.\n", true);
    v->stacks[5].state = SNAP_RUNNING;
    v->functions[POLL].module = id_of(v, "libc.so.6"); // in which everything ends
    check_says(v, "67 % of the threads' CPU time.\n", true);
}

static void test_few_threads(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    check_says(v, "on average 1.0 of 20 threads worked.", true);
    v->profile.samples = 60;
    check_says(v, "on average 1.0 of 1.2 threads worked.", true);
    v->profile.samples = 100;
    check_says(v, "on average 1.0 of 2 threads worked.", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_works),
        cmocka_unit_test(test_hottest_below),
        cmocka_unit_test(test_launcher),
        cmocka_unit_test(test_gil_most_of_all),
        cmocka_unit_test(test_native_threads_share_a_module),
        cmocka_unit_test(test_few_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
