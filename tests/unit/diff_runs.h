// SPDX-License-Identifier: GPL-3.0-or-later
// Simulated runs of a program whose true shares are known, as profiles: what a comparison says of
// two of them can be held against the truth. Fixed seeds: the outcome is always the same.
#ifndef TESTS_DIFF_RUNS_H
#define TESTS_DIFF_RUNS_H

#include "profile/diff.h"
#include "snap_maker.h"

enum { LEAVES = 8 };

struct program {
    double share[LEAVES]; // of leaf functions, in order; the rest of 1 is nobody's
    double phase_s;       // mean length of a stay in one of them; 0: drawn anew each snapshot
    bool cyclic;          // one after the other, each for its share of 8 phases
    int threads;
    size_t snapshots;
    double works; // chance that a thread is at work when looked at
};

struct simulated {
    struct strtab *strings;
    struct prof_report *report;
};

static uint64_t random_state;

// splitmix64 (Steele, Lea, Flood 2014)
static double uniform(void)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int draw_leaf(const struct program *program)
{
    double u = uniform();
    int leaf = 0;
    for (; leaf < LEAVES - 1 && u >= program->share[leaf]; leaf++)
        u -= program->share[leaf];
    return leaf;
}

struct stay {
    int leaf;
    double until_s;
};

static int leaf_at(const struct program *program, struct stay *stay, double at_s)
{
    if (program->phase_s <= 0)
        return draw_leaf(program);
    while (stay->until_s <= at_s) {
        double length = program->phase_s;
        if (program->cyclic) {
            stay->leaf = (stay->leaf + 1) % LEAVES;
            length *= LEAVES * program->share[stay->leaf];
        } else {
            stay->leaf = draw_leaf(program);
        }
        stay->until_s += length * (0.6 + 0.8 * uniform());
    }
    return stay->leaf;
}

// Every thread: main > loop > stage_0 or stage_1 (of even and odd leaves) > leaf_N > native code.
static struct simulated simulate(const struct program *program)
{
    struct simulated run = {.strings = strtab_create()};
    struct profile *profile = profile_create(run.strings);
    struct stay stays[16] = {{0, 0}};
    double begin_s = 100 * uniform();
    for (int k = 0; k < program->threads; k++)
        stays[k] = (struct stay){(int)(uniform() * LEAVES), begin_s - 100 * uniform()};
    for (size_t i = 0; i < program->snapshots; i++) {
        struct snapshot *snapshot = snapshot_create();
        snapshot->at_ns = i * 200000000u;
        double at_s = begin_s + 0.2 * ((double)i + uniform());
        for (int k = 0; k < program->threads; k++) {
            char stack[100];
            int leaf = leaf_at(program, &stays[k], at_s);
            bool works = program->works <= 0 || uniform() < program->works;
            snprintf(stack, sizeof(stack), "code_%d~ leaf_%d:1 stage_%d:2 loop:3 main:4", leaf % 3,
                     leaf, leaf % 2);
            make_thread(run.strings, snapshot, 100 + k, works ? SNAP_RUNNING : SNAP_SLEEP, stack);
        }
        profile_add(profile, snapshot);
        snapshot_destroy(snapshot);
    }
    struct prof_run about = {.interval_ns = 200000000u,
                             .duration_ns = program->snapshots * 200000000u};
    run.report = profile_report(profile, &about);
    profile_destroy(profile);
    return run;
}

static void simulated_deinit(struct simulated *run)
{
    prof_report_destroy(run->report);
    strtab_destroy(run->strings);
}

static struct prof_diff *compare(const struct simulated *before, const struct simulated *after)
{
    const struct diff_input runs[DIFF_SIDES] = {{before->report, before->strings},
                                                {after->report, after->strings}};
    struct prof_diff *diff = NULL;
    struct err *err = prof_diff_create(runs, &diff);
    err_destroy(err);
    return diff;
}

// The function of that name; NULL: there is none.
static const struct diff_function *function_named(const struct prof_diff *diff,
                                                  const struct simulated *before,
                                                  const struct simulated *after, const char *name)
{
    const struct simulated *runs[DIFF_SIDES] = {before, after};
    for (size_t i = 0; i < diff->function_count; i++)
        for (int side = 0; side < DIFF_SIDES; side++) {
            uint32_t index = diff->functions[i].index[side];
            if (index == DIFF_NONE)
                continue;
            const struct prof_function *f = &runs[side]->report->functions[index];
            const char *text = strtab_get(runs[side]->strings, f->function);
            if (text && strcmp(text, name) == 0)
                return &diff->functions[i];
        }
    return NULL;
}

#endif
