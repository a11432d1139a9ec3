// SPDX-License-Identifier: GPL-3.0-or-later
// Comparisons as text and Markdown, of values written by hand against golden files, and what must
// hold of each: hostile names are harmless, the length is kept.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "report/diff.h"
#include "report_values.h"

static void set_share(struct prof_function *function, uint64_t samples, uint64_t of)
{
    double share = (double)samples / (double)of;
    set_weight(function, samples, samples, of, 0);
    // Of some fifty draws.
    function->own_low = function->self_low = function->total_low =
        share > 0.13 ? share - 0.12 : 0.01;
    function->own_high = function->self_high = function->total_high =
        share < 0.86 ? share + 0.13 : 0.99;
}

static char *render_diff(const char *format, struct values *before, struct values *after,
                         const struct report_options *options)
{
    const struct diff_input runs[DIFF_SIDES] = {{&before->profile, before->strings},
                                                {&after->profile, after->strings}};
    struct report_diff diff = {.tool_version = "0.1.0",
                               .command = "pycore diff before.json after.json",
                               .names = {"before.json", "after.json"},
                               .inputs = {&before->input, &after->input}};
    struct prof_diff *values = NULL;
    assert_null(prof_diff_create(runs, &values));
    diff.diff = values;
    char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    assert_null(report_diff_format(format)(out, &diff, options));
    fclose(out);
    prof_diff_destroy(values);
    return bytes;
}

// rank() goes from 10 of 50 working samples to 36 of 60, hot() from 35 to 20; work() has moved.
static void change(struct values *after)
{
    set_profile(after);
    after->profile.samples_working = 60;
    after->profile.samples = 1010;
    after->profile.process_cpu_ns = 19 * S;
    set_share(&after->functions[HOT], 20, 60);
    set_share(&after->functions[RANK], 36, 60);
    after->functions[WORK].line = 47;
    set_weight(&after->functions[WORK], 4, 60, 60, 0);
    set_weight(&after->functions[LOOP], 0, 60, 60, 0);
    set_weight(&after->functions[BOOT], 0, 60, 60, 700);
    after->threads[0].cpu_ns = 18 * S;
    after->source.host = id_of(after, "web-4");
    after->source.complete = false;
    snap_note(after->strings, &after->notes, "12 stacks cut");
}

static void test_golden(void **state)
{
    (void)state;
    VALUES before = values_create();
    VALUES after = values_create();
    set_profile(before);
    set_share(&before->functions[HOT], 35, 50);
    set_share(&before->functions[RANK], 10, 50);
    change(after);
    struct report_options options = {.width = 100};
    check_golden("diff.txt", render_diff("text", before, after, &options));
    check_golden("diff.md", render_diff("md", before, after, &options));
    check_golden("diff.json", render_diff("json", before, after, &options));
}

// A share may fall while what is behind it grows.
static void test_larger_load(void **state)
{
    (void)state;
    VALUES before = values_create();
    VALUES after = values_create();
    set_profile(before);
    set_share(&before->functions[HOT], 35, 50);
    change(after);
    after->functions[HOT].own_cpu_ns = after->functions[HOT].total_cpu_ns = 9 * S;
    struct report_options options = {.width = 400};
    char *text = render_diff("text", before, after, &options);
    assert_non_null(
        strstr(text, "from 0.70 to 0.90 processors: a smaller share of a larger load."));
    assert_null(strstr(text, "larger share"));
    free(text);
}

static void test_hostile(void **state)
{
    (void)state;
    VALUES before = values_create();
    VALUES after = values_create();
    set_profile(before);
    set_profile(after);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        before->functions[i].qualname = id_of(before, "a\x1b[31m`|<b>\n|\xff");
        after->functions[i].qualname = id_of(after, "\xe2\x80\xae</script><script>x\x01y");
        after->threads[i].name = id_of(after, "| a |\n# head");
    }
    static const char *const formats[] = {"text", "md", "html", "json"};
    struct report_options options = {.width = 80};
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        char *text = render_diff(formats[i], before, after, &options);
        assert_null(strchr(text, '\x1b'));
        assert_null(strchr(text, '\x01'));
        assert_null(strstr(text, "\n# head"));
        assert_null(strstr(text, "\xe2\x80\xae"));
        if (strcmp(formats[i], "html") == 0)
            assert_null(strstr(text, "<script>x"));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_larger_load),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
