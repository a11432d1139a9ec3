// SPDX-License-Identifier: GPL-3.0-or-later
// Two runs compared: intervals of differences against published ones, the test of many against
// simulated programs (fixed seeds), which functions, files, stacks and threads are taken for the
// same, and what two dumps say of motion.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "diff_runs.h"
#include "profile/difference.h"
#include "profile/interval.h"
#include "util/guard.h"

// ---- Intervals -----------------------------------------------------------------------------------

// Newcombe, Statistics in Medicine 17, 1998, 873-890, table II, method 10.
static void test_published(void **state)
{
    (void)state;
    static const struct {
        double part1, whole1, part2, whole2, low, high;
    } rows[] = {
        {56, 70, 48, 80, 0.0524, 0.3339}, {9, 10, 3, 10, 0.1705, 0.8090},
        {6, 7, 2, 7, 0.0582, 0.8062},     {5, 56, 0, 29, -0.0381, 0.1926},
        {0, 10, 0, 20, -0.1611, 0.2775},  {10, 10, 0, 20, 0.6791, 1.0000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        // Independent draws, of which the variance is known.
        struct share one = {
            .p = rows[i].part1 / rows[i].whole1, .draws = rows[i].whole1, .freedom = 1e9};
        struct share two = {
            .p = rows[i].part2 / rows[i].whole2, .draws = rows[i].whole2, .freedom = 1e9};
        double low, high;
        share_difference(&two, &one, SHARE_95, &low, &high);
        assert_true(fabs(low - rows[i].low) < 0.00006);
        assert_true(fabs(high - rows[i].high) < 0.00006);
        // The p-value is on that side of 5 % on which the interval has zero.
        bool apart = low > 0 || high < 0;
        assert_int_equal(share_p_value(&two, &one) < 0.05, apart);
    }
}

// The draws that bounds stand for, and the same bounds from these.
static void test_recovered(void **state)
{
    (void)state;
    uint32_t x[200], y[200];
    random_state = 5;
    double draws = 0;
    for (int run = 0; run < 100; run++) {
        uint64_t part = 0;
        for (size_t i = 0; i < 200; i++) {
            x[i] = 1;
            y[i] = uniform() < 0.3;
            part += y[i];
        }
        double low, high, again_low, again_high;
        interval_share(y, x, 200, &low, &high);
        struct share share = share_of_bounds(part, 200, 200, low, high);
        share_bounds(&share, SHARE_95, &again_low, &again_high);
        assert_true(fabs(low - again_low) < 0.002 && fabs(high - again_high) < 0.002);
        draws += share.draws / 100;
    }
    // Independent draws count about as what they are.
    assert_true(draws > 150 && draws < 280);
    struct share none = share_of_bounds(0, 0, 50, 0, 1),
                 some = share_of_bounds(5, 10, 50, 0.3, 0.7);
    assert_true(share_p_value(&none, &some) == 1);
}

static void test_unchanging(void **state)
{
    (void)state;
    // Of a share that never changed only the other run knows how correlated it is.
    struct share never = share_of_bounds(0, 50, 50, 0, 0.278);
    struct share seen = share_of_bounds(20, 50, 50, 0.27, 0.55);
    assert_true(never.draws == 10);
    share_pair(&never, 50, &seen, 50);
    assert_true(never.draws > 30 && never.draws <= 50);
    assert_true(share_p_value(&never, &seen) < 0.001);
    // All against nothing needs no other.
    struct share all = share_of_bounds(50, 50, 50, 0.722, 1),
                 nothing = share_of_bounds(0, 50, 50, 0, 0.278);
    share_pair(&all, 50, &nothing, 50);
    assert_true(share_p_value(&nothing, &all) < 0.001);
}

static void test_many(void **state)
{
    (void)state;
    // Holm 1979: .01 < .05/4, .014 < .05/3, then .03 > .05/2 ends it, whatever comes after.
    struct hypothesis items[] = {{.p_value = 0.03},
                                 {.p_value = 0.01},
                                 {.p_value = 0.04},
                                 {.p_value = 0.014},
                                 {.p_value = 0.001, .least_p_value = 0.02}};
    struct hypothesis *scratch[5];
    // The last one could be no smaller than .02, which is too large among five.
    assert_int_equal(hypotheses_test(items, scratch, 5, 0.05), 4);
    const bool rejected[] = {false, true, false, true, false};
    for (int i = 0; i < 5; i++)
        assert_int_equal(items[i].rejected, rejected[i]);
    assert_false(items[4].tested);
    // Of three that are alike, two would be few enough: none is chosen over the others.
    struct hypothesis alike[] = {
        {.least_p_value = 0.02}, {.least_p_value = 0.02}, {.least_p_value = 0.02}};
    assert_int_equal(hypotheses_test(alike, scratch, 3, 0.05), 0);
    assert_int_equal(hypotheses_test(alike, scratch, 2, 0.05), 2);
    assert_true(fabs(share_least_p_value(5, 50, 50) - 2 / 32.0) < 1e-9);
    assert_true(share_least_p_value(0, 50, 50) == 1);
}

// ---- Simulated programs --------------------------------------------------------------------------

#define USUAL                                  \
    {                                          \
        .30, .22, .15, .12, .09, .06, .04, .02 \
    }

static bool anything(const struct prof_diff *diff)
{
    bool found = diff->rejected > 0;
    for (size_t i = 0; i < diff->stack_count; i++)
        found |= diff->stacks[i].work.verdict >= DIFF_MORE;
    return found;
}

// Two runs of one program: nothing is found in 95 % of the comparisons, whatever the program.
static void test_equal(void **state)
{
    (void)state;
    static const struct {
        struct program program;
        int runs;
    } rows[] = {
        {{USUAL, 0, false, 1, 50, 0}, 1000}, {{USUAL, 0, false, 4, 50, 0}, 1000},
        {{USUAL, 0, false, 1, 200, 0}, 300}, {{USUAL, 1, false, 1, 50, 0}, 1000},
        {{USUAL, 1, false, 4, 50, 0}, 1000}, {{USUAL, 3, false, 2, 100, 0}, 300},
        {{USUAL, 0.4, true, 1, 50, 0}, 300}, {{USUAL, 0, false, 2, 50, 0.3}, 1000},
        {{USUAL, 0, false, 1, 12, 0}, 1000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int found = 0;
        random_state = 1000 + i;
        for (int run = 0; run < rows[i].runs; run++) {
            struct simulated before = simulate(&rows[i].program),
                             after = simulate(&rows[i].program);
            struct prof_diff *diff = compare(&before, &after);
            assert_non_null(diff);
            found += anything(diff);
            prof_diff_destroy(diff);
            simulated_deinit(&before);
            simulated_deinit(&after);
        }
        print_message("equal programs, row %zu: a difference in %.1f %%\n", i,
                      100.0 * found / rows[i].runs);
        assert_true(found * 20 <= rows[i].runs);
    }
}

// A function that goes from 30 to 10 % and another one from 22 to 42 %: found, and the right way.
static void test_changed(void **state)
{
    (void)state;
    static const struct {
        struct program before, after;
        double found_min; // part of the comparisons
    } rows[] = {
        {{USUAL, 0, false, 2, 50, 0},
         {{.10, .42, .15, .12, .09, .06, .04, .02}, 0, false, 2, 50, 0},
         0.7},
        {{USUAL, 0, false, 4, 50, 0},
         {{.10, .42, .15, .12, .09, .06, .04, .02}, 0, false, 4, 50, 0},
         0.95},
        {{{0, 1}, 0, false, 1, 50, 0}, {{.2, .8}, 0, false, 1, 50, 0}, 0.7},
        {{USUAL, 1, false, 4, 200, 0},
         {{.10, .42, .15, .12, .09, .06, .04, .02}, 1, false, 4, 200, 0},
         0.7},
    };
    enum { RUNS = 200 };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int found = 0, wrong = 0;
        random_state = 2000 + i;
        for (int run = 0; run < RUNS; run++) {
            struct simulated before = simulate(&rows[i].before), after = simulate(&rows[i].after);
            struct prof_diff *diff = compare(&before, &after);
            bool any = false;
            for (int leaf = 0; leaf < LEAVES; leaf++) {
                char name[16];
                snprintf(name, sizeof(name), "leaf_%d", leaf);
                const struct diff_function *f = function_named(diff, &before, &after, name);
                double change = rows[i].after.share[leaf] - rows[i].before.share[leaf];
                if (!f || f->own.verdict < DIFF_MORE)
                    continue;
                any |= fabs(change) > 0.1;
                wrong += change == 0 || (change > 0) != (f->own.verdict == DIFF_MORE);
            }
            found += any;
            prof_diff_destroy(diff);
            simulated_deinit(&before);
            simulated_deinit(&after);
        }
        print_message("changed programs, row %zu: found in %.1f %%, wrong in %.1f %%\n", i,
                      100.0 * found / RUNS, 100.0 * wrong / RUNS);
        assert_true(found >= rows[i].found_min * RUNS);
        assert_true(wrong <= 0.05 * RUNS);
    }
}

static void test_mirrored(void **state)
{
    (void)state;
    const struct program one = {USUAL, 0, false, 3, 60, 0};
    const struct program other = {{.1, .5, .2, .1, .05, .05}, 0, false, 3, 80, 0};
    random_state = 9;
    struct simulated before = simulate(&one), after = simulate(&other);
    struct prof_diff *there = compare(&before, &after), *back = compare(&after, &before);
    assert_int_equal(there->function_count, back->function_count);
    assert_int_equal(there->rejected, back->rejected);
    assert_true(there->rejected > 0);
    for (int leaf = 0; leaf < LEAVES; leaf++) {
        char name[16];
        snprintf(name, sizeof(name), "leaf_%d", leaf);
        const struct diff_function *f = function_named(there, &before, &after, name);
        const struct diff_function *g = function_named(back, &after, &before, name);
        assert_true(fabs(f->own.change + g->own.change) < 1e-12);
        assert_true(fabs(f->own.low + g->own.high) < 1e-12);
        assert_true(fabs(f->own.p_value - g->own.p_value) < 1e-12);
        assert_true(f->own.verdict < DIFF_MORE
                        ? f->own.verdict == g->own.verdict
                        : f->own.verdict + g->own.verdict == DIFF_MORE + DIFF_LESS);
    }
    prof_diff_destroy(there);
    prof_diff_destroy(back);
    simulated_deinit(&before);
    simulated_deinit(&after);
}

// ---- What is the same ----------------------------------------------------------------------------

struct made {
    struct strtab *strings;
    struct profile *profile;
    struct snapshot *snapshot;
    struct prof_report *report;
};

static struct made begin(void)
{
    struct made made = {.strings = strtab_create()};
    made.profile = profile_create(made.strings);
    made.snapshot = snapshot_create();
    return made;
}

// A thread whose frames are "name file line" each, innermost first; NULL ends them.
static void stack(struct made *made, const char *thread_name, enum snap_state state, ...)
{
    struct snap_thread *thread = make_thread(
        made->strings, made->snapshot, (pid_t)(100 + made->snapshot->threads.count), state, "");
    thread->name = strtab_add_cstr(made->strings, thread_name);
    va_list args;
    va_start(args, state);
    for (const char *name; (name = va_arg(args, const char *)) != NULL;) {
        const char *file = va_arg(args, const char *);
        struct snap_frame frame = {.kind = SNAP_PYTHON, .line = -1, .column = -1};
        frame.function = strtab_add_cstr(made->strings, name);
        frame.qualname = frame.function;
        frame.file = strtab_add_cstr(made->strings, file);
        frame.first_line = va_arg(args, int);
        vec_push(&thread->frames, frame);
    }
    va_end(args);
}

static void end(struct made *made)
{
    profile_add(made->profile, made->snapshot);
    struct prof_run run = {.duration_ns = 1000000000u};
    made->report = profile_report(made->profile, &run);
}

static struct prof_diff *compare_made(const struct made *before, const struct made *after)
{
    const struct simulated one = {before->strings, before->report};
    const struct simulated two = {after->strings, after->report};
    return compare(&one, &two);
}

static void made_deinit(struct made *made)
{
    snapshot_destroy(made->snapshot);
    prof_report_destroy(made->report);
    profile_destroy(made->profile);
    strtab_destroy(made->strings);
}

static const struct diff_function *named(const struct prof_diff *diff, const struct made *before,
                                         const struct made *after, const char *name)
{
    const struct simulated one = {before->strings, before->report};
    const struct simulated two = {after->strings, after->report};
    return function_named(diff, &one, &two, name);
}

static bool in_both(const struct diff_function *function)
{
    return function->index[DIFF_BEFORE] != DIFF_NONE && function->index[DIFF_AFTER] != DIFF_NONE;
}

static void test_files(void **state)
{
    (void)state;
    struct made a = begin(), b = begin();
    // The string tables differ.
    strtab_add_cstr(b.strings, "something else");
    stack(&a, "t", SNAP_RUNNING, "serve", "/srv/app-v1/web/app.py", 10, "run",
          "/usr/lib/python3.11/threading.py", 900, "dumps", "/usr/lib/python3.11/json/__init__.py",
          183, "one", "/srv/app-v1/a/utils.py", 1, "two", "/srv/app-v1/b/only.py", 1, NULL);
    stack(&b, "t", SNAP_RUNNING, "serve", "/srv/app-v2/web/app.py", 14, "run",
          "/usr/lib/python3.12/threading.py", 950, "dumps",
          "/opt/python/lib/python3.12/json/__init__.py", 183, "one", "/srv/app-v2/x/utils.py", 1,
          "one", "/srv/app-v2/y/utils.py", 1, "two", "/home/b/only.py", 1, NULL);
    end(&a);
    end(&b);
    struct prof_diff *diff = compare_made(&a, &b);
    assert_true(in_both(named(diff, &a, &b, "serve")));
    assert_true(named(diff, &a, &b, "serve")->moved);
    assert_true(in_both(named(diff, &a, &b, "run")));
    assert_true(in_both(named(diff, &a, &b, "dumps")));
    assert_false(named(diff, &a, &b, "dumps")->moved);
    assert_true(in_both(named(diff, &a, &b, "two")));
    // Two of them end in utils.py: which one it is cannot be said.
    assert_false(in_both(named(diff, &a, &b, "one")));
    // web/app.py, json/__init__.py and b/only.py; threading.py differs by Python's version alone.
    assert_int_equal(diff->files_by_tail, 3);
    assert_false(diff->testable);
    assert_int_equal(named(diff, &a, &b, "serve")->own.verdict, DIFF_UNKNOWN);
    prof_diff_destroy(diff);
    made_deinit(&a);
    made_deinit(&b);
}

static void test_functions(void **state)
{
    (void)state;
    struct made a = begin(), b = begin();
    // Three lambdas of one file in A, of which one has its line in B; two of them in B.
    stack(&a, "t", SNAP_RUNNING, "<lambda>", "app.py", 5, "<lambda>", "app.py", 9, "<lambda>",
          "app.py", 20, "wrap", "app.py", 30, "wrap", "app.py", 40, "gone", "app.py", 50, NULL);
    stack(&b, "t", SNAP_RUNNING, "<lambda>", "app.py", 9, "<lambda>", "app.py", 22, "wrap",
          "app.py", 33, "wrap", "app.py", 43, "new", "app.py", 50, NULL);
    end(&a);
    end(&b);
    struct prof_diff *diff = compare_made(&a, &b);
    size_t lambdas = 0, wraps = 0;
    for (size_t i = 0; i < diff->function_count; i++) {
        const struct diff_function *f = &diff->functions[i];
        if (!in_both(f))
            continue;
        int32_t before = a.report->functions[f->index[DIFF_BEFORE]].line;
        int32_t after = b.report->functions[f->index[DIFF_AFTER]].line;
        lambdas += before == 9 && after == 9 && !f->moved;
        wraps += (before == 30 && after == 33 && f->moved) || (before == 40 && after == 43);
    }
    assert_int_equal(lambdas, 1);
    assert_int_equal(wraps, 2);
    assert_int_equal(diff->ambiguous, 3); // 5 and 20 in A, 22 in B
    assert_int_equal(named(diff, &a, &b, "gone")->index[DIFF_AFTER], DIFF_NONE);
    assert_int_equal(named(diff, &a, &b, "new")->index[DIFF_BEFORE], DIFF_NONE);
    prof_diff_destroy(diff);
    made_deinit(&a);
    made_deinit(&b);
}

// Up to 3.10 a code object has no qualified name.
static void test_plain_names(void **state)
{
    (void)state;
    struct made a = begin(), b = begin();
    stack(&a, "t", SNAP_RUNNING, "get", "app.py", 5, NULL);
    a.snapshot->threads.items[0].frames.items[0].qualname = 0;
    stack(&b, "t", SNAP_RUNNING, "get", "app.py", 5, NULL);
    b.snapshot->threads.items[0].frames.items[0].qualname = strtab_add_cstr(b.strings, "Cache.get");
    end(&a);
    end(&b);
    struct prof_diff *diff = compare_made(&a, &b);
    assert_int_equal(diff->function_count, 1);
    assert_true(in_both(&diff->functions[0]));
    prof_diff_destroy(diff);
    made_deinit(&a);
    made_deinit(&b);
}

static void test_stacks(void **state)
{
    (void)state;
    struct made a = begin(), b = begin();
    // One stack, whichever thread has it and however deep the recursion is.
    stack(&a, "one", SNAP_RUNNING, "f", "app.py", 1, "main", "app.py", 9, NULL);
    stack(&a, "two", SNAP_RUNNING, "f", "app.py", 1, "f", "app.py", 1, "main", "app.py", 9, NULL);
    stack(&a, "idle", SNAP_LOCK_WAIT, "wait", "app.py", 5, "main", "app.py", 9, NULL);
    stack(&b, "one", SNAP_RUNNING, "f", "app.py", 1, "main", "app.py", 9, NULL);
    stack(&b, "two", SNAP_RUNNING, "g", "app.py", 3, "main", "app.py", 9, NULL);
    stack(&b, "idle", SNAP_LOCK_WAIT, "wait", "app.py", 5, "main", "app.py", 9, NULL);
    stack(&b, "idle", SNAP_LOCK_WAIT, "wait", "app.py", 5, "main", "app.py", 9, NULL);
    end(&a);
    end(&b);
    struct prof_diff *diff = compare_made(&a, &b);
    assert_int_equal(diff->stack_count, 3); // most growth first: g, wait, f
    assert_int_equal(diff->stacks[0].work.samples[DIFF_BEFORE], 0);
    assert_int_equal(diff->stacks[0].work.samples[DIFF_AFTER], 1);
    assert_int_equal(diff->stacks[2].work.samples[DIFF_BEFORE], 2);
    assert_int_equal(diff->stacks[2].work.samples[DIFF_AFTER], 1);
    assert_true(fabs(diff->stacks[2].work.change + 0.5) < 1e-12);
    assert_int_equal(diff->stacks[2].count, 2);
    assert_int_equal(diff->wait_count, 1);
    assert_int_equal(diff->waits[0].state, SNAP_LOCK_WAIT);
    assert_true(diff->waits[0].threads.side[DIFF_BEFORE] == 1);
    assert_true(diff->waits[0].threads.side[DIFF_AFTER] == 2);
    assert_true(diff->works.side[DIFF_AFTER] == 2 && diff->threads.side[DIFF_AFTER] == 4);
    prof_diff_destroy(diff);
    made_deinit(&a);
    made_deinit(&b);
}

static void test_threads(void **state)
{
    (void)state;
    struct made a = begin(), b = begin();
    const char *const before[] = {"main", "pool-0", "pool-1", "old", "x-1"};
    const char *const after[] = {"pool-7", "main", "x-1", "new"};
    for (size_t i = 0; i < ARRAY_SIZE(before); i++)
        stack(&a, before[i], SNAP_SLEEP, "f", "app.py", 1, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(after); i++)
        stack(&b, after[i], SNAP_SLEEP, "f", "app.py", 1, NULL);
    end(&a);
    end(&b);
    struct prof_diff *diff = compare_made(&a, &b);
    assert_int_equal(diff->thread_count, 5); // main, pool-*, x-1, old, new
    size_t pools = 0, pairs = 0;
    for (size_t i = 0; i < diff->thread_count; i++) {
        const struct diff_thread *thread = &diff->threads_by_name[i];
        pools += thread->numbered && thread->threads[DIFF_BEFORE] == 2 &&
                 thread->threads[DIFF_AFTER] == 1;
        pairs += !thread->numbered && thread->threads[DIFF_BEFORE] == 1 &&
                 thread->threads[DIFF_AFTER] == 1;
    }
    assert_int_equal(pools, 1);
    assert_int_equal(pairs, 2);
    prof_diff_destroy(diff);
    made_deinit(&a);
    made_deinit(&b);
}

// ---- Two dumps -----------------------------------------------------------------------------------

static void test_dumps(void **state)
{
    (void)state;
    struct strtab *one = strtab_create(), *two = strtab_create();
    strtab_add_cstr(two, "shifts all ids");
    struct snapshot *before = snapshot_create(), *after = snapshot_create();
    make_thread(one, before, 1, SNAP_SLEEP, "get:5#7 main:3#1");
    make_thread(one, before, 2, SNAP_SLEEP, "get:5#8 main:3#2");
    make_thread(one, before, 3, SNAP_RUNNING, "work:5#9 main:3#3");
    make_thread(one, before, 4, SNAP_SLEEP, "main:3#4");
    make_thread(one, before, 6, SNAP_SLEEP, "get:5 main:3");
    make_thread(two, after, 1, SNAP_SLEEP, "get:5#7 main:3#1");
    make_thread(two, after, 2, SNAP_SLEEP, "get:5#88 main:3#2");
    make_thread(two, after, 3, SNAP_RUNNING, "work:6#9 main:3#3");
    make_thread(two, after, 5, SNAP_SLEEP, "main:3#5");
    make_thread(two, after, 6, SNAP_SLEEP, "get:5 main:3");
    before->threads.items[4].has_cpu = after->threads.items[4].has_cpu = true;
    before->threads.items[2].has_cpu = after->threads.items[2].has_cpu = true;
    after->threads.items[2].cpu_total_ns = 5000;
    const struct diff_dump_input dumps[DIFF_SIDES] = {{before, one}, {after, two}};
    struct diff_motion_thread *motions;
    size_t count;
    assert_null(diff_dumps(dumps, true, &motions, &count));
    assert_int_equal(count, 6);
    const enum diff_motion expected[] = {DIFF_MOVED,      DIFF_APPEARED,   DIFF_ENDED,
                                         DIFF_SAME_PLACE, DIFF_SAME_CALLS, DIFF_SAME_CALLS};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(motions[i].motion, expected[i]);
    assert_int_equal(motions[0].common, 1);
    assert_int_equal(motions[0].cpu_ns, 5000);
    assert_int_equal(motions[3].thread[DIFF_BEFORE], 1);
    free(motions);
    // Of two processes no call is the same, and without names no thread.
    assert_null(diff_dumps(dumps, false, &motions, &count));
    assert_int_equal(count, 10);
    free(motions);
    snapshot_destroy(before);
    snapshot_destroy(after);
    strtab_destroy(one);
    strtab_destroy(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),  cmocka_unit_test(test_recovered),
        cmocka_unit_test(test_unchanging), cmocka_unit_test(test_many),
        cmocka_unit_test(test_equal),      cmocka_unit_test(test_changed),
        cmocka_unit_test(test_mirrored),   cmocka_unit_test(test_files),
        cmocka_unit_test(test_functions),  cmocka_unit_test(test_plain_names),
        cmocka_unit_test(test_stacks),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_dumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
