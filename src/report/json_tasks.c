// SPDX-License-Identifier: GPL-3.0-or-later
// What waits without a thread, in the snapshot that the report is judged by. "loops": event loops, with the
// "current" task (an index in "tasks"), how many callbacks are "ready" and "scheduled", and for how
// many snapshots in a row the same step of it has run. "tasks": "frames" is the await chain, innermost
// first; "awaits" says what the innermost one awaits, with the "tasks" (indexes) that this leads to and
// the "holder" of a lock; "thread" is the one that runs the loop; "since_ns": it waits at least so
// long. "greenlets": likewise; there "parent", "tasks" and "holder" are indexes in "greenlets".
// "suspended": whether all of it holds at one moment, and what met a bound.
//
// Each item has its frames, so that one can be understood by itself; in a list with very many frames
// "frames_as" stands in their place: the index of an earlier item with the same ones. Of a thread,
// "turn": the task that its loop runs. How many innermost "frames" of the thread are the task's, and in
// "awaiting" the frames of those that wait for it up to the "root".
#include "report/json_tasks.h"

#include "util/guard.h"
#include "util/limits.h"

#define TEXTS_MAX_BYTES (16u << 20)

bool json_stacks_init(struct json_stacks *stacks, const struct snap_suspended *suspended)
{
    *stacks = (struct json_stacks){.suspended = suspended};
    stacks->first = calloc(suspended->stacks.count + 1, sizeof(*stacks->first));
    stacks->texts = calloc(suspended->stacks.count + 1, sizeof(*stacks->texts));
    return stacks->first && stacks->texts;
}

void json_stacks_deinit(struct json_stacks *stacks)
{
    for (size_t i = 0; stacks->texts && i < stacks->suspended->stacks.count; i++)
        free(stacks->texts[i].bytes);
    free(stacks->texts);
    free(stacks->first);
}

static void write_frames(struct json_report *report, const char *key,
                         const struct snap_frames *frames, bool natives)
{
    size_t count = 0;
    json_begin_array(&report->json, key);
    vec_foreach (frame, frames) {
        if (frame->kind == SNAP_NATIVE && !natives)
            continue;
        count++;
        json_line(&report->json);
        json_frame(report, frame);
        json_end_object(&report->json, JSON_LINE);
    }
    json_end_array(&report->json, count ? JSON_LINES : JSON_LINE);
}

void json_python_frames(struct json_report *report, const struct snap_frames *frames)
{
    write_frames(report, "frames", frames, false);
}

// Very many items may have the same ones: the text is made once.
static void keep_text(struct json_report *report, struct json_stacks *stacks, uint32_t stack)
{
    struct json_report aside = *report;
    struct json_stack_text *text = &stacks->texts[stack];
    aside.json.out = open_memstream(&text->bytes, &text->size);
    if (!aside.json.out)
        return;
    write_frames(&aside, "frames", &stacks->suspended->stacks.items[stack], true);
    if (fclose(aside.json.out) != 0 || stacks->text_bytes + text->size > TEXTS_MAX_BYTES) {
        free(text->bytes);
        text->bytes = NULL;
        return;
    }
    stacks->text_bytes += text->size;
}

void json_stack(struct json_report *report, struct json_stacks *stacks, uint32_t stack,
                uint32_t item)
{
    static const struct snap_frames none = {0};
    if (stack >= stacks->suspended->stacks.count) {
        write_frames(report, "frames", &none, true);
        return;
    }
    const struct snap_frames *frames = &stacks->suspended->stacks.items[stack];
    if (!stacks->first[stack]) {
        stacks->first[stack] = item + 1;
    } else if (stacks->frames + frames->count > LIMIT_DOCUMENT_SAME_FRAMES) {
        json_u64(&report->json, "frames_as", stacks->first[stack] - 1);
        return;
    } else {
        stacks->frames += frames->count;
        if (!stacks->texts[stack].bytes && stacks->text_bytes < TEXTS_MAX_BYTES)
            keep_text(report, stacks, stack);
    }
    const struct json_stack_text *text = &stacks->texts[stack];
    if (text->bytes)
        json_again(&report->json, text->bytes, text->size);
    else
        write_frames(report, "frames", frames, true);
}

static void index_or_null(struct json_report *report, const char *key, uint32_t index)
{
    json_u64_if(report, key, index != SNAP_NO_INDEX, index);
}

static void write_indexes(struct json_report *report, const char *key, const uint32_t *indexes,
                          size_t count)
{
    json_begin_array(&report->json, key);
    for (size_t i = 0; i < count; i++)
        json_u64(&report->json, NULL, indexes[i]);
    json_end_array(&report->json, JSON_LINE);
}

static void write_await(struct json_report *report, const struct snap_await *from)
{
    struct json_writer *json = &report->json;
    json_line(json);
    if (from->kind == SNAP_AWAIT_NONE) {
        json_null(json, "awaits");
        return;
    }
    json_begin_object(json, "awaits");
    json_text(json, "kind", snap_await_name(from->kind));
    json_name(report, "what", from->what);
    json_name(report, "type", from->type);
    json_hex_if(report, "object", from->object != 0, from->object);
    json_i64_if(report, "fd", from->fd >= 0, from->fd);
    json_i64_if(report, "left_ns", from->left_ns >= 0, from->left_ns);
    json_i64_if(report, "thread", from->thread != 0, from->thread);
    index_or_null(report, "holder", from->holder);
    write_indexes(report, "tasks", from->tasks.items, from->tasks.count);
    json_u64(json, "task_count", from->task_count);
    json_end_object(json, JSON_LINE);
}

// ---- Loops and tasks -----------------------------------------------------------------------------

static void write_loops(struct json_report *report, const struct snap_loops *loops)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_array(json, "loops");
    vec_foreach (loop, loops) {
        json_line(json);
        json_begin_object(json, NULL);
        json_i64_if(report, "pid", loop->pid != 0, loop->pid);
        json_i64_if(report, "thread", loop->tid != 0, loop->tid);
        json_hex_if(report, "id", loop->object != 0, loop->object);
        json_name(report, "type", loop->type);
        json_name(report, "library", loop->library);
        index_or_null(report, "current", loop->current);
        json_i64_if(report, "ready", loop->ready >= 0, loop->ready);
        json_i64_if(report, "scheduled", loop->scheduled >= 0, loop->scheduled);
        json_u64(json, "same_snapshots", loop->same_snapshots);
        json_u64(json, "same_ns", loop->same_ns);
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINES);
}

static void write_task(struct json_report *report, struct json_stacks *stacks, uint32_t index)
{
    struct json_writer *json = &report->json;
    const struct snap_suspended *suspended = stacks->suspended;
    const struct snap_task *task = &suspended->tasks.items[index];
    pid_t thread = task->loop < suspended->loops.count ? suspended->loops.items[task->loop].tid : 0;
    json_line(json);
    json_begin_object(json, NULL);
    json_line(json);
    json_i64_if(report, "pid", task->pid != 0, task->pid);
    json_hex_if(report, "id", task->object != 0, task->object);
    json_name(report, "name", task->name);
    json_name(report, "type", task->type);
    json_name(report, "coroutine", task->coroutine);
    index_or_null(report, "loop", task->loop);
    json_i64_if(report, "thread", thread != 0, thread);
    json_text(json, "state", snap_task_state_name(task->state));
    json_bool(json, "cancelling", task->cancelling);
    write_await(report, &task->await);
    json_line(json);
    write_indexes(report, "awaited_by", task->awaited_by.items, task->awaited_by.count);
    json_u64_if(report, "since_ns", task->since_ns != 0, task->since_ns);
    json_name(report, "exception", task->exception);
    if (task->answers)
        json_hex(json, "answers", task->answers);
    json_if_true(report, "cut", task->cut);
    json_line(json);
    json_stack(report, stacks, task->stack, index);
    json_end_object(json, JSON_LINES);
}

// ---- Greenlets -----------------------------------------------------------------------------------

static void write_greenlet(struct json_report *report, struct json_stacks *stacks, uint32_t index)
{
    struct json_writer *json = &report->json;
    const struct snap_greenlet *greenlet = &stacks->suspended->greenlets.items[index];
    json_line(json);
    json_begin_object(json, NULL);
    json_line(json);
    json_i64_if(report, "pid", greenlet->pid != 0, greenlet->pid);
    json_i64_if(report, "tid", greenlet->tid != 0, greenlet->tid);
    json_hex_if(report, "id", greenlet->object != 0, greenlet->object);
    json_name(report, "type", greenlet->type);
    json_name(report, "name", greenlet->name);
    json_text(json, "state", snap_greenlet_state_name(greenlet->state));
    json_bool(json, "main", greenlet->is_main);
    json_bool(json, "hub", greenlet->is_hub);
    index_or_null(report, "parent", greenlet->parent);
    write_await(report, &greenlet->await);
    json_line(json);
    json_u64_if(report, "since_ns", greenlet->since_ns != 0, greenlet->since_ns);
    json_if_true(report, "cut", greenlet->cut);
    json_line(json);
    json_stack(report, stacks, greenlet->stack, index);
    json_end_object(json, JSON_LINES);
}

struct err *json_suspended_list(struct json_report *report, const struct snap_suspended *suspended,
                                const char *key, size_t count, json_suspended_item *write)
{
    GUARD(json_stacks_deinit) struct json_stacks stacks = {0};
    if (!count)
        return NULL;
    if (!json_stacks_init(&stacks, suspended))
        return err_create(ERR_NO_MEMORY, "no memory for the JSON report");
    json_line(&report->json);
    json_begin_array(&report->json, key);
    for (uint32_t i = 0; i < count; i++)
        write(report, &stacks, i);
    json_end_array(&report->json, JSON_LINES);
    return NULL;
}

// ---- Together ------------------------------------------------------------------------------------

static void write_summary(struct json_report *report, const struct snap_suspended *suspended)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_object(json, "suspended");
    json_bool(json, "moment", suspended->moment);
    json_u64(json, "tasks", suspended->tasks.count);
    json_u64(json, "tasks_left_out", suspended->tasks_left_out);
    json_u64(json, "greenlets", suspended->greenlets.count);
    json_u64(json, "greenlets_left_out", suspended->greenlets_left_out);
    json_u64(json, "generators", suspended->generators.count);
    json_u64(json, "generators_left_out", suspended->generators_left_out);
    json_end_object(json, JSON_LINE);
}

static bool is_empty(const struct snap_suspended *suspended)
{
    return !suspended->loops.count && !suspended->tasks.count && !suspended->greenlets.count &&
           !suspended->generators.count && !suspended->tasks_left_out &&
           !suspended->greenlets_left_out && !suspended->generators_left_out;
}

struct err *json_suspended(struct json_report *report)
{
    const struct snapshot *last = report_last(report->input);
    const struct snap_suspended *suspended = last ? last->suspended : NULL;
    if (!suspended || is_empty(suspended))
        return NULL;
    write_summary(report, suspended);
    if (suspended->loops.count)
        write_loops(report, &suspended->loops);
    TRY(json_suspended_list(report, suspended, "tasks", suspended->tasks.count, write_task));
    TRY(json_suspended_list(report, suspended, "greenlets", suspended->greenlets.count,
                            write_greenlet));
    TRY(json_task_groups(report, suspended));
    return json_generators(report, suspended);
}

void json_turn(struct json_report *report, const struct snap_thread *thread)
{
    struct json_writer *json = &report->json;
    const struct snap_turn *turn = thread->turn;
    if (!turn)
        return;
    json_line(json);
    json_begin_object(json, "turn");
    json_hex_if(report, "task", turn->task != 0, turn->task);
    json_name(report, "name", turn->name);
    json_name(report, "coroutine", turn->coroutine);
    json_u64(json, "frames", turn->frames);
    json_name(report, "root", turn->root);
    write_frames(report, "awaiting", &turn->awaiting, true);
    json_end_object(json, JSON_LINE);
}
