// SPDX-License-Identifier: GPL-3.0-or-later
// gc-pressure: garbage collections run in a large share of the snapshots. Without one going on all the
// time a program spends a few per cent on it.
#include "diagnose/diag.h"

#define MEDIUM_SHARE 0.15
#define HIGH_SHARE 0.3
#define SEEN_MIN 5 // snapshots; fewer are accidents

void rule_gc_pressure(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    const struct prof_thread *most = NULL;
    uint64_t seen = 0;
    for (size_t i = 0; profile && i < profile->thread_count; i++) {
        const struct prof_thread *thread = &profile->threads[i];
        seen += thread->in_gc;
        if (!most || thread->in_gc > most->in_gc)
            most = thread;
    }
    // One thread collects at a time, so these are snapshots; of several processes they may be more.
    double share = profile ? (double)seen / (double)profile->snapshots : 0;
    if (seen < SEEN_MIN || share < MEDIUM_SHARE)
        return;
    struct draft draft;
    draft_begin(&draft, diag, share >= HIGH_SHARE ? DIAG_HIGH : DIAG_MEDIUM, SNAP_OBSERVED, share);
    plain_str(&draft.text, "A garbage collection runs in ");
    plain_percent(&draft.text, share > 1 ? 1 : share);
    plain_str(&draft.text, " % of the snapshots");
    if (most->hottest < profile->function_count) {
        plain_str(&draft.text, "; ");
        say_profiled(&draft.text, diag, most);
        plain_str(&draft.text, " works mostly in ");
        say_function(&draft.text, diag, &profile->functions[most->hottest]);
        say_own_caller(&draft.text, diag, most->hottest);
        draft_name(&draft, profile->functions[most->hottest].function);
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    say_profiled(&draft.text, diag, most);
    plain_str(&draft.text, " collects in ");
    plain_count(&draft.text, most->in_gc);
    plain_str(&draft.text, " of ");
    plain_things(&draft.text, profile->snapshots, "snapshot");
    plain_str(&draft.text, ".");
    draft_evidence(&draft);
    draft_advice(&draft,
                 "Call gc.freeze() once what lives for good is there, raise gc.set_threshold(), "
                 "and do not call gc.collect() per request.");
    draft_end(&draft);
}
