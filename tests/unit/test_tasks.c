// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks and greenlets in reports: JSON and read back, grouped by await site; JSON, text and Markdown
// against golden files (PYCORE_GOLDEN=write makes them anew).
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "report/task_groups.h"
#include "round_trip.h"
#include "suspended_maker.h"

// ---- Values --------------------------------------------------------------------------------------

static void add_turn(struct values *v, struct snap_thread *thread)
{
    struct snap_turn *turn = thread->turn = calloc(1, sizeof(*turn));
    assert_non_null(turn);
    turn->task = 0x7f0000200000;
    turn->name = id_of(v, "worker-3");
    turn->coroutine = id_of(v, "worker");
    turn->frames = 2;
    turn->root = id_of(v, "Task-1");
    struct snap_frame frame = {.kind = SNAP_PYTHON,
                               .flags = SNAP_FRAME_GENERATOR,
                               .function = id_of(v, "main"),
                               .file = id_of(v, "/srv/shop/app/server.py"),
                               .line = 80,
                               .column = 8,
                               .first_line = 70};
    assert_true(vec_push(&turn->awaiting, frame));
}

static void add_threads(struct values *v)
{
    struct snap_thread *main = add_thread(v, "MainThread", SNAP_RUNNING);
    add_frame(v, main, "price", "/srv/shop/app/prices.py", 31);
    add_frame(v, main, "worker", "/srv/shop/app/jobs.py", 17);
    add_frame(v, main, "run_once", ASYNCIO "base_events.py", 1984);
    add_frame(v, main, "run_forever", ASYNCIO "base_events.py", 641);
    add_turn(v, main);
    struct snap_thread *other = add_thread(v, "metrics", SNAP_IO_WAIT);
    add_frame(v, other, "select", "/usr/lib/python3.12/selectors.py", 468);
}

#define READ_STACK                                                                           \
    "StreamReader._wait_for_data " ASYNCIO "streams.py:543 < StreamReader.readline " ASYNCIO \
    "streams.py:561 < serve /srv/shop/app/server.py:33"

static void add_connections(struct scene *scene, int count)
{
    for (int i = 0; i < count; i++) {
        char name[32], peer[32];
        snprintf(name, sizeof(name), "conn-%d", i);
        snprintf(peer, sizeof(peer), "10.0.3.%d:%d", i % 250, 40000 + i);
        struct snap_task *task =
            scene_task(scene, name, "serve", SNAP_TASK_WAITING, SNAP_AWAIT_READ, peer, READ_STACK);
        task->await.fd = 20 + i;
        task->since_ns = (uint64_t)(1 + i % 7) * 200 * MS;
    }
}

// A main task that waits for a TaskGroup of three, of which two wait alike; one waits for a job.
static void add_group(struct scene *scene)
{
    uint32_t first = (uint32_t)scene->suspended->tasks.count;
    scene_task(scene, "Task-1", "main", SNAP_TASK_WAITING, SNAP_AWAIT_SEVERAL, NULL,
               "TaskGroup._aexit " ASYNCIO "taskgroups.py:121 < TaskGroup.__aexit__ " ASYNCIO
               "taskgroups.py:71 < main /srv/shop/app/server.py:80");
    for (int i = 0; i < 2; i++) {
        struct snap_task *task =
            scene_task(scene, i ? "poll-b" : "poll-a", "poll", SNAP_TASK_WAITING, SNAP_AWAIT_SLEEP,
                       NULL, "sleep " ASYNCIO "tasks.py:665 < poll /srv/shop/app/jobs.py:40");
        task->await.left_ns = (i + 1) * 800 * (int64_t)MS;
    }
    struct snap_task *job =
        scene_task(scene, "report", "report", SNAP_TASK_WAITING, SNAP_AWAIT_EXECUTOR, "render",
                   "to_thread " ASYNCIO "threads.py:25 < report /srv/shop/app/jobs.py:60");
    job->await.thread = 4712;
    job->answers = 0x7f0000000400;
    job->cancelling = true;
    for (uint32_t i = 1; i <= 3; i++)
        scene_edge(scene, first, first + i);
}

// a awaits b, b waits for a lock that a has.
static void add_cycle(struct scene *scene)
{
    uint32_t first = (uint32_t)scene->suspended->tasks.count;
    scene_task(scene, "order", "order", SNAP_TASK_WAITING, SNAP_AWAIT_TASK, NULL,
               "order /srv/shop/app/orders.py:12");
    struct snap_task *second =
        scene_task(scene, "stock", "stock", SNAP_TASK_WAITING, SNAP_AWAIT_LOCK, "stock_lock",
                   "Lock.acquire " ASYNCIO "locks.py:112 < stock /srv/shop/app/orders.py:33");
    second->await.holder = first;
    second->await.object = 0x7f0000000123;
    second->await.type = scene_id(scene, "Lock");
    scene_edge(scene, first, first + 1);
    scene_edge(scene, first + 1, first);
}

static void add_others(struct scene *scene)
{
    struct snap_task *failed =
        scene_task(scene, "Task-77", "fetch", SNAP_TASK_FINISHED, SNAP_AWAIT_NONE, NULL, NULL);
    failed->exception = scene_id(scene, "ConnectionResetError: [Errno 104] Connection reset");
    scene_task(scene, "Task-80", "late", SNAP_TASK_CREATED, SNAP_AWAIT_NONE, NULL,
               "late /srv/shop/app/jobs.py:70");
    scene_task(scene, "Task-81", "next", SNAP_TASK_READY, SNAP_AWAIT_YIELD, NULL,
               "next /srv/shop/app/jobs.py:75")
        ->cut = true;
}

// The service of all tests: one loop that works, one that is idle.
static void make_service(struct values *v, int connections)
{
    add_threads(v);
    struct scene scene = scene_in(v->strings, v->snapshot);
    struct snap_loop *loop = scene_loop(&scene, 4711, "_UnixSelectorEventLoop");
    loop->current = 0;
    loop->ready = 3;
    loop->scheduled = 12;
    loop->same_snapshots = 5;
    loop->same_ns = 1000 * MS;
    scene_task(&scene, "worker-3", "worker", SNAP_TASK_RUNNING, SNAP_AWAIT_NONE, NULL,
               "price /srv/shop/app/prices.py:31 < worker /srv/shop/app/jobs.py:17");
    add_group(&scene);
    add_connections(&scene, connections);
    add_cycle(&scene);
    add_others(&scene);
    scene_loop(&scene, 4712, "_UnixSelectorEventLoop");
    scene_task(&scene, "push", "push", SNAP_TASK_WAITING, SNAP_AWAIT_QUEUE_GET, "self.queue",
               "Queue.get " ASYNCIO "queues.py:158 < push /srv/shop/app/metrics.py:9");
    assert_true(snap_suspended_link(scene.suspended));
    scene.suspended->moment = true;
}

#define HUB "/usr/lib/python3/dist-packages/gevent/hub.py"

static void make_greenlets(struct values *v, int workers)
{
    struct snap_thread *main = add_thread(v, "MainThread", SNAP_IO_WAIT);
    add_frame(v, main, "run", HUB, 647);
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_greenlet(&scene, 4711, "greenlet", NULL, SNAP_GREENLET_SUSPENDED, SNAP_NO_INDEX,
                   SNAP_AWAIT_OTHER, NULL, "join " HUB ":750 < main /srv/shop/app/main.py:12")
        ->is_main = true;
    scene_greenlet(&scene, 4711, "Hub", NULL, SNAP_GREENLET_RUNNING, 0, SNAP_AWAIT_NONE, NULL,
                   "run " HUB ":647")
        ->is_hub = true;
    for (int i = 0; i < workers; i++) {
        char name[32];
        snprintf(name, sizeof(name), "Greenlet-%d", i);
        scene_greenlet(&scene, 4711, "Greenlet", name, SNAP_GREENLET_SUSPENDED, 1, SNAP_AWAIT_READ,
                       "10.0.3.9:5432",
                       "switch " HUB ":591 < query /srv/shop/app/db.py:40 < handle "
                       "/srv/shop/app/server.py:12");
    }
    scene_greenlet(&scene, 4711, "Greenlet", "Greenlet-new", SNAP_GREENLET_CREATED, 1,
                   SNAP_AWAIT_NONE, NULL, NULL);
    scene_greenlet(&scene, 0, "greenlet", "inner", SNAP_GREENLET_SUSPENDED, 2, SNAP_AWAIT_NONE,
                   NULL, "step /srv/shop/app/steps.py:5")
        ->cut = true;
}

// ---- JSON ----------------------------------------------------------------------------------------

static void test_documents(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_service(v, 30);
    check_round_trip(v);
    v->options.full = true;
    check_round_trip(v);
    v->snapshot->suspended->tasks_left_out = 7;
    v->snapshot->suspended->generators_left_out = UINT64_MAX;
    check_round_trip(v);
}

static void test_documents_of_greenlets(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_greenlets(v, 30);
    check_round_trip(v);
}

// tests/system/test_report.py holds these against the schema.
static void test_golden_documents(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_service(v, 2);
    check_golden("tasks.json", render(report_json, v));
    VALUES other = values_create();
    make_greenlets(other, 2);
    check_golden("greenlets.json", render(report_json, other));
}

static void check_says_json(struct values *v, const char *wanted, bool says)
{
    char *text = render(report_json, v);
    assert_non_null(text);
    if ((strstr(text, wanted) != NULL) != says)
        fail_msg("%s \"%s\" in:\n%s", says ? "no" : "an unwanted", wanted, text);
    free(text);
}

// Where nothing is suspended, a document says nothing of it.
static void test_nothing(void **state)
{
    (void)state;
    VALUES v = values_create();
    add_thread(v, "MainThread", SNAP_RUNNING);
    scene_in(v->strings, v->snapshot);
    check_says_json(v, "\"suspended\"", false);
    check_round_trip(v);
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_loop(&scene, 4711, "Loop");
    check_says_json(v, "\"loops\": [", true);
    check_says_json(v, "\"tasks\": [", false);
    check_round_trip(v);
}

static void test_hostile_names(void **state)
{
    (void)state;
    static const char *const names[] = {"\"}],\"tasks\":null,\"x\":{\"",
                                        "\\",
                                        "\x1b]0;x\x07",
                                        "\xff\xfe\xc3",
                                        "\xf3\xa0\x81\x81\xe2\x80\xae",
                                        "\n# forged",
                                        "`code`",
                                        "<script>alert(1)</script>",
                                        ""};
    VALUES v = values_create();
    add_threads(v);
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_loop(&scene, 4711, names[0])->library = scene_id(&scene, names[1]);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct snap_task *task = scene_task(&scene, names[i], names[i], SNAP_TASK_WAITING,
                                            SNAP_AWAIT_OTHER, names[i], READ_STACK);
        task->type = task->exception = task->await.type = scene_id(&scene, names[i]);
        struct snap_frames *frames = &scene.suspended->stacks.items[task->stack];
        frames->items[0].function = frames->items[1].file = scene_id(&scene, names[i]);
        scene_greenlet(&scene, 4711, names[i], names[i], SNAP_GREENLET_SUSPENDED, SNAP_NO_INDEX,
                       SNAP_AWAIT_OTHER, names[i], READ_STACK);
    }
    v->snapshot->threads.items[0].turn->name = v->snapshot->threads.items[0].turn->root =
        scene_id(&scene, names[2]);
    check_round_trip(v);
}

// What belongs to a hotspot report is that of its last snapshot.
static void test_document_of_run(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    make_service(v, 5);
    v->input.last = v->snapshot;
    v->input.snapshot_count = 0;
    char *text = render(report_json, v);
    struct report_document *document = read_back(text, NULL);
    const struct snapshot *last = report_document_input(document)->last;
    assert_non_null(last->suspended);
    assert_int_equal(last->suspended->tasks.count, v->snapshot->suspended->tasks.count);
    assert_int_equal(last->threads.items[0].turn->awaiting.count, 1);
    struct values copy = *v;
    copy.input = *report_document_input(document);
    char *again = render(report_json, &copy);
    const char *first = strstr(text, "\"suspended\": "), *second = strstr(again, "\"suspended\": ");
    assert_true(first && second);
    assert_string_equal(first, second);
    free(again);
    free(text);
    report_document_destroy(document);
}

// Every index is checked, and what is written twice is refused.
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *why;
    } wrongs[] = {
        {"\"current\": 0", "\"current\": 99", "loop 0 refers to number 99 of"},
        {"\"loop\": 1", "\"loop\": 2", "refers to number 2 of 2"},
        {"\"holder\": 1", "\"holder\": 4294967294", "refers to number 4294967294 of"},
        {"\"tasks\": [2, 3, 4]", "\"tasks\": [2, 3, 44]", "task 1 refers to number 44 of"},
        {"\"awaited_by\": [1]", "\"awaited_by\": [-1]", "line"},
        {"\"parent\": 1", "\"parent\": 77", "refers to number 77 of"},
        {"\"frames\": 2,", "\"frames\": 5,", "a turn of more frames than the thread has"},
        {"\"left_ns\": 800000000", "\"left_ns\": 1.5", "line"},
        {"\"state\": \"ready\"", "\"state\": 7", "line"},
    };
    VALUES v = values_create();
    make_service(v, 1);
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene.suspended->tasks.items[7].await.holder = 1;
    make_greenlets(v, 1);
    char *text = render(report_json, v);
    for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
        const char *at = strstr(text, wrongs[i].from);
        if (!at)
            fail_msg("no %s in:\n%s", wrongs[i].from, text);
        char *wrong = NULL;
        assert_true(asprintf(&wrong, "%.*s%s%s", (int)(at - text), text, wrongs[i].to,
                             at + strlen(wrongs[i].from)) > 0);
        read_back(wrong, wrongs[i].why);
        free(wrong);
    }
    free(text);
}

// Very many frames: an item of a list says which one has the same.
static void test_same_frames(void **state)
{
    (void)state;
    enum { DEEP = 5000, TASKS = 250 };
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    struct snap_frames deep = {0};
    for (int i = 0; i < DEEP; i++)
        assert_true(
            vec_push(&deep, (struct snap_frame){.line = i, .column = -1, .first_line = -1}));
    uint32_t stack;
    scene_loop(&scene, 4711, "Loop");
    assert_true(snap_suspended_stack(scene.suspended, deep.items, deep.count, &stack));
    vec_deinit(&deep);
    for (int i = 0; i < TASKS; i++)
        scene_task(&scene, "t", "t", SNAP_TASK_WAITING, SNAP_AWAIT_FUTURE, NULL, NULL)->stack =
            stack;
    char *text = render(report_json, v);
    assert_non_null(strstr(text, "\"frames_as\": 0"));
    assert_null(strstr(text, "\"frames_as\": 1"));
    struct report_document *document = read_back(text, NULL);
    const struct snap_suspended *is = report_last(report_document_input(document))->suspended;
    assert_int_equal(is->tasks.count, TASKS);
    assert_int_equal(is->stacks.count, 1);
    for (size_t i = 0; i < TASKS; i++)
        assert_int_equal(is->tasks.items[i].stack, 0);
    report_document_destroy(document);
    char *wrong = strstr(text, "\"frames_as\": 0");
    memcpy(wrong, "\"frames_as\": 9", strlen("\"frames_as\": 9"));
    report_document_destroy(read_back(text, NULL)); // an earlier one's
    memcpy(wrong, "\"frames_as\":999", strlen("\"frames_as\":999"));
    read_back(text, "\"frames_as\" of a task that is not there");
    free(text);
}

// ---- Groups --------------------------------------------------------------------------------------

static void test_groups(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_service(v, 100);
    struct task_groups groups;
    assert_true(task_groups_init(&groups, v->snapshot->suspended, false));
    // The running one, 100 connections, 2 that sleep, and 7 by themselves; the finished one is not there.
    assert_int_equal(groups.list.count, 10);
    const struct task_group *group = groups.list.items;
    assert_true(group[0].runs && !group[1].runs);
    assert_int_equal(group[0].count, 1);
    assert_int_equal(group[1].count, 100);
    assert_int_equal(group[1].kind, SNAP_AWAIT_READ);
    assert_int_equal(group[1].what, 0); // each has another peer
    assert_int_equal(group[1].coroutine, id_of(v, "serve"));
    assert_int_equal(group[1].since_ns, 1400 * MS);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(groups.order[group[1].first + i], 5 + i);
    assert_int_equal(group[2].count, 2);
    assert_int_equal(group[2].least_ns, 800 * MS);
    assert_int_equal(group[2].most_ns, 1600 * MS);
    size_t all = 0;
    for (size_t i = 0; i < groups.list.count; i++)
        all += groups.list.items[i].count;
    assert_int_equal(all, v->snapshot->suspended->tasks.count - 1);
    task_groups_deinit(&groups);
    assert_true(task_groups_init(&groups, NULL, false));
    assert_int_equal(groups.list.count, 0);
    task_groups_deinit(&groups);
}

// ---- Pages ---------------------------------------------------------------------------------------

static void test_golden(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_service(v, 10000);
    check_golden("tasks.txt", render(report_text, v));
    check_golden("tasks.md", render(report_md, v));
    VALUES other = values_create();
    make_greenlets(other, 1000);
    check_golden("greenlets.txt", render(report_text, other));
}

static void test_golden_run(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    make_service(v, 10000);
    v->input.last = v->snapshot;
    v->input.snapshot_count = 0;
    check_golden("tasks_run.txt", render(report_text, v));
}

// 10,000 tasks fit one screen.
static void test_one_screen(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    add_thread(v, "MainThread", SNAP_IO_WAIT);
    scene_loop(&scene, 4711, "uvloop.Loop");
    add_connections(&scene, 10000);
    char *text = render(report_text, v);
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    if (lines > 40)
        fail_msg("%zu lines:\n%s", lines, text);
    free(text);
    check_says(v,
               "10,000 tasks of `serve()`, each waits \\[read, the longest for 1.4 s or longer\\]",
               true);
    check_says(v, "Who awaits whom", false); // nobody awaits anybody
}

static void test_states(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_loop(&scene, 0, NULL);
    // Before 3.8 tasks have no names.
    scene_task(&scene, NULL, "fetch", SNAP_TASK_READY, SNAP_AWAIT_NONE, NULL, NULL);
    scene_task(&scene, NULL, NULL, SNAP_TASK_UNKNOWN, SNAP_AWAIT_OTHER, NULL, NULL)->await.type =
        scene_id(&scene, "app.Promise");
    scene_task(&scene, "in", "main.<locals>.inner", SNAP_TASK_WAITING, SNAP_AWAIT_FUTURE, NULL,
               NULL);
    scene_task(&scene, "same", "same", SNAP_TASK_WAITING, SNAP_AWAIT_WRITE, NULL, NULL)->await.fd =
        9;
    check_says(v, "Task `fetch()`: is ready to run\n", true);
    check_says(v, "Task `in` of `inner()`: waits", true); // its line says where it is
    check_says(v, "Task `<0x7f0000200100>` \\[other `app.Promise`\\]", true);
    check_says(v, "Task `same`: waits \\[write fd 9\\]", true);
    check_says(v, "a thread that is not known: 4 tasks, 1 is ready to run.", true);
    check_says(v, "not all of it may hold at one moment", true);
    v->snapshot->suspended->moment = true;
    check_says(v, "not all of it may hold at one moment", false);
    v->snapshot->suspended->tasks_left_out = 5;
    check_says(v, "5 tasks that ran while read, or beyond the bound of what is read.", true);
}

// Greenlets are called by what they run: said once.
static void test_same_names(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    for (int i = 0; i < 12; i++)
        scene_greenlet(&scene, 4711, "Greenlet", "consume", SNAP_GREENLET_SUSPENDED, SNAP_NO_INDEX,
                       SNAP_AWAIT_QUEUE_GET, NULL, "consume /srv/a.py:1");
    check_says(v, "12 greenlets, each is suspended \\[queue-get\\]: `consume`\n", true);
    scene_greenlet(&scene, 4711, "Greenlet", "c", SNAP_GREENLET_SUSPENDED, SNAP_NO_INDEX,
                   SNAP_AWAIT_QUEUE_GET, NULL, "consume /srv/a.py:1");
    check_says(v, "13 greenlets, each is suspended \\[queue-get\\]: `c`, `consume` x 12\n", true);
}

static void add_reader(struct scene *scene, const char *stack)
{
    scene_greenlet(scene, 4711, "Greenlet", "read", SNAP_GREENLET_SUSPENDED, SNAP_NO_INDEX,
                   SNAP_AWAIT_NONE, NULL, stack);
}

// Not all have native frames, and those have not all the same: a group is what waits at one place in
// Python, with those on which all that have some agree.
static void test_native_frames(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    add_reader(&scene, "compare /srv/a.py:3 < read /srv/a.py:1");
    add_reader(&scene, "*leave green.so:0 < compare /srv/a.py:3 < *sort_all base.so:0 < "
                       "read /srv/a.py:1 < *begin base.so:0");
    add_reader(&scene, "compare /srv/a.py:3 < read /srv/a.py:1");
    add_reader(&scene, "*leave green.so:0");
    check_says(v, "3 greenlets, each is suspended: `read`\n", true);
    check_says(v, "sort_all (base.so)", true);
    check_says(v, "begin (base.so)", true);
    check_says(v, "```text\n    leave (green.so)\n```", true); // of the one that has nothing else
    check_says(v, "leave (green.so)\n  compare", false); // which says what it is inside of
    v->options.full = true;
    check_says(v, "leave (green.so)\n  compare", true);
    add_reader(&scene, "compare /srv/a.py:3 < *sort_some base.so:0 < read /srv/a.py:1");
    check_says(v, "4 greenlets, each is suspended: `read`\n", true);
    check_says(v, "sort_all", false);
    check_says(v, "sort_some", false);
    AUTO_FREE char *json = render(report_json, v);
    const char *groups = strstr(json, "\"greenlet_groups\"");
    assert_non_null(groups);
    assert_null(strstr(groups, "sort_"));
    assert_non_null(strstr(groups, "leave"));
}

static void test_exceptions(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct scene scene = scene_in(v->strings, v->snapshot);
    scene_loop(&scene, 4711, "Loop");
    for (int i = 0; i < 60; i++) {
        char name[32], text[32];
        snprintf(name, sizeof(name), "t-%d", i);
        snprintf(text, sizeof(text), "Error%d: bad", i % 10 < 4 ? 0 : i % 10);
        scene_task(&scene, name, "fetch", SNAP_TASK_FINISHED, SNAP_AWAIT_NONE, NULL, NULL)
            ->exception = scene_id(&scene, text);
    }
    check_says(v,
               "24 tasks of `fetch()` (`t-0`, `t-1`, `t-2` and 21 more) ended with `Error0: bad`, "
               "which nobody retrieved.",
               true);
    check_says(v, "`Error7: bad`", true);
    check_says(v, "`Error8: bad`", false);
    check_says(v, "12 more tasks ended with exceptions that nobody retrieved", true);
    check_says(v, "0 tasks", true); // of the loop: they have ended
    v->options.full = true;
    check_says(v, "`Error9: bad`", true);
    check_says(v, "more tasks ended", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),        cmocka_unit_test(test_documents_of_greenlets),
        cmocka_unit_test(test_golden_documents), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_hostile_names),    cmocka_unit_test(test_document_of_run),
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_same_frames),
        cmocka_unit_test(test_groups),           cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_run),       cmocka_unit_test(test_one_screen),
        cmocka_unit_test(test_states),           cmocka_unit_test(test_same_names),
        cmocka_unit_test(test_native_frames),
        cmocka_unit_test(test_exceptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
