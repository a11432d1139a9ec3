// SPDX-License-Identifier: GPL-3.0-or-later
// Rules on event loops, their executors, and hubs of greenlets: scenes in which they speak, and some
// that look like them and in which they must not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define BOOT " boot:9"
#define LOOP " _run:80 _run_once:1900 main:3"
#define POLL "poll! select:4 _run_once:1900 main:3"

static void sleepers(struct scene *s, int count)
{
    for (int i = 0; i < count; i++)
        scene_awaits(s, SNAP_AWAIT_SLEEP, 0, 0, "tick:3*");
}

// ---- A call that blocks --------------------------------------------------------------------------

static struct snap_loop *in_a_step(struct scene *s, const char *stack)
{
    struct snap_loop *loop = scene_loop(s, 1);
    loop->current = 0;
    scene_task(s, SNAP_TASK_RUNNING, stack);
    return loop;
}

static void blocks_others(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.3.9:5432", "recv! query:91 handle:7*" LOOP);
    struct snap_loop *loop = in_a_step(s, "recv! query:91 handle:7*");
    loop->same_snapshots = 5;
    loop->same_ns = 400 * MS;
    sleepers(s, 12);
}

static void blocks_with_a_turn(struct scene *s) // the loop itself could not be read
{
    struct snap_thread *thread = scene_thread(s, SNAP_SLEEP, "sleep! step:12*" LOOP);
    thread->turn = calloc(1, sizeof(*thread->turn));
    *thread->turn = (struct snap_turn){.task = 5, .frames = 2};
    thread->turn->name = strtab_add_cstr(s->strings, "poller");
}

static void blocks_often(struct scene *s)
{
    for (int i = 0; i < 40; i++) {
        scene_thread(s, SNAP_IO_WAIT, i % 2 ? "recv! query:91 handle:7*" LOOP : POLL);
        scene_next(s);
    }
    blocks_others(s);
}

static void handles_a_signal(struct scene *s) // while it waits for events
{
    scene_thread(s, SNAP_SLEEP, "sleep! on_reload:12 " POLL);
    scene_loop(s, 1);
    sleepers(s, 3);
}

// Without native frames nothing of uvloop is seen.
static struct snap_loop *uvloop_of(struct scene *s, enum snap_state state, const char *stack)
{
    scene_thread(s, state, stack);
    struct snap_loop *loop = scene_loop(s, 1);
    loop->type = strtab_add_cstr(s->strings, "uvloop.Loop");
    return loop;
}

static void blocks_uvloop(struct scene *s)
{
    uvloop_of(s, SNAP_SLEEP, "sleep! step:12* outer:7* main:3")->current = 0;
    scene_task(s, SNAP_TASK_RUNNING, "sleep! step:12* outer:7*");
    sleepers(s, 3);
}

static void uvloop_at_rest(struct scene *s)
{
    uvloop_of(s, SNAP_IO_WAIT, "run:20 main:3");
    sleepers(s, 3);
}

static void test_blocking_call(void **state)
{
    (void)state;
    scene_check(blocks_others, "blocking-call-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 stands still: \x01query\x02 (\x01"
                "app.py:91\x02) blocks in \x01recv\x02, waiting for input from \x01"
                "10.0.3.9:5432\x02, in task \x01Task-1\x02; 12 tasks of the loop wait behind it.");
    scene_check(blocks_with_a_turn, "blocking-call-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 stands still: \x01step\x02 (\x01"
                "app.py:12\x02) blocks in \x01sleep\x02, in task \x01poller\x02.");
    scene_check(blocks_often, "blocking-call-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 stands still in 50 % of the snapshots: "
                "\x01query\x02 (\x01"
                "app.py:91\x02) blocks in \x01recv\x02, waiting for input from \x01"
                "10.0.3.9:5432\x02, in task \x01Task-1\x02; 12 tasks");
    scene_check(handles_a_signal, "blocking-call-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 stands still: \x01on_reload\x02");
    scene_check(blocks_uvloop, "blocking-call-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 stands still: \x01step\x02");
    scene_check(uvloop_at_rest, "", "IDLE - ");
}

// ---- A long step ---------------------------------------------------------------------------------

static struct snap_loop *computes(struct scene *s, uint64_t snapshots, uint64_t ns)
{
    scene_thread(s, SNAP_RUNNING, "fit:5 handle:7*" LOOP);
    struct snap_loop *loop = in_a_step(s, "fit:5 handle:7*");
    loop->same_snapshots = snapshots;
    loop->same_ns = ns;
    loop->ready = 0;
    return loop;
}

static void computes_for_long(struct scene *s)
{
    computes(s, 60, 6000 * MS)->ready = 40;
    sleepers(s, 5);
}

static void computes_for_a_while(struct scene *s)
{
    computes(s, 12, 1200 * MS);
    sleepers(s, 5);
}

static void computes_for_a_moment(struct scene *s)
{
    computes(s, 6, 600 * MS);
    sleepers(s, 5);
}

static void seen_twice(struct scene *s)
{
    computes(s, 2, 10000 * MS);
    sleepers(s, 5);
}

static void computes_alone(struct scene *s)
{
    computes(s, 60, 6000 * MS);
    scene_awaits_tasks(s, "1", "main:3*"); // who started it
    scene_awaits_tasks(s, "2", "main:3*");
    assert_true(snap_suspended_link(s->last->suspended));
}

static void waits_in_its_poll(struct scene *s) // what a reader says of a step is not believed alone
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", POLL);
    scene_loop(s, 1)->same_ns = 9000 * MS;
    sleepers(s, 5);
}

// A run of 600 ms, of which the thread got so much of a processor.
static void a_short_run(struct scene *s, uint64_t step_ns, uint64_t cpu_ns)
{
    for (int i = 0; i < 30; i++) {
        computes(s, (uint64_t)i + 1, 20 * MS * (uint64_t)i);
        sleepers(s, 5);
        s->last->threads.items[0].has_cpu = true;
        s->last->threads.items[0].cpu_ns = cpu_ns / 30;
        if (i < 29)
            scene_next_after(s, 20 * MS);
    }
    s->last->suspended->loops.items[0].same_ns = step_ns;
}

static void for_the_whole_run(struct scene *s)
{
    a_short_run(s, 580 * MS, 500 * MS);
}

static void gets_no_processor(struct scene *s)
{
    a_short_run(s, 580 * MS, 100 * MS);
}

static void for_half_of_the_run(struct scene *s)
{
    a_short_run(s, 290 * MS, 500 * MS);
}

static void test_long_step(void **state)
{
    (void)state;
    scene_check(computes_for_long, "long-step-in-event-loop:high",
                "BLOCKED - The event loop of \x01T1\x02 has not gone on for at least 6 s: one step "
                "works on and on in \x01"
                "fit\x02 (\x01"
                "app.py:5\x02), in task \x01Task-1\x02; 5 tasks of the loop wait behind it.");
    scene_check(computes_for_a_while, "long-step-in-event-loop:medium", "BLOCKED - ");
    scene_check(computes_for_a_moment, "", "BUSY - ");
    scene_check(for_the_whole_run, "long-step-in-event-loop:medium busy-loop:medium",
                "BLOCKED - The event loop of \x01T1\x02 has not gone on for at least 580 ms: one step "
                "works on and on in \x01"
                "fit\x02 (\x01"
                "app.py:5\x02), in task \x01Task-1\x02; 5 tasks of the loop wait behind it.");
    scene_check(gets_no_processor, "busy-loop:medium", NULL);
    scene_check(for_half_of_the_run, "busy-loop:medium", NULL);
    scene_check(seen_twice, "", "BUSY - ");
    scene_check(computes_alone, "", "BUSY - ");
    scene_check(waits_in_its_poll, "", "IDLE - ");
}

// ---- Starving ------------------------------------------------------------------------------------

static void ready_ones(struct scene *s, int count, uint64_t since_ns)
{
    scene_thread(s, SNAP_RUNNING, "parse:5 handle:7*" LOOP);
    scene_loop(s, 1)->ready = count;
    for (int i = 0; i < count; i++)
        scene_task(s, SNAP_TASK_READY, "handle:9*")->since_ns = since_ns;
    sleepers(s, 4);
}

static void overloaded(struct scene *s)
{
    ready_ones(s, 30, 3000 * MS);
}

static void very_overloaded(struct scene *s)
{
    ready_ones(s, 30, 8000 * MS);
}

static void timers_overdue(struct scene *s)
{
    ready_ones(s, 0, 0);
    for (int i = 0; i < 5; i++)
        scene_awaits(s, SNAP_AWAIT_SLEEP, 0, 0, "tick:4*")->left_ns = i ? 0 : 900 * (int64_t)MS;
    vec_foreach (task, &s->last->suspended->tasks)
        task->since_ns = 2000 * MS;
}

static void after_a_gather(struct scene *s)
{
    ready_ones(s, 3000, 0);
}

static void soon_their_turn(struct scene *s)
{
    ready_ones(s, 30, 300 * MS);
}

static void behind_one_step(struct scene *s)
{
    overloaded(s);
    s->last->suspended->loops.items[0].same_ns = 3000 * MS;
    s->last->suspended->loops.items[0].same_snapshots = 30;
}

static void test_starving(void **state)
{
    (void)state;
    scene_check(overloaded, "tasks-starving:medium",
                "SLOW - 30 of 34 tasks are ready to run, but the event loop of \x01T1\x02 has not "
                "got to them for up to 3 s: task \x01Task-1\x02 in \x01handle\x02 (\x01"
                "app.py:9\x02) has waited for the longest.");
    scene_check(very_overloaded, "tasks-starving:high", "SLOW - ");
    scene_check(timers_overdue, "tasks-starving:medium", "SLOW - 4 of 9 tasks are ready");
    scene_check(after_a_gather, "", "BUSY - ");
    scene_check(soon_their_turn, "", "BUSY - ");
    scene_check(behind_one_step, "long-step-in-event-loop:medium", "BLOCKED - ");
}

// ---- Executors -----------------------------------------------------------------------------------

static void jobs(struct scene *s, int queued, int running)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", POLL);
    scene_loop(s, 1);
    for (int i = 0; i < queued; i++)
        scene_awaits(s, SNAP_AWAIT_EXECUTOR, 0, 0, "handle:7*");
    for (int i = 0; i < running; i++)
        scene_awaits(s, SNAP_AWAIT_EXECUTOR, 0, 0, "handle:7*")->thread = 102 + i;
}

static void pool(struct scene *s, int count, const char *name, const char *stack)
{
    for (int i = 0; i < count; i++) {
        char text[32];
        scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.3.9:5432", stack)->since_ns = 0;
        snprintf(text, sizeof(text), "%s_%d", name, i);
        s->last->threads.items[s->last->threads.count - 1].name = strtab_add_cstr(s->strings, text);
    }
}

#define BUSY_WORKER "recv! query:91 run:58 _worker:83" BOOT

static void all_busy(struct scene *s)
{
    jobs(s, 9, 4);
    pool(s, 4, "asyncio", BUSY_WORKER);
}

static void all_busy_for_long(struct scene *s)
{
    all_busy(s);
    for (size_t i = 1; i < s->last->threads.count; i++)
        s->last->threads.items[i].details->wait.since_ns = 4000 * MS;
}

static void all_busy_in_a_core(struct scene *s)
{
    all_busy(s);
    s->source.of_core = true;
}

static void pool_may_grow(struct scene *s)
{
    all_busy_for_long(s);
    s->last->threads.items[2].pool_has_room = true;
}

static void run_of_all_busy(struct scene *s)
{
    for (int i = 0; i < 20; i++) {
        scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", POLL);
        scene_next(s);
    }
    all_busy(s);
}

static void jobs_end_soon(struct scene *s)
{
    all_busy(s);
    s->last->threads.items[2].held_still = false;
}

static void loop_goes_on(struct scene *s)
{
    all_busy(s);
    s->last->suspended->moment = false;
}

static void other_pool_is_idle(struct scene *s)
{
    all_busy(s);
    pool(s, 2, "ThreadPoolExecutor-0", "get! _worker:81" BOOT);
}

static void one_is_idle(struct scene *s)
{
    jobs(s, 9, 3);
    pool(s, 3, "asyncio", BUSY_WORKER);
    pool(s, 1, "asyncio", "get! _worker:81" BOOT);
}

static void one_works(struct scene *s)
{
    jobs(s, 9, 4);
    pool(s, 3, "asyncio", BUSY_WORKER);
    scene_thread(s, SNAP_RUNNING, "query:91 run:58 _worker:83" BOOT)->name =
        strtab_add_cstr(s->strings, "asyncio_3");
}

static void few_queued(struct scene *s)
{
    jobs(s, 3, 4);
    pool(s, 4, "asyncio", BUSY_WORKER);
}

static void pool_of_processes(struct scene *s)
{
    all_busy(s);
    scene_waits(s, SNAP_WAIT_CONDITION, 1, 0, "wait! weakref_manager:400" BOOT);
}

static void test_executor(void **state)
{
    (void)state;
    scene_check(all_busy, "executor-exhausted:medium",
                "BLOCKED - 9 of 13 tasks await jobs of an executor that no thread has begun, the "
                "first one in \x01handle\x02 (\x01"
                "app.py:7\x02); all 4 threads of \x01"
                "asyncio\x02 are busy, in one place: \x01"
                "asyncio_0\x02 is itself in \x01recvfrom\x02 on \x01"
                "10.0.3.9:5432\x02, called by \x01query\x02 (\x01"
                "app.py:91\x02).");
    scene_check(all_busy_for_long, "executor-exhausted:high", "HUNG - ");
    scene_check(all_busy_in_a_core, "executor-exhausted:medium", "BLOCKED - ");
    scene_check(pool_may_grow, "", "IDLE - ");
    scene_check(run_of_all_busy, "executor-exhausted:low", "IDLE - ");
    scene_check(jobs_end_soon, "executor-exhausted:low", "IDLE - ");
    scene_check(loop_goes_on, "executor-exhausted:low", "IDLE - ");
    scene_check(other_pool_is_idle, "executor-exhausted:medium", "BLOCKED - ");
    scene_check(one_is_idle, "", "IDLE - ");
    scene_check(one_works, "", "BUSY - ");
    scene_check(few_queued, "", "IDLE - ");
    scene_check(pool_of_processes, "", "IDLE - ");
}

// ---- Hubs ----------------------------------------------------------------------------------------

static void greenlets(struct scene *s, int others)
{
    scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "main:3")->is_main = true;
    scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "hub:50")->is_hub = true;
    for (int i = 0; i < others; i++)
        scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "switch! handle:12");
}

static void sleeps_unpatched(struct scene *s)
{
    scene_thread(s, SNAP_SLEEP, "sleep! handle:13");
    greenlets(s, 7);
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "sleep! handle:13")->name =
        strtab_add_cstr(s->strings, "Greenlet-3");
}

static void talks_unpatched(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_READ, "recvfrom", "10.0.3.9:5432", "recv! query:91 handle:13");
    greenlets(s, 7);
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "recv! query:91 handle:13");
}

static void run_of_talks(struct scene *s, int blocked)
{
    for (int i = 0; i < 40; i++) {
        scene_thread(s, SNAP_IO_WAIT,
                     i % 20 < blocked ? "recv! query:91 handle:13" : "poll! hub:50");
        scene_next(s);
    }
    talks_unpatched(s);
}

static void talks_often(struct scene *s)
{
    run_of_talks(s, 10);
}

static void talks_now_and_then(struct scene *s)
{
    run_of_talks(s, 2);
}

static void talked_once(struct scene *s)
{
    run_of_talks(s, 0);
}

static void hub_waits(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! hub:50");
    scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "main:3")->is_main = true;
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "poll! hub:50")->is_hub = true;
    for (int i = 0; i < 40; i++)
        scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "switch! handle:12");
}

// The frame at line 50 is the hub's.
static void in_hub(struct scene *s)
{
    vec_foreach (frame, &s->last->threads.items[0].frames)
        if (frame->line == 50) {
            frame->function = strtab_add_cstr(s->strings, "run");
            frame->file =
                strtab_add_cstr(s->strings, "/usr/lib/python3.11/site-packages/gevent/hub.py");
        }
}

static void callback_of_hub(struct scene *s)
{
    scene_thread(s, SNAP_SLEEP, "sleep! on_timer:9 hub_run:50");
    in_hub(s);
    scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "main:3")->is_main = true;
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "sleep! on_timer:9 hub_run:50")->is_hub = true;
    for (int i = 0; i < 5; i++)
        scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "switch! handle:12");
}

// Of a lock that another greenlet took nothing says that it is another thread's.
static void lock_of_a_greenlet(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 0, "acquire! handle:13");
    struct snap_wait *wait = &s->last->threads.items[0].details->wait;
    wait->owner_known = SNAP_INFERRED;
    wait->owner_gone = true;
    greenlets(s, 7);
}

// ... but the greenlet, whose frame is suspended in the lock's block.
static void lock_over_a_switch(struct scene *s)
{
    lock_of_a_greenlet(s);
    scene_thread(s, SNAP_RUNNING, "load:4"); // it cannot release it, either
    s->last->threads.items[0].details->wait.holder = 0x7a0001;
    vec_foreach (greenlet, &s->last->suspended->greenlets)
        greenlet->object = greenlet == &s->last->suspended->greenlets.items[3] ? 0x7a0001 : 0;
}

static void lock_over_an_await(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_LOCK, 1, 0, "acquire! save:9*" LOOP)->holder = 0x7e0001;
    scene_thread(s, SNAP_RUNNING, "load:4");
    scene_loop(s, 1)->current = 0;
    scene_task(s, SNAP_TASK_RUNNING, "save:9*");
    scene_awaits(s, SNAP_AWAIT_SLEEP, 0, 0, "save:10*");
}

static void hub_waited_before(struct scene *s) // and another one ran when they were looked at
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! hub_run:50 main:3");
    in_hub(s);
    greenlets(s, 7);
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "poll! hub_run:50 main:3");
}

static void ran_meanwhile(struct scene *s)
{
    sleeps_unpatched(s);
    s->last->threads.items[0].held_still = false;
}

static void nobody_behind(struct scene *s) // but the hub, and the main greenlet, its parent
{
    scene_thread(s, SNAP_SLEEP, "sleep! handle:13");
    greenlets(s, 0);
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "sleep! handle:13");
}

static void greenlet_works(struct scene *s)
{
    scene_thread(s, SNAP_RUNNING, "handle:13");
    greenlets(s, 7);
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "handle:13");
}

static void no_hub(struct scene *s) // greenlets that carry calls between kinds of code
{
    scene_thread(s, SNAP_SLEEP, "sleep! handle:13");
    scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "main:3")->is_main = true;
    scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "switch! other:3");
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "sleep! handle:13");
}

static void others_of_another_thread(struct scene *s)
{
    scene_thread(s, SNAP_SLEEP, "sleep! handle:13");
    scene_thread(s, SNAP_SLEEP, "sleep! handle:13");
    greenlets(s, 7);
    scene_greenlet(s, 2, SNAP_GREENLET_RUNNING, "sleep! handle:13");
}

static void test_hub(void **state)
{
    (void)state;
    scene_check(sleeps_unpatched, "blocked-hub:high",
                "BLOCKED - The hub of \x01T1\x02 stands still: greenlet \x01Greenlet-3\x02 blocks "
                "in \x01sleep\x02, called by \x01handle\x02 (\x01"
                "app.py:13\x02); 7 greenlets wait behind it.");
    scene_check(talks_unpatched, "blocked-hub:medium", "BLOCKED - ");
    scene_check(talks_often, "blocked-hub:high",
                "BLOCKED - The hub of \x01T1\x02 stands still in 50 % of the snapshots: a greenlet "
                "blocks in \x01recv\x02, called by \x01query\x02");
    scene_check(talks_now_and_then, "blocked-hub:medium", "BLOCKED - ");
    scene_check(talked_once, "", "IDLE - ");
    scene_check(hub_waits, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 poll); 41 "
                "greenlets wait, 40 of them in \x01handle\x02 (\x01"
                "app.py:12\x02).");
    scene_check(callback_of_hub, "blocked-hub:high",
                "BLOCKED - The hub of \x01T1\x02 stands still: a callback of its loop blocks in "
                "\x01sleep\x02, called by \x01on_timer\x02 (\x01"
                "app.py:9\x02); 5 greenlets wait behind it.");
    scene_check(lock_of_a_greenlet, "fork-held-lock:high",
                "HUNG - \x01T1\x02 waits for lock \x01thing-1\x02 in \x01handle\x02 (\x01"
                "app.py:13\x02), and this process has no other thread that could release it.");
    scene_check(lock_over_a_switch, "fork-held-lock:high", "HUNG - \x01T1\x02 waits for lock");
    scene_check(lock_over_an_await, "fork-held-lock:high blocking-call-in-event-loop:medium",
                "HUNG - \x01T1\x02 waits for lock \x01thing-1\x02 in \x01save\x02 (\x01"
                "app.py:9\x02), held by task \x01Task-2\x02 in \x01save\x02 (\x01"
                "app.py:10\x02), which cannot go on while this thread waits.");
    scene_check(hub_waited_before, "", "IDLE - ");
    scene_check(ran_meanwhile, "", "IDLE - ");
    scene_check(nobody_behind, "", "IDLE - ");
    scene_check(greenlet_works, "", "BUSY - ");
    scene_check(no_hub, "", "IDLE - ");
    scene_check(others_of_another_thread, "", "IDLE - ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocking_call), cmocka_unit_test(test_long_step),
        cmocka_unit_test(test_starving),      cmocka_unit_test(test_executor),
        cmocka_unit_test(test_hub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
