// SPDX-License-Identifier: GPL-3.0-or-later
// native-oversubscription: more threads of native pools (BLAS, OpenMP, torch: those that Python does not
// know) want to run at a time than there are processors to run them.
#include "diagnose/diag.h"

// Threads that want to run, per processor. A pool that is as large as the machine has 1.
#define MEDIUM_TIMES 1.5
#define HIGH_TIMES 3.0
#define SEEN_MIN 5 // snapshots in which they work
// Of all snapshots: what is lost in fewer is not worth while.
#define MEDIUM_SHARE 0.1
#define HIGH_SHARE 0.3

void rule_native_oversubscription(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    const struct snap_environment *e = &diag->source->environment;
    double processors = e->processors > 0 ? (double)e->processors : 0;
    if (e->cgroup_processors > 0 && (processors <= 0 || e->cgroup_processors < processors))
        processors = e->cgroup_processors;
    if (!profile || processors <= 0 || profile->pool.snapshots < SEEN_MIN)
        return;
    const struct prof_pool *pool = &profile->pool;
    double at_a_time = (double)pool->samples_working / (double)pool->snapshots;
    double times = at_a_time / processors;
    double share = (double)pool->snapshots / (double)profile->snapshots;
    if ((double)pool->threads <= processors || times < MEDIUM_TIMES || share < MEDIUM_SHARE)
        return;
    struct draft draft;
    bool high = times >= HIGH_TIMES && share >= HIGH_SHARE;
    draft_begin(&draft, diag, high ? DIAG_HIGH : DIAG_MEDIUM, SNAP_OBSERVED, share);
    plain_add(&draft.text, "%.0f native threads want to run at a time, on ", at_a_time);
    plain_add(&draft.text, processors < 10 ? "%.1f processors" : "%.0f processors", processors);
    plain_str(&draft.text, ": they take the processor from each other.");
    draft_title(&draft);
    plain_things(&draft.text, pool->threads, "thread");
    plain_str(&draft.text, " that Python does not know; at least one of them works in ");
    plain_count(&draft.text, pool->snapshots);
    plain_str(&draft.text, " of ");
    plain_things(&draft.text, profile->snapshots, "snapshot");
    if (pool->function < profile->function_count) {
        plain_str(&draft.text, ", together with ");
        say_function(&draft.text, diag, &profile->functions[pool->function]);
        draft_name(&draft, profile->functions[pool->function].function);
    }
    plain_str(&draft.text, ".");
    draft_evidence(&draft);
    draft_advice(&draft,
                 "Limit the pools: OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, "
                 "threadpoolctl, torch.set_num_threads(); processes x threads of each should "
                 "not exceed the processors.");
    draft_end(&draft);
}
