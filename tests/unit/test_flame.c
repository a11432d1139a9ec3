// SPDX-License-Identifier: GPL-3.0-or-later
// svg, folded, speedscope and csv of values written by hand, against golden files
// (PYCORE_GOLDEN=write makes them anew), and what a run seldom has: names that would break a format,
// stacks without frames, time lines with gaps, more boxes than can be drawn.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/boxes.h"
#include "report_values.h"

static struct values *make(void)
{
    struct values *v = values_create();
    set_profile(v);
    return v;
}

static void assert_renders(report_fn *report, struct values *v, const char *expected)
{
    AUTO_FREE char *text = render(report, v);
    assert_non_null(text);
    assert_string_equal(text, expected);
}

static void assert_holds(report_fn *report, struct values *v, const char *expected)
{
    AUTO_FREE char *text = render(report, v);
    assert_non_null(text);
    if (!strstr(text, expected))
        fail_msg("\"%s\" is not in\n%s", expected, text);
}

// The text between two marks goes: the script and the style of ours.
static void cut(char *text, const char *begin, const char *end)
{
    char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
    assert_non_null(to);
    memmove(from + strlen(begin), to, strlen(to) + 1);
}

static void check_golden(const char *name, char *text)
{
    assert_non_null(text);
    const char *top = getenv("srcdir"), *mode = getenv("PYCORE_GOLDEN");
    char path[4096], expected[65536];
    snprintf(path, sizeof(path), "%s/tests/golden/%s", top ? top : ".", name);
    FILE *file = mode && strcmp(mode, "write") == 0 ? fopen(path, "w") : NULL;
    if (file) {
        fputs(text, file);
        fclose(file);
    }
    file = fopen(path, "r");
    assert_non_null(file);
    expected[fread(expected, 1, sizeof(expected) - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
    free(text);
}

static void test_golden(void **state)
{
    (void)state;
    VALUES v = make();
    check_golden("hotspots.folded", render(report_folded, v));
    check_golden("hotspots.csv", render(report_csv, v));
    check_golden("hotspots.speedscope.json", render(report_speedscope, v));
    char *svg = render(report_svg, v);
    assert_non_null(svg);
    cut(svg, "<style><![CDATA[", "]]></style>");
    cut(svg, "<script><![CDATA[", "]]></script>");
    check_golden("hotspots.svg", svg);
}

static void test_endings(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a.speedscope.json", "speedscope"},
        {"a.json", "json"},
        {"speedscope.json", "json"},
        {"a.svg", "svg"},
        {".folded", "folded"},
        {"b/a.csv", "csv"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_string_equal(report_format_by_ending(rows[i][0])->name, rows[i][1]);
    assert_null(report_format_by_ending("csv"));
}

// ---- Folded --------------------------------------------------------------------------------------

// One stack of one frame: a builtin, whose label has no place behind it.
static struct values *make_one(const char *name)
{
    struct values *v = make();
    v->functions[SLEEP].qualname = 0;
    v->functions[SLEEP].function = id_of(v, name);
    v->functions[SLEEP].kind = SNAP_NATIVE;
    v->stack_frames[0][0] = SLEEP;
    v->stacks[0].frame_count = 1;
    v->profile.stack_count = 1;
    return v;
}

static void test_folded_names(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a;b;", "a\\x3bb\\x3b 35\n"},
        {"f 12", "f\\x2012 35\n"},
        {"f 12.", "f\\x2012. 35\n"},
        {"f g 1.5", "f g\\x201.5 35\n"},
        {"f 12a", "f 12a 35\n"},
        {"12", "12 35\n"},
        {"f12", "f12 35\n"},
        {"#f", "\\x23f 35\n"},
        {"f#", "f# 35\n"},
        {"a\nb", "a\\nb 35\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        VALUES v = make_one(rows[i][0]);
        assert_renders(report_folded, v, rows[i][1]);
    }
}

static void test_folded_weights(void **state)
{
    (void)state;
    VALUES v = make_one("f");
    v->stacks[1].frame_count = 0;
    v->stacks[1].samples = 7;
    v->profile.stack_count = 2;
    v->options.weight = REPORT_WEIGHT_CPU;
    assert_renders(report_folded, v, "f 7000000000\n");
    v->options.weight = REPORT_WEIGHT_WALL;
    assert_renders(report_folded, v, "f 35\n(no frames) 7\n");
    v->profile.stack_count = 0;
    assert_renders(report_folded, v, "");
}

// ---- CSV -----------------------------------------------------------------------------------------

static void test_csv_cells(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"=1+1", "'=1+1"},
        {"+1", "'+1"},
        {"-1", "'-1"},
        {"@x", "'@x"},
        {"\xef\xbc\x9d"
         "x",
         "'\xef\xbc\x9d"
         "x"},
        {"a=1", "a=1"},
        {"a,b", "\"a,b\""},
        {"a\"b", "\"a\"\"b\""},
        {"=\"", "\"'=\"\"\""},
        {"a;=b", "\"a;'=b\""},
        {" a", "\" a\""},
        {"\ta", "\\ta"},
        {"a\r\nb", "a\\r\\nb"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        VALUES v = make_one(rows[i][0]);
        char cell[64];
        snprintf(cell, sizeof(cell), ",%s,,native,", rows[i][1]);
        assert_holds(report_csv, v, cell);
    }
}

static void test_csv_weights(void **state)
{
    (void)state;
    VALUES v = make();
    v->options.top = 1;
    v->functions[HOT].own_cpu_ns = 5000000001;
    v->options.weight = REPORT_WEIGHT_CPU;
    // Half of the CPU time; bounds are known of samples only; samples stay what they are.
    assert_holds(report_csv, v,
                 "\r\n1,hot,hot,python,/srv/shop/shop/app.py,10,,0.500000,,,0.700000,,,0.700000,,,"
                 "35,35,35,0,0,0,5.000000001,7.000000000,7.000000000,37,0.000000000,1\r\n");
    v->options.sort = REPORT_SORT_CALLS;
    assert_holds(report_csv, v, "\r\n1,work,work,");
}

// ---- speedscope ----------------------------------------------------------------------------------

// Two threads, five snapshots: the first works in 0, 1 and 3, the second in 2; it waits in 4.
static struct values *make_moments(void)
{
    static uint32_t stacks[] = {0, 0, 1, 0, 2};
    static struct prof_moment moments[5];
    struct values *v = make();
    for (uint32_t i = 0; i < 5; i++)
        moments[i] = (struct prof_moment){.at_ns = i * 201 * MS, .first = i, .count = 1};
    v->stacks[0].samples = 3;
    v->stacks[1] = v->stacks[0];
    v->stacks[1].tid = 4712;
    v->stacks[1].frame_count = 0;
    v->stacks[1].samples = v->stacks[2].samples = 1;
    v->stacks[2].tid = 4712;
    v->profile.stack_count = 3;
    v->profile.moments = moments;
    v->profile.moment_count = 5;
    v->profile.moment_stacks = stacks;
    return v;
}

static void test_speedscope_time(void **state)
{
    (void)state;
    VALUES v = make_moments();
    assert_holds(report_speedscope, v,
                 "\"name\": \"pricing (4711)\", \"unit\": \"nanoseconds\", \"startValue\": 0, "
                 "\"endValue\": 1000000000,\n"
                 "   \"samples\": [\n"
                 "    [0, 1, 2, 3],\n"
                 "    [],\n"
                 "    [0, 1, 2, 3],\n"
                 "    []\n"
                 "   ],\n"
                 "   \"weights\": [400000000, 200000000, 200000000, 200000000]\n");
    // A sample without a frame is none of waiting: it has one that says so.
    assert_holds(report_speedscope, v,
                 "    [],\n"
                 "    [4],\n"
                 "    []\n"
                 "   ],\n"
                 "   \"weights\": [400000000, 200000000, 400000000]\n");
    assert_holds(report_speedscope, v, "{\"name\": \"(no frames)\"}\n  ]}");
    assert_holds(report_speedscope, v, "\"activeProfileIndex\": 0");
}

// Where the time line lacks a sample, there is none at all.
static void test_speedscope_without_time(void **state)
{
    (void)state;
    VALUES v = make_moments();
    v->stacks[0].samples = 4;
    assert_holds(report_speedscope, v,
                 "    [0, 1, 2, 3]\n"
                 "   ],\n"
                 "   \"weights\": [800000000]\n");
    v->profile.interval_ns = 0;
    assert_holds(report_speedscope, v, "\"unit\": \"none\", \"startValue\": 0, \"endValue\": 4,");
    v->options.weight = REPORT_WEIGHT_CPU;
    assert_holds(report_speedscope, v,
                 "\"unit\": \"nanoseconds\", \"startValue\": 0, "
                 "\"endValue\": 7000000000,");
    v->profile.dropped_stacks = 12;
    assert_holds(report_speedscope, v, "20 threads. 12 samples beyond the bound");
}

static void test_speedscope_empty(void **state)
{
    (void)state;
    VALUES v = make();
    v->profile.stack_count = 0;
    assert_holds(report_speedscope, v,
                 "\"startValue\": 0, \"endValue\": 0,\n"
                 "   \"samples\": [],\n"
                 "   \"weights\": []\n");
}

static void test_speedscope_processes(void **state)
{
    (void)state;
    VALUES v = make();
    struct snap_process other = {.pid = 5000};
    assert_true(vec_push(&v->source.others, other));
    assert_holds(report_speedscope, v, "\"name\": \"process 4711, pricing (4711)\"");
    vec_deinit(&v->source.others);
}

// ---- SVG -----------------------------------------------------------------------------------------

static void test_svg_text(void **state)
{
    (void)state;
    VALUES v = make_one("]]><b>&amp;\"'\x01\xef\xbf\xbf");
    assert_holds(report_svg, v, "<title>]]&gt;&lt;b&gt;&amp;amp;&quot;&#39;\\x01\\uffff\n");
    assert_holds(report_svg, v, ">]]&gt;&lt;b&gt;&amp;amp;&quot;&#39;\\x01\\uffff</text>");
    v->argv[1] = id_of(v, "</title><script>");
    assert_holds(report_svg, v, "Flame graph of python3 &lt;/title&gt;&lt;script&gt;");
}

static void test_svg_notes(void **state)
{
    (void)state;
    VALUES v = make();
    v->input.interrupted = true;
    v->source.complete = false;
    v->profile.dropped_stacks = 3;
    assert_holds(report_svg, v, ">Interrupted: this is what was seen until then.</text>");
    assert_holds(report_svg, v, ">Incomplete: the notes of the text report");
    assert_holds(report_svg, v, ">3 samples beyond the bound on distinct stacks are not in it.");
    v->profile.stack_count = 0; // nothing to draw is a picture, too
    assert_holds(report_svg, v, "<title>all\n0 samples, 0 % of the working time");
}

static void boxes_of(struct values *v, size_t most, unsigned parts, struct boxes *ret)
{
    struct view *view = NULL;
    assert_null(view_create(&v->input, &v->options, 0, &view));
    assert_true(boxes_init(ret, view, most, parts));
    view_destroy(view);
}

static void test_boxes(void **state)
{
    (void)state;
    // root > _bootstrap > loop > work > { hot, rank > rank > rank }, from left to right by name
    static const struct box expected[] = {
        {UINT32_MAX, 0, 0, 50, 0}, {BOOT, 1, 0, 50, 0},  {LOOP, 2, 0, 50, 0}, {WORK, 3, 0, 50, 5},
        {HOT, 4, 5, 35, 35},       {RANK, 4, 40, 10, 2}, {RANK, 5, 42, 8, 3}, {RANK, 6, 45, 5, 5},
    };
    VALUES v = make();
    GUARD(boxes_deinit) struct boxes boxes;
    boxes_of(v, 100, 1000, &boxes);
    assert_int_equal(boxes.list.count, ARRAY_SIZE(expected));
    assert_int_equal(boxes.depth, 6);
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        const struct box *box = &boxes.list.items[i];
        assert_int_equal(box->depth, expected[i].depth);
        assert_int_equal(box->begin, expected[i].begin);
        assert_int_equal(box->weight, expected[i].weight);
        assert_int_equal(box->self, expected[i].self);
    }
    assert_int_equal(boxes.narrow, 0);
}

// Stacks that are alike in a view that keeps threads apart are one box.
static void test_boxes_of_threads(void **state)
{
    (void)state;
    VALUES v = make();
    v->stacks[1] = v->stacks[0];
    v->stacks[1].tid = 4712;
    struct view *view = NULL;
    GUARD(boxes_deinit) struct boxes boxes = {0};
    assert_null(view_create(&v->input, &v->options, VIEW_BY_THREAD, &view));
    assert_true(boxes_init(&boxes, view, 100, 1000));
    view_destroy(view);
    assert_int_equal(boxes.list.count, 8);
    assert_int_equal(boxes.list.items[4].weight, 70);
    assert_int_equal(boxes.list.items[4].self, 70);
}

static void test_boxes_bounds(void **state)
{
    (void)state;
    VALUES v = make();
    GUARD(boxes_deinit) struct boxes fifth = {0}, few = {0}, deep = {0};
    boxes_of(v, 100, 5, &fifth); // 10 of 50 samples are just drawn
    assert_int_equal(fifth.list.count, 6);
    assert_int_equal(fifth.narrow, 2);
    assert_int_equal(fifth.depth, 4);
    v->stacks[8].samples = 5000;
    boxes_of(v, 4, 10000, &few);
    assert_int_equal(few.list.count, 4);
    assert_int_equal(few.narrow, 4);

    AUTO_FREE uint32_t *frames = calloc(BOXES_DEPTH_MAX + 5, sizeof(*frames));
    v->stacks[0].frames = frames;
    v->stacks[0].frame_count = BOXES_DEPTH_MAX + 5;
    v->profile.stack_count = 1;
    boxes_of(v, 4, 1000, &deep); // recursion that is the whole width is never left out
    assert_int_equal(deep.list.count, BOXES_DEPTH_MAX + 1);
    assert_int_equal(deep.deep, 1);
    assert_int_equal(deep.list.items[BOXES_DEPTH_MAX].weight, 35);
    assert_holds(report_svg, v, ">1 stack cut at 1000 frames.</text>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_folded_names),
        cmocka_unit_test(test_folded_weights),
        cmocka_unit_test(test_csv_cells),
        cmocka_unit_test(test_csv_weights),
        cmocka_unit_test(test_speedscope_time),
        cmocka_unit_test(test_speedscope_without_time),
        cmocka_unit_test(test_speedscope_empty),
        cmocka_unit_test(test_speedscope_processes),
        cmocka_unit_test(test_svg_text),
        cmocka_unit_test(test_svg_notes),
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_boxes_of_threads),
        cmocka_unit_test(test_boxes_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
