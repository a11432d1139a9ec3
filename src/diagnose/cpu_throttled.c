// SPDX-License-Identifier: GPL-3.0-or-later
// cpu-throttled: the kernel took the process off its processors because its cgroup's quota was used up
// (cpu.stat of cgroup v2: nr_periods, nr_throttled, throttled_usec; Linux, cgroup-v2.rst).
#include "diagnose/diag.h"

// A period is 100 ms by default (cpu.max): fewer are less than a second.
#define PERIODS_MIN 10
#define MEDIUM_SHARE 0.1
#define HIGH_SHARE 0.5

void rule_cpu_throttled(struct diag *diag)
{
    const struct snap_environment *e = &diag->source->environment;
    if (!e->has_throttling || e->periods < PERIODS_MIN)
        return;
    double share = (double)e->throttled_periods / (double)e->periods;
    if (share < MEDIUM_SHARE)
        return;
    struct draft draft;
    draft_begin(&draft, diag, share >= HIGH_SHARE ? DIAG_HIGH : DIAG_MEDIUM, SNAP_OBSERVED, share);
    plain_str(&draft.text, "The cgroup's CPU quota was used up in ");
    plain_percent(&draft.text, share > 1 ? 1 : share);
    plain_str(&draft.text, " % of its periods: the process stood still for the rest of them.");
    draft_title(&draft);
    plain_count(&draft.text, e->throttled_periods);
    plain_str(&draft.text, " of ");
    plain_things(&draft.text, e->periods, "period");
    plain_str(&draft.text, " were throttled, for ");
    plain_duration(&draft.text, e->throttled_ns);
    if (e->cgroup_processors > 0)
        plain_add(&draft.text, "; the quota is %.2f processors", e->cgroup_processors);
    plain_str(&draft.text, ".");
    draft_evidence(&draft);
    draft_advice(&draft,
                 "Raise the quota (cpu.max; limits.cpu of a container), or start no more threads "
                 "and processes than it pays for: libraries count the machine's processors.");
    draft_end(&draft);
}
