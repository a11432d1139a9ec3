// SPDX-License-Identifier: GPL-3.0-or-later
// fork-held-lock: fork() copies locks as they are, but of the threads only the one that called it
// (POSIX, fork()). A lock that another one held stays held for good.
//
// Who holds it can be read of an RLock or a pthread mutex: its owner is no thread of the process.
// A plain lock has no owner; but when the process has one thread only, nobody is there who could
// release what it waits for. And where a task or a greenlet of that very thread has it, which goes on
// once the thread does, no other thread matters.
#include "diagnose/tasks.h"

static bool is_forked_child(const struct diag *diag, const struct stack *stack)
{
    for (size_t i = 0; i < stack->count; i++)
        // CPython: Lib/multiprocessing/popen_fork.py, Popen._launch: the child runs below it.
        if (stack_is(diag, stack_frame(stack, i), "multiprocessing/popen_fork.py", "_launch"))
            return true;
    return false;
}

// The task, or the greenlet, of the thread itself that has what it waits for.
struct holder {
    uint32_t task, greenlet; // DIAG_NONE
};

static struct holder holder_of(const struct diag *diag, uint32_t thread)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    const struct snap_thread *t = &diag->threads[thread];
    uint64_t object = diag_wait(diag, thread)->holder;
    struct holder holder = {DIAG_NONE, DIAG_NONE};
    for (uint32_t i = 0; object && i < suspended->tasks.count; i++) {
        const struct snap_task *task = &suspended->tasks.items[i];
        if (task->pid == t->pid && task->object == object && loop_thread(diag, task->loop) == thread &&
            task->state != SNAP_TASK_RUNNING && task_lives(task))
            holder.task = i;
    }
    for (uint32_t i = 0; object && i < suspended->greenlets.count; i++) {
        const struct snap_greenlet *greenlet = &suspended->greenlets.items[i];
        if (greenlet->pid == t->pid && greenlet->object == object && greenlet->tid == t->tid &&
            greenlet->state == SNAP_GREENLET_SUSPENDED)
            holder.greenlet = i;
    }
    return holder;
}

static bool is_known(struct holder holder)
{
    return holder.task != DIAG_NONE || holder.greenlet != DIAG_NONE;
}

static void say_holder(struct draft *draft, struct holder holder)
{
    const struct diag *diag = draft->diag;
    const struct snap_suspended *suspended = diag_suspended(diag);
    bool task = holder.task != DIAG_NONE;
    struct stack stack =
        stack_of_suspended(diag, task ? suspended->tasks.items[holder.task].stack
                                      : suspended->greenlets.items[holder.greenlet].stack);
    const struct snap_frame *own = stack_own(diag, &stack);
    plain_str(&draft->text, ", held by ");
    if (task)
        say_task(&draft->text, diag, holder.task);
    else
        say_greenlet(&draft->text, diag, holder.greenlet);
    if (own) {
        plain_str(&draft->text, " in ");
        say_frame(&draft->text, diag, own);
        draft_name(draft, own->function);
    }
    plain_str(&draft->text, ", which cannot go on while this thread waits.");
}

static const char *advice_for(bool gone, bool alone, bool suspended)
{
    if (suspended)
        return "Do not hold a lock of threads over an await or a switch of greenlets: use asyncio.Lock, or a "
               "lock that the library has patched, or release it before.";
    return alone && !gone
               ? "Was it forked while another thread of its parent held the lock, or "
                 "is it taken twice, or by a coroutine or greenlet that waits meanwhile? "
                 "Start processes with \"spawn\" or \"forkserver\", or fork before "
                 "threads are started."
               : "A fork was made while that thread of the parent held it (or it ended "
                 "without releasing it). Start processes with \"spawn\" or "
                 "\"forkserver\", or fork before threads are started; "
                 "os.register_at_fork() can make the lock anew in the child.";
}

static void tell(struct diag *diag, uint32_t thread, bool gone, bool alone)
{
    struct holder holder = holder_of(diag, thread);
    const struct snap_wait *wait = diag_wait(diag, thread);
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    const struct snap_frame *own = stack_waiting(diag, thread);
    size_t all = diag_python_threads(diag, diag->threads[thread].pid);
    struct draft draft;
    draft_begin(&draft, diag, DIAG_HIGH, gone ? wait->owner_known : SNAP_INFERRED,
                all ? 1.0 / (double)all : -1);
    say_thread(&draft.text, diag, thread);
    plain_str(&draft.text, " waits for ");
    say_wanted(&draft.text, diag, wait);
    if (own) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, own);
        draft_name(&draft, own->function);
    }
    if (is_known(holder))
        say_holder(&draft, holder);
    else
        plain_str(&draft.text, gone ? ", held by a thread that this process does not have."
                                    : ", and this process has no other thread that could release it.");
    draft_title(&draft);
    if (is_known(holder))
        plain_str(&draft.text, "Its frame is in a block that holds the lock, and is suspended.");
    else if (gone && wait->owner)
        plain_add(&draft.text,
                  "The lock names thread %d as its owner; there is no such thread here.",
                  (int)wait->owner);
    else
        plain_str(&draft.text,
                  "The lock does not say who holds it; it is held, and nobody is left.");
    draft_evidence(&draft);
    if (is_forked_child(diag, &stack)) {
        plain_str(&draft.text, "The process was forked by multiprocessing.");
        draft_evidence(&draft);
    }
    draft_advice(&draft, advice_for(gone, alone, is_known(holder)));
    draft_end(&draft);
}

// A coroutine or a greenlet that has it goes on in the thread that waits for it.
static bool has_suspended(const struct diag *diag, pid_t pid)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    vec_foreach (task, &suspended->tasks)
        if (task->pid == pid)
            return true;
    vec_foreach (greenlet, &suspended->greenlets)
        if (greenlet->pid == pid && !greenlet->is_main)
            return true;
    return false;
}

void rule_fork_held_lock(struct diag *diag)
{
    size_t told = 0;
    for (uint32_t i = 0; i < diag->count && told < DIAG_TOLD_MAX; i++) {
        const struct snap_wait *wait = diag_wait(diag, i);
        if (!wait || !diag_is_lock(wait->kind) || wait->kind == SNAP_WAIT_CONDITION ||
            diag_has_limit(wait) || diag_is_shared(diag, wait))
            continue;
        bool gone = wait->owner_gone && wait->owner_known != SNAP_NOT_KNOWN;
        bool alone = wait->owner_known == SNAP_NOT_KNOWN && wait->kind == SNAP_WAIT_LOCK &&
                     diag_is_alone(diag, i);
        if (gone && !wait->owner && has_suspended(diag, diag->threads[i].pid)) {
            gone = false;
            alone = true;
        }
        if (gone || alone || is_known(holder_of(diag, i))) {
            tell(diag, i, gone, alone);
            told++;
        }
    }
}
