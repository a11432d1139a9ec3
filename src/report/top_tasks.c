// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks and greenlets in pycore top, by where they wait.
#include <string.h>

#include "report/task_words.h"
#include "report/top_private.h"
#include "util/guard.h"
#include "util/hash.h"

enum { COUNT, STATE, WAITS_FOR, SINCE, WHERE, WHO, COLUMNS };

bool top_find_tasks(struct top *top)
{
    task_groups_deinit(&top->tasks);
    task_groups_deinit(&top->greenlets);
    return task_groups_init(&top->tasks, top->values->suspended, false) &&
           task_groups_init(&top->greenlets, top->values->suspended, true);
}

// Rows are the groups of tasks, then those of greenlets.
static const struct task_group *group_at(const struct top *top, uint32_t index,
                                         const struct task_groups **ret_groups)
{
    size_t tasks = top->tasks.list.count;
    *ret_groups = index < tasks ? &top->tasks : &top->greenlets;
    return &(*ret_groups)->list.items[index < tasks ? index : index - tasks];
}

// Of the same place in every snapshot: names are the run's.
static uint64_t key_of(const struct task_groups *groups, const struct task_group *group)
{
    uint64_t hash = hash_u64(HASH_SEED, groups->of_greenlets);
    hash = hash_u64(hash, (uint64_t)group->state << 32 | group->kind);
    vec_foreach (frame, task_groups_frames(groups, group->stack)) {
        if (frame->kind == SNAP_NATIVE) // some may be without
            continue;
        hash = hash_u64(hash, (uint64_t)frame->function << 32 | frame->qualname);
        hash = hash_u64(hash, (uint64_t)frame->file << 32 | (uint32_t)frame->line);
    }
    return hash | 1;
}

const struct task_group *top_task_group_of(const struct top *top, uint64_t key,
                                           const struct task_groups **ret_groups)
{
    size_t count = top->tasks.list.count + top->greenlets.list.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct task_group *group = group_at(top, i, ret_groups);
        if (key_of(*ret_groups, group) == key)
            return group;
    }
    return NULL;
}

static void cell(struct plain *out, const struct top *top, uint32_t index, size_t column)
{
    const struct task_groups *groups;
    const struct task_group *group = group_at(top, index, &groups);
    const uint32_t *indexes = groups->order + group->first;
    switch (column) {
    case COUNT:
        plain_count(out, group->count);
        break;
    case STATE:
        plain_str(out, task_groups_state_name(groups, group->state));
        break;
    case WAITS_FOR:
        task_say_await(out, &top->page, groups, group, indexes);
        break;
    case SINCE:
        if (group->since_ns)
            plain_duration(out, group->since_ns);
        break;
    case WHERE:
        task_say_place(out, &top->page, task_groups_frames(groups, group->stack));
        break;
    case WHO:
        task_say_names(out, &top->page, groups, indexes, group->count, 2);
        break;
    }
    plain_unmark(out);
}

static enum screen_style style(const struct top *top, uint32_t index)
{
    const struct task_groups *groups;
    return group_at(top, index, &groups)->runs ? SCREEN_HOT : SCREEN_NORMAL;
}

static bool matches(const struct top *top, uint32_t index)
{
    GUARD(plain_deinit) struct plain text = {0};
    if (top_matches(top, ""))
        return true; // nothing is asked for
    for (size_t column = STATE; column < COLUMNS; column++) {
        cell(&text, top, index, column);
        plain_str(&text, " ");
    }
    return top_matches(top, plain_text(&text));
}

bool top_tasks(struct top *top, struct top_table *ret)
{
    static const struct top_column columns[COLUMNS] = {
        [COUNT] = {.title = "COUNT", .width = 7, .right = true},
        [STATE] = {.title = "STATE", .width = 9},
        [WAITS_FOR] = {.title = "WAITS FOR", .share = 3},
        [SINCE] = {.title = "SINCE", .width = 7, .needs = 90, .right = true},
        [WHERE] = {.title = "WHERE", .share = 4},
        [WHO] = {.title = "WHO", .share = 3, .needs = 110},
    };
    *ret = (struct top_table){.columns = columns,
                              .column_count = COLUMNS,
                              .sorted = COUNT,
                              .nothing = "no task and no greenlet",
                              .cell = cell,
                              .style = style};
    if (!top_find_tasks(top))
        return false;
    size_t count = top->tasks.list.count + top->greenlets.list.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct task_groups *groups;
        const struct task_group *group = group_at(top, i, &groups);
        uint64_t key = key_of(groups, group);
        // What runs is first.
        struct top_row row = {.key = key, .opens = key, .index = i, .second = count - i};
        row.weight = group->runs ? UINT64_MAX : group->count;
        if (matches(top, i) && !vec_push(&ret->rows, row))
            return false;
    }
    return true;
}
