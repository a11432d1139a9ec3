// SPDX-License-Identifier: GPL-3.0-or-later
// Several processes in a profile: what each contributed, and that together they are the whole.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "profile/profile.h"
#include "profile_run.h"

static struct snap_thread *thread(struct run *run, pid_t pid, pid_t tid, enum snap_state state,
                                  uint64_t cpu_ns, const char *stack)
{
    struct snap_thread *made = make_thread(run->strings, run->snapshot, tid, state, stack);
    assert_non_null(made);
    made->pid = pid;
    made->has_cpu = true;
    made->cpu_ns = cpu_ns;
    return made;
}

static void part(struct run *run, pid_t pid, uint64_t pause_ns, uint64_t cpu_ns)
{
    struct snapshot *snapshot = run->snapshot;
    struct snap_part made = {
        .pid = pid, .pause_ns = pause_ns, .has_process_cpu = true, .process_cpu_ns = cpu_ns};
    assert_true(vec_push(&snapshot->parts, made));
    if (pause_ns > snapshot->pause_ns)
        snapshot->pause_ns = pause_ns;
    snapshot->has_process_cpu = true;
    snapshot->process_cpu_ns += cpu_ns;
}

static void next(struct run *run)
{
    assert_true(profile_add(run->profile, run->snapshot));
    snapshot_destroy(run->snapshot);
    run->snapshot = snapshot_create();
    assert_non_null(run->snapshot);
}

static void report(struct run *run)
{
    struct prof_run whole = {.duration_ns = 1000};
    run->report = profile_report(run->profile, &whole);
    assert_non_null(run->report);
}

static const char *name_of(const struct run *run, uint32_t function)
{
    assert_true(function < run->report->function_count);
    return strtab_get(run->strings, run->report->functions[function].function);
}

static const struct prof_process *process(const struct run *run, pid_t pid)
{
    for (size_t i = 0; i < run->report->process_count; i++)
        if (run->report->processes[i].pid == pid)
            return &run->report->processes[i];
    fail_msg("no process %d", pid);
    return NULL;
}

// Copies of one program: the same functions at the same addresses, another one busy.
static void two_workers(struct run *run)
{
    for (int i = 0; i < 4; i++) {
        thread(run, 100, 100, SNAP_SLEEP, 0, "sleep! idle:5#1 main:9#2");
        thread(run, 200, 200, SNAP_RUNNING, 100, i < 3 ? "hot:7#1 main:9#2" : "warm:3#1 main:9#2");
        thread(run, 200, 201, SNAP_LOCK_WAIT, 0, "acquire! idle:5#1");
        part(run, 100, 10, 1);
        part(run, 200, i == 2 ? 70 : 20, 110);
        next(run);
    }
}

static void test_sums(void **state)
{
    struct run *run = *state;
    two_workers(run);
    report(run);
    assert_int_equal(run->report->process_count, 2);
    assert_int_equal(run->report->processes[0].pid, 200); // most CPU time first
    const struct prof_process *idle = process(run, 100), *busy = process(run, 200);
    assert_int_equal(idle->threads, 1);
    assert_int_equal(busy->threads, 2);
    assert_int_equal(idle->samples, 4);
    assert_int_equal(busy->samples, 8);
    assert_int_equal(idle->samples_working, 0);
    assert_int_equal(busy->samples_working, 4);
    assert_int_equal(busy->states[SNAP_LOCK_WAIT], 4);
    assert_int_equal(idle->cpu_ns, 4);
    assert_int_equal(busy->cpu_ns, 440);
    assert_int_equal(run->report->process_cpu_ns, 444);
    assert_int_equal(idle->snapshots, 4);
    assert_true(busy->cpu_share > 0.43 && busy->cpu_share < 0.45);
    assert_string_equal(name_of(run, busy->hottest), "hot");
    assert_int_equal(idle->hottest, UINT32_MAX);
    assert_string_equal(name_of(run, idle->top_frame), "sleep");
}

// Each stands still for itself; the whole is the one that stood still for the longest.
static void test_pauses(void **state)
{
    struct run *run = *state;
    two_workers(run);
    report(run);
    assert_int_equal(process(run, 100)->pause_total_ns, 40);
    assert_int_equal(process(run, 200)->pause_total_ns, 130);
    assert_int_equal(process(run, 200)->pause_max_ns, 70);
    assert_int_equal(run->report->pause_total_ns, 130);
    assert_int_equal(run->report->pause_max_ns, 70);
}

// The same frame addresses in two processes are two calls.
static void test_calls_of_two_processes(void **state)
{
    struct run *run = *state;
    thread(run, 100, 100, SNAP_RUNNING, 1, "hot:7#1*");
    thread(run, 200, 200, SNAP_RUNNING, 1, "hot:7#1*");
    next(run);
    report(run);
    assert_int_equal(run->report->functions[0].activations, 2);
}

static void test_comes_and_goes(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 6; i++) {
        thread(run, 100, 100, SNAP_SLEEP, 0, "main:9");
        part(run, 100, 0, 0);
        if (i == 2 || i == 3) {
            thread(run, 300, 300, SNAP_RUNNING, 5, "brief:2");
            part(run, 300, 1, 6);
        }
        next(run);
    }
    next(run); // none of them is there
    report(run);
    assert_int_equal(run->report->snapshots, 7);
    assert_int_equal(process(run, 100)->snapshots, 6);
    assert_int_equal(process(run, 300)->snapshots, 2);
    assert_int_equal(process(run, 300)->cpu_ns, 12);
}

// One process: its numbers are those of the run, with no parts said.
static void test_one(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 3; i++) {
        thread(run, 100, 100, SNAP_RUNNING, 10, "hot:7");
        run->snapshot->pause_ns = 4;
        run->snapshot->has_process_cpu = true;
        run->snapshot->process_cpu_ns = 11;
        next(run);
    }
    report(run);
    assert_int_equal(run->report->process_count, 1);
    assert_int_equal(run->report->processes[0].cpu_ns, 33);
    assert_int_equal(run->report->processes[0].pause_total_ns, 12);
    assert_int_equal(run->report->processes[0].samples, 3);
}

// A pool of one process says nothing of what the other waits for.
static void test_pools_are_of_their_process(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 20; i++) {
        bool works = i % 2;
        thread(run, 100, 100, works ? SNAP_LOCK_WAIT : SNAP_RUNNING, 1,
               works ? "acquire! unrelated:4" : "other:2");
        thread(run, 200, 200, works ? SNAP_LOCK_WAIT : SNAP_RUNNING, 1,
               works ? "dot! multiply:7" : "prepare:2");
        thread(run, 200, 201, works ? SNAP_RUNNING : SNAP_LOCK_WAIT, works ? 9 : 0, "")
            ->known_to_python = false;
        part(run, 100, 0, 1);
        part(run, 200, 0, 10);
        next(run);
    }
    report(run);
    const struct prof_pool *pool = &run->report->pool;
    assert_int_equal(pool->threads, 1);
    assert_int_equal(pool->snapshots, 10);
    assert_int_not_equal(pool->function, UINT32_MAX);
    assert_string_equal(name_of(run, pool->function), "multiply");
    assert_int_equal(run->report->threads[pool->thread].pid, 200);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sums),           TEST(test_pauses), TEST(test_calls_of_two_processes),
        TEST(test_comes_and_goes), TEST(test_one),    TEST(test_pools_are_of_their_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
