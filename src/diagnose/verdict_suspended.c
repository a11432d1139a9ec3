// SPDX-License-Identifier: GPL-3.0-or-later
// What the verdict on a quiet process says of its tasks and greenlets: how many there are, and where
// most of them are.
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/tasks.h"
#include "diagnose/verdict.h"
#include "util/guard.h"

// Sites of one task each are told where they are no more than these.
#define SITES_TOLD 3
// A longer message is more than the first lines have room for.
#define EXCEPTION_MAX 100

struct sites {
    size_t count; // of those that wait
    size_t most;  // at one place
    uint32_t example;
};

// `stacks`: how many of them are at each. A stack that could not be read is no place.
static void add_to(struct sites *sites, uint32_t *stacks, size_t stack_count, uint32_t stack,
                   uint32_t index)
{
    sites->count++;
    if (stack < stack_count && ++stacks[stack] > sites->most) {
        sites->most = stacks[stack];
        sites->example = index;
    }
}

static void say_share(struct plain *text, const struct sites *sites)
{
    if (sites->count == 1)
        return;
    plain_str(text, sites->most == sites->count ? ", all" : ", ");
    if (sites->most < sites->count)
        plain_count(text, sites->most);
    plain_str(text, sites->most > 1 ? " of them" : "");
}

static void say_place(struct plain *text, const struct diag *diag, uint32_t stack_index)
{
    struct stack stack = stack_of_suspended(diag, stack_index);
    const struct snap_frame *own = stack_own(diag, &stack);
    if (own) {
        plain_str(text, " in ");
        say_frame(text, diag, own);
    }
}

// Do both wait for the same? Not of all that wait for an object its name was looked for.
static bool add_same(struct snap_await *await, const struct snap_await *other)
{
    bool same = other->kind == await->kind && other->object == await->object;
    await->what = await->what ? await->what : other->what;
    return same && (await->object || other->what == await->what);
}

// ---- Tasks ---------------------------------------------------------------------------------------

// Those that wait, without those that only wait for others of them, if there are any others.
struct waiting {
    const struct snap_suspended *suspended;
    uint32_t loop; // DIAG_NONE: of all loops
    bool leaves;
};

static bool is_waiting(const struct waiting *waiting, const struct snap_task *task)
{
    return task->state == SNAP_TASK_WAITING &&
           (waiting->loop == DIAG_NONE || task->loop == waiting->loop) &&
           !(waiting->leaves && task->await.tasks.count);
}

// What they wait for is named if it is the same for all at that place.
static struct snap_await wanted_at(const struct waiting *waiting, uint32_t example)
{
    const struct snap_tasks *tasks = &waiting->suspended->tasks;
    struct snap_await await = tasks->items[example].await;
    bool same = true;
    vec_foreach (task, tasks)
        if (is_waiting(waiting, task) && task->stack == tasks->items[example].stack)
            same &= add_same(&await, &task->await);
    if (!same) {
        await.what = 0;
        await.holder = SNAP_NO_INDEX;
    }
    if (await.kind != SNAP_AWAIT_TASK || waiting->leaves)
        await.tasks.count = 0;
    return await;
}

// The holder is told with it, and not once more by its own place.
static void say_holder(struct plain *text, const struct diag *diag, const struct snap_await *await,
                       uint32_t *stacks)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    if (await->kind != SNAP_AWAIT_LOCK)
        return;
    if (await->holder >= suspended->tasks.count) {
        plain_str(text, await->object && tasks_of_one_moment(diag)
                            ? ", held by nobody that is known"
                            : "");
        return;
    }
    plain_str(text, ", held by ");
    say_task(text, diag, await->holder);
    plain_str(text, ", ");
    say_task_itself(text, diag, await->holder);
    uint32_t stack = suspended->tasks.items[await->holder].stack;
    if (stack < suspended->stacks.count && stacks[stack])
        stacks[stack]--;
}

static void say_site(struct plain *text, const struct diag *diag, const struct waiting *waiting,
                     const struct sites *sites, uint32_t *stacks)
{
    const struct snap_task *task = &waiting->suspended->tasks.items[sites->example];
    struct snap_await await = wanted_at(waiting, sites->example);
    say_share(text, sites);
    if (await.kind != SNAP_AWAIT_NONE) {
        plain_str(text, " for ");
        say_awaited(text, diag, &await);
    }
    say_place(text, diag, task->stack);
    say_holder(text, diag, &await, stacks);
    if (sites->most == 1 && task->cancelling)
        plain_str(text, ", which was asked to end");
}

// Lib/asyncio/tasks.py, Task.__init__: "Task-1" is the first one that was made, mostly asyncio.run()'s main().
static unsigned long number_of(const struct diag *diag, const struct snap_task *task)
{
    static const char prefix[] = "Task-";
    const char *name = strtab_get(diag->strings, task->name);
    bool numbered = name && strncmp(name, prefix, sizeof(prefix) - 1) == 0;
    return numbered ? strtoul(name + sizeof(prefix) - 1, NULL, 10) : ULONG_MAX;
}

// Where each of many is at a place of its own, the first one says most.
static void say_first(struct plain *text, const struct diag *diag, const struct waiting *waiting)
{
    const struct snap_tasks *tasks = &waiting->suspended->tasks;
    const struct snap_task *first = NULL;
    vec_foreach (task, tasks)
        if (is_waiting(waiting, task) && (!first || number_of(diag, task) < number_of(diag, first)))
            first = task;
    if (!first)
        return;
    plain_str(text, ", ");
    say_task(text, diag, (uint32_t)(first - tasks->items));
    if (first->await.kind != SNAP_AWAIT_NONE) {
        plain_str(text, " for ");
        say_awaited(text, diag, &first->await);
    }
    say_place(text, diag, first->stack);
}

// By how many tasks are there: `stacks` has how many are at each, which is set to 0 once it is told.
static void say_sites(struct plain *text, const struct diag *diag, const struct waiting *waiting,
                      uint32_t *stacks, struct sites sites)
{
    const struct snap_tasks *tasks = &waiting->suspended->tasks;
    size_t distinct = 0;
    for (size_t i = 0; i < waiting->suspended->stacks.count; i++)
        distinct += stacks[i] != 0;
    if (sites.most == 1 && distinct > SITES_TOLD) {
        say_first(text, diag, waiting);
        return;
    }
    for (size_t told = 0; sites.most && (sites.most > 1 || distinct <= SITES_TOLD); told++) {
        if (told && distinct > SITES_TOLD)
            return;
        stacks[tasks->items[sites.example].stack] = 0;
        say_site(text, diag, waiting, &sites, stacks);
        sites.most = 0;
        for (uint32_t i = 0; i < tasks->count && told + 1 < distinct; i++)
            if (is_waiting(waiting, &tasks->items[i]) &&
                tasks->items[i].stack < waiting->suspended->stacks.count &&
                stacks[tasks->items[i].stack] > sites.most) {
                sites.most = stacks[tasks->items[i].stack];
                sites.example = i;
            }
    }
}

static void say_exceptions(struct plain *text, const struct diag *diag, uint32_t loop)
{
    const struct snap_task *first = NULL;
    size_t count = 0;
    vec_foreach (task, &diag_suspended(diag)->tasks) {
        if (task->state != SNAP_TASK_FINISHED || !task->exception ||
            (loop != DIAG_NONE && task->loop != loop))
            continue;
        first = count++ ? first : task;
    }
    if (!first)
        return;
    const char *exception = strtab_get(diag->strings, first->exception);
    plain_str(text, "; ");
    plain_things(text, count, "task");
    plain_str(text, count == 1 ? " ended with an exception that nobody retrieved"
                               : " ended with exceptions that nobody retrieved");
    if (exception && strlen(exception) <= EXCEPTION_MAX) {
        plain_str(text, count == 1 ? ", " : ", one of them ");
        say_code(text, diag, first->exception);
    }
}

void say_waiting_tasks(struct plain *text, const struct diag *diag, uint32_t loop)
{
    struct waiting waiting = {.suspended = diag_suspended(diag), .loop = loop};
    const struct snap_tasks *tasks = &waiting.suspended->tasks;
    size_t stack_count = waiting.suspended->stacks.count;
    AUTO_FREE uint32_t *stacks = calloc(stack_count + 1, sizeof(*stacks));
    struct sites sites = {0};
    size_t all = 0, leaves = 0;
    text->failed |= !stacks;
    vec_foreach (task, tasks)
        if (is_waiting(&waiting, task)) {
            all++;
            leaves += !task->await.tasks.count;
        }
    waiting.leaves = leaves > 0;
    for (uint32_t i = 0; stacks && i < tasks->count; i++)
        if (is_waiting(&waiting, &tasks->items[i]))
            add_to(&sites, stacks, stack_count, tasks->items[i].stack, i);
    sites.count = all;
    plain_things(text, all, "task");
    plain_str(text, all == 1 ? " waits" : " wait");
    if (stacks)
        say_sites(text, diag, &waiting, stacks, sites);
    say_exceptions(text, diag, loop);
}

static void say_tasks(struct plain *text, const struct diag *diag)
{
    vec_foreach (task, &diag_suspended(diag)->tasks)
        if (task->state == SNAP_TASK_WAITING) {
            plain_str(text, "; ");
            say_waiting_tasks(text, diag, DIAG_NONE);
            return;
        }
    say_exceptions(text, diag, DIAG_NONE);
}

// ---- Greenlets -----------------------------------------------------------------------------------

// Those that wait for something that is no other greenlet's end, if there are any.
static bool is_leaf(const struct snap_greenlet *greenlet)
{
    return greenlet->await.kind != SNAP_AWAIT_TASK && greenlet->await.kind != SNAP_AWAIT_SEVERAL;
}

static bool waits(const struct snap_greenlet *greenlet)
{
    return greenlet->state == SNAP_GREENLET_SUSPENDED && !greenlet->is_hub;
}

static struct snap_await wanted_by_all(const struct snap_greenlets *greenlets,
                                       const uint32_t *places, size_t place_count, uint32_t example)
{
    struct snap_await await = greenlets->items[example].await;
    uint32_t place = places[greenlets->items[example].stack];
    bool same = true;
    vec_foreach (greenlet, greenlets)
        if (waits(greenlet) && greenlet->stack < place_count && places[greenlet->stack] == place)
            same &= add_same(&await, &greenlet->await);
    if (!same) {
        await.what = 0;
        await.holder = SNAP_NO_INDEX;
    }
    await.tasks.count = 0;
    return await;
}

static void say_greenlet_site(struct plain *text, const struct diag *diag, const uint32_t *places,
                              const struct sites *sites)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    const struct snap_greenlets *greenlets = &suspended->greenlets;
    uint32_t stack = greenlets->items[sites->example].stack;
    struct snap_await await =
        wanted_by_all(greenlets, places, suspended->stacks.count, sites->example);
    struct stack frames = stack_of_suspended(diag, stack);
    bool known = await.kind != SNAP_AWAIT_NONE && await.kind != SNAP_AWAIT_OTHER;
    if (!known && (!stack_own(diag, &frames) || (sites->most == 1 && sites->count > 1)))
        return;
    say_share(text, sites);
    if (known) {
        plain_str(text, " for ");
        say_awaited(text, diag, &await);
    }
    say_place(text, diag, stack);
    if (await.holder < greenlets->count && await.holder != sites->example) {
        plain_str(text, ", held by ");
        say_greenlet(text, diag, await.holder);
        say_place(text, diag, greenlets->items[await.holder].stack);
    }
}

static void say_greenlets(struct plain *text, const struct diag *diag, uint32_t *stacks)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    const struct snap_greenlets *greenlets = &suspended->greenlets;
    size_t stack_count = suspended->stacks.count, all = 0, leaves = 0, distinct = 0;
    AUTO_FREE uint32_t *places = calloc(stack_count + 1, sizeof(*places));
    if (!places || !snap_suspended_places(suspended, places)) {
        text->failed = true;
        return;
    }
    struct sites sites = {0};
    vec_foreach (greenlet, greenlets) {
        all += waits(greenlet);
        leaves += waits(greenlet) && is_leaf(greenlet);
    }
    for (uint32_t i = 0; i < greenlets->count; i++) {
        const struct snap_greenlet *greenlet = &greenlets->items[i];
        if (waits(greenlet) && (!leaves || is_leaf(greenlet)))
            add_to(&sites, stacks, stack_count,
                   greenlet->stack < stack_count ? places[greenlet->stack] : SNAP_NO_INDEX, i);
    }
    if (!all)
        return;
    plain_str(text, "; ");
    plain_things(text, all, "greenlet");
    plain_str(text, all == 1 ? " waits" : " wait");
    sites.count = all;
    for (size_t i = 0; i < stack_count; i++)
        distinct += stacks[i] != 0;
    for (size_t told = 0; sites.most && (sites.most > 1 || distinct <= SITES_TOLD); told++) {
        if (told && distinct > SITES_TOLD)
            return;
        say_greenlet_site(text, diag, places, &sites);
        stacks[places[greenlets->items[sites.example].stack]] = 0;
        sites.most = 0;
        for (uint32_t i = 0; i < greenlets->count && told + 1 < distinct; i++) {
            uint32_t stack = greenlets->items[i].stack;
            uint32_t place = stack < stack_count ? places[stack] : SNAP_NO_INDEX;
            if (waits(&greenlets->items[i]) && place < stack_count && stacks[place] > sites.most) {
                sites.most = stacks[place];
                sites.example = i;
            }
        }
    }
}

void say_suspended(struct plain *text, const struct diag *diag)
{
    size_t count = diag_suspended(diag)->stacks.count;
    AUTO_FREE uint32_t *stacks = calloc(count + 1, sizeof(*stacks));
    if (!stacks) {
        text->failed = true;
        return;
    }
    say_tasks(text, diag);
    say_greenlets(text, diag, stacks);
}
