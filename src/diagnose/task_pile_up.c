// SPDX-License-Identifier: GPL-3.0-or-later
// task-pile-up: many tasks wait for one and the same thing that other tasks have, or have to do: a
// lock, a semaphore, room in a queue, a connection of a pool, one task, one future.
//
// What a server at rest looks like must not be taken for it: thousands of tasks wait for input, for a
// time, for an item of a queue, each for a future of its own; or for one event or condition that
// tells them of news. So these kinds are none of it, however many there are.
//
// A limit (a semaphore, a pool) has a queue before it whenever there is more work than it lets
// through, and a crawler is made so on purpose. Whether those who got through go on tells which.
#include "diagnose/tasks.h"
#include "util/guard.h"

// More than a burst of requests of a busy process; a queue of so many is felt.
#define PILE_TASKS 100
// A lock is held for moments where all is well; nobody builds on a queue before one.
#define LOCK_TASKS 20
#define PILE_SHARE 0.5 // of the process's tasks: it is what the process is about
// A sleep with the lock in hand that goes on for as long as this is no pause between two pieces of work.
#define HELD_NS 5000000000

// Where tasks wait to borrow a connection: clients' pools. The functions are the same ones in which
// their users stand; what is further in differs (queues, conditions, futures of each one's own).
static const struct {
    const char *file, *function;
} borrowing[] = {
    {"asyncpg/pool.py", "_acquire_impl"},
    {"aiomysql/pool.py", "_acquire"},
    {"aiopg/pool.py", "_acquire"},
    {"psycopg_pool/pool_async.py", "getconn"},
    {"redis/asyncio/connection.py", "get_connection"},
    {"aioredis/connection.py", "get_connection"},
    {"sqlalchemy/util/queue.py", "get"},
    {"sqlalchemy/util/_concurrency_py3k.py", "get"},
    {"aiohttp/connector.py", "_wait_for_available_connection"},
    {"httpcore/_async/connection_pool.py", "wait_for_connection"},
};

struct waiter {
    pid_t pid;
    enum snap_await_kind kind;
    uint64_t object; // what they wait for: an address, the number of a task, of a row of `borrowing`
    uint32_t stack, task;
};

static int by_object(const void *left, const void *right)
{
    const struct waiter *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    if (a->stack != b->stack)
        return a->stack < b->stack ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

struct pile {
    const struct waiter *waiters; // of one object; by stack
    size_t count, all;            // all: tasks of the process
    uint32_t first;               // task: one of those at the most frequent site
    uint32_t holder;              // task; DIAG_NONE: not known
    size_t went_on;               // tasks that got through; 0: none is known
    uint32_t went;                // one of them, if all are in one place; DIAG_NONE
    bool sleeps_on;               // the holder, for HELD_NS and more
    bool lasting, moves;          // of a run: those who have it stood still, or did not
};

// Which of the rows the task stands in; -1: none.
static int borrows(const struct diag *diag, uint32_t stack_index)
{
    struct stack stack = stack_of_suspended(diag, stack_index);
    for (size_t i = 0; i < stack.count; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        if (stack_origin(diag, frame) == SNAP_OWN_CODE)
            return -1;
        for (size_t row = 0; row < ARRAY_SIZE(borrowing); row++)
            if (stack_is(diag, frame, borrowing[row].file, borrowing[row].function))
                return (int)row;
    }
    return -1;
}

// False: it waits for nothing of the kind.
static bool wanted_by(const struct diag *diag, const struct snap_task *task, int row,
                      struct waiter *ret)
{
    const struct snap_await *await = &task->await;
    ret->kind = await->kind;
    ret->object = await->object;
    if (row >= 0) {
        ret->kind = SNAP_AWAIT_NONE;
        ret->object = (uint64_t)row;
        return true;
    }
    switch (await->kind) {
    case SNAP_AWAIT_LOCK:
    case SNAP_AWAIT_SEMAPHORE:
    case SNAP_AWAIT_QUEUE_PUT:
    case SNAP_AWAIT_FUTURE:
        return await->object != 0;
    case SNAP_AWAIT_TASK:
        ret->object = await->tasks.count ? await->tasks.items[0] : SNAP_NO_INDEX;
        return ret->object < diag_suspended(diag)->tasks.count;
    default:
        return false;
    }
}

// Those that wait for something of the kind, sorted by it.
static struct waiter *find_waiters(const struct diag *diag, size_t *ret_count)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    struct waiter *found = calloc(suspended->tasks.count + 1, sizeof(*found));
    AUTO_FREE int *rows = calloc(suspended->stacks.count + 1, sizeof(*rows));
    *ret_count = 0;
    for (uint32_t i = 0; rows && i < suspended->stacks.count; i++)
        rows[i] = borrows(diag, i);
    for (uint32_t i = 0; found && rows && i < suspended->tasks.count; i++) {
        const struct snap_task *task = &suspended->tasks.items[i];
        int row = task->stack < suspended->stacks.count ? rows[task->stack] : -1;
        struct waiter waiter = {.pid = task->pid, .stack = task->stack, .task = i};
        if (task->state == SNAP_TASK_WAITING && wanted_by(diag, task, row, &waiter))
            found[(*ret_count)++] = waiter;
    }
    if (found)
        qsort(found, *ret_count, sizeof(*found), by_object);
    if (!rows) {
        free(found);
        return NULL;
    }
    return found;
}

// ---- Who has it ----------------------------------------------------------------------------------

static uint32_t most_frequent(const struct waiter *waiters, size_t count)
{
    size_t best = 0, best_count = 0;
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && waiters[next].stack == waiters[i].stack;)
            next++;
        if (next - i > best_count) {
            best_count = next - i;
            best = i;
        }
    }
    return waiters[best].task;
}

// Is it in the function in which the others stand at `at`?
static bool is_in(const struct diag *diag, uint32_t stack_index, const struct snap_frame *at)
{
    struct stack stack = stack_of_suspended(diag, stack_index);
    for (size_t i = 0; i < stack.count; i++)
        if (stack_same_function(stack_frame(&stack, i), at))
            return true;
    return false;
}

// Does who has it go on? Over a run it is seen; a short sleep will be over soon.
static void look_at_holder(const struct diag *diag, struct pile *pile, uint32_t task)
{
    const struct snap_task *holder = &diag_suspended(diag)->tasks.items[task];
    bool waits = holder->state == SNAP_TASK_WAITING;
    bool naps = waits && holder->await.kind == SNAP_AWAIT_SLEEP && holder->await.left_ns >= 0 &&
                holder->await.left_ns < (int64_t)DIAG_LASTING_NS;
    if (diag->profile && waits && holder->since_ns && diag_is_lasting(diag, holder->since_ns))
        pile->lasting = true;
    else if (naps || (diag->profile && (!waits || holder->since_ns)))
        pile->moves = true;
}

// Of a limit, those who went on in the function where the others wait.
static bool find_went_on(struct diag *diag, struct pile *pile)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    const struct snap_frame *at = task_own(diag, pile->first);
    AUTO_FREE bool *went = calloc(suspended->stacks.count + 1, sizeof(*went));
    bool one_place = true;
    for (uint32_t i = 0; went && at && i < suspended->stacks.count; i++)
        went[i] = is_in(diag, i, at);
    for (size_t i = 0; went && i < pile->count; i++) // be it on the same line
        if (pile->waiters[i].stack < suspended->stacks.count)
            went[pile->waiters[i].stack] = false;
    for (uint32_t i = 0; went && at && i < suspended->tasks.count; i++) {
        const struct snap_task *task = &suspended->tasks.items[i];
        if (task->pid != pile->waiters->pid || task->stack >= suspended->stacks.count ||
            !went[task->stack])
            continue;
        look_at_holder(diag, pile, i);
        one_place &= !pile->went_on || task->stack == suspended->tasks.items[pile->went].stack;
        pile->went = pile->went_on++ ? pile->went : i;
    }
    if (!one_place)
        pile->went = DIAG_NONE;
    return went != NULL;
}

static bool find_holder(struct diag *diag, struct pile *pile)
{
    const struct snap_tasks *tasks = &diag_suspended(diag)->tasks;
    pile->holder = pile->went = DIAG_NONE;
    for (size_t i = 0; i < pile->count && pile->holder == DIAG_NONE; i++) {
        const struct snap_await *await = &tasks->items[pile->waiters[i].task].await;
        if (pile->waiters->kind == SNAP_AWAIT_TASK)
            pile->holder = (uint32_t)pile->waiters->object;
        else if (await->holder < tasks->count)
            pile->holder = await->holder;
    }
    if (pile->holder != DIAG_NONE) {
        const struct snap_await *its = &tasks->items[pile->holder].await;
        look_at_holder(diag, pile, pile->holder);
        pile->sleeps_on = pile->waiters->kind == SNAP_AWAIT_LOCK && its->kind == SNAP_AWAIT_SLEEP &&
                          its->left_ns >= HELD_NS;
        pile->lasting |= pile->sleeps_on;
        return true;
    }
    return find_went_on(diag, pile);
}

// ---- Telling -------------------------------------------------------------------------------------

static enum diag_severity severity_of(const struct diag *diag, const struct pile *pile)
{
    bool lock = pile->waiters->kind == SNAP_AWAIT_LOCK, many = pile->count >= PILE_TASKS;
    if (pile->moves) // a queue that is served; before a limit that is its purpose
        return lock && many ? DIAG_MEDIUM : DIAG_LOW;
    if (pile->lasting)
        return DIAG_HIGH;
    if (!tasks_of_one_moment(diag)) // somebody moved in the meantime
        return lock && many ? DIAG_MEDIUM : DIAG_LOW;
    return lock && many && pile->holder != DIAG_NONE &&
                   diag_suspended(diag)->tasks.items[pile->holder].state == SNAP_TASK_WAITING
               ? DIAG_HIGH
               : DIAG_MEDIUM;
}

static void say_holder(struct draft *draft, const struct pile *pile)
{
    struct diag *diag = draft->diag;
    struct plain *text = &draft->text;
    uint32_t task = pile->holder != DIAG_NONE ? pile->holder : pile->went;
    if (pile->holder != DIAG_NONE) {
        if (pile->waiters->kind == SNAP_AWAIT_TASK) {
            plain_str(text, ", which is ");
        } else {
            plain_str(text, ", held by ");
            say_task(text, diag, pile->holder);
            plain_str(text, ", ");
        }
    } else if (task != DIAG_NONE) {
        if (pile->went_on > 1)
            plain_add(text, "; the %zu that went on are all in one place: ", pile->went_on);
        else
            plain_str(text, "; one went on: ");
        say_task(text, diag, task);
        plain_str(text, ", ");
    } else if (pile->went_on) {
        plain_add(text, "; the %zu that went on are in several places", pile->went_on);
    } else {
        plain_str(text,
                  pile->waiters->kind == SNAP_AWAIT_LOCK ? "; who holds it is not known" : "");
    }
    if (task == DIAG_NONE)
        return;
    say_task_itself(text, diag, task);
    const struct snap_frame *own = task_own(diag, task);
    if (own)
        draft_name(draft, own->function);
}

static void say_evidence(struct draft *draft, const struct pile *pile)
{
    struct diag *diag = draft->diag;
    uint64_t longest = 0;
    for (size_t i = 0; i < pile->count; i++) {
        uint64_t since = diag_suspended(diag)->tasks.items[pile->waiters[i].task].since_ns;
        longest = since > longest ? since : longest;
    }
    if (longest) {
        plain_str(&draft->text, "The longest of these waits lasts at least ");
        plain_duration(&draft->text, longest);
        plain_str(&draft->text, ".");
        draft_evidence(draft);
    }
    if (pile->lasting || pile->moves) {
        plain_str(&draft->text, pile->sleeps_on ? "Who has what they wait for sleeps on for long."
                                : pile->lasting
                                    ? "Who has what they wait for stood still all the while."
                                    : "Who has what they wait for goes on: the queue is served.");
        draft_evidence(draft);
    }
}

static void tell(struct diag *diag, const struct pile *pile)
{
    const struct snap_task *first = &diag_suspended(diag)->tasks.items[pile->first];
    const struct snap_frame *at = task_own(diag, pile->first);
    bool borrow = pile->waiters->kind == SNAP_AWAIT_NONE;
    struct draft draft;
    draft_begin(&draft, diag, severity_of(diag, pile), SNAP_INFERRED,
                (double)pile->count / (double)pile->all);
    say_of_tasks(&draft.text, pile->count, pile->all);
    plain_str(&draft.text, " wait for ");
    if (borrow)
        plain_str(&draft.text, "a connection of a pool");
    else
        say_awaited(&draft.text, diag, &first->await);
    if (at) {
        plain_str(&draft.text, " in ");
        say_frame(&draft.text, diag, at);
        draft_name(&draft, at->function);
    }
    say_holder(&draft, pile);
    plain_str(&draft.text, ".");
    draft_title(&draft);
    say_evidence(&draft, pile);
    draft_advice(&draft, "Look at what those wait for who have it, and give that a time limit. Do "
                         "not hold a lock over an await that may take long, and take no more work "
                         "in than goes out.");
    draft_end(&draft);
}

static int by_size(const void *left, const void *right)
{
    const struct pile *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->waiters < b->waiters ? -1 : a->waiters > b->waiters;
}

static bool is_pile(const struct pile *pile)
{
    bool lock = pile->waiters->kind == SNAP_AWAIT_LOCK;
    bool most = (double)pile->count >= PILE_SHARE * (double)pile->all;
    return (most && pile->count >= (lock ? LOCK_TASKS : PILE_TASKS)) ||
           (lock && pile->count >= PILE_TASKS);
}

void rule_task_pile_up(struct diag *diag)
{
    size_t count;
    AUTO_FREE struct waiter *waiters = find_waiters(diag, &count);
    VEC(struct pile) piles = {0};
    size_t all = 0;
    diag->failed |= !waiters;
    for (size_t i = 0, next; waiters && i < count; i = next) {
        for (next = i + 1; next < count && waiters[next].pid == waiters[i].pid &&
                           waiters[next].kind == waiters[i].kind &&
                           waiters[next].object == waiters[i].object;)
            next++;
        if (i == 0 || waiters[i].pid != waiters[i - 1].pid)
            all = tasks_living(diag, waiters[i].pid);
        struct pile pile = {.waiters = &waiters[i], .count = next - i, .all = all};
        if (is_pile(&pile) && !vec_push(&piles, pile))
            diag->failed = true;
    }
    if (piles.count)
        qsort(piles.items, piles.count, sizeof(*piles.items), by_size);
    for (size_t i = 0; i < piles.count && i < DIAG_TOLD_MAX; i++) {
        struct pile *pile = &piles.items[i];
        pile->first = most_frequent(pile->waiters, pile->count);
        if (find_holder(diag, pile))
            tell(diag, pile);
        else
            diag->failed = true;
    }
    vec_deinit(&piles);
}
