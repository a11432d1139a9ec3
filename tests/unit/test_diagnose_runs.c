// SPDX-License-Identifier: GPL-3.0-or-later
// Rules that need many snapshots: each run is counted by the profile itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define BOOT " boot:9#1"

static struct snap_thread *uses_cpu(struct snap_thread *thread, uint64_t share_percent)
{
    thread->has_cpu = true;
    thread->cpu_ns = share_percent * MS; // of 100 ms
    return thread;
}

static struct snap_thread *holds_gil(struct snap_thread *thread)
{
    thread->has_holds_gil = thread->holds_gil = true;
    return thread;
}

// ---- Busy loop -----------------------------------------------------------------------------------

static void spin(struct scene *s, const char *one, const char *other, uint64_t cpu)
{
    for (int i = 0; i < 30; i++) {
        uses_cpu(scene_thread(s, SNAP_RUNNING, i % 2 ? one : other), cpu);
        scene_next(s);
    }
}

static void asks_again_and_again(struct scene *s)
{
    spin(s, "drain:4#7 main:3#1", "empty! drain:5#7 main:3#1", 100);
}

static void computes_for_ever(struct scene *s)
{
    spin(s, "sum:4#7 main:3#1", "long_add~@7 sum:4#7 main:3#1", 98);
}

static void calls_others(struct scene *s)
{
    spin(s, "drain:4#7 main:3#1", "step:5#8 drain:5#7 main:3#1", 100);
}

static void is_called_anew(struct scene *s)
{
    for (int i = 0; i < 30; i++) {
        char stack[64];
        snprintf(stack, sizeof(stack), "drain:4#%d main:3#1", i + 10);
        uses_cpu(scene_thread(s, SNAP_RUNNING, stack), 100);
        scene_next(s);
    }
}

static void works_in_an_extension(struct scene *s)
{
    spin(s, "ext_fit~@7 fit! drain:4#7 main:3#1", "ext_fit~@7 fit! drain:4#7 main:3#1", 100);
}

// The program's own function says more than the library's.
static void runs_in_a_library(struct scene *s)
{
    spin(s, "select:400#1 wait_ready:7#2" BOOT, "select:401#1 wait_ready:7#2" BOOT, 100);
}

static void test_busy_loop(void **state)
{
    (void)state;
    scene_check(asks_again_and_again, "busy-loop:medium",
                "HOT - \x01"
                "drain\x02 (\x01"
                "app.py:1\x02) runs for the whole time in \x01T1\x02, never waits");
    scene_check(computes_for_ever, "busy-loop:medium", "HOT - ");
    scene_check(runs_in_a_library, "busy-loop:medium",
                "HOT - \x01select\x02 (\x01python3.11/selectors.py:1\x02), called by \x01wait_ready\x02 (\x01"
                "app.py:7\x02), runs for the whole time in \x01T1\x02, never waits");
    scene_check(calls_others, "", "HOT - ");
    scene_check(is_called_anew, "",
                "HOT - 100 % of the working time is in \x01"
                "drain\x02");
    scene_check(works_in_an_extension, "", "HOT - ");
}

// ---- The GIL -------------------------------------------------------------------------------------

static void quarrel(struct scene *s, int waiting, int of)
{
    for (int i = 0; i < 30; i++) {
        holds_gil(scene_thread(s, SNAP_RUNNING, i % 2 ? "price:4#7 work:3" BOOT : "work:3" BOOT));
        for (int j = 0; j < 3; j++)
            scene_thread(s, i % of < waiting ? SNAP_GIL_WAIT : SNAP_SLEEP, "price:4#8 work:3" BOOT);
        scene_next(s);
    }
}

static void four_compute(struct scene *s)
{
    quarrel(s, 1, 1);
}

static void some_quarrel(struct scene *s)
{
    quarrel(s, 1, 4);
}

static void hardly_any(struct scene *s)
{
    quarrel(s, 1, 15);
}

static void nobody(struct scene *s)
{
    quarrel(s, 0, 1);
}

static void extension_keeps_gil(struct scene *s)
{
    for (int i = 0; i < 30; i++) {
        holds_gil(scene_thread(s, SNAP_RUNNING, "ext_fit~@7 fit! train:4#7 main:3#1"));
        scene_thread(s, SNAP_GIL_WAIT, "serve:4#7 main:3#1");
        scene_next(s);
    }
}

static void sleeps_with_gil(struct scene *s)
{
    for (int i = 0; i < 30; i++) {
        holds_gil(scene_thread(s, SNAP_SLEEP, "pause! train:4#7 main:3#1"));
        scene_thread(s, SNAP_GIL_WAIT, "serve:4#7 main:3#1");
        scene_next(s);
    }
}

static void extension_without_others(struct scene *s)
{
    for (int i = 0; i < 30; i++) {
        holds_gil(scene_thread(s, SNAP_RUNNING, "ext_fit~@7 fit! train:4#7 main:3#1"));
        scene_thread(s, SNAP_SLEEP, "sleep! serve:4#7 main:3#1");
        scene_next(s);
    }
}

static void test_gil(void **state)
{
    (void)state;
    scene_check(four_compute, "gil-convoy:high",
                "SLOW - Threads that could work wait for the GIL in 75 % of their time; on average "
                "3.0 wait at a time; most often \x01T1\x02 has it, mostly in \x01work\x02 (\x01"
                "app.py:1\x02).");
    scene_check(some_quarrel, "gil-convoy:medium", "SLOW - ");
    scene_check(hardly_any, "", NULL);
    scene_check(nobody, "", NULL);
    scene_check(extension_keeps_gil, "gil-held-by-native:high gil-convoy:high",
                "HUNG - Native code holds the GIL in 100 % of the snapshots without releasing it, "
                "most of them in \x01"
                "ext_fit\x02 (\x01"
                "ext.cpython-311-x86_64-linux-gnu.so\x02), "
                "called by \x01train\x02 (\x01"
                "app.py:4\x02)");
    scene_check(sleeps_with_gil, "gil-held-by-native:high gil-convoy:high", "HUNG - ");
    scene_check(extension_without_others, "", NULL);
}

// ---- Locks ---------------------------------------------------------------------------------------

// Threads take turns at a lock; unless it is `kept`, each is seen past it now and then.
static void turns(struct scene *s, int threads, bool kept, const char *how)
{
    for (int i = 0; i < 30; i++) {
        char stack[96];
        scene_thread(s, SNAP_RUNNING, i % 2 ? "work:5" BOOT : "step:2 work:6" BOOT);
        for (int j = 0; j < threads; j++) {
            bool passes = !kept && i % 8 == j;
            snprintf(stack, sizeof(stack), "%s:%d#2 loop:3" BOOT,
                     passes ? strrchr(how, ' ') + 1 : how, passes ? 5 : 4);
            scene_thread(s, passes ? SNAP_SLEEP : SNAP_LOCK_WAIT, stack);
        }
        scene_next(s);
    }
}

static void convoy(struct scene *s)
{
    turns(s, 4, false, "acquire! update");
}

static void convoy_by_with(struct scene *s)
{
    turns(s, 3, false, "futex~@1 rlock_acquire~@2 update");
}

static void two_take_turns(struct scene *s)
{
    turns(s, 2, false, "acquire! update");
}

// Workers of a multiprocessing pool, or of three processes: one has the lock and waits for work.
static void lock_of_processes(struct scene *s, const char *how)
{
    turns(s, 3, false, how);
    uint32_t type = strtab_add_cstr(s->strings, "_multiprocessing.SemLock");
    scene_waits(s, SNAP_WAIT_LOCK, 2, 0, "futex~@1 sem_wait~@2 update:4#2 loop:3" BOOT)
        ->type = type;
}

static void workers_of_a_pool(struct scene *s)
{
    lock_of_processes(s, "semlock! update");
}

static void workers_seen_natively(struct scene *s)
{
    lock_of_processes(s, "futex~@1 sem_wait~@2 update");
}

static void lock_is_kept(struct scene *s)
{
    turns(s, 4, true, "acquire! update");
}

static void waits_for_work(struct scene *s)
{
    turns(s, 4, false, "acquire! wait");
}

// Threads that hardly do anything, and wait for each other in some snapshots of ten.
static void bursts(struct scene *s, int threads, int of_ten)
{
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < threads; j++) {
            bool busy = i % 10 < of_ten, has = j == i / 10 % threads;
            scene_thread(s, busy && !has ? SNAP_LOCK_WAIT : SNAP_SLEEP,
                         !busy ? "sleep! loop:2" BOOT
                         : has ? "update:5#2 loop:3" BOOT
                               : "acquire! update:4#2 loop:3" BOOT);
        }
        scene_next(s);
    }
}

static void meet_seldom(struct scene *s)
{
    bursts(s, 4, 1);
}

static void meet_often(struct scene *s)
{
    bursts(s, 4, 3);
}

static void meet_all_the_time(struct scene *s)
{
    bursts(s, 4, 9);
}

static void test_lock_convoy(void **state)
{
    (void)state;
    scene_check(convoy, "lock-convoy:high",
                "SLOW - 4 threads queue up for a lock in \x01update\x02 (\x01"
                "app.py:4\x02), again "
                "and again: on average 3.5 wait there at a time.");
    scene_check(convoy_by_with, "lock-convoy:high", "SLOW - ");
    scene_check(meet_seldom, "", "IDLE - ");
    scene_check(meet_often, "lock-convoy:medium", "SLOW - 4 threads");
    scene_check(meet_all_the_time, "lock-convoy:high", "SLOW - 4 threads");
    scene_check(two_take_turns, "", NULL);
    scene_check(workers_of_a_pool, "", NULL);
    scene_check(workers_seen_natively, "", NULL);
    scene_check(lock_is_kept, "", NULL);
    scene_check(waits_for_work, "", NULL);
}

// ---- Event loops ---------------------------------------------------------------------------------

static void loop_in(struct scene *s, enum snap_state state, int blocked, const char *how)
{
    for (int i = 0; i < 40; i++) {
        if (i % 20 < blocked)
            scene_thread(s, state, how);
        else
            scene_thread(s, SNAP_IO_WAIT, "poll! select:4#3 _run_once:1900#2 main:3#1");
        scene_next(s);
    }
}

static void loop(struct scene *s, int blocked, const char *how)
{
    loop_in(s, SNAP_IO_WAIT, blocked, how);
}

// In one of twenty snapshots, or of eight.
static void meets_a_lock(struct scene *s, int blocked)
{
    for (int i = 0; i < 5; i++)
        loop_in(s, SNAP_LOCK_WAIT, i < 4 ? blocked : 1,
                "acquire! log:9#5 handle:7#4* _run:80#3 _run_once:1900#2 main:3#1");
}

// Snapshots that follow so fast that a call is seen to be over: in 10 of 200, one by one or in a row.
static void naps(struct scene *s, int stretch)
{
    for (int i = 0; i < 200; i++) {
        char stack[96];
        bool nap = stretch ? i < stretch : i % 20 == 0;
        snprintf(stack, sizeof(stack), "sleep! handle:7#%d* _run:80#%d _run_once:1900#2 main:3#1",
                 stretch ? 8 : 8 + i, stretch ? 9 : 300 + i);
        scene_thread(s, nap ? SNAP_SLEEP : SNAP_IO_WAIT,
                     nap ? stack : "poll! select:4#3 _run_once:1900#2 main:3#1");
        scene_next_after(s, 20 * MS);
    }
}

static void naps_briefly(struct scene *s)
{
    naps(s, 0);
}

static void naps_for_long(struct scene *s)
{
    naps(s, 10);
}

static void seldom_meets_a_lock(struct scene *s)
{
    meets_a_lock(s, 1);
}

static void often_meets_a_lock(struct scene *s)
{
    meets_a_lock(s, 3);
}

static void often_blocked(struct scene *s)
{
    loop(s, 10, "recv! query:9#5 handle:7#4* _run:80#3 _run_once:1900#2 main:3#1");
}

static void sometimes_blocked(struct scene *s)
{
    loop(s, 2, "recv! query:9#5 handle:7#4* _run:80#3 _run_once:1900#2 main:3#1");
}

static void never_blocked(struct scene *s)
{
    loop(s, 0, "");
}

static void loop_works(struct scene *s)
{
    for (int i = 0; i < 40; i++) {
        scene_thread(s, SNAP_RUNNING,
                     i % 2 ? "handle:7#4* _run:80#3 _run_once:1900#2 main:3#1"
                           : "parse:7#5* _run:80#6 _run_once:1900#2 main:3#1");
        scene_next(s);
    }
}

static void test_event_loop(void **state)
{
    (void)state;
    scene_check(often_blocked, "blocking-call-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 stands still in 50 % of the snapshots: "
                "\x01query\x02 (\x01"
                "app.py:9\x02) blocks in \x01recv\x02.");
    scene_check(sometimes_blocked, "blocking-call-in-event-loop:medium", "BLOCKED - ");
    scene_check(never_blocked, "", "IDLE - ");
    scene_check(naps_briefly, "", "IDLE - ");
    scene_check(naps_for_long, "blocking-call-in-event-loop:medium", "BLOCKED - ");
    scene_check(seldom_meets_a_lock, "", "IDLE - ");
    scene_check(often_meets_a_lock, "blocking-call-in-event-loop:medium", "BLOCKED - ");
    scene_check(loop_works, "", "HOT - ");
}

// ---- Connections ---------------------------------------------------------------------------------

static void requests(struct scene *s, const char *call, bool anew)
{
    for (int i = 0; i < 40; i++) {
        char stack[96];
        snprintf(stack, sizeof(stack), "%s fetch:4#%d main:3#1", i % 2 ? call : "recv!",
                 anew ? i + 10 : 10);
        scene_thread(s, SNAP_IO_WAIT, stack);
        scene_thread(s, SNAP_IO_WAIT, "accept! serve:2" BOOT);
        scene_next(s);
    }
}

static void connects_each_time(struct scene *s)
{
    requests(s, "connect!", true);
}

static void handshakes_each_time(struct scene *s)
{
    requests(s, "do_handshake!", true);
}

// A driver asks for the other side's greeting: most of the time goes into that, below its connect().
static void greets(struct scene *s, const char *opener)
{
    for (int i = 0; i < 40; i++) {
        char stack[96];
        snprintf(stack, sizeof(stack), "%s %s:%d#%d fetch:4#2 main:3#1", i % 8 ? "recv!" : "connect!",
                 opener, i % 8 ? 9 : 8, i + 10);
        scene_thread(s, SNAP_IO_WAIT, stack);
        scene_next(s);
    }
}

static void greets_each_time(struct scene *s)
{
    greets(s, "connect");
}

// One stack is seen most, but another call in more than one state.
static void handshakes_in_two_states(struct scene *s)
{
    for (int i = 0; i < 40; i++) {
        char stack[96];
        bool greeting = i % 10 < 4;
        snprintf(stack, sizeof(stack), "%s connect:8#%d fetch:4#2 main:3#1",
                 greeting ? "recv!" : "do_handshake!", i + 10);
        scene_thread(s, greeting ? SNAP_IO_WAIT : i % 2 ? SNAP_RUNNING : SNAP_RUNNABLE, stack);
        scene_next(s);
    }
}

// What a program's own function does beside connecting is not known.
static void asks_where_it_connects(struct scene *s)
{
    greets(s, "ask");
}

static void one_slow_connect(struct scene *s)
{
    for (int i = 0; i < 40; i++) {
        scene_thread(s, SNAP_IO_WAIT, "connect! fetch:4#2 main:3#1");
        scene_next(s);
    }
}

// Each stack looks like the one before, but the thread ran in between.
static void connects_at_one_place(struct scene *s)
{
    for (int i = 0; i < 40; i++) {
        struct snap_thread *thread = scene_thread(s, SNAP_IO_WAIT, "connect! fetch:4#2 main:3#1");
        thread->has_cpu = true;
        thread->cpu_ns = 50000;
        scene_next(s);
    }
}

static void keeps_connections(struct scene *s)
{
    requests(s, "send!", true);
}

static void test_connection_churn(void **state)
{
    (void)state;
    scene_check(
        connects_each_time, "connection-churn:high",
        "SLOW - Opening and closing connections takes 50 % of the time that threads work or "
        "talk to others, most of it in \x01"
        "connect\x02, called by \x01"
        "fetch\x02");
    scene_check(handshakes_each_time, "connection-churn:high", "SLOW - ");
    scene_check(connects_at_one_place, "connection-churn:high", "SLOW - ");
    scene_check(greets_each_time, "connection-churn:high", "SLOW - ");
    scene_check(handshakes_in_two_states, "connection-churn:high",
                "SLOW - Opening and closing connections takes 100 % of the time that threads work or "
                "talk to others, most of it in \x01"
                "do_handshake\x02, called by \x01"
                "fetch\x02");
    scene_check(asks_where_it_connects, "", "IDLE - ");
    scene_check(one_slow_connect, "", "IDLE - ");
    scene_check(keeps_connections, "", "IDLE - ");
}

// ---- Pools ---------------------------------------------------------------------------------------

static void semaphore_for(struct scene *s, uint64_t since_ns)
{
    for (int i = 0; i < 30; i++) {
        struct snap_thread *holder = scene_thread(s, SNAP_SLEEP, "sleep! work:5#2" BOOT);
        struct snap_held held = {.object = 0x7f0001, .frame = 1, .known = SNAP_INFERRED};
        holder->details->wait.since_ns = since_ns;
        holder->details->wait.kind = SNAP_WAIT_SLEEP;
        assert_true(vec_push(&holder->details->held, held));
        for (int k = 0; k < 4; k++)
            scene_waits(s, SNAP_WAIT_SEMAPHORE, 1, 0, "acquire! wait:3 work:4#3" BOOT)
                ->since_ns = 4 * since_ns; // each has its turn
        if (i < 29)
            scene_next(s);
    }
}

// In each snapshot another one has it: who waits now does not wait for long.
static void from_hand_to_hand(struct scene *s)
{
    semaphore_for(s, 100 * MS);
}

static void one_has_it_all_along(struct scene *s)
{
    semaphore_for(s, 3000 * MS);
}

static void test_pools(void **state)
{
    (void)state;
    scene_check(from_hand_to_hand, "pool-exhausted:medium", "BLOCKED - 4 of 5 threads");
    scene_check(one_has_it_all_along, "pool-exhausted:high", "HUNG - 4 of 5 threads");
}

// ---- Collections, quotas, native pools -----------------------------------------------------------

static void collect(struct scene *s, int of)
{
    for (int i = 0; i < 40; i++) {
        scene_thread(s, SNAP_RUNNING, i % 2 ? "build:4#7 main:3#1" : "parse:4#8 main:3#1")->in_gc =
            i % of == 0;
        scene_next(s);
    }
}

static void collects_often(struct scene *s)
{
    collect(s, 2);
}

static void collects_some(struct scene *s)
{
    collect(s, 5);
}

static void collects_rarely(struct scene *s)
{
    collect(s, 20);
}

static void collects_never(struct scene *s)
{
    collect(s, 100);
}

static void test_gc_pressure(void **state)
{
    (void)state;
    scene_check(collects_often, "gc-pressure:high",
                "SLOW - A garbage collection runs in 50 % of the snapshots; \x01T1\x02 works mostly in "
                "\x01" "build\x02 (\x01" "app.py:1\x02).");
    scene_check(collects_some, "gc-pressure:medium", "SLOW - ");
    scene_check(collects_rarely, "", NULL);
    scene_check(collects_never, "", NULL);
}

static void quota(struct scene *s, uint64_t throttled, uint64_t periods)
{
    s->source.environment.has_throttling = true;
    s->source.environment.throttled_periods = throttled;
    s->source.environment.periods = periods;
    s->source.environment.throttled_ns = throttled * 50 * MS;
}

static void throttled(struct scene *s)
{
    quota(s, 60, 100);
}

static void throttled_some(struct scene *s)
{
    quota(s, 20, 100);
}

static void throttled_once(struct scene *s)
{
    quota(s, 1, 100);
}

static void too_short(struct scene *s)
{
    quota(s, 5, 6);
}

static void test_cpu_throttled(void **state)
{
    (void)state;
    scene_check(throttled, "cpu-throttled:high",
                "SLOW - The cgroup's CPU quota was used up in 60 % of its periods");
    scene_check(throttled_some, "cpu-throttled:medium", "SLOW - ");
    scene_check(throttled_once, "", NULL);
    scene_check(too_short, "", NULL);
}

static void pool_at_times(struct scene *s, int threads, int64_t processors, enum snap_state state,
                          int of_twenty)
{
    s->source.environment.processors = processors;
    for (int i = 0; i < 100; i++) {
        bool works = i % 20 < of_twenty;
        scene_thread(s, SNAP_LOCK_WAIT, works ? "dot! multiply:7#2 main:3#1" : "get! main:2#1");
        for (int j = 0; j < threads; j++) {
            struct snap_thread *thread =
                uses_cpu(scene_thread(s, works ? state : SNAP_LOCK_WAIT, ""), 20);
            thread->known_to_python = false;
        }
        scene_next(s);
    }
}

static void pool(struct scene *s, int threads, int64_t processors, enum snap_state state)
{
    pool_at_times(s, threads, processors, state, 20);
}

// One multiplication for each request, of which there are few.
static void seldom(struct scene *s)
{
    pool_at_times(s, 16, 4, SNAP_RUNNABLE, 1);
}

static void at_times(struct scene *s)
{
    pool_at_times(s, 16, 4, SNAP_RUNNABLE, 4);
}

static void four_times(struct scene *s)
{
    pool(s, 16, 4, SNAP_RUNNABLE);
}

static void twice(struct scene *s)
{
    pool(s, 8, 4, SNAP_RUNNING);
}

static void by_quota(struct scene *s)
{
    pool(s, 8, 16, SNAP_RUNNING);
    s->source.environment.cgroup_processors = 2.0;
}

static void as_many(struct scene *s)
{
    pool(s, 4, 4, SNAP_RUNNING);
}

static void asleep(struct scene *s)
{
    pool(s, 16, 4, SNAP_LOCK_WAIT);
}

static void processors_not_known(struct scene *s)
{
    pool(s, 16, -1, SNAP_RUNNING);
}

static void test_native_oversubscription(void **state)
{
    (void)state;
    scene_check(four_times, "native-oversubscription:high",
                "SLOW - 16 native threads want to run at a time, on 4.0 processors");
    scene_check(twice, "native-oversubscription:medium", "SLOW - ");
    scene_check(by_quota, "native-oversubscription:high", "SLOW - ");
    scene_check(at_times, "native-oversubscription:medium", "SLOW - ");
    scene_check(seldom, "", NULL);
    scene_check(as_many, "", NULL);
    scene_check(asleep, "", NULL);
    scene_check(processors_not_known, "", NULL);
}

// ---- With a profile, a wait that does not last is none -------------------------------------------

static void wait_at_the_end(struct scene *s, enum snap_state before)
{
    for (int i = 0; i < 20; i++) {
        scene_thread(s, SNAP_SLEEP, "sleep! hold:4#7 main:3#1");
        for (int j = 0; j < 4; j++)
            scene_thread(s, before, "acquire! use:30#2" BOOT);
        scene_next(s);
    }
    scene_talks(s, SNAP_WAIT_SLEEP, "clock_nanosleep", "", "sleep! hold:4#7 main:3#1");
    for (int j = 0; j < 4; j++)
        scene_waits(s, SNAP_WAIT_LOCK, 2, 1, "acquire! use:30#2" BOOT);
}

static void lasting_wait(struct scene *s)
{
    wait_at_the_end(s, SNAP_LOCK_WAIT);
}

static void passing_wait(struct scene *s)
{
    wait_at_the_end(s, SNAP_IO_WAIT);
}

static void test_lasting(void **state)
{
    (void)state;
    scene_check(lasting_wait, "root-blocker:high", "HUNG - 4 of 5 threads");
    scene_check(passing_wait, "root-blocker:low", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_loop),        cmocka_unit_test(test_gil),
        cmocka_unit_test(test_lock_convoy),      cmocka_unit_test(test_event_loop),
        cmocka_unit_test(test_connection_churn), cmocka_unit_test(test_gc_pressure),
        cmocka_unit_test(test_cpu_throttled),    cmocka_unit_test(test_native_oversubscription),
        cmocka_unit_test(test_pools), cmocka_unit_test(test_lasting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
