// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison as JSON, schema "pycore-diff/1". A fact that is not known is null.
//
//     "before", "after"  the two inputs: "name" as given, "source" as in "pycore/1", the run's
//                        "snapshots", "interval_ns", "duration_ns", "samples", "samples_working",
//                        and what they come to: "processors" kept busy, "threads" and "works" on
//                        average. Of a thread dump only the first three.
//     "noise"            "told": there are bounds; "alpha" 0.05; the numbers of differences tested
//     "functions"        most growth of "own" first. "before" and "after" are null where it was not
//                        seen, else "id" (in that report's functions), "file", "line", samples
//                        "own", "total", "self" (working), shares "own_share", "total_share" of all
//                        working samples, processors "own_cpu", "total_cpu", "waiting" threads on
//                        average. "own" and "total" are the differences of the shares: "change" =
//                        after - before, its 95 % interval "low", "high", "p_value" (each of this
//                        one alone) and "verdict": "more" and "less" are more than noise with all
//                        that was tested taken into account; "noise"; "rare": too seldom seen for
//                        any difference to stand out; "unknown": no bounds. "moved": its first
//                        line is another one.
//     "stacks"           at work, whichever thread had them; "functions" are indexes in the list
//                        above, innermost first, direct recursion once, native code only where
//                        there is no Python. The difference is "work".
//     "threads"          by name, or where "numbered" by name without the numbers in it; "count" of that
//                        name, "cpu" processors, "samples", "states"
//     "waits"            where threads wait: "state", "function" (index), samples and average
//                        number of threads "before" and "after"
//     "motions"          of two thread dumps, null otherwise; and the lists above are null there.
//                        "motion": "same-calls", "same-place", "moved", "appeared", "ended";
//                        "before", "after": indexes in each dump's threads; "common_frames":
//                        outermost ones at the same lines; "cpu_ns" used between the two
//     "notes"            what makes the two hard to compare, and their own notes
#include "report/diff_json.h"

#include <math.h>
#include <string.h>

#include "report/diff_page.h"
#include "report/export.h"
#include "report/json.h"
#include "util/guard.h"

static const char *const verdicts[] = {[DIFF_UNKNOWN] = "unknown",
                                       [DIFF_RARE] = "rare",
                                       [DIFF_NOISE] = "noise",
                                       [DIFF_MORE] = "more",
                                       [DIFF_LESS] = "less"};
static const char *const sides[] = {[DIFF_BEFORE] = "before", [DIFF_AFTER] = "after"};

// json_double() writes null for NAN.
static void rate(struct json_writer *json, const char *key, const struct diff_rate *rate, int side)
{
    json_double(json, key, rate->side[side]);
}

static void write_side(struct json_report *report, const struct report_diff *diff, int side)
{
    struct json_writer *json = &report->json;
    const struct report_input *input = diff->inputs[side];
    const struct prof_report *profile = input->profile;
    report->input = input;
    json_line(json);
    json_begin_object(json, sides[side]);
    json_line(json);
    json_string(json, "name", diff->names[side], strlen(diff->names[side]));
    json_source(report);
    json_line(json);
    json_u64(json, "snapshots", profile ? profile->snapshots : input->snapshot_count);
    if (diff->diff) {
        json_u64_if(report, "interval_ns", profile->interval_ns != 0, profile->interval_ns);
        json_u64_if(report, "duration_ns", profile->duration_ns != 0, profile->duration_ns);
        json_u64(json, "samples", profile->samples);
        json_u64(json, "samples_working", profile->samples_working);
        rate(json, "processors", &diff->diff->processors, side);
        rate(json, "threads", &diff->diff->threads, side);
        rate(json, "works", &diff->diff->works, side);
    }
    json_end_object(json, JSON_LINES);
}

static void write_share(struct json_writer *json, const char *key, const struct diff_share *share)
{
    bool told = share->verdict != DIFF_UNKNOWN;
    json_begin_object(json, key);
    json_double(json, "change", share->change);
    json_double(json, "low", told ? share->low : NAN);
    json_double(json, "high", told ? share->high : NAN);
    json_double(json, "p_value", told ? share->p_value : NAN);
    json_text(json, "verdict", verdicts[share->verdict]);
    json_end_object(json, JSON_LINE);
}

static void write_function_side(struct json_report *report, const struct report_diff *diff,
                                const struct diff_function *function, int side)
{
    struct json_writer *json = &report->json;
    uint32_t index = function->index[side];
    json_line(json);
    if (index == DIFF_NONE) {
        json_null(json, sides[side]);
        return;
    }
    report->input = diff->inputs[side];
    const struct prof_function *f = &report->input->profile->functions[index];
    json_begin_object(json, sides[side]);
    json_u64(json, "id", f->id);
    json_name(report, "file", f->file);
    json_u64_if(report, "line", f->line >= 0, (uint64_t)f->line);
    json_u64(json, "own", function->own.samples[side]);
    json_u64(json, "total", function->total.samples[side]);
    json_u64(json, "self", function->self[side]);
    json_double(json, "own_share", function->own.share[side]);
    json_double(json, "total_share", function->total.share[side]);
    rate(json, "own_cpu", &function->own_cpu, side);
    rate(json, "total_cpu", &function->total_cpu, side);
    rate(json, "waiting", &function->waiting, side);
    json_end_object(json, JSON_LINE);
}

static void write_function(struct json_report *report, const struct report_diff *diff,
                           const struct diff_function *function)
{
    static const char *const kinds[] = {
        [SNAP_PYTHON] = "python", [SNAP_BUILTIN] = "builtin", [SNAP_NATIVE] = "native"};
    struct json_writer *json = &report->json;
    int side = function->index[DIFF_AFTER] != DIFF_NONE ? DIFF_AFTER : DIFF_BEFORE;
    report->input = diff->inputs[side];
    const struct prof_function *f = &report->input->profile->functions[function->index[side]];
    json_begin_object(json, NULL);
    json_text(json, "kind", kinds[f->kind]);
    json_name(report, "function", f->function);
    json_name(report, "qualname", f->qualname);
    if (f->kind == SNAP_NATIVE)
        json_name(report, "module", f->module);
    json_bool(json, "moved", function->moved);
    for (side = 0; side < DIFF_SIDES; side++)
        write_function_side(report, diff, function, side);
    json_line(json);
    write_share(json, "own", &function->own);
    write_share(json, "total", &function->total);
    json_end_object(json, JSON_LINE);
}

static void write_stack(struct json_report *report, const struct report_diff *diff,
                        const struct diff_stack *stack)
{
    struct json_writer *json = &report->json;
    (void)diff;
    json_begin_object(json, NULL);
    json_begin_array(json, "functions");
    for (size_t i = 0; i < stack->count; i++)
        json_u64(json, NULL, stack->functions[i]);
    json_end_array(json, JSON_LINE);
    for (int side = 0; side < DIFF_SIDES; side++) {
        json_begin_object(json, sides[side]);
        json_u64(json, "samples", stack->work.samples[side]);
        json_double(json, "share", stack->work.share[side]);
        rate(json, "cpu", &stack->cpu, side);
        rate(json, "waiting", &stack->waiting, side);
        json_end_object(json, JSON_LINE);
    }
    write_share(json, "work", &stack->work);
    json_end_object(json, JSON_LINE);
}

static void write_thread(struct json_report *report, const struct report_diff *diff,
                         const struct diff_thread *thread)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_bool(json, "numbered", thread->numbered);
    for (int side = 0; side < DIFF_SIDES; side++) {
        if (!thread->threads[side]) {
            json_null(json, sides[side]);
            continue;
        }
        report->input = diff->inputs[side];
        json_begin_object(json, sides[side]);
        json_name(report, "name", report->input->profile->threads[thread->first[side]].name);
        json_u64(json, "count", thread->threads[side]);
        rate(json, "cpu", &thread->cpu, side);
        json_u64(json, "samples", thread->samples[side]);
        json_begin_object(json, "states");
        for (int state = 0; state < SNAP_STATE_COUNT; state++)
            if (thread->states[side][state])
                json_u64(json, snap_state_name((enum snap_state)state),
                         thread->states[side][state]);
        json_end_object(json, JSON_LINE);
        json_end_object(json, JSON_LINE);
    }
    json_end_object(json, JSON_LINE);
}

static void write_wait(struct json_report *report, const struct report_diff *diff,
                       const struct diff_wait *wait)
{
    struct json_writer *json = &report->json;
    (void)diff;
    json_begin_object(json, NULL);
    json_text(json, "state", snap_state_name(wait->state));
    json_u64(json, "function", wait->function);
    for (int side = 0; side < DIFF_SIDES; side++) {
        json_begin_object(json, sides[side]);
        json_u64(json, "samples", wait->samples[side]);
        rate(json, "threads", &wait->threads, side);
        json_end_object(json, JSON_LINE);
    }
    json_end_object(json, JSON_LINE);
}

static void write_motion(struct json_report *report, const struct report_diff *diff,
                         const struct diff_motion_thread *motion)
{
    static const char *const words[] = {[DIFF_SAME_CALLS] = "same-calls",
                                        [DIFF_SAME_PLACE] = "same-place",
                                        [DIFF_MOVED] = "moved",
                                        [DIFF_APPEARED] = "appeared",
                                        [DIFF_ENDED] = "ended"};
    struct json_writer *json = &report->json;
    int side = motion->thread[DIFF_AFTER] != DIFF_NONE ? DIFF_AFTER : DIFF_BEFORE;
    report->input = diff->inputs[side];
    const struct snap_thread *thread =
        &report->input->snapshots[0]->threads.items[motion->thread[side]];
    json_begin_object(json, NULL);
    json_u64_if(report, "tid", thread->tid != 0, (uint64_t)thread->tid);
    json_name(report, "name", thread->name);
    json_text(json, "motion", words[motion->motion]);
    for (side = 0; side < DIFF_SIDES; side++)
        json_u64_if(report, sides[side], motion->thread[side] != DIFF_NONE, motion->thread[side]);
    json_u64(json, "common_frames", motion->common);
    json_u64_if(report, "cpu_ns", motion->has_cpu, motion->cpu_ns);
    json_end_object(json, JSON_LINE);
}

static void write_note(void *arg, const char *text)
{
    struct json_writer *json = arg;
    // Code marks are for sentences of pages.
    GUARD(guard_free) char *bare = strdup(text);
    char *to = bare;
    for (const char *at = bare; bare && *at; at++)
        if (*at != PLAIN_CODE[0] && *at != PLAIN_CODE_END[0])
            *to++ = *at;
    json_line(json);
    json_string(json, NULL, bare ? bare : "", bare ? (size_t)(to - bare) : 0);
}

#define WRITE_LIST(key, there, items, count, write) \
    do {                                            \
        json_line(json);                            \
        if (!(there)) {                             \
            json_null(json, key);                   \
            break;                                  \
        }                                           \
        json_begin_array(json, key);                \
        for (size_t i = 0; i < (count); i++) {      \
            json_line(json);                        \
            write(&report, diff, &(items)[i]);      \
        }                                           \
        json_end_array(json, JSON_LINES);           \
    } while (0)

struct err *diff_json(FILE *out, const struct report_diff *diff,
                      const struct report_options *options)
{
    static const struct prof_diff none;
    const struct prof_diff *values = diff->diff ? diff->diff : &none;
    struct json_report report = {.json = {.out = out}, .input = diff->inputs[DIFF_AFTER]};
    struct json_writer *json = &report.json;
    bool there = diff->diff != NULL;
    (void)options;
    json_begin_document(json, "pycore-diff/1", diff->tool_version);
    json_text(json, "command", diff->command);
    json_end_object(json, JSON_LINE);
    for (int side = 0; side < DIFF_SIDES; side++)
        write_side(&report, diff, side);
    json_line(json);
    json_begin_object(json, "noise");
    json_bool(json, "told", values->testable);
    json_double(json, "alpha", DIFF_ALPHA);
    json_u64(json, "functions_tested", values->tested);
    json_u64(json, "natives_tested", values->natives_tested);
    json_u64(json, "stacks_tested", values->stacks_tested);
    json_end_object(json, JSON_LINE);
    WRITE_LIST("functions", there, values->functions, values->function_count, write_function);
    WRITE_LIST("stacks", there, values->stacks, values->stack_count, write_stack);
    WRITE_LIST("threads", there, values->threads_by_name, values->thread_count, write_thread);
    WRITE_LIST("waits", there, values->waits, values->wait_count, write_wait);
    WRITE_LIST("motions", !there, diff->motions, diff->motion_count, write_motion);
    json_line(json);
    if (there)
        json_null(json, "same_process");
    else
        json_bool(json, "same_process", diff->same_process);
    json_line(json);
    json_begin_array(json, "notes");
    diff_notes(diff, write_note, json);
    json_end_array(json, JSON_LINES);
    json_end_object(json, JSON_LINES);
    fputc('\n', out);
    return export_finish(out);
}
