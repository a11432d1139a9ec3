// SPDX-License-Identifier: GPL-3.0-or-later
// speedscope's own format (https://www.speedscope.app/file-format-schema.json): the frames, and for
// each thread one "sampled" profile.
//
// Where the profile has its time line, a thread's samples come in true order and begin with the run:
// a snapshot in which the thread has no weight (with --weight samples: it waited) is an empty stack,
// so that all threads share one time axis. Neighbours that are the same are put together. A sample
// weighs one interval: weight / interval is the number of samples, to the last one. Without a time
// line, and with --weight cpu, of which each stack has one sum only, stacks come heaviest first. So do
// those of tasks that wait (--async-stacks), of which many do at once: for each thread that runs them
// they are a profile of their own.
#include <stdlib.h>
#include <string.h>

#include "report/export.h"
#include "report/json_writer.h"
#include "util/guard.h"

#define NOTHING UINT32_MAX

struct run {        // so many samples of the same stack in a row
    uint32_t stack; // index in view.stacks, or NOTHING
    uint64_t count;
};
VEC_DEFINE(runs, struct run);

struct lane { // one thread, or the tasks that wait in it
    struct runs runs;
    uint64_t weight, next; // the moment after its last one
};

struct speedscope {
    struct json_writer json;
    const struct report_input *input;
    const struct view *view;
    // By thread of the profile, then threads that are not known; then the same of tasks that wait.
    struct lane *lanes;
    size_t lane_count;
    uint64_t scale;         // of counts, to the unit
    bool in_time, has_bare; // there is a time line; a stack has no frames
    bool failed;
};

// ---- Lanes ---------------------------------------------------------------------------------------

static void add_run(struct speedscope *scope, struct lane *lane, uint32_t stack, uint64_t count)
{
    struct run *last = lane->runs.count ? &lane->runs.items[lane->runs.count - 1] : NULL;
    if (!count)
        return;
    if (last && last->stack == stack)
        last->count += count;
    else if (!vec_push(&lane->runs, (struct run){stack, count}))
        scope->failed = true;
}

static struct lane *lane_of(const struct speedscope *scope, uint32_t stack)
{
    size_t threads = scope->view->profile->thread_count;
    uint32_t thread = scope->view->stacks[stack].thread;
    size_t lane = thread < threads ? thread : threads;
    return &scope->lanes[scope->view->stacks[stack].site == UINT32_MAX ? lane : threads + 1 + lane];
}

// Does the time line hold every sample of every stack?
static bool has_time_line(const struct prof_report *profile)
{
    AUTO_FREE uint64_t *seen = calloc(profile->stack_count + 1, sizeof(*seen));
    if (!seen || profile->moment_count < 2)
        return false;
    for (size_t i = 0; i < profile->moment_count; i++)
        for (uint32_t k = 0; k < profile->moments[i].count; k++)
            seen[profile->moment_stacks[profile->moments[i].first + k]]++;
    for (size_t i = 0; i < profile->stack_count; i++)
        if (seen[i] != profile->stacks[i].samples)
            return false;
    return true;
}

static void fill_in_time(struct speedscope *scope)
{
    const struct prof_report *profile = scope->view->profile;
    for (size_t at = 0; at < profile->moment_count; at++) {
        const struct prof_moment *moment = &profile->moments[at];
        for (uint32_t i = 0; i < moment->count; i++) {
            uint32_t stack = scope->view->stack_of[profile->moment_stacks[moment->first + i]];
            if (stack == NOTHING)
                continue;
            struct lane *lane = lane_of(scope, stack);
            if (lane->next < at)
                add_run(scope, lane, NOTHING, at - lane->next);
            add_run(scope, lane, stack, 1);
            lane->next = at + 1;
        }
    }
    for (size_t i = 0; i < scope->lane_count; i++)
        if (scope->lanes[i].runs.count && scope->lanes[i].next < profile->moment_count)
            add_run(scope, &scope->lanes[i], NOTHING, profile->moment_count - scope->lanes[i].next);
}

static void fill_lanes(struct speedscope *scope)
{
    const struct view *view = scope->view;
    bool of_cpu = view->weigh.kind == REPORT_WEIGHT_CPU;
    scope->scale = !of_cpu && view->profile->interval_ns ? view->profile->interval_ns : 1;
    scope->in_time = !of_cpu && has_time_line(view->profile);
    if (scope->in_time)
        fill_in_time(scope);
    for (size_t i = 0; i < view->stack_count; i++) {
        struct lane *lane = lane_of(scope, (uint32_t)i);
        lane->weight += view->stacks[i].weight;
        scope->has_bare |= !view->stacks[i].count;
        if (!scope->in_time || view->stacks[i].site != UINT32_MAX)
            add_run(scope, lane, (uint32_t)i, view->stacks[i].weight);
    }
}

// ---- The document --------------------------------------------------------------------------------

static void write_frame(struct json_writer *json, const char *name, const char *file, int32_t line)
{
    json_line(json);
    json_begin_object(json, NULL);
    json_text(json, "name", name);
    if (file[0])
        json_text(json, "file", file);
    if (line > 0)
        json_u64(json, "line", (uint64_t)line);
    json_end_object(json, JSON_LINE);
}

static void write_frames(struct speedscope *scope)
{
    struct json_writer *json = &scope->json;
    json_line(json);
    json_begin_object(json, "shared");
    json_begin_array(json, "frames");
    for (size_t i = 0; i < scope->view->frame_count; i++) {
        const struct view_frame *frame = &scope->view->frames[i];
        write_frame(json, frame->name, frame->file[0] ? frame->file : frame->module, frame->line);
    }
    if (scope->has_bare)
        write_frame(json, EXPORT_NO_FRAMES, "", -1);
    json_end_array(json, JSON_LINES);
    json_end_object(json, JSON_LINE);
}

static void write_sample(struct speedscope *scope, uint32_t index)
{
    struct json_writer *json = &scope->json;
    json_line(json);
    json_begin_array(json, NULL);
    const struct view_stack *stack = index == NOTHING ? NULL : &scope->view->stacks[index];
    for (size_t i = 0; stack && i < stack->count; i++)
        json_u64(json, NULL, stack->frames[i]);
    if (stack && !stack->count)
        json_u64(json, NULL, scope->view->frame_count);
    json_end_array(json, JSON_LINE);
}

static void write_name(struct speedscope *scope, size_t index)
{
    GUARD(plain_deinit) struct plain name = {0};
    const struct prof_report *profile = scope->view->profile;
    bool waiting = index > profile->thread_count;
    index -= waiting ? profile->thread_count + 1 : 0;
    plain_str(&name, waiting ? "waiting tasks of " : "");
    const struct prof_thread *thread =
        index < profile->thread_count ? &profile->threads[index] : NULL;
    if (thread && snap_process_count(scope->input->source) > 1)
        plain_add(&name, "process %d, ", (int)thread->pid);
    plain_id(&name, scope->input->strings, thread ? thread->name : 0, 0, PLAIN_KEEP_START);
    if (thread && thread->tid)
        plain_add(&name, " (%d)", (int)thread->tid);
    json_text(&scope->json, "name", plain_text(&name));
    scope->failed |= name.failed;
}

static void write_profile(struct speedscope *scope, size_t index)
{
    struct json_writer *json = &scope->json;
    const struct lane *lane = &scope->lanes[index];
    bool timed = scope->scale > 1 || scope->view->weigh.kind == REPORT_WEIGHT_CPU;
    uint64_t end = 0;
    json_line(json);
    json_begin_object(json, NULL);
    json_text(json, "type", "sampled");
    write_name(scope, index);
    json_text(json, "unit", timed ? "nanoseconds" : "none");
    vec_foreach (run, &lane->runs)
        end += run->count * scope->scale;
    json_u64(json, "startValue", 0);
    json_u64(json, "endValue", end);
    json_line(json);
    json_begin_array(json, "samples");
    vec_foreach (run, &lane->runs)
        write_sample(scope, run->stack);
    json_end_array(json, JSON_LINES);
    json_line(json);
    json_begin_array(json, "weights");
    vec_foreach (run, &lane->runs)
        json_u64(json, NULL, run->count * scope->scale);
    json_end_array(json, JSON_LINE);
    json_end_object(json, JSON_LINES);
}

// Readers want one profile at least: that of a run in which nothing had weight is empty. The first one
// to be shown is that of the busiest thread, also beside thousands of tasks that wait.
static void write_profiles(struct speedscope *scope)
{
    struct json_writer *json = &scope->json;
    size_t written = 0, busiest = 0, threads = scope->view->profile->thread_count;
    uint64_t most = 0;
    json_line(json);
    json_begin_array(json, "profiles");
    for (size_t i = 0; i < scope->lane_count; i++) {
        if (!scope->lanes[i].runs.count)
            continue;
        if (i <= threads && scope->lanes[i].weight > most) {
            most = scope->lanes[i].weight;
            busiest = written;
        }
        write_profile(scope, i);
        written++;
    }
    if (!written)
        write_profile(scope, threads);
    json_end_array(json, JSON_LINES);
    json_line(json);
    json_u64(json, "activeProfileIndex", busiest);
}

// "python3 serve.py: 50 snapshots, one every 200 ms, over 10 s; 20 threads."
static void write_head(struct speedscope *scope)
{
    GUARD(plain_deinit) struct plain text = {0};
    struct json_writer *json = &scope->json;
    json_line(json);
    json_text(json, "$schema", "https://www.speedscope.app/file-format-schema.json");
    plain_add(&text, "pycore %s", scope->input->tool_version);
    json_line(json);
    json_text(json, "exporter", plain_text(&text));
    plain_clear(&text);
    export_command(&text, scope->input);
    plain_str(&text, ": ");
    export_run(&text, scope->view->profile);
    if (view_dropped(scope->view)) {
        plain_str(&text, " ");
        view_say_dropped(&text, scope->view);
        plain_str(&text, ".");
    }
    json_line(json);
    json_text(json, "name", plain_text(&text));
    scope->failed |= text.failed;
}

static void speedscope_deinit(struct speedscope *scope)
{
    for (size_t i = 0; scope->lanes && i < scope->lane_count; i++)
        vec_deinit(&scope->lanes[i].runs);
    free(scope->lanes);
}

struct err *report_speedscope(FILE *out, const struct report_input *input,
                              const struct report_options *options)
{
    GUARD(export_view) struct view *view = NULL;
    TRY(view_create(input, options, VIEW_BY_THREAD, &view));
    GUARD(speedscope_deinit)
    struct speedscope scope = {.json.out = out,
                               .input = input,
                               .view = view,
                               .lane_count = 2 * (input->profile->thread_count + 1)};
    scope.lanes = calloc(scope.lane_count, sizeof(*scope.lanes));
    if (!scope.lanes)
        return export_no_memory();
    fill_lanes(&scope);
    json_begin_object(&scope.json, NULL);
    write_head(&scope);
    write_frames(&scope);
    write_profiles(&scope);
    json_end_object(&scope.json, JSON_LINES);
    fputc('\n', out);
    return scope.failed ? export_no_memory() : export_finish(out);
}
