// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks and greenlets by await site, for those who do not want to do it themselves: what is in the same
// state and awaits the same kind of thing in the same frames. "count" of them, the longest "since_ns",
// "what" they await, the "coroutine" and the "holder" of the lock where these are the same for all,
// and some of them as examples ("names", and indexes in "tasks" or "greenlets"). Not read back.
#include "report/json_tasks.h"
#include "report/task_groups.h"
#include "util/guard.h"

#define EXAMPLES 5

static void write_examples(struct json_report *report, const struct task_groups *groups,
                           const struct task_group *group)
{
    struct json_writer *json = &report->json;
    const uint32_t *order = groups->order + group->first;
    size_t count = group->count < EXAMPLES ? group->count : EXAMPLES;
    json_begin_array(json, "names");
    for (size_t i = 0; i < count; i++)
        json_name(report, NULL, task_groups_view(groups, order[i]).name);
    json_end_array(json, JSON_LINE);
    json_begin_array(json, groups->of_greenlets ? "greenlets" : "tasks");
    for (size_t i = 0; i < count; i++)
        json_u64(json, NULL, order[i]);
    json_end_array(json, JSON_LINE);
}

static void write_group(struct json_report *report, const struct task_groups *groups,
                        struct json_stacks *stacks, uint32_t index)
{
    struct json_writer *json = &report->json;
    const struct task_group *group = &groups->list.items[index];
    json_line(json);
    json_begin_object(json, NULL);
    json_line(json);
    json_u64(json, "count", group->count);
    json_text(json, "state", task_groups_state_name(groups, group->state));
    json_text(json, "kind", snap_await_name(group->kind));
    json_name(report, "what", group->what);
    if (!groups->of_greenlets)
        json_name(report, "coroutine", group->coroutine);
    json_u64_if(report, "holder", group->holder != SNAP_NO_INDEX, group->holder);
    json_u64_if(report, "since_ns", group->since_ns != 0, group->since_ns);
    json_line(json);
    write_examples(report, groups, group);
    json_line(json);
    if (group->natives_differ)
        json_python_frames(report, task_groups_frames(groups, group->stack));
    else
        json_stack(report, stacks, group->stack, index);
    json_end_object(json, JSON_LINES);
}

static bool write_groups(struct json_report *report, const struct snap_suspended *suspended,
                         bool of_greenlets)
{
    GUARD(task_groups_deinit) struct task_groups groups = {0};
    GUARD(json_stacks_deinit) struct json_stacks stacks = {0};
    if (!task_groups_init(&groups, suspended, of_greenlets) ||
        !json_stacks_init(&stacks, suspended))
        return false;
    if (!groups.list.count)
        return true;
    json_line(&report->json);
    json_begin_array(&report->json, of_greenlets ? "greenlet_groups" : "task_groups");
    for (uint32_t i = 0; i < groups.list.count; i++)
        write_group(report, &groups, &stacks, i);
    json_end_array(&report->json, JSON_LINES);
    return true;
}

struct err *json_task_groups(struct json_report *report, const struct snap_suspended *suspended)
{
    return write_groups(report, suspended, false) && write_groups(report, suspended, true)
               ? NULL
               : err_create(ERR_NO_MEMORY, "no memory for the JSON report");
}
