// SPDX-License-Identifier: GPL-3.0-or-later
// What waits without a thread, read back: see json_tasks.c.
#include "report/document_in.h"
#include "util/guard.h"

struct snap_suspended *document_suspended_of(struct document_in *in)
{
    struct report_document *document = in->document;
    if (document->suspended || in->json.err)
        return document->suspended;
    document->suspended = snap_suspended_create();
    if (!document->suspended)
        json_fault(&in->json, "no memory for the document");
    return document->suspended;
}

// ---- Stacks -------------------------------------------------------------------------------------

static void frames_deinit(struct snap_frames *frames)
{
    vec_deinit(frames);
}

static void read_frames(struct document_in *in, struct snap_frames *ret)
{
    struct snap_frame *frame;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (frame = document_push(in, ret)))
        document_frame(in, frame, NULL, NULL);
}

void document_read_stack(struct document_in *in, uint32_t *ret)
{
    GUARD(frames_deinit) struct snap_frames frames = {0};
    struct snap_suspended *suspended = document_suspended_of(in);
    read_frames(in, &frames);
    if (in->json.err || !frames.count)
        return;
    in->bytes += frames.count * sizeof(*frames.items);
    if (!snap_suspended_stack(suspended, frames.items, frames.count, ret))
        json_fault(&in->json, "no memory for the document");
}

// ---- What is awaited -----------------------------------------------------------------------------

static void read_indexes(struct document_in *in, void **items, size_t *count, size_t *capacity)
{
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        uint32_t index = (uint32_t)json_read_u64(&in->json, UINT32_MAX);
        uint32_t *place = document_grow(in, items, count, capacity, sizeof(*place));
        if (!place)
            return;
        *place = index;
    }
}

#define READ_INDEXES(in, vec) \
    read_indexes((in), (void **)&(vec)->items, &(vec)->count, &(vec)->capacity)

// One that is not known is some awaitable.
static void read_kind(struct document_in *in, void *into)
{
    ((struct snap_await *)into)->kind =
        document_enum(in, snap_await_name, SNAP_AWAIT_COUNT, SNAP_AWAIT_OTHER);
}

static void read_awaited(struct document_in *in, void *into)
{
    READ_INDEXES(in, &((struct snap_await *)into)->tasks);
}

static const struct field await_fields[] = {
    {.key = "kind", .kind = FIELD_OTHER, .required = true, .read = read_kind},
    FIELD(struct snap_await, "what", FIELD_NAME, what),
    FIELD(struct snap_await, "type", FIELD_NAME, type),
    FIELD(struct snap_await, "object", FIELD_HEX, object),
    FIELD(struct snap_await, "fd", FIELD_INT, fd),
    FIELD(struct snap_await, "left_ns", FIELD_I64, left_ns),
    FIELD(struct snap_await, "thread", FIELD_INT, thread),
    FIELD(struct snap_await, "holder", FIELD_U32, holder),
    FIELD_READ("tasks", read_awaited),
    FIELD(struct snap_await, "task_count", FIELD_U64, task_count),
};

static void await_init(struct snap_await *await)
{
    await->fd = -1;
    await->left_ns = -1;
    await->holder = SNAP_NO_INDEX;
}

// ---- Loops --------------------------------------------------------------------------------------

static const struct field loop_fields[] = {
    FIELD(struct snap_loop, "pid", FIELD_INT, pid),
    FIELD(struct snap_loop, "thread", FIELD_INT, tid),
    FIELD(struct snap_loop, "id", FIELD_HEX, object),
    FIELD(struct snap_loop, "type", FIELD_NAME, type),
    FIELD(struct snap_loop, "library", FIELD_NAME, library),
    FIELD(struct snap_loop, "current", FIELD_U32, current),
    FIELD(struct snap_loop, "ready", FIELD_I64, ready),
    FIELD(struct snap_loop, "scheduled", FIELD_I64, scheduled),
    FIELD(struct snap_loop, "same_snapshots", FIELD_U64, same_snapshots),
    FIELD(struct snap_loop, "same_ns", FIELD_U64, same_ns),
};

void document_read_loops(struct document_in *in, void *document)
{
    (void)document;
    struct snap_suspended *suspended = document_suspended_of(in);
    struct snap_loop *loop;
    if (!suspended || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (loop = document_push(in, &suspended->loops))) {
        loop->current = SNAP_NO_INDEX;
        loop->ready = loop->scheduled = loop->watched = loop->signals = -1;
        document_fields(in, loop_fields, ARRAY_SIZE(loop_fields), loop);
    }
}

// ---- Tasks --------------------------------------------------------------------------------------

static void read_task_state(struct document_in *in, void *into)
{
    ((struct snap_task *)into)->state =
        document_enum(in, snap_task_state_name, SNAP_TASK_STATE_COUNT, SNAP_TASK_UNKNOWN);
}

static void read_task_await(struct document_in *in, void *into)
{
    document_fields(in, await_fields, ARRAY_SIZE(await_fields), &((struct snap_task *)into)->await);
}

static void read_awaited_by(struct document_in *in, void *into)
{
    READ_INDEXES(in, &((struct snap_task *)into)->awaited_by);
}

static void read_task_frames(struct document_in *in, void *into)
{
    document_read_stack(in, &((struct snap_task *)into)->stack);
}

// An earlier one's: those behind it have none yet.
static void read_task_frames_as(struct document_in *in, void *into)
{
    const struct snap_tasks *tasks = &document_suspended_of(in)->tasks;
    uint64_t other = json_read_u64(&in->json, UINT32_MAX);
    if (other < tasks->count)
        ((struct snap_task *)into)->stack = tasks->items[other].stack;
    else
        json_fault(&in->json, "\"frames_as\" of a task that is not there");
}

static const struct field task_fields[] = {
    FIELD(struct snap_task, "pid", FIELD_INT, pid),
    FIELD(struct snap_task, "id", FIELD_HEX, object),
    FIELD(struct snap_task, "name", FIELD_NAME, name),
    FIELD(struct snap_task, "type", FIELD_NAME, type),
    FIELD(struct snap_task, "coroutine", FIELD_NAME, coroutine),
    FIELD(struct snap_task, "loop", FIELD_U32, loop),
    {.key = "state", .kind = FIELD_OTHER, .required = true, .read = read_task_state},
    FIELD(struct snap_task, "cancelling", FIELD_BOOL, cancelling),
    FIELD_READ("awaits", read_task_await),
    FIELD_READ("awaited_by", read_awaited_by),
    FIELD(struct snap_task, "since_ns", FIELD_U64, since_ns),
    FIELD(struct snap_task, "exception", FIELD_NAME, exception),
    FIELD(struct snap_task, "answers", FIELD_HEX, answers),
    FIELD(struct snap_task, "cut", FIELD_BOOL, cut),
    FIELD_READ("frames", read_task_frames),
    FIELD_READ("frames_as", read_task_frames_as),
};

void document_read_tasks(struct document_in *in, void *document)
{
    (void)document;
    struct snap_suspended *suspended = document_suspended_of(in);
    struct snap_task *task;
    if (!suspended || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (task = document_push(in, &suspended->tasks))) {
        task->loop = task->stack = SNAP_NO_INDEX;
        await_init(&task->await);
        document_fields(in, task_fields, ARRAY_SIZE(task_fields), task);
    }
}

// ---- Greenlets ----------------------------------------------------------------------------------

static void read_greenlet_state(struct document_in *in, void *into)
{
    ((struct snap_greenlet *)into)->state = document_enum(
        in, snap_greenlet_state_name, SNAP_GREENLET_STATE_COUNT, SNAP_GREENLET_UNKNOWN);
}

static void read_greenlet_await(struct document_in *in, void *into)
{
    document_fields(in, await_fields, ARRAY_SIZE(await_fields),
                    &((struct snap_greenlet *)into)->await);
}

static void read_greenlet_frames(struct document_in *in, void *into)
{
    document_read_stack(in, &((struct snap_greenlet *)into)->stack);
}

static void read_greenlet_frames_as(struct document_in *in, void *into)
{
    const struct snap_greenlets *greenlets = &document_suspended_of(in)->greenlets;
    uint64_t other = json_read_u64(&in->json, UINT32_MAX);
    if (other < greenlets->count)
        ((struct snap_greenlet *)into)->stack = greenlets->items[other].stack;
    else
        json_fault(&in->json, "\"frames_as\" of a greenlet that is not there");
}

static const struct field greenlet_fields[] = {
    FIELD(struct snap_greenlet, "pid", FIELD_INT, pid),
    FIELD(struct snap_greenlet, "tid", FIELD_INT, tid),
    FIELD(struct snap_greenlet, "id", FIELD_HEX, object),
    FIELD(struct snap_greenlet, "type", FIELD_NAME, type),
    FIELD(struct snap_greenlet, "name", FIELD_NAME, name),
    {.key = "state", .kind = FIELD_OTHER, .required = true, .read = read_greenlet_state},
    FIELD(struct snap_greenlet, "main", FIELD_BOOL, is_main),
    FIELD(struct snap_greenlet, "hub", FIELD_BOOL, is_hub),
    FIELD(struct snap_greenlet, "parent", FIELD_U32, parent),
    FIELD_READ("awaits", read_greenlet_await),
    FIELD(struct snap_greenlet, "since_ns", FIELD_U64, since_ns),
    FIELD(struct snap_greenlet, "cut", FIELD_BOOL, cut),
    FIELD_READ("frames", read_greenlet_frames),
    FIELD_READ("frames_as", read_greenlet_frames_as),
};

void document_read_greenlets(struct document_in *in, void *document)
{
    (void)document;
    struct snap_suspended *suspended = document_suspended_of(in);
    struct snap_greenlet *greenlet;
    if (!suspended || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (greenlet = document_push(in, &suspended->greenlets))) {
        greenlet->parent = greenlet->stack = SNAP_NO_INDEX;
        await_init(&greenlet->await);
        document_fields(in, greenlet_fields, ARRAY_SIZE(greenlet_fields), greenlet);
    }
}

// ---- Together -----------------------------------------------------------------------------------

static const struct field suspended_fields[] = {
    FIELD(struct snap_suspended, "moment", FIELD_BOOL, moment),
    FIELD(struct snap_suspended, "tasks_left_out", FIELD_U64, tasks_left_out),
    FIELD(struct snap_suspended, "greenlets_left_out", FIELD_U64, greenlets_left_out),
    FIELD(struct snap_suspended, "generators_left_out", FIELD_U64, generators_left_out),
};

void document_read_suspended(struct document_in *in, void *document)
{
    (void)document;
    struct snap_suspended *suspended = document_suspended_of(in);
    if (suspended)
        document_fields(in, suspended_fields, ARRAY_SIZE(suspended_fields), suspended);
}

// It is of the snapshot that the report is judged by. Without one it has no place in a report.
void document_place_suspended(struct document_in *in, struct report_document *document)
{
    if (!document->suspended || in->json.err)
        return;
    document_check_suspended(in, document->suspended);
    const struct snapshot *judged = report_last(&document->input);
    struct snapshot *of = judged == document->last ? document->last : NULL;
    vec_foreach (snapshot, &document->snapshots)
        of = *snapshot == judged ? *snapshot : of;
    if (of)
        of->suspended = TAKE(document->suspended);
}

// ---- The turn of a task --------------------------------------------------------------------------

static void read_awaiting(struct document_in *in, void *into)
{
    read_frames(in, &((struct snap_turn *)into)->awaiting);
}

static const struct field turn_fields[] = {
    FIELD(struct snap_turn, "task", FIELD_HEX, task),
    FIELD(struct snap_turn, "name", FIELD_NAME, name),
    FIELD(struct snap_turn, "coroutine", FIELD_NAME, coroutine),
    FIELD(struct snap_turn, "frames", FIELD_U32, frames),
    FIELD(struct snap_turn, "root", FIELD_NAME, root),
    FIELD_READ("awaiting", read_awaiting),
};

void document_read_turn(struct document_in *in, void *into)
{
    struct snap_thread *thread = into;
    thread->turn = calloc(1, sizeof(*thread->turn));
    in->bytes += sizeof(*thread->turn);
    if (thread->turn)
        document_fields(in, turn_fields, ARRAY_SIZE(turn_fields), thread->turn);
    else
        json_fault(&in->json, "no memory for the document");
}
