// SPDX-License-Identifier: GPL-3.0-or-later
// greenlet-pile-up: many greenlets wait for one lock, or one semaphore, that another greenlet has.
//
// Those that wait for input, an item or news are what a server at rest looks like: they wait for no lock. And
// a lock is handed on all the time where all is well, so what matters is who has it: that one has to stand
// still. As with tasks (task-pile-up), a single snapshot cannot tell that, and is no proof.
#include "diagnose/tasks.h"
#include "util/guard.h"

#define LOCK_GREENLETS 20 // nobody builds on a queue before a lock
#define PILE_SHARE 0.5    // of the process's greenlets: it is what the process is about
// Of a run that is shorter: most of it.
#define LASTING_SHARE 0.6

struct waiter {
    pid_t pid;
    uint64_t object;
    uint32_t greenlet;
};

static int by_object(const void *left, const void *right)
{
    const struct waiter *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    return a->greenlet < b->greenlet ? -1 : a->greenlet > b->greenlet;
}

static enum diag_severity severity_of(const struct diag *diag, const struct snap_greenlet *holder)
{
    if (!diag->profile) // nor where all were looked at once only
        return DIAG_MEDIUM;
    bool lasts = holder->since_ns >= DIAG_LASTING_NS ||
                 (double)holder->since_ns >= LASTING_SHARE * (double)diag->profile->duration_ns;
    return lasts ? DIAG_HIGH : holder->since_ns ? DIAG_LOW : DIAG_MEDIUM;
}

static void say_place(struct draft *draft, uint32_t stack_index)
{
    struct stack stack = stack_of_suspended(draft->diag, stack_index);
    const struct snap_frame *own = stack_own(draft->diag, &stack);
    if (!own)
        return;
    plain_str(&draft->text, " in ");
    say_frame(&draft->text, draft->diag, own);
    draft_name(draft, own->function);
}

static void tell(struct diag *diag, const struct waiter *waiters, size_t count, size_t all)
{
    const struct snap_greenlets *greenlets = &diag_suspended(diag)->greenlets;
    const struct snap_greenlet *first = &greenlets->items[waiters->greenlet];
    const struct snap_greenlet *holder = &greenlets->items[first->await.holder];
    struct draft draft;
    draft_begin(&draft, diag, severity_of(diag, holder), SNAP_INFERRED,
                (double)count / (double)all);
    plain_count(&draft.text, count);
    plain_str(&draft.text, " of ");
    plain_things(&draft.text, all, "greenlet");
    plain_str(&draft.text, " wait for ");
    say_awaited(&draft.text, diag, &first->await);
    say_place(&draft, first->stack);
    plain_str(&draft.text, ", held by ");
    say_greenlet(&draft.text, diag, first->await.holder);
    plain_str(&draft.text, ", itself waiting for ");
    struct snap_await await = holder->await;
    await.tasks.count = 0;
    say_awaited(&draft.text, diag, &await);
    say_place(&draft, holder->stack);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    if (diag->profile && holder->since_ns) {
        plain_str(&draft.text, "Who has it waits there for at least ");
        plain_duration(&draft.text, holder->since_ns);
        plain_str(&draft.text, ".");
        draft_evidence(&draft);
    }
    draft_advice(&draft, "Look at what the one waits for that has it, and give that a time limit. Do not "
                         "hold a lock over a call that may take long.");
    draft_end(&draft);
}

void rule_greenlet_pile_up(struct diag *diag)
{
    const struct snap_greenlets *greenlets = &diag_suspended(diag)->greenlets;
    AUTO_FREE struct waiter *waiters = calloc(greenlets->count + 1, sizeof(*waiters));
    size_t count = 0, told = 0;
    diag->failed |= !waiters;
    if (!waiters || diag_has_told(diag, "greenlet-cycle") || diag_has_told(diag, "blocked-hub"))
        return;
    for (uint32_t i = 0; i < greenlets->count; i++) {
        const struct snap_greenlet *greenlet = &greenlets->items[i];
        const struct snap_await *await = &greenlet->await;
        bool lock = await->kind == SNAP_AWAIT_LOCK || await->kind == SNAP_AWAIT_SEMAPHORE;
        if (lock && greenlet->state == SNAP_GREENLET_SUSPENDED && await->holder < greenlets->count &&
            greenlets->items[await->holder].state == SNAP_GREENLET_SUSPENDED)
            waiters[count++] = (struct waiter){greenlet->pid, await->object, i};
    }
    qsort(waiters, count, sizeof(*waiters), by_object);
    for (size_t i = 0, next; i < count && told < DIAG_TOLD_MAX; i = next) {
        size_t all = 0;
        for (next = i + 1; next < count && waiters[next].pid == waiters[i].pid &&
                           waiters[next].object == waiters[i].object;)
            next++;
        if (next - i < LOCK_GREENLETS)
            continue;
        vec_foreach (greenlet, greenlets)
            all += greenlet->pid == waiters[i].pid && !greenlet->is_hub;
        if ((double)(next - i) < PILE_SHARE * (double)all)
            continue;
        tell(diag, &waiters[i], next - i, all);
        told++;
    }
}
