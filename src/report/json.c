// SPDX-License-Identifier: GPL-3.0-or-later
// The canonical report, schema "pycore/1". A fact that is not known is null, and everything that
// was seen is there: neither --top nor --full cuts anything here.
//
// Fields that are only there when true: a frame's "incomplete" (being set up), "unreadable" and
// "generator", a native frame's "signal" (the kernel's signal frame: what follows was interrupted);
// a thread's "crashed" and "cut" (frames may be missing; a note says why); a snapshot's "overran";
// the source's "of_core" (a capture that was made of a core), "interrupted" and "shows_secrets" (nothing
// was hidden). Where several processes were looked at, each says when it was there, and "why" there are
// no stacks of it.
//
// A hotspot report has its "last_snapshot", where it was kept and "snapshots" are not there: what
// threads waited for in the end. What is known of threads beyond their stacks: json_details.c; what is
// wrong: json_diagnosis.c; what waits without a thread: json_tasks.c.
//
// report/document.h reads it back: what a renderer needs is here, and what is written of a document
// is that document again, byte for byte.
#include "report/json.h"

#include <string.h>

#include "report/export.h"
#include "report/json_crash.h"
#include "report/json_tasks.h"
#include "util/guard.h"

void json_name(struct json_report *report, const char *key, uint32_t id)
{
    const char *bytes = strtab_get(report->input->strings, id);
    if (bytes)
        json_string(&report->json, key, bytes, strtab_size(report->input->strings, id));
    else
        json_null(&report->json, key);
}

void json_names(struct json_report *report, const char *key, const uint32_t *ids, size_t count)
{
    json_begin_array(&report->json, key);
    for (size_t i = 0; i < count; i++)
        json_name(report, NULL, ids[i]);
    json_end_array(&report->json, JSON_LINE);
}

void json_u64_if(struct json_report *report, const char *key, bool has, uint64_t value)
{
    if (has)
        json_u64(&report->json, key, value);
    else
        json_null(&report->json, key);
}

void json_i64_if(struct json_report *report, const char *key, bool has, int64_t value)
{
    if (has)
        json_i64(&report->json, key, value);
    else
        json_null(&report->json, key);
}

void json_hex_if(struct json_report *report, const char *key, bool has, uint64_t value)
{
    if (has)
        json_hex(&report->json, key, value);
    else
        json_null(&report->json, key);
}

void json_if_true(struct json_report *report, const char *key, bool value)
{
    if (value)
        json_bool(&report->json, key, true);
}

// Where Python could not be read, nothing is known of that.
void json_known_to_python(struct json_report *report, pid_t pid, bool known)
{
    if (snap_process_of(report->input->source, pid)->python_version)
        json_bool(&report->json, "known_to_python", known);
    else
        json_null(&report->json, "known_to_python");
}

static void native_frame(struct json_report *report, const struct snap_frame *frame)
{
    json_text(&report->json, "kind", "native");
    json_name(report, "function", frame->function);
    json_name(report, "module", frame->module);
    json_hex_if(report, "address", frame->address != SNAP_NO_ADDRESS, frame->address);
    // From the start of the function, without one from the start of the module.
    json_hex_if(report, "offset",
                frame->address != SNAP_NO_ADDRESS && (frame->function || frame->module),
                frame->offset);
    json_name(report, "file", frame->file);
    json_i64_if(report, "line", frame->line >= 0, frame->line);
    json_bool(&report->json, "inlined", frame->flags & SNAP_FRAME_INLINED);
    json_text(&report->json, "unwound_by",
              frame->flags & SNAP_FRAME_GUESSED  ? "scan"
              : frame->flags & SNAP_FRAME_LIKELY ? "frame-pointer"
                                                 : "cfi");
    json_if_true(report, "signal", frame->flags & SNAP_FRAME_SIGNAL);
}

static void builtin_frame(struct json_report *report, const struct snap_frame *frame)
{
    json_text(&report->json, "kind", "builtin");
    json_name(report, "function", frame->function);
    json_name(report, "qualname", frame->qualname);
    json_bool(&report->json, "inferred", frame->flags & SNAP_FRAME_INFERRED);
}

static void python_frame(struct json_report *report, const struct snap_frame *frame)
{
    json_text(&report->json, "kind", "python");
    json_name(report, "function", frame->function);
    json_name(report, "qualname", frame->qualname);
    json_name(report, "file", frame->file);
    json_i64_if(report, "line", frame->line >= 0, frame->line);
    json_i64_if(report, "column", frame->column >= 0, frame->column);
    json_i64_if(report, "first_line", frame->first_line >= 0, frame->first_line);
}

void json_frame(struct json_report *report, const struct snap_frame *frame)
{
    json_begin_object(&report->json, NULL);
    if (frame->kind == SNAP_NATIVE)
        native_frame(report, frame);
    else if (frame->kind == SNAP_BUILTIN)
        builtin_frame(report, frame);
    else
        python_frame(report, frame);
    json_if_true(report, "incomplete", frame->flags & SNAP_FRAME_INCOMPLETE);
    json_if_true(report, "unreadable", frame->flags & SNAP_FRAME_UNREADABLE);
    json_if_true(report, "generator", frame->flags & SNAP_FRAME_GENERATOR);
}

// Whatever stopped all threads, or is a core, holds each of them still.
static bool stood_still(const struct snapshot *snapshot, const struct snap_thread *thread)
{
    return snapshot->stopped || thread->held_still;
}

static bool is_atomic(const struct snapshot *snapshot)
{
    if (snapshot->parts.count > 1)
        return false; // each process at a moment of its own
    vec_foreach (thread, &snapshot->threads)
        if (!stood_still(snapshot, thread))
            return false;
    return true;
}

static void thread_facts(struct json_report *report, const struct snapshot *snapshot,
                         const struct snap_thread *thread)
{
    struct json_writer *json = &report->json;
    json_i64_if(report, "pid", thread->pid != 0, thread->pid);
    json_i64_if(report, "tid", thread->tid != 0, thread->tid);
    json_name(report, "name", thread->name);
    json_bool(json, "name_from_kernel", thread->name && thread->name_from_kernel);
    json_hex_if(report, "python_thread_id", thread->python_id != 0, thread->python_id);
    json_i64_if(report, "interpreter", thread->interpreter >= 0, thread->interpreter);
    json_known_to_python(report, thread->pid, thread->known_to_python);
    json_text(json, "state", snap_state_name(thread->state));
    json_name(report, "syscall", thread->syscall);
    if (thread->has_holds_gil)
        json_bool(json, "holds_gil", thread->holds_gil);
    else
        json_null(json, "holds_gil");
    json_bool(json, "in_gc", thread->in_gc);
    json_bool(json, "on_cpu", thread->on_cpu);
    json_bool(json, "stopped", thread->was_stopped);
    json_bool(json, "held_still", stood_still(snapshot, thread));
    json_if_true(report, "crashed", thread->crashed);
    json_if_true(report, "cut", thread->cut);
    json_u64_if(report, "cpu_ns", thread->has_cpu, thread->cpu_ns);
    json_u64_if(report, "cpu_total_ns", thread->has_cpu, thread->cpu_total_ns);
}

static void snapshot_thread(struct json_report *report, const struct snapshot *snapshot,
                            const struct snap_thread *thread)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_object(json, NULL);
    json_line(json);
    thread_facts(report, snapshot, thread);
    json_details(report, thread->details);
    json_turn(report, thread);
    json_line(json);
    json_begin_array(json, "frames");
    vec_foreach (frame, &thread->frames) {
        json_line(json);
        json_frame(report, frame);
        json_locals(report, thread, (size_t)(frame - thread->frames.items));
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINES);
    json_exceptions(report, thread);
    json_hidden(report, thread->details);
    json_line(json);
    json_names(report, "notes", thread->notes.items, thread->notes.count);
    json_end_object(json, JSON_LINES);
}

// All of a snapshot except the closing brace of its object.
static void write_snapshot(struct json_report *report, const struct snapshot *snapshot)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_u64(json, "at_ns", snapshot->at_ns);
    json_u64(json, "pause_ns", snapshot->pause_ns);
    json_bool(json, "stopped", snapshot->stopped);
    json_bool(json, "atomic", is_atomic(snapshot));
    json_u64(json, "threads_stopped", snapshot->threads_stopped);
    json_u64(json, "interrupted_calls", snapshot->interrupted_calls);
    json_if_true(report, "overran", snapshot->overran);
    json_u64_if(report, "cpu_window_ns", snapshot->cpu_window_ns != 0, snapshot->cpu_window_ns);
    json_u64_if(report, "process_cpu_ns", snapshot->has_process_cpu, snapshot->process_cpu_ns);
    json_parts(report, snapshot);
    json_line(json);
    json_begin_array(json, "threads");
    vec_foreach (thread, &snapshot->threads)
        snapshot_thread(report, snapshot, thread);
    json_end_array(json, JSON_LINES);
    json_line(json);
    json_names(report, "notes", snapshot->notes.items, snapshot->notes.count);
    json_end_object(json, JSON_LINES);
}

static void write_snapshots(struct json_report *report)
{
    struct json_writer *json = &report->json;
    const struct report_input *input = report->input;
    json_line(json);
    json_begin_array(json, "snapshots");
    for (size_t i = 0; i < input->snapshot_count; i++) {
        json_line(json);
        json_begin_object(json, NULL);
        write_snapshot(report, input->snapshots[i]);
    }
    json_end_array(json, JSON_LINES);
}

static void write_process(struct json_report *report, const struct snap_process *process,
                          bool of_several)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", process->pid != 0, process->pid);
    json_name(report, "exe", process->exe);
    json_names(report, "argv", process->argv, process->argc);
    json_begin_object(json, "python");
    json_name(report, "version", process->python_version);
    json_name(report, "build", process->python_build);
    json_end_object(json, JSON_LINE);
    json_u64_if(report, "start_time_ns", process->start_time_ns != 0, process->start_time_ns);
    if (of_several) {
        json_i64_if(report, "parent", process->parent != 0, process->parent);
        json_u64(json, "snapshots", process->snapshots);
        json_u64(json, "first_ns", process->first_ns);
        json_u64(json, "last_ns", process->last_ns);
        json_bool(json, "ended", process->ended);
        json_name(report, "why", process->why);
    }
    json_end_object(json, JSON_LINE);
}

static void write_processes(struct json_report *report, const struct snap_source *source)
{
    size_t count = snap_process_count(source);
    json_begin_array(&report->json, "processes");
    for (size_t i = 0; i < count; i++) {
        if (count > 1)
            json_line(&report->json);
        write_process(report, snap_process_at(source, i), count > 1);
    }
    json_end_array(&report->json, count > 1 ? JSON_LINES : JSON_LINE);
}

static void write_signal(struct json_report *report, const struct snap_signal *signal)
{
    struct json_writer *json = &report->json;
    if (!signal->signo) {
        json_null(json, "signal");
        return;
    }
    json_begin_object(json, "signal");
    json_i64(json, "signo", signal->signo);
    json_name(report, "name", signal->name);
    json_i64_if(report, "code", signal->has_code, signal->code);
    json_name(report, "code_text", signal->code_text);
    json_i64_if(report, "sender_pid", signal->has_sender, signal->sender_pid);
    json_i64_if(report, "sender_uid", signal->has_sender, signal->sender_uid);
    json_hex_if(report, "fault_address", signal->has_fault_address, signal->fault_address);
    json_i64_if(report, "tid", signal->tid != 0, signal->tid);
    json_end_object(json, JSON_LINE);
}

void json_source(struct json_report *report)
{
    static const char *const kinds[] = {
        [SNAP_LIVE] = "live", [SNAP_CORE] = "core", [SNAP_CAPTURE] = "capture"};
    const struct snap_source *source = report->input->source;
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_object(json, "source");
    json_line(json);
    json_text(json, "kind", kinds[source->kind]);
    json_if_true(report, "of_core", source->of_core && source->kind != SNAP_CORE);
    json_name(report, "path", source->path);
    json_i64_if(report, "pid", source->pid != 0, source->pid);
    json_name(report, "arch", source->arch);
    json_line(json);
    write_processes(report, source);
    json_line(json);
    json_utc(json, "taken_at", source->taken_at_ns);
    json_i64_if(report, "taken_at_ns", source->taken_at_ns != 0, source->taken_at_ns);
    json_name(report, "host", source->host);
    json_line(json);
    write_signal(report, &source->signal);
    json_crash(report, &source->crash);
    json_environment(report, &source->environment);
    json_line(json);
    json_bool(json, "complete", source->complete && !report->input->interrupted);
    json_if_true(report, "interrupted", report->input->interrupted);
    json_if_true(report, "shows_secrets", report->input->shows_secrets);
    json_end_object(json, JSON_LINES);
}

static bool has_note(const struct snap_notes *notes, uint32_t id)
{
    for (size_t i = 0; notes && i < notes->count; i++)
        if (notes->items[i] == id)
            return true;
    return false;
}

static void write_note(struct json_report *report, uint32_t id)
{
    json_line(&report->json);
    json_name(report, NULL, id);
}

// Those of the run and of the source, each once, in the order in which people read them.
static void write_notes(struct json_report *report)
{
    const struct snap_notes *run = report->input->notes;
    json_line(&report->json);
    json_begin_array(&report->json, "notes");
    for (size_t i = 0; run && i < run->count; i++)
        write_note(report, run->items[i]);
    vec_foreach (note, &report->input->source->notes)
        if (!has_note(run, *note))
            write_note(report, *note);
    json_end_array(&report->json, JSON_LINES);
}

struct err *report_json(FILE *out, const struct report_input *input,
                        const struct report_options *options)
{
    struct json_report report = {.json = {.out = out}, .input = input};
    struct json_writer *json = &report.json;
    json_begin_document(json, "pycore/1", input->tool_version);
    json_text(json, "command", input->command);
    json_end_object(json, JSON_LINE);
    json_source(&report);
    bool with_snapshots = !input->profile || (options->snapshots && input->snapshot_count);
    if (with_snapshots)
        write_snapshots(&report);
    if (input->last && !with_snapshots) {
        json_line(json);
        json_begin_object(json, "last_snapshot");
        write_snapshot(&report, input->last);
    }
    json_line(json);
    if (input->profile)
        TRY(json_profile(&report, input->profile, options->snapshots));
    else
        json_null(json, "profile");
    json_diagnosis(&report);
    json_waits(&report);
    TRY(json_suspended(&report));
    write_notes(&report);
    json_end_object(json, JSON_LINES);
    fputc('\n', out);
    return export_finish(out);
}
