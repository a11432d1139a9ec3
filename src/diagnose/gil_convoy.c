// SPDX-License-Identifier: GPL-3.0-or-later
// gil-convoy: threads that could work wait for the GIL instead. Snapshots fall at random moments, so the
// share of them in which a thread waits is the share of time.
#include "diagnose/diag.h"

// Of the thread samples that worked or would have. Two threads that compute lose half of their time;
// below a fifth there is something better to look at.
#define MEDIUM_SHARE 0.2
#define HIGH_SHARE 0.5
// Threads that wait at a time, on average: with less than half of one, hardly any time is lost.
#define MEDIUM_THREADS 0.5
#define HIGH_THREADS 1.0
#define HOLDERS_TOLD 3

static const struct prof_thread *main_holder(const struct prof_report *profile)
{
    const struct prof_thread *most = NULL;
    for (size_t i = 0; i < profile->thread_count; i++)
        if (profile->threads[i].gil_held > (most ? most->gil_held : 0))
            most = &profile->threads[i];
    return most && most->hottest < profile->function_count ? most : NULL;
}

// The threads that held it in most snapshots.
static void say_holders(struct draft *draft, const struct prof_report *profile)
{
    uint64_t bound = UINT64_MAX;
    size_t after = 0;
    for (size_t told = 0; told < HOLDERS_TOLD; told++) {
        size_t best = profile->thread_count;
        for (size_t i = 0; i < profile->thread_count; i++) {
            uint64_t held = profile->threads[i].gil_held;
            bool new = held < bound || (held == bound && i > after);
            if (held && new &&
                (best == profile->thread_count || held > profile->threads[best].gil_held))
                best = i;
        }
        if (best == profile->thread_count)
            return;
        const struct prof_thread *thread = &profile->threads[best];
        bound = thread->gil_held;
        after = best;
        say_profiled(&draft->text, draft->diag, thread);
        plain_str(&draft->text, " held it in ");
        plain_percent(&draft->text, (double)thread->gil_held / (double)profile->snapshots);
        plain_str(&draft->text, " % of the snapshots");
        if (thread->hottest < profile->function_count) {
            plain_str(&draft->text, ", mostly in ");
            say_function(&draft->text, draft->diag, &profile->functions[thread->hottest]);
            draft_name(draft, profile->functions[thread->hottest].function);
        }
        plain_str(&draft->text, ".");
        draft_evidence(draft);
    }
}

void rule_gil_convoy(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    if (!profile)
        return;
    double waiting = (double)profile->states[SNAP_GIL_WAIT];
    double wanted = waiting + (double)profile->samples_working;
    double share = wanted > 0 ? waiting / wanted : 0;
    double threads = waiting / (double)profile->snapshots;
    if (share < MEDIUM_SHARE || threads < MEDIUM_THREADS)
        return;
    struct draft draft;
    bool high = share >= HIGH_SHARE && threads >= HIGH_THREADS;
    draft_begin(&draft, diag, high ? DIAG_HIGH : DIAG_MEDIUM, SNAP_OBSERVED, share);
    plain_str(&draft.text, "Threads that could work wait for the GIL in ");
    plain_percent(&draft.text, share);
    plain_add(&draft.text, " %% of their time; on average %.1f wait at a time", threads);
    const struct prof_thread *holder = main_holder(profile);
    if (holder) {
        plain_str(&draft.text, "; most often ");
        say_profiled(&draft.text, diag, holder);
        plain_str(&draft.text, " has it, mostly in ");
        say_function(&draft.text, diag, &profile->functions[holder->hottest]);
        say_own_caller(&draft.text, diag, holder->hottest);
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    plain_count(&draft.text, profile->states[SNAP_GIL_WAIT]);
    plain_str(&draft.text, " thread samples wait for it, ");
    plain_count(&draft.text, profile->samples_working);
    plain_str(&draft.text, " work");
    if (profile->duration_ns) {
        plain_str(&draft.text, "; that is ");
        plain_duration(&draft.text, (uint64_t)(threads * (double)profile->duration_ns));
        plain_str(&draft.text, " of thread time lost in ");
        plain_duration(&draft.text, profile->duration_ns);
    }
    plain_str(&draft.text, ".");
    draft_evidence(&draft);
    say_holders(&draft, profile);
    draft_advice(&draft, "More threads make this worse. Use processes for what computes, code that "
                         "releases the GIL, or a free-threaded Python; a smaller "
                         "sys.setswitchinterval() only shortens single waits.");
    draft_end(&draft);
}
