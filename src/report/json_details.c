// SPDX-License-Identifier: GPL-3.0-or-later
// What is known beyond stacks. Of a thread, "wait": what it waits for ("kind", how the program calls it or
// what it is: "what"), the Python object and its "type", the innermost "lock" of it, the futex word or
// mutex ("address"), a file descriptor ("fd"; of several "fds" the first ones and "fd_count"), times, and
// who has it: "owner" is a thread id (a process id for "child"), "owner_known" says whether that was
// "observed", "inferred" from the owner's frame, or is "unknown"; "owner_frame" and "waiting_frame" are
// indexes of the owner's and the thread's own frames; "owner_gone": the owner that is named is no thread
// of the process. "held": the locks that the thread has, each with the "frame" whose `with` it is.
// "hidden_values": how many values looked like secrets and are not shown. Of a frame, "locals": its
// variables, as repr() would say them; "value" is null where one could not be read.
#include "report/json.h"

static void wait(struct json_report *report, const struct snap_wait *from)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_object(json, "wait");
    json_text(json, "kind", snap_wait_name(from->kind));
    json_name(report, "what", from->what);
    json_name(report, "type", from->type);
    json_hex_if(report, "object", from->object != 0, from->object);
    json_hex_if(report, "lock", from->lock != 0, from->lock);
    json_hex_if(report, "address", from->address != 0, from->address);
    json_i64_if(report, "fd", from->fd >= 0, from->fd);
    json_begin_array(json, "fds");
    vec_foreach (fd, &from->fds)
        json_i64(json, NULL, *fd);
    json_end_array(json, JSON_LINE);
    json_u64(json, "fd_count", from->fd_count);
    json_i64_if(report, "timeout_ns", from->timeout_ns >= 0, from->timeout_ns);
    json_i64_if(report, "left_ns", from->left_ns >= 0, from->left_ns);
    json_u64_if(report, "since_ns", from->since_ns != 0, from->since_ns);
    json_i64_if(report, "owner", from->owner != 0, from->owner);
    json_text(json, "owner_known", snap_certainty_name(from->owner_known));
    json_u64_if(report, "owner_frame", from->owner_frame != UINT32_MAX, from->owner_frame);
    json_bool(json, "owner_gone", from->owner_gone);
    json_u64_if(report, "waiting_frame", from->waiting != UINT32_MAX, from->waiting);
    json_end_object(json, JSON_LINE);
}

static void held(struct json_report *report, const struct snap_helds *from)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_array(json, "held");
    vec_foreach (lock, from) {
        json_begin_object(json, NULL);
        json_name(report, "what", lock->what);
        json_name(report, "type", lock->type);
        json_hex_if(report, "object", lock->object != 0, lock->object);
        json_u64_if(report, "frame", lock->frame != UINT32_MAX, lock->frame);
        json_text(json, "known", snap_certainty_name(lock->known));
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINE);
}

void json_details(struct json_report *report, const struct snap_details *details)
{
    if (details && details->wait.kind != SNAP_WAIT_NONE)
        wait(report, &details->wait);
    if (details && details->held.count)
        held(report, &details->held);
}

void json_hidden(struct json_report *report, const struct snap_details *details)
{
    if (!details || !details->hidden)
        return;
    json_line(&report->json);
    json_u64(&report->json, "hidden_values", details->hidden);
}

void json_locals(struct json_report *report, const struct snap_thread *thread, size_t frame)
{
    struct json_writer *json = &report->json;
    const struct snap_locals *locals = thread->details ? &thread->details->locals : NULL;
    bool any = false;
    for (size_t i = locals ? snap_locals_begin(locals, frame) : 0;
         locals && i < locals->count && locals->items[i].frame == frame; i++) {
        const struct snap_local *local = &locals->items[i];
        if (!any)
            json_begin_array(json, "locals");
        any = true;
        json_begin_object(json, NULL);
        json_name(report, "name", local->name);
        json_text(json, "kind", snap_local_kind_name(local->kind));
        json_name(report, "value", local->value);
        json_if_true(report, "hidden", local->hidden);
        json_end_object(json, JSON_LINE);
    }
    if (any)
        json_end_array(json, JSON_LINE);
}
