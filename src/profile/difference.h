// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a share differs between two runs by more than noise, from the 95 % bounds that each run
// states (profile/interval.h). Nothing else of the runs is needed, so a comparison of two JSON
// reports says what a comparison of the captures behind them says.
//
// The bounds of a share are Wilson's for so many effective independent draws, at Student's t of so
// many degrees of freedom. Both are recovered here: Wilson's bound u of a share p solves
// (u - p)^2 = q u (1 - u) with q = t^2 / draws. The ratio of samples to draws is the design effect;
// it says how correlated the samples are, and with that, how many frequencies the bounds rest on.
// Then bounds can be had at any other level, too, which is what the test of many functions needs.
//
// The difference of two shares: Newcombe's square-and-add method (Interval estimation for the
// difference between independent proportions, Statistics in Medicine 17, 1998, method 10), which
// needs no more than bounds of each (MOVER: Zou and Donner, Statistics in Medicine 27, 2008):
//     low  = d - sqrt((p2 - low2)^2 + (high1 - p1)^2),  d = p2 - p1
//     high = d + sqrt((high2 - p2)^2 + (p1 - low1)^2)
// The p-value is that of the level at which this interval begins to hold zero.
#ifndef PROFILE_DIFFERENCE_H
#define PROFILE_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct share {
    double part, whole; // samples
    double p;           // part / whole; 0 without samples
    double draws;       // effective independent ones behind it; 0: nothing is known
    double freedom;     // degrees of freedom of its variance
    double effect;      // design effect; 0: nothing in the run ever changed, so it is not known
};

// `low` and `high` as the run states them for part / whole.
struct share share_of_bounds(uint64_t part, uint64_t whole, uint64_t snapshots, double low,
                             double high);
// A share whose samples are as correlated as those of `like`, of the same run.
struct share share_like(const struct share *like, uint64_t part);
// A share that never changed (0 or 1) says nothing of correlation. If the two runs are alike, which
// is what is tested, the other run's says it: each takes it from the other where it lacks it.
void share_pair(struct share *one, uint64_t snapshots_one, struct share *other,
                uint64_t snapshots_other);

// 1.96: 95 %. The quantile of the normal distribution says the level here.
#define SHARE_95 1.959964

void share_bounds(const struct share *share, double quantile, double *ret_low, double *ret_high);
// Of after - before. Without any knowledge: [-1, 1].
void share_difference(const struct share *before, const struct share *after, double quantile,
                      double *ret_low, double *ret_high);
// Two-sided; 1 where the shares are equal or nothing is known.
double share_p_value(const struct share *before, const struct share *after);

// The least p-value that `part` samples of both runs together could have: all of them in the run
// where that is the less likely. A hypothesis whose least one is too large cannot be rejected
// whatever happens, and takes no part in the family (Tarone, Biometrics 46, 1990).
double share_least_p_value(double part, double whole_before, double whole_after);

struct hypothesis {
    double p_value, least_p_value;
    bool tested, rejected; // results
};
// Leaves out what cannot be rejected (tested = false), and holds the chance of any wrong rejection
// among the others to `alpha` by Holm's step-down (Scandinavian J. of Statistics 6, 1979), which
// needs nothing of how they depend on each other. `scratch` has room for `count`. The number tested.
size_t hypotheses_test(struct hypothesis *items, struct hypothesis **scratch, size_t count,
                       double alpha);

#endif
