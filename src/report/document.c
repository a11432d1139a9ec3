// SPDX-License-Identifier: GPL-3.0-or-later
// A JSON report read back: see report/document.h.
#include "report/document.h"

#include <string.h>
#include <time.h>

#include "report/document_in.h"
#include "util/guard.h"

#define SCHEMA "pycore/1"

// ---- Where it comes from ------------------------------------------------------------------------

static const struct field python_fields[] = {
    FIELD(struct snap_process, "version", FIELD_NAME, python_version),
    FIELD(struct snap_process, "build", FIELD_NAME, python_build),
};

static void read_python(struct document_in *in, void *into)
{
    document_fields(in, python_fields, ARRAY_SIZE(python_fields), into);
}

static void read_argv(struct document_in *in, void *into)
{
    struct snap_process *process = into;
    VEC(uint32_t) argv = {0};
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        uint32_t name = document_name(in), *place = document_push(in, &argv);
        if (place)
            *place = name;
    }
    process->argv = argv.items;
    process->argc = argv.count;
}

static const struct field process_fields[] = {
    FIELD(struct snap_process, "pid", FIELD_INT, pid),
    FIELD(struct snap_process, "exe", FIELD_NAME, exe),
    FIELD_READ("argv", read_argv),
    FIELD_READ("python", read_python),
    FIELD(struct snap_process, "start_time_ns", FIELD_U64, start_time_ns),
    FIELD(struct snap_process, "parent", FIELD_INT, parent),
    FIELD(struct snap_process, "snapshots", FIELD_U64, snapshots),
    FIELD(struct snap_process, "first_ns", FIELD_U64, first_ns),
    FIELD(struct snap_process, "last_ns", FIELD_U64, last_ns),
    FIELD(struct snap_process, "ended", FIELD_BOOL, ended),
    FIELD(struct snap_process, "why", FIELD_NAME, why),
};

static void read_processes(struct document_in *in, void *into)
{
    struct snap_source *source = &((struct report_document *)into)->source;
    if (!json_read_array(&in->json))
        return;
    for (bool first = true; json_read_item(&in->json); first = false) {
        struct snap_process *process =
            first ? &source->process : document_push(in, &source->others);
        if (!process)
            return;
        document_fields(in, process_fields, ARRAY_SIZE(process_fields), process);
    }
}

static const struct field signal_fields[] = {
    FIELD_REQUIRED(struct snap_signal, "signo", FIELD_INT, signo),
    FIELD(struct snap_signal, "name", FIELD_NAME, name),
    FIELD_HAS(struct snap_signal, "code", FIELD_INT, code, has_code),
    FIELD(struct snap_signal, "code_text", FIELD_NAME, code_text),
    FIELD_HAS(struct snap_signal, "sender_pid", FIELD_INT, sender_pid, has_sender),
    FIELD(struct snap_signal, "sender_uid", FIELD_U32, sender_uid),
    FIELD_HAS(struct snap_signal, "fault_address", FIELD_HEX, fault_address, has_fault_address),
    FIELD(struct snap_signal, "tid", FIELD_INT, tid),
};

static void read_signal(struct document_in *in, void *into)
{
    document_fields(in, signal_fields, ARRAY_SIZE(signal_fields),
                    &((struct report_document *)into)->source.signal);
}

// To the second; "taken_at_ns" is exact, where it is there.
static void read_taken_at(struct document_in *in, void *into)
{
    int64_t *ret_ns = &((struct report_document *)into)->source.taken_at_ns;
    const int64_t second_ns = 1000000000;
    char text[40] = "";
    struct tm utc = {0};
    size_t size;
    const char *bytes = json_read_string(&in->json, &size);
    if (size < sizeof(text))
        memcpy(text, bytes, size);
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    time_t seconds = timegm(&utc);
    if (*ret_ns == 0 && end && !*end && seconds < INT64_MAX / second_ns &&
        seconds > INT64_MIN / second_ns)
        *ret_ns = seconds * second_ns;
}

static const char *const kinds[] = {
    [SNAP_LIVE] = "live", [SNAP_CORE] = "core", [SNAP_CAPTURE] = "capture", NULL};

static const struct field source_fields[] = {
    {.key = "kind",
     .kind = FIELD_WORD,
     .at = offsetof(struct report_document, source.kind),
     .required = true,
     .words = kinds},
    FIELD(struct report_document, "of_core", FIELD_BOOL, source.of_core),
    FIELD(struct report_document, "path", FIELD_NAME, source.path),
    FIELD(struct report_document, "pid", FIELD_INT, source.pid),
    FIELD(struct report_document, "arch", FIELD_NAME, source.arch),
    FIELD_READ("processes", read_processes),
    FIELD_READ("taken_at", read_taken_at),
    FIELD(struct report_document, "taken_at_ns", FIELD_I64, source.taken_at_ns),
    FIELD(struct report_document, "host", FIELD_NAME, source.host),
    FIELD_READ("signal", read_signal),
    FIELD_READ("crash", document_read_crash),
    FIELD_READ("environment", document_read_environment),
    FIELD_REQUIRED(struct report_document, "complete", FIELD_BOOL, source.complete),
    FIELD(struct report_document, "interrupted", FIELD_BOOL, input.interrupted),
    FIELD(struct report_document, "shows_secrets", FIELD_BOOL, input.shows_secrets),
};

static void read_source(struct document_in *in, void *into)
{
    struct snap_source *source = &((struct report_document *)into)->source;
    document_fields(in, source_fields, ARRAY_SIZE(source_fields), into);
    source->of_core |= source->kind == SNAP_CORE;
}

// ---- The document -------------------------------------------------------------------------------

struct tool_in {
    uint32_t version, command;
};

static const struct field tool_fields[] = {
    FIELD(struct tool_in, "version", FIELD_NAME, version),
    FIELD(struct tool_in, "command", FIELD_NAME, command),
};

static void read_tool(struct document_in *in, void *into)
{
    struct report_input *input = &((struct report_document *)into)->input;
    struct tool_in tool = {0};
    document_fields(in, tool_fields, ARRAY_SIZE(tool_fields), &tool);
    input->tool_version = strtab_get(in->strings, tool.version);
    input->command = strtab_get(in->strings, tool.command);
}

static const struct field fields[] = {
    FIELD_READ("tool", read_tool),
    {.key = "source", .kind = FIELD_OTHER, .required = true, .read = read_source},
    {.key = "snapshots",
     .kind = FIELD_OTHER,
     .has = offsetof(struct report_document, has_snapshots),
     .read = document_read_snapshots},
    FIELD_READ("last_snapshot", document_read_last),
    FIELD_READ("profile", document_read_profile),
    FIELD_READ("verdict", document_read_verdict),
    FIELD_READ("word", document_read_word),
    FIELD_READ("fingerprint", document_read_fingerprint),
    FIELD_READ("bucket", document_read_bucket),
    FIELD_READ("chains", document_read_chains),
    FIELD_READ("findings", document_read_findings),
    FIELD_READ("suspended", document_read_suspended),
    FIELD_READ("loops", document_read_loops),
    FIELD_READ("tasks", document_read_tasks),
    FIELD_READ("greenlets", document_read_greenlets),
    FIELD_READ("generators", document_read_generators),
    FIELD(struct report_document, "notes", FIELD_NAMES, notes),
};

static const char *line_of(void *arg, const char *file, int32_t line, bool *ret_newer)
{
    const struct report_document *document = arg;
    size_t low = 0, high = document->lines.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct document_line *at = &document->lines.items[middle];
        int order = strcmp(strtab_get(document->strings, at->file), file);
        if (!order)
            order = (at->line > line) - (at->line < line);
        if (!order) {
            *ret_newer = at->newer;
            return strtab_get(document->strings, at->text);
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void read_document(struct document_in *in, struct report_document *document)
{
    document_fields(in, fields, ARRAY_SIZE(fields), document);
    json_read_end(&in->json);
    if (!in->json.err && !document->profile && !document->snapshots.count)
        json_fault(&in->json, "it has neither a profile nor a snapshot");
    struct report_input *input = &document->input;
    input->strings = document->strings;
    input->source = &document->source;
    input->snapshots = (const struct snapshot *const *)document->snapshots.items;
    input->snapshot_count = document->snapshots.count;
    input->profile = document->profile;
    input->last = document->last;
    input->diagnosis = document->diagnosis;
    input->notes = &document->notes;
    input->source_reader = (struct report_source_reader){line_of, document};
    document_place_suspended(in, document);
    document_check_diagnosis(in, document);
}

// What is no report of ours is refused before anything of it is taken for one.
static struct err *check_schema(const char *bytes, size_t size)
{
    GUARD(json_reader_deinit) struct json_reader in;
    const char *key;
    size_t key_size, schema_size;
    json_reader_init(&in, bytes, size);
    if (json_read_object(&in)) {
        while (json_read_key(&in, &key, &key_size)) {
            if (key_size != strlen("schema") || memcmp(key, "schema", key_size) != 0) {
                json_skip(&in);
                continue;
            }
            const char *schema = json_read_string(&in, &schema_size);
            if (in.err)
                break;
            if (schema_size == strlen(SCHEMA) && memcmp(schema, SCHEMA, schema_size) == 0)
                return NULL;
            return err_create(ERR_UNSUPPORTED, "its schema is \"%.*s\"; this pycore reads " SCHEMA,
                              (int)(schema_size < 40 ? schema_size : 40), schema);
        }
    }
    if (in.err)
        return err_wrap(TAKE(in.err), "no JSON report");
    return err_create(ERR_UNSUPPORTED,
                      "a JSON file, but no report: \"schema\": \"" SCHEMA "\" is missing");
}

struct err *report_read_json(const char *bytes, size_t size, struct report_document **ret)
{
    TRY(check_schema(bytes, size));
    struct report_document *document = calloc(1, sizeof(*document));
    if (document)
        document->strings = strtab_create();
    if (!document || !document->strings) {
        report_document_destroy(document);
        return err_create(ERR_NO_MEMORY, "no memory for the document");
    }
    struct document_in in = {.strings = document->strings, .document = document};
    json_reader_init(&in.json, bytes, size);
    read_document(&in, document);
    struct err *err = err_wrap(TAKE(in.json.err), "a damaged JSON report");
    json_reader_deinit(&in.json);
    if (err) {
        report_document_destroy(document);
        return err;
    }
    *ret = document;
    return NULL;
}

void report_document_destroy(struct report_document *document)
{
    if (!document)
        return;
    vec_foreach (snapshot, &document->snapshots)
        snapshot_destroy(*snapshot);
    vec_deinit(&document->snapshots);
    vec_deinit(&document->lines);
    vec_deinit(&document->notes);
    snapshot_destroy(document->last);
    snap_suspended_destroy(document->suspended);
    prof_report_destroy(document->profile);
    diagnosis_destroy(document->diagnosis);
    snap_source_deinit(&document->source);
    strtab_destroy(document->strings);
    free(document);
}

const struct report_input *report_document_input(const struct report_document *document)
{
    return &document->input;
}

struct strtab *report_document_strings(struct report_document *document)
{
    return document->strings;
}

struct snapshot *const *report_document_snapshots(struct report_document *document)
{
    return document->snapshots.items;
}

bool report_document_has_snapshots(const struct report_document *document)
{
    return document->profile && document->has_snapshots;
}
