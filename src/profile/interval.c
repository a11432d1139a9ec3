// SPDX-License-Identifier: GPL-3.0-or-later
// Confidence interval of a share from correlated snapshots: long-run variance from the lowest
// cosine frequencies of the residuals, Student's t, Wilson's form. See the header for the why.
#include "profile/interval.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    ITEMS_MAX = 512,    // a longer series is summed into groups
    FREQS_MAX = 40,     // t(40) is 3 % above the normal quantile: more would gain nothing
    FREQS_MIN = 3,      // fewer cost more width (t(2) = 4.3) than they save in bias
    LAGS = 16,          // autocorrelations looked at
    PHASE_SNAPSHOTS = 5 // phases that a series without any change may still consist of
};

// Frequencies averaged per item, before the factor (1 - first autocorrelation): of a correlated
// series, and of one whose autocorrelations all look like chance. Found by simulation.
static const double freqs_correlated = 0.12;
static const double freqs_independent = 0.25;

// The long-run variance is taken for at least this part of the plain one. Cyclic phases come down
// to 0.3 in simulation; a far smaller estimate is luck, or a program in step with the snapshots.
static const double variance_floor = 0.05;

// 97.5 % quantiles of Student's t for 1..FREQS_MAX degrees of freedom, and of the normal.
static const double student[FREQS_MAX] = {
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010,  2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796,  2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
    2.0395,  2.0369, 2.0345, 2.0322, 2.0301, 2.0281, 2.0262, 2.0244, 2.0227, 2.0211,
};
static const double normal = 1.9600;

struct interval {
    size_t n;                 // the caller's items
    size_t pool;              // of them in one of ours
    size_t items;             // ours, at most ITEMS_MAX
    double snapshots;         // behind them
    double x_sum;             // threads working, all
    double x_cos[FREQS_MAX];  // cosine transform of x
    double x[ITEMS_MAX];      // threads working
    double y[ITEMS_MAX];      // scratch: threads in the function
    double z[ITEMS_MAX];      // scratch: residuals
    double wave[][FREQS_MAX]; // [item][frequency - 1]: orthogonal to each other and to 1
};

size_t interval_group(size_t snapshots)
{
    size_t group = 1;
    while (snapshots > group * ITEMS_MAX) {
        group *= 2;
    }
    return group;
}

// Adds for every frequency the sum of the items of v times the wave.
static void transform(const struct interval *iv, const double *v, double sum[FREQS_MAX])
{
    for (int j = 0; j < FREQS_MAX; j++) {
        sum[j] = 0;
    }
    for (size_t t = 0; t < iv->items; t++) {
        if (v[t] != 0) {
            for (int j = 0; j < FREQS_MAX; j++) {
                sum[j] += v[t] * iv->wave[t][j];
            }
        }
    }
}

// cos(angle), cos(2 angle), ... by cos((j + 1) a) = 2 cos(a) cos(j a) - cos((j - 1) a).
static void fill_waves(double wave[FREQS_MAX], double angle)
{
    double first = cos(angle), before = 1;
    wave[0] = first;
    for (int j = 1; j < FREQS_MAX; j++) {
        wave[j] = 2 * first * wave[j - 1] - before;
        before = wave[j - 1];
    }
}

struct interval *interval_create(const uint32_t *x, size_t n, size_t snapshots)
{
    size_t pool = interval_group(n);
    size_t items = n / pool + (n % pool != 0);
    struct interval *iv = calloc(1, sizeof *iv + items * sizeof iv->wave[0]);
    if (!iv) {
        return NULL;
    }
    iv->n = n;
    iv->pool = pool;
    iv->items = items;
    iv->snapshots = (double)snapshots;
    for (size_t t = 0; t < n; t++) {
        iv->x[t / pool] += x[t];
        iv->x_sum += x[t];
    }
    for (size_t t = 0; t < items; t++) {
        fill_waves(iv->wave[t], M_PI * ((double)t + 0.5) / (double)items);
    }
    transform(iv, iv->x, iv->x_cos);
    return iv;
}

void interval_destroy(struct interval *iv)
{
    free(iv);
}

// Sum of the products of z with itself `lag` items later.
static double lagged(const struct interval *iv, size_t lag)
{
    double sum = 0;
    for (size_t t = lag; t < iv->items; t++) {
        sum += iv->z[t] * iv->z[t - lag];
    }
    return sum;
}

// How many frequencies to average: the more correlated, the nearer to zero must they lie, where
// the spectrum of z is still about as high as at zero. `power` is the sum of z squared.
static int frequencies(const struct interval *iv, double power)
{
    double n = (double)iv->items;
    double first = 0, largest = 0;
    for (size_t lag = 1; lag <= LAGS && lag < iv->items; lag++) {
        double r = lagged(iv, lag) / power + 1 / n; // bias of r without correlation: -1/n
        if (lag == 1) {
            first = fmax(0, r);
        }
        largest = fmax(largest, fabs(r));
    }
    // Chance makes r about 1/sqrt(n). Up to twice that passes for none, from three times on it
    // is correlation, in between the two rules are mixed.
    double chance = fmin(1, fmax(0, 3 - largest * sqrt(n)));
    double part = freqs_correlated + (freqs_independent - freqs_correlated) * chance;
    double count = floor(part * n * (1 - first) + 0.5);
    count = fmin(FREQS_MAX, fmax(FREQS_MIN, count));
    return (int)fmin(count, n - 1);
}

// Nothing ever changed: neither variance nor correlation can be estimated. Anything may have gone
// on in an unseen part q of the time: Wilson's bound for 0 of snapshots / PHASE_SNAPSHOTS draws.
static void bounds_unchanging(const struct interval *iv, double p, double *low, double *high)
{
    double q = normal * normal / (iv->snapshots / PHASE_SNAPSHOTS + normal * normal);
    *low = p * (1 - q);
    *high = p + (1 - p) * q;
}

// Wilson's interval for `draws` effective independent draws.
static void bounds_wilson(double p, double draws, double quantile, double *low, double *high)
{
    double q = quantile * quantile / draws;
    double middle = (p + q / 2) / (1 + q);
    double half = sqrt(q * p * (1 - p) + q * q / 4) / (1 + q);
    *low = fmin(p, fmax(0, middle - half));
    *high = fmax(p, fmin(1, middle + half));
}

// The function whose counts are in iv->y.
static void estimate(struct interval *iv, double *low, double *high)
{
    double y_sum = 0, x_squares = 0, power = 0;
    for (size_t t = 0; t < iv->items; t++) {
        y_sum += iv->y[t];
        x_squares += iv->x[t] * iv->x[t];
    }
    if (iv->x_sum <= 0) {
        *low = 0;
        *high = 1;
        return;
    }
    double p = fmin(1, y_sum / iv->x_sum);
    for (size_t t = 0; t < iv->items; t++) {
        iv->z[t] = iv->y[t] - p * iv->x[t];
        power += iv->z[t] * iv->z[t];
    }
    if (p <= 0 || p >= 1 || iv->items < 2 || power <= 1e-20 * x_squares) { // rounding: 1e-32
        bounds_unchanging(iv, p, low, high);
        return;
    }
    int count = frequencies(iv, power);
    double y_cos[FREQS_MAX];
    transform(iv, iv->y, y_cos);
    double sum = 0;
    for (int j = 0; j < count; j++) {
        double z_cos = y_cos[j] - p * iv->x_cos[j];
        sum += z_cos * z_cos;
    }
    // The squared waves sum to items / 2, so 2 * z_cos^2 estimates the variance of the sum of z.
    double variance = fmax(2 * sum / count, variance_floor * power);
    double draws = p * (1 - p) * iv->x_sum * iv->x_sum / variance;
    bounds_wilson(p, draws, student[count - 1], low, high);
}

static void clear(struct interval *iv)
{
    for (size_t t = 0; t < iv->items; t++) {
        iv->y[t] = 0;
    }
}

void interval_dense(struct interval *iv, const uint32_t *y, double *ret_low, double *ret_high)
{
    clear(iv);
    for (size_t t = 0; t < iv->n; t++) {
        iv->y[t / iv->pool] += y[t];
    }
    estimate(iv, ret_low, ret_high);
}

void interval_sparse(struct interval *iv, const uint32_t *at, const uint32_t *count, size_t k,
                     double *ret_low, double *ret_high)
{
    clear(iv);
    for (size_t i = 0; i < k; i++) {
        if (at[i] < iv->n) {
            iv->y[at[i] / iv->pool] += count[i];
        }
    }
    estimate(iv, ret_low, ret_high);
}

void interval_share(const uint32_t *y, const uint32_t *x, size_t n, double *ret_low,
                    double *ret_high)
{
    struct interval *iv = interval_create(x, n, n);
    if (!iv) {
        *ret_low = 0;
        *ret_high = 1;
        return;
    }
    interval_dense(iv, y, ret_low, ret_high);
    interval_destroy(iv);
}
