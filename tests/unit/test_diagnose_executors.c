// SPDX-License-Identifier: GPL-3.0-or-later
// executor-deadlock: pools whose threads wait for what only they could do, and pools that look like it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

#define BOOT " boot:9"
#define WAITS "wait! parent:8 run:58 _worker:83" BOOT
#define IDLE "get! _worker:81" BOOT

static struct snap_wait *worker(struct scene *s, const char *pool, uint64_t queue, const char *stack)
{
    struct snap_wait *wait = scene_waits(s, SNAP_WAIT_FUTURE, s->last->threads.count, 0, stack);
    size_t index = s->last->threads.count - 1;
    char name[32];
    snprintf(name, sizeof(name), "%s_%zu", pool, index);
    s->last->threads.items[index].name = strtab_add_cstr(s->strings, name);
    s->last->threads.items[index].details->work_queue = queue;
    return wait;
}

static void main_waits(struct scene *s)
{
    scene_waits(s, SNAP_WAIT_FUTURE, 99, 2, "wait! main:3");
}

static void only_thread(struct scene *s)
{
    main_waits(s);
    worker(s, "pool", 7, WAITS)->queue = 7;
}

static void all_threads(struct scene *s)
{
    main_waits(s);
    for (int i = 0; i < 4; i++)
        worker(s, "pool", 7, WAITS)->queue = 7;
}

static void through_another(struct scene *s)
{
    main_waits(s);
    worker(s, "pool", 7, WAITS)->queue = 7;
    struct snap_wait *wait = worker(s, "pool", 7, WAITS);
    wait->owner = 102;
    wait->owner_known = SNAP_INFERRED;
}

static void each_others_jobs(struct scene *s)
{
    main_waits(s);
    worker(s, "one", 7, WAITS)->queue = 8;
    worker(s, "two", 8, WAITS)->queue = 7;
}

static void with_a_limit(struct scene *s)
{
    all_threads(s);
    s->last->threads.items[3].details->wait.left_ns = 5000 * (int64_t)MS;
}

static void one_is_idle(struct scene *s)
{
    all_threads(s);
    worker(s, "pool", 7, IDLE)->kind = SNAP_WAIT_QUEUE_GET;
}

static void one_works(struct scene *s)
{
    all_threads(s);
    scene_thread(s, SNAP_RUNNING, "query:91 run:58 _worker:83" BOOT)->name =
        strtab_add_cstr(s->strings, "pool_9");
}

static void one_moved(struct scene *s)
{
    all_threads(s);
    s->last->threads.items[2].held_still = false;
}

static void may_grow(struct scene *s)
{
    all_threads(s);
    s->last->threads.items[2].pool_has_room = true;
}

static void one_waits_for_a_peer(struct scene *s)
{
    all_threads(s);
    worker(s, "pool", 7, "recv! query:91 run:58 _worker:83" BOOT)->kind = SNAP_WAIT_READ;
}

static void other_pool_goes_on(struct scene *s)
{
    main_waits(s);
    worker(s, "one", 7, WAITS)->queue = 8;
    worker(s, "two", 8, "recv! query:91 run:58 _worker:83" BOOT)->kind = SNAP_WAIT_READ;
}

static void queue_of_nobody(struct scene *s)
{
    main_waits(s);
    worker(s, "one", 7, WAITS)->queue = 8;
}

static void of_another_process(struct scene *s)
{
    only_thread(s);
    worker(s, "pool", 7, IDLE)->kind = SNAP_WAIT_QUEUE_GET;
    s->last->threads.items[2].pid = 4000;
}

static void test_deadlock(void **state)
{
    (void)state;
    scene_check(only_thread, "executor-deadlock:high",
                "DEADLOCK - The only thread of \x01pool\x02 waits for a job that only itself could run: "
                "\x01pool_1\x02 waits for the result of \x01thing-1\x02 in \x01parent\x02 (\x01"
                "app.py:8\x02), which no thread has begun.");
    scene_check(all_threads, "executor-deadlock:high", "DEADLOCK - All 4 threads of \x01pool\x02 wait");
    scene_check(through_another, "executor-deadlock:high", "DEADLOCK - Both threads of \x01pool\x02");
    scene_check(each_others_jobs, "executor-deadlock:high executor-deadlock:high", "DEADLOCK - ");
    scene_check(with_a_limit, "executor-deadlock:medium", "DEADLOCK - ");
    scene_check(of_another_process, "executor-deadlock:high", "DEADLOCK - ");
}

static void test_no_deadlock(void **state)
{
    (void)state;
    scene_check(one_is_idle, "", "IDLE - ");
    scene_check(one_works, "", "BUSY - ");
    scene_check(one_moved, "", "IDLE - ");
    scene_check(may_grow, "", "IDLE - ");
    scene_check(one_waits_for_a_peer, "", "IDLE - ");
    scene_check(other_pool_goes_on, "", "IDLE - ");
    scene_check(queue_of_nobody, "", "IDLE - ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlock),
        cmocka_unit_test(test_no_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
