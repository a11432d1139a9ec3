// SPDX-License-Identifier: GPL-3.0-or-later
// Who awaits whom, as a tree: roots, what looks alike, rings, and graphs that are no tree.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report_values.h"
#include "suspended_maker.h"

// A task for each letter, at a place of its own; a small letter is at the place of the large one.
static void add_letters(struct scene *scene, const char *letters)
{
    scene_loop(scene, 4711, "Loop");
    for (const char *at = letters; *at; at++) {
        char name[2] = {*at, '\0'}, stack[32];
        snprintf(stack, sizeof(stack), "f%c /srv/a.py:%d", *at & ~32, *at & ~32);
        scene_task(scene, name, "f", SNAP_TASK_WAITING, SNAP_AWAIT_SEVERAL, NULL, stack);
    }
}

static uint32_t letter(const char *letters, char which)
{
    return (uint32_t)(strchr(letters, which) - letters);
}

// Edges "A>B" with spaces between; the tree must be these lines, of names and what is in brackets.
static void check_tree(const char *letters, const char *edges, const char *wanted)
{
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    add_letters(&scene, letters);
    for (const char *at = edges; *at; at += strspn(at, " ")) {
        scene_edge(&scene, letter(letters, at[0]), letter(letters, at[2]));
        at += 3;
    }
    assert_true(snap_suspended_link(scene.suspended));
    char *text = render(report_text, v), *at = text ? strstr(text, "WHO AWAITS WHOM") : NULL;
    char got[2000] = "";
    for (at = at ? strchr(at, '\n') + 1 : NULL; at && *at && *at != '\n';
         at = strchr(at, '\n') + 1) {
        size_t size = strcspn(at, ":\n"), all = strcspn(at, "\n");
        const char *remark = memmem(at, all, "  (", 3);
        strncat(got, at, size);
        strcat(got, remark ? " ^\n" : "\n");
    }
    if (strcmp(got, wanted) != 0)
        fail_msg("%s gives\n%s, not\n%s in:\n%s", edges, got, wanted, text);
    free(text);
}

static void test_trees(void **state)
{
    (void)state;
    check_tree("ABC", "", "");
    check_tree("ABC", "A>B A>C", "  A\n    B\n    C\n");
    check_tree("AB", "B>A", "  B\n    A\n");
    check_tree("ABC", "A>B", "1 task awaits no other one, and none awaits it.\n  A\n    B\n");
    // Those that look alike are one, also with all that is below them; others are not.
    check_tree("ABbc", "A>B A>b A>c", "  A\n    2 x B, b\n    c\n");
    check_tree("ABbCc", "A>B A>b B>C b>c", "  A\n    2 x B, b\n      C\n");
    check_tree("ABbCD", "A>B A>b B>C b>D", "  A\n    B\n      C\n    b\n      D\n");
    check_tree("ABbCc", "A>B A>b B>C B>c b>C", "  A\n    B\n      2 x C, c\n    b\n      C\n");
    // Twice the same; one that two wait for.
    check_tree("AB", "A>B A>B", "  A\n    B\n");
    check_tree("ABCD", "A>B A>C B>D C>D", "  A\n    B\n      D\n    C\n      D\n");
    check_tree("ABCDE", "A>B A>C B>D C>D D>E",
               "  A\n    B\n      D\n        E\n    C\n      D ^\n");
    // Rings: by themselves, with a way in, of one task, alike.
    check_tree("AB", "A>B B>A", "  A\n    B\n      A ^\n");
    check_tree("RAB", "R>B A>B B>A", "  R\n    B\n      A\n        B ^\n");
    check_tree("A", "A>A", "  A\n    A ^\n");
    check_tree("ABab", "A>B B>A a>b b>a", "  A\n    B\n      A ^\n  a\n    b\n      a ^\n");
}

// Chains of tasks that await the next one at the same place, as long as they may be.
static void test_chain(void **state)
{
    (void)state;
    enum { LENGTH = 100000 };
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_loop(&scene, 4711, "Loop");
    for (int i = 0; i < LENGTH; i++) {
        char name[32];
        snprintf(name, sizeof(name), "t-%d", i);
        scene_task(&scene, name, "f", SNAP_TASK_WAITING, SNAP_AWAIT_TASK, NULL, "f /srv/a.py:1");
    }
    for (uint32_t i = 0; i + 1 < LENGTH; i++)
        scene_edge(&scene, i, i + 1);
    check_says(v, "t-0: f a.py:1  [task t-1]\n", true);
    check_says(v, "... 99,998 tasks more at the same place, each awaits the next one\n", true);
    check_says(v, "t-99999: f a.py:1", true);
    check_says(v, "t-1:", false);
    scene_edge(&scene, LENGTH - 1, 0);
    check_says(
        v,
        "100,000 tasks wait for each other in a ring: `t-0` of `f()` > `t-1` of `f()` > `t-2` of "
        "`f()` > `t-3` of `f()` > `t-4` of `f()` > `t-5` of `f()` > ... 99,994 more ... > `t-0`.",
        true);
    check_says(v, "what lies deeper is left out; --full shows it", true);
}

// 2^50 ways through 50 layers: none is gone twice.
static void test_many_ways(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_loop(&scene, 4711, "Loop");
    for (uint32_t i = 0; i < 100; i++) {
        char stack[64];
        snprintf(stack, sizeof(stack), "f%u /srv/a.py:%u", i, i + 1);
        scene_task(&scene, "t", "f", SNAP_TASK_WAITING, SNAP_AWAIT_SEVERAL, NULL, stack);
        for (uint32_t k = i / 2 * 2; i >= 2 && k - 2 < i / 2 * 2; k++)
            scene_edge(&scene, k - 2, i);
    }
    v->options.full = true;
    char *text = render(report_text, v);
    size_t lines = 0;
    for (const char *at = strstr(text, "WHO AWAITS WHOM"); at && (at = strchr(at, '\n')); at++)
        lines++;
    assert_in_range(lines, 100, 210);
    free(text);
}

// A lock is waited for by who awaits others: a ring, though nobody awaits it as a task.
static void test_ring_of_locks(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_loop(&scene, 4711, "Loop");
    for (int i = 0; i < 3; i++)
        scene_task(&scene,
                   i == 0   ? "a"
                   : i == 1 ? "b"
                            : "c",
                   "f", SNAP_TASK_WAITING, SNAP_AWAIT_LOCK, "lock", "f /srv/a.py:1");
    scene.suspended->tasks.items[0].await.holder = 1;
    scene.suspended->tasks.items[1].await.holder = 0;
    scene.suspended->tasks.items[2].await.holder = 0;
    check_says(v, "2 tasks wait for each other in a ring: `a` of `f()` > `b` of `f()` > `a`.",
               true);
    check_says(v, "Who awaits whom", false);
    scene.suspended->tasks.items[1].await.holder = 1;
    check_says(v, "A task waits for itself: `b`.", true);
    scene.suspended->tasks.items[1].await.holder = SNAP_NO_INDEX;
    check_says(v, "ring", false);
    check_says(v, "waits for itself", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_many_ways),
        cmocka_unit_test(test_ring_of_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
