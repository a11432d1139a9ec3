// SPDX-License-Identifier: GPL-3.0-or-later
// gil-held-by-native: a thread holds the GIL and is in native code that does not give it back, while
// others wait for it. A thread that sleeps in the kernel with the GIL is certain: Python's own code
// releases it before each call that may block.
#include <string.h>

#include "diagnose/stack.h"
#include "util/guard.h"

// Of the snapshots: somebody waits, and the holder is in an extension.
#define MEDIUM_SHARE 0.2
#define HIGH_SHARE 0.5
// A call that was seen holding it for so long is 20 switch intervals (sys.getswitchinterval, 5 ms).
#define CALL_NS 100000000ull
// Of one snapshot; fewer are the usual quarrel over it.
#define WAITERS_MIN 2

static size_t gil_waiters(const struct diag *diag, const struct snap_thread *holder)
{
    size_t count = 0;
    for (size_t i = 0; i < diag->count; i++) {
        const struct snap_thread *thread = &diag->threads[i];
        count += thread->pid == holder->pid && thread->interpreter == holder->interpreter &&
                 thread->state == SNAP_GIL_WAIT;
    }
    return count;
}

// Modules of Python's own and of event loops, in which a thread is for moments, again and again: a single
// snapshot that meets it there says nothing.
static bool is_brief(const struct diag *diag, const struct snap_frame *code)
{
    static const char *const modules[] = {
        "_asyncio.",  "_queue.",  "_heapq.",  "_contextvars.", "_socket.",   "_ssl.",
        "select.",    "_struct.", "_bisect.", "_random.",      "math.",      "array.",
        "_datetime.", "_pickle.", "_json.",   "loop.cpython",  "_greenlet.", "_posixsubprocess."};
    const char *module = code ? strtab_get(diag->strings, code->module) : NULL;
    for (size_t i = 0; module && i < ARRAY_SIZE(modules); i++)
        if (strncmp(module, modules[i], strlen(modules[i])) == 0)
            return true;
    return false;
}

static bool blocks(enum snap_state state)
{
    return state == SNAP_SLEEP || state == SNAP_IO_WAIT || state == SNAP_LOCK_WAIT;
}

// What has it: native code by name, else the builtin.
static const struct snap_frame *holder_code(const struct diag *diag, const struct stack *stack)
{
    const struct snap_frame *native = stack_extension(diag, stack), *call = stack_call(stack);
    return native ? native : call && call->kind == SNAP_BUILTIN ? call : NULL;
}

static void say_holder(struct plain *text, const struct diag *diag, const struct snap_frame *code,
                       const struct snap_frame *own)
{
    if (code) {
        plain_str(text, " in ");
        say_frame(text, diag, code);
    }
    if (own) {
        plain_str(text, code ? ", called by " : " in ");
        say_frame(text, diag, own);
    }
}

static void advise(struct draft *draft)
{
    draft_advice(draft, "That code should release the GIL around what takes long "
                        "(Py_BEGIN_ALLOW_THREADS; \"with nogil\" in Cython; ctypes.CDLL instead of "
                        "PyDLL). Until then run it in a process of its own.");
}

static void tell_snapshot(struct diag *diag, uint32_t holder, size_t waiters)
{
    const struct snap_thread *thread = &diag->threads[holder];
    struct stack stack = stack_of_thread(thread);
    const struct snap_frame *code = holder_code(diag, &stack), *own = stack_own(diag, &stack);
    const struct snap_wait *wait = diag_wait(diag, holder);
    size_t all = diag_python_threads(diag, thread->pid);
    bool whole = waiters >= WAITERS_MIN && 2 * waiters + 1 >= all;
    bool certain = blocks(thread->state) &&
                   (diag->source->of_core || whole || (wait && wait->since_ns >= CALL_NS));
    struct draft draft;
    // Not everybody waits: it may well be over at once.
    bool likely = whole || blocks(thread->state) || diag->source->of_core;
    draft_begin(&draft, diag,
                certain  ? DIAG_HIGH
                : likely ? DIAG_MEDIUM
                         : DIAG_LOW,
                SNAP_OBSERVED, all ? (double)waiters / (double)all : -1);
    say_of_threads(&draft.text, waiters, all > waiters ? all : waiters + 1);
    plain_str(&draft.text,
              waiters == 1 ? " waits for the GIL, held by " : " wait for the GIL, held by ");
    say_thread(&draft.text, diag, holder);
    say_holder(&draft.text, diag, code, own);
    if (blocks(thread->state)) {
        plain_str(&draft.text, ", which sleeps in the kernel with it");
        if (thread->syscall) {
            plain_str(&draft.text, " (");
            say_code(&draft.text, diag, thread->syscall);
            plain_str(&draft.text, ")");
        }
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    if (own)
        draft_name(&draft, own->function);
    if (code)
        draft_name(&draft, code->function);
    advise(&draft);
    draft_end(&draft);
}

static void look_at_snapshot(struct diag *diag)
{
    size_t holders = 0;
    for (uint32_t i = 0; i < diag->count && holders < DIAG_TOLD_MAX; i++) {
        const struct snap_thread *thread = &diag->threads[i];
        if (!thread->has_holds_gil || !thread->holds_gil)
            continue;
        holders++; // one for each interpreter and process at most
        struct stack stack = stack_of_thread(thread);
        size_t waiters = gil_waiters(diag, thread);
        bool sleeps = blocks(thread->state) &&
                      (thread->held_still || thread->was_stopped || diag->source->of_core);
        const struct snap_frame *code = stack_extension(diag, &stack);
        bool native =
            code && waiters >= WAITERS_MIN && (diag->source->of_core || !is_brief(diag, code));
        if (waiters && (sleeps || native))
            tell_snapshot(diag, i, waiters);
    }
}

// ---- Over a run ----------------------------------------------------------------------------------

struct held {
    uint64_t samples;
    const struct snap_frame *code, *own; // of the stack that is seen most
    uint32_t function;                   // its innermost one
};

static struct held sum_up(const struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    struct held held = {.function = DIAG_NONE};
    for (size_t i = 0; i < profile->stack_count; i++) {
        const struct prof_stack *from = &profile->stacks[i];
        struct stack stack = stack_of_profile(profile, from);
        const struct snap_frame *code = from->holds_gil ? stack_extension(diag, &stack) : NULL;
        if (!code && !(from->holds_gil && blocks(from->state)))
            continue;
        if (!held.samples && stack.count) {
            held.code = code ? code : holder_code(diag, &stack);
            held.own = stack_own(diag, &stack);
            held.function = profile->frame_function[stack.index[0]];
        }
        held.samples += from->samples;
    }
    return held;
}

static void look_at_profile(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    struct held held = sum_up(diag);
    double share = (double)held.samples / (double)profile->snapshots;
    double waiters = (double)profile->states[SNAP_GIL_WAIT] / (double)profile->snapshots;
    uint64_t longest =
        held.function < profile->function_count ? profile->functions[held.function].longest_ns : 0;
    // Without anybody who wants it, holding it costs nothing.
    if (share < MEDIUM_SHARE || waiters < MEDIUM_SHARE)
        return;
    struct draft draft;
    draft_begin(&draft, diag, share >= HIGH_SHARE && longest >= CALL_NS ? DIAG_HIGH : DIAG_MEDIUM,
                SNAP_OBSERVED, share);
    plain_str(&draft.text, "Native code holds the GIL in ");
    plain_percent(&draft.text, share);
    plain_str(&draft.text, " % of the snapshots without releasing it, most of them");
    say_holder(&draft.text, diag, held.code, held.own);
    plain_add(&draft.text, "; on average %.1f threads wait for it.", waiters);
    draft_title(&draft);
    if (longest) {
        plain_str(&draft.text, "The longest call of it was seen over ");
        plain_duration(&draft.text, longest);
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
    }
    if (held.own)
        draft_name(&draft, held.own->function);
    if (held.code)
        draft_name(&draft, held.code->function);
    advise(&draft);
    draft_end(&draft);
}

void rule_gil_held_by_native(struct diag *diag)
{
    if (diag->profile)
        look_at_profile(diag);
    else
        look_at_snapshot(diag);
}
