// SPDX-License-Identifier: GPL-3.0-or-later
// What the verdict on a quiet process says of its tasks and greenlets: how many there are, and where
// most of them are.
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/tasks.h"
#include "diagnose/verdict.h"
#include "util/guard.h"

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
    plain_str(text, " of them");
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

// What they wait for is named if it is the same for all at that place.
static struct snap_await wanted_at(const struct snap_tasks *tasks, uint32_t example)
{
    struct snap_await await = tasks->items[example].await;
    bool same = true;
    vec_foreach (task, tasks)
        if (task->state == SNAP_TASK_WAITING && task->stack == tasks->items[example].stack)
            same &= task->await.what == await.what && task->await.object == await.object;
    if (!same)
        await.what = 0;
    await.tasks.count = 0;
    return await;
}

// Lib/asyncio/tasks.py, Task.__init__: "Task-1" is the first one that was made, mostly asyncio.run()'s main().
static unsigned long number_of(const struct diag *diag, const struct snap_task *task)
{
    static const char prefix[] = "Task-";
    const char *name = strtab_get(diag->strings, task->name);
    bool numbered = name && strncmp(name, prefix, sizeof(prefix) - 1) == 0;
    return numbered ? strtoul(name + sizeof(prefix) - 1, NULL, 10) : ULONG_MAX;
}

// Where each is at a place of its own, the first one says most.
static void say_first(struct plain *text, const struct diag *diag)
{
    const struct snap_tasks *tasks = &diag_suspended(diag)->tasks;
    const struct snap_task *first = NULL;
    vec_foreach (task, tasks)
        if (task->state == SNAP_TASK_WAITING &&
            (!first || number_of(diag, task) < number_of(diag, first)))
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

static void say_tasks(struct plain *text, const struct diag *diag, uint32_t *stacks)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    struct sites sites = {0};
    for (uint32_t i = 0; i < suspended->tasks.count; i++)
        if (suspended->tasks.items[i].state == SNAP_TASK_WAITING)
            add_to(&sites, stacks, suspended->stacks.count, suspended->tasks.items[i].stack, i);
    if (!sites.count)
        return;
    plain_str(text, "; ");
    plain_things(text, sites.count, "task");
    plain_str(text, sites.count == 1 ? " waits" : " wait");
    if (!sites.most)
        return;
    if (sites.most == 1 && sites.count > 1) {
        say_first(text, diag);
        return;
    }
    struct snap_await await = wanted_at(&suspended->tasks, sites.example);
    say_share(text, &sites);
    if (await.kind != SNAP_AWAIT_NONE) {
        plain_str(text, " for ");
        say_awaited(text, diag, &await);
    }
    say_place(text, diag, suspended->tasks.items[sites.example].stack);
}

static void say_greenlets(struct plain *text, const struct diag *diag, uint32_t *stacks)
{
    const struct snap_suspended *suspended = diag_suspended(diag);
    AUTO_FREE uint32_t *places = calloc(suspended->stacks.count + 1, sizeof(*places));
    if (!places || !snap_suspended_places(suspended, places)) {
        text->failed = true;
        return;
    }
    struct sites sites = {0};
    for (uint32_t i = 0; i < suspended->greenlets.count; i++) {
        const struct snap_greenlet *greenlet = &suspended->greenlets.items[i];
        if (greenlet->state == SNAP_GREENLET_SUSPENDED && !greenlet->is_hub)
            add_to(&sites, stacks, suspended->stacks.count,
                   greenlet->stack < suspended->stacks.count ? places[greenlet->stack]
                                                             : SNAP_NO_INDEX,
                   i);
    }
    if (!sites.count)
        return;
    plain_str(text, "; ");
    plain_things(text, sites.count, "greenlet");
    plain_str(text, sites.count == 1 ? " waits" : " wait");
    if (sites.most > 1 || (sites.most && sites.count == 1)) {
        say_share(text, &sites);
        say_place(text, diag, suspended->greenlets.items[sites.example].stack);
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
    say_tasks(text, diag, stacks);
    memset(stacks, 0, count * sizeof(*stacks));
    say_greenlets(text, diag, stacks);
}
