// SPDX-License-Identifier: GPL-3.0-or-later
// A thread's "wait" and "held": on what it waits and who has that, and the locks it has. Both are only
// there when they could be looked at: of a thread that stood still. "owner" is a thread, or the
// child that is waited for; "owner_known" is "observed", "inferred" or "unknown"; frames are indexes
// in the frames of that thread. "since_ns": at least so long.
#include "report/json.h"

static void address(struct json_writer *json, const char *key, uint64_t value)
{
    if (value)
        json_hex(json, key, value);
    else
        json_null(json, key);
}

static void number(struct json_writer *json, const char *key, bool has, int64_t value)
{
    if (has)
        json_i64(json, key, value);
    else
        json_null(json, key);
}

static void write_wait(struct json_report *report, const struct snap_wait *wait)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_object(json, "wait");
    json_text(json, "kind", snap_wait_name(wait->kind));
    json_name(report, "what", wait->what);
    json_name(report, "type", wait->type);
    address(json, "object", wait->object);
    address(json, "lock", wait->lock);
    address(json, "address", wait->address);
    number(json, "fd", wait->fd >= 0, wait->fd);
    json_begin_array(json, "fds");
    vec_foreach (fd, &wait->fds)
        json_i64(json, NULL, *fd);
    json_end_array(json, JSON_LINE);
    json_u64(json, "fd_count", wait->fd_count);
    number(json, "timeout_ns", wait->timeout_ns >= 0, wait->timeout_ns);
    number(json, "left_ns", wait->left_ns >= 0, wait->left_ns);
    number(json, "since_ns", wait->since_ns != 0, (int64_t)wait->since_ns);
    number(json, "owner", wait->owner != 0, wait->owner);
    json_text(json, "owner_known", snap_certainty_name(wait->owner_known));
    number(json, "owner_frame", wait->owner_frame != UINT32_MAX, wait->owner_frame);
    json_bool(json, "owner_gone", wait->owner_gone);
    number(json, "waiting_frame", wait->waiting != UINT32_MAX, wait->waiting);
    json_end_object(json, JSON_LINE);
}

static void write_held(struct json_report *report, const struct snap_held *held)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_name(report, "what", held->what);
    json_name(report, "type", held->type);
    address(json, "object", held->object);
    number(json, "frame", held->frame != UINT32_MAX, held->frame);
    json_text(json, "known", snap_certainty_name(held->known));
    json_end_object(json, JSON_LINE);
}

void json_locals(struct json_report *report, const struct snap_thread *thread, size_t frame)
{
    struct json_writer *json = &report->json;
    bool any = false;
    for (size_t i = 0; thread->details && i < thread->details->locals.count; i++) {
        const struct snap_local *local = &thread->details->locals.items[i];
        if (local->frame != frame)
            continue;
        if (!any)
            json_begin_array(json, "locals");
        any = true;
        json_begin_object(json, NULL);
        json_name(report, "name", local->name);
        json_text(json, "kind", snap_local_kind_name(local->kind));
        json_name(report, "value", local->value);
        if (local->hidden)
            json_bool(json, "hidden", true);
        json_end_object(json, JSON_LINE);
    }
    if (any)
        json_end_array(json, JSON_LINE);
}

void json_details(struct json_report *report, const struct snap_details *details)
{
    struct json_writer *json = &report->json;
    if (!details)
        return;
    if (details->wait.kind != SNAP_WAIT_NONE)
        write_wait(report, &details->wait);
    if (!details->held.count)
        return;
    json_line(json);
    json_begin_array(json, "held");
    vec_foreach (held, &details->held)
        write_held(report, held);
    json_end_array(json, JSON_LINE);
}
