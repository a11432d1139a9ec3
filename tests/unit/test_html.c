// SPDX-License-Identifier: GPL-3.0-or-later
// The HTML report without a browser: what it escapes, what it lets run, and the data that it gives
// to its scripts. What those make of it is tests/system/test_html.py's affair.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_reader.h"
#include "profile/profile.h"
#include "report/html_doc.h"
#include "report_values.h"
#include "snap_maker.h"

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

// The data of the scripts; to be freed.
static char *data_of(const char *page)
{
    const char *begin = strstr(page, "id=\"data\">");
    assert_non_null(begin);
    begin += strlen("id=\"data\">");
    const char *end = strstr(begin, "</script>");
    assert_non_null(end);
    return strndup(begin, (size_t)(end - begin));
}

// ---- Escaping ------------------------------------------------------------------------------------

static void check_words(const char *words, const char *expected)
{
    AUTO_FREE char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    html_words(out, words);
    fclose(out);
    assert_string_equal(bytes, expected);
}

static void test_escaping(void **state)
{
    (void)state;
    check_words("plain", "plain");
    check_words("<a href=\"x\" id='y'>&amp;",
                "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;");
    check_words("in " PLAIN_CODE "f<T>()" PLAIN_CODE_END " twice",
                "in <code>f&lt;T&gt;()</code> twice");
    check_words(PLAIN_CODE "never ended", "<code>never ended</code>");
    check_words("a stray end" PLAIN_CODE_END, "a stray end");
}

static const char hostile[] = "</script><script>alert(1)</script><img src=x onerror=a()>\"'&lt;<!--"
                              "\xe2\x80\xa8\xe2\x80\xae\x1b]0;x\x07\xff`\n";

static void make_hostile(struct values *v)
{
    set_profile(v);
    uint32_t id = strtab_add(v->strings, hostile, sizeof(hostile) - 1);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        v->functions[i].qualname = v->functions[i].function = v->functions[i].file = id;
        v->functions[i].module = id;
    }
    for (size_t i = 0; i < ARRAY_SIZE(v->threads); i++)
        v->threads[i].name = id;
    v->source.host = v->source.arch = v->argv[1] = v->source.process.exe = v->source.path = id;
    v->input.command = hostile;
    vec_push(&v->notes, id);
    struct snap_thread *thread = add_thread(v, "t", SNAP_SLEEP);
    thread->name = thread->syscall = id;
    add_frame(v, thread, "f", "a.py", 1)->function = id;
    thread->frames.items[0].file = id;
}

static void test_hostile_names(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_hostile(v);
    for (int dump = 0; dump < 2; dump++) {
        AUTO_FREE char *page = render(report_html, v);
        assert_non_null(page);
        // What our own text has: the data, and the scripts at the end.
        assert_int_equal(count_of(page, "<script"), dump ? 1 : 7);
        assert_int_equal(count_of(page, "</script>"), dump ? 1 : 7);
        assert_null(strstr(page, "<img"));
        assert_null(strstr(page, "<script>alert"));
        assert_null(strstr(page, "\xe2\x80\xae"));
        assert_null(strstr(page, "\xe2\x80\xa8"));
        assert_null(strchr(page, '\x1b'));
        assert_non_null(strstr(page, "&lt;img src=x onerror=a()&gt;")); // shown all the same
        if (!dump) {
            AUTO_FREE char *data = data_of(page);
            assert_true(json_valid(data));
            assert_null(strpbrk(data, "<>&"));
            assert_non_null(strstr(data, "\\u003c/script\\u003e"));
        }
        v->input.profile = NULL;
    }
}

// ---- The page ------------------------------------------------------------------------------------

static void test_profile(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    snap_note(v->strings, &v->notes, "native frames are missing: --no-native was given");
    AUTO_FREE char *page = render(report_html, v);
    assert_int_equal(strncmp(page, "<!doctype html>\n<html lang=\"en\">", 32), 0);
    static const char *const in_order[] = {"default-src 'none'",
                                           "script-src 'sha256-",
                                           "style-src 'sha256-",
                                           "<h1>Hotspots of <code>",
                                           ">Summary</h2>",
                                           ">Threads</h2>",
                                           "id=\"graph\"",
                                           "id=\"by-function\"",
                                           "id=\"lines\"",
                                           "id=\"moments\"",
                                           ">Call tree</h2>",
                                           ">Notes</h2>",
                                           "</main>"};
    const char *at = page;
    for (size_t i = 0; i < ARRAY_SIZE(in_order); i++) {
        at = strstr(at, in_order[i]);
        if (!at)
            fail_msg("%s is missing, or at the wrong place", in_order[i]);
    }
    assert_null(strstr(page, " style=\"")); // the policy lets none in
    assert_null(strstr(page, "://"));
    assert_int_equal(count_of(page, "<h1>"), 1);
}

static void test_nothing(void **state)
{
    (void)state;
    VALUES v = values_create();
    v->input.snapshot_count = 0;
    assert_null(render(report_html, v));
}

static void test_dump(void **state)
{
    (void)state;
    VALUES v = values_create();
    add_frame(v, add_thread(v, "MainThread", SNAP_SLEEP), "main", "/srv/app.py", 7);
    AUTO_FREE char *page = render(report_html, v);
    assert_non_null(strstr(page, ">Threads</h2>"));
    assert_non_null(strstr(page, "main /srv/app.py:7</td>"));
    assert_non_null(strstr(page, ">Stacks</h2>"));
    assert_null(strstr(page, "id=\"data\""));
    // Text and Markdown have no room for the table.
    AUTO_FREE char *text = render(report_text, v);
    assert_null(strstr(text, "THREADS"));
}

static void test_rows_left_out(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    v->options.top = 1;
    AUTO_FREE char *page = render(report_html, v);
    assert_non_null(strstr(page, "<p class=\"more\">2 more functions; --full shows them</p>"));
}

// ---- The data ------------------------------------------------------------------------------------

struct moment {
    const char *stack[2]; // of two threads; NULL: it is not there
    enum snap_state state[2];
};

static struct prof_report *profile_of(struct values *v, struct profile *profile,
                                      const struct moment *moments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct snapshot *snapshot = snapshot_create();
        snapshot->at_ns = i * 200 * MS;
        for (int k = 0; k < 2; k++)
            if (moments[i].stack[k])
                make_thread(v->strings, snapshot, 101 + k, moments[i].state[k],
                            moments[i].stack[k]);
        assert_true(profile_add(profile, snapshot));
        snapshot_destroy(snapshot);
    }
    return profile_report(
        profile, &(struct prof_run){.interval_ns = 200 * MS, .duration_ns = count * 200 * MS});
}

static const struct moment five_moments[] = {
    {{"hot:12 work:40 main:3", "read! serve:8"}, {SNAP_RUNNING, SNAP_IO_WAIT}},
    {{"hot:12 work:40 main:3", NULL}, {SNAP_RUNNING, 0}},
    {{"hot:13 work:40 main:3", "read! serve:8"}, {SNAP_RUNNING, SNAP_IO_WAIT}},
    {{"hot:12 work:40 main:3", "read! serve:8"}, {SNAP_RUNNING, SNAP_IO_WAIT}},
    {{"work:41 main:3", NULL}, {SNAP_RUNNABLE, 0}},
};

// The stack of thread `index` at that moment, as its first frame's function and line; -1: not there.
static long stack_at(const char *data, unsigned index, long moment)
{
    char path[80];
    for (unsigned i = 0;; i += 2) {
        snprintf(path, sizeof(path), "moments.threads[%u][%u]", index, i);
        if (!json_find(data, path))
            return -1;
        long stack = strtol(json_raw(data, path), NULL, 10);
        snprintf(path, sizeof(path), "moments.threads[%u][%u]", index, i + 1);
        moment -= strtol(json_raw(data, path), NULL, 10);
        if (moment < 0)
            return stack;
    }
}

static void test_moments(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct profile *profile = profile_create(v->strings);
    struct prof_report *report = profile_of(v, profile, five_moments, ARRAY_SIZE(five_moments));
    v->input.profile = report;
    AUTO_FREE char *page = render(report_html, v);
    AUTO_FREE char *data = data_of(page);
    assert_true(json_valid(data));
    unsigned worker = report->threads[0].tid == 101 ? 0 : 1;
    assert_string_equal(json_raw(data, "moments.at_us"), "[0,200000,400000,600000,800000]");
    assert_int_equal(stack_at(data, worker, 0), stack_at(data, worker, 1));
    assert_int_equal(stack_at(data, worker, 0), stack_at(data, worker, 3));
    assert_int_not_equal(stack_at(data, worker, 0), stack_at(data, worker, 2));
    assert_int_not_equal(stack_at(data, worker, 0), stack_at(data, worker, 4));
    assert_int_equal(stack_at(data, worker, 5), -1);
    assert_true(stack_at(data, !worker, 0) >= 0);
    assert_int_equal(stack_at(data, !worker, 1), -1);
    assert_int_equal(stack_at(data, !worker, 2), stack_at(data, !worker, 3));
    assert_int_equal(stack_at(data, !worker, 4), -1);
    prof_report_destroy(report);
    profile_destroy(profile);
}

static void test_counts(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct profile *profile = profile_create(v->strings);
    struct prof_report *report = profile_of(v, profile, five_moments, ARRAY_SIZE(five_moments));
    v->input.profile = report;
    AUTO_FREE char *page = render(report_html, v);
    AUTO_FREE char *data = data_of(page);
    assert_string_equal(json_raw(data, "weight"), "\"working\"");
    assert_string_equal(json_raw(data, "samples"), "8");
    assert_string_equal(json_raw(data, "samples_working"), "5");
    // main, work:40, hot:12, hot:13, work:41, serve, read: frames that are shared are there once.
    AUTO_FREE char *nodes = strdup(json_raw(data, "nodes"));
    assert_int_equal(count_of(nodes, ",") + 1, 2 * 7);
    uint64_t samples = 0;
    char path[32];
    for (unsigned i = 0; i < report->stack_count; i++) {
        snprintf(path, sizeof(path), "stacks[%u]", 6 * i + 3);
        samples += strtoull(json_raw(data, path), NULL, 10);
    }
    assert_int_equal(samples, 8);
    v->options.weight = REPORT_WEIGHT_CPU;
    AUTO_FREE char *by_cpu = render(report_html, v);
    AUTO_FREE char *cpu = data_of(by_cpu);
    assert_string_equal(json_raw(cpu, "weight"), "\"cpu\"");
    prof_report_destroy(report);
    profile_destroy(profile);
}

// Deeper than what a page has room for: the rest of the stack is one frame that says so.
static void test_deep(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct snapshot *snapshot = snapshot_create();
    struct snap_thread *thread = make_thread(v->strings, snapshot, 101, SNAP_RUNNING, "f:1");
    for (int i = 0; i < 450000; i++) {
        struct snap_frame frame = thread->frames.items[0];
        frame.line = 1 + i % 3;
        vec_push(&thread->frames, frame);
    }
    struct profile *profile = profile_create(v->strings);
    assert_true(profile_add(profile, snapshot));
    snapshot_destroy(snapshot);
    struct prof_report *report = profile_report(profile, &(struct prof_run){0});
    v->input.profile = report;
    AUTO_FREE char *page = render(report_html, v);
    AUTO_FREE char *data = data_of(page);
    assert_true(json_valid(data));
    assert_non_null(strstr(data, ",399999,-1]"));
    prof_report_destroy(report);
    profile_destroy(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escaping), cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_profile),  cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_dump),     cmocka_unit_test(test_rows_left_out),
        cmocka_unit_test(test_moments),  cmocka_unit_test(test_counts),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
