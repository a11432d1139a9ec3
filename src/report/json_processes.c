// SPDX-License-Identifier: GPL-3.0-or-later
// What each of several processes contributed to a profile, and to a snapshot. Which processes these
// are is in the source.
#include "report/json.h"

static bool of_several(const struct json_report *report)
{
    return report->input->source->others.count > 0;
}

static void write_process(struct json_report *report, const struct prof_process *process)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", process->pid != 0, process->pid);
    json_u64_if(report, "cpu_ns", process->has_cpu, process->cpu_ns);
    if (process->has_cpu)
        json_double(json, "cpu_share", process->cpu_share);
    else
        json_null(json, "cpu_share");
    json_u64(json, "threads", process->threads);
    json_u64(json, "snapshots", process->snapshots);
    json_u64(json, "samples", process->samples);
    json_u64(json, "samples_working", process->samples_working);
    json_states(report, process->states);
    json_u64(json, "pause_total_ns", process->pause_total_ns);
    json_u64(json, "pause_max_ns", process->pause_max_ns);
    json_u64_if(report, "hottest", process->hottest != UINT32_MAX, process->hottest);
    json_u64_if(report, "most_seen", process->top_frame != UINT32_MAX, process->top_frame);
    json_end_object(json, JSON_LINE);
}

void json_processes(struct json_report *report, const struct prof_report *profile)
{
    struct json_writer *json = &report->json;
    if (!of_several(report))
        return;
    json_line(json);
    json_begin_array(json, "processes");
    for (size_t i = 0; i < profile->process_count; i++) {
        json_line(json);
        write_process(report, &profile->processes[i]);
    }
    json_end_array(json, JSON_LINES);
}

void json_parts(struct json_report *report, const struct snapshot *snapshot)
{
    struct json_writer *json = &report->json;
    if (!snapshot->parts.count)
        return;
    json_line(json);
    json_begin_array(json, "processes");
    vec_foreach (part, &snapshot->parts) {
        json_line(json);
        json_begin_object(json, NULL);
        json_i64(json, "pid", part->pid);
        json_u64(json, "pause_ns", part->pause_ns);
        json_u64_if(report, "cpu_window_ns", part->cpu_window_ns != 0, part->cpu_window_ns);
        json_u64_if(report, "process_cpu_ns", part->has_process_cpu, part->process_cpu_ns);
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINES);
}
