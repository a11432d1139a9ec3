// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of the JSON document, and what they share.
#ifndef REPORT_JSON_H
#define REPORT_JSON_H

#include "report/json_writer.h"
#include "report/report.h"

struct json_report {
    struct json_writer json;
    const struct report_input *input;
};

// json.c: a name of the string table; null for id 0
void json_name(struct json_report *report, const char *key, uint32_t id);
void json_names(struct json_report *report, const char *key, const uint32_t *ids, size_t count);
// Null when not `has`.
void json_u64_if(struct json_report *report, const char *key, bool has, uint64_t value);
void json_i64_if(struct json_report *report, const char *key, bool has, int64_t value);
void json_hex_if(struct json_report *report, const char *key, bool has, uint64_t value);
// Nothing when not.
void json_if_true(struct json_report *report, const char *key, bool value);
// Of a thread of that process; null where nothing is known.
void json_known_to_python(struct json_report *report, pid_t pid, bool known);
// All of a frame except the closing brace.
void json_frame(struct json_report *report, const struct snap_frame *frame);

// json_diagnosis.c: "verdict" and what belongs to it; "findings", which is always there
void json_diagnosis(struct json_report *report);
// json_waits.c: "waits" and "locks", made of the last snapshot; nothing where nothing is known of them
void json_waits(struct json_report *report);
// json_details.c: "locals" of a frame
void json_locals(struct json_report *report, const struct snap_thread *thread, size_t frame);
// json_details.c: "wait" and "held" of a thread, where they are known
void json_details(struct json_report *report, const struct snap_details *details);
// "hidden_values", where there are some
void json_hidden(struct json_report *report, const struct snap_details *details);
// json_environment.c: "environment" of the source; nothing where nothing is known of it
void json_environment(struct json_report *report, const struct snap_environment *environment);

// json_processes.c: "processes" of the profile and of a snapshot; nothing where there is but one
void json_processes(struct json_report *report, const struct prof_report *profile);
void json_parts(struct json_report *report, const struct snapshot *snapshot);

// json_profile_tasks.c: "tasks", "await_sites" and "dropped_awaits" of the profile, where there are any
void json_profile_tasks(struct json_report *report, const struct prof_report *profile);
// What a stack has of the task whose turn it was.
void json_stack_task(struct json_report *report, const struct prof_stack *stack);

// json_profile.c: "states": {...}
void json_states(struct json_report *report, const uint64_t states[SNAP_STATE_COUNT]);

// "source": {...}, whole, on lines of its own
void json_source(struct json_report *report);

// json_profile.c: the value of "profile"; with its time line if `moments`
struct err *json_profile(struct json_report *report, const struct prof_report *profile,
                         bool moments);
// The frame that stands for a function as a whole, behind those that were seen.
struct snap_frame json_frame_of(const struct prof_function *function);

// json_lines.c: the value of "lines"
struct err *json_lines(struct json_report *report, const struct prof_report *profile);

#endif
