// SPDX-License-Identifier: GPL-3.0-or-later
// See the header for the method.
#include "profile/difference.h"

#include <math.h>
#include <stdlib.h>

// As src/profile/interval.c chooses them: the number of frequencies, and of snapshots that a phase
// may last of a run without any change.
#define PART_CORRELATED 0.12
#define PART_INDEPENDENT 0.25
#define FREEDOM_MIN 3
#define FREEDOM_MAX 40
#define ITEMS_MAX 512.0
#define PHASE_SNAPSHOTS 5

#define QUANTILE_MAX 12.0 // p = 4e-33
#define ROUNDS 60         // of halving: to the last bit

// Student's quantile of that normal one, within 1.2 % from 3 degrees of freedom on (D. L. Wallace,
// Bounds on normal approximations to Student's and the chi-square distributions, Annals of
// Mathematical Statistics 30, 1959).
static double student(double quantile, double freedom)
{
    double z = quantile * (8 * freedom + 3) / (8 * freedom + 1);
    return sqrt(freedom * expm1(z * z / freedom));
}

// Of that many snapshots, when neighbouring ones are so correlated: the first autocorrelation of
// which a process of first order has this design effect is (effect - 1) / (effect + 1). From 1.5 on
// it is no longer taken for chance.
static double freedom_of(double snapshots, double effect)
{
    double items = fmin(snapshots, ITEMS_MAX);
    double chance = fmin(1, fmax(0, 2 * (1.5 - effect)));
    double part = PART_CORRELATED + (PART_INDEPENDENT - PART_CORRELATED) * chance;
    double count = part * items * 2 / (1 + fmax(1, effect));
    return fmin(FREEDOM_MAX, fmax(FREEDOM_MIN, count));
}

// q = t^2 / draws of Wilson's bound; 0: this bound does not say it.
static double spread_of(double p, double bound)
{
    double room = bound * (1 - bound);
    return room > 1e-9 && bound != p ? (bound - p) * (bound - p) / room : 0;
}

struct share share_of_bounds(uint64_t part, uint64_t whole, uint64_t snapshots, double low,
                             double high)
{
    struct share share = {.part = (double)part, .whole = (double)whole};
    if (whole == 0 || snapshots == 0)
        return share;
    share.p = fmin(1, share.part / share.whole);
    if (part == 0 || part >= whole) {
        share.draws = fmin(share.whole, (double)snapshots / PHASE_SNAPSHOTS);
        share.freedom = FREEDOM_MAX;
        return share;
    }
    double below = spread_of(share.p, low), above = spread_of(share.p, high);
    double spread = below > 0 && above > 0 ? sqrt(below * above) : below > 0 ? below : above;
    if (!(spread > 0) || low < 0 || high > 1)
        return share;
    share.freedom = FREEDOM_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        double t = student(SHARE_95, share.freedom);
        share.draws = t * t / spread;
        share.effect = share.whole / share.draws;
        double next = freedom_of((double)snapshots, share.effect);
        if (fabs(next - share.freedom) < 1e-6)
            break;
        share.freedom = (share.freedom + next) / 2;
    }
    return share;
}

struct share share_like(const struct share *like, uint64_t part)
{
    struct share share = *like;
    share.part = (double)part;
    share.p = like->whole > 0 ? fmin(1, share.part / like->whole) : 0;
    return share;
}

static void take_effect(struct share *share, const struct share *from, uint64_t snapshots)
{
    share->effect = fmax(1, from->effect);
    share->draws = share->whole / share->effect;
    share->freedom = freedom_of((double)snapshots, share->effect);
}

void share_pair(struct share *one, uint64_t snapshots_one, struct share *other,
                uint64_t snapshots_other)
{
    if (one->effect == 0 && other->effect > 0 && one->draws > 0)
        take_effect(one, other, snapshots_one);
    else if (other->effect == 0 && one->effect > 0 && other->draws > 0)
        take_effect(other, one, snapshots_other);
}

static void wilson(const struct share *share, double t, double *ret_low, double *ret_high)
{
    double p = share->p, q = t * t / share->draws;
    double middle = (p + q / 2) / (1 + q);
    double half = sqrt(q * p * (1 - p) + q * q / 4) / (1 + q);
    *ret_low = fmin(p, fmax(0, middle - half));
    *ret_high = fmax(p, fmin(1, middle + half));
}

void share_bounds(const struct share *share, double quantile, double *ret_low, double *ret_high)
{
    *ret_low = 0;
    *ret_high = 1;
    if (share->draws > 0)
        wilson(share, student(quantile, share->freedom), ret_low, ret_high);
}

// Of the sum of both variances (Welch and Satterthwaite). Two draws are added of each kind, so that
// shares of 0 and 1 have a variance, too (Agresti and Coull, The American Statistician 52, 1998).
static double freedom_of_both(const struct share *one, const struct share *other)
{
    const struct share *shares[] = {one, other};
    double sum = 0, squares = 0;
    for (int i = 0; i < 2; i++) {
        double n = shares[i]->draws + 4, p = (shares[i]->p * shares[i]->draws + 2) / n;
        double variance = p * (1 - p) / n;
        sum += variance;
        squares += variance * variance / shares[i]->freedom;
    }
    return sum * sum / squares;
}

void share_difference(const struct share *before, const struct share *after, double quantile,
                      double *ret_low, double *ret_high)
{
    *ret_low = -1;
    *ret_high = 1;
    if (!(before->draws > 0 && after->draws > 0))
        return;
    double low1, high1, low2, high2, change = after->p - before->p;
    double t = student(quantile, freedom_of_both(before, after));
    wilson(before, t, &low1, &high1);
    wilson(after, t, &low2, &high2);
    *ret_low = change - hypot(after->p - low2, high1 - before->p);
    *ret_high = change + hypot(high2 - after->p, before->p - low1);
}

double share_p_value(const struct share *before, const struct share *after)
{
    if (!(before->draws > 0 && after->draws > 0) || before->p == after->p)
        return 1;
    double inside = 0, outside = QUANTILE_MAX; // zero lies outside at the one, inside at the other
    for (int round = 0; round < ROUNDS; round++) {
        double low, high, middle = (inside + outside) / 2;
        share_difference(before, after, middle, &low, &high);
        if (low > 0 || high < 0)
            inside = middle;
        else
            outside = middle;
    }
    return erfc(inside / sqrt(2));
}

double share_least_p_value(double part, double whole_before, double whole_after)
{
    double whole = whole_before + whole_after;
    double less = fmin(whole_before, whole_after);
    return whole > 0 && part > 0 ? fmin(1, 2 * pow(less / whole, part)) : 1;
}

static int by_least(const void *left, const void *right)
{
    const struct hypothesis *a = *(struct hypothesis *const *)left;
    const struct hypothesis *b = *(struct hypothesis *const *)right;
    return (a->least_p_value > b->least_p_value) - (a->least_p_value < b->least_p_value);
}

static int by_p_value(const void *left, const void *right)
{
    const struct hypothesis *a = *(struct hypothesis *const *)left;
    const struct hypothesis *b = *(struct hypothesis *const *)right;
    return (a->p_value > b->p_value) - (a->p_value < b->p_value);
}

size_t hypotheses_test(struct hypothesis *items, struct hypothesis **scratch, size_t count,
                       double alpha)
{
    for (size_t i = 0; i < count; i++) {
        items[i].tested = items[i].rejected = false;
        scratch[i] = &items[i];
    }
    // The largest number of hypotheses all of which could be rejected among so many.
    qsort(scratch, count, sizeof(*scratch), by_least);
    size_t tested = 0;
    while (tested < count && scratch[tested]->least_p_value <= alpha / (double)(tested + 1))
        tested++;
    // Equals are in or out together: which of them comes first is an accident.
    while (tested && tested < count &&
           scratch[tested - 1]->least_p_value == scratch[tested]->least_p_value)
        tested--;
    for (size_t i = 0; i < tested; i++)
        scratch[i]->tested = true;
    qsort(scratch, tested, sizeof(*scratch), by_p_value);
    for (size_t i = 0; i < tested && scratch[i]->p_value <= alpha / (double)(tested - i); i++)
        scratch[i]->rejected = true;
    return tested;
}
