// SPDX-License-Identifier: GPL-3.0-or-later
// 95 % confidence interval of a share, estimated from snapshots that may be correlated.
#ifndef PROFILE_INTERVAL_H
#define PROFILE_INTERVAL_H

#include <stddef.h>
#include <stdint.h>

// What is estimated: in snapshot t, x[t] threads were seen working, y[t] <= x[t] of them in the
// function of interest. The share is p = sum(y) / sum(x), and the interval is meant to hold the
// value that an endless run of the same program would show. Nothing is random: equal input gives
// equal bytes.
//
// Method. The residuals z = y - p x sum to zero, and the variance of p is their spectrum at
// frequency zero, whatever the correlation: positive (long phases) makes it larger than for
// independent draws, a regular cycle smaller. It is the mean of the squared cosine transform of z
// over the lowest k frequencies, an "equal-weighted cosine" estimate (Lazarus, Lewis, Stock,
// Watson: HAR Inference, J. Business & Economic Statistics 36, 2018). The k values are nearly
// independent, so that Student's t with k degrees of freedom accounts for the short series. k is
// 0.12 N (1 - r1), r1 the first autocorrelation; up to 0.25 N where the first 16 all look like
// chance; within 3..40. The variance, put as a number of independent draws, enters Wilson's
// interval, which suits shares near 0 and 1. A series without any change tells nothing about
// phases: it counts as N / 5 draws (phases of 1 s at the usual 200 ms).
//
// Why this one, by simulation (N = 50..200): 10 batch means cover 90-95 % of phases in random
// order and 99-100 % of cycles at N = 50; 5 of them do better but are wider (independent draws,
// N = 200: .17 instead of .13). A percentile bootstrap of blocks of 5 or 10 covers 81-92 % of the
// larger shares in random order. Autoregressive spectra, order by AIC, cover 89-94 % for partly
// idle threads at N = 30..50, and 100 % of long cycles. Coverage of this one in per cent of 10,000
// runs for shares of 0.7 / 0.2 / 0.1, and mean width for 0.7; last, what the formula for
// independent draws covers:
//
//                              N = 50               N = 100              N = 200        formula
//   independent draws          96 96 97  .27        96 95 96  .19        95 95 95  .13     95
//   2 threads, independent     95 96 95  .19        95 96 95  .13        95 95 95  .09     95
//   phases, random order       95 97 98  .62        96 96 97  .50        95 96 95  .34     58
//   2 threads, random order    96 97 97  .49        95 95 97  .38        95 95 95  .25     58
//   phases, cycle of 3 s       98 98 98  .33        97 97 98  .18        96 96 98  .10   99.8
//   three equal phases of 1 s  98 98 98  .34        97 97 97  .19        96 97 96  .10   99.7
//
// (Phases vary by +-40 %, uniformly; 1 s is their mean in random order; three equal ones have a
// third each.) N = 500..4000: 94-97. Independent draws, shares 0.02..0.98, N = 30..500: 95-97.
// Limits: above 97 % where a run holds fewer than some 6 cycles (99 % for 1 s phases at N = 30;
// 98-99 % for a cycle of ten such phases even at N = 500), and for shares so rare that only a
// phase or two of them was met; down to 89 % for rare phases of exponential length. What the
// threads happened to do in the very time that was sampled is covered almost always: the interval
// speaks of the program, not of that window.

struct interval;

// Snapshots per item that bring a series of that many snapshots to at most 512 items: a power of
// two. Longer series are always summed into consecutive groups of this length, the last perhaps
// shorter, so time is linear. A caller short of memory may do so while it samples - add up
// neighbouring pairs when 512 items are full and more comes - and gets the same bytes from the
// sums.
size_t interval_group(size_t snapshots);

// Prepares for many functions of one run. x: threads working, n items that are plain snapshots
// (snapshots = n) or the sums of equal numbers of consecutive ones, `snapshots` in all. Copies
// what it needs. NULL when out of memory.
struct interval *interval_create(const uint32_t *x, size_t n, size_t snapshots);
void interval_destroy(struct interval *iv);

// One function: y has n items, as x. An empty run (sum(x) = 0) gives the unknown interval [0, 1].
// Not thread safe for one `iv`: it holds the scratch space.
void interval_dense(struct interval *iv, const uint32_t *y, double *ret_low, double *ret_high);

// The same for a series of which only the k non-zero items are kept: count[i] belongs to item
// at[i] < n, in any order; repeated items add up, others than that are left out.
void interval_sparse(struct interval *iv, const uint32_t *at, const uint32_t *count, size_t k,
                     double *ret_low, double *ret_high);

// All of it for a single function of plain snapshots; [0, 1] also when out of memory.
void interval_share(const uint32_t *y, const uint32_t *x, size_t n, double *ret_low,
                    double *ret_high);

#endif
