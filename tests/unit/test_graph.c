// SPDX-License-Identifier: GPL-3.0-or-later
// Who calls whom (report/graph.h), and names that are unique (report/unique.h): recursion counts
// once, the sums that readers of callgrind files make are the totals.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "profile/profile.h"
#include "report/graph.h"
#include "report/plain.h"
#include "report/unique.h"
#include "snap_maker.h"
#include "util/guard.h"

struct fixture {
    struct strtab *strings;
    struct profile *profile;
    struct prof_report *report;
    struct snap_source source;
    struct report_input input;
    struct report_options options;
    struct view *view;
    struct graph *graph;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.strings = strtab_create()};
    f.profile = profile_create(f.strings);
    f.source = (struct snap_source){.kind = SNAP_LIVE, .pid = 100};
    f.source.process.pid = 100;
    *state = &f;
    return f.profile ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    graph_destroy(f->graph);
    view_destroy(f->view);
    prof_report_destroy(f->report);
    profile_destroy(f->profile);
    strtab_destroy(f->strings);
    return 0;
}

static void seen(struct fixture *f, enum snap_state state, const char *stack)
{
    struct snapshot *snapshot = snapshot_create();
    assert_non_null(make_thread(f->strings, snapshot, 100, state, stack));
    assert_true(profile_add(f->profile, snapshot));
    snapshot_destroy(snapshot);
}

static void key_of(struct plain *out, const struct view_frame *frame)
{
    plain_str(out, frame->name);
}

static void make_view(struct fixture *f)
{
    const struct prof_run run = {.interval_ns = 1000};
    f->report = profile_report(f->profile, &run);
    f->input =
        (struct report_input){.strings = f->strings, .source = &f->source, .profile = f->report};
    assert_null(view_create(&f->input, &f->options, VIEW_BY_STATE, &f->view));
}

static void make_graph(struct fixture *f, bool by_line)
{
    make_view(f);
    assert_null(graph_create(f->view, key_of, by_line, &f->graph));
}

static const char *name_of(const struct fixture *f, uint32_t node)
{
    uint32_t frame = f->graph->nodes[node].frame;
    return frame == UINT32_MAX ? "" : f->view->frames[frame].name;
}

static const struct graph_node *node(const struct fixture *f, const char *name)
{
    for (uint32_t i = 0; i < f->graph->node_count; i++)
        if (strcmp(name_of(f, i), name) == 0)
            return &f->graph->nodes[i];
    fail_msg("no %s", name);
    return NULL;
}

static const struct graph_call *call(const struct fixture *f, const char *caller, int32_t line,
                                     const char *callee)
{
    for (size_t i = 0; i < f->graph->call_count; i++) {
        const struct graph_call *have = &f->graph->calls[i];
        if (strcmp(name_of(f, have->caller), caller) == 0 && have->line == line &&
            strcmp(name_of(f, have->callee), callee) == 0)
            return have;
    }
    fail_msg("no call %s:%d -> %s", caller, line, callee);
    return NULL;
}

// What callgrind_annotate and KCachegrind take for the inclusive cost of a function.
static void check_sums(const struct fixture *f)
{
    for (uint32_t i = 0; i < f->graph->node_count; i++) {
        const struct graph_node *have = &f->graph->nodes[i];
        uint64_t incoming = have->outermost.samples, outgoing = have->self.samples;
        for (size_t k = 0; k < f->graph->call_count; k++) {
            incoming += f->graph->calls[k].callee == i ? f->graph->calls[k].entry.samples : 0;
            outgoing += f->graph->calls[k].caller == i ? f->graph->calls[k].entry.samples : 0;
        }
        assert_int_equal(incoming, have->total.samples);
        if (!have->callers)
            assert_int_equal(outgoing, have->total.samples);
    }
}

static void test_lines(void **state)
{
    struct fixture *f = *state;
    seen(f, SNAP_RUNNING, "leaf:5 work:11 main:2");
    seen(f, SNAP_RUNNING, "leaf:5 work:12 main:2");
    seen(f, SNAP_RUNNING, "leaf:6 work:12 main:2");
    seen(f, SNAP_RUNNABLE, "work:11 main:3");
    make_graph(f, true);
    assert_int_equal(f->graph->sum.samples, 4);
    assert_int_equal(node(f, "leaf")->self.samples, 3);
    assert_int_equal(node(f, "work")->total.samples, 4);
    assert_int_equal(node(f, "main")->self.samples, 0);
    assert_int_equal(f->graph->line_count, 3); // leaf:5, leaf:6, work:11
    assert_int_equal(f->graph->call_count, 4);
    assert_int_equal(call(f, "work", 11, "leaf")->entry.samples, 1);
    assert_int_equal(call(f, "work", 12, "leaf")->entry.samples, 2);
    assert_int_equal(call(f, "main", 2, "work")->total.samples, 3);
    assert_int_equal(call(f, "main", 2, "work")->leaf.samples, 0);
    assert_int_equal(call(f, "main", 3, "work")->leaf.samples, 1);
    check_sums(f);
}

static void test_recursion(void **state)
{
    struct fixture *f = *state;
    seen(f, SNAP_RUNNING, "fib:3 fib:3 fib:3 main:1");
    seen(f, SNAP_RUNNING, "leaf:9 fib:4 fib:3 main:1");
    make_graph(f, false);
    assert_int_equal(node(f, "fib")->total.samples, 2);
    assert_int_equal(node(f, "fib")->self.samples, 1);
    assert_int_equal(node(f, "fib")->callers, 2);
    assert_int_equal(call(f, "fib", -1, "fib")->total.samples, 2);
    assert_int_equal(call(f, "fib", -1, "fib")->leaf.samples, 1);
    assert_int_equal(call(f, "fib", -1, "fib")->entry.samples, 0);
    assert_int_equal(call(f, "main", -1, "fib")->entry.samples, 2);
    assert_int_equal(call(f, "fib", -1, "leaf")->entry.samples, 1);
    check_sums(f);
}

static void test_cycles(void **state)
{
    struct fixture *f = *state;
    seen(f, SNAP_RUNNING, "c:1 a:2 b:1 a:1");
    seen(f, SNAP_RUNNING, "a:2 b:1 a:1 main:1");
    seen(f, SNAP_RUNNING, "b:1 a:3 b:2");
    make_graph(f, true);
    // a and b are called, and outermost elsewhere.
    assert_int_equal(node(f, "a")->outermost.samples, 1);
    assert_int_equal(node(f, "b")->outermost.samples, 1);
    assert_int_equal(node(f, "a")->total.samples, 3);
    assert_int_equal(node(f, "b")->total.samples, 3);
    assert_int_equal(call(f, "b", 1, "a")->total.samples, 2);
    assert_int_equal(call(f, "b", 1, "a")->entry.samples, 0);
    assert_int_equal(call(f, "b", 2, "a")->entry.samples, 1);
    check_sums(f);
}

static void test_waiting(void **state)
{
    struct fixture *f = *state;
    f->options.weight = REPORT_WEIGHT_WALL;
    seen(f, SNAP_RUNNING, "a:1");
    seen(f, SNAP_SLEEP, "a:1");
    seen(f, SNAP_LOCK_WAIT, "a:1");
    seen(f, SNAP_SLEEP, "");
    make_graph(f, true);
    assert_int_equal(f->graph->sum.samples, 4);
    assert_int_equal(f->graph->sum.waiting, 3);
    assert_int_equal(node(f, "a")->self.waiting, 2);
    assert_int_equal(node(f, "")->self.samples, 1); // without any frame
    check_sums(f);
    GUARD(plain_deinit) struct plain text = {0};
    view_say_dropped(&text, f->view);
    assert_int_equal(text.size, 0);
    f->report->dropped_stacks = 1200;
    view_say_dropped(&text, f->view);
    assert_string_equal(plain_text(&text),
                        "1,200 samples beyond the bound on distinct stacks are not in it");
}

static void test_call_counts(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        seen(f, SNAP_RUNNING, "other:1 main:1");
        seen(f, SNAP_RUNNING, "once:1 main:1");
    }
    seen(f, SNAP_RUNNING, "other:1 main:2");
    make_graph(f, true);
    // Seen in turn with something else, it was called three times; from two lines, who knows.
    assert_int_equal(node(f, "once")->activations, 3);
    assert_int_equal(graph_calls(f->graph, call(f, "main", 1, "once")), 3);
    assert_int_equal(graph_calls(f->graph, call(f, "main", 1, "other")), 1);
    assert_int_equal(graph_calls(f->graph, call(f, "main", 2, "other")), 1);
}

static void test_unique(void **state)
{
    struct fixture *f = *state;
    seen(f, SNAP_RUNNING, "get:1 main:1");
    struct snapshot *snapshot = snapshot_create();
    struct snap_thread *thread =
        make_thread(f->strings, snapshot, 100, SNAP_RUNNING, "get:1 get:2 main:2 main:3");
    thread->frames.items[0].file = strtab_add_cstr(f->strings, "/srv/one/__init__.py");
    thread->frames.items[1].file = strtab_add_cstr(f->strings, "/srv/two/__init__.py");
    thread->frames.items[1].first_line = 77;
    thread->frames.items[2].first_line = 90;
    assert_true(profile_add(f->profile, snapshot));
    snapshot_destroy(snapshot);
    make_view(f);
    static const char *const expected[][2] = {
        // everywhere, within a file
        {"get (app.py:1)", "get"},
        {"get (one/__init__.py:1)", "get"},
        {"get (two/__init__.py:77)", "get"},
        {"main (app.py:1)", "main (app.py:1)"},
        {"main (app.py:90)", "main (app.py:90)"},
    };
    for (int scope = 0; scope < 2; scope++) {
        struct unique unique;
        assert_null(
            unique_init(&unique, f->view, &f->input, &f->options, (enum unique_scope)scope));
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
            bool found = false;
            for (size_t k = 0; k < f->view->frame_count; k++)
                found |= strcmp(unique_name(&unique, k), expected[i][scope]) == 0;
            if (!found)
                fail_msg("no %s", expected[i][scope]);
        }
        unique_deinit(&unique);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines),   TEST(test_recursion),   TEST(test_cycles),
        TEST(test_waiting), TEST(test_call_counts), TEST(test_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
