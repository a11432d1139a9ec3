// SPDX-License-Identifier: GPL-3.0-or-later
// Generators that are suspended, where they were asked for: "kind" is "generator", "coroutine" or
// "async-generator"; of one that has not "begun" no instruction has run. "frames" are its own and those of
// what it delegates to, innermost first; "frames_as" as with tasks (json_tasks.c). "generator_groups": those
// at the same place put together, the largest first, with some as examples (indexes in "generators"). Not
// read back.
#include "report/generator_groups.h"
#include "report/json_tasks.h"
#include "util/guard.h"

#define EXAMPLES 5

static void write_generator(struct json_report *report, struct json_stacks *stacks, uint32_t index)
{
    struct json_writer *json = &report->json;
    const struct snap_generator *generator = &stacks->suspended->generators.items[index];
    json_line(json);
    json_begin_object(json, NULL);
    json_line(json);
    json_i64_if(report, "pid", generator->pid != 0, generator->pid);
    json_hex_if(report, "id", generator->object != 0, generator->object);
    json_text(json, "kind", snap_generator_kind_name(generator->kind));
    json_bool(json, "begun", generator->begun);
    json_line(json);
    json_stack(report, stacks, generator->stack, index);
    json_end_object(json, JSON_LINES);
}

static void write_group(struct json_report *report, const struct generator_groups *groups,
                        struct json_stacks *stacks, uint32_t index)
{
    struct json_writer *json = &report->json;
    const struct generator_group *group = &groups->list.items[index];
    json_line(json);
    json_begin_object(json, NULL);
    json_line(json);
    json_u64(json, "count", group->count);
    json_text(json, "kind", snap_generator_kind_name(group->kind));
    json_bool(json, "begun", group->begun);
    json_begin_array(json, "generators");
    for (size_t i = 0; i < group->count && i < EXAMPLES; i++)
        json_u64(json, NULL, groups->order[group->first + i]);
    json_end_array(json, JSON_LINE);
    json_line(json);
    json_stack(report, stacks, group->stack, index);
    json_end_object(json, JSON_LINES);
}

static bool write_groups(struct json_report *report, const struct snap_suspended *suspended)
{
    GUARD(generator_groups_deinit) struct generator_groups groups = {0};
    GUARD(json_stacks_deinit) struct json_stacks stacks = {0};
    if (!generator_groups_init(&groups, suspended) || !json_stacks_init(&stacks, suspended))
        return false;
    json_line(&report->json);
    json_begin_array(&report->json, "generator_groups");
    for (uint32_t i = 0; i < groups.list.count; i++)
        write_group(report, &groups, &stacks, i);
    json_end_array(&report->json, JSON_LINES);
    return true;
}

struct err *json_generators(struct json_report *report, const struct snap_suspended *suspended)
{
    if (!suspended->generators.count)
        return NULL;
    TRY(json_suspended_list(report, suspended, "generators", suspended->generators.count,
                            write_generator));
    return write_groups(report, suspended)
               ? NULL
               : err_create(ERR_NO_MEMORY, "no memory for the JSON report");
}
