// SPDX-License-Identifier: GPL-3.0-or-later
// "crash", and a thread's "exceptions", read back: see json_crash.c.
#include "report/document_in.h"
#include "util/guard.h"

static bool is_word(const char *name, const char *text, size_t size)
{
    return strlen(name) == size && memcmp(name, text, size) == 0;
}

// ---- Exceptions ----------------------------------------------------------------------------------

static const char *const role_words[] = {
    [SNAP_EXC_RAISED] = "raised",   [SNAP_EXC_HANDLED] = "handled", [SNAP_EXC_CAUSE] = "cause",
    [SNAP_EXC_CONTEXT] = "context", [SNAP_EXC_MEMBER] = "member",   NULL};

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

static void read_notes(struct document_in *in, void *into)
{
    struct snap_exception *exception = into;
    uint32_t *note;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (note = document_push(in, &exception->notes)))
        *note = document_name(in);
}

static const struct field exception_fields[] = {
    {.key = "role",
     .kind = FIELD_WORD,
     .at = offsetof(struct snap_exception, role),
     .words = role_words},
    FIELD(struct snap_exception, "of", FIELD_U32, of),
    FIELD(struct snap_exception, "type", FIELD_NAME, type),
    FIELD(struct snap_exception, "message", FIELD_NAME, message),
    FIELD(struct snap_exception, "arguments", FIELD_NAME, arguments),
    FIELD_READ("notes", read_notes),
    FIELD(struct snap_exception, "members", FIELD_U64, members),
    FIELD(struct snap_exception, "hidden", FIELD_BOOL, hidden),
    FIELD_READ("traceback", read_traceback),
    FIELD(struct snap_exception, "lines_left_out", FIELD_U64, lines_left_out),
    FIELD(struct snap_exception, "cut", FIELD_BOOL, cut),
};

void document_read_exceptions(struct document_in *in, void *into)
{
    struct snap_details *details = document_details_of(in, into);
    struct snap_exception *exception;
    if (!details || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (exception = document_push(in, &details->exceptions))) {
        size_t index = details->exceptions.count - 1;
        exception->of = UINT32_MAX;
        document_fields(in, exception_fields, ARRAY_SIZE(exception_fields), exception);
        if (!in->json.err && exception->of != UINT32_MAX && exception->of >= index)
            json_fault(&in->json, "an exception of one that does not stand before it");
    }
}

// ---- The crash -----------------------------------------------------------------------------------

// A kind that is not known is another one.
static void read_fault(struct document_in *in, void *into)
{
    size_t size;
    struct snap_crash *crash = into;
    const char *text = json_read_string(&in->json, &size);
    crash->fault = SNAP_FAULT_OTHER;
    for (int fault = SNAP_FAULT_NONE; !in->json.err && fault <= SNAP_FAULT_OTHER; fault++)
        if (is_word(snap_fault_name((enum snap_fault)fault), text, size))
            crash->fault = (enum snap_fault)fault;
}

static const struct field register_fields[] = {
    FIELD(struct snap_register, "name", FIELD_NAME, name),
    FIELD(struct snap_register, "value", FIELD_HEX, value),
    FIELD(struct snap_register, "points_to", FIELD_NAME, value_text),
};

static void read_registers(struct document_in *in, void *into)
{
    struct snap_crash *crash = into;
    struct snap_register *reg;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (reg = document_push(in, &crash->registers)))
        document_fields(in, register_fields, ARRAY_SIZE(register_fields), reg);
}

static const struct field crash_fields[] = {
    FIELD_READ("fault", read_fault),
    FIELD(struct snap_crash, "cause", FIELD_NAME, cause),
    FIELD(struct snap_crash, "message", FIELD_NAME, message),
    FIELD(struct snap_crash, "instruction", FIELD_NAME, instruction),
    FIELD(struct snap_crash, "mapping", FIELD_NAME, mapping),
    FIELD(struct snap_crash, "mapping_offset", FIELD_HEX, mapping_offset),
    FIELD(struct snap_crash, "recursion", FIELD_NAME, recursion),
    FIELD(struct snap_crash, "module", FIELD_NAME, module),
    FIELD(struct snap_crash, "module_version", FIELD_NAME, module_version),
    FIELD(struct snap_crash, "build_id", FIELD_NAME, build_id),
    FIELD_READ("registers", read_registers),
};

void document_read_crash(struct document_in *in, void *into)
{
    struct report_document *document = into;
    document->source.crash.has = true;
    document_fields(in, crash_fields, ARRAY_SIZE(crash_fields), &document->source.crash);
}
