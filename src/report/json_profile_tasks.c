// SPDX-License-Identifier: GPL-3.0-or-later
// The tasks of a profile, and where they wait.
//
// "tasks" has one item for each kind of task: the same coroutine, names that differ in a last number
// only ("Task-*"), the same root. Its samples are those of threads in which such a task had its turn;
// "low" and "high" bound samples_working / the profile's samples_working. "await_sites" has one for
// each distinct await stack: "samples" counts each task that waits there in each snapshot, and of
// "of_snapshots", in which tasks were looked at, "mean" of them waited there ("most" at once). The
// first "task_frames" of its frames are those of the task, the others of the tasks that wait for it.
//
// A stack's async stack is the first "task_frames" of its frames, then "awaiting".
#include "report/json.h"

static void write_task(struct json_report *report, const struct prof_task *task)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", task->pid != 0, task->pid);
    json_name(report, "name", task->name);
    json_name(report, "coroutine", task->coroutine);
    json_name(report, "root_name", task->root_name);
    json_name(report, "root_coroutine", task->root_coroutine);
    json_u64(json, "tasks", task->tasks);
    json_u64(json, "samples", task->samples);
    json_u64(json, "samples_working", task->samples_working);
    json_states(report, task->states);
    json_u64(json, "cpu_ns", task->cpu_ns);
    json_double(json, "low", task->low);
    json_double(json, "high", task->high);
    json_u64_if(report, "hottest", task->hottest != UINT32_MAX, task->hottest);
    json_end_object(json, JSON_LINE);
}

static void write_site(struct json_report *report, const struct prof_await_site *site)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", site->pid != 0, site->pid);
    json_i64_if(report, "tid", site->tid != 0, site->tid);
    json_name(report, "coroutine", site->coroutine);
    json_u64(json, "samples", site->samples);
    json_u64(json, "snapshots", site->snapshots);
    json_u64(json, "of_snapshots", site->of_snapshots);
    if (site->of_snapshots)
        json_double(json, "mean", (double)site->samples / (double)site->of_snapshots);
    else
        json_null(json, "mean");
    json_u64(json, "most", site->most);
    json_begin_object(json, "kinds");
    for (int kind = 0; kind < SNAP_AWAIT_COUNT; kind++)
        if (site->kinds[kind])
            json_u64(json, snap_await_name((enum snap_await_kind)kind), site->kinds[kind]);
    json_end_object(json, JSON_LINE);
    json_u64_if(report, "since_ns", site->since_ns != 0, site->since_ns);
    json_u64(json, "task_frames", site->task_frames);
    json_begin_array(json, "frames");
    for (size_t i = 0; i < site->frame_count; i++)
        json_u64(json, NULL, site->frames[i]);
    json_end_array(json, JSON_LINE);
    json_end_object(json, JSON_LINE);
}

void json_stack_task(struct json_report *report, const struct prof_stack *stack)
{
    struct json_writer *json = &report->json;
    if (stack->task >= report->input->profile->task_count)
        return;
    json_u64(json, "task", stack->task);
    json_u64(json, "task_frames", stack->task_frames);
    json_begin_array(json, "awaiting");
    for (size_t i = 0; i < stack->awaiting_count; i++)
        json_u64(json, NULL, stack->frames[stack->frame_count + i]);
    json_end_array(json, JSON_LINE);
}

void json_profile_tasks(struct json_report *report, const struct prof_report *profile)
{
    struct json_writer *json = &report->json;
    if (profile->dropped_awaits) {
        json_line(json);
        json_u64(json, "dropped_awaits", profile->dropped_awaits);
    }
    if (profile->task_count) {
        json_line(json);
        json_begin_array(json, "tasks");
        for (size_t i = 0; i < profile->task_count; i++) {
            json_line(json);
            write_task(report, &profile->tasks[i]);
        }
        json_end_array(json, JSON_LINES);
    }
    if (!profile->await_site_count)
        return;
    json_line(json);
    json_begin_array(json, "await_sites");
    for (size_t i = 0; i < profile->await_site_count; i++) {
        json_line(json);
        write_site(report, &profile->await_sites[i]);
    }
    json_end_array(json, JSON_LINES);
}
