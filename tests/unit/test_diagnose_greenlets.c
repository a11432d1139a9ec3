// SPDX-License-Identifier: GPL-3.0-or-later
// Rules on greenlets that wait for each other and for locks: scenes in which they speak, and some in
// which they must not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

// A hub at rest, and the main greenlet, which waits for the others.
static void hub(struct scene *s)
{
    scene_talks(s, SNAP_WAIT_POLL, "epoll_wait", "", "poll! hub_run:50");
    scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, "main:3")->is_main = true;
    scene_greenlet(s, 1, SNAP_GREENLET_RUNNING, "poll! hub_run:50")->is_hub = true;
    s->last->suspended->moment = true;
}

// Numbers of greenlets are from 1; those of hub() are the first two.
static struct snap_greenlet *waits(struct scene *s, enum snap_await_kind kind, unsigned object,
                                   unsigned other, const char *stack)
{
    struct snap_greenlet *greenlet = scene_greenlet(s, 1, SNAP_GREENLET_SUSPENDED, stack);
    char text[32];
    snprintf(text, sizeof(text), "G%zu", s->last->suspended->greenlets.count);
    greenlet->name = strtab_add_cstr(s->strings, text);
    greenlet->await.kind = kind;
    if (object) {
        snprintf(text, sizeof(text), "thing-%u", object);
        greenlet->await.what = strtab_add_cstr(s->strings, text);
        greenlet->await.object = 0x7d0000 + object;
    }
    if (other && kind == SNAP_AWAIT_TASK) {
        greenlet->await.task_count = 1;
        assert_true(vec_push(&greenlet->await.tasks, other - 1));
    } else if (other) {
        greenlet->await.holder = other - 1;
    }
    return greenlet;
}

static void two_locks(struct scene *s)
{
    hub(s);
    waits(s, SNAP_AWAIT_LOCK, 1, 4, "switch! transfer:12");
    waits(s, SNAP_AWAIT_LOCK, 2, 3, "switch! audit:30");
    waits(s, SNAP_AWAIT_LOCK, 2, 3, "switch! audit:29"); // behind them
}

static void two_locks_as_others_run(struct scene *s)
{
    two_locks(s);
    s->last->suspended->moment = false;
}

static void two_semaphores(struct scene *s)
{
    hub(s);
    waits(s, SNAP_AWAIT_SEMAPHORE, 1, 4, "switch! transfer:12");
    waits(s, SNAP_AWAIT_SEMAPHORE, 2, 3, "switch! audit:30");
}

static void taken_twice(struct scene *s)
{
    hub(s);
    waits(s, SNAP_AWAIT_LOCK, 1, 3, "switch! inner:12 outer:5");
}

static void join_each_other(struct scene *s)
{
    hub(s);
    waits(s, SNAP_AWAIT_TASK, 0, 4, "switch! left:12");
    waits(s, SNAP_AWAIT_TASK, 0, 5, "switch! right:30");
    waits(s, SNAP_AWAIT_TASK, 0, 3, "switch! third:40");
    s->last->suspended->moment = false;
}

static void lock_and_join(struct scene *s)
{
    hub(s);
    waits(s, SNAP_AWAIT_TASK, 0, 4, "switch! parent:12");
    waits(s, SNAP_AWAIT_LOCK, 1, 3, "switch! child:30");
}

static void test_cycle(void **state)
{
    (void)state;
    scene_check(two_locks, "greenlet-cycle:high",
                "DEADLOCK - Greenlet \x01G3\x02 and greenlet \x01G4\x02 wait for each other: greenlet "
                "\x01G3\x02 holds lock \x01thing-2\x02 and waits for lock \x01thing-1\x02 in "
                "\x01transfer\x02 (\x01"
                "app.py:12\x02), held by greenlet \x01G4\x02; greenlet \x01G4\x02 holds lock "
                "\x01thing-1\x02 and waits for lock \x01thing-2\x02 in \x01"
                "audit\x02 (\x01"
                "app.py:30\x02), held by greenlet \x01G3\x02.");
    scene_check(two_locks_as_others_run, "greenlet-cycle:high", "DEADLOCK - ");
    scene_check(two_semaphores, "greenlet-cycle:medium", "DEADLOCK - ");
    scene_check(taken_twice, "greenlet-cycle:high",
                "DEADLOCK - Greenlet \x01G3\x02 waits for lock \x01thing-1\x02 in \x01inner\x02 (\x01"
                "app.py:12\x02), which it holds itself.");
    scene_check(join_each_other, "greenlet-cycle:high",
                "DEADLOCK - Greenlet \x01G3\x02, greenlet \x01G4\x02 and greenlet \x01G5\x02 wait for "
                "each other in a ring: greenlet \x01G3\x02 waits for the end of greenlet "
                "\x01G4\x02 in \x01left\x02 (\x01"
                "app.py:12\x02); ");
    scene_check(lock_and_join, "greenlet-cycle:high", "DEADLOCK - ");
}

static void lock_and_join_as_others_run(struct scene *s)
{
    lock_and_join(s);
    s->last->suspended->moment = false;
}

static void a_chain(struct scene *s)
{
    hub(s);
    waits(s, SNAP_AWAIT_TASK, 0, 4, "switch! parent:12");
    waits(s, SNAP_AWAIT_LOCK, 1, 5, "switch! child:30");
    waits(s, SNAP_AWAIT_READ, 0, 0, "switch! query:31");
}

static void seems_to_join_itself(struct scene *s)
{
    hub(s);
    waits(s, SNAP_AWAIT_TASK, 0, 3, "switch! parent:12");
}

static void holder_goes_on(struct scene *s)
{
    two_locks(s);
    s->last->suspended->greenlets.items[3].state = SNAP_GREENLET_UNKNOWN;
}

static void test_no_cycle(void **state)
{
    (void)state;
    scene_check(lock_and_join_as_others_run, "", "IDLE - ");
    scene_check(a_chain, "",
                "IDLE - nothing is wrong that can be seen: the only thread waits (1 poll); 4 greenlets "
                "wait, 1 for lock \x01thing-1\x02 in \x01"
                "child\x02 (\x01"
                "app.py:30\x02), held by greenlet \x01G5\x02 in \x01query\x02 (\x01"
                "app.py:31\x02), 1 for input in \x01query\x02 (\x01"
                "app.py:31\x02).");
    scene_check(seems_to_join_itself, "", "IDLE - ");
    scene_check(holder_goes_on, "", "IDLE - ");
}

// The third one has it, and waits for something; others of the process do what they do.
static void pile(struct scene *s, enum snap_await_kind kind, int count, int others)
{
    hub(s);
    waits(s, SNAP_AWAIT_SLEEP, 0, 0, "switch! update:13");
    for (int i = 0; i < count; i++)
        waits(s, kind, 1, 3, "switch! update:12");
    for (int i = 0; i < others; i++)
        waits(s, SNAP_AWAIT_READ, 0, 0, "switch! handle:30");
}

static void pile_up(struct scene *s)
{
    pile(s, SNAP_AWAIT_SEMAPHORE, 40, 10);
}

static void run_of_pile_up(struct scene *s)
{
    for (int i = 0; i < 20; i++) {
        pile_up(s);
        scene_next(s);
    }
    pile_up(s);
    s->last->suspended->greenlets.items[2].since_ns = 2000 * MS;
}

static void run_that_goes_on(struct scene *s)
{
    run_of_pile_up(s);
    s->last->suspended->greenlets.items[2].since_ns = 100 * MS;
}

static void few(struct scene *s)
{
    pile(s, SNAP_AWAIT_LOCK, 19, 0);
}

static void few_of_many(struct scene *s)
{
    pile(s, SNAP_AWAIT_LOCK, 40, 60);
}

static void not_known_who_has_it(struct scene *s)
{
    pile_up(s);
    vec_foreach (greenlet, &s->last->suspended->greenlets)
        greenlet->await.holder = SNAP_NO_INDEX;
}

static void test_pile_up(void **state)
{
    (void)state;
    scene_check(pile_up, "greenlet-pile-up:medium",
                "BLOCKED - 40 of 52 greenlets wait for semaphore \x01thing-1\x02 in \x01update\x02 (\x01"
                "app.py:12\x02), held by greenlet \x01G3\x02, itself waiting for the end of a sleep in "
                "\x01update\x02 (\x01"
                "app.py:13\x02).");
    scene_check(run_of_pile_up, "greenlet-pile-up:high", "BLOCKED - ");
    scene_check(run_that_goes_on, "greenlet-pile-up:low", "IDLE - ");
    scene_check(few, "", "IDLE - ");
    scene_check(few_of_many, "", "IDLE - ");
    scene_check(not_known_who_has_it, "", "IDLE - ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cycle),
        cmocka_unit_test(test_no_cycle),
        cmocka_unit_test(test_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
