// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON report: valid whatever the names hold, every value where the contract has it, null for
// what is not known; and the list of formats.
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "json_reader.h"
#include "report/json_writer.h"
#include "report/report.h"
#include "snap_maker.h"

#define MS 1000000u

struct fixture {
    struct strtab *strings;
    struct profile *profile;
    struct prof_report *report;
    struct snapshot *snapshot;
    const struct snapshot *snapshots[1];
    struct snap_source source;
    struct snap_notes notes;
    uint32_t argv[2];
    struct report_input input;
    struct report_options options;
    char *text;
    size_t size;
};

static uint32_t id(struct fixture *f, const char *text)
{
    return strtab_add_cstr(f->strings, text);
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.strings = strtab_create()};
    f.profile = profile_create(f.strings);
    f.snapshot = snapshot_create();
    f.snapshots[0] = f.snapshot;
    f.source = (struct snap_source){.kind = SNAP_LIVE, .pid = 100, .complete = true};
    f.source.arch = id(&f, "x86_64");
    f.source.process.python_version = id(&f, "3.11.7"); // Python could be read
    f.input = (struct report_input){.tool_version = "0.1.0",
                                    .strings = f.strings,
                                    .source = &f.source,
                                    .snapshots = f.snapshots,
                                    .snapshot_count = 1,
                                    .notes = &f.notes};
    *state = &f;
    return f.profile && f.snapshot ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    free(f->text);
    vec_deinit(&f->notes);
    vec_deinit(&f->source.notes);
    prof_report_destroy(f->report);
    snapshot_destroy(f->snapshot);
    profile_destroy(f->profile);
    strtab_destroy(f->strings);
    return 0;
}

// The report in f->text, which is valid JSON.
static void render(struct fixture *f)
{
    free(f->text);
    FILE *out = open_memstream(&f->text, &f->size);
    assert_non_null(out);
    assert_null(report_json(out, &f->input, &f->options));
    fclose(out);
    assert_int_equal(strlen(f->text), f->size);
    assert_true(json_valid(f->text));
}

static void use_profile(struct fixture *f)
{
    struct prof_run run = {
        .interval_ns = 200 * MS, .duration_ns = 1000 * MS, .missed = 2, .own_cpu_ns = 5 * MS};
    prof_report_destroy(f->report);
    f->report = profile_report(f->profile, &run);
    assert_non_null(f->report);
    f->input.profile = f->report;
}

static struct snap_thread *thread(struct fixture *f, pid_t tid, enum snap_state state,
                                  const char *stack)
{
    struct snap_thread *made = make_thread(f->strings, f->snapshot, tid, state, stack);
    assert_non_null(made);
    return made;
}

static void assert_value(const struct fixture *f, const char *path, const char *expected)
{
    const char *value = json_raw(f->text, path);
    if (strcmp(value, expected) != 0)
        fail_msg("%s is %s, not %s", path, value, expected);
}

// ---- The writer ---------------------------------------------------------------------------------

static char written[4096];

static const char *write_string(const char *bytes, size_t size)
{
    FILE *out = fmemopen(written, sizeof(written), "w");
    assert_non_null(out);
    struct json_writer json = {.out = out};
    json_string(&json, NULL, bytes, size);
    fclose(out);
    return written;
}

#define assert_string(bytes, expected) \
    assert_string_equal(write_string(bytes, sizeof(bytes) - 1), "\"" expected "\"")

static void test_strings(void **state)
{
    (void)state;
    assert_string("", "");
    assert_string("plain <lambda> \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d",
                  "plain <lambda> \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d");
    assert_string("\"\\/", "\\\"\\\\/");
    assert_string("\b\f\n\r\t", "\\b\\f\\n\\r\\t");
    assert_string("a\0b\x1b[31m\x7f", "a\\u0000b\\u001b[31m\\u007f");
    assert_string("\xc2\x9b;\xc2\xa0", "\\u009b;\xc2\xa0");
    assert_string("\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029");
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    assert_string("\xff", "\\udcff");
    assert_string("a\x80z", "a\\udc80z");
    assert_string("\xc3", "\\udcc3");                       // cut
    assert_string("\xe2\x82", "\\udce2\\udc82");            // cut
    assert_string("\xf0\x9f\x90", "\\udcf0\\udc9f\\udc90"); // cut
    assert_string("\xc3(", "\\udcc3(");                     // no continuation
    assert_string("\xe2(\x82", "\\udce2(\\udc82");
    assert_string("\xc0\x80", "\\udcc0\\udc80");            // overlong
    assert_string("\xe0\x9f\xbf", "\\udce0\\udc9f\\udcbf"); // overlong
    assert_string("\xf0\x8f\xbf\xbf", "\\udcf0\\udc8f\\udcbf\\udcbf");
    assert_string("\xf4\x90\x80\x80", "\\udcf4\\udc90\\udc80\\udc80");          // beyond U+10FFFF
    assert_string_equal(write_string("\xe2\x82\xac", 2), "\"\\udce2\\udc82\""); // no further
    assert_string("\xf8\x88\x80\x80\x80", "\\udcf8\\udc88\\udc80\\udc80\\udc80");
    assert_string("\xed\xa0\x80", "\\ud800"); // surrogates
    // What would reorder or hide its neighbours in a terminal or an editor.
    assert_string("\xe2\x80\xae", "\\u202e");
    assert_string("\xe2\x81\xa6", "\\u2066");
    assert_string("\xc2\x9b", "\\u009b");
    assert_string("\xef\xbb\xbf", "\\ufeff");
    assert_string("\xf3\xa0\x81\x81", "\\udb40\\udc41");
    assert_string("\xed\xbf\xbf", "\\udfff");
    assert_string("\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"); // their neighbours
}

// Every pair of bytes gives JSON.
static void test_all_bytes(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 65536; pair += 3) {
        char bytes[3] = {(char)(pair >> 8), (char)pair, 'x'};
        assert_true(json_valid(write_string(bytes, 3)));
    }
}

static const char *write_double(double value)
{
    FILE *out = fmemopen(written, sizeof(written), "w");
    assert_non_null(out);
    struct json_writer json = {.out = out};
    json_double(&json, NULL, value);
    fclose(out);
    return written;
}

static void test_numbers(void **state)
{
    (void)state;
    assert_string_equal(write_double(0), "0.0");
    assert_string_equal(write_double(1), "1.0");
    assert_string_equal(write_double(0.55), "0.55");
    assert_string_equal(write_double(1.0 / 3), "0.333333");
    assert_string_equal(write_double(0.9999999), "1.0");
    assert_string_equal(write_double(-2.5), "-2.5");
    assert_string_equal(write_double(-1e-9), "0.0");
    assert_string_equal(write_double(12.000001), "12.000001");
    assert_string_equal(write_double((double)NAN), "null");
    assert_string_equal(write_double((double)INFINITY), "null");
    // Where the decimal point is a comma.
    if (setlocale(LC_ALL, "de_DE.UTF-8"))
        assert_string_equal(write_double(0.5), "0.5");
    setlocale(LC_ALL, "C");
}

// ---- A dump -------------------------------------------------------------------------------------

static void test_source(void **state)
{
    struct fixture *f = *state;
    f->argv[0] = id(f, "python3");
    f->argv[1] = id(f, "app.py");
    f->source.taken_at_ns = 1795317120999999999;
    f->source.host = id(f, "web-3");
    f->source.process = (struct snap_process){.pid = 100,
                                              .exe = id(f, "/usr/bin/python3.11"),
                                              .argv = f->argv,
                                              .argc = 2,
                                              .python_version = id(f, "3.11.7"),
                                              .python_build = id(f, "release")};
    render(f);
    assert_value(f, "schema", "\"pycore/1\"");
    assert_value(f, "tool.name", "\"pycore\"");
    assert_value(f, "tool.version", "\"0.1.0\"");
    assert_value(f, "source.kind", "\"live\"");
    assert_value(f, "source.path", "null");
    assert_value(f, "source.pid", "100");
    assert_value(f, "source.arch", "\"x86_64\"");
    assert_value(f, "source.processes[0].pid", "100");
    assert_value(f, "source.processes[0].exe", "\"/usr/bin/python3.11\"");
    assert_value(f, "source.processes[0].argv", "[\"python3\", \"app.py\"]");
    assert_value(f, "source.processes[0].python",
                 "{\"version\": \"3.11.7\", \"build\": \"release\"}");
    assert_value(f, "source.processes[1]", "(none)");
    assert_value(f, "source.taken_at", "\"2026-11-22T03:12:00Z\"");
    assert_value(f, "source.host", "\"web-3\"");
    assert_value(f, "source.signal", "null");
    assert_value(f, "source.complete", "true");
    assert_value(f, "profile", "null");
    assert_value(f, "findings", "[]");
    assert_value(f, "notes", "[]");
    f->source.complete = false;
    render(f);
    assert_value(f, "source.complete", "false");
    f->source.complete = true;
    f->input.interrupted = true;
    render(f);
    assert_value(f, "source.complete", "false");
}

static void test_nothing_known(void **state)
{
    struct fixture *f = *state;
    f->source = (struct snap_source){.kind = SNAP_CORE, .of_core = true, .path = id(f, "/tmp/core")};
    struct snap_thread *t = thread(f, 0, SNAP_UNKNOWN, "f f~ f!");
    t->pid = 0;
    t->python_id = 0;
    t->interpreter = -1;
    for (size_t i = 0; i < 3; i++)
        t->frames.items[i].function = t->frames.items[i].file = t->frames.items[i].module = 0;
    t->frames.items[1].address = SNAP_NO_ADDRESS;
    t->frames.items[0].first_line = -1;
    t->frames.items[0].flags = SNAP_FRAME_UNREADABLE;
    render(f);
    assert_value(f, "source.kind", "\"core\"");
    assert_value(f, "source.path", "\"/tmp/core\"");
    static const char *const nulls[] = {"source.pid",
                                        "source.arch",
                                        "source.taken_at",
                                        "source.host",
                                        "source.processes[0].pid",
                                        "source.processes[0].exe",
                                        "source.processes[0].python.version",
                                        "snapshots[0].process_cpu_ns",
                                        "snapshots[0].threads[0].pid",
                                        "snapshots[0].threads[0].tid",
                                        "snapshots[0].threads[0].name",
                                        "snapshots[0].threads[0].python_thread_id",
                                        "snapshots[0].threads[0].interpreter",
                                        "snapshots[0].threads[0].holds_gil",
                                        "snapshots[0].threads[0].cpu_ns",
                                        "snapshots[0].threads[0].syscall",
                                        "snapshots[0].threads[0].frames[0].function",
                                        "snapshots[0].threads[0].frames[0].qualname",
                                        "snapshots[0].threads[0].frames[0].file",
                                        "snapshots[0].threads[0].frames[0].line",
                                        "snapshots[0].threads[0].frames[0].column",
                                        "snapshots[0].threads[0].frames[0].first_line",
                                        "snapshots[0].threads[0].frames[1].address",
                                        "snapshots[0].threads[0].frames[1].line",
                                        "snapshots[0].threads[0].frames[1].module",
                                        "snapshots[0].threads[0].frames[2].qualname"};
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
        assert_value(f, nulls[i], "null");
    assert_value(f, "snapshots[0].threads[0].state", "\"unknown\"");
    assert_value(f, "snapshots[0].threads[0].frames[0].unreadable", "true");
    assert_value(f, "snapshots[0].threads[0].frames[1].unreadable", "(none)");
}

static void fill_thread(struct fixture *f)
{
    f->snapshot->pause_ns = 84000;
    f->snapshot->stopped = true;
    struct snap_thread *t = thread(f, 101, SNAP_LOCK_WAIT, "futex~ acquire! wait:327");
    t->name = id(f, "MainThread");
    t->has_holds_gil = t->has_cpu = t->in_gc = true;
    t->cpu_ns = 1200345;
    t->cpu_total_ns = 77;
    t->syscall = id(f, "futex");
    t->frames.items[0].address = 0x7f12345678ab;
    t->frames.items[0].offset = 0x2b;
    t->frames.items[0].flags = SNAP_FRAME_INLINED;
    t->frames.items[1].qualname = id(f, "{method 'acquire' of '_thread.lock' objects}");
    t->frames.items[1].flags = SNAP_FRAME_INFERRED;
    t->frames.items[2].qualname = id(f, "Condition.wait");
    t->frames.items[2].column = 16;
    t->frames.items[2].first_line = 288;
    assert_true(snap_note(f->strings, &t->notes, "a \"%s\" note", "thread's"));
    assert_true(snap_note(f->strings, &f->snapshot->notes, "snapshot's"));
    thread(f, 102, SNAP_RUNNING, "");
}

static void test_threads(void **state)
{
    struct fixture *f = *state;
    fill_thread(f);
    render(f);
    assert_value(f, "snapshots[0].at_ns", "0");
    assert_value(f, "snapshots[0].pause_ns", "84000");
    assert_value(f, "snapshots[0].notes", "[\"snapshot's\"]");
    static const char *const values[][2] = {
        {"pid", "100"},
        {"tid", "101"},
        {"name", "\"MainThread\""},
        {"python_thread_id", "\"0x7f0000000065\""},
        {"interpreter", "0"},
        {"state", "\"lock-wait\""},
        {"holds_gil", "false"},
        {"in_gc", "true"},
        {"on_cpu", "false"},
        {"cpu_ns", "1200345"},
        {"cpu_total_ns", "77"},
        {"syscall", "\"futex\""},
        {"known_to_python", "true"},
        {"crashed", "(none)"},
        {"notes", "[\"a \\\"thread's\\\" note\"]"},
        {"frames[0]", "{\"kind\": \"native\", \"function\": \"futex\", \"module\": \"libc.so.6\", "
                      "\"address\": \"0x7f12345678ab\", \"offset\": \"0x2b\", \"file\": null, "
                      "\"line\": null, \"inlined\": true, \"unwound_by\": \"cfi\"}"},
        {"frames[1]", "{\"kind\": \"builtin\", \"function\": \"acquire\", \"qualname\": "
                      "\"{method 'acquire' of '_thread.lock' objects}\", \"inferred\": true}"},
        {"frames[2]", "{\"kind\": \"python\", \"function\": \"wait\", "
                      "\"qualname\": \"Condition.wait\", \"file\": \"app.py\", \"line\": 327, "
                      "\"column\": 16, \"first_line\": 288}"},
        {"frames[3]", "(none)"}};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char path[100];
        snprintf(path, sizeof(path), "snapshots[0].threads[0].%s", values[i][0]);
        assert_value(f, path, values[i][1]);
    }
    assert_value(f, "snapshots[0].threads[1].frames", "[]");
    assert_value(f, "snapshots[0].threads[2]", "(none)");
}

// How each native frame was found, and what a thread went through for the snapshot.
static void test_natives(void **state)
{
    struct fixture *f = *state;
    f->snapshot->threads_stopped = 1;
    f->snapshot->interrupted_calls = 2;
    struct snap_thread *t =
        thread(f, 1, SNAP_RUNNING, "f~@4096 __restore_rt~@1 ~@8192 g~@2 h~@3 f:1");
    t->was_stopped = t->held_still = true;
    t->frames.items[1].flags = SNAP_FRAME_SIGNAL;
    t->frames.items[2].flags = SNAP_FRAME_LIKELY;
    t->frames.items[3].flags = SNAP_FRAME_GUESSED;
    t->frames.items[4].address = SNAP_NO_ADDRESS; // of a profile: not always the same
    t->frames.items[4].file = id(f, "h.c");
    t->frames.items[4].line = 12;
    thread(f, 2, SNAP_SLEEP, "poll~@4096");
    render(f);
    assert_value(f, "snapshots[0].atomic", "false");
    assert_value(f, "snapshots[0].threads_stopped", "1");
    assert_value(f, "snapshots[0].interrupted_calls", "2");
    assert_value(f, "snapshots[0].overran", "(none)");
    static const char *const values[][2] = {{"[0].stopped", "true"},
                                            {"[0].held_still", "true"},
                                            {"[1].stopped", "false"},
                                            {"[1].held_still", "false"},
                                            {"[0].frames[0].address", "\"0x1000\""},
                                            {"[0].frames[0].offset", "\"0x1000\""},
                                            {"[0].frames[0].unwound_by", "\"cfi\""},
                                            {"[0].frames[0].signal", "(none)"},
                                            {"[0].frames[1].signal", "true"},
                                            {"[0].frames[1].function", "\"__restore_rt\""},
                                            {"[0].frames[2].function", "null"},
                                            {"[0].frames[2].module", "\"libc.so.6\""},
                                            {"[0].frames[2].offset", "\"0x2000\""},
                                            {"[0].frames[2].unwound_by", "\"frame-pointer\""},
                                            {"[0].frames[3].unwound_by", "\"scan\""},
                                            {"[0].frames[4].address", "null"},
                                            {"[0].frames[4].offset", "null"},
                                            {"[0].frames[4].file", "\"h.c\""},
                                            {"[0].frames[4].line", "12"},
                                            {"[0].frames[5].unwound_by", "(none)"}};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char path[100];
        snprintf(path, sizeof(path), "snapshots[0].threads%s", values[i][0]);
        assert_value(f, path, values[i][1]);
    }
    // Stopped as a whole, nobody moved.
    f->snapshot->stopped = f->snapshot->overran = true;
    render(f);
    assert_value(f, "snapshots[0].atomic", "true");
    assert_value(f, "snapshots[0].overran", "true");
    assert_value(f, "snapshots[0].threads[1].held_still", "true");
    // In a profile: calls through native code, and "own".
    assert_true(profile_add(f->profile, f->snapshot));
    use_profile(f);
    render(f);
    assert_value(f, "profile.functions[0].function", "\"f\"");
    assert_value(f, "profile.functions[0].kind", "\"native\"");
    assert_value(f, "profile.functions[0].self", "1");
    assert_value(f, "profile.functions[0].own", "0");
    vec_clear(&f->snapshot->threads.items[1].frames);
    t = &f->snapshot->threads.items[0];
    t->frames.items[0] = make_frame(f->strings, "key:3");
    assert_true(profile_add(f->profile, f->snapshot));
    use_profile(f);
    render(f);
    assert_non_null(strstr(f->text, "\"total\": 0, \"total_waiting\": 0, \"cpu_ns\": 0, "
                                    "\"through\": 1, \"through_waiting\": 0"));
}

static void test_signal(void **state)
{
    struct fixture *f = *state;
    f->source.signal =
        (struct snap_signal){.signo = 11,
                             .name = id(f, "SIGSEGV"),
                             .has_code = true,
                             .code = 1,
                             .code_text = id(f, "address not mapped to object (SEGV_MAPERR)"),
                             .has_fault_address = true,
                             .fault_address = 0,
                             .tid = 101};
    thread(f, 101, SNAP_UNKNOWN, "f:1")->crashed = true;
    render(f);
    assert_value(f, "source.signal",
                 "{\"signo\": 11, \"name\": \"SIGSEGV\", \"code\": 1, \"code_text\": "
                 "\"address not mapped to object (SEGV_MAPERR)\", \"sender_pid\": null, "
                 "\"sender_uid\": null, \"fault_address\": \"0x0\", \"tid\": 101}");
    assert_value(f, "snapshots[0].threads[0].crashed", "true");
    f->source.signal = (struct snap_signal){.signo = 6, .has_sender = true, .sender_pid = 9};
    render(f);
    assert_value(f, "source.signal",
                 "{\"signo\": 6, \"name\": null, \"code\": null, \"code_text\": null, "
                 "\"sender_pid\": 9, \"sender_uid\": 0, \"fault_address\": null, \"tid\": null}");
}

static void test_notes(void **state)
{
    struct fixture *f = *state;
    assert_true(snap_note(f->strings, &f->source.notes, "one"));
    assert_true(snap_note(f->strings, &f->source.notes, "two"));
    assert_true(snap_note(f->strings, &f->notes, "two"));
    assert_true(snap_note(f->strings, &f->notes, "three\n\"\\"));
    render(f);
    assert_value(f, "notes[0]", "\"two\"");
    assert_value(f, "notes[1]", "\"three\\n\\\"\\\\\"");
    assert_value(f, "notes[2]", "\"one\"");
    assert_value(f, "notes[3]", "(none)");
    f->input.notes = NULL;
    render(f);
    assert_value(f, "notes[2]", "(none)");
}

// Names of code objects are what the program's author (or an attacker) made them.
static void test_hostile_names(void **state)
{
    struct fixture *f = *state;
    static const char hostile[] = "\"}]\\\0\x1b]0;x\x07\xff\xed\xb2\x80\xf0\x9f\r\n</script>";
    uint32_t name = strtab_add(f->strings, hostile, sizeof(hostile) - 1);
    f->source.host = f->source.path = f->source.process.exe = name;
    f->argv[0] = name;
    f->source.process.argv = f->argv;
    f->source.process.argc = 2; // the second one is not known
    f->input.tool_version = f->input.command = "\x80\"\n";
    struct snap_thread *t = thread(f, 1, SNAP_RUNNING, "f:1 f~ f!");
    t->name = name;
    for (size_t i = 0; i < 3; i++) {
        struct snap_frame *frame = &t->frames.items[i];
        frame->function = frame->qualname = frame->file = frame->module = name;
    }
    assert_true(vec_push(&f->notes, name));
    assert_true(profile_add(f->profile, f->snapshot));
    use_profile(f);
    f->options.snapshots = true;
    render(f);
    static const char escaped[] =
        "\"\\\"}]\\\\\\u0000\\u001b]0;x\\u0007\\udcff\\udc80\\udcf0\\udc9f"
        "\\r\\n</script>\"";
    static const char *const paths[] = {"source.host",
                                        "source.processes[0].argv[0]",
                                        "notes[0]",
                                        "snapshots[0].threads[0].name",
                                        "snapshots[0].threads[0].frames[0].file",
                                        "snapshots[0].threads[0].frames[1].module",
                                        "snapshots[0].threads[0].frames[2].qualname",
                                        "profile.threads[0].name",
                                        "profile.functions[0].function",
                                        "profile.functions[2].qualname",
                                        "profile.frames[1].function"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_value(f, paths[i], escaped);
    assert_value(f, "source.processes[0].argv[1]", "null");
    assert_value(f, "tool.command", "\"\\udc80\\\"\\n\"");
}

// ---- A profile ----------------------------------------------------------------------------------

// Two snapshots: thread 1 in hot <- main (then sum! <- main), thread 2 waits in poll~.
static void feed(struct fixture *f)
{
    for (int i = 0; i < 2; i++) {
        f->snapshot->at_ns = (uint64_t)i * 200 * MS;
        f->snapshot->pause_ns = (100 + 50 * (uint64_t)i) * 200000;
        f->snapshot->threads_stopped = 3;
        f->snapshot->interrupted_calls = 1;
        f->snapshot->overran = i == 1;
        f->snapshot->has_process_cpu = true;
        f->snapshot->process_cpu_ns = 300 * MS;
        vec_foreach (old, &f->snapshot->threads)
            snap_thread_deinit(old);
        vec_clear(&f->snapshot->threads);
        struct snap_thread *t =
            thread(f, 1, SNAP_RUNNING, i ? "sum! main:32#1" : "hot:11#2 main:31#1");
        t->has_cpu = t->on_cpu = t->has_holds_gil = t->holds_gil = true;
        t->cpu_ns = 125 * MS;
        t->name = id(f, "MainThread");
        t->held_still = true;
        thread(f, 2, SNAP_IO_WAIT, "poll~");
        assert_true(profile_add(f->profile, f->snapshot));
    }
    use_profile(f);
}

static void test_profile(void **state)
{
    struct fixture *f = *state;
    feed(f);
    render(f);
    assert_value(f, "snapshots", "(none)");
    static const char *const values[][2] = {
        {"snapshots", "2"},
        {"interval_ns", "200000000"},
        {"duration_ns", "1000000000"},
        {"pause_total_ns", "50000000"},
        {"pause_max_ns", "30000000"},
        {"pause_median_ns", "25000000"},
        {"pause_p95_ns", "30000000"},
        {"pause_share", "0.05"},
        {"threads_stopped", "6"},
        {"interrupted_calls", "2"},
        {"overruns", "1"},
        {"missed", "2"},
        {"own_cpu_ns", "5000000"},
        {"own_cpu_share", "0.005"},
        {"samples_held_still", "2"},
        {"samples", "4"},
        {"samples_working", "2"},
        {"states", "{\"running\": 2, \"io-wait\": 2}"},
        {"process_cpu_ns", "600000000"},
        {"cpu_on_stacks_ns", "250000000"},
        {"cpu_between_ns", "0"},
        {"cpu_unseen_ns", "350000000"},
        {"dropped_stacks", "0"},
        {"threads[0].tid", "1"},
        {"threads[0].name", "\"MainThread\""},
        {"threads[0].cpu_ns", "250000000"},
        {"threads[0].cpu_share", "0.25"},
        {"threads[0].samples", "2"},
        {"threads[0].states", "{\"running\": 2}"},
        {"threads[0].holds_gil", "2"},
        {"threads[0].hottest", "0"},
        {"threads[1].tid", "2"},
        {"threads[1].cpu_ns", "null"},
        {"threads[1].cpu_share", "null"},
        {"threads[1].hottest", "null"},
        {"threads[1].most_seen", "3"},
        {"threads[2]", "(none)"},
        {"functions[0].function", "\"hot\""},
        {"functions[0].id", "0"},
        {"functions[0].kind", "\"python\""},
        {"functions[0].qualname", "null"},
        {"functions[0].file", "\"app.py\""},
        {"functions[0].line", "1"},
        {"functions[0].self", "1"},
        {"functions[0].total", "1"},
        {"functions[0].self_waiting", "0"},
        {"functions[0].self_cpu_ns", "125000000"},
        {"functions[0].activations", "1"},
        {"functions[0].longest_snapshots", "1"},
        {"functions[1].function", "\"sum\""},
        {"functions[1].inferred", "false"},
        {"functions[1].line", "null"},
        {"functions[2].function", "\"main\""},
        {"functions[2].self", "0"},
        {"functions[2].total", "2"},
        {"functions[2].total_cpu_ns", "250000000"},
        {"functions[2].activations", "1"},
        {"functions[2].longest_snapshots", "2"},
        {"functions[2].longest_ns", "200000000"},
        {"functions[2].total_high", "1.0"},
        {"functions[3].function", "\"poll\""},
        {"functions[3].self", "0"},
        {"functions[3].self_low", "0.0"},
        {"functions[3].self_waiting", "2"},
        {"functions[3].total_waiting", "2"},
        {"functions[3].module", "\"libc.so.6\""},
        {"functions[3].states", "{\"io-wait\": 2}"},
        {"functions[4]", "(none)"},
        {"lines[0].function", "0"},
        {"lines[0].line", "11"},
        {"lines[0].self", "1"},
        {"lines[0].own", "1"},
        {"functions[0].own", "1"},
        {"functions[0].own_waiting", "0"},
        {"functions[0].own_cpu_ns", "125000000"},
        {"functions[3].own", "0"},
        {"functions[3].own_waiting", "2"},
        {"functions[3].own_low", "0.0"},
        {"lines[3]", "(none)"},
        {"edges[0]", "{\"caller\": 2, \"callee\": 0, \"total\": 1, \"total_waiting\": 0, "
                     "\"cpu_ns\": 125000000}"},
        {"frames[0].function", "\"hot\""},
        {"frames[0].line", "11"},
        {"frames[0].function_id", "0"},
        {"stacks[0].tid", "2"},
        {"stacks[0].state", "\"io-wait\""},
        {"stacks[0].samples", "2"},
        {"stacks[1].cpu_ns", "125000000"},
        {"stacks[3]", "(none)"}};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char path[100];
        snprintf(path, sizeof(path), "profile.%s", values[i][0]);
        assert_value(f, path, values[i][1]);
    }
    f->options.snapshots = true;
    render(f);
    assert_value(f, "snapshots[0].threads[1].tid", "2");
}

static long number(const struct fixture *f, const char *path)
{
    const char *value = json_raw(f->text, path);
    char *end;
    long parsed = strtol(value, &end, 10);
    if (*end || end == value)
        fail_msg("%s is %s, no number", path, value);
    return parsed;
}

// Stacks and tree lead to frames, and these to the right functions.
static void test_indexes(void **state)
{
    struct fixture *f = *state;
    feed(f);
    render(f);
    static const char *const stacks[3][3] = {{"poll"}, {"hot", "main"}, {"sum", "main"}};
    for (long i = 0; i < 3; i++) {
        for (long j = 0; stacks[i][j]; j++) {
            char path[100], name[100];
            snprintf(path, sizeof(path), "profile.stacks[%ld].frames[%ld]", i, j);
            long frame = number(f, path);
            snprintf(path, sizeof(path), "profile.frames[%ld].function", frame);
            snprintf(name, sizeof(name), "\"%s\"", stacks[i][j]);
            assert_value(f, path, name);
        }
    }
    assert_value(f, "profile.tree.frame", "null");
    assert_value(f, "profile.tree.samples", "4");
    assert_value(f, "profile.tree.samples_working", "2");
    assert_value(f, "profile.tree.cpu_ns", "250000000");
    assert_value(f, "profile.tree.pruned", "0");
    assert_value(f, "profile.tree.children[0].samples", "2");
    assert_value(f, "profile.tree.children[0].cpu_ns", "250000000");
    assert_value(f, "profile.tree.children[0].children[0].self", "1");
    assert_value(f, "profile.tree.children[0].children[0].children", "[]");
    assert_value(f, "profile.tree.children[2]", "(none)");
    static const char *const tree[][3] = {{"children[0]", "\"main\"", "null"},
                                          {"children[0].children[0]", "\"hot\"", "null"},
                                          {"children[0].children[1]", "\"sum\"", "(none)"},
                                          {"children[1]", "\"poll\"", "null"}};
    for (size_t i = 0; i < 4; i++) {
        char path[100];
        snprintf(path, sizeof(path), "profile.tree.%s.frame", tree[i][0]);
        long frame = number(f, path);
        snprintf(path, sizeof(path), "profile.frames[%ld].function", frame);
        assert_value(f, path, tree[i][1]);
        snprintf(path, sizeof(path), "profile.frames[%ld].line", frame);
        assert_value(f, path, tree[i][2]);
    }
}

// A tree of 100,000 levels is cut where parsers give up, and one cold branch is left out.
static void test_pruned(void **state)
{
    struct fixture *f = *state;
    struct snap_thread *t = thread(f, 1, SNAP_RUNNING, "");
    for (int i = 0; i < 100000; i++)
        assert_true(vec_push(&t->frames, make_frame(f->strings, "f:1")));
    for (pid_t tid = 2; tid <= 1001; tid++)
        thread(f, tid, SNAP_RUNNING, "g:1");
    assert_true(profile_add(f->profile, f->snapshot));
    use_profile(f);
    render(f); // 1001 samples: one of them is less than 0.1 %
    assert_value(f, "profile.tree.pruned", "100000");
    assert_value(f, "profile.tree.children[0].samples", "1000");
    assert_value(f, "profile.tree.children[1]", "(none)");
    vec_foreach (cold, &f->snapshot->threads)
        if (cold->tid != 1)
            snap_thread_deinit(cold);
    f->snapshot->threads.count = 1;
    for (size_t i = 0; i < 2; i++) // three of 1003 are more
        assert_true(profile_add(f->profile, f->snapshot));
    use_profile(f);
    render(f);
    assert_value(f, "profile.tree.pruned", "99600");
    assert_value(f, "profile.tree.children[1].children[0].samples", "3");
    size_t depth = 0;
    for (const char *at = json_find(f->text, "profile.tree.children[1]"); at; depth++)
        at = json_find(at, "children[0]");
    assert_int_equal(depth, 400);
}

static void test_empty_profile(void **state)
{
    struct fixture *f = *state;
    use_profile(f);
    render(f);
    assert_value(f, "profile.functions", "[]");
    assert_value(f, "profile.process_cpu_ns", "null");
    assert_value(f, "profile.tree.children", "[]");
}

// ---- The rest -----------------------------------------------------------------------------------

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    FILE *out = fopen("/dev/full", "w");
    assert_non_null(out);
    struct err *err = report_json(out, &f->input, &f->options);
    assert_non_null(err);
    assert_non_null(strstr(err_message(err), "No space left"));
    err_destroy(err);
    fclose(out);
}

static void test_formats(void **state)
{
    (void)state;
    assert_string_equal(report_formats[0].name, "text");
    assert_string_equal(report_format_by_name("json")->name, "json");
    assert_ptr_equal(report_format_by_name("json")->render, report_json);
    assert_null(report_format_by_name("JSON"));
    assert_null(report_format_by_name(""));
    assert_string_equal(report_format_by_ending("a/report.json")->name, "json");
    assert_string_equal(report_format_by_ending("report.md")->name, "md");
    assert_string_equal(report_format_by_ending("out.json.txt")->name, "text");
    assert_null(report_format_by_ending("json"));
    assert_null(report_format_by_ending("report.jsonl"));
    assert_null(report_format_by_ending(""));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_all_bytes),
        cmocka_unit_test(test_numbers),
        TEST(test_source),
        TEST(test_nothing_known),
        TEST(test_threads),
        TEST(test_natives),
        TEST(test_signal),
        TEST(test_notes),
        TEST(test_hostile_names),
        TEST(test_profile),
        TEST(test_indexes),
        TEST(test_pruned),
        TEST(test_empty_profile),
        TEST(test_full_disk),
        cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
