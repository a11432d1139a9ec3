// SPDX-License-Identifier: GPL-3.0-or-later
// connection-churn: much of the time goes into opening and closing connections, in many distinct calls.
// One that takes long to open is something else: its thread does not use any processor meanwhile.
#include "diagnose/stack.h"
#include "util/guard.h"

// Of the samples that work, or wait for input and output other than for new work.
#define MEDIUM_SHARE 0.2
#define HIGH_SHARE 0.5
// Threads that do it at a time, on average: of a process that hardly does anything no share is told.
#define MEDIUM_THREADS 0.1
#define HIGH_THREADS 0.25
#define SEEN_MIN 10 // samples
#define CALLS_MIN 10
// Each call was seen so often at most, on average, or in so small a part of the run. A call that follows
// at the same place looks like the one before, so this does not go for the waits of a thread that runs
// between the snapshots ...
#define SAMPLES_PER_CALL 2.0
#define RUN_PER_CALL 0.2
// ... for so long at least, on average: what opening a connection to the same machine costs.
#define ROUND_NS 20000ull

// CPython: Modules/socketmodule.c, _ssl.c, _sqlite/; psycopg2: psycopg/psycopgmodule.c. `of`: part of the
// name with its type or module; `common`: a name that without it may be anything's.
static const struct {
    const char *function, *of;
    bool common;
} opens[] = {
    {"__init__", "_socket", true},       {"connect", "_socket", false},
    {"connect_ex", "_socket", false},    {"getaddrinfo", "_socket", false},
    {"gethostbyname", "_socket", false}, {"getnameinfo", "_socket", false},
    {"close", "_socket", true},          {"do_handshake", "_ssl", false},
    {"shutdown", "_ssl", false},         {"connect", "sqlite3", false},
    {"close", "sqlite3", true},          {"_connect", "psycopg2", false},
    {"_wrap_socket", "_ssl", false},     {"set_default_verify_paths", "_ssl", false},
    {"load_cert_chain", "_ssl", false},  {"load_verify_locations", "_ssl", false},
};
// What installed packages call the whole of it: within, the other side is asked for its greeting, and told
// who comes. PyMySQL: Connection.__init__, connect; redis, urllib3, amqp, ldap3: connect; pymongo:
// create_connection.
static const char *const openers[] = {"__init__", "connect", "_connect", "connect_ex",
                                      "create_connection", "_create_connection", "open_connection"};
// Waiting for work, which is no part of it. Modules/selectmodule.c.
static const char *const idle[] = {"accept", "_accept", "poll", "select", "control"};

static bool is_opening(const struct diag *diag, const struct snap_frame *frame)
{
    const char *qualname = strtab_get(diag->strings, frame->qualname);
    for (size_t i = 0; i < ARRAY_SIZE(opens); i++)
        if (stack_named(diag, frame->function, opens[i].function) &&
            (qualname ? strstr(qualname, opens[i].of) != NULL : !opens[i].common))
            return true;
    return false;
}

static bool is_idle(const struct diag *diag, const struct snap_frame *frame)
{
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
        if (stack_named(diag, frame->function, idle[i]))
            return true;
    return false;
}

// Its thread waits again and again, not for long once.
static bool comes_round(const struct diag *diag, const struct prof_stack *from)
{
    const struct prof_thread *thread = diag_profiled(diag, from->pid, from->tid);
    return thread && thread->has_cpu && thread->states[SNAP_IO_WAIT] &&
           thread->cpu_between_ns >= ROUND_NS * thread->states[SNAP_IO_WAIT];
}

struct churn_function {
    bool opener;                 // one of a package's, which was seen to connect
    uint64_t called;             // samples of which it is the innermost
    uint64_t largest;            // ... most of them with one stack,
    const struct snap_frame *own; // of which this is the program's frame
};

struct churn {
    struct churn_function *functions; // as in the profile
    uint64_t samples, of, most;
    uint64_t rounds;                     // of the samples
    const struct snap_frame *call, *own; // in which most of the samples are
};

static uint32_t function_at(const struct diag *diag, const struct prof_stack *from, size_t i)
{
    return diag->profile->frame_function[from->frames[i]];
}

static bool is_opener(const struct diag *diag, const struct snap_frame *frame)
{
    bool is = false;
    for (size_t i = 0; i < ARRAY_SIZE(openers) && frame->kind == SNAP_PYTHON; i++)
        is |= stack_named(diag, frame->function, openers[i]);
    return is && stack_origin(diag, frame) == SNAP_PACKAGE;
}

static void mark_openers(const struct diag *diag, struct churn *churn,
                         const struct prof_stack *from)
{
    struct stack stack = stack_of_profile(diag->profile, from);
    const struct snap_frame *call = stack_call(&stack);
    bool connects = call && call->kind == SNAP_BUILTIN && is_opening(diag, call);
    for (size_t i = 0; i < stack.count && connects; i++) {
        uint32_t function = function_at(diag, from, i);
        // Again and again, not a program that runs in a constructor.
        if (diag->profile->functions[function].activations >= CALLS_MIN &&
            is_opener(diag, stack_frame(&stack, i)))
            churn->functions[function].opener = true;
    }
}

static bool is_within_opener(const struct diag *diag, const struct churn *churn,
                             const struct prof_stack *from)
{
    for (size_t i = 0; i < from->frame_count; i++)
        if (churn->functions[function_at(diag, from, i)].opener)
            return true;
    return false;
}

// Stacks differ by more than what is called: by state, and by native frames.
static void add_call(const struct diag *diag, struct churn *churn, const struct prof_stack *from,
                     const struct stack *stack)
{
    size_t at = 0;
    while (stack_frame(stack, at) != stack_call(stack))
        at++;
    struct churn_function *function = &churn->functions[function_at(diag, from, at)];
    function->called += from->samples;
    if (from->samples > function->largest) {
        function->largest = from->samples;
        function->own = stack_own(diag, stack);
    }
    if (function->called > churn->most) {
        churn->most = function->called;
        churn->call = stack_frame(stack, at);
        churn->own = function->own;
    }
}

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
    if (!(builtin && is_opening(diag, call)) && !is_within_opener(diag, churn, from))
        return;
    churn->samples += from->samples;
    churn->rounds += comes_round(diag, from) ? from->samples : 0;
    add_call(diag, churn, from, &stack);
}

// Calls of these builtins, or of what opens as a whole; a lower bound.
static uint64_t count_calls(const struct diag *diag, const struct churn *churn)
{
    uint64_t calls = 0, whole = 0;
    for (size_t i = 0; i < diag->profile->function_count; i++) {
        const struct prof_function *f = &diag->profile->functions[i];
        struct snap_frame frame = {.function = f->function, .qualname = f->qualname};
        if (f->kind == SNAP_BUILTIN && is_opening(diag, &frame))
            calls += f->activations;
        if (churn->functions[i].opener && f->activations > whole)
            whole = f->activations;
    }
    return calls > whole ? calls : whole;
}

static void tell(struct diag *diag, const struct churn *churn, uint64_t calls,
                 enum diag_severity severity)
{
    double share = (double)churn->samples / (double)churn->of;
    struct draft draft;
    draft_begin(&draft, diag, severity, SNAP_OBSERVED, share);
    plain_str(&draft.text, "Opening and closing connections takes ");
    plain_percent(&draft.text, share);
    plain_str(&draft.text, " % of the time that threads work or talk to others, most of it in ");
    say_frame(&draft.text, diag, churn->call);
    if (churn->own) {
        plain_str(&draft.text, ", called by ");
        say_frame(&draft.text, diag, churn->own);
        draft_name(&draft, churn->own->function);
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    plain_things(&draft.text, churn->samples, "sample");
    plain_str(&draft.text, " of ");
    plain_count(&draft.text, churn->of);
    if (churn->rounds) {
        plain_str(&draft.text, "; between them these threads ran, so they are of many calls.");
    } else {
        plain_str(&draft.text, ", in at least ");
        plain_things(&draft.text, calls, "distinct call");
        plain_str(&draft.text, ".");
    }
    draft_evidence(&draft);
    draft_advice(&draft,
                 "Keep connections open and use them again: a session or a connection pool per "
                 "process instead of one per request.");
    draft_end(&draft);
}

void rule_connection_churn(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    struct churn churn = {0};
    if (!profile)
        return;
    AUTO_FREE struct churn_function *functions =
        calloc(profile->function_count + 1, sizeof(*functions));
    if (!(churn.functions = functions))
        return;
    for (size_t i = 0; i < profile->stack_count; i++)
        mark_openers(diag, &churn, &profile->stacks[i]);
    for (size_t i = 0; i < profile->stack_count; i++)
        add_stack(diag, &churn, &profile->stacks[i]);
    double share = churn.of ? (double)churn.samples / (double)churn.of : 0;
    double threads = (double)churn.samples / (double)profile->snapshots;
    uint64_t calls = count_calls(diag, &churn), single = churn.samples - churn.rounds;
    double per_call = RUN_PER_CALL * (double)profile->snapshots;
    per_call = per_call > SAMPLES_PER_CALL ? per_call : SAMPLES_PER_CALL;
    bool many = calls + churn.rounds >= CALLS_MIN && (double)single <= per_call * (double)calls;
    if (!many || churn.samples < SEEN_MIN || share < MEDIUM_SHARE || threads < MEDIUM_THREADS)
        return;
    bool high = share >= HIGH_SHARE && threads >= HIGH_THREADS;
    tell(diag, &churn, calls, high ? DIAG_HIGH : DIAG_MEDIUM);
}
