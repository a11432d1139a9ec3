// SPDX-License-Identifier: GPL-3.0-or-later
// long-step-in-event-loop: the thread of a loop works, and for long in one step of one task. Nothing
// else of that loop goes on meanwhile, whether the step waits (blocking-call-in-event-loop) or works.
//
// A program whose only task computes harms nobody: others of the loop have to wait, not counting those
// that wait for this task itself. Short steps, however many, are what a loop is for.
#include "diagnose/tasks.h"

// More than a few, so that no two steps of the same task are taken for one.
#define SNAPSHOTS_MIN 3
// A run that is shorter than that sees no end of the step, and no beginning. It has to have worked for three
// times what asyncio warns of: a thread that only got no processor did not.
#define WORKED_NS (3 * LOOP_SLOW_NS)
#define WHOLE_SHARE 0.9

// Its own frames of the step, innermost first.
static const struct snap_frame *own_of(const struct diag *diag, uint32_t thread)
{
    const struct snap_thread *t = &diag->threads[thread];
    struct stack stack = stack_of_thread(t);
    if (t->turn && t->turn->frames && t->turn->frames < stack.count)
        stack.count = t->turn->frames;
    return stack_own(diag, &stack);
}

static void tell(struct diag *diag, const struct snap_loop *loop, uint32_t thread)
{
    const struct snap_frame *own = own_of(diag, thread);
    struct draft draft;
    draft_begin(&draft, diag, loop->same_ns >= LOOP_DEAD_NS ? DIAG_HIGH : DIAG_MEDIUM, SNAP_INFERRED,
                -1);
    plain_str(&draft.text, "The event loop of ");
    say_thread(&draft.text, diag, thread);
    plain_str(&draft.text, " has not gone on for at least ");
    plain_duration(&draft.text, loop->same_ns);
    plain_str(&draft.text, ": one step works on and on");
    if (own) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, own);
        draft_name(&draft, own->function);
    }
    say_turn(&draft.text, diag, thread);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    add_turn_evidence(&draft, thread);
    draft_advice(&draft, "Let the loop have a turn now and then (await asyncio.sleep(0)), or "
                         "compute in a thread or a process: await asyncio.to_thread(...), "
                         "loop.run_in_executor(...).");
    draft_end(&draft);
}

static bool is_long(const struct diag *diag, const struct snap_loop *loop)
{
    const struct prof_thread *its =
        diag->profile ? diag_profiled(diag, loop->pid, loop->tid) : NULL;
    bool whole = its && its->has_cpu && its->cpu_ns >= WORKED_NS &&
                 (double)loop->same_ns >= WHOLE_SHARE * (double)diag->profile->duration_ns;
    return loop->same_snapshots >= SNAPSHOTS_MIN && (loop->same_ns >= LOOP_STUCK_NS || whole);
}

void rule_long_step(struct diag *diag)
{
    const struct snap_loops *loops = &diag_suspended(diag)->loops;
    size_t told = 0;
    for (uint32_t i = 0; i < loops->count && told < DIAG_TOLD_MAX; i++) {
        const struct snap_loop *loop = &loops->items[i];
        uint32_t thread = loop_thread(diag, i);
        if (thread == DIAG_NONE || !is_long(diag, loop))
            continue;
        enum snap_state state = diag->threads[thread].state;
        bool works = snap_state_works(state) || state == SNAP_GIL_WAIT;
        if (works && (loop_behind(diag, i, thread_task(diag, thread)) || loop->ready > 0)) {
            tell(diag, loop, thread);
            told++;
        }
    }
}
