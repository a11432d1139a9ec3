// SPDX-License-Identifier: GPL-3.0-or-later
// deadlock: a ring of the wait-for graph. All its threads held still while it was looked at, so it
// is no accident of several moments. A ring that a time limit will break is less than a deadlock.
#include "diagnose/stack.h"

// Longer rings are told in full in the evidence only.
#define TITLE_THREADS 3

// What others wait for, as its holder calls it.
static struct snap_wait as_held(const struct diag *diag, uint32_t holder,
                                const struct snap_wait *wait)
{
    struct snap_wait named = *wait;
    const struct snap_details *details = diag->threads[holder].details;
    if (details)
        vec_foreach (held, &details->held)
            if (held->what && held->object &&
                (held->object == wait->lock || held->object == wait->object))
                named.what = held->what;
    return named;
}

// What is told of with its holder; of a thread or a future that goes without saying.
static bool is_held(enum snap_wait_kind kind)
{
    return diag_is_lock(kind) || kind == SNAP_WAIT_GIL || kind == SNAP_WAIT_SEMAPHORE;
}

// "`T1` holds lock `a` and waits for lock `b`, held by `T2`": `before` waits for it.
static void say_member(struct plain *text, const struct diag *diag, uint32_t thread,
                       uint32_t before)
{
    const struct snap_wait *wait = diag_wait(diag, thread), *its = diag_wait(diag, before);
    const struct snap_frame *at = stack_waiting(diag, thread);
    say_thread(text, diag, thread);
    if (is_held(its->kind)) {
        struct snap_wait held = as_held(diag, thread, its);
        plain_str(text, " holds ");
        say_wanted(text, diag, &held);
        // Its frame stands at a later line by now, so the function is all that is known.
        const struct snap_frames *frames = &diag->threads[thread].frames;
        if (its->owner_frame < frames->count && &frames->items[its->owner_frame] != at) {
            plain_str(text, ", taken in ");
            say_code(text, diag, frames->items[its->owner_frame].function);
        }
        plain_str(text, " and");
    }
    plain_str(text, " waits for ");
    say_wanted(text, diag, wait);
    if (at) {
        plain_str(text, " in ");
        say_frame(text, diag, at);
    }
    if (is_held(wait->kind)) {
        plain_str(text, ", held by ");
        say_thread(text, diag, diag->graph.next[thread]);
    }
}

static uint32_t before(const struct diag_chain *chain, size_t i)
{
    return chain->threads.items[(i ? i : chain->threads.count) - 1];
}

static void say_names(struct plain *text, const struct diag *diag, const struct diag_chain *chain)
{
    size_t count = chain->threads.count, told = count > TITLE_THREADS ? TITLE_THREADS : count;
    for (size_t i = 0; i < told; i++) {
        plain_str(text, i == 0 ? "" : i + 1 < told || told < count ? ", " : " and ");
        say_thread(text, diag, chain->threads.items[i]);
    }
    if (told < count)
        plain_add(text, " and %zu more", count - told);
}

static bool has_time_limit(const struct diag *diag, const struct diag_chain *chain)
{
    for (size_t i = 0; i < chain->threads.count; i++)
        if (diag_has_limit(diag_wait(diag, chain->threads.items[i])))
            return true;
    return false;
}

static void say_title(struct plain *text, const struct diag *diag, const struct diag_chain *chain,
                      bool limited)
{
    size_t count = chain->threads.count;
    if (count == 1) {
        uint32_t thread = chain->threads.items[0];
        const struct snap_frame *at = stack_waiting(diag, thread);
        say_thread(text, diag, thread);
        plain_str(text, " waits for ");
        say_wanted(text, diag, diag_wait(diag, thread));
        if (at) {
            plain_str(text, " in ");
            say_frame(text, diag, at);
        }
        plain_str(text, is_held(diag_wait(diag, thread)->kind) ? ", which it holds itself"
                                                                    : ", which is itself");
    } else {
        say_names(text, diag, chain);
        plain_str(text, count == 2 ? " wait for each other: " : " wait for each other in a ring: ");
        size_t told = count > TITLE_THREADS ? 1 : count;
        for (size_t i = 0; i < told; i++) {
            plain_str(text, i ? "; " : "");
            say_member(text, diag, chain->threads.items[i], before(chain, i));
        }
    }
    plain_str(text, limited ? ", until a time limit ends it." : ".");
}

static void tell(struct diag *diag, const struct diag_chain *chain)
{
    size_t count = chain->threads.count;
    bool limited = has_time_limit(diag, chain);
    size_t all = diag_python_threads(diag, diag->threads[chain->threads.items[0]].pid);
    struct draft draft;
    draft_begin(&draft, diag, limited ? DIAG_MEDIUM : DIAG_HIGH, chain->certainty,
                all ? (double)(count + chain->behind) / (double)all : -1);
    say_title(&draft.text, diag, chain, limited);
    draft_title(&draft);
    for (size_t i = 0; i < count && i < TITLE_THREADS * 10; i++) {
        uint32_t thread = chain->threads.items[i];
        say_member(&draft.text, diag, thread, before(chain, i));
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
        const struct snap_frame *at = stack_waiting(diag, thread);
        if (at)
            draft_name(&draft, at->function);
    }
    if (chain->behind) {
        plain_things(&draft.text, chain->behind, "further thread");
        plain_add(&draft.text, " %s behind them, directly or through others.",
                  chain->behind == 1 ? "waits" : "wait");
        draft_evidence(&draft);
    }
    draft_advice(&draft,
                 count == 1 ? "A lock that its holder may want again has to be an RLock; or the "
                              "inner function must not take it."
                            : "Take these locks in the same order everywhere, or give up the first "
                              "while waiting for the next. Only a restart ends this one.");
    draft_end(&draft);
}

void rule_deadlock(struct diag *diag)
{
    size_t told = 0;
    vec_foreach (chain, &diag->out->chains)
        if (chain->cycle && told++ < DIAG_TOLD_MAX)
            tell(diag, chain);
}
