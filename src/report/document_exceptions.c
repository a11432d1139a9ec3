// SPDX-License-Identifier: GPL-3.0-or-later
// A thread's exceptions, its variables, and how many of its values are hidden, read back: see
// json_details.c.
#include "report/document_in.h"
#include "util/guard.h"

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
    struct snap_details *details = document_details_of(in, thread);
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
    struct snap_details *details = document_details_of(in, thread);
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
