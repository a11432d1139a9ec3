// SPDX-License-Identifier: GPL-3.0-or-later
// busy-loop: a thread is in one function for the whole run, never waits, and nothing but builtins is ever
// seen below it, in a handful of lines. That is a loop that waits by asking again and again, or a
// computation that never leaves one function; a profile alone cannot tell which. It may be one call, or
// many that follow at the same place: the frame of the next one lies where the last one's did.
#include "diagnose/stack.h"
#include "util/guard.h"

#define SNAPSHOTS_MIN 20   // with fewer, a callee that takes a tenth of the time may be missed
#define WORKING_SHARE 0.95 // of its samples, running or ready to run: on a busy machine, too
#define LINES_MAX 8        // of the loop
// Of the samples: an extension that has more of them than the loop does the work, and the loop waits.
#define ELSEWHERE_SHARE 0.5

struct loop {
    const struct snap_frame *function; // the innermost frame in Python code of all its samples
    uint32_t index;                    // in the profile's functions
    uint64_t samples, elsewhere;       // elsewhere: in the native code of an extension
    int32_t lines[LINES_MAX];
    size_t line_count;
    bool no_loop; // something speaks against it
};

static void add_line(struct loop *loop, int32_t line)
{
    for (size_t i = 0; i < loop->line_count; i++)
        if (loop->lines[i] == line)
            return;
    if (loop->line_count < LINES_MAX)
        loop->lines[loop->line_count++] = line;
    else
        loop->no_loop = true;
}

// Builtins are part of the loop: what asks (empty(), poll()) is one, of an extension often.
static void add_stack(const struct diag *diag, struct loop *loop, const struct prof_stack *from)
{
    struct stack stack = stack_of_profile(diag->profile, from);
    size_t i = 0;
    while (i < stack.count && stack_frame(&stack, i)->kind != SNAP_PYTHON)
        i++;
    loop->no_loop |= i == stack.count;
    loop->elsewhere += stack_extension(diag, &stack) ? from->samples : 0;
    if (loop->no_loop)
        return;
    const struct snap_frame *frame = stack_frame(&stack, i);
    uint32_t index = diag->profile->frame_function[stack.index[i]];
    if (!loop->function) {
        loop->function = frame;
        loop->index = index;
    }
    loop->no_loop |= index != loop->index;
    loop->samples += from->samples;
    add_line(loop, frame->line);
}

static int32_t by_line(const void *left, const void *right)
{
    const int32_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void tell(struct diag *diag, const struct prof_thread *thread, struct loop *loop)
{
    const struct prof_function *function = &diag->profile->functions[loop->index];
    struct draft draft;
    draft_begin(&draft, diag, DIAG_MEDIUM, SNAP_INFERRED, thread->has_cpu ? thread->cpu_share : -1);
    say_function(&draft.text, diag, function);
    if (say_own_caller(&draft.text, diag, loop->index))
        plain_str(&draft.text, ",");
    plain_str(&draft.text, " runs for the whole time in ");
    say_profiled(&draft.text, diag, thread);
    plain_str(&draft.text, ", never waits, and calls no Python function that is ever seen");
    if (thread->has_cpu) {
        plain_str(&draft.text, "; it uses ");
        plain_percent(&draft.text, thread->cpu_share);
        plain_str(&draft.text, " % of a processor");
    }
    plain_str(&draft.text, ".");
    draft_title(&draft);
    qsort(loop->lines, loop->line_count, sizeof(*loop->lines), by_line);
    plain_add(&draft.text, "Seen in %s", loop->line_count == 1 ? "line" : "lines");
    for (size_t i = 0; i < loop->line_count; i++)
        plain_add(&draft.text, "%s %d", i ? "," : "", (int)loop->lines[i]);
    plain_str(&draft.text, " only, in ");
    plain_things(&draft.text, loop->samples, "sample");
    plain_str(&draft.text, " of it.");
    draft_evidence(&draft);
    draft_name(&draft, function->function);
    draft_advice(&draft,
                 "If it waits for something, wait with an Event, a Condition, a queue's get() or "
                 "at least a sleep. If it computes, this is where all the time goes.");
    draft_end(&draft);
}

static void look_at(struct diag *diag, const struct prof_thread *thread, struct loop *loop)
{
    const struct prof_report *profile = diag->profile;
    uint64_t working = thread->states[SNAP_RUNNING] + thread->states[SNAP_RUNNABLE];
    bool busy = thread->samples >= SNAPSHOTS_MIN &&
                (double)working >= WORKING_SHARE * (double)thread->samples;
    // All its samples were kept, and one call was seen in each of them.
    bool own = (double)loop->elsewhere <= ELSEWHERE_SHARE * (double)loop->samples;
    if (busy && own && !loop->no_loop && loop->function && loop->samples == thread->samples &&
        loop->index < profile->function_count &&
        profile->functions[loop->index].longest_snapshots >= thread->samples)
        tell(diag, thread, loop);
}

void rule_busy_loop(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    if (!profile || profile->snapshots < SNAPSHOTS_MIN)
        return;
    AUTO_FREE struct loop *loops = calloc(profile->thread_count + 1, sizeof(*loops));
    if (!loops) {
        diag->failed = true;
        return;
    }
    for (size_t i = 0; i < profile->stack_count; i++) {
        const struct prof_stack *from = &profile->stacks[i];
        uint32_t thread = numbers_find(diag->profiled, profile->thread_count, from->pid, from->tid);
        if (thread != DIAG_NONE && !loops[thread].no_loop)
            add_stack(diag, &loops[thread], from);
    }
    size_t told = diag->out->findings.count + DIAG_TOLD_MAX;
    for (size_t i = 0; i < profile->thread_count && diag->out->findings.count < told; i++)
        look_at(diag, &profile->threads[i], &loops[i]);
}
