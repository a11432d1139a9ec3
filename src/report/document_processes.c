// SPDX-License-Identifier: GPL-3.0-or-later
// What each of several processes contributed: the "processes" of a document's profile, and those of a
// snapshot.
#include "report/document_in.h"
#include "util/guard.h"

// The share of time is computed again.
static const struct field process_fields[] = {
    FIELD(struct prof_process, "pid", FIELD_INT, pid),
    FIELD_HAS(struct prof_process, "cpu_ns", FIELD_U64, cpu_ns, has_cpu),
    FIELD(struct prof_process, "threads", FIELD_U64, threads),
    FIELD(struct prof_process, "snapshots", FIELD_U64, snapshots),
    FIELD_REQUIRED(struct prof_process, "samples", FIELD_U64, samples),
    FIELD(struct prof_process, "samples_working", FIELD_U64, samples_working),
    FIELD(struct prof_process, "states", FIELD_STATES, states),
    FIELD(struct prof_process, "pause_total_ns", FIELD_U64, pause_total_ns),
    FIELD(struct prof_process, "pause_max_ns", FIELD_U64, pause_max_ns),
    FIELD(struct prof_process, "hottest", FIELD_U32, hottest),
    FIELD(struct prof_process, "most_seen", FIELD_U32, top_frame),
};

void document_read_processes(struct document_in *in, void *into)
{
    struct profile_in *profile = into;
    struct prof_process *process;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (process = document_push(in, &profile->processes))) {
        process->hottest = process->top_frame = UINT32_MAX;
        document_fields(in, process_fields, ARRAY_SIZE(process_fields), process);
    }
}

static const struct field part_fields[] = {
    FIELD_REQUIRED(struct snap_part, "pid", FIELD_INT, pid),
    FIELD(struct snap_part, "pause_ns", FIELD_U64, pause_ns),
    FIELD(struct snap_part, "cpu_window_ns", FIELD_U64, cpu_window_ns),
    FIELD_HAS(struct snap_part, "process_cpu_ns", FIELD_U64, process_cpu_ns, has_process_cpu),
};

void document_read_parts(struct document_in *in, void *into)
{
    struct snapshot *snapshot = into;
    struct snap_part *part;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (part = document_push(in, &snapshot->parts)))
        document_fields(in, part_fields, ARRAY_SIZE(part_fields), part);
}
