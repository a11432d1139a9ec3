// SPDX-License-Identifier: GPL-3.0-or-later
// The stacks of a profile as exports show them (report/view.h): what is put together, what is named
// how, and that nothing is lost or counted twice, whatever the options.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/plain.h"
#include "report/view.h"
#include "report_values.h"

static void view_guard(struct view **place)
{
    view_destroy(*place);
}
#define VIEW GUARD(view_guard) struct view *

static struct view *view_of(struct values *v, unsigned split)
{
    struct view *view = NULL;
    assert_null(view_create(&v->input, &v->options, split, &view));
    return view;
}

// The values' stacks, of weights that differ: one at work, one that waits for a lock, two asleep.
static struct values *make(void)
{
    static const uint64_t samples[] = {40, 30, 20, 10};
    struct values *v = values_create();
    set_profile(v);
    v->profile.stack_count = 4;
    v->profile.samples = 100;
    v->profile.samples_working = 40;
    for (size_t i = 0; i < 4; i++) {
        v->stacks[i].samples = samples[i];
        v->stacks[i].cpu_ns = i == 0 ? 8 * S : 0;
    }
    v->stacks[0].holds_gil = true;
    return v;
}

// "Thread._bootstrap (/usr/...:1000);...", as view_label has it.
static void assert_stack(const struct view *view, size_t index, const char *expected)
{
    GUARD(plain_deinit) struct plain text = {0};
    assert_true(index < view->stack_count);
    for (size_t i = 0; i < view->stacks[index].count; i++) {
        plain_str(&text, i ? ";" : "");
        view_label(&text, &view->frames[view->stacks[index].frames[i]]);
    }
    assert_string_equal(plain_text(&text), expected);
}

#define BOOT_AT "Thread._bootstrap (/usr/lib/python3.11/threading.py:1000)"
#define LOOP_AT "Service.loop (/srv/shop/shop/service.py:12)"
#define WORK_AT "work (/srv/shop/shop/app.py:44)"
#define HOT_AT "hot (/srv/shop/shop/app.py:10)"

// ---- Weights -------------------------------------------------------------------------------------

static void test_samples(void **state)
{
    (void)state;
    VALUES v = make();
    VIEW view = view_of(v, 0);
    assert_int_equal(view->stack_count, 1); // what waits has no weight
    assert_int_equal(view->weight, 40);
    assert_int_equal(view->samples, 40);
    assert_int_equal(view->cpu_ns, 8 * S);
    assert_int_equal(view->stacks[0].weight, 40);
    assert_int_equal(view->stacks[0].gil_samples, 40);
    assert_stack(view, 0, BOOT_AT ";" LOOP_AT ";" WORK_AT ";" HOT_AT);
    assert_int_equal(view->stack_of[0], 0);
    assert_int_equal(view->stack_of[1], UINT32_MAX);
}

static void test_wall(void **state)
{
    (void)state;
    VALUES v = make();
    v->options.weight = REPORT_WEIGHT_WALL;
    VIEW view = view_of(v, 0);
    assert_int_equal(view->stack_count, 4);
    assert_int_equal(view->weight, 100);
    for (size_t i = 0; i < 4; i++) { // heaviest first
        assert_int_equal(view->stacks[i].weight, 40 - 10 * i);
        assert_int_equal(view->stack_of[i], i);
    }
    assert_stack(view, 2,
                 BOOT_AT ";" LOOP_AT ";" LOOP_AT
                         ";{built-in method time.sleep}"); // recursion stays
}

static void test_order(void **state)
{
    (void)state;
    VALUES v = make();
    v->options.weight = REPORT_WEIGHT_WALL;
    v->stacks[0].samples = 1;
    v->stacks[3].samples = 30; // as many as the second one, which comes before it
    VIEW view = view_of(v, 0);
    const uint32_t places[] = {3, 0, 2, 1};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(view->stack_of[i], places[i]);
        assert_int_equal(view->stacks[places[i]].weight, v->stacks[i].samples);
    }
}

static void test_cpu(void **state)
{
    (void)state;
    VALUES v = make();
    v->options.weight = REPORT_WEIGHT_CPU;
    VIEW view = view_of(v, 0);
    assert_int_equal(view->stack_count, 1);
    assert_int_equal(view->weight, 8 * S);
    assert_int_equal(view->stacks[0].samples, 40);
}

// When nothing worked, samples are those of all threads.
static void test_fell_back(void **state)
{
    (void)state;
    VALUES v = make();
    v->profile.samples_working = 0;
    v->stacks[0].state = SNAP_SLEEP;
    VIEW view = view_of(v, 0);
    assert_true(view->weigh.fell_back);
    assert_int_equal(view->weight, 100);
}

static void test_nothing(void **state)
{
    (void)state;
    VALUES v = make();
    v->profile.stack_count = v->profile.frame_count = v->profile.function_count = 0;
    VIEW view = view_of(v, VIEW_BY_THREAD);
    assert_int_equal(view->stack_count, 0);
    assert_int_equal(view->weight, 0);
}

// ---- What is put together ------------------------------------------------------------------------

// The last stack becomes the same as the first, of another thread and in another state.
static struct values *make_twins(void)
{
    struct values *v = make();
    v->options.weight = REPORT_WEIGHT_WALL;
    v->stacks[3].frames = v->stack_frames[0];
    return v;
}

static void test_merging(void **state)
{
    (void)state;
    VALUES v = make_twins();
    VIEW view = view_of(v, 0);
    assert_int_equal(view->stack_count, 3);
    assert_int_equal(view->stacks[0].weight, 50);
    assert_int_equal(view->stacks[0].samples, 50);
    assert_int_equal(view->stacks[0].gil_samples, 40);
    assert_int_equal(view->stacks[0].cpu_ns, 8 * S);
    assert_int_equal(view->stack_of[0], 0);
    assert_int_equal(view->stack_of[3], 0);
    assert_int_equal(view->weight, 100);
}

static void test_split(void **state)
{
    (void)state;
    VALUES v = make_twins();
    VIEW threads = view_of(v, VIEW_BY_THREAD);
    assert_int_equal(threads->stack_count, 4);
    assert_int_equal(threads->stacks[3].weight, 10);
    assert_int_equal(threads->stacks[3].tid, 4715);
    assert_int_equal(threads->stacks[3].thread, 4);
    assert_int_equal(threads->weight, 100);
    v->stacks[3].tid = v->stacks[0].tid; // one thread, at work and waiting in the same place
    VIEW again = view_of(v, VIEW_BY_THREAD);
    assert_int_equal(again->stack_count, 3);
    VIEW states = view_of(v, VIEW_BY_THREAD | VIEW_BY_STATE);
    assert_int_equal(states->stack_count, 4);
    assert_int_equal(states->stacks[3].state, SNAP_LOCK_WAIT);
    v->stacks[3].tid = 99; // that the profile does not know
    VIEW unknown = view_of(v, VIEW_BY_THREAD);
    assert_int_equal(unknown->stacks[3].thread, UINT32_MAX);
    assert_int_equal(unknown->stacks[3].tid, 99);
}

// ---- Options -------------------------------------------------------------------------------------

// hot() at two lines, in two stacks that are alike otherwise.
static struct values *make_lines(void)
{
    struct values *v = make();
    v->options.weight = REPORT_WEIGHT_WALL;
    v->profile.stack_count = 2;
    memcpy(v->stack_frames[1], v->stack_frames[0], sizeof(v->stack_frames[0]));
    v->stack_frames[1][0] = GET; // the frame of another line of hot()
    v->frames[GET] = v->frames[HOT];
    v->frame_function[GET] = HOT;
    v->frames[HOT].line = 12;
    v->frames[GET].line = 13;
    return v;
}

static void test_lines(void **state)
{
    (void)state;
    VALUES v = make_lines();
    VIEW lines = view_of(v, 0);
    assert_int_equal(lines->stack_count, 2);
    assert_stack(lines, 1, BOOT_AT ";" LOOP_AT ";" WORK_AT ";hot (/srv/shop/shop/app.py:13)");
    assert_int_equal(lines->frames[lines->stacks[1].frames[3]].first_line, 10);
    v->options.by_function = true;
    VIEW functions = view_of(v, 0);
    assert_int_equal(functions->stack_count, 1);
    assert_int_equal(functions->stacks[0].weight, 70);
    assert_stack(functions, 0, BOOT_AT ";" LOOP_AT ";" WORK_AT ";" HOT_AT);
    v->options.by_function = false;
    v->options.no_lines = true;
    VIEW none = view_of(v, 0);
    assert_int_equal(none->stack_count, 1);
    assert_stack(none, 0,
                 "Thread._bootstrap (/usr/lib/python3.11/threading.py);"
                 "Service.loop (/srv/shop/shop/service.py);work (/srv/shop/shop/app.py);"
                 "hot (/srv/shop/shop/app.py)");
}

static void test_hide_boilerplate(void **state)
{
    (void)state;
    VALUES v = make();
    v->options.hide_boilerplate = true;
    v->functions[BOOT].function = id_of(v, "_bootstrap");
    v->functions[HOT].function = id_of(v, "_bootstrap"); // the name alone hides nothing
    VIEW view = view_of(v, 0);
    assert_stack(view, 0, LOOP_AT ";" WORK_AT ";" HOT_AT);
}

// A stack all of whose frames are hidden keeps its weight.
static void test_empty(void **state)
{
    (void)state;
    VALUES v = make();
    v->options.weight = REPORT_WEIGHT_WALL;
    v->stacks[1].frame_count = 0;
    v->stacks[2].frames = &v->stack_frames[2][3];
    v->stacks[2].frame_count = 1;
    v->functions[BOOT].function = id_of(v, "_bootstrap");
    v->options.hide_boilerplate = true;
    VIEW view = view_of(v, 0);
    assert_int_equal(view->stack_count, 3);
    assert_int_equal(view->stacks[0].weight, 50);
    assert_int_equal(view->stacks[0].count, 0);
    assert_int_equal(view->weight, 100);
}

static void test_max_depth(void **state)
{
    (void)state;
    VALUES v = make();
    v->options.weight = REPORT_WEIGHT_WALL;
    v->options.max_depth = 2;
    VIEW view = view_of(v, 0);
    assert_int_equal(view->stack_count, 2); // loop three times, get once
    assert_int_equal(view->stacks[0].weight, 90);
    assert_stack(view, 0, BOOT_AT ";" LOOP_AT);
    v->options.threads = true; // whose frame is not one of them
    v->profile.stack_count = 1;
    VIEW threads = view_of(v, 0);
    assert_stack(threads, 0, "thread pricing (4711);" BOOT_AT ";" LOOP_AT);
}

static void test_strip_prefix(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"/srv/shop/", NULL, "hot (shop/app.py:10)"},
        {"/srv", "/srv/shop//", "hot (shop/app.py:10)"}, // the longest
        {"/srv/sho", NULL, HOT_AT},                      // a name is whole or not meant
        {"/srv/shop/shop/app.py", NULL, HOT_AT},         // something must be left
        {"/", NULL, "hot (srv/shop/shop/app.py:10)"},
        {"/usr", "/var", HOT_AT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        VALUES v = make();
        v->options.hide_boilerplate = true;
        for (size_t k = 0; k < 2; k++)
            if (rows[i][k])
                v->options.strip[v->options.strip_count++] = rows[i][k];
        VIEW view = view_of(v, 0);
        GUARD(plain_deinit) struct plain label = {0};
        view_label(&label, &view->frames[view->stacks[0].frames[view->stacks[0].count - 1]]);
        assert_string_equal(plain_text(&label), rows[i][2]);
    }
}

static void test_threads(void **state)
{
    (void)state;
    VALUES v = make_twins();
    v->options.threads = true;
    v->threads[4].name = 0;
    VIEW one = view_of(v, 0);
    assert_int_equal(one->stack_count, 4);
    assert_stack(one, 0, "thread pricing (4711);" BOOT_AT ";" LOOP_AT ";" WORK_AT ";" HOT_AT);
    assert_stack(one, 3, "thread ? (4715);" BOOT_AT ";" LOOP_AT ";" WORK_AT ";" HOT_AT);
    assert_int_equal(one->frames[one->stacks[0].frames[0]].kind, VIEW_THREAD);
    assert_int_equal(one->frames[one->stacks[0].frames[0]].function, UINT32_MAX);

    struct snap_process other = {.pid = 5000};
    assert_true(vec_push(&v->source.others, other));
    v->threads[4].pid = v->stacks[3].pid = 5000;
    VIEW several = view_of(v, 0);
    assert_stack(several, 0,
                 "process 4711;thread pricing (4711);" BOOT_AT ";" LOOP_AT ";" WORK_AT ";" HOT_AT);
    assert_stack(several, 3,
                 "process 5000;thread ? (4715);" BOOT_AT ";" LOOP_AT ";" WORK_AT ";" HOT_AT);
    assert_int_equal(several->frames[several->stacks[3].frames[0]].kind, VIEW_PROCESS);
    assert_int_equal(several->stacks[1].frames[0], several->stacks[0].frames[0]);
    vec_deinit(&v->source.others);
}

// ---- Names ---------------------------------------------------------------------------------------

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *shown;
    } rows[] = {
        {"\x1b[31m\n\t\x7f", "\\x1b[31m\\n\\t\\x7f"},
        {"\xed\xa0\x80 \xff", "\\ud800 \\udcff"},
        {"\xc3\xbcml;<b>&\"' 12", "\xc3\xbcml;<b>&\"' 12"},
        {"\xe2\x80\xae", "\\u202e"},
        {"", "(no name)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        VALUES v = make();
        v->functions[HOT].qualname = id_of(v, rows[i].bytes);
        v->functions[HOT].file = id_of(v, rows[i].bytes);
        VIEW view = view_of(v, 0);
        const struct view_frame *frame = &view->frames[view->stacks[0].frames[3]];
        assert_string_equal(frame->name, rows[i].shown);
        assert_string_equal(frame->file, rows[i].bytes[0] ? rows[i].shown : "");
    }
}

// A builtin is inferred when none of its frames was read.
static void test_inferred(void **state)
{
    (void)state;
    for (int read = 0; read < 2; read++) {
        VALUES v = make();
        v->stack_frames[0][0] = SLEEP;
        v->stack_frames[0][1] = POLL; // another frame of the same builtin
        v->frames[POLL] = v->frames[SLEEP];
        v->frame_function[POLL] = SLEEP;
        v->frames[SLEEP].flags = read ? 0 : SNAP_FRAME_INFERRED;
        v->frames[POLL].flags = SNAP_FRAME_INFERRED;
        VIEW view = view_of(v, 0);
        assert_int_equal(view->stacks[0].frames[2], view->stacks[0].frames[3]);
        assert_int_equal(view->frames[view->stacks[0].frames[3]].inferred, !read);
    }
}

// Names longer than any line stay whole: they are what tells two functions apart.
static void test_long_name(void **state)
{
    (void)state;
    VALUES v = make();
    char name[10000];
    memset(name, 'x', sizeof(name));
    v->functions[HOT].qualname = strtab_add(v->strings, name, sizeof(name));
    VIEW view = view_of(v, 0);
    assert_int_equal(strlen(view->frames[view->stacks[0].frames[3]].name), sizeof(name));
}

static void test_natives(void **state)
{
    (void)state;
    VALUES v = make();
    v->stack_frames[0][0] = POLL;
    v->stack_frames[0][1] = SLEEP;
    v->frames[SLEEP].flags = SNAP_FRAME_INFERRED;
    VIEW view = view_of(v, 0);
    assert_stack(view, 0,
                 BOOT_AT ";" LOOP_AT ";{built-in method time.sleep};epoll_wait (libc.so.6)");
    assert_true(view->frames[view->stacks[0].frames[2]].inferred);
    assert_false(view->frames[view->stacks[0].frames[3]].no_symbol);
    v->functions[POLL].function = 0;
    VIEW bare = view_of(v, 0);
    assert_stack(bare, 0,
                 BOOT_AT ";" LOOP_AT ";{built-in method time.sleep};libc.so.6 (no symbol)");
    assert_true(bare->frames[bare->stacks[0].frames[3]].no_symbol);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),      cmocka_unit_test(test_wall),
        cmocka_unit_test(test_order),        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_fell_back),    cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_merging),      cmocka_unit_test(test_split),
        cmocka_unit_test(test_lines),        cmocka_unit_test(test_hide_boilerplate),
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_max_depth),
        cmocka_unit_test(test_strip_prefix), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_natives),      cmocka_unit_test(test_inferred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
