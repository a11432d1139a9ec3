// SPDX-License-Identifier: GPL-3.0-or-later
// The answer in plain words, before any table. Each sentence is a number of the profile read
// aloud; what the numbers do not carry is not said.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define FEW_SNAPSHOTS 10
#define FEW_THREADS 9.5
#define WHOLE_TIME 0.9  // of the snapshots: "the whole time"
#define NEXT_SHARE 0.05 // a function below is not worth a sentence
#define NEXT_FUNCTIONS 3
#define GIL_SHARE 0.05 // of a thread's samples
#define LOCK_SHARE 0.5
#define LOCK_PLACES 2
#define WAIT_LEAST 0.1 // of its threads' time in input, output or sleep: worth a sentence;
#define WAIT_MOST 0.8  // more is what idle servers do
#define WAIT_PLACES 2
#define GC_SHARE 0.05
#define UNSEEN_SHARE 0.1
#define READY_SHARE 0.2
#define NATIVE_SHARE 0.1

static void say(struct page *page, const char *label, struct plain *line)
{
    doc_bullet(page->doc, label, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void say_percent(struct plain *line, double share)
{
    plain_percent(line, share);
    plain_str(line, " %");
}

static void say_load(struct page *page, struct plain *line)
{
    const struct prof_report *profile = page->profile;
    uint64_t cpu_ns = profile->has_process_cpu
                          ? profile->process_cpu_ns
                          : profile->cpu_on_stacks_ns + profile->cpu_between_ns;
    double seconds = (double)profile->duration_ns / 1e9;
    double there = weigh_ratio(profile->samples, profile->snapshots);
    if (seconds > 0 && (cpu_ns || profile->has_process_cpu)) {
        double processors = (double)cpu_ns / 1e9 / seconds;
        plain_add(line,
                  processors < 0.005 ? "no processor was kept busy (" : "%.2f processors busy (",
                  processors);
        plain_duration(line, cpu_ns);
        plain_str(line, " of CPU time in ");
        plain_duration(line, profile->duration_ns);
        plain_str(line, "); ");
    }
    if (profile->samples_working == 0)
        plain_str(line, "no thread was seen working.");
    else
        plain_add(line,
                  there < FEW_THREADS && profile->samples % profile->snapshots
                      ? "on average %.1f of %.1f threads worked."
                      : "on average %.1f of %.0f threads worked.",
                  weigh_ratio(profile->samples_working, profile->snapshots), there);
    say(page, "Load", line);
}

// ---- The hottest functions -----------------------------------------------------------------------

// ", called from work() app.py:44 (88 %)". Recursion is no caller. Returns it; UINT32_MAX: none.
static uint32_t say_caller(struct plain *line, const struct page *page, uint32_t index)
{
    const struct prof_report *profile = page->profile;
    const struct prof_edge *best = NULL;
    bool recursive = false, python = profile->functions[index].kind != SNAP_NATIVE;
    for (size_t i = 0; i < profile->edge_count; i++) {
        const struct prof_edge *edge = &profile->edges[i];
        const struct prof_function *other = page_function(page, edge->caller);
        if (edge->callee != index || !other || (python && other->kind == SNAP_NATIVE))
            continue;
        if (edge->caller == index)
            recursive = true;
        else if (!best || weigh_edge(&page->weigh, edge) > weigh_edge(&page->weigh, best))
            best = edge;
    }
    const struct prof_function *caller = best ? page_function(page, best->caller) : NULL;
    plain_str(line, recursive ? ", recursive" : "");
    if (!caller)
        return UINT32_MAX;
    plain_str(line, ", called from ");
    names_say(line, &page->names, caller);
    double share = weigh_ratio(weigh_edge(&page->weigh, best),
                               weigh_total(&page->weigh, &profile->functions[index]));
    if (share < 0.95) {
        plain_str(line, " (");
        say_percent(line, share);
        plain_str(line, " of it)");
    }
    return best->caller;
}

// Many short calls or few long ones: what sampling can say of it.
static void say_calls(struct plain *line, const struct page *page,
                      const struct prof_function *function)
{
    const struct prof_report *profile = page->profile;
    bool whole = profile->snapshots >= 3 &&
                 (double)function->longest_snapshots >= WHOLE_TIME * (double)profile->snapshots;
    if (function->activations == 0)
        return;
    plain_str(line, "; ");
    if (whole && function->activations == 1) {
        plain_str(line, "one call lasted the whole time");
        return;
    }
    plain_str(line, "at least ");
    plain_things(line, function->activations, "call");
    plain_str(line, " seen");
    if (whole) {
        plain_str(line, ", one of them the whole time");
    } else if (function->longest_snapshots > 1) {
        plain_str(line, ", the longest over ");
        plain_duration(line, function->longest_ns);
    } else if (function->activations > 1) {
        plain_str(line, ", none of them in two snapshots");
    }
}

static uint32_t next_by_own(const struct page *page, uint64_t below, uint32_t after)
{
    const struct prof_report *profile = page->profile;
    uint32_t best = UINT32_MAX;
    uint64_t most = 0;
    for (size_t i = 0; i < profile->function_count; i++) {
        uint64_t weight = weigh_own(&page->weigh, &profile->functions[i]);
        bool further = weight < below || (weight == below && i > after);
        if (further && weight > most) {
            most = weight;
            best = (uint32_t)i;
        }
    }
    return best;
}

// The functions after the hottest one, which has `self`.
static void say_next(struct page *page, struct plain *line, uint32_t index, uint64_t self)
{
    size_t said = 0;
    while (said < NEXT_FUNCTIONS) {
        index = next_by_own(page, self, index);
        const struct prof_function *function = page_function(page, index);
        self = function ? weigh_own(&page->weigh, function) : 0;
        if (!function || weigh_share(&page->weigh, self) < NEXT_SHARE)
            break;
        plain_str(line, said++ ? "; " : "");
        say_percent(line, weigh_share(&page->weigh, self));
        plain_str(line, " in ");
        names_say(line, &page->names, function);
        page_say_below(line, page, index, UINT32_MAX);
    }
    if (said) {
        plain_str(line, ".");
        say(page, "Then", line);
    }
}

static void say_hottest(struct page *page, struct plain *line)
{
    uint32_t index = next_by_own(page, UINT64_MAX, UINT32_MAX);
    const struct prof_function *function = page_function(page, index);
    if (!function || page->weigh.fell_back)
        return;
    uint64_t self = weigh_own(&page->weigh, function);
    bool flat = weigh_share(&page->weigh, self) < NEXT_SHARE;
    plain_str(line, flat ? "no function stands out: at most " : "");
    say_percent(line, weigh_share(&page->weigh, self));
    if (page->weigh.kind == REPORT_WEIGHT_SAMPLES && function->own_high > function->own_low) {
        plain_str(line, " (");
        plain_range(line, function->own_low, function->own_high);
        plain_str(line, " %)");
    }
    plain_add(line, " %s is in ", page->weigh.base_words);
    names_say(line, &page->names, function);
    plain_str(line, function->inferred ? " (inferred)" : "");
    if (!flat) {
        page_say_below(line, page, index, say_caller(line, page, index));
        say_calls(line, page, function);
    }
    plain_str(line, ".");
    say(page, "Hottest", line);
    say_next(page, line, index, self);
}

// ---- Threads -------------------------------------------------------------------------------------

// Which Python call the native threads seem to work for: by time where that tells it, else by code.
static void say_pool(struct plain *line, const struct page *page)
{
    const struct prof_report *profile = page->profile;
    const struct prof_pool *pool = &profile->pool;
    if (pool->function == UINT32_MAX || pool->thread == UINT32_MAX) {
        page_say_shared_module(line, page);
        return;
    }
    plain_str(line, ", and in ");
    say_percent(line, weigh_ratio(pool->together, pool->snapshots));
    plain_str(line, " of the snapshots while ");
    page_say_thread(line, page, profile->threads[pool->thread].name,
                    profile->threads[pool->thread].pid, profile->threads[pool->thread].tid);
    plain_str(line, " was in ");
    names_say(line, &page->names, &profile->functions[pool->function]);
    plain_str(line, ": it seems to wait for them (inferred)");
}

static void say_busiest(struct page *page, struct plain *line)
{
    const struct prof_report *profile = page->profile;
    const struct prof_thread *busiest = NULL;
    uint64_t cpu_ns = 0, native_ns = 0;
    size_t native = 0;
    for (size_t i = 0; i < profile->thread_count; i++) {
        const struct prof_thread *thread = &profile->threads[i];
        cpu_ns += thread->cpu_ns;
        if (thread->has_cpu && (!busiest || thread->cpu_ns > busiest->cpu_ns))
            busiest = thread;
        if (!thread->known_to_python) {
            native_ns += thread->cpu_ns;
            native += thread->cpu_ns > 0;
        }
    }
    if (busiest && busiest->cpu_share >= 0.1) {
        page_say_thread(line, page, busiest->name, busiest->pid, busiest->tid);
        plain_str(line, " used ");
        say_percent(line, busiest->cpu_share);
        plain_str(line, " of a processor, ");
        say_percent(line, weigh_ratio(busiest->cpu_ns, cpu_ns));
        plain_str(line, " of all the threads' CPU time.");
        say(page, "Busiest", line);
    }
    if (cpu_ns && weigh_ratio(native_ns, cpu_ns) >= NATIVE_SHARE) {
        plain_things(line, native, "thread");
        plain_str(line, " that Python does not know used ");
        say_percent(line, weigh_ratio(native_ns, cpu_ns));
        plain_str(line, " of the threads' CPU time");
        say_pool(line, page);
        plain_str(line, ".");
        say(page, "Native", line);
    }
}

// The thread that was seen in `state` the most, of those with at least `least` of their samples in it,
// and how many these are. One that lives for a moment has large shares of little.
static const struct prof_thread *worst_of(const struct page *page, enum snap_state state,
                                          double least, size_t *ret_count)
{
    const struct prof_thread *worst = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < page->profile->thread_count; i++) {
        const struct prof_thread *thread = &page->profile->threads[i];
        double share = weigh_ratio(thread->states[state], thread->samples);
        if (share < least)
            continue;
        ++*ret_count;
        if (!worst || thread->states[state] > worst->states[state])
            worst = thread;
    }
    return worst;
}

static void say_gil(struct page *page, struct plain *line)
{
    size_t count;
    const struct prof_thread *worst = worst_of(page, SNAP_GIL_WAIT, GIL_SHARE, &count);
    if (worst) {
        plain_things(line, count, "thread");
        plain_str(line, count == 1 ? " waits for the GIL: " : " wait for the GIL, most of all ");
        page_say_thread(line, page, worst->name, worst->pid, worst->tid);
        plain_str(line, ", in ");
        say_percent(line, weigh_ratio(worst->states[SNAP_GIL_WAIT], worst->samples));
        plain_str(line, " of ");
        if (worst->samples < page->profile->snapshots)
            plain_add(line, "its %llu ", (unsigned long long)worst->samples);
        else
            plain_str(line, "the ");
        plain_str(line, worst->samples == 1 ? "snapshot." : "snapshots.");
        say(page, "GIL", line);
    }
}

// Ready, but on no processor: said when the CPU time that is missing says so too, for what a
// thread does at the moment of a snapshot may be the snapshot's doing.
static void say_ready(struct page *page, struct plain *line)
{
    const struct prof_report *profile = page->profile;
    double ready = weigh_ratio(profile->states[SNAP_RUNNABLE], profile->samples_working);
    double working_ns =
        weigh_ratio(profile->samples_working, profile->snapshots) * (double)profile->duration_ns;
    bool lacks = profile->has_process_cpu &&
                 (double)profile->process_cpu_ns <= (1 - READY_SHARE) * working_ns;
    if (ready < READY_SHARE || !lacks)
        return;
    plain_str(line, "in ");
    say_percent(line, ready);
    plain_str(line, " of their working time threads were ready to run, but on no processor.");
    say(page, "Processor", line);
}

static void say_gc(struct page *page, struct plain *line)
{
    uint64_t in_gc = 0;
    for (size_t i = 0; i < page->profile->thread_count; i++)
        in_gc += page->profile->threads[i].in_gc;
    double share = weigh_ratio(in_gc, page->profile->snapshots);
    if (share < GC_SHARE)
        return;
    plain_str(line, "garbage was being collected in ");
    say_percent(line, share > 1 ? 1 : share);
    plain_str(line, " of the snapshots.");
    say(page, "GC", line);
}

// ---- Waiting -------------------------------------------------------------------------------------

static void say_who(struct plain *line, const struct page *page, const struct wait_place *place)
{
    const struct prof_thread *thread = &page->profile->threads[place->one_thread];
    if (place->threads == 1) {
        page_say_thread(line, page, thread->name, thread->pid, thread->tid);
        return;
    }
    plain_things(line, place->threads, "thread");
    plain_str(line, " (");
    page_say_thread(line, page, thread->name, 0, 0);
    plain_str(line, place->threads == 2 ? " and another)" : " and others)");
}

// " in handshake() db.py:23, below acquire() pool.py:40"
static void say_where(struct plain *line, const struct page *page, const struct stack_place *at)
{
    const struct prof_function *function =
        page_function(page, at->function != UINT32_MAX ? at->function : at->leaf);
    if (function) {
        plain_str(line, " in ");
        names_say(line, &page->names, function);
    }
    const struct prof_function *own = at->own != at->function ? page_function(page, at->own) : NULL;
    if (own) {
        plain_str(line, ", below ");
        names_say(line, &page->names, own);
    }
    plain_str(line, ".");
}

static void say_lock(struct page *page, struct plain *line, const struct wait_place *place)
{
    say_who(line, page, place);
    plain_str(line, place->threads == 1 ? " waits for a lock " : " wait for a lock ");
    say_percent(line, weigh_ratio(place->samples, place->of_samples));
    plain_str(line, " of the time");
    say_where(line, page, &place->at);
    say(page, "Lock", line);
}

// What one's own code waits for now and then: a database, a file, a sleep in a loop.
static void say_wait(struct page *page, struct plain *line, const struct wait_place *place)
{
    say_who(line, page, place);
    plain_str(line, place->threads == 1 ? " spends " : " spend ");
    say_percent(line, weigh_ratio(place->samples, place->of_samples));
    plain_str(line, place->state == SNAP_SLEEP ? " of the time asleep"
                                               : " of the time waiting for input or output");
    say_where(line, page, &place->at);
    say(page, "Waiting", line);
}

static bool is_worth_saying(const struct wait_place *place)
{
    double share = weigh_ratio(place->samples, place->of_samples);
    return (place->state == SNAP_IO_WAIT || place->state == SNAP_SLEEP) &&
           place->at.own != UINT32_MAX && share >= WAIT_LEAST && share <= WAIT_MOST;
}

static void places_deinit(struct wait_places *places)
{
    vec_deinit(places);
}

static void say_waits(struct page *page, struct plain *line)
{
    GUARD(places_deinit) struct wait_places places = {0};
    if (!wait_places_find(page, &places)) {
        page->failed = true;
        return;
    }
    // A lock of one's own code first; then those in libraries, where idle pools wait too.
    size_t said = 0;
    for (int own = 1; own >= 0; own--)
        vec_foreach (place, &places)
            if (place->state == SNAP_LOCK_WAIT && said < LOCK_PLACES &&
                own == (place->at.own != UINT32_MAX && place->at.own == place->at.function) &&
                weigh_ratio(place->samples, place->of_samples) >= LOCK_SHARE) {
                say_lock(page, line, place);
                said++;
            }
    said = 0;
    vec_foreach (place, &places)
        if (said < WAIT_PLACES && is_worth_saying(place)) {
            say_wait(page, line, place);
            said++;
        }
}

static void say_rest(struct page *page, struct plain *line)
{
    const struct prof_report *profile = page->profile;
    if (profile->samples_working == 0 && profile->samples) {
        bool first = true;
        plain_str(line, "all threads wait: ");
        for (int state = 0; state < SNAP_STATE_COUNT; state++) {
            if (!profile->states[state])
                continue;
            plain_str(line, first ? "" : ", ");
            say_percent(line, weigh_ratio(profile->states[state], profile->samples));
            plain_add(line, " of their time in %s", snap_state_name((enum snap_state)state));
            first = false;
        }
        plain_str(line, ".");
        say(page, "Waiting", line);
    }
    if (profile->has_process_cpu &&
        weigh_ratio(profile->cpu_unseen_ns, profile->process_cpu_ns) >= UNSEEN_SHARE) {
        say_percent(line, weigh_ratio(profile->cpu_unseen_ns, profile->process_cpu_ns));
        plain_str(line, " of the CPU time was used by threads that came and went unseen.");
        say(page, "Unseen", line);
    }
    if (profile->snapshots < FEW_SNAPSHOTS) {
        plain_str(line, "only ");
        plain_things(line, profile->snapshots, "snapshot");
        plain_str(line, ": the percentages are rough.");
        say(page, "Careful", line);
    }
}

void page_summary(struct page *page)
{
    GUARD(plain_deinit) struct plain line = {0};
    doc_section(page->doc, "Summary", NULL, 0, 0);
    say_load(page, &line);
    page_say_work(page);
    say_hottest(page, &line);
    page_say_native(page);
    page_say_busiest_process(page);
    say_busiest(page, &line);
    say_gil(page, &line);
    say_ready(page, &line);
    say_waits(page, &line);
    say_gc(page, &line);
    page_say_suspended(page, false);
    page_say_suspended(page, true);
    say_rest(page, &line);
    page->failed |= line.failed;
}
