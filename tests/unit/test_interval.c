// SPDX-License-Identifier: GPL-3.0-or-later
// The 95 % interval of a share: coverage and width on simulated programs (fixed seed, so the
// outcome is always the same), limiting cases, repeatability, sums of snapshots, sparse series.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profile/interval.h"

enum {
    RUNS = 1000,
    LONGEST = 4000
};

static const double interval_s = 0.2;
static uint64_t random_state;

// splitmix64 (Steele, Lea, Flood 2014): good enough and the same everywhere.
static uint64_t random_bits(void) {
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double uniform(void) {
    return (double)(random_bits() >> 11) * 0x1p-53;
}

// How a simulated thread goes through its functions 0, 1, 2.
enum order {
    DRAWS,        // anew for each snapshot
    CYCLE,        // 0 1 2 0 1 2 ..., each phase 3 s * share * (0.6 to 1.4)
    CYCLE_EQUAL,  // the same, each phase 0.6 to 1.4 s
    RANDOM        // phases of 0.6 to 1.4 s, the next function drawn by share
};

struct scenario {
    const char *name;
    enum order order;
    int threads;
    double idle;         // probability that a thread is not working when looked at
    double share[3];
    size_t snapshots;
    double covered_min[3]; // per cent of the runs
    double covered_max[3];
    double width_min;      // mean, of function 0
    double width_max;
};

struct thread {
    double end_s;
    int function;
};

static int draw(const double share[3]) {
    double u = uniform();
    return u < share[0] ? 0 : u < share[0] + share[1] ? 1 : 2;
}

static int function_at(const struct scenario *s, struct thread *thread, double time_s) {
    if (s->order == DRAWS) {
        return draw(s->share);
    }
    while (thread->end_s <= time_s) {
        bool cyclic = s->order != RANDOM;
        double factor = s->order == CYCLE ? 3 : 1;
        thread->function = cyclic ? (thread->function + 1) % 3 : draw(s->share);
        if (s->order == CYCLE) {
            factor *= s->share[thread->function];
        }
        thread->end_s += factor * (0.6 + 0.8 * uniform());
    }
    return thread->function;
}

static void simulate(const struct scenario *s, uint32_t y[3][LONGEST], uint32_t *x) {
    struct thread threads[4];
    for (int i = 0; i < s->threads; i++) {
        threads[i] = (struct thread){.end_s = -20 - 20 * uniform()};
    }
    for (size_t t = 0; t < s->snapshots; t++) {
        double time_s = ((double)t + uniform()) * interval_s;
        x[t] = y[0][t] = y[1][t] = y[2][t] = 0;
        for (int i = 0; i < s->threads; i++) {
            int function = function_at(s, &threads[i], time_s);
            if (s->idle == 0 || uniform() >= s->idle) {
                x[t]++;
                y[function][t]++;
            }
        }
    }
}

static uint32_t many_x[LONGEST], many_y[3][LONGEST];

static void check_scenario(const struct scenario *s) {
    int covered[3] = {0};
    double width = 0;
    random_state = 1;
    for (int run = 0; run < RUNS; run++) {
        simulate(s, many_y, many_x);
        struct interval *iv = interval_create(many_x, s->snapshots, s->snapshots);
        assert_non_null(iv);
        for (int f = 0; f < 3; f++) {
            double low, high;
            interval_dense(iv, many_y[f], &low, &high);
            covered[f] += low <= s->share[f] && s->share[f] <= high;
            width += f == 0 ? high - low : 0;
        }
        interval_destroy(iv);
    }
    for (int f = 0; f < 3; f++) {
        double per_cent = 100.0 * covered[f] / RUNS;
        if (per_cent < s->covered_min[f] || per_cent > s->covered_max[f]) {
            fail_msg("%s, N = %zu: function %d covered in %.1f %% of the runs", s->name,
                     s->snapshots, f, per_cent);
        }
    }
    width /= RUNS;
    if (width < s->width_min || width > s->width_max) {
        fail_msg("%s, N = %zu: mean width %.3f", s->name, s->snapshots, width);
    }
}

// A formula for independent draws covers 57 % (random order) and over 99 % (cycles) of the runs,
// so it fails here on either side. Bands: what 10,000 runs gave, and 2 % for the fewer runs.
static const struct scenario scenarios[] = {
    {"draws", DRAWS, 1, 0, {.7, .2, .1}, 50, {94, 93, 94}, {98, 98, 99}, .25, .29},
    {"draws", DRAWS, 1, 0, {.7, .2, .1}, 200, {93, 93, 93}, {97, 97, 97}, .124, .135},
    {"draws", DRAWS, 1, 0, {.7, .2, .1}, 500, {93, 93, 93}, {97, 97, 97}, .078, .084},
    {"draws, 2 threads", DRAWS, 2, 0, {.7, .2, .1}, 100, {93, 93, 93}, {97, 97, 97}, .12, .14},
    {"draws, idle", DRAWS, 2, .4, {.7, .2, .1}, 100, {93, 93, 93}, {97, 97, 97}, .16, .18},
    {"draws, rare", DRAWS, 1, 0, {.93, .05, .02}, 200, {93, 93, 94}, {98, 98, 98.5}, .06, .09},
    {"cycle", CYCLE, 1, 0, {.7, .2, .1}, 50, {95, 95, 95}, {99.3, 99.3, 99.7}, .25, .36},
    {"cycle", CYCLE, 1, 0, {.7, .2, .1}, 200, {94, 94, 94}, {98, 98, 99}, .08, .12},
    {"equal cycle", CYCLE_EQUAL, 1, 0, {1 / 3.0, 1 / 3.0, 1 / 3.0}, 200, {94, 94, 94},
     {98, 98, 98}, .08, .12},
    {"random order", RANDOM, 1, 0, {.7, .2, .1}, 50, {93, 94, 95}, {97, 99, 99}, .55, .66},
    {"random order", RANDOM, 1, 0, {.7, .2, .1}, 100, {93, 93, 94}, {97.5, 97.5, 99}, .45, .55},
    {"random order", RANDOM, 1, 0, {.7, .2, .1}, 200, {93, 93, 93}, {97, 97, 97}, .3, .38},
    {"random order, 2 threads", RANDOM, 2, .4, {.7, .2, .1}, 200, {93, 92, 92}, {97, 97, 97},
     .2, .26},
    {"random order, in sums", RANDOM, 1, 0, {.7, .2, .1}, 1500, {93, 93, 93}, {97, 97, 97},
     .09, .13},
};

static void test_coverage(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        check_scenario(&scenarios[i]);
    }
}

static void check_bounds(const uint32_t *y, const uint32_t *x, size_t n, double low_expected,
                         double high_expected) {
    double low = -1, high = -1;
    interval_share(y, x, n, &low, &high);
    if (fabs(low - low_expected) > 5e-4 || fabs(high - high_expected) > 5e-4) {
        fail_msg("N = %zu: [%.4f, %.4f] instead of [%.4f, %.4f]", n, low, high, low_expected,
                 high_expected);
    }
}

static void test_unknown(void **state) {
    (void)state;
    uint32_t none[50] = {0};
    check_bounds(none, none, 0, 0, 1);
    check_bounds(none, none, 1, 0, 1);
    check_bounds(none, none, 50, 0, 1);
}

static void fill(uint32_t *series, size_t n, uint32_t value) {
    for (size_t t = 0; t < n; t++) {
        series[t] = value;
    }
}

// Without any change the bounds follow from N / 5 draws: q = 3.84 / (N / 5 + 3.84).
static void test_unchanging(void **state) {
    (void)state;
    uint32_t x[100], y[100];
    fill(x, 100, 1);
    fill(y, 100, 0);
    check_bounds(y, x, 1, 0, .9505);
    check_bounds(y, x, 2, 0, .9057);
    check_bounds(y, x, 50, 0, .2775);
    check_bounds(x, x, 1, .0495, 1);
    check_bounds(x, x, 50, .7225, 1);
    check_bounds(x, x, 100, .8389, 1);
    fill(x, 100, 49); // one of 49 threads, always; 1 - 49 * (1.0 / 49) is not zero in binary
    fill(y, 100, 1);
    check_bounds(y, x, 50, .0147, .2923);
    fill(y, 100, 50); // against the rules, but without harm
    check_bounds(y, x, 50, .7225, 1);
    uint32_t varying_x[4] = {1, 3, 0, 2}, zero[4] = {0};
    check_bounds(varying_x, varying_x, 4, .1723, 1);
    check_bounds(zero, varying_x, 4, 0, .8277);
}

// A group of equal snapshots is still that many snapshots.
static void test_unchanging_sums(void **state) {
    (void)state;
    uint32_t x[400];
    fill(x, 400, 8);
    struct interval *iv = interval_create(x, 400, 3200);
    assert_non_null(iv);
    double low, high;
    interval_dense(iv, x, &low, &high);
    interval_destroy(iv);
    assert_true(fabs(low - (1 - 3.8416 / (640 + 3.8416))) < 1e-9);
    assert_true(high == 1);
    fill(many_x, LONGEST, 1);
    check_bounds(many_x, many_x, LONGEST, .9952, 1);
}

// By hand: z = +-1/2, times cos(45 deg) gives a variance of 1, hence one draw; t(1) = 12.7062.
static void test_two_snapshots(void **state) {
    (void)state;
    uint32_t x[2] = {1, 1}, y[2] = {1, 0};
    check_bounds(y, x, 2, .0015, .9985);
}

// One switch in the middle of the run tells next to nothing about the share.
static void test_one_switch(void **state) {
    (void)state;
    uint32_t x[100], y[100];
    fill(x, 100, 1);
    fill(y, 50, 1);
    fill(y + 50, 50, 0);
    double low, high;
    interval_share(y, x, 100, &low, &high);
    assert_true(low < .2 && high > .8);
}

// Always within [0, 1] and around the estimate; the rest of the threads gets the mirror image.
static void test_sane(void **state) {
    (void)state;
    random_state = 7;
    for (int run = 0; run < 2000; run++) {
        uint32_t x[60], y[60], rest[60];
        size_t n = 1 + random_bits() % 60;
        double x_sum = 0, y_sum = 0;
        uint32_t scale = run % 2 ? 1 : UINT32_MAX / 4;
        for (size_t t = 0; t < n; t++) {
            x[t] = (uint32_t)(random_bits() % 5) * scale;
            y[t] = x[t] ? (uint32_t)(random_bits() % ((uint64_t)x[t] + 1)) : 0;
            rest[t] = x[t] - y[t];
            x_sum += x[t];
            y_sum += y[t];
        }
        double low, high, rest_low, rest_high;
        interval_share(y, x, n, &low, &high);
        interval_share(rest, x, n, &rest_low, &rest_high);
        assert_true(low >= 0 && high <= 1 && low <= high);
        assert_true(x_sum == 0 || (low <= y_sum / x_sum && y_sum / x_sum <= high));
        assert_true(x_sum == 0 || fabs(low + rest_high - 1) < 1e-6);
        assert_true(x_sum == 0 || fabs(high + rest_low - 1) < 1e-6);
    }
}

static const struct scenario plain = {.order = RANDOM, .threads = 2, .idle = .3,
                                      .share = {.6, .3, .1}, .snapshots = 1001};

// The same bytes: again, after another function, and from the sparse form in any order.
static void test_repeatable(void **state) {
    (void)state;
    random_state = 3;
    simulate(&plain, many_y, many_x);
    double bounds[5][2], other[2];
    struct interval *iv = interval_create(many_x, plain.snapshots, plain.snapshots);
    assert_non_null(iv);
    interval_dense(iv, many_y[0], &bounds[0][0], &bounds[0][1]);
    interval_dense(iv, many_y[1], &other[0], &other[1]);
    interval_dense(iv, many_y[0], &bounds[1][0], &bounds[1][1]);
    interval_share(many_y[0], many_x, plain.snapshots, &bounds[2][0], &bounds[2][1]);
    uint32_t at[2 * LONGEST], count[2 * LONGEST];
    size_t k = 0;
    for (size_t t = plain.snapshots; t-- > 0;) {
        for (uint32_t i = 0; i < many_y[0][t]; i++) {
            at[k] = (uint32_t)t;
            count[k++] = 1;
        }
    }
    interval_sparse(iv, at, count, k, &bounds[3][0], &bounds[3][1]);
    at[k] = (uint32_t)plain.snapshots; // out of range: without effect
    count[k++] = 99;
    interval_sparse(iv, at, count, k, &bounds[4][0], &bounds[4][1]);
    interval_destroy(iv);
    for (int i = 1; i < 5; i++) {
        assert_memory_equal(bounds[0], bounds[i], sizeof bounds[0]);
    }
    assert_memory_not_equal(bounds[0], other, sizeof other);
}

// A caller who adds up neighbours gets the bytes that the plain snapshots give.
static void test_sums(void **state) {
    (void)state;
    assert_int_equal(interval_group(0), 1);
    assert_int_equal(interval_group(512), 1);
    assert_int_equal(interval_group(513), 2);
    assert_int_equal(interval_group(1024), 2);
    assert_int_equal(interval_group(1000000), 2048);
    static const size_t lengths[] = {512, 513, 1000, 1001, 1023, 1024, 1025, 3999};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t n = lengths[i], group = interval_group(n);
        struct scenario s = plain;
        s.snapshots = n;
        random_state = 4;
        simulate(&s, many_y, many_x);
        uint32_t x[512] = {0}, y[512] = {0};
        for (size_t t = 0; t < n; t++) {
            x[t / group] += many_x[t];
            y[t / group] += many_y[0][t];
        }
        double low, high, low_sums, high_sums;
        interval_share(many_y[0], many_x, n, &low, &high);
        struct interval *iv = interval_create(x, (n + group - 1) / group, n);
        assert_non_null(iv);
        interval_dense(iv, y, &low_sums, &high_sums);
        interval_destroy(iv);
        assert_memory_equal(&low, &low_sums, sizeof low);
        assert_memory_equal(&high, &high_sums, sizeof high);
    }
}

// A million snapshots: linear time and the width that so many draws deserve.
static void test_long(void **state) {
    (void)state;
    size_t n = 1000000;
    uint32_t *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
    assert_true(x && y);
    random_state = 5;
    for (size_t t = 0; t < n; t++) {
        x[t] = 1;
        y[t] = uniform() < .3;
    }
    double low, high;
    interval_share(y, x, n, &low, &high);
    free(x);
    free(y);
    assert_true(low < .3 && high > .3 && high - low > .001 && high - low < .0025);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coverage),        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_unchanging),      cmocka_unit_test(test_unchanging_sums),
        cmocka_unit_test(test_two_snapshots),   cmocka_unit_test(test_one_switch),
        cmocka_unit_test(test_sane),            cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_sums),            cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
