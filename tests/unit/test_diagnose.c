// SPDX-License-Identifier: GPL-3.0-or-later
// Rules on who waits for whom, and on crashes: for each some scenes in which it speaks, and some that look
// like it and in which it must not.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define BOOT " boot:9"

// ---- Deadlock ------------------------------------------------------------------------------------

static void ring_of_two(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 2, "acquire! transfer:12 main:3");
    scene_waits(s, SNAP_WAIT_LOCK, 2, 1, "acquire! audit:20" BOOT);
}

static void ring_of_three(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_RLOCK, 1, 2, "acquire! first:12 main:3");
    scene_waits(s, SNAP_WAIT_RLOCK, 2, 3, "acquire! second:20" BOOT)->owner_known = SNAP_INFERRED;
    scene_waits(s, SNAP_WAIT_MUTEX, 3, 1, "lock~@4 third:30" BOOT);
    scene_waits(s, SNAP_WAIT_RLOCK, 1, 2, "acquire! fourth:40" BOOT); // stands behind them
}

static void lock_taken_twice(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 1, "acquire! inner:12 outer:5 main:3")->owner_known =
        SNAP_INFERRED;
    scene_talks(s, SNAP_WAIT_ACCEPT, "accept4", "0.0.0.0:80", "accept! serve:5" BOOT);
}

static void gil_and_native_mutex(struct scene *s)
{
    struct snap_wait *wait = scene_waits(s, SNAP_WAIT_GIL, 0, 2, "take_gil~@9 callback:3");
    wait->object = wait->what = 0;
    scene_waits(s, SNAP_WAIT_MUTEX, 3, 1, "lock~@4 ext_call~@5 work:30" BOOT);
}

static void thread_joins_holder(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_JOIN, 1, 2, "wait:40 main:3");
    scene_waits(s, SNAP_WAIT_LOCK, 2, 1, "acquire! work:20" BOOT);
}

static void ring_with_a_limit(struct scene *s)
{
    ring_of_two(s);
    s->last->threads.items[1].details->wait.timeout_ns = 5000 * (int64_t)MS;
}

static void ring_until_a_moment(struct scene *s)
{
    ring_of_two(s);
    s->last->threads.items[1].details->wait.left_ns = 5000 * (int64_t)MS;
}

static void ring_that_moved(struct scene *s)
{
    ring_of_two(s); // seen at different moments: no ring, whatever it looks like
    s->last->threads.items[1].held_still = false;
}

static void lock_of_other_process(struct scene *s)
{
    ring_of_two(s);
    s->last->threads.items[1].pid = 200;
}

static void test_deadlock(void **state)
{
    (void)state;
    scene_check(ring_of_two, "deadlock:high",
                "DEADLOCK - \x01T1\x02 and \x01T2\x02 wait for each other: \x01T1\x02 holds lock "
                "\x01thing-2\x02 and waits for lock \x01thing-1\x02 in \x01transfer\x02 "
                "(\x01"
                "app.py:12\x02), held by \x01T2\x02; \x01T2\x02 holds lock");
    scene_check(ring_of_three, "deadlock:high",
                "DEADLOCK - \x01T1\x02, \x01T2\x02 and \x01T3\x02 wait for each other in a ring");
    scene_check(lock_taken_twice, "deadlock:high",
                "DEADLOCK - \x01T1\x02 waits for lock \x01thing-1\x02 in \x01inner\x02 "
                "(\x01"
                "app.py:12\x02), which it holds itself.");
    scene_check(gil_and_native_mutex, "deadlock:high", "DEADLOCK - ");
    scene_check(thread_joins_holder, "deadlock:high", "DEADLOCK - ");
    scene_check(ring_with_a_limit, "deadlock:medium", "DEADLOCK - ");
    scene_check(ring_until_a_moment, "deadlock:medium", "DEADLOCK - ");
}

static void test_no_deadlock(void **state)
{
    (void)state;
    scene_check(ring_that_moved, "", "IDLE - ");
    scene_check(lock_of_other_process, "", "IDLE - ");
}

static void test_chains(void **state)
{
    (void)state;
    struct scene scene = scene_create(false);
    ring_of_three(&scene);
    struct diagnosis *diagnosis = scene_diagnose(&scene);
    assert_int_equal(diagnosis->chains.count, 1);
    const struct diag_chain *chain = &diagnosis->chains.items[0];
    assert_true(chain->cycle);
    assert_int_equal(chain->certainty, SNAP_INFERRED);
    assert_int_equal(chain->behind, 1);
    assert_int_equal(chain->threads.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(chain->threads.items[i], i);
    const struct diag_finding *finding = &diagnosis->findings.items[0];
    assert_int_equal(finding->certainty, SNAP_INFERRED);
    assert_true(finding->impact == 1);
    assert_int_equal(finding->evidence.count, 4);
    assert_string_equal(finding->evidence.items[3],
                        "1 further thread waits behind them, directly or through others.");
    diagnosis_destroy(diagnosis);
    scene_destroy(&scene);
}

// As many as there may be, in one line, in one ring, and in pairs.
static void test_many_threads(void **state)
{
    (void)state;
    enum { MANY = 40000 };
    for (int shape = 0; shape < 3; shape++) {
        struct scene scene = scene_create(false);
        assert_true(vec_reserve(&scene.last->threads, MANY));
        for (unsigned i = 1; i <= MANY; i++) {
            unsigned owner = shape == 2 ? ((i - 1) ^ 1) + 1 : i % MANY + 1;
            struct snap_wait *wait = scene_waits(&scene, SNAP_WAIT_LOCK, i, owner, "acquire! f:3");
            if (shape == 0 && i == MANY)
                wait->owner = 0;
        }
        struct diagnosis *diagnosis = scene_diagnose(&scene);
        assert_non_null(diagnosis);
        assert_true(diagnosis->chains.count == 1 || (shape == 2 && diagnosis->chains.count == 100));
        assert_int_equal(diagnosis->chains.items[0].cycle, shape > 0);
        assert_int_equal(diagnosis->chains.items[0].threads.count, shape == 2 ? 2 : MANY);
        assert_int_equal(diagnosis->chains.items[0].behind, shape == 0 ? MANY - 1 : 0);
        assert_true(diagnosis->findings.count >= 1 && diagnosis->findings.count <= 8);
        diagnosis_destroy(diagnosis);
        scene_destroy(&scene);
    }
}

// ---- Root blocker --------------------------------------------------------------------------------

static void slow_query(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.3.9:5432", "recv! query:91 lend:88" BOOT);
    for (int i = 0; i < 30; i++)
        scene_waits(s, SNAP_WAIT_LOCK, 1, 1, "acquire! lend:88 handle:7" BOOT)->owner_known =
            SNAP_INFERRED;
    scene_waits(s, SNAP_WAIT_JOIN, 40, 5, "wait:4 main:3");
    scene_talks(s, SNAP_WAIT_ACCEPT, "accept4", "0.0.0.0:80", "accept! serve:5" BOOT);
}

static void rlock_and_queue(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_QUEUE_GET, 1, 0, "acquire! wait:7 get:8 consume:5 main:3");
    scene_waits(s, SNAP_WAIT_RLOCK, 2, 1, "acquire! produce:20" BOOT);
}

static void holder_joins_a_worker(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_JOIN, 1, 2, "wait:40 stop:8 main:3");
    scene_talks(s, SNAP_WAIT_READ, "read", "pipe", "read! work:20" BOOT);
    for (int i = 0; i < 4; i++)
        scene_waits(s, SNAP_WAIT_LOCK, 2, 1, "acquire! use:30" BOOT);
}

static void unknown_owner(struct scene *s)
{
    for (int i = 0; i < 5; i++)
        scene_waits(s, SNAP_WAIT_LOCK, 2, 0, "acquire! use:30" BOOT);
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! serve:3 main:3");
}

static void one_short_wait(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_WRITE, "write", "/var/log/app", "write! log:20" BOOT);
    scene_waits(s, SNAP_WAIT_LOGGING, 2, 1, "acquire! log:19 use:30" BOOT);
    for (int i = 0; i < 6; i++)
        scene_waits(s, SNAP_WAIT_QUEUE_GET, 3, 0, "acquire! wait:7 get:8 work:30" BOOT);
}

// In a core: who has it will be back soon.
static void queue_before_a_nap(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_SLEEP, "clock_nanosleep", "", "sleep! use:30" BOOT)->left_ns = 3 * MS;
    for (int i = 0; i < 5; i++)
        scene_waits(s, SNAP_WAIT_LOCK, 2, 1, "acquire! use:29" BOOT);
    s->source.of_core = true;
}

// All of them have come within the time that was looked at; or one has not.
static void queue_that_moves(struct scene *s, unsigned owner, bool all)
{
    scene_thread(s, SNAP_SLEEP, "sleep! use:30" BOOT);
    for (int i = 0; i < 5; i++)
        scene_waits(s, SNAP_WAIT_LOCK, 2, owner, "acquire! use:29" BOOT);
    s->last->cpu_window_ns = 100 * MS;
    vec_foreach (thread, &s->last->threads) {
        thread->has_cpu = true;
        thread->cpu_ns = all || thread->tid != 103 ? MS : 0;
    }
}

static void queue_that_moves_on(struct scene *s)
{
    queue_that_moves(s, 1, true);
}

static void queue_of_nobody_moves_on(struct scene *s)
{
    queue_that_moves(s, 0, true);
}

static void queue_with_one_that_waits(struct scene *s)
{
    queue_that_moves(s, 1, false);
}

// Two in a library that has a lock of its own, and one of them works.
static void holder_works(struct scene *s, bool ran)
{
    scene_thread(s, SNAP_RUNNING, "multiply! work:30" BOOT);
    scene_waits(s, SNAP_WAIT_MUTEX, 2, 1, "multiply! work:30" BOOT);
    scene_waits(s, SNAP_WAIT_EVENT, 3, 0, "acquire! wait:7 main:3");
    s->last->cpu_window_ns = 100 * MS;
    s->last->threads.items[1].has_cpu = true;
    s->last->threads.items[1].cpu_ns = ran ? MS : 0;
    s->last->threads.items[0].held_still = s->source.of_core = !ran;
}

static void holder_works_on(struct scene *s)
{
    holder_works(s, true);
    s->last->threads.items[0].held_still = true; // over this snapshot
}

static void holder_worked_last(struct scene *s)
{
    holder_works(s, false);
}

static void leader_and_followers(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_ACCEPT, "accept4", "0.0.0.0:80", "accept! serve:20" BOOT);
    for (int i = 0; i < 6; i++)
        scene_waits(s, SNAP_WAIT_LOCK, 2, 1, "acquire! serve:19" BOOT);
}

static void main_joins_workers(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_JOIN, 1, 2, "wait:40 main:3");
    scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.0.1:1", "recv! work:20" BOOT);
    scene_waits(s, SNAP_WAIT_FUTURE, 3, 2, "acquire! wait:30 result:4" BOOT);
}

static void test_root_blocker(void **state)
{
    (void)state;
    scene_check(
        slow_query, "root-blocker:high",
        "HUNG - 31 of 33 threads wait, directly or through others, for lock \x01thing-1\x02 "
        "in \x01lend\x02 (\x01"
        "app.py:88\x02), held by \x01T1\x02, itself in "
        "\x01recvfrom\x02 on \x01"
        "10.0.3.9:5432\x02, called by \x01query\x02 "
        "(\x01"
        "app.py:91\x02).");
    scene_check(rlock_and_queue, "root-blocker:high",
                "HUNG - 1 of 2 threads waits for RLock \x01thing-2\x02 in \x01produce\x02 "
                "(\x01"
                "app.py:20\x02), held by \x01T1\x02, itself waiting for an item of queue");
    scene_check(holder_joins_a_worker, "root-blocker:high", "HUNG - 4 of 6 threads");
    scene_check(unknown_owner, "root-blocker:medium", "BLOCKED - 5 of 6 threads");
    scene_check(one_short_wait, "root-blocker:low", "IDLE - ");
    scene_check(queue_before_a_nap, "root-blocker:medium", "BLOCKED - 5 of 6 threads");
    scene_check(queue_that_moves_on, "root-blocker:low", "IDLE - ");
    scene_check(queue_of_nobody_moves_on, "root-blocker:low", "IDLE - ");
    scene_check(queue_with_one_that_waits, "root-blocker:medium", "BLOCKED - 5 of 6 threads");
    scene_check(holder_works_on, "root-blocker:low", "BUSY - ");
    scene_check(holder_worked_last, "root-blocker:low", "BUSY - ");
}

static void test_no_root_blocker(void **state)
{
    (void)state;
    scene_check(leader_and_followers, "", "IDLE - ");
    scene_check(main_joins_workers, "", "IDLE - ");
}

// ---- Pools ---------------------------------------------------------------------------------------

static void borrowers(struct scene *s, const char *waits, const char *has)
{
    for (int i = 0; i < 2; i++)
        scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.3.9:5432", has);
    for (int i = 0; i < 8; i++)
        scene_waits(s, SNAP_WAIT_QUEUE_GET, 1, 0, waits);
}

static void pool_in_executor(struct scene *s)
{
    borrowers(s, "acquire! wait:3 get:4 lend:88 handle:7 run:58 _worker:83" BOOT,
              "recv! query:91 lend:89 handle:7 run:58 _worker:83" BOOT);
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! serve:3 main:3");
}

static void pool_of_plain_threads(struct scene *s)
{
    borrowers(s, "acquire! wait:3 get:4 handle:7" BOOT, "recv! query:91 handle:8" BOOT);
    scene_waits(s, SNAP_WAIT_JOIN, 9, 4, "wait:3 main:3");
}

static void semaphore_held(struct scene *s)
{
    struct snap_thread *holder = scene_thread(s, SNAP_SLEEP, "sleep! work:5" BOOT);
    struct snap_held held = {.object = 0x7f0001, .frame = 1, .known = SNAP_INFERRED};
    assert_true(vec_push(&holder->details->held, held));
    for (int i = 0; i < 4; i++)
        scene_waits(s, SNAP_WAIT_SEMAPHORE, 1, 0, "acquire! wait:3 work:4" BOOT);
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! serve:3 main:3");
}

// By the code alone; main may bring whatever.
static void pool_that_gets_back(struct scene *s)
{
    borrowers(s, "acquire! wait:3 get:4 handle:7" BOOT, "recv! query:91 handle:8" BOOT);
    vec_foreach (thread, &s->last->threads)
        thread->details->wait.gives_back = thread->details->wait.kind == SNAP_WAIT_QUEUE_GET;
    scene_thread(s, SNAP_SLEEP, "sleep! main:3");
}

// Whom they lend it from has returned where it was got.
static void pool_that_lends(struct scene *s)
{
    borrowers(s, "acquire! wait:3 get:4 take:20 handle:7 run:58 _worker:83" BOOT,
              "recv! query:91 handle:8 run:58 _worker:83" BOOT);
    scene_thread(s, SNAP_SLEEP, "sleep! main:3");
}

// The same, at a moment of a service that has much to do.
static void pool_that_gets_on(struct scene *s)
{
    pool_that_lends(s);
    s->last->cpu_window_ns = 50 * MS;
    s->last->threads.items[4].has_cpu = true;
    s->last->threads.items[4].cpu_ns = MS;
}

// In a core nothing is seen to move; but those that have one will be back soon.
static void pool_that_naps(struct scene *s)
{
    pool_that_lends(s);
    s->source.of_core = true;
    for (size_t i = 0; i < 2; i++) {
        s->last->threads.items[i].details->wait.kind = SNAP_WAIT_SLEEP;
        s->last->threads.items[i].details->wait.timeout_ns = 5 * MS;
    }
}

// One of them works, which is as good.
static void pool_that_works(struct scene *s)
{
    pool_that_lends(s);
    s->source.of_core = true;
    s->last->threads.items[1].state = SNAP_RUNNING;
}

static void few_before_a_nap(struct scene *s)
{
    pool_that_naps(s);
    for (int i = 0; i < 6; i++)
        scene_thread(s, SNAP_SLEEP, "sleep! look:3" BOOT);
}

// Fewer than half of the threads, of which one has just come.
static void pool_with_a_short_queue(struct scene *s)
{
    pool_that_gets_on(s);
    for (int i = 0; i < 6; i++)
        scene_thread(s, SNAP_SLEEP, "sleep! look:3" BOOT);
}

// At the end of a run: how long they wait is known.
static void pool_after_a_run(struct scene *s, uint64_t since_ns)
{
    for (int i = 0; i < 20; i++) {
        scene_thread(s, SNAP_SLEEP, "sleep! main:3");
        scene_next(s);
    }
    pool_that_lends(s);
    vec_foreach (thread, &s->last->threads)
        thread->details->wait.since_ns = since_ns;
}

static void pool_that_served(struct scene *s)
{
    pool_after_a_run(s, 20 * MS);
}

static void pool_that_is_slow(struct scene *s)
{
    pool_after_a_run(s, 200 * MS);
}

static void pool_that_stands_still(struct scene *s)
{
    pool_after_a_run(s, 1500 * MS);
}

// Workers that an executor runs as units of work: they come round for the next item.
static void consumers_in_executor(struct scene *s)
{
    borrowers(s, "acquire! wait:3 get:4 consume:7 run:58 _worker:83" BOOT,
              "recv! query:91 consume:8 run:58 _worker:83" BOOT);
    vec_foreach (thread, &s->last->threads)
        thread->details->wait.loop = 3; // consume
    scene_thread(s, SNAP_SLEEP, "sleep! main:3");
}

static void idle_executor(struct scene *s)
{
    borrowers(s, "get! _worker:81" BOOT, "recv! query:91 handle:7 run:58 _worker:83" BOOT);
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! serve:3 main:3");
}

static void idle_workers(struct scene *s)
{
    borrowers(s, "acquire! wait:3 get:4 work:7" BOOT, "recv! query:91 work:8" BOOT);
    scene_talks(s, SNAP_WAIT_ACCEPT, "accept4", "0.0.0.0:80", "accept! serve:3 main:3");
}

static void tasks_to_be_done(struct scene *s)
{
    borrowers(s, "acquire! wait:3 get:4 work:7" BOOT, "recv! query:91 work:8" BOOT);
    scene_waits(s, SNAP_WAIT_QUEUE_JOIN, 1, 0, "acquire! wait:3 main:3");
}

static void test_pool_exhausted(void **state)
{
    (void)state;
    scene_check(pool_in_executor, "pool-exhausted:high",
                "HUNG - 8 of 11 threads wait for an item of queue \x01thing-1\x02 in \x01lend\x02");
    scene_check(pool_of_plain_threads, "pool-exhausted:medium", "BLOCKED - 8 of 11 threads");
    scene_check(semaphore_held, "pool-exhausted:high", "HUNG - 4 of 6 threads");
    scene_check(pool_that_gets_back, "pool-exhausted:high", "HUNG - 8 of 11 threads");
    scene_check(pool_that_lends, "pool-exhausted:high", "HUNG - 8 of 11 threads");
    scene_check(pool_that_gets_on, "pool-exhausted:medium", "BLOCKED - 8 of 11 threads");
    scene_check(pool_that_naps, "pool-exhausted:medium", "BLOCKED - 8 of 11 threads");
    scene_check(pool_that_works, "pool-exhausted:medium", "BLOCKED - 8 of 11 threads");
    scene_check(few_before_a_nap, "pool-exhausted:low", "IDLE - ");
    scene_check(pool_with_a_short_queue, "pool-exhausted:low", "IDLE - ");
    scene_check(pool_that_served, "pool-exhausted:low", "IDLE - ");
    scene_check(pool_that_is_slow, "pool-exhausted:medium", "BLOCKED - 8 of 11 threads");
    scene_check(pool_that_stands_still, "pool-exhausted:high", "HUNG - 8 of 11 threads");
}

static void test_no_pool_exhausted(void **state)
{
    (void)state;
    scene_check(idle_executor, "", "IDLE - ");
    scene_check(idle_workers, "", "IDLE - ");
    scene_check(consumers_in_executor, "", "IDLE - ");
    scene_check(tasks_to_be_done, "", "IDLE - ");
}

// ---- Fork ----------------------------------------------------------------------------------------

static void owner_is_gone(struct scene *s)
{
    struct snap_wait *wait =
        scene_waits(s, SNAP_WAIT_RLOCK, 1, 77, "acquire! emit:9 child:4 main:3");
    wait->owner_gone = true;
}

static void alone_with_a_lock(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 0, "acquire! emit:9 child:4 _launch:70 main:3");
}

static void alone_with_a_limit(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 0, "acquire! emit:9 main:3")->timeout_ns = 5;
}

// What the workers of a multiprocessing pool wait for.
static void alone_with_a_shared_lock(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 0, "acquire! get:3 work:2 main:9")->type =
        strtab_add_cstr(s->strings, "_multiprocessing.SemLock");
}

static void two_with_a_lock(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 0, "acquire! emit:9 main:3");
    scene_thread(s, SNAP_SLEEP, "sleep! timer:9" BOOT);
}

static void alone_with_an_event(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_EVENT, 1, 0, "acquire! wait:9 main:3");
}

static void test_fork(void **state)
{
    (void)state;
    scene_check(owner_is_gone, "fork-held-lock:high",
                "HUNG - \x01T1\x02 waits for RLock \x01thing-1\x02 in \x01"
                "emit\x02 "
                "(\x01"
                "app.py:9\x02), held by a thread that this process does not have.");
    scene_check(alone_with_a_lock, "fork-held-lock:high", "HUNG - ");
    scene_check(alone_with_a_limit, "", "IDLE - ");
    scene_check(two_with_a_lock, "", "IDLE - ");
    scene_check(alone_with_a_shared_lock, "", "IDLE - ");
    scene_check(alone_with_an_event, "", "IDLE - ");
}

// ---- Crashes -------------------------------------------------------------------------------------

static void die_of(struct scene *s, int signo, const char *name)
{
    s->source.of_core = true;
    s->source.kind = SNAP_CORE;
    s->source.signal.signo = signo;
    s->source.signal.name = strtab_add_cstr(s->strings, name);
}

static void null_pointer(struct scene *s)
{
    die_of(s, SIGSEGV, "SIGSEGV");
    s->source.crash = (struct snap_crash){.has = true, .fault = SNAP_FAULT_NULL};
    s->source.crash.cause = strtab_add_cstr(s->strings, "read of 0x8, a field of a NULL pointer");
    scene_thread(s, SNAP_RUNNING, "ext_boom~@2 boom! call:12 main:3")->crashed = true;
}

static void aborts(struct scene *s)
{
    die_of(s, SIGABRT, "SIGABRT");
    s->source.signal.has_sender = true;
    s->source.signal.sender_pid = 100;
    scene_thread(s, SNAP_RUNNING, "raise~@2 call:12 main:3")->crashed = true;
}

static void kills_itself(struct scene *s)
{
    die_of(s, SIGSEGV, "SIGSEGV");
    s->source.signal.has_sender = true;
    s->source.signal.sender_pid = 100;
    s->source.crash = (struct snap_crash){.has = true, .fault = SNAP_FAULT_SENT};
    s->source.crash.cause = strtab_add_cstr(s->strings, "the program sent itself SIGSEGV");
    scene_thread(s, SNAP_RUNNING, "kill@2 call:12 main:3")->crashed = true;
}

static void core_on_demand(struct scene *s)
{
    die_of(s, SIGQUIT, "SIGQUIT");
    scene_thread(s, SNAP_SLEEP, "sleep! main:3");
}

static void core_by_debugger(struct scene *s)
{
    die_of(s, SIGTRAP, "SIGTRAP");
    scene_thread(s, SNAP_SLEEP, "sleep! main:3");
}

static void hung_and_killed(struct scene *s)
{
    die_of(s, SIGABRT, "SIGABRT");
    s->source.signal.has_sender = true;
    s->source.signal.sender_pid = 7;
    ring_of_two(s);
}

static void test_crash(void **state)
{
    (void)state;
    scene_check(null_pointer, "crash:high",
                "CRASHED - SIGSEGV in \x01T1\x02, in \x01"
                "ext_boom\x02 "
                "(\x01"
                "ext.cpython-311-x86_64-linux-gnu.so\x02), called by \x01"
                "call\x02 "
                "(\x01"
                "app.py:12\x02): read of 0x8, a field of a NULL pointer.");
    scene_check(aborts, "crash:high", "CRASHED - SIGABRT in \x01T1\x02");
    scene_check(kills_itself, "crash:high", "CRASHED - SIGSEGV in \x01T1\x02");
    scene_check(core_on_demand, "", "IDLE - ");
    scene_check(core_by_debugger, "", "IDLE - ");
    scene_check(hung_and_killed, "deadlock:high crash:low", "DEADLOCK - ");
}

// ---- The fingerprint -----------------------------------------------------------------------------

static void fingerprint_of(scene_fn *make, bool renamed, bool later, char ret[17])
{
    struct scene scene = scene_create(renamed);
    if (later) // other numbers for the same strings
        for (int i = 0; i < 50; i++)
            strtab_add(scene.strings, &(char){(char)('0' + i)}, 1);
    make(&scene);
    if (later)
        vec_foreach (thread, &scene.last->threads)
            vec_foreach (frame, &thread->frames)
                frame->line++;
    struct diagnosis *diagnosis = scene_diagnose(&scene);
    snprintf(ret, 17, "%s", diagnosis->fingerprint);
    diagnosis_destroy(diagnosis);
    scene_destroy(&scene);
}

static void test_fingerprint(void **state)
{
    (void)state;
    static scene_fn *const scenes[] = {ring_of_two, slow_query, null_pointer, pool_in_executor};
    char prints[ARRAY_SIZE(scenes)][17], again[17];
    for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
        fingerprint_of(scenes[i], false, false, prints[i]);
        fingerprint_of(scenes[i], false, true, again);
        assert_string_equal(prints[i], again); // of another release, on another machine
        fingerprint_of(scenes[i], true, false, again);
        assert_string_not_equal(prints[i], again); // another program
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(prints[i], prints[j]);
    }
    // Tickets depend on it: it stays the same from release to release of pycore, too.
    assert_string_equal(prints[0], "e9d07ca84e26a556");
}

static void test_fail_on(void **state)
{
    (void)state;
    enum diag_severity severity;
    assert_true(diag_severity_by_name("medium", &severity));
    assert_int_equal(severity, DIAG_MEDIUM);
    assert_false(diag_severity_by_name("Medium", &severity));
    struct scene scene = scene_create(false);
    ring_with_a_limit(&scene);
    struct diagnosis *diagnosis = scene_diagnose(&scene);
    assert_true(diagnosis_has(diagnosis, DIAG_LOW));
    assert_true(diagnosis_has(diagnosis, DIAG_MEDIUM));
    assert_false(diagnosis_has(diagnosis, DIAG_HIGH));
    diagnosis_destroy(diagnosis);
    scene_destroy(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlock),       cmocka_unit_test(test_no_deadlock),
        cmocka_unit_test(test_chains),         cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_root_blocker),   cmocka_unit_test(test_no_root_blocker),
        cmocka_unit_test(test_pool_exhausted), cmocka_unit_test(test_no_pool_exhausted),
        cmocka_unit_test(test_fork),           cmocka_unit_test(test_crash),
        cmocka_unit_test(test_fingerprint),    cmocka_unit_test(test_fail_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
