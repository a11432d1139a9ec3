// SPDX-License-Identifier: GPL-3.0-or-later
// blocked-hub: a greenlet of gevent or eventlet makes a call that blocks its thread, in code that is
// not patched or not Python. While it lasts, no other greenlet of that thread goes on. When the hub
// itself runs, its waiting is how a server at rest looks, unless it is in a callback of the program.
#include "diagnose/tasks.h"

// One runs in each thread; each costs a look at all greenlets.
#define GREENLET_THREADS_MAX 64
// A chain of parents is a handful: the hub, the main one.
#define PARENTS_MAX 100

static bool waits(enum snap_state state)
{
    return state == SNAP_IO_WAIT || state == SNAP_LOCK_WAIT || state == SNAP_SLEEP;
}

struct hub {
    uint32_t thread;
    uint32_t running; // greenlet
    bool has_hub;     // of gevent or eventlet: others have greenlets without a loop
    size_t behind;    // greenlets that may want to go on
};

// Greenlets that it will go back to when it ends wait for it on purpose.
static bool is_ancestor(const struct snap_greenlets *greenlets, uint32_t running, uint32_t other)
{
    uint32_t at = running;
    for (size_t i = 0; i < PARENTS_MAX && at < greenlets->count; i++)
        if ((at = greenlets->items[at].parent) == other)
            return true;
    return false;
}

enum where { IN_GREENLET, IN_HUB, IN_CALLBACK };

// Greenlets are read a little later than the thread's stack, which tells for itself whether the hub's
// loop is in it. gevent: gevent/hub.py, Hub.run; eventlet: eventlet/hubs/hub.py, BaseHub.run. What of the
// program is further in, the loop called.
static enum where place_of(const struct diag *diag, uint32_t thread)
{
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    bool own = false;
    for (size_t i = 0; i < stack.count; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        if (stack_is(diag, frame, "gevent/hub.py", "run") ||
            stack_is(diag, frame, "eventlet/hubs/hub.py", "run"))
            return own ? IN_CALLBACK : IN_HUB;
        own |= frame->kind == SNAP_PYTHON && stack_origin(diag, frame) == SNAP_OWN_CODE;
    }
    return IN_GREENLET;
}

// It waited while its greenlets were looked at, too.
static bool is_still(const struct diag *diag, uint32_t thread, bool hub_runs)
{
    enum where where = place_of(diag, thread);
    return waits(diag->threads[thread].state) &&
           where == (hub_runs ? IN_CALLBACK : IN_GREENLET) &&
           (diag->threads[thread].held_still || diag->source->of_core);
}

static struct hub look_at(const struct diag *diag, uint32_t running)
{
    const struct snap_greenlets *greenlets = &diag_suspended(diag)->greenlets;
    const struct snap_greenlet *its = &greenlets->items[running];
    struct hub hub = {.running = running, .has_hub = its->is_hub};
    hub.thread =
        its->tid ? numbers_find(diag->numbers, diag->count, its->pid, its->tid) : DIAG_NONE;
    if (hub.thread == DIAG_NONE || !is_still(diag, hub.thread, its->is_hub))
        return hub;
    for (uint32_t i = 0; i < greenlets->count; i++) {
        const struct snap_greenlet *other = &greenlets->items[i];
        if (i == running || other->pid != its->pid || other->tid != its->tid)
            continue;
        hub.has_hub |= other->is_hub;
        hub.behind +=
            !other->is_hub && !is_ancestor(greenlets, running, i) &&
            (other->state == SNAP_GREENLET_SUSPENDED || other->state == SNAP_GREENLET_CREATED);
    }
    return hub;
}

// In how many samples of its thread the same function waits in the same call.
static uint64_t samples_there(const struct diag *diag, const struct hub *hub)
{
    const struct snap_thread *thread = &diag->threads[hub->thread];
    struct stack now = stack_of_thread(thread);
    const struct snap_frame *own = stack_own(diag, &now), *call = stack_call(&now);
    uint64_t samples = 0;
    for (size_t i = 0; own && call && i < diag->profile->stack_count; i++) {
        const struct prof_stack *from = &diag->profile->stacks[i];
        if (from->pid != thread->pid || from->tid != thread->tid || !waits(from->state))
            continue;
        struct stack stack = stack_of_profile(diag->profile, from);
        const struct snap_frame *its = stack_own(diag, &stack), *calls = stack_call(&stack);
        if (its && calls && stack_same_function(its, own) && stack_same_function(calls, call))
            samples += from->samples;
    }
    return samples;
}

// False: of a run it is too rare to be told.
static bool weigh(const struct diag *diag, const struct hub *hub, enum diag_severity *ret,
                  double *ret_share)
{
    const struct snap_thread *thread = &diag->threads[hub->thread];
    const struct prof_thread *its = diag_profiled(diag, thread->pid, thread->tid);
    const struct snap_wait *wait = diag_wait(diag, hub->thread);
    *ret_share = -1;
    *ret = thread->state == SNAP_SLEEP || (wait && wait->since_ns >= LOOP_SLOW_NS) ? DIAG_HIGH
                                                                              : DIAG_MEDIUM;
    if (!diag->profile)
        return true;
    uint64_t samples = samples_there(diag, hub), of = its ? its->samples : 0;
    *ret_share = of ? (double)samples / (double)of : 0;
    *ret = *ret_share >= LOOP_HIGH_SHARE ? DIAG_HIGH : DIAG_MEDIUM;
    return of >= DIAG_SNAPSHOTS_MIN && samples >= LOOP_SEEN_MIN && *ret_share >= LOOP_MEDIUM_SHARE;
}

static void tell(struct diag *diag, const struct hub *hub)
{
    enum diag_severity severity;
    double share;
    if (!weigh(diag, hub, &severity, &share))
        return;
    struct stack stack = stack_of_thread(&diag->threads[hub->thread]);
    const struct snap_frame *own = stack_own(diag, &stack), *call = stack_call(&stack);
    const struct snap_wait *wait = diag_wait(diag, hub->thread);
    struct draft draft;
    draft_begin(&draft, diag, severity, SNAP_OBSERVED, share);
    plain_str(&draft.text, "The hub of ");
    say_thread(&draft.text, diag, hub->thread);
    plain_str(&draft.text, " stands still");
    if (share >= 0) {
        plain_str(&draft.text, " in ");
        plain_percent(&draft.text, share);
        plain_str(&draft.text, " % of the snapshots");
    }
    plain_str(&draft.text, ": ");
    say_greenlet(&draft.text, diag, hub->running);
    plain_str(&draft.text, " blocks");
    if (call && call->kind == SNAP_BUILTIN) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, call);
    }
    if (own) {
        plain_str(&draft.text, call && call->kind == SNAP_BUILTIN ? ", called by " : " in ");
        say_frame(&draft.text, diag, own);
        draft_name(&draft, own->function);
    }
    if (wait && wait->what && wait->what != diag->threads[hub->thread].syscall) {
        plain_str(&draft.text, ", waiting for ");
        say_wanted(&draft.text, diag, wait);
    }
    plain_str(&draft.text, "; ");
    plain_things(&draft.text, hub->behind, "greenlet");
    plain_add(&draft.text, " %s behind it.", hub->behind == 1 ? "waits" : "wait");
    draft_title(&draft);
    plain_str(&draft.text,
              diag_suspended(diag)->greenlets.items[hub->running].is_hub
                  ? "The hub is in what its loop has called; its own waiting for events is not."
                  : "The hub, which would run the others, is suspended: it is not what waits here.");
    draft_evidence(&draft);
    draft_advice(&draft, "Patch the library before anything imports it (gevent.monkey.patch_all(), "
                         "eventlet.monkey_patch()); what cannot be patched belongs into a thread: "
                         "gevent.get_hub().threadpool.apply(...), eventlet.tpool.execute(...).");
    draft_end(&draft);
}

void rule_blocked_hub(struct diag *diag)
{
    const struct snap_greenlets *greenlets = &diag_suspended(diag)->greenlets;
    size_t told = 0, looked = 0;
    for (uint32_t i = 0; i < greenlets->count && told < DIAG_TOLD_MAX; i++) {
        if (greenlets->items[i].state != SNAP_GREENLET_RUNNING ||
            looked++ >= GREENLET_THREADS_MAX)
            continue;
        struct hub hub = look_at(diag, i);
        if (hub.has_hub && hub.behind) {
            tell(diag, &hub);
            told++;
        }
    }
}
