// SPDX-License-Identifier: GPL-3.0-or-later
// What a document says of threads beyond their stacks: json_details.c wrote it.
#include "report/document_in.h"
#include "util/guard.h"

struct snap_details *document_details(struct document_in *in, struct snap_thread *thread)
{
    if (thread->details)
        return thread->details;
    thread->details = calloc(1, sizeof(*thread->details));
    if (!thread->details) {
        json_fault(&in->json, "no memory for the document");
        return NULL;
    }
    in->bytes += sizeof(*thread->details);
    struct snap_wait *wait = &thread->details->wait;
    wait->fd = -1;
    wait->timeout_ns = wait->left_ns = -1;
    wait->owner_frame = wait->waiting = UINT32_MAX;
    return thread->details;
}

static enum snap_certainty read_certainty(struct document_in *in)
{
    return document_enum(in, snap_certainty_name, SNAP_OBSERVED + 1, SNAP_NOT_KNOWN);
}

// ---- Waits and locks ----------------------------------------------------------------------------

static void read_kind(struct document_in *in, void *into)
{
    // One that is not known is some system call.
    ((struct snap_wait *)into)->kind =
        document_enum(in, snap_wait_name, SNAP_WAIT_COUNT, SNAP_WAIT_SYSCALL);
}

static void read_fds(struct document_in *in, void *into)
{
    struct snap_wait *wait = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        int32_t fd = (int32_t)json_read_i64(&in->json, INT32_MIN, INT32_MAX);
        int32_t *place = document_push(in, &wait->fds);
        if (place)
            *place = fd;
    }
}

static void read_fd_count(struct document_in *in, void *into)
{
    ((struct snap_wait *)into)->fd_count = json_read_u64(&in->json, SIZE_MAX);
}

static void read_owner_known(struct document_in *in, void *into)
{
    ((struct snap_wait *)into)->owner_known = read_certainty(in);
}

static const struct field wait_fields[] = {
    FIELD_READ("kind", read_kind),
    FIELD(struct snap_wait, "what", FIELD_NAME, what),
    FIELD(struct snap_wait, "type", FIELD_NAME, type),
    FIELD(struct snap_wait, "object", FIELD_HEX, object),
    FIELD(struct snap_wait, "lock", FIELD_HEX, lock),
    FIELD(struct snap_wait, "address", FIELD_HEX, address),
    FIELD(struct snap_wait, "fd", FIELD_INT, fd),
    FIELD_READ("fds", read_fds),
    FIELD_READ("fd_count", read_fd_count),
    FIELD(struct snap_wait, "timeout_ns", FIELD_I64, timeout_ns),
    FIELD(struct snap_wait, "left_ns", FIELD_I64, left_ns),
    FIELD(struct snap_wait, "since_ns", FIELD_U64, since_ns),
    FIELD(struct snap_wait, "owner", FIELD_INT, owner),
    FIELD_READ("owner_known", read_owner_known),
    FIELD(struct snap_wait, "owner_frame", FIELD_U32, owner_frame),
    FIELD(struct snap_wait, "waiting_frame", FIELD_U32, waiting),
    FIELD(struct snap_wait, "owner_gone", FIELD_BOOL, owner_gone),
};

void document_read_wait(struct document_in *in, void *thread)
{
    struct snap_details *details = document_details(in, thread);
    if (details)
        document_fields(in, wait_fields, ARRAY_SIZE(wait_fields), &details->wait);
}

static void read_known(struct document_in *in, void *into)
{
    ((struct snap_held *)into)->known = read_certainty(in);
}

static const struct field held_fields[] = {
    FIELD(struct snap_held, "what", FIELD_NAME, what),
    FIELD(struct snap_held, "type", FIELD_NAME, type),
    FIELD(struct snap_held, "object", FIELD_HEX, object),
    FIELD(struct snap_held, "frame", FIELD_U32, frame),
    FIELD_READ("known", read_known),
};

void document_read_held(struct document_in *in, void *thread)
{
    struct snap_details *details = document_details(in, thread);
    struct snap_held *held;
    if (!details || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (held = document_push(in, &details->held))) {
        held->frame = UINT32_MAX;
        document_fields(in, held_fields, ARRAY_SIZE(held_fields), held);
    }
}

// ---- Exceptions ---------------------------------------------------------------------------------

static const struct field line_fields[] = {
    FIELD(struct snap_traceback_line, "function", FIELD_NAME, function),
    FIELD(struct snap_traceback_line, "file", FIELD_NAME, file),
    FIELD(struct snap_traceback_line, "line", FIELD_LINE, line),
};

static void read_traceback(struct document_in *in, void *into)
{
    struct snap_exception *exception = into;
    struct snap_traceback_line *line;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (line = document_push(in, &exception->traceback))) {
        line->line = -1;
        document_fields(in, line_fields, ARRAY_SIZE(line_fields), line);
    }
}

static void read_role(struct document_in *in, void *into)
{
    ((struct snap_exception *)into)->role =
        document_enum(in, snap_exception_role_name, SNAP_EXC_MEMBER + 1, SNAP_EXC_HANDLED);
}

static void read_notes(struct document_in *in, void *into)
{
    struct snap_exception *exception = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        uint32_t note = document_name(in), *place = document_push(in, &exception->notes);
        if (place)
            *place = note;
    }
}

static void read_members(struct document_in *in, void *into)
{
    ((struct snap_exception *)into)->members = json_read_u64(&in->json, SIZE_MAX);
}

static void read_lines_left_out(struct document_in *in, void *into)
{
    ((struct snap_exception *)into)->lines_left_out = json_read_u64(&in->json, SIZE_MAX);
}

static const struct field exception_fields[] = {
    FIELD_READ("role", read_role),
    FIELD(struct snap_exception, "of", FIELD_U32, of),
    FIELD(struct snap_exception, "type", FIELD_NAME, type),
    FIELD(struct snap_exception, "message", FIELD_NAME, message),
    FIELD(struct snap_exception, "arguments", FIELD_NAME, arguments),
    FIELD_READ("notes", read_notes),
    FIELD_READ("members", read_members),
    FIELD(struct snap_exception, "hidden", FIELD_BOOL, hidden),
    FIELD_READ("traceback", read_traceback),
    FIELD_READ("lines_left_out", read_lines_left_out),
    FIELD(struct snap_exception, "cut", FIELD_BOOL, cut),
};

void document_read_exceptions(struct document_in *in, void *thread)
{
    struct snap_details *details = document_details(in, thread);
    struct snap_exception *exception;
    if (!details || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (exception = document_push(in, &details->exceptions))) {
        exception->of = UINT32_MAX;
        document_fields(in, exception_fields, ARRAY_SIZE(exception_fields), exception);
    }
    // What belongs to another one stands behind it.
    for (size_t i = 0; i < details->exceptions.count && !in->json.err; i++)
        if (details->exceptions.items[i].of != UINT32_MAX && details->exceptions.items[i].of >= i)
            json_fault(&in->json, "exception %zu is said to belong to number %u", i,
                       details->exceptions.items[i].of);
}

// ---- Variables ----------------------------------------------------------------------------------

void document_read_hidden(struct document_in *in, void *thread)
{
    uint64_t hidden = json_read_u64(&in->json, UINT32_MAX);
    struct snap_details *details = document_details(in, thread);
    if (details)
        details->hidden = hidden;
}

static void read_local_kind(struct document_in *in, void *into)
{
    ((struct snap_local *)into)->kind =
        document_enum(in, snap_local_kind_name, SNAP_FREE + 1, SNAP_LOCAL);
}

static const struct field local_fields[] = {
    FIELD(struct snap_local, "name", FIELD_NAME, name),
    FIELD_READ("kind", read_local_kind),
    FIELD(struct snap_local, "value", FIELD_NAME, value),
    FIELD(struct snap_local, "hidden", FIELD_BOOL, hidden),
};

void document_read_locals(struct document_in *in, struct snap_locals *ret)
{
    struct snap_local *local;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (local = document_push(in, ret)))
        document_fields(in, local_fields, ARRAY_SIZE(local_fields), local);
}
