// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON of pycore ps: see report/listing.h.
#include <string.h>

#include "report/export.h"
#include "report/json_writer.h"
#include "report/listing.h"
#include "report/runs.h"
#include "util/guard.h"

static void number_or_null(struct json_writer *json, const char *key, bool has, uint64_t value)
{
    if (has)
        json_u64(json, key, value);
    else
        json_null(json, key);
}

static void write_program(struct json_writer *json, const struct listed_process *process)
{
    GUARD(plain_deinit) struct plain runs = {0};
    json_text(json, "exe", process->exe);
    if (process->argv)
        json_begin_array(json, "argv");
    else
        json_null(json, "argv");
    for (char **arg = process->argv; arg && *arg; arg++)
        json_text(json, NULL, *arg);
    if (process->argv)
        json_end_array(json, JSON_LINE);
    runs_say(&runs, process->argv, process->exe, process->comm);
    json_text(json, "runs", plain_text(&runs));
    if (!process->version[0]) {
        json_null(json, "python");
        return;
    }
    json_begin_object(json, "python");
    json_text(json, "version", process->version);
    json_text(json, "build", process->build);
    json_end_object(json, JSON_LINE);
}

static void write_process(struct json_writer *json, const struct listed_process *process)
{
    json_line(json);
    json_begin_object(json, NULL);
    json_i64(json, "pid", process->pid);
    json_i64(json, "parent", process->parent);
    number_or_null(json, "uid", process->has_uid, process->uid);
    json_text(json, "user", process->user);
    write_program(json, process);
    json_u64(json, "threads", process->threads);
    if (process->has_cpu)
        json_double(json, "cpu_share", process->cpu_share);
    else
        json_null(json, "cpu_share");
    json_u64(json, "rss_bytes", process->rss_bytes);
    number_or_null(json, "start_time_ns", process->start_time_ns != 0, process->start_time_ns);
    json_u64(json, "age_ns", process->age_ns);
    json_bool(json, "can_be_opened", !process->why_not_in_short);
    json_text(json, "why_not_in_short", process->why_not_in_short);
    json_text(json, "why_not", process->why_not);
    json_end_object(json, JSON_LINE);
}

struct err *process_list_json(FILE *out, const struct process_list *list)
{
    struct json_writer writer = {.out = out}, *json = &writer;
    json_begin_document(json, "pycore/1", list->tool_version);
    json_end_object(json, JSON_LINE);
    json_line(json);
    json_text(json, "host", list->host);
    json_utc(json, "taken_at", list->taken_at_ns);
    json_bool(json, "complete", list->complete);
    json_u64(json, "hidden", list->hidden);
    json_line(json);
    json_begin_array(json, "processes");
    vec_foreach (process, &list->items)
        write_process(json, process);
    json_end_array(json, JSON_LINES);
    json_line(json);
    json_begin_array(json, "notes");
    vec_foreach (note, &list->notes) {
        json_line(json);
        json_text(json, NULL, *note);
    }
    json_end_array(json, JSON_LINES);
    json_end_object(json, JSON_LINES);
    fputc('\n', out);
    return export_finish(out);
}
