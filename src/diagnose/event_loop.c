// SPDX-License-Identifier: GPL-3.0-or-later
// blocking-call-in-event-loop: a thread waits below the frame from which an event loop runs its
// callbacks. The loop's own waiting for events is not below it. While it lasts, nothing else of that
// loop goes on.
#include "diagnose/tasks.h"
#include "util/guard.h"

// What is over at once each time is only felt where it is so much of the time: a lock, which is mostly held
// for moments, or a call that was never seen for long.
#define BRIEF_SHARE 0.1

// What runs callbacks, and what waits for events. `coroutine`: everything else that the loop does is
// below the same frame; only a coroutine makes it a callback. CPython: Lib/asyncio/events.py,
// Handle._run; Lib/asyncio/base_events.py, BaseEventLoop._run_once. Trio: trio/_core/_run.py.
static const struct {
    const char *file, *function;
    bool coroutine;
} loops[] = {
    {"asyncio/events.py", "_run", false},
    {"trio/_core/_run.py", "unrolled_run", true},
};

// asyncio itself blocks for moments (it starts child processes, for one): that is not the program's.
static const struct snap_frame *not_the_loops(const struct diag *diag, const struct stack *inner)
{
    const struct snap_frame *own = stack_own(diag, inner);
    return own && stack_origin(diag, own) != SNAP_LIBRARY ? own : NULL;
}

// The program's code further in than where the loop waits for events: a handler of a signal, which the
// interpreter runs on top of whatever is there.
static const struct snap_frame *signal_handler(const struct diag *diag, const struct stack *stack)
{
    for (size_t i = 0; i < stack->count; i++) {
        struct stack inner = *stack;
        inner.count = i;
        if (stack_is(diag, stack_frame(stack, i), "/selectors.py", "select"))
            return not_the_loops(diag, &inner);
    }
    return NULL;
}

// The callback that blocks, in the frames further in than the loop's; NULL: the loop waits itself.
static const struct snap_frame *blocked_callback(const struct diag *diag, const struct stack *stack)
{
    bool coroutine = false;
    for (size_t i = 0; i < stack->count; i++) {
        const struct snap_frame *frame = stack_frame(stack, i);
        const char *module = strtab_get(diag->strings, frame->module);
        struct stack inner = *stack;
        inner.count = i;
        // A loop inside of a callback of another one: it waits for events all right.
        if (stack_is(diag, frame, "asyncio/base_events.py", "_run_once"))
            return signal_handler(diag, &inner);
        for (size_t j = 0; j < ARRAY_SIZE(loops); j++)
            if (stack_is(diag, frame, loops[j].file, loops[j].function) &&
                (coroutine || !loops[j].coroutine))
                return not_the_loops(diag, &inner);
        // uvloop is one native module, and its callbacks run Python code, coroutines mostly.
        if (frame->kind == SNAP_NATIVE && module && strncmp(module, "loop.cpython", 12) == 0 &&
            coroutine)
            return not_the_loops(diag, &inner);
        coroutine |= (frame->flags & SNAP_FRAME_GENERATOR) != 0;
    }
    return NULL;
}

// uvloop runs callbacks from one native module, and where stacks are without native frames nothing of
// it is seen: below a coroutine it is in a callback, for it never polls from inside of one.
static bool runs_uvloop(const struct diag *diag, pid_t pid, pid_t tid)
{
    uint32_t loop = thread_loop(diag, pid, tid);
    const char *type =
        loop == DIAG_NONE ? NULL
                          : strtab_get(diag->strings, diag_suspended(diag)->loops.items[loop].type);
    return type && strncmp(type, "uvloop.", 7) == 0;
}

static const struct snap_frame *callback_of(const struct diag *diag, pid_t pid, pid_t tid,
                                            const struct stack *stack)
{
    const struct snap_frame *callback = blocked_callback(diag, stack);
    size_t outermost = stack->count;
    if (callback || !runs_uvloop(diag, pid, tid))
        return callback;
    while (outermost && !(stack_frame(stack, outermost - 1)->flags & SNAP_FRAME_GENERATOR))
        outermost--;
    struct stack inner = *stack;
    inner.count = outermost;
    return outermost ? not_the_loops(diag, &inner) : NULL;
}

static bool waits(enum snap_state state)
{
    return state == SNAP_IO_WAIT || state == SNAP_LOCK_WAIT || state == SNAP_SLEEP;
}

struct blocked {
    uint32_t thread; // of the snapshot; DIAG_NONE: it is seen in the profile only
    uint32_t name;
    pid_t tid;
    const struct snap_frame *callback, *call;
    uint64_t samples, of; // 0 of 0: there is no profile
    uint64_t brief;       // of the samples: see is_brief_stack()
    uint32_t now; // the thread of the snapshot, if it is in that call now; DIAG_NONE: it is not
};

// It fell asleep a moment ago, and will wake in one.
static bool naps(const struct diag *diag, uint32_t thread, const struct snap_wait *wait)
{
    int64_t left = !wait ? -1 : wait->left_ns >= 0 ? wait->left_ns : wait->timeout_ns;
    return left >= 0 && left < (int64_t)LOOP_SLOW_NS && diag_ran_lately(diag, thread);
}

// A sleep is there on purpose, and what has lasted is no accident.
static bool is_long(const struct diag *diag, const struct blocked *blocked)
{
    if (blocked->thread == DIAG_NONE)
        return false;
    const struct snap_wait *wait = diag_wait(diag, blocked->thread);
    const struct snap_thread *thread = &diag->threads[blocked->thread];
    uint32_t loop = thread_loop(diag, thread->pid, thread->tid);
    bool sleeps = thread->state == SNAP_SLEEP && !naps(diag, blocked->thread, wait);
    return sleeps || (wait && wait->since_ns >= LOOP_SLOW_NS) ||
           (loop != DIAG_NONE && diag_suspended(diag)->loops.items[loop].same_ns >= LOOP_SLOW_NS);
}

// A lock that was asked for a moment ago.
static bool is_brief(const struct diag *diag, const struct blocked *blocked)
{
    return blocked->thread != DIAG_NONE &&
           diag->threads[blocked->thread].state == SNAP_LOCK_WAIT &&
           diag_ran_lately(diag, blocked->thread);
}

static enum diag_severity severity_of(const struct diag *diag, const struct blocked *blocked)
{
    if (blocked->of)
        return (double)blocked->samples >= LOOP_HIGH_SHARE * (double)blocked->of ? DIAG_HIGH
                                                                            : DIAG_MEDIUM;
    return is_long(diag, blocked) ? DIAG_HIGH : is_brief(diag, blocked) ? DIAG_LOW : DIAG_MEDIUM;
}

static void tell(struct diag *diag, const struct blocked *blocked)
{
    double share = blocked->of ? (double)blocked->samples / (double)blocked->of : -1;
    struct draft draft;
    draft_begin(&draft, diag, severity_of(diag, blocked), SNAP_OBSERVED, share);
    plain_str(&draft.text, "The event loop of ");
    if (blocked->thread != DIAG_NONE)
        say_thread(&draft.text, diag, blocked->thread);
    else if (blocked->name)
        say_code(&draft.text, diag, blocked->name);
    else
        plain_add(&draft.text, "thread %d", (int)blocked->tid);
    plain_str(&draft.text, " stands still");
    if (blocked->of) {
        plain_str(&draft.text, " in ");
        plain_percent(&draft.text, share);
        plain_str(&draft.text, " % of the snapshots");
    }
    plain_str(&draft.text, ": ");
    say_frame(&draft.text, diag, blocked->callback);
    const struct snap_wait *wait = blocked->now != DIAG_NONE ? diag_wait(diag, blocked->now) : NULL;
    if (blocked->call && blocked->call->kind == SNAP_BUILTIN) {
        plain_str(&draft.text, " blocks in ");
        say_frame(&draft.text, diag, blocked->call);
    } else {
        plain_str(&draft.text, " blocks");
    }
    bool called = wait && !wait->what && snap_wait_is_internal(wait->kind) &&
                  wait->kind != SNAP_WAIT_LOCK && wait->kind != SNAP_WAIT_FUTEX;
    if (called || (wait && wait->what && wait->what != diag->threads[blocked->now].syscall)) {
        plain_str(&draft.text, ", waiting for ");
        say_wanted(&draft.text, diag, wait);
    }
    if (blocked->now != DIAG_NONE)
        say_turn(&draft.text, diag, blocked->now);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    if (blocked->of) {
        plain_str(&draft.text, "Seen in ");
        plain_count(&draft.text, blocked->samples);
        plain_str(&draft.text, " of ");
        plain_things(&draft.text, blocked->of, "snapshot");
        plain_str(&draft.text, ", below the frame from which the loop runs its callbacks.");
    } else {
        plain_str(&draft.text,
                  "The call is below the frame from which the loop runs its callbacks; its "
                  "own waiting for events is not.");
    }
    draft_evidence(&draft);
    if (blocked->now != DIAG_NONE)
        add_turn_evidence(&draft, blocked->now);
    draft_name(&draft, blocked->callback->function);
    draft_advice(&draft, "Await an asynchronous form of this call, or run it in a thread: await "
                         "asyncio.to_thread(...), loop.run_in_executor(...).");
    draft_end(&draft);
}

static void look_at_thread(struct diag *diag, uint32_t index)
{
    const struct snap_thread *thread = &diag->threads[index];
    struct stack stack = stack_of_thread(thread);
    struct blocked blocked = {.thread = index, .call = stack_call(&stack)};
    blocked.now = index;
    if (waits(thread->state) &&
        (blocked.callback = callback_of(diag, thread->pid, thread->tid, &stack)))
        tell(diag, &blocked);
}

// The blocked ones among the profile's stacks, by thread; within a thread the most frequent first.
static struct diag_number *find_stacks(const struct diag *diag, size_t *ret_count)
{
    const struct prof_report *profile = diag->profile;
    struct diag_number *found = calloc(profile->stack_count + 1, sizeof(*found));
    *ret_count = 0;
    for (uint32_t i = 0; found && i < profile->stack_count; i++) {
        const struct prof_stack *from = &profile->stacks[i];
        struct stack stack = stack_of_profile(profile, from);
        if (waits(from->state) && callback_of(diag, from->pid, from->tid, &stack))
            found[(*ret_count)++] = (struct diag_number){from->pid, from->tid, i};
    }
    if (found)
        numbers_sort(found, *ret_count);
    return found;
}

// At most so long lasted a call of any function on the stack, and so what blocks in it. Calls that follow at
// the same place may look like one.
static uint64_t longest_call(const struct diag *diag, const struct prof_stack *from)
{
    const struct prof_report *profile = diag->profile;
    uint64_t gap_ns = profile->snapshots ? profile->duration_ns / profile->snapshots : 0;
    uint64_t longest = UINT64_MAX;
    for (size_t i = 0; i < from->frame_count; i++) {
        uint32_t index = profile->frame_function[from->frames[i]];
        const struct prof_function *function = &profile->functions[index];
        if (index < profile->function_count && function->longest_snapshots &&
            function->longest_ns < longest)
            longest = function->longest_ns;
    }
    // It began after the snapshot before the first one that shows it, and ended before the next one.
    return longest < UINT64_MAX - 2 * gap_ns ? longest + 2 * gap_ns : UINT64_MAX;
}

static bool is_brief_stack(const struct diag *diag, const struct prof_stack *from)
{
    return from->state == SNAP_LOCK_WAIT || longest_call(diag, from) < LOOP_SLOW_NS;
}

static uint32_t blocked_now(const struct diag *diag, pid_t pid, pid_t tid,
                            const struct snap_frame *callback, const struct snap_frame *call)
{
    uint32_t index = numbers_find(diag->numbers, diag->count, pid, tid);
    if (index == DIAG_NONE || !waits(diag->threads[index].state))
        return DIAG_NONE;
    struct stack stack = stack_of_thread(&diag->threads[index]);
    const struct snap_frame *its = callback_of(diag, pid, tid, &stack);
    return its && stack_same_function(its, callback) &&
                   stack_same_function(stack_call(&stack), call)
               ? index
               : DIAG_NONE;
}

static void look_at_stacks(struct diag *diag, const struct diag_number *stacks, size_t count)
{
    const struct prof_thread *thread = diag_profiled(diag, stacks[0].pid, stacks[0].tid);
    if (!thread)
        return;
    const struct prof_stack *from = &diag->profile->stacks[stacks[0].index];
    struct stack stack = stack_of_profile(diag->profile, from);
    struct blocked blocked = {.thread = DIAG_NONE,
                              .name = thread->name,
                              .tid = thread->tid,
                              .callback = callback_of(diag, from->pid, from->tid, &stack),
                              .call = stack_call(&stack),
                              .of = thread->samples};
    blocked.now = blocked_now(diag, from->pid, from->tid, blocked.callback, blocked.call);
    for (size_t i = 0; i < count; i++) {
        const struct prof_stack *its = &diag->profile->stacks[stacks[i].index];
        blocked.samples += its->samples;
        blocked.brief += is_brief_stack(diag, its) ? its->samples : 0;
    }
    double of = (double)blocked.of, others = (double)(blocked.samples - blocked.brief);
    bool often = others >= LOOP_MEDIUM_SHARE * of || (double)blocked.samples >= BRIEF_SHARE * of;
    if (blocked.of >= DIAG_SNAPSHOTS_MIN && blocked.samples >= LOOP_SEEN_MIN && often)
        tell(diag, &blocked);
}

static void look_at_profile(struct diag *diag)
{
    size_t count, told = diag->out->findings.count + DIAG_TOLD_MAX;
    AUTO_FREE struct diag_number *stacks = find_stacks(diag, &count);
    diag->failed |= !stacks;
    for (size_t i = 0, next; stacks && i < count && diag->out->findings.count < told; i = next) {
        for (next = i + 1; next < count && stacks[next].pid == stacks[i].pid &&
                           stacks[next].tid == stacks[i].tid;)
            next++;
        look_at_stacks(diag, &stacks[i], next - i);
    }
}

void rule_event_loop(struct diag *diag)
{
    if (diag->profile) {
        look_at_profile(diag);
        return;
    }
    size_t told = diag->out->findings.count + DIAG_TOLD_MAX;
    for (uint32_t i = 0; i < diag->count && diag->out->findings.count < told; i++)
        look_at_thread(diag, i);
}
