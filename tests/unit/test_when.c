// SPDX-License-Identifier: GPL-3.0-or-later
// The expressions of --when.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/when.h"
#include "util/guard.h"

static void one_term(void **state)
{
    static const struct {
        const char *text;
        struct when_term term;
    } rows[] = {
        {"cpu>90%", {WHEN_CPU, true, false, 90}},
        {"cpu>90", {WHEN_CPU, true, false, 90}},
        {" CPU >= 0.5 % ", {WHEN_CPU, true, true, 0.5}},
        {"cpu<=250%", {WHEN_CPU, false, true, 250}},
        {"rss>2G", {WHEN_RSS, true, false, 2147483648.0}},
        {"memory>2GiB", {WHEN_RSS, true, false, 2147483648.0}},
        {"mem > 512 MB", {WHEN_RSS, true, false, 536870912.0}},
        {"vms<1t", {WHEN_VMS, false, false, 1099511627776.0}},
        {"rss>1000", {WHEN_RSS, true, false, 1000}},
        {"threads>100", {WHEN_THREADS, true, false, 100}},
        {"fds>=1000", {WHEN_FDS, true, true, 1000}},
        {"files<3", {WHEN_FDS, false, false, 3}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct when when;
        print_message("%s\n", rows[i].text);
        assert_true(when_parse(rows[i].text, &when));
        assert_int_equal(when.count, 1);
        assert_int_equal(when.for_ns, 0);
        assert_int_equal(when.terms[0].what, rows[i].term.what);
        assert_int_equal(when.terms[0].above, rows[i].term.above);
        assert_int_equal(when.terms[0].or_equal, rows[i].term.or_equal);
        assert_true(when.terms[0].limit == rows[i].term.limit);
    }
}

static void several_terms(void **state)
{
    (void)state;
    struct when when;
    assert_true(when_parse("cpu>90%,rss>2G and threads>=100 AND fds<5", &when));
    assert_int_equal(when.count, 4);
    assert_int_equal(when.terms[3].what, WHEN_FDS);
    assert_true(when_parse("cpu>90% for 5s", &when));
    assert_int_equal(when.for_ns, 5000000000);
    assert_true(when_parse("cpu>90%, rss>1M for 1.5", &when));
    assert_int_equal(when.for_ns, 1500000000);
}

static void refused(void **state)
{
    static const char *const rows[] = {
        "",
        "cpu",
        "cpu>",
        "cpu 90",
        ">90",
        "cpu>90%,",
        "cpu>90% and",
        "cpu=90",
        "cpu>>90",
        "cpu>-1",
        "cpu>nan",
        "cpu>inf",
        "cpu>0x10",
        "cpu>1e3",
        "cpu>1.2.3",
        "cpu>.",
        "cpux>9",
        "load>9",
        "cpu>90K",
        "threads>5%",
        "threads>5G",
        "rss>2X",
        "rss>2GG",
        "cpu>90% or rss>1",
        "cpu>90% for",
        "cpu>90% for x",
        "for 5s",
        "cpu>90% for 5s x",
        "cpu>90% rss>1",
        "cpu>1,cpu>1,cpu>1,cpu>1,cpu>1,cpu>1,cpu>1,cpu>1,cpu>1",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct when when;
        print_message("%s\n", rows[i]);
        assert_false(when_parse(rows[i], &when));
    }
}

static bool holds(const char *text, double cpu, double threads)
{
    struct when when;
    struct when_values values = {.of = {[WHEN_CPU] = cpu, [WHEN_THREADS] = threads},
                                 .has = {[WHEN_CPU] = cpu >= 0, [WHEN_THREADS] = true}};
    assert_true(when_parse(text, &when));
    return when_holds(&when, &values);
}

static void true_and_false(void **state)
{
    (void)state;
    assert_true(holds("cpu>90", 91, 1));
    assert_false(holds("cpu>90", 90, 1));
    assert_true(holds("cpu>=90", 90, 1));
    assert_true(holds("cpu<90", 89, 1));
    assert_false(holds("cpu<90", 90, 1));
    assert_true(holds("cpu<=90", 90, 1));
    assert_true(holds("cpu>90,threads>1", 91, 2));
    assert_false(holds("cpu>90,threads>1", 91, 1));
    assert_false(holds("cpu>90,threads>1", 9, 2));
    // Not known: neither above nor below.
    assert_false(holds("cpu>=0", -1, 1));
    assert_false(holds("cpu<90", -1, 1));
    assert_false(holds("rss>=0", 1, 1));
}

static void said(void **state)
{
    (void)state;
    struct when when;
    struct when_values values = {
        .of = {[WHEN_CPU] = 12.3, [WHEN_RSS] = 87031808, [WHEN_THREADS] = 9},
        .has = {[WHEN_CPU] = true, [WHEN_RSS] = true, [WHEN_THREADS] = true}};
    AUTO_FREE char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_true(when_parse("threads>3,mem>1G,cpu>90,fds>1", &when));
    when_say(out, &when, &values);
    fclose(out);
    assert_string_equal(text, "cpu 12 %, rss 83M, threads 9, fds ?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_term), cmocka_unit_test(several_terms),
        cmocka_unit_test(refused),  cmocka_unit_test(true_and_false),
        cmocka_unit_test(said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
