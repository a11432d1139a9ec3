// SPDX-License-Identifier: GPL-3.0-or-later
// The profile by task: whose samples are whose, which stacks are distinct, where tasks wait; and that
// a document says the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "profile/bounds.h"
#include "profile/interval.h"
#include "profile_run.h"
#include "report/document.h"
#include "task_maker.h"
#include "util/guard.h"

#define MS 1000000u
#define S 1000000000ull

static void add(struct run *run)
{
    assert_true(profile_add(run->profile, run->snapshot));
    uint64_t next = run->snapshot->at_ns + 200 * MS;
    snapshot_destroy(run->snapshot);
    run->snapshot = snapshot_create();
    assert_non_null(run->snapshot);
    run->snapshot->at_ns = next;
}

static const struct prof_report *report(struct run *run)
{
    struct prof_run about = {.interval_ns = 200 * MS, .duration_ns = 10 * S};
    prof_report_destroy(run->report);
    run->report = profile_report(run->profile, &about);
    assert_non_null(run->report);
    return run->report;
}

static const char *text(const struct run *run, uint32_t id)
{
    const char *found = strtab_get(run->strings, id);
    return found ? found : "(none)";
}

static const char *frame_name(const struct run *run, uint32_t frame)
{
    return text(run, run->report->frames[frame].function);
}

// "innermost ... outermost" of some frames.
static void assert_frames(const struct run *run, const uint32_t *frames, size_t count,
                          const char *expected)
{
    char said[1000] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%s:%d", i ? " " : "",
                 frame_name(run, frames[i]), (int)run->report->frames[frames[i]].line);
    assert_string_equal(said, expected);
}

static struct snap_thread *thread(struct run *run, pid_t tid, enum snap_state state,
                                  const char *stack)
{
    struct snap_thread *made = make_thread(run->strings, run->snapshot, tid, state, stack);
    assert_non_null(made);
    return made;
}

static void turn(struct run *run, struct snap_thread *thread, const char *name,
                 const char *coroutine, uint32_t frames, const char *root, const char *awaiting)
{
    make_turn(run->strings, thread, name, coroutine, frames, root, awaiting);
}

static const struct prof_task *task(const struct run *run, const char *coroutine)
{
    for (size_t i = 0; i < run->report->task_count; i++)
        if (strcmp(text(run, run->report->tasks[i].coroutine), coroutine) == 0)
            return &run->report->tasks[i];
    fail_msg("no task %s", coroutine);
    return NULL;
}

#define LOOP " _run:80 _run_once:1900 run_forever:600"

// ---- Turns ---------------------------------------------------------------------------------------

// Seven samples of burn(), two of mix(), one of the loop itself, one of a thread without tasks.
static void feed(struct run *run)
{
    static const char *const names[] = {"Task-2", "Task-3", "Task-2", "Task-4", "Task-2",
                                        "Task-2", "Task-3", "worker", "worker", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        bool burns = i < 7, loops = !names[i];
        struct snap_thread *t = thread(run, 1, i == 8 ? SNAP_SLEEP : SNAP_RUNNING,
                                       burns   ? "hot:12 burn:20" LOOP
                                       : loops ? "select:5" LOOP
                                               : "sum! mix:30" LOOP);
        t->has_cpu = true;
        t->cpu_ns = 10 * MS;
        if (!loops)
            turn(run, t, names[i], burns ? "burn" : "mix", 2, "Task-1",
                 i == 6 ? "" : "gather:9 main:40");
        thread(run, 2, SNAP_RUNNING, "other:1");
        add(run);
    }
}

static void test_tasks(void **state)
{
    struct run *run = *state;
    feed(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->task_count, 3);
    const struct prof_task *burn = &r->tasks[0], *mix = task(run, "mix");
    assert_string_equal(text(run, burn->coroutine), "burn");
    assert_string_equal(text(run, burn->name), "Task-*");
    assert_string_equal(text(run, burn->root_name), "Task-1");
    assert_string_equal(text(run, burn->root_coroutine), "main");
    assert_int_equal(burn->tasks, 3);
    assert_int_equal(burn->samples, 6);
    assert_int_equal(burn->samples_working, 6);
    assert_int_equal(burn->cpu_ns, 60 * MS);
    assert_int_equal(burn->states[SNAP_RUNNING], 6);
    assert_string_equal(text(run, r->functions[burn->hottest].function), "hot");
    // One that nobody waits for is its own root.
    const struct prof_task *alone = &r->tasks[2];
    assert_string_equal(text(run, alone->name), "Task-3");
    assert_string_equal(text(run, alone->root_name), "Task-3");
    assert_string_equal(text(run, alone->root_coroutine), "burn");
    assert_int_equal(alone->samples, 1);
    assert_string_equal(text(run, mix->name), "worker");
    assert_int_equal(mix->samples, 2);
    assert_int_equal(mix->samples_working, 1);
    assert_int_equal(mix->states[SNAP_SLEEP], 1);
    assert_int_equal(mix->cpu_ns, 10 * MS); // the rest was used between the snapshots
    assert_string_equal(text(run, r->functions[mix->hottest].function), "sum");
    // What the event loop and the other thread did is no task's.
    assert_int_equal(r->samples_working, 9 + 10);
}

static void test_bounds(void **state)
{
    struct run *run = *state;
    uint32_t of[10] = {1, 1, 1, 1, 1, 1, 0}, working[10];
    double low, high;
    feed(run);
    report(run);
    for (size_t i = 0; i < 10; i++)
        working[i] = i == 8 ? 1 : 2;
    interval_share(of, working, 10, &low, &high);
    assert_true(low > 0 && high < 1);
    assert_float_equal(run->report->tasks[0].low, low, 1e-6);
    assert_float_equal(run->report->tasks[0].high, high, 1e-6);
}

static void test_async_stacks(void **state)
{
    struct run *run = *state;
    feed(run);
    const struct prof_report *r = report(run);
    size_t with = 0;
    for (size_t i = 0; i < r->stack_count; i++) {
        const struct prof_stack *s = &r->stacks[i];
        if (s->tid != 1)
            continue;
        with++;
        if (s->samples == 6) {
            assert_frames(run, s->frames, s->frame_count,
                          "hot:12 burn:20 _run:80 _run_once:1900 run_forever:600");
            assert_int_equal(s->task_frames, 2);
            assert_frames(run, s->frames + s->frame_count, s->awaiting_count, "gather:9 main:40");
            assert_ptr_equal(&r->tasks[s->task], task(run, "burn"));
        }
    }
    assert_int_equal(with, 5); // by task, what waits for it, and state
    // What waits is on no thread's stack.
    for (size_t i = 0; i < r->function_count; i++)
        if (strcmp(text(run, r->functions[i].function), "main") == 0)
            assert_int_equal(r->functions[i].total, 0);
}

// A turn of which it is not known where it ends in the stack is still the task's.
static void test_odd_turns(void **state)
{
    struct run *run = *state;
    turn(run, thread(run, 1, SNAP_RUNNING, "f:1 g:1"), "", "f", 0, "", "h:1");
    turn(run, thread(run, 2, SNAP_RUNNING, "f:1 g:1"), "7", "f", 99, "7", "");
    turn(run, thread(run, 3, SNAP_RUNNING, ""), "8", "f", 2, "8", "h:1");
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->stack_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct prof_stack *s = &r->stacks[i];
        assert_true(s->task < r->task_count);
        assert_int_equal(s->awaiting_count, 0);
        assert_int_equal(s->task_frames, s->tid == 2 ? 2 : 0);
    }
    assert_int_equal(r->task_count,
                     2); // the first and the last: "" and "8" differ in a number only
}

static void test_many_tasks(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < PROF_TASKS_MAX + 7; i++) {
        char name[32];
        snprintf(name, sizeof(name), "job %d of many", i);
        turn(run, thread(run, 1, SNAP_RUNNING, "f:1"), name, "f", 1, name, "");
        add(run);
    }
    const struct prof_report *r = report(run);
    assert_int_equal(r->task_count, PROF_TASKS_MAX + 1);
    assert_int_equal(r->tasks[0].samples, 7);
    assert_int_equal(r->tasks[0].tasks, 7);
    assert_int_equal(r->tasks[0].name, 0);
}

// Where stacks met their bound, the hottest function is one only when no other can be.
static void test_hottest_is_certain(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < PROF_STACKS_MAX + 9; i++) {
        struct snap_thread *t = thread(run, 1, SNAP_RUNNING, i == 0 ? "a:1" : "b:1");
        if (i >= 4)
            t->frames.items[0].line = i;
        const char *name = i < 4 || i >= PROF_STACKS_MAX ? "near" : "far";
        turn(run, t, name, name, 1, name, "");
        add(run);
    }
    const struct prof_report *r = report(run);
    assert_true(r->dropped_stacks > 0);
    assert_int_equal(task(run, "near")->hottest, UINT32_MAX);
    assert_string_equal(text(run, r->functions[task(run, "far")->hottest].function), "b");
}

// ---- Await sites ---------------------------------------------------------------------------------

static struct snap_task *waiting(struct run *run, uint32_t loop, const char *name,
                                 const char *coroutine, enum snap_await_kind kind,
                                 const char *stack)
{
    return make_task(run->strings, run->snapshot, loop, name, coroutine, kind, stack);
}

// main() waits for `workers` in sleep(), and one() for nobody's sake in a queue.
static void feed_waiting(struct run *run, int workers)
{
    uint32_t loop = make_loop(run->snapshot, 100, 1);
    thread(run, 1, SNAP_IO_WAIT, "select!" LOOP);
    waiting(run, loop, "Task-1", "main", SNAP_AWAIT_SEVERAL, "main:40");
    for (int i = 0; i < workers; i++) {
        waiting(run, loop, "Task-2", "worker", i ? SNAP_AWAIT_SLEEP : SNAP_AWAIT_YIELD,
                "sleep:600 worker:7")
            ->since_ns = (uint64_t)i * S;
        make_awaiter(run->snapshot, 0);
    }
    waiting(run, loop, "one", "one", SNAP_AWAIT_QUEUE_GET, "get:150 one:3");
    waiting(run, loop, "two", "two", SNAP_AWAIT_SLEEP, "two:3")->state = SNAP_TASK_READY;
    add(run);
}

static void test_sites(void **state)
{
    struct run *run = *state;
    feed_waiting(run, 5);
    feed_waiting(run, 2);
    thread(run, 1, SNAP_IO_WAIT, "select!" LOOP); // its tasks were not looked at
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->await_site_count, 3);
    assert_int_equal(r->await_samples, 2 + 7 + 2);
    const struct prof_await_site *site = &r->await_sites[0];
    assert_frames(run, site->frames, site->frame_count, "sleep:600 worker:7 main:40");
    assert_int_equal(site->task_frames, 2);
    assert_int_equal(site->pid, 100);
    assert_int_equal(site->tid, 1);
    assert_string_equal(text(run, site->coroutine), "worker");
    assert_int_equal(site->samples, 7);
    assert_int_equal(site->snapshots, 2);
    assert_int_equal(site->of_snapshots, 2);
    assert_int_equal(site->most, 5);
    assert_int_equal(site->kinds[SNAP_AWAIT_SLEEP], 5);
    assert_int_equal(site->kinds[SNAP_AWAIT_YIELD], 2);
    assert_int_equal(site->since_ns, 4 * S);
    assert_frames(run, r->await_sites[1].frames, r->await_sites[1].frame_count,
                  r->await_sites[1].frame_count == 1 ? "main:40" : "get:150 one:3");
}

// The same service in two processes: the second one's tasks were looked at once only.
static void test_processes(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 2; i++) {
        for (pid_t pid = 100; pid <= 200; pid += 100) {
            struct snap_thread *t = thread(run, pid, SNAP_RUNNING, "hot:12 burn:20" LOOP);
            t->pid = pid;
            turn(run, t, "Task-2", "burn", 2, "Task-1", "main:40");
            uint32_t loop = make_loop(run->snapshot, pid, pid);
            if (pid == 100 || i)
                waiting(run, loop, "Task-1", "main", SNAP_AWAIT_TASK, "main:40");
        }
        add(run);
    }
    const struct prof_report *r = report(run);
    assert_int_equal(r->task_count, 2);
    assert_int_equal(r->await_site_count, 2);
    for (size_t i = 0; i < 2; i++) {
        pid_t pid = (pid_t)(100 * i + 100);
        assert_int_equal(r->tasks[i].pid, pid);
        assert_int_equal(r->tasks[i].samples, 2);
        assert_int_equal(r->tasks[i].tasks, 1);
        assert_int_equal(r->await_sites[i].pid, pid);
        assert_int_equal(r->await_sites[i].tid, pid);
        assert_int_equal(r->await_sites[i].samples, 2 - i);
        assert_int_equal(r->await_sites[i].of_snapshots, 2 - i);
    }
    for (size_t i = 0; i < r->stack_count; i++)
        assert_int_equal(r->tasks[r->stacks[i].task].pid, r->stacks[i].pid);
}

// A task that ended before it could be read: its coroutine is known from the stack, and no more.
static void test_unknown(void **state)
{
    struct run *run = *state;
    turn(run, thread(run, 1, SNAP_RUNNING, "hot:12 burn:20" LOOP), "x", "burn", 2, "x", "");
    struct snap_turn *made = run->snapshot->threads.items[0].turn;
    made->task = made->name = made->root = 0;
    add(run);
    turn(run, thread(run, 1, SNAP_RUNNING, "hot:12 burn:20" LOOP), "Task-2", "burn", 2, "Task-2",
         "");
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->task_count, 2);
    const struct prof_task *unknown = &r->tasks[r->tasks[0].name != 0];
    assert_string_equal(text(run, unknown->coroutine), "burn");
    assert_int_equal(unknown->name, 0);
    assert_int_equal(unknown->root_coroutine, 0);
    assert_int_equal(unknown->tasks, 0);
    assert_int_equal(unknown->samples, 1);
    assert_int_equal(r->stacks[0].task_frames, 2);
}

// A filter that leaves the loop's thread out leaves its tasks out.
static void test_filtered_sites(void **state)
{
    struct run *run = *state;
    uint32_t mine = make_loop(run->snapshot, 100, 1), other = make_loop(run->snapshot, 100, 2);
    uint32_t nobody = make_loop(run->snapshot, 100, 0);
    thread(run, 1, SNAP_IO_WAIT, "select!" LOOP);
    thread(run, 2, SNAP_IO_WAIT, "select!" LOOP)->left_out = true;
    waiting(run, mine, "a", "a", SNAP_AWAIT_SLEEP, "a:1");
    waiting(run, other, "b", "b", SNAP_AWAIT_SLEEP, "b:1");
    waiting(run, nobody, "c", "c", SNAP_AWAIT_SLEEP, "c:1");
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->await_site_count, 1);
    assert_frames(run, r->await_sites[0].frames, 1, "a:1");
}

static void test_odd_sites(void **state)
{
    struct run *run = *state;
    uint32_t loop = make_loop(run->snapshot, 100, 1);
    waiting(run, loop, "a", "a", SNAP_AWAIT_TASK, "a:1");
    waiting(run, loop, "b", "b", SNAP_AWAIT_TASK, "b:1");
    make_awaiter(run->snapshot, 0);
    assert_true(vec_push(&run->snapshot->suspended->tasks.items[0].awaited_by, 1)); // a cycle
    waiting(run, loop, "c", "c", SNAP_AWAIT_OTHER, ""); // without a stack
    waiting(run, loop, "d", "d", SNAP_AWAIT_OTHER, "");
    struct snap_task *lost = waiting(run, loop, "e", "e", SNAP_AWAIT_NONE, "e:1");
    lost->loop = SNAP_NO_INDEX;
    assert_true(vec_push(&lost->awaited_by, 12345));
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->await_samples, 5);
    assert_int_equal(r->await_site_count, 5); // c() and d() are two
    for (size_t i = 0; i < 5; i++) {
        const char *name = text(run, r->await_sites[i].coroutine);
        size_t frames = *name == 'c' || *name == 'd' ? 0 : *name == 'e' ? 1 : *name == 'a' ? 2 : 1;
        assert_int_equal(r->await_sites[i].frame_count, frames);
    }
}

// A chain of tasks, of which the outermost are left out; and more sites than are kept.
static void test_bounds_of_sites(void **state)
{
    struct run *run = *state;
    uint32_t loop = make_loop(run->snapshot, 100, 1);
    struct snap_tasks *tasks = &run->snapshot->suspended->tasks;
    for (uint32_t i = 0; i < PROF_AWAIT_CHAIN_MAX + 5; i++) {
        waiting(run, loop, "t", "t", SNAP_AWAIT_TASK, "t:1");
        if (i)
            assert_true(vec_push(&tasks->items[i - 1].awaited_by, i));
    }
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->await_samples, PROF_AWAIT_CHAIN_MAX + 5);
    size_t deepest = 0;
    for (size_t i = 0; i < r->await_site_count; i++)
        if (r->await_sites[i].frame_count > deepest)
            deepest = r->await_sites[i].frame_count;
    assert_int_equal(deepest, PROF_AWAIT_CHAIN_MAX);
    for (size_t i = 0; i < PROF_AWAIT_SITES_MAX + 3; i++) {
        if (i == 0)
            loop = make_loop(run->snapshot, 100, 1);
        char stack[32];
        snprintf(stack, sizeof(stack), "t:%zu", i + 2);
        waiting(run, loop, "t", "t", SNAP_AWAIT_SLEEP, stack);
    }
    size_t before = r->await_site_count;
    add(run);
    r = report(run);
    assert_int_equal(r->await_site_count, PROF_AWAIT_SITES_MAX);
    assert_int_equal(r->dropped_awaits, before + 3);
}

// ---- Documents -----------------------------------------------------------------------------------

static char *render(const struct report_input *input, report_fn *format)
{
    char *made = NULL;
    size_t size;
    FILE *out = open_memstream(&made, &size);
    const struct report_options options = {.snapshots = true};
    assert_non_null(out);
    assert_null(format(out, input, &options));
    fclose(out);
    return made;
}

static void document_guard(struct report_document **place)
{
    report_document_destroy(*place);
}

static void test_document(void **state)
{
    struct run *run = *state;
    struct snap_source source = {.kind = SNAP_LIVE, .pid = 100, .complete = true};
    struct snap_notes notes = {0};
    feed(run);
    feed_waiting(run, 3);
    struct report_input input = {
        .strings = run->strings, .source = &source, .notes = &notes, .profile = report(run)};
    run->report->dropped_awaits = 5;
    AUTO_FREE char *first = render(&input, report_json);
    GUARD(document_guard) struct report_document *document = NULL;
    assert_null(report_read_json(first, strlen(first), &document));
    const struct report_input *again = report_document_input(document);
    AUTO_FREE char *second = render(again, report_json);
    assert_string_equal(second, first);
    assert_int_equal(again->profile->task_count, 3);
    assert_int_equal(again->profile->await_site_count, 3);
    assert_int_equal(again->profile->await_samples, 5);
    report_fn *const formats[] = {report_text, report_md, report_folded, report_html};
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        AUTO_FREE char *was = render(&input, formats[i]), *is = render(again, formats[i]);
        assert_string_equal(is, was);
    }
}

// Whatever the order of an object's fields; and what they refer to is there.
static void test_strange_documents(void **state)
{
    (void)state;
    static const char frame[] = "{\"kind\": \"python\", \"function_id\": 0}";
    static const struct {
        const char *stack, *more, *fault;
    } rows[] = {
        {"\"awaiting\": [1], \"frames\": [0], \"task_frames\": 1, \"task\": 0", "", NULL},
        {"\"frames\": [0], \"task\": 1", "", "refers to number 1"},
        {"\"frames\": [0], \"task_frames\": 2", "", "2 frames of a task"},
        {"\"frames\": [0], \"awaiting\": [2]", "", "refers to number 2"},
        {"\"frames\": []", ", \"await_sites\": [{\"samples\": 1, \"frames\": [7]}]",
         "refers to number 7"},
        {"\"frames\": []",
         ", \"await_sites\": [{\"samples\": 1, \"frames\": [0], \"task_frames\": 2}]",
         "2 frames of a task"},
        {"\"frames\": []",
         ", \"await_sites\": [{\"samples\": 1, \"frames\": [1], \"kinds\": {\"sleep\": 1, "
         "\"something new\": 2}}]",
         NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char json[2000];
        int size = snprintf(
            json, sizeof(json),
            "{\"schema\": \"pycore/1\", \"source\": {\"kind\": \"live\", \"complete\": true}, "
            "\"profile\": "
            "{\"functions\": [{\"kind\": \"python\"}], \"frames\": [%s, %s], \"stacks\": "
            "[{\"state\": \"running\", \"samples\": 1, %s}], \"tasks\": [{\"samples\": 1}]%s}}",
            frame, frame, rows[i].stack, rows[i].more);
        GUARD(document_guard) struct report_document *document = NULL;
        struct err *err = report_read_json(json, (size_t)size, &document);
        if (rows[i].fault) {
            assert_non_null(err);
            assert_non_null(strstr(err_message(err), rows[i].fault));
            err_destroy(err);
            continue;
        }
        if (err)
            fail_msg("%s", err_message(err));
        const struct prof_report *r = report_document_input(document)->profile;
        if (r->stacks[0].awaiting_count) {
            assert_int_equal(r->stacks[0].frames[0], 0);
            assert_int_equal(r->stacks[0].frames[1], 1);
        }
        if (r->await_site_count) {
            assert_int_equal(r->await_sites[0].kinds[SNAP_AWAIT_SLEEP], 1);
            assert_int_equal(r->await_sites[0].kinds[SNAP_AWAIT_OTHER], 2);
        }
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tasks),        TEST(test_bounds),
        TEST(test_async_stacks), TEST(test_odd_turns),
        TEST(test_many_tasks),   TEST(test_hottest_is_certain),
        TEST(test_sites),        TEST(test_processes),
        TEST(test_unknown),      TEST(test_filtered_sites),
        TEST(test_odd_sites),    TEST(test_bounds_of_sites),
        TEST(test_document),     TEST(test_strange_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
