// SPDX-License-Identifier: GPL-3.0-or-later
// See task_groups.h. Stacks are kept once (snapshot/suspended.h), so equal ones have equal indexes.
#include "report/task_groups.h"

#include <stdlib.h>

#include "util/guard.h"

static struct task_view view_of_task(const struct snap_task *task)
{
    return (struct task_view){.name = task->name,
                              .coroutine = task->coroutine,
                              .stack = task->stack,
                              .state = task->state,
                              .await = &task->await,
                              .parent = SNAP_NO_INDEX,
                              .object = task->object,
                              .since_ns = task->since_ns,
                              .cut = task->cut,
                              .cancelling = task->cancelling};
}

static struct task_view view_of_greenlet(const struct snap_greenlet *greenlet)
{
    return (struct task_view){.name = greenlet->name,
                              .stack = greenlet->stack,
                              .state = greenlet->state,
                              .await = &greenlet->await,
                              .parent = greenlet->parent,
                              .object = greenlet->object,
                              .since_ns = greenlet->since_ns,
                              .cut = greenlet->cut};
}

struct task_view task_groups_view(const struct task_groups *groups, uint32_t index)
{
    return groups->of_greenlets ? view_of_greenlet(&groups->suspended->greenlets.items[index])
                                : view_of_task(&groups->suspended->tasks.items[index]);
}

const char *task_groups_state_name(const struct task_groups *groups, unsigned state)
{
    return groups->of_greenlets ? snap_greenlet_state_name((enum snap_greenlet_state)state)
                                : snap_task_state_name((enum snap_task_state)state);
}

const struct snap_frames *task_groups_frames(const struct task_groups *groups, uint32_t stack)
{
    static const struct snap_frames none = {0};
    return groups->suspended && stack < groups->suspended->stacks.count
               ? &groups->suspended->stacks.items[stack]
               : &none;
}

// ---- Putting together ----------------------------------------------------------------------------

struct keyed {
    uint32_t stack, place, index; // place: state and kind
};

static int by_key(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;
    if (a->stack != b->stack)
        return a->stack < b->stack ? -1 : 1;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static int by_importance(const void *left, const void *right, void *arg)
{
    const struct task_group *a = left, *b = right;
    const uint32_t *order = arg;
    if (a->runs != b->runs)
        return a->runs ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return order[a->first] < order[b->first] ? -1 : 1;
}

static bool is_running(const struct task_groups *groups, unsigned state)
{
    return groups->of_greenlets ? state == SNAP_GREENLET_RUNNING : state == SNAP_TASK_RUNNING;
}

static void begin(const struct task_groups *groups, struct task_group *group,
                  const struct task_view *view)
{
    const struct snap_await *await = view->await;
    group->stack = view->stack;
    group->state = view->state;
    group->kind = await->kind;
    group->runs = is_running(groups, view->state);
    group->what = await->what;
    group->type = await->type;
    group->coroutine = view->coroutine;
    group->holder = await->holder;
    group->parent = view->parent;
    group->object = await->object;
    group->thread = await->thread;
    group->fd = await->fd;
    group->least_ns = group->most_ns = -1;
}

static bool has_natives(const struct task_groups *groups, uint32_t stack)
{
    vec_foreach (frame, task_groups_frames(groups, stack))
        if (frame->kind == SNAP_NATIVE)
            return true;
    return false;
}

static void join(const struct task_groups *groups, struct task_group *group,
                 const struct task_view *view)
{
    const struct snap_await *await = view->await;
    group->count++;
    if (groups->places && view->stack != group->stack && has_natives(groups, view->stack)) {
        group->natives_differ |= has_natives(groups, group->stack);
        group->stack = view->stack;
    }
    group->what = group->what == await->what ? group->what : 0;
    group->type = group->type == await->type ? group->type : 0;
    group->coroutine = group->coroutine == view->coroutine ? group->coroutine : 0;
    group->holder = group->holder == await->holder ? group->holder : SNAP_NO_INDEX;
    group->parent = group->parent == view->parent ? group->parent : SNAP_NO_INDEX;
    group->object = group->object == await->object ? group->object : 0;
    group->thread = group->thread == await->thread ? group->thread : 0;
    group->fd = group->fd == await->fd ? group->fd : -1;
    group->cut += view->cut;
    group->cancelling += view->cancelling;
    if (view->since_ns > group->since_ns)
        group->since_ns = view->since_ns;
    if (await->left_ns < 0)
        return;
    if (group->least_ns < 0 || await->left_ns < group->least_ns)
        group->least_ns = await->left_ns;
    if (await->left_ns > group->most_ns)
        group->most_ns = await->left_ns;
}

struct task_group task_groups_sum(const struct task_groups *groups, const uint32_t *indexes,
                                  size_t count)
{
    struct task_group sum = {0};
    for (size_t i = 0; i < count; i++) {
        struct task_view view = task_groups_view(groups, indexes[i]);
        if (i == 0)
            begin(groups, &sum, &view);
        join(groups, &sum, &view);
    }
    return sum;
}

static uint32_t place_of(const struct task_groups *groups, uint32_t stack)
{
    return groups->places && stack < groups->suspended->stacks.count ? groups->places[stack] : stack;
}

static size_t key_all(const struct task_groups *groups, size_t count, struct keyed *ret)
{
    size_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct task_view view = task_groups_view(groups, i);
        if (!groups->of_greenlets && view.state == SNAP_TASK_FINISHED)
            continue;
        uint32_t place = view.state * SNAP_AWAIT_COUNT + view.await->kind;
        ret[kept++] = (struct keyed){place_of(groups, view.stack), place, i};
    }
    qsort(ret, kept, sizeof(*ret), by_key);
    return kept;
}

bool task_groups_init(struct task_groups *groups, const struct snap_suspended *suspended,
                      bool of_greenlets)
{
    *groups = (struct task_groups){.suspended = suspended, .of_greenlets = of_greenlets};
    size_t count = !suspended     ? 0
                   : of_greenlets ? suspended->greenlets.count
                                  : suspended->tasks.count;
    AUTO_FREE struct keyed *keyed = calloc(count + 1, sizeof(*keyed));
    groups->order = calloc(count + 1, sizeof(*groups->order));
    if (!keyed || !groups->order)
        return false;
    if (of_greenlets && count) {
        groups->places = calloc(suspended->stacks.count + 1, sizeof(*groups->places));
        if (!groups->places || !snap_suspended_places(suspended, groups->places))
            return false;
    }
    count = key_all(groups, count, keyed);
    for (size_t i = 0; i < count; i++) {
        struct task_view view = task_groups_view(groups, keyed[i].index);
        groups->order[i] = keyed[i].index;
        if (i == 0 || keyed[i].stack != keyed[i - 1].stack ||
            keyed[i].place != keyed[i - 1].place) {
            if (!vec_push(&groups->list, (struct task_group){.first = (uint32_t)i}))
                return false;
            begin(groups, &groups->list.items[groups->list.count - 1], &view);
        }
        join(groups, &groups->list.items[groups->list.count - 1], &view);
    }
    if (groups->list.count)
        qsort_r(groups->list.items, groups->list.count, sizeof(*groups->list.items), by_importance,
                groups->order);
    return true;
}

void task_groups_deinit(struct task_groups *groups)
{
    free(groups->places);
    free(groups->order);
    vec_deinit(&groups->list);
    *groups = (struct task_groups){0};
}
