// SPDX-License-Identifier: GPL-3.0-or-later
// The verdict: the first finding that matters, else what the process does: it is HOT, BUSY or IDLE,
// and nothing wrong was seen.
#include "diagnose/verdict.h"

#include <signal.h>

#include "diagnose/stack.h"

// A process that wants less of a processor than this, on average, has no hot spot worth the first line
// of a report.
#define HOT_DEMAND 0.5
// With less, it waits for most of the time.
#define BUSY_DEMAND 0.05
// A function that has less of the working time leads nobody to anything.
#define HOT_SHARE 0.25
// Kinds of waits that an idle verdict counts up.
#define IDLE_KINDS_TOLD 3

static const char *word_of(const struct diag_finding *finding)
{
    for (const struct diag_rule *rule = diag_rules; rule->id; rule++)
        if (rule->id == finding->id)
            return finding->severity == DIAG_HIGH ? rule->word : rule->milder;
    return "";
}

static void finish(struct diag *diag, const char *word, struct plain *text)
{
    diag->out->word = word;
    diag->out->verdict = text->bytes;
    diag->failed |= text->failed || !text->bytes;
}

static bool say_finding(struct diag *diag)
{
    const struct diag_findings *findings = &diag->out->findings;
    if (!findings->count || findings->items[0].severity < DIAG_MEDIUM)
        return false;
    const struct diag_finding *first = &findings->items[0];
    struct plain text = {0};
    plain_add(&text, "%s - %s", word_of(first), first->title);
    finish(diag, word_of(first), &text);
    fingerprint_make(diag, first->id, first->bucket, 4);
    return true;
}

// A loop at rest that nothing can wake is more than "nothing is wrong", and less than an alarm.
static bool say_asleep(struct diag *diag)
{
    vec_foreach (finding, &diag->out->findings) {
        if (strcmp(finding->id, "loop-asleep") != 0)
            continue;
        struct plain text = {0};
        plain_add(&text, "%s - %s", word_of(finding), finding->title);
        finish(diag, word_of(finding), &text);
        fingerprint_make(diag, finding->id, finding->bucket, 4);
        return true;
    }
    return false;
}

static const struct prof_function *hottest(const struct prof_report *profile)
{
    const struct prof_function *best = NULL;
    for (size_t i = 0; i < profile->function_count; i++)
        if (!best || profile->functions[i].own_working > best->own_working)
            best = &profile->functions[i];
    return best && best->own_working ? best : NULL;
}

// How many threads work at a time, on average. On a busy machine they get less than they want.
static double demand(const struct prof_report *profile)
{
    return (double)profile->samples_working / (double)profile->snapshots;
}

static bool say_hot(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    if (!profile || !profile->samples_working || !profile->duration_ns)
        return false;
    const struct prof_function *function = hottest(profile);
    if (!function || demand(profile) < HOT_DEMAND)
        return false;
    double share = (double)function->own_working / (double)profile->samples_working;
    if (share < HOT_SHARE)
        return false;
    struct plain text = {0};
    plain_str(&text, "HOT - ");
    plain_percent(&text, share);
    plain_str(&text, " % of the working time is in ");
    say_function(&text, diag, function);
    say_own_caller(&text, diag, (uint32_t)(function - profile->functions));
    if (function->own_high > 0) {
        plain_str(&text, " (95 % sure: ");
        plain_range(&text, function->own_low, function->own_high);
        plain_str(&text, " %)");
    }
    plain_str(&text, "; nothing is wrong that can be seen.");
    finish(diag, "HOT", &text);
    fingerprint_make(diag, "hot", &function->function, 1);
    return true;
}

struct tally {
    size_t works, waits, unknown, kinds[SNAP_WAIT_COUNT];
};

static struct tally count_threads(const struct diag *diag)
{
    struct tally tally = {0};
    for (uint32_t i = 0; i < diag->count; i++) {
        const struct snap_thread *thread = &diag->threads[i];
        const struct snap_details *details = thread->details;
        tally.works += snap_state_works(thread->state);
        tally.unknown += thread->state == SNAP_UNKNOWN;
        if (!snap_state_works(thread->state) && thread->state != SNAP_UNKNOWN) {
            tally.waits++;
            if (details && details->wait.kind < SNAP_WAIT_COUNT)
                tally.kinds[details->wait.kind]++;
        }
    }
    return tally;
}

// "(10 queue-get, 2 poll)"
static void say_kinds(struct plain *text, struct tally *tally)
{
    for (size_t told = 0; told < IDLE_KINDS_TOLD; told++) {
        size_t best = SNAP_WAIT_NONE;
        for (size_t kind = SNAP_WAIT_NONE + 1; kind < SNAP_WAIT_COUNT; kind++)
            if (tally->kinds[kind] > (best ? tally->kinds[best] : 0))
                best = kind;
        if (!best) {
            if (told)
                plain_str(text, ")");
            return;
        }
        plain_str(text, told ? ", " : " (");
        plain_count(text, tally->kinds[best]);
        plain_add(text, " %s", snap_wait_name((enum snap_wait_kind)best));
        tally->kinds[best] = 0;
    }
    plain_str(text, ")");
}

// A thread that works, with the code that a person looks for.
static const struct snap_frame *find_working(const struct diag *diag, uint32_t *ret_thread)
{
    for (uint32_t i = 0; i < diag->count; i++) {
        struct stack stack = stack_of_thread(&diag->threads[i]);
        const struct snap_frame *own = stack_own(diag, &stack);
        if (own && snap_state_works(diag->threads[i].state)) {
            *ret_thread = i;
            return own;
        }
    }
    return NULL;
}

// Over a run, what it used says more than what it did last.
static bool say_run(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    if (!profile || !profile->duration_ns || !profile->has_process_cpu)
        return false;
    double cpu = (double)profile->process_cpu_ns / (double)profile->duration_ns;
    const struct prof_function *function = hottest(profile);
    bool busy = demand(profile) >= BUSY_DEMAND;
    struct plain text = {0};
    plain_add(&text, "%s - nothing is wrong that can be seen", busy ? "BUSY" : "IDLE");
    if (!busy)
        say_nobody_left(&text, diag);
    plain_str(&text, ": ");
    plain_things(&text, profile->thread_count, "thread");
    plain_add(&text, " %s ", profile->thread_count == 1 ? "uses" : "use");
    plain_percent(&text, cpu);
    plain_str(&text, " % of a processor");
    if (busy && function) {
        plain_str(&text, ", most often in ");
        say_function(&text, diag, function);
        say_own_caller(&text, diag, (uint32_t)(function - profile->functions));
    }
    if (!busy)
        say_main_thread(&text, diag);
    say_suspended(&text, diag);
    plain_str(&text, ".");
    finish(diag, busy ? "BUSY" : "IDLE", &text);
    fingerprint_make(diag, busy ? "busy" : "idle", busy && function ? &function->function : NULL,
                     busy && function ? 1 : 0);
    return true;
}

static void say_quiet(struct diag *diag)
{
    struct tally tally = count_threads(diag);
    uint32_t thread = 0;
    const struct snap_frame *working = find_working(diag, &thread);
    bool busy = tally.works > 0;
    struct plain text = {0};
    plain_add(&text, "%s - nothing is wrong that can be seen", busy ? "BUSY" : "IDLE");
    if (!busy)
        say_nobody_left(&text, diag);
    plain_str(&text, ": ");
    if (busy) {
        if (diag->count == 1)
            plain_str(&text, "the only thread works");
        else
            plain_add(&text, "%zu of %zu threads %s", tally.works, diag->count,
                      tally.works == 1 ? "works" : "work");
        if (working) {
            plain_str(&text, ", ");
            say_thread(&text, diag, thread);
            plain_str(&text, " in ");
            say_frame(&text, diag, working);
        }
    } else if (!tally.waits) {
        plain_str(&text, "what its threads do is not known");
    } else if (tally.unknown) {
        plain_count(&text, tally.waits);
        plain_add(&text, " of %zu threads %s", diag->count, tally.waits == 1 ? "waits" : "wait");
    } else {
        plain_str(&text, tally.waits == 1 ? "the only thread waits" : "all ");
        if (tally.waits > 1) {
            plain_things(&text, tally.waits, "thread");
            plain_str(&text, " wait");
        }
    }
    if (!busy) {
        say_kinds(&text, &tally);
        say_main_thread(&text, diag);
    }
    say_suspended(&text, diag);
    const struct snap_signal *signal = &diag->source->signal;
    // Debuggers leave one of these two in the cores that they write.
    if (diag->source->of_core && signal->name && signal->signo != SIGTRAP &&
        signal->signo != SIGSTOP) {
        plain_str(&text, "; the core was made by ");
        say_code(&text, diag, signal->name);
        if (signal->has_sender)
            plain_add(&text, ", which process %d sent", (int)signal->sender_pid);
    }
    plain_str(&text, ".");
    finish(diag, busy ? "BUSY" : "IDLE", &text);
    fingerprint_make(diag, busy ? "busy" : "idle", working ? &working->function : NULL,
                     working ? 1 : 0);
}

void verdict_say(struct diag *diag)
{
    if (!say_finding(diag) && !say_hot(diag) && !say_asleep(diag) && !say_run(diag))
        say_quiet(diag);
}
