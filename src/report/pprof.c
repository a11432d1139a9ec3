// SPDX-License-Identifier: GPL-3.0-or-later
// The format of pprof: a gzip'd message of Protocol Buffers, perftools.profiles.Profile
// (https://github.com/google/pprof, proto/profile.proto), which `go tool pprof`, Pyroscope and
// Parca read. A sample is a stack of the view, split by thread, state and task, which are its labels.
//
// The fields of a message may come in any order, so the strings, which all others refer to by
// number, come when all are known.
#include <string.h>

#include "report/export.h"
#include "report/gzip.h"
#include "report/names.h"
#include "report/protobuf.h"
#include "report/unique.h"
#include "report/view.h"
#include "util/guard.h"
#include "util/strtab.h"

enum profile_field {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING_TABLE = 6,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_SAMPLE_TYPE = 14,
};
enum value_type_field { VALUE_TYPE_TYPE = 1, VALUE_TYPE_UNIT = 2 };
enum sample_field { SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE = 2, SAMPLE_LABEL = 3 };
enum label_field { LABEL_KEY = 1, LABEL_STR = 2 };
enum mapping_field {
    MAPPING_ID = 1,
    MAPPING_FILENAME = 5,
    MAPPING_HAS_FUNCTIONS = 7,
    MAPPING_HAS_FILENAMES = 8,
    MAPPING_HAS_LINE_NUMBERS = 9,
    MAPPING_HAS_INLINE_FRAMES = 10,
};
enum location_field {
    LOCATION_ID = 1,
    LOCATION_MAPPING_ID = 2,
    LOCATION_ADDRESS = 3,
    LOCATION_LINE = 4
};
enum line_field { LINE_FUNCTION_ID = 1, LINE_LINE = 2 };
enum function_field {
    FUNCTION_ID = 1,
    FUNCTION_NAME = 2,
    FUNCTION_FILENAME = 4,
    FUNCTION_START_LINE = 5
};

#define PIECE_BYTES 65536

struct writing {
    const struct report_input *input;
    const struct view *view;
    struct unique unique;
    struct strtab *strings; // its ids are the numbers of the string table, in which 0 is ""
    struct strtab *modules; // its ids are those of the mappings
    struct wire_out out, message, inner;
    struct gzip *gzip;
    bool failed; // out of memory
};

static void flush(struct writing *writing, size_t least, struct err **err)
{
    struct wire_out *out = &writing->out;
    if (*err || out->bytes.count < least)
        return;
    *err = gzip_write(writing->gzip, out->bytes.items, out->bytes.count);
    vec_clear(&out->bytes);
}

static uint32_t string_of(struct writing *writing, const char *text)
{
    uint32_t id = text[0] ? strtab_add_cstr(writing->strings, text) : 0;
    writing->failed |= text[0] && !id;
    return id;
}

static void put_string(struct writing *writing, struct wire_out *out, unsigned field,
                       const char *text)
{
    protobuf_number(out, field, string_of(writing, text));
}

// ---- What is counted -----------------------------------------------------------------------------

enum value { VALUE_SAMPLES, VALUE_CPU, VALUE_WALL, VALUE_GIL, VALUE_COUNT };

static const struct {
    const char *type, *unit;
} value_types[] = {
    [VALUE_SAMPLES] = {"samples", "count"},
    [VALUE_CPU] = {"cpu", "nanoseconds"},
    [VALUE_WALL] = {"wall", "nanoseconds"}, // samples x interval; cores have none
    [VALUE_GIL] = {"gil", "count"},         // samples in which the thread held it
};

static bool has_value(const struct writing *writing, enum value value)
{
    return value != VALUE_WALL || writing->view->profile->interval_ns;
}

static uint64_t value_of(const struct writing *writing, const struct view_stack *stack,
                         enum value value)
{
    return value == VALUE_SAMPLES ? stack->samples
           : value == VALUE_CPU   ? stack->cpu_ns
           : value == VALUE_WALL  ? stack->samples * writing->view->profile->interval_ns
                                  : stack->gil_samples;
}

static void put_value_type(struct writing *writing, enum profile_field field, enum value value)
{
    put_string(writing, &writing->message, VALUE_TYPE_TYPE, value_types[value].type);
    put_string(writing, &writing->message, VALUE_TYPE_UNIT, value_types[value].unit);
    protobuf_message(&writing->out, field, &writing->message);
}

static void put_value_types(struct writing *writing)
{
    const enum value by_weight[] = {[REPORT_WEIGHT_SAMPLES] = VALUE_SAMPLES,
                                    [REPORT_WEIGHT_WALL] = VALUE_SAMPLES,
                                    [REPORT_WEIGHT_CPU] = VALUE_CPU};
    for (enum value value = 0; value < VALUE_COUNT; value++)
        if (has_value(writing, value))
            put_value_type(writing, PROFILE_SAMPLE_TYPE, value);
    put_string(writing, &writing->out, PROFILE_DEFAULT_SAMPLE_TYPE,
               value_types[by_weight[writing->view->weigh.kind]].type);
    if (!has_value(writing, VALUE_WALL))
        return;
    put_value_type(writing, PROFILE_PERIOD_TYPE, VALUE_WALL);
    protobuf_number(&writing->out, PROFILE_PERIOD, writing->view->profile->interval_ns);
}

// ---- Samples -------------------------------------------------------------------------------------

static void put_label(struct writing *writing, const char *key, const char *text)
{
    if (!text[0])
        return;
    put_string(writing, &writing->inner, LABEL_KEY, key);
    put_string(writing, &writing->inner, LABEL_STR, text);
    protobuf_message(&writing->message, SAMPLE_LABEL, &writing->inner);
}

// As text: pprof takes numbers for amounts, and puts neighbouring ones together.
static void put_id_label(struct writing *writing, const char *key, pid_t id)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)id);
    put_label(writing, key, id ? text : "");
}

// "fetch (Task-*)"
static void put_task_label(struct writing *writing, const char *key, uint32_t coroutine,
                           uint32_t task)
{
    GUARD(plain_deinit) struct plain text = {0};
    names_task(&text, writing->input->strings, coroutine, task, 0);
    put_label(writing, key, plain_text(&text));
    writing->failed |= text.failed;
}

static void put_task_labels(struct writing *writing, const struct view_stack *stack)
{
    const struct prof_report *profile = writing->view->profile;
    if (stack->task != UINT32_MAX) {
        const struct prof_task *task = &profile->tasks[stack->task];
        put_task_label(writing, "task", task->coroutine, task->name);
        put_task_label(writing, "root_task", task->root_coroutine, task->root_name);
    }
    if (stack->site != UINT32_MAX) {
        const struct prof_await_site *site = &profile->await_sites[stack->site];
        put_task_label(writing, "task", site->coroutine, 0);
        put_label(writing, "await", snap_await_name(names_usual_await(site)));
    }
}

static void put_labels(struct writing *writing, const struct view_stack *stack)
{
    const struct prof_report *profile = writing->view->profile;
    GUARD(plain_deinit) struct plain name = {0};
    if (stack->thread != UINT32_MAX && profile->threads[stack->thread].name)
        plain_id(&name, writing->input->strings, profile->threads[stack->thread].name, 0,
                 PLAIN_KEEP_START);
    put_label(writing, "thread", plain_text(&name));
    put_id_label(writing, "tid", stack->tid);
    put_id_label(writing, "pid", stack->pid);
    put_label(writing, "state",
              stack->site == UINT32_MAX ? snap_state_name(stack->state) : EXPORT_AWAITS);
    put_task_labels(writing, stack);
    writing->failed |= name.failed;
}

static void put_sample(struct writing *writing, const struct view_stack *stack)
{
    for (size_t i = stack->count; i-- > 0;) // the innermost frame is the first one
        protobuf_varint(&writing->inner, (uint64_t)stack->frames[i] + 1);
    if (stack->count)
        protobuf_message(&writing->message, SAMPLE_LOCATION_ID, &writing->inner);
    for (enum value value = 0; value < VALUE_COUNT; value++)
        if (has_value(writing, value))
            protobuf_varint(&writing->inner, value_of(writing, stack, value));
    protobuf_message(&writing->message, SAMPLE_VALUE, &writing->inner);
    put_labels(writing, stack);
    protobuf_message(&writing->out, PROFILE_SAMPLE, &writing->message);
}

// ---- Places --------------------------------------------------------------------------------------

enum { MODULE_HAS_FILES = 1, MODULE_HAS_LINES = 2 };

static uint32_t module_of(struct writing *writing, const char *name)
{
    uint32_t id = strtab_add_cstr(writing->modules, name);
    writing->failed |= !id;
    return id;
}

// Functions are named as far as they can be: readers are told so, and look for nothing more.
static void put_mapping(struct writing *writing, uint32_t id, const char *file, unsigned has)
{
    struct wire_out *message = &writing->message;
    protobuf_number(message, MAPPING_ID, id);
    put_string(writing, message, MAPPING_FILENAME, file);
    protobuf_number(message, MAPPING_HAS_FUNCTIONS, true);
    protobuf_number(message, MAPPING_HAS_FILENAMES, has & MODULE_HAS_FILES ? 1 : 0);
    protobuf_number(message, MAPPING_HAS_LINE_NUMBERS, has & MODULE_HAS_LINES ? 1 : 0);
    protobuf_number(message, MAPPING_HAS_INLINE_FRAMES, has & MODULE_HAS_LINES ? 1 : 0);
    protobuf_message(&writing->out, PROFILE_MAPPING, message);
}

static void put_mappings(struct writing *writing)
{
    const struct view *view = writing->view;
    const struct snap_process *process = &writing->input->source->process;
    AUTO_FREE unsigned char *has = calloc(view->frame_count + 2, sizeof(*has));
    GUARD(plain_deinit) struct plain exe = {0};
    if (process->exe) { // the first one is taken for the program
        plain_id(&exe, writing->input->strings, process->exe, 0, PLAIN_KEEP_START);
        module_of(writing, names_base(plain_text(&exe)));
    }
    for (size_t i = 0; has && i < view->frame_count; i++)
        if (view->frames[i].module[0])
            has[module_of(writing, view->frames[i].module)] |=
                (view->frames[i].file[0] ? MODULE_HAS_FILES : 0) |
                (view->frames[i].line > 0 ? MODULE_HAS_LINES : 0);
    for (uint32_t id = 1; has && id <= strtab_count(writing->modules); id++)
        put_mapping(writing, id,
                    id == 1 && process->exe ? plain_text(&exe) : strtab_get(writing->modules, id),
                    has[id]);
    writing->failed |= exe.failed || !has;
}

// Functions are numbered as in the profile; the roots, which are none, come after them.
static uint64_t function_id(const struct writing *writing, size_t index)
{
    uint32_t function = writing->view->frames[index].function;
    return 1 + (function != UINT32_MAX ? function : writing->view->profile->function_count + index);
}

// By default readers go by the name alone (pprof's -functions), so names are unique.
// There is no system_name: pprof takes a name that is the same in both for one that is not
// demangled yet, and cuts what looks like a template's arguments out of it, all of "<module>".
static void put_function(struct writing *writing, size_t index)
{
    const struct view_frame *frame = &writing->view->frames[index];
    struct wire_out *message = &writing->message;
    protobuf_number(message, FUNCTION_ID, function_id(writing, index));
    put_string(writing, message, FUNCTION_NAME, unique_name(&writing->unique, index));
    put_string(writing, message, FUNCTION_FILENAME, frame->file);
    protobuf_number(message, FUNCTION_START_LINE,
                    frame->first_line > 0 ? (uint64_t)frame->first_line : 0);
    protobuf_message(&writing->out, PROFILE_FUNCTION, message);
}

static void put_location(struct writing *writing, size_t index)
{
    const struct view_frame *frame = &writing->view->frames[index];
    struct wire_out *message = &writing->message;
    protobuf_number(message, LOCATION_ID, index + 1);
    if (frame->module[0])
        protobuf_number(message, LOCATION_MAPPING_ID, module_of(writing, frame->module));
    if (frame->address != SNAP_NO_ADDRESS)
        protobuf_number(message, LOCATION_ADDRESS, frame->address);
    protobuf_number(&writing->inner, LINE_FUNCTION_ID, function_id(writing, index));
    protobuf_number(&writing->inner, LINE_LINE, frame->line > 0 ? (uint64_t)frame->line : 0);
    protobuf_message(message, LOCATION_LINE, &writing->inner);
    protobuf_message(&writing->out, PROFILE_LOCATION, message);
}

static void put_places(struct writing *writing, struct err **err)
{
    const struct view *view = writing->view;
    AUTO_FREE bool *written = calloc(view->profile->function_count + 1, sizeof(*written));
    if (!written) {
        writing->failed = true;
        return;
    }
    put_mappings(writing);
    for (size_t i = 0; i < view->frame_count; i++) {
        uint32_t function = view->frames[i].function;
        if (function == UINT32_MAX || !written[function])
            put_function(writing, i);
        if (function != UINT32_MAX)
            written[function] = true;
        put_location(writing, i);
        flush(writing, PIECE_BYTES, err);
    }
}

// ---- About the run -------------------------------------------------------------------------------

static void put_comment(struct writing *writing, struct plain *text)
{
    // A repeated number: one field each is as good as a packed list.
    if (text->size)
        put_string(writing, &writing->out, PROFILE_COMMENT, plain_text(text));
    writing->failed |= text->failed;
    plain_clear(text);
}

static void put_run(struct writing *writing)
{
    const struct report_input *input = writing->input;
    const struct snap_source *source = input->source;
    const struct prof_report *profile = writing->view->profile;
    if (source->taken_at_ns > 0)
        protobuf_number(&writing->out, PROFILE_TIME_NANOS, (uint64_t)source->taken_at_ns);
    protobuf_number(&writing->out, PROFILE_DURATION_NANOS, profile->duration_ns);
    GUARD(plain_deinit) struct plain text = {0};
    names_program(&text, input->strings, snap_process_first(source), 0);
    put_comment(writing, &text);
    plain_add(&text, "pycore %s", input->tool_version ? input->tool_version : "?");
    if (input->command) {
        plain_str(&text, ": ");
        plain_safe(&text, input->command, strlen(input->command));
    }
    put_comment(writing, &text);
    plain_things(&text, profile->snapshots, "snapshot");
    plain_add(&text, "; samples %s, which are no calls", writing->view->weigh.samples_words);
    put_comment(writing, &text);
    view_say_dropped(&text, writing->view);
    put_comment(writing, &text);
    vec_foreach (note, input->notes) {
        plain_id(&text, input->strings, *note, 0, PLAIN_KEEP_START);
        put_comment(writing, &text);
    }
}

static void put_strings(struct writing *writing, struct err **err)
{
    protobuf_bytes(&writing->out, PROFILE_STRING_TABLE, "", 0);
    for (uint32_t id = 1; id <= strtab_count(writing->strings); id++) {
        protobuf_bytes(&writing->out, PROFILE_STRING_TABLE, strtab_get(writing->strings, id),
                       strtab_size(writing->strings, id));
        flush(writing, PIECE_BYTES, err);
    }
}

static struct err *write_profile(struct writing *writing)
{
    struct err *err = NULL;
    put_value_types(writing);
    for (size_t i = 0; i < writing->view->stack_count && !err; i++) {
        put_sample(writing, &writing->view->stacks[i]);
        flush(writing, PIECE_BYTES, &err);
    }
    put_places(writing, &err);
    put_run(writing);
    put_strings(writing, &err);
    if (!err && (writing->failed || writing->out.failed))
        err = err_create(ERR_NO_MEMORY, "no memory for the pprof report");
    flush(writing, 0, &err);
    return err ? err : gzip_end(writing->gzip);
}

struct err *report_pprof(FILE *out, const struct report_input *input,
                         const struct report_options *options)
{
    struct view *view;
    TRY(view_create(input, options, VIEW_BY_THREAD | VIEW_BY_STATE | VIEW_BY_TASK, &view));
    struct writing writing = {
        .input = input, .view = view, .strings = strtab_create(), .modules = strtab_create()};
    struct err *err = unique_init(&writing.unique, view, input, options, UNIQUE_EVERYWHERE);
    if (!err)
        err = writing.strings && writing.modules
                  ? gzip_begin(out, &writing.gzip)
                  : err_create(ERR_NO_MEMORY, "no memory for the pprof report");
    if (!err)
        err = write_profile(&writing);
    gzip_destroy(writing.gzip);
    unique_deinit(&writing.unique);
    wire_out_deinit(&writing.out);
    wire_out_deinit(&writing.message);
    wire_out_deinit(&writing.inner);
    strtab_destroy(writing.modules);
    strtab_destroy(writing.strings);
    view_destroy(view);
    return err;
}
