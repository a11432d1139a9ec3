// SPDX-License-Identifier: GPL-3.0-or-later
// tasks-starving: tasks are ready to run, and their loop does not get to them. A loop takes all that
// is ready in turn, so each round lasts too long: there is more to do than one thread does.
//
// That many are ready at a moment says nothing: so they are after each gather(). They have to have been
// ready for long. Where the loop stands in one step, that step is the trouble, and has its own rules.
#include "diagnose/tasks.h"
#include "util/guard.h"

#define TASKS_MIN 3 // fewer may have been told of at a bad moment

// Its time is over, too: the loop has not looked at its timers since.
static bool is_ready(const struct snap_task *task)
{
    return task->state == SNAP_TASK_READY ||
           (task->state == SNAP_TASK_WAITING && task->await.kind == SNAP_AWAIT_SLEEP &&
            task->await.left_ns == 0);
}

struct starving {
    size_t count;
    uint64_t longest_ns;
    uint32_t task; // one that has waited for the longest
};

static struct starving *find_starving(const struct diag *diag)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    struct starving *loops = calloc(suspended->loops.count + 1, sizeof(*loops));
    for (uint32_t i = 0; loops && i < suspended->tasks.count; i++) {
        const struct snap_task *task = &suspended->tasks.items[i];
        if (!is_ready(task) || task->loop >= suspended->loops.count ||
            task->since_ns < LOOP_STUCK_NS)
            continue;
        struct starving *its = &loops[task->loop];
        its->count++;
        if (task->since_ns > its->longest_ns) {
            its->longest_ns = task->since_ns;
            its->task = i;
        }
    }
    return loops;
}

static void tell(struct diag *diag, uint32_t number, const struct starving *starving)
{
    const struct snap_loop *loop = &diag_suspended(diag)->loops.items[number];
    uint32_t thread = loop_thread(diag, number);
    const struct snap_frame *own = task_own(diag, starving->task);
    size_t all = tasks_living(diag, loop->pid);
    struct draft draft;
    draft_begin(&draft, diag, starving->longest_ns >= LOOP_DEAD_NS ? DIAG_HIGH : DIAG_MEDIUM,
                SNAP_OBSERVED, (double)starving->count / (double)(all ? all : 1));
    say_of_tasks(&draft.text, starving->count, all);
    plain_str(&draft.text, starving->count == 1 ? " is" : " are");
    plain_str(&draft.text, " ready to run, but the event loop of ");
    if (thread != DIAG_NONE)
        say_thread(&draft.text, diag, thread);
    else
        plain_str(&draft.text, "their thread");
    plain_str(&draft.text, " has not got to them for up to ");
    plain_duration(&draft.text, starving->longest_ns);
    plain_str(&draft.text, ": ");
    say_task(&draft.text, diag, starving->task);
    if (own) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, own);
        draft_name(&draft, own->function);
    }
    plain_str(&draft.text, " has waited for the longest.");
    draft_title(&draft);
    if (thread != DIAG_NONE) {
        say_thread(&draft.text, diag, thread);
        plain_str(&draft.text, " is ");
        say_itself(&draft.text, diag, thread);
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
        add_turn_evidence(&draft, thread);
    }
    draft_advice(&draft, "There is more work than one loop does. Take less of it in at a time (a "
                         "semaphore, a bounded queue), give computing to threads or processes, or "
                         "run more processes.");
    draft_end(&draft);
}

void rule_tasks_starving(struct diag *diag)
{
    const struct snap_loops *loops = &diag_suspended(diag)->loops;
    AUTO_FREE struct starving *starving = find_starving(diag);
    size_t told = 0;
    diag->failed |= !starving;
    for (uint32_t i = 0; starving && i < loops->count && told < DIAG_TOLD_MAX; i++) {
        bool one_step = loops->items[i].same_ns >= LOOP_STUCK_NS;
        if (starving[i].count >= TASKS_MIN && !one_step) {
            tell(diag, i, &starving[i]);
            told++;
        }
    }
}
