// SPDX-License-Identifier: GPL-3.0-or-later
// The "snapshots" of a document, and frames wherever they are.
#include "report/document_in.h"
#include "util/guard.h"

// ---- Frames -------------------------------------------------------------------------------------

enum found_by { BY_CFI, BY_FRAME_POINTER, BY_SCAN };

struct frame_in {
    struct snap_frame frame;
    uint32_t function_id;
    bool has_function_id, has_address;
    bool inferred, inlined, incomplete, unreadable, generator, signal;
    enum found_by found;
    struct snap_locals locals;
};

static const char *const kinds[] = {
    [SNAP_PYTHON] = "python", [SNAP_BUILTIN] = "builtin", [SNAP_NATIVE] = "native", NULL};
static const char *const found_words[] = {
    [BY_CFI] = "cfi", [BY_FRAME_POINTER] = "frame-pointer", [BY_SCAN] = "scan", NULL};

static void read_locals(struct document_in *in, void *into)
{
    document_read_locals(in, &((struct frame_in *)into)->locals);
}

static const struct field frame_fields[] = {
    {.key = "kind",
     .kind = FIELD_WORD,
     .at = offsetof(struct frame_in, frame.kind),
     .required = true,
     .words = kinds},
    FIELD(struct frame_in, "function", FIELD_NAME, frame.function),
    FIELD(struct frame_in, "qualname", FIELD_NAME, frame.qualname),
    FIELD(struct frame_in, "module", FIELD_NAME, frame.module),
    FIELD_HAS(struct frame_in, "address", FIELD_HEX, frame.address, has_address),
    FIELD(struct frame_in, "offset", FIELD_HEX, frame.offset),
    FIELD(struct frame_in, "file", FIELD_NAME, frame.file),
    FIELD(struct frame_in, "line", FIELD_LINE, frame.line),
    FIELD(struct frame_in, "column", FIELD_LINE, frame.column),
    FIELD(struct frame_in, "first_line", FIELD_LINE, frame.first_line),
    FIELD(struct frame_in, "inferred", FIELD_BOOL, inferred),
    FIELD(struct frame_in, "inlined", FIELD_BOOL, inlined),
    {.key = "unwound_by",
     .kind = FIELD_WORD,
     .at = offsetof(struct frame_in, found),
     .words = found_words},
    FIELD(struct frame_in, "signal", FIELD_BOOL, signal),
    FIELD(struct frame_in, "incomplete", FIELD_BOOL, incomplete),
    FIELD(struct frame_in, "unreadable", FIELD_BOOL, unreadable),
    FIELD(struct frame_in, "generator", FIELD_BOOL, generator),
    FIELD_READ("locals", read_locals),
    FIELD_HAS(struct frame_in, "function_id", FIELD_U32, function_id, has_function_id),
};

void document_frame(struct document_in *in, struct snap_frame *ret, uint32_t *ret_function,
                    struct snap_locals *ret_locals)
{
    static const uint8_t found_flags[] = {
        [BY_CFI] = 0, [BY_FRAME_POINTER] = SNAP_FRAME_LIKELY, [BY_SCAN] = SNAP_FRAME_GUESSED};
    struct frame_in read = {.frame = {.line = -1, .column = -1, .first_line = -1}};
    document_fields(in, frame_fields, ARRAY_SIZE(frame_fields), &read);
    const struct {
        bool is;
        uint8_t flag;
    } flags[] = {{read.inferred, SNAP_FRAME_INFERRED},     {read.inlined, SNAP_FRAME_INLINED},
                 {read.incomplete, SNAP_FRAME_INCOMPLETE}, {read.unreadable, SNAP_FRAME_UNREADABLE},
                 {read.generator, SNAP_FRAME_GENERATOR},   {read.signal, SNAP_FRAME_SIGNAL}};
    read.frame.flags = found_flags[read.found];
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        read.frame.flags |= flags[i].is ? flags[i].flag : 0;
    if (read.frame.kind == SNAP_NATIVE && !read.has_address)
        read.frame.address = SNAP_NO_ADDRESS;
    *ret = read.frame;
    if (ret_locals)
        *ret_locals = read.locals;
    else
        vec_deinit(&read.locals);
    if (!ret_function)
        return;
    if (!read.has_function_id)
        json_fault(&in->json, "a frame of a profile without \"function_id\"");
    *ret_function = read.function_id;
}

// ---- Snapshots ----------------------------------------------------------------------------------

// Those of the last frame.
static void keep_locals(struct document_in *in, struct snap_thread *thread,
                        const struct snap_locals *locals)
{
    struct snap_details *details = document_details_of(in, thread);
    vec_foreach (local, locals) {
        struct snap_local *to = details ? document_push(in, &details->locals) : NULL;
        if (!to)
            return;
        *to = *local;
        to->frame = (uint32_t)thread->frames.count - 1;
    }
}

static void read_frames(struct document_in *in, void *into)
{
    struct snap_thread *thread = into;
    struct snap_frame *frame;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (frame = document_push(in, &thread->frames))) {
        struct snap_locals locals = {0};
        document_frame(in, frame, NULL, &locals);
        if (locals.count)
            keep_locals(in, thread, &locals);
        vec_deinit(&locals);
    }
}

static const struct field thread_fields[] = {
    FIELD(struct snap_thread, "pid", FIELD_INT, pid),
    FIELD(struct snap_thread, "tid", FIELD_INT, tid),
    FIELD(struct snap_thread, "name", FIELD_NAME, name),
    FIELD(struct snap_thread, "name_from_kernel", FIELD_BOOL, name_from_kernel),
    FIELD(struct snap_thread, "python_thread_id", FIELD_HEX, python_id),
    FIELD(struct snap_thread, "interpreter", FIELD_I64, interpreter),
    FIELD(struct snap_thread, "known_to_python", FIELD_BOOL, known_to_python),
    FIELD_REQUIRED(struct snap_thread, "state", FIELD_STATE, state),
    FIELD(struct snap_thread, "syscall", FIELD_NAME, syscall),
    FIELD_HAS(struct snap_thread, "holds_gil", FIELD_BOOL, holds_gil, has_holds_gil),
    FIELD(struct snap_thread, "in_gc", FIELD_BOOL, in_gc),
    FIELD(struct snap_thread, "on_cpu", FIELD_BOOL, on_cpu),
    FIELD(struct snap_thread, "stopped", FIELD_BOOL, was_stopped),
    FIELD(struct snap_thread, "held_still", FIELD_BOOL, held_still),
    FIELD(struct snap_thread, "crashed", FIELD_BOOL, crashed),
    FIELD(struct snap_thread, "cut", FIELD_BOOL, cut),
    FIELD_HAS(struct snap_thread, "cpu_ns", FIELD_U64, cpu_ns, has_cpu),
    FIELD(struct snap_thread, "cpu_total_ns", FIELD_U64, cpu_total_ns),
    FIELD_READ("wait", document_read_wait),
    FIELD_READ("held", document_read_held),
    FIELD_READ("turn", document_read_turn),
    {.key = "frames", .kind = FIELD_OTHER, .required = true, .read = read_frames},
    FIELD_READ("exceptions", document_read_exceptions),
    FIELD_READ("hidden_values", document_read_hidden),
    FIELD(struct snap_thread, "notes", FIELD_NAMES, notes),
};

static void read_threads(struct document_in *in, void *into)
{
    struct snapshot *snapshot = into;
    struct snap_thread *thread;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (thread = document_push(in, &snapshot->threads))) {
        thread->interpreter = -1;
        thread->known_to_python = true; // also where that is not known: snapshot.h
        document_fields(in, thread_fields, ARRAY_SIZE(thread_fields), thread);
        document_check_details(in, thread);
        if (thread->turn && thread->turn->frames > thread->frames.count)
            json_fault(&in->json, "a turn of more frames than the thread has");
    }
}

static const struct field snapshot_fields[] = {
    FIELD(struct snapshot, "at_ns", FIELD_U64, at_ns),
    FIELD(struct snapshot, "pause_ns", FIELD_U64, pause_ns),
    FIELD(struct snapshot, "stopped", FIELD_BOOL, stopped),
    FIELD(struct snapshot, "threads_stopped", FIELD_U32, threads_stopped),
    FIELD(struct snapshot, "interrupted_calls", FIELD_U32, interrupted_calls),
    FIELD(struct snapshot, "overran", FIELD_BOOL, overran),
    FIELD(struct snapshot, "cpu_window_ns", FIELD_U64, cpu_window_ns),
    FIELD_HAS(struct snapshot, "process_cpu_ns", FIELD_U64, process_cpu_ns, has_process_cpu),
    FIELD_READ("processes", document_read_parts),
    {.key = "threads", .kind = FIELD_OTHER, .required = true, .read = read_threads},
    FIELD(struct snapshot, "notes", FIELD_NAMES, notes),
};

static void read_snapshot(struct document_in *in, struct snapshot **ret)
{
    *ret = snapshot_create();
    in->bytes += sizeof(**ret);
    if (*ret)
        document_fields(in, snapshot_fields, ARRAY_SIZE(snapshot_fields), *ret);
    else
        json_fault(&in->json, "no memory for the document");
}

void document_read_snapshots(struct document_in *in, void *document)
{
    struct document_snapshots *snapshots = &((struct report_document *)document)->snapshots;
    struct snapshot **place;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (place = document_push(in, snapshots)))
        read_snapshot(in, place);
}

void document_read_last(struct document_in *in, void *document)
{
    read_snapshot(in, &((struct report_document *)document)->last);
}
