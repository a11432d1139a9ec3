// SPDX-License-Identifier: GPL-3.0-or-later
// Stacks of tasks as reports show them (--async-stacks): against golden files (PYCORE_GOLDEN=write
// makes them anew), and that all formats count the same samples.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "golden.h"
#include "report/async.h"
#include "report/view.h"
#include "task_maker.h"
#include "util/guard.h"

#define MS 1000000ull
#define S 1000000000ull

struct service { // an hour of its life in 20 snapshots
    struct strtab *strings;
    struct profile *profile;
    struct prof_report *report;
    struct snap_source source;
    struct snap_notes notes;
    struct report_input input;
    struct report_options options;
};

#define LOOP " Handle._run:80 _run_once:1900 run_forever:600 <module>:99"

static void make_waiting(struct strtab *strings, struct snapshot *snapshot, size_t workers)
{
    uint32_t loop = make_loop(snapshot, 100, 1);
    make_task(strings, snapshot, loop, "Task-1", "main", SNAP_AWAIT_SEVERAL, "main:40");
    for (size_t i = 0; i < workers; i++) {
        make_task(strings, snapshot, loop, "Task-9", "fetch", SNAP_AWAIT_READ, "read:60 fetch:7")
            ->since_ns = 3 * S;
        make_awaiter(snapshot, 0);
    }
    make_task(strings, snapshot, loop, "beat", "heartbeat", SNAP_AWAIT_SLEEP,
              "sleep:5 heartbeat:3");
}

static void make_snapshot(struct service *s, size_t i)
{
    struct snapshot *snapshot = snapshot_create();
    assert_non_null(snapshot);
    snapshot->at_ns = i * 200 * MS;
    bool parses = i % 10 < 6, renders = i % 10 == 6 || i % 10 == 7, idles = i % 10 == 9;
    struct snap_thread *t =
        make_thread(s->strings, snapshot, 1, idles ? SNAP_IO_WAIT : SNAP_RUNNING,
                    parses    ? "loads! parse:12 fetch:20" LOOP
                    : renders ? "render:33 page:31" LOOP
                    : idles   ? "poll! select:5" LOOP
                              : "_add_callback:7" LOOP);
    t->name = strtab_add_cstr(s->strings, "MainThread");
    t->has_cpu = true;
    t->cpu_ns = idles ? 0 : 150 * MS;
    if (parses)
        make_turn(s->strings, t, i % 2 ? "Task-7" : "Task-8", "fetch", 3, "Task-1",
                  "gather:9 main:40");
    else if (renders)
        make_turn(s->strings, t, "pages", "page", 2, "pages", "");
    t = make_thread(s->strings, snapshot, 2, i % 2 ? SNAP_SLEEP : SNAP_RUNNING, "run:5 main:40");
    t->name = strtab_add_cstr(s->strings, "reaper");
    make_waiting(s->strings, snapshot, 2 + i % 3);
    assert_true(profile_add(s->profile, snapshot));
    snapshot_destroy(snapshot);
}

static int setup(void **state)
{
    static struct service s;
    s = (struct service){.strings = strtab_create()};
    s.profile = profile_create(s.strings);
    assert_non_null(s.profile);
    for (size_t i = 0; i < 20; i++)
        make_snapshot(&s, i);
    struct prof_run about = {.interval_ns = 200 * MS, .duration_ns = 4 * S};
    s.report = profile_report(s.profile, &about);
    assert_non_null(s.report);
    s.source = (struct snap_source){.kind = SNAP_LIVE, .pid = 100, .complete = true};
    s.source.process.pid = 100;
    s.input = (struct report_input){.tool_version = "0.1.0",
                                    .command = "pycore snap 100 -n 20",
                                    .strings = s.strings,
                                    .source = &s.source,
                                    .notes = &s.notes,
                                    .profile = s.report};
    s.options.async_stacks = true;
    *state = &s;
    return 0;
}

static int teardown(void **state)
{
    struct service *s = *state;
    prof_report_destroy(s->report);
    profile_destroy(s->profile);
    strtab_destroy(s->strings);
    return 0;
}

static char *render(const struct service *s, report_fn *format)
{
    char *made = NULL;
    size_t size;
    FILE *out = open_memstream(&made, &size);
    assert_non_null(out);
    assert_null(format(out, &s->input, &s->options));
    fclose(out);
    return made;
}

static void view_guard(struct view **place)
{
    view_destroy(*place);
}
#define VIEW GUARD(view_guard) struct view *

static struct view *view_of(const struct service *s, unsigned split)
{
    struct view *view = NULL;
    assert_null(view_create(&s->input, &s->options, split, &view));
    return view;
}

// ---- As files ------------------------------------------------------------------------------------

static void test_golden(void **state)
{
    struct service *s = *state;
    check_golden("async.txt", render(s, report_text));
    check_golden("async.folded", render(s, report_folded));
    check_golden("async.csv", render(s, report_csv));
    s->options.weight = REPORT_WEIGHT_WALL;
    s->options.threads = true;
    check_golden("async_wall.folded", render(s, report_folded));
    check_golden("async_wall.speedscope.json", render(s, report_speedscope));
    check_golden("async_wall.md", render(s, report_md));
}

// Without the option nothing of tasks is in the stacks.
static void test_off(void **state)
{
    struct service *s = *state;
    s->options.async_stacks = false;
    s->options.weight = REPORT_WEIGHT_WALL;
    VIEW view = view_of(s, 0);
    assert_int_equal(view->weight, s->report->samples);
    assert_int_equal(view->weigh.base, s->report->samples);
    AUTO_FREE char *text = render(s, report_folded);
    assert_null(strstr(text, "gather"));
    assert_non_null(strstr(text, "run_forever (app.py:600);_run_once"));
}

// ---- Sums ----------------------------------------------------------------------------------------

static const char *last_name(const struct view *view, const struct view_stack *stack)
{
    return view->frames[stack->frames[stack->count - 1]].name;
}

static void test_sums(void **state)
{
    struct service *s = *state;
    uint64_t tasks = s->report->await_samples;
    assert_int_equal(tasks, 20 * 2 + 7 * 2 + 7 * 3 + 6 * 4);
    VIEW working = view_of(s, 0);
    assert_int_equal(working->weight, s->report->samples_working);
    s->options.weight = REPORT_WEIGHT_CPU;
    VIEW cpu = view_of(s, VIEW_BY_THREAD | VIEW_BY_STATE | VIEW_BY_TASK);
    assert_int_equal(cpu->weight, s->report->cpu_on_stacks_ns);
    s->options.weight = REPORT_WEIGHT_WALL;
    VIEW wall = view_of(s, VIEW_BY_THREAD | VIEW_BY_STATE);
    assert_int_equal(wall->weight, s->report->samples + tasks);
    assert_int_equal(wall->weigh.base, s->report->samples + tasks);
    uint64_t waiting = 0;
    for (size_t i = 0; i < wall->stack_count; i++) {
        if (wall->stacks[i].site == UINT32_MAX)
            continue;
        waiting += wall->stacks[i].samples;
        assert_int_equal(wall->stacks[i].thread, s->report->threads[0].tid == 1 ? 0 : 1);
        if (strcmp(last_name(wall, &wall->stacks[i]), "read") == 0)
            assert_int_equal(wall->stacks[i].count, 3);
    }
    assert_int_equal(waiting, tasks);
}

// Stacks that look the same are one, or stay apart: those of threads and of tasks that wait, and those
// of different tasks.
static void test_split(void **state)
{
    struct service *s = *state;
    s->options.weight = REPORT_WEIGHT_WALL;
    s->options.by_function = true;
    s->options.max_depth = 1; // main() of a thread, and that of a task
    VIEW one = view_of(s, 0);
    VIEW apart = view_of(s, VIEW_BY_STATE);
    assert_int_equal(one->stack_count, 4);
    assert_int_equal(apart->stack_count, 7);
    s->options.max_depth = 0;
    VIEW by_task = view_of(s, VIEW_BY_TASK);
    size_t of_tasks = 0;
    for (size_t i = 0; i < by_task->stack_count; i++)
        of_tasks += by_task->stacks[i].task != UINT32_MAX;
    assert_int_equal(of_tasks, 2); // fetch() and page()
}

// Functions counted from the view's stacks are those of the table.
static void test_functions(void **state)
{
    struct service *s = *state;
    AUTO_FREE struct prof_function *functions = async_functions(s->report);
    assert_non_null(functions);
    s->options.weight = REPORT_WEIGHT_WALL;
    VIEW view = view_of(s, VIEW_BY_THREAD | VIEW_BY_STATE);
    for (uint32_t f = 0; f < s->report->function_count; f++) {
        uint64_t total = 0, total_working = 0, total_cpu_ns = 0, self = 0;
        for (size_t i = 0; i < view->stack_count; i++) {
            const struct view_stack *stack = &view->stacks[i];
            bool has = false;
            for (size_t k = 0; k < stack->count; k++)
                has |= view->frames[stack->frames[k]].function == f;
            total += has ? stack->samples : 0;
            total_working += has && snap_state_works(stack->state) ? stack->samples : 0;
            total_cpu_ns += has ? stack->cpu_ns : 0;
            if (view->frames[stack->frames[stack->count - 1]].function == f)
                self += stack->samples;
        }
        assert_int_equal(functions[f].total, total);
        assert_int_equal(functions[f].total_working, total_working);
        assert_int_equal(functions[f].total_cpu_ns, total_cpu_ns);
        assert_int_equal(functions[f].self, self);
    }
}

// Samples of which no stack was kept stay counted as they were.
static void test_dropped(void **state)
{
    struct service *s = *state;
    s->report->dropped_stacks = 3;
    s->report->dropped_awaits = 4;
    VIEW working = view_of(s, 0);
    assert_int_equal(view_dropped(working), 3);
    s->options.weight = REPORT_WEIGHT_WALL;
    VIEW wall = view_of(s, 0);
    assert_int_equal(view_dropped(wall), 7);
    AUTO_FREE char *text = render(s, report_text);
    assert_non_null(strstr(text, "4 samples of tasks that wait"));
    AUTO_FREE char *svg = render(s, report_svg);
    assert_non_null(strstr(svg, "7 samples beyond the bound"));
}

// Nothing of a thread is at work: all that waits is shown, tasks, too.
static void test_fell_back(void **state)
{
    struct service *s = *state;
    for (size_t i = 0; i < s->report->stack_count; i++)
        s->report->stacks[i].state = SNAP_SLEEP;
    s->report->samples_working = 0;
    VIEW view = view_of(s, 0);
    assert_true(view->weigh.fell_back && view->weigh.awaits);
    assert_int_equal(view->weight, s->report->samples + s->report->await_samples);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_golden),    TEST(test_off),     TEST(test_sums),      TEST(test_split),
        TEST(test_functions), TEST(test_dropped), TEST(test_fell_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
