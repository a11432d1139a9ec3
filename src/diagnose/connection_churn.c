// SPDX-License-Identifier: GPL-3.0-or-later
// connection-churn: much of the time goes into opening and closing connections, in many distinct calls.
// One that takes long to open is something else.
#include "diagnose/stack.h"
#include "util/guard.h"

// Of the samples that work, or wait for input and output other than for new work.
#define MEDIUM_SHARE 0.2
#define HIGH_SHARE 0.5
#define SEEN_MIN 10 // samples
#define CALLS_MIN 10
// Each call was seen so often at most, on average.
#define SAMPLES_PER_CALL 2.0

// CPython: Modules/socketmodule.c, Modules/_ssl.c. `of`: part of the name with its type or module.
static const struct {
    const char *function, *of;
} opens[] = {
    {"connect", "_socket"},       {"connect_ex", "_socket"},  {"getaddrinfo", "_socket"},
    {"gethostbyname", "_socket"}, {"do_handshake", "_ssl"},   {"close", "_socket"},
    {"shutdown", "_ssl"},         {"getnameinfo", "_socket"},
};
// Waiting for work, which is no part of it. Modules/selectmodule.c.
static const char *const idle[] = {"accept", "_accept", "poll", "select", "control"};

static bool is_opening(const struct diag *diag, const struct snap_frame *frame)
{
    const char *qualname = strtab_get(diag->strings, frame->qualname);
    for (size_t i = 0; i < ARRAY_SIZE(opens); i++)
        if (stack_named(diag, frame->function, opens[i].function))
            return !qualname || strstr(qualname, opens[i].of) || strstr(qualname, "socket.");
    return false;
}

static bool is_idle(const struct diag *diag, const struct snap_frame *frame)
{
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
        if (stack_named(diag, frame->function, idle[i]))
            return true;
    return false;
}

struct churn {
    uint64_t samples, of, most;
    const struct snap_frame *call, *own; // of the stack that is seen most
};

static void add_stack(const struct diag *diag, struct churn *churn, const struct prof_stack *from)
{
    struct stack stack = stack_of_profile(diag->profile, from);
    const struct snap_frame *call = stack_call(&stack);
    bool builtin = call && call->kind == SNAP_BUILTIN;
    if (!snap_state_works(from->state) && from->state != SNAP_IO_WAIT)
        return;
    if (from->state == SNAP_IO_WAIT && (!builtin || is_idle(diag, call)))
        return;
    churn->of += from->samples;
    if (!builtin || !is_opening(diag, call))
        return;
    churn->samples += from->samples;
    if (from->samples > churn->most) {
        churn->most = from->samples;
        churn->call = call;
        churn->own = stack_own(diag, &stack);
    }
}

// Calls of these builtins; a lower bound.
static uint64_t count_calls(const struct diag *diag)
{
    uint64_t calls = 0;
    for (size_t i = 0; i < diag->profile->function_count; i++) {
        const struct prof_function *f = &diag->profile->functions[i];
        struct snap_frame frame = {.function = f->function, .qualname = f->qualname};
        if (f->kind == SNAP_BUILTIN && is_opening(diag, &frame))
            calls += f->activations;
    }
    return calls;
}

void rule_connection_churn(struct diag *diag)
{
    struct churn churn = {0};
    if (!diag->profile)
        return;
    for (size_t i = 0; i < diag->profile->stack_count; i++)
        add_stack(diag, &churn, &diag->profile->stacks[i]);
    double share = churn.of ? (double)churn.samples / (double)churn.of : 0;
    uint64_t calls = count_calls(diag);
    if (churn.samples < SEEN_MIN || share < MEDIUM_SHARE || calls < CALLS_MIN ||
        (double)churn.samples > SAMPLES_PER_CALL * (double)calls)
        return;
    struct draft draft;
    draft_begin(&draft, diag, share >= HIGH_SHARE ? DIAG_HIGH : DIAG_MEDIUM, SNAP_OBSERVED, share);
    plain_str(&draft.text, "Opening and closing connections takes ");
    plain_percent(&draft.text, share);
    plain_str(&draft.text, " % of the time that threads work or talk to others, most of it in ");
    say_frame(&draft.text, diag, churn.call);
    if (churn.own) {
        plain_str(&draft.text, ", called by ");
        say_frame(&draft.text, diag, churn.own);
        draft_name(&draft, churn.own->function);
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    plain_things(&draft.text, churn.samples, "sample");
    plain_str(&draft.text, " of ");
    plain_count(&draft.text, churn.of);
    plain_str(&draft.text, ", in at least ");
    plain_things(&draft.text, calls, "distinct call");
    plain_str(&draft.text, ".");
    draft_evidence(&draft);
    draft_advice(&draft,
                 "Keep connections open and use them again: a session or a connection pool per "
                 "process instead of one per request.");
    draft_end(&draft);
}
