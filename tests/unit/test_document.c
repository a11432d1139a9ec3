// SPDX-License-Identifier: GPL-3.0-or-later
// JSON reports read back: what is written of them again is the same to the byte, text and Markdown
// are those of the values that they were written from, and what is wrong with a document is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "report/document.h"
#include "snap_maker.h"
#include "util/guard.h"

#define MS 1000000ull

struct fixture {
    struct strtab *strings;
    struct profile *profile;
    struct prof_report *report;
    struct snapshot *snapshots[4];
    struct snap_source source;
    struct snap_notes notes;
    struct report_input input;
    struct report_options options;
};

static uint32_t id(struct fixture *f, const char *text)
{
    return strtab_add_cstr(f->strings, text);
}

static const char *source_line(void *arg, const char *file, int32_t line, bool *ret_newer)
{
    static char text[100];
    (void)arg;
    *ret_newer = line == 3;
    snprintf(text, sizeof(text), "    \"line\" = %d # \xff \t%s", line, file);
    return line == 4 ? NULL : text;
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.strings = strtab_create()};
    f.profile = profile_create(f.strings);
    for (size_t i = 0; i < ARRAY_SIZE(f.snapshots); i++) {
        f.snapshots[i] = snapshot_create();
        f.snapshots[i]->at_ns = i * 200 * MS;
    }
    f.source = (struct snap_source){.kind = SNAP_LIVE, .pid = 100, .complete = true};
    f.source.process.pid = 100;
    f.source.process.python_version = id(&f, "3.11.7");
    f.input = (struct report_input){.tool_version = "0.1.0",
                                    .command = "pycore snap 100",
                                    .strings = f.strings,
                                    .source = &f.source,
                                    .snapshots = (const struct snapshot *const *)f.snapshots,
                                    .snapshot_count = 1,
                                    .notes = &f.notes};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vec_deinit(&f->notes);
    snap_source_deinit(&f->source);
    prof_report_destroy(f->report);
    for (size_t i = 0; i < ARRAY_SIZE(f->snapshots); i++)
        snapshot_destroy(f->snapshots[i]);
    profile_destroy(f->profile);
    strtab_destroy(f->strings);
    return 0;
}

static struct snap_thread *thread(struct fixture *f, size_t snapshot, pid_t tid,
                                  enum snap_state state, const char *stack)
{
    struct snap_thread *made = make_thread(f->strings, f->snapshots[snapshot], tid, state, stack);
    assert_non_null(made);
    return made;
}

static void use_profile(struct fixture *f)
{
    struct prof_run run = {
        .interval_ns = 200 * MS, .duration_ns = 701 * MS, .missed = 2, .own_cpu_ns = 5 * MS};
    for (size_t i = 0; i < ARRAY_SIZE(f->snapshots); i++)
        assert_true(profile_add(f->profile, f->snapshots[i]));
    prof_report_destroy(f->report);
    f->report = profile_report(f->profile, &run);
    assert_non_null(f->report);
    f->input.profile = f->report;
    f->input.snapshot_count = 0;
}

// ---- Round trips --------------------------------------------------------------------------------

static char *render(const struct report_input *input, const struct report_options *options,
                    report_fn *format)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_null(format(out, input, options));
    fclose(out);
    return text;
}

static struct report_document *read_back(const char *text)
{
    struct report_document *document = NULL;
    size_t size = strlen(text);
    AUTO_FREE char *bytes = malloc(size); // without a final NUL: ASan sees what reads on
    assert_non_null(bytes);
    memcpy(bytes, text, size);
    struct err *err = report_read_json(bytes, size, &document);
    if (err)
        fail_msg("%s", err_message(err));
    return document;
}

static void assert_same(const struct report_input *a, const struct report_input *b,
                        const struct report_options *options, report_fn *format)
{
    AUTO_FREE char *first = render(a, options, format);
    AUTO_FREE char *second = render(b, options, format);
    assert_string_equal(second, first);
}

// The document is the caller's.
static struct report_document *round_trip(struct fixture *f)
{
    static const enum report_weight weights[] = {REPORT_WEIGHT_SAMPLES, REPORT_WEIGHT_WALL,
                                                 REPORT_WEIGHT_CPU};
    AUTO_FREE char *text = render(&f->input, &f->options, report_json);
    struct report_document *document = read_back(text);
    const struct report_input *input = report_document_input(document);
    struct report_options options = f->options;
    assert_same(&f->input, input, &options, report_json);
    for (size_t i = 0; i < ARRAY_SIZE(weights); i++) {
        options.weight = weights[i];
        options.full = i == 1;
        assert_same(&f->input, input, &options, report_text);
        assert_same(&f->input, input, &options, report_md);
    }
    return document;
}

static void check_round_trip(struct fixture *f)
{
    report_document_destroy(round_trip(f));
}

static void test_empty(void **state)
{
    struct fixture *f = *state;
    check_round_trip(f); // a snapshot without threads
    f->source = (struct snap_source){0};
    f->input.tool_version = f->input.command = NULL;
    f->input.notes = NULL;
    check_round_trip(f); // nothing is known
}

static void test_no_samples(void **state)
{
    struct fixture *f = *state;
    use_profile(f);
    check_round_trip(f);
}

static void test_source(void **state)
{
    struct fixture *f = *state;
    thread(f, 0, 1, SNAP_RUNNING, "hot:2 main:1");
    struct snap_process *process = &f->source.process;
    f->source.kind = SNAP_CAPTURE;
    f->source.of_core = true;
    f->source.path = id(f, "/var/tmp/a \"core\"\n");
    f->source.arch = id(f, "x86_64");
    f->source.host = id(f, "web-3");
    f->source.taken_at_ns = 1795317120999999999;
    f->source.complete = false;
    f->input.interrupted = true;
    process->exe = id(f, "/usr/bin/\xff");
    process->argc = 3;
    process->argv = calloc(3, sizeof(*process->argv));
    process->argv[0] = id(f, "python3");
    process->argv[1] = id(f, "");
    process->python_build = id(f, "release");
    process->start_time_ns = UINT64_MAX;
    assert_true(snap_note(f->strings, &f->notes, "of the run"));
    assert_true(snap_note(f->strings, &f->notes, "of both"));
    assert_true(snap_note(f->strings, &f->source.notes, "of the source"));
    assert_true(snap_note(f->strings, &f->source.notes, "of both"));
    f->source.signal = (struct snap_signal){.signo = 11,
                                            .name = id(f, "SIGSEGV"),
                                            .has_code = true,
                                            .code = -6,
                                            .code_text = id(f, "sent by tgkill()"),
                                            .has_sender = true,
                                            .sender_pid = 7,
                                            .sender_uid = UINT32_MAX,
                                            .has_fault_address = true,
                                            .fault_address = UINT64_MAX,
                                            .tid = 1};
    struct report_document *document = round_trip(f);
    const struct snap_source *source = report_document_input(document)->source;
    assert_true(source->of_core);
    assert_true(source->taken_at_ns == f->source.taken_at_ns);
    assert_int_equal(source->process.argc, 3);
    assert_int_equal(source->process.argv[2], 0);
    assert_true(report_document_input(document)->interrupted);
    assert_int_equal(report_document_input(document)->notes->count, 3);
    report_document_destroy(document);
    // Before 1970, and without a fraction of a second.
    f->source.taken_at_ns = -1;
    check_round_trip(f);
    f->source.taken_at_ns = INT64_MIN;
    check_round_trip(f);
}

static void test_processes(void **state)
{
    struct fixture *f = *state;
    thread(f, 0, 1, SNAP_RUNNING, "hot:2 main:1");
    thread(f, 0, 2, SNAP_RUNNING, "hot:2")->pid = 200;
    struct snap_process other = {.pid = 200,
                                 .parent = 100,
                                 .exe = id(f, "/bin/sh"),
                                 .snapshots = 3,
                                 .first_ns = 5,
                                 .last_ns = 900 * MS,
                                 .ended = true,
                                 .why = id(f, "not a Python process")};
    assert_true(vec_push(&f->source.others, other));
    other = (struct snap_process){.pid = 300, .python_version = id(f, "3.12.1")};
    assert_true(vec_push(&f->source.others, other));
    f->source.process.snapshots = 4;
    struct report_document *document = round_trip(f);
    const struct snap_source *source = report_document_input(document)->source;
    assert_int_equal(snap_process_count(source), 3);
    const struct snap_process *second = snap_process_at(source, 1);
    assert_int_equal(second->parent, 100);
    assert_int_equal(second->snapshots, 3);
    assert_int_equal(second->first_ns, 5);
    assert_int_equal(second->last_ns, 900 * MS);
    assert_true(second->ended);
    assert_string_equal(strtab_get(report_document_strings(document), second->why),
                        "not a Python process");
    assert_int_equal(source->process.snapshots, 4);
    report_document_destroy(document);
    use_profile(f);
    check_round_trip(f);
}

// What each of several processes contributed; of one that came later there is nothing in the first.
static void feed_processes(struct fixture *f)
{
    const struct snap_process other = {.pid = 200, .python_version = id(f, "3.12.1")};
    assert_true(vec_push(&f->source.others, other));
    for (size_t i = 0; i < ARRAY_SIZE(f->snapshots); i++) {
        struct snapshot *s = f->snapshots[i];
        struct snap_part parts[] = {
            {.pid = 100, .pause_ns = 70 + i, .cpu_window_ns = 5, .has_process_cpu = true},
            {.pid = 200, .pause_ns = 30, .has_process_cpu = i == 2, .process_cpu_ns = 80 * MS}};
        thread(f, i, 100, SNAP_SLEEP, "sleep! idle:5")->pid = 100;
        assert_true(vec_push(&s->parts, parts[0]));
        if (!i)
            continue;
        thread(f, i, 200, SNAP_RUNNING, "hot:2 main:1")->pid = 200;
        thread(f, i, 201, SNAP_GIL_WAIT, "warm:2 main:1")->pid = 200;
        assert_true(vec_push(&s->parts, parts[1]));
    }
}

static void test_parts(void **state)
{
    struct fixture *f = *state;
    feed_processes(f);
    f->input.snapshots++; // a dump of the second one
    struct report_document *document = round_trip(f);
    const struct snap_parts *parts = &report_document_input(document)->snapshots[0]->parts;
    assert_int_equal(parts->count, 2);
    assert_int_equal(parts->items[0].pid, 100);
    assert_int_equal(parts->items[0].pause_ns, 71);
    assert_int_equal(parts->items[0].cpu_window_ns, 5);
    assert_true(parts->items[0].has_process_cpu);
    assert_false(parts->items[1].has_process_cpu);
    report_document_destroy(document);
    f->input.snapshots--;
    f->options.snapshots = true;
    use_profile(f);
    f->report->processes[1].pid = 0; // those beyond the bound
    f->input.snapshot_count = ARRAY_SIZE(f->snapshots);
    document = round_trip(f);
    const struct prof_report *is = report_document_input(document)->profile, *was = f->report;
    assert_int_equal(is->process_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(is->processes[i].pid, was->processes[i].pid);
        assert_int_equal(is->processes[i].threads, was->processes[i].threads);
        assert_int_equal(is->processes[i].hottest, was->processes[i].hottest);
        assert_int_equal(is->processes[i].top_frame, was->processes[i].top_frame);
        assert_int_equal(is->processes[i].pause_max_ns, was->processes[i].pause_max_ns);
        assert_true(is->processes[i].cpu_share == was->processes[i].cpu_share);
        assert_memory_equal(is->processes[i].states, was->processes[i].states,
                            sizeof(was->processes[i].states));
    }
    assert_int_equal(is->processes[0].cpu_ns, 80 * MS);
    assert_true(is->processes[0].cpu_share == 80.0 / 701);
    assert_int_equal(is->processes[1].hottest, UINT32_MAX);
    report_document_destroy(document);
}

static void test_threads(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SNAP_STATE_COUNT; i++)
        thread(f, 0, i, (enum snap_state)i, "sum! hot:2 ~@4096 work:3* main:1");
    struct snap_thread *t = f->snapshots[0]->threads.items;
    t[0].name = id(f, "Main\x1b[31m\xff");
    t[0].name_from_kernel = true;
    t[0].python_id = 0;
    t[0].interpreter = -1;
    t[1].has_holds_gil = t[1].holds_gil = true;
    t[2].has_holds_gil = true;
    t[3].syscall = id(f, "futex");
    t[3].has_cpu = true;
    t[3].cpu_ns = UINT64_MAX;
    t[3].cpu_total_ns = 1;
    t[4].crashed = t[4].cut = t[4].in_gc = t[4].on_cpu = t[4].was_stopped = true;
    t[5].held_still = true;
    t[5].known_to_python = false;
    assert_true(snap_note(f->strings, &t[5].notes, "cut"));
    assert_true(snap_note(f->strings, &f->snapshots[0]->notes, "of the snapshot"));
    *f->snapshots[0] = (struct snapshot){.at_ns = 1,
                                         .pause_ns = 2,
                                         .cpu_window_ns = 3,
                                         .threads_stopped = 4,
                                         .interrupted_calls = 5,
                                         .overran = true,
                                         .has_process_cpu = true,
                                         .process_cpu_ns = 0,
                                         .threads = f->snapshots[0]->threads,
                                         .notes = f->snapshots[0]->notes};
    check_round_trip(f);
    f->snapshots[0]->stopped = true;
    check_round_trip(f);
    f->source.process.python_version = 0;
    f->snapshots[0]->threads.items[5].known_to_python = true; // as snapshot.h has it then
    check_round_trip(f);
}

static void test_frames(void **state)
{
    struct fixture *f = *state;
    struct snap_thread *t = thread(f, 0, 1, SNAP_SLEEP, "");
    for (int flags = 0; flags < 64; flags++) {
        struct snap_frame python = {.kind = SNAP_PYTHON,
                                    .flags = (uint8_t)(flags & ~(1 | 8 | 32)),
                                    .function = flags ? id(f, "f") : 0,
                                    .qualname = flags & 1 ? id(f, "C.f") : 0,
                                    .file = flags & 8 ? id(f, "/app.py") : 0,
                                    .line = flags - 1,
                                    .column = flags & 2 ? 0 : -1,
                                    .first_line = INT32_MAX};
        struct snap_frame native = {.kind = SNAP_NATIVE,
                                    .flags = (uint8_t)(flags & ~1),
                                    .function = flags & 1 ? id(f, "memcpy") : 0,
                                    .module = flags & 2 ? id(f, "libc.so.6") : 0,
                                    .file = flags & 4 ? id(f, "memcpy.S") : 0,
                                    .line = flags & 4 ? flags : -1,
                                    .column = -1,
                                    .first_line = -1,
                                    .address = flags & 8   ? SNAP_NO_ADDRESS
                                               : flags & 4 ? 0
                                                           : UINT64_MAX - 1,
                                    .offset = flags & 3 && !(flags & 8) ? UINT64_MAX : 0};
        struct snap_frame builtin = {.kind = SNAP_BUILTIN,
                                     .flags = (uint8_t)(flags & 1),
                                     .qualname = id(f, "{built-in method sum}"),
                                     .line = -1,
                                     .column = -1,
                                     .first_line = -1};
        assert_true(vec_push(&t->frames, python) && vec_push(&t->frames, native) &&
                    vec_push(&t->frames, builtin));
    }
    // Found by frame pointers, found by a scan: a frame is one of these.
    vec_foreach (frame, &t->frames)
        if (frame->kind == SNAP_NATIVE)
            frame->flags |= frame->line % 3 == 0   ? SNAP_FRAME_LIKELY
                            : frame->line % 3 == 1 ? SNAP_FRAME_GUESSED
                                                   : 0;
    struct report_document *document = round_trip(f);
    const struct snap_thread *is = report_document_input(document)->snapshots[0]->threads.items;
    assert_int_equal(is->frames.count, t->frames.count);
    for (size_t i = 0; i < t->frames.count; i++) {
        const struct snap_frame *a = &is->frames.items[i], *b = &t->frames.items[i];
        assert_int_equal(a->kind, b->kind);
        assert_int_equal(a->flags, b->flags);
        assert_int_equal(a->line, b->line);
        assert_int_equal(a->column, b->column);
        assert_int_equal(a->first_line, b->first_line);
        assert_true(a->address == b->address);
        assert_true(a->offset == b->offset);
    }
    report_document_destroy(document);
}

static void test_hostile_names(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"\"}],\"profile\":null,\"x\":{\"",
                                        "\\",
                                        "\x1b]0;x\x07",
                                        "\xff\xfe\xc3",
                                        "\xed\xa0\x80\xed\xb2\x80",
                                        "\xed\xb3\x83\xed\xb2\xa9",
                                        "\xf3\xa0\x81\x81\xe2\x80\xae",
                                        "\xf0\x9f\x98\x80",
                                        "\n# forged"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct snap_thread *t = thread(f, i % 4, (pid_t)i + 1, SNAP_RUNNING, "hot:2 main:1");
        t->name = t->frames.items[0].function = t->frames.items[1].qualname =
            t->frames.items[1].file = id(f, names[i]);
        assert_true(snap_note(f->strings, &f->notes, "%s", names[i]));
    }
    uint32_t zero = strtab_add(f->strings, "nul\0after", 9);
    f->snapshots[0]->threads.items[0].frames.items[1].function = zero;
    // Side by side, two surrogates are one character to every reader: that is what comes back.
    AUTO_FREE char *text = render(&f->input, &f->options, report_json);
    struct report_document *document = read_back(text);
    assert_same(&f->input, report_document_input(document), &f->options, report_json);
    report_document_destroy(document);
    use_profile(f);
    AUTO_FREE char *again = render(&f->input, &f->options, report_json);
    document = read_back(again);
    assert_same(&f->input, report_document_input(document), &f->options, report_json);
    report_document_destroy(document);
}

// ---- Profiles -----------------------------------------------------------------------------------

static void feed(struct fixture *f)
{
    f->source.process.exe = id(f, "/usr/bin/python3.11");
    for (size_t i = 0; i < ARRAY_SIZE(f->snapshots); i++) {
        struct snapshot *s = f->snapshots[i];
        s->pause_ns = (i + 1) * 77777;
        s->threads_stopped = 2;
        s->has_process_cpu = true;
        s->process_cpu_ns = 333 * MS;
        struct snap_thread *hot = thread(f, i, 1, SNAP_RUNNING, "hot:2 hot:3 work:7 main:1");
        hot->has_holds_gil = hot->holds_gil = i != 2;
        hot->has_cpu = true;
        hot->cpu_ns = 123456789;
        thread(f, i, 2, i % 2 ? SNAP_LOCK_WAIT : SNAP_RUNNABLE, "acquire! get:4 work:8 main:1");
        thread(f, i, 3, SNAP_RUNNING, "memcpy~@4096 ~@4100 dot! multiply:5 main:1");
        thread(f, i, 4, SNAP_RUNNING, "gemm~@8192 gemm~@8200 clone~")->known_to_python = false;
        thread(f, i, 5, SNAP_UNKNOWN, "");
        thread(f, i, 6, SNAP_SLEEP, i ? "poll~ sleep! idle:9*" : "idle:10*");
        s->threads.items[0].name = id(f, "MainThread");
    }
    assert_true(snap_note(f->strings, &f->snapshots[1]->notes, "of a snapshot"));
    f->input.source_reader = (struct report_source_reader){source_line, NULL};
}

static void test_profile(void **state)
{
    struct fixture *f = *state;
    feed(f);
    use_profile(f);
    struct report_document *document = round_trip(f);
    const struct prof_report *is = report_document_input(document)->profile, *was = f->report;
    assert_false(report_document_has_snapshots(document));
    assert_int_equal(is->frame_count, was->frame_count);
    assert_int_equal(is->node_count, was->node_count);
    assert_memory_equal(is->nodes, was->nodes, was->node_count * sizeof(*was->nodes));
    assert_int_equal(is->edge_count, was->edge_count);
    assert_memory_equal(is->edges, was->edges, was->edge_count * sizeof(*was->edges));
    for (size_t i = 0; i < was->function_count; i++) {
        assert_true(is->functions[i].self_low == was->functions[i].self_low);
        assert_true(is->functions[i].total_high == was->functions[i].total_high);
        assert_true(is->functions[i].own_high == was->functions[i].own_high);
    }
    size_t with_gil = 0;
    for (size_t i = 0; i < was->stack_count; i++) {
        assert_int_equal(is->stacks[i].holds_gil, was->stacks[i].holds_gil);
        with_gil += is->stacks[i].holds_gil;
    }
    assert_int_equal(with_gil, 1);
    assert_true(is->pause_share == was->pause_share);
    assert_true(is->threads[0].cpu_share == was->threads[0].cpu_share);
    assert_int_equal(is->pool.threads, was->pool.threads);
    assert_int_equal(is->moment_count, 0);
    report_document_destroy(document);
}

static void test_time_line(void **state)
{
    struct fixture *f = *state;
    feed(f);
    use_profile(f);
    f->options.snapshots = true;
    f->input.snapshot_count = ARRAY_SIZE(f->snapshots);
    f->report->dropped_moments = 3;
    struct report_document *document = round_trip(f);
    const struct prof_report *is = report_document_input(document)->profile, *was = f->report;
    assert_true(report_document_has_snapshots(document));
    assert_int_equal(is->dropped_moments, 3);
    assert_int_equal(is->moment_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(is->moments[i].at_ns, i * 200 * MS);
        assert_int_equal(is->moments[i].first, was->moments[i].first);
        assert_int_equal(is->moments[i].count, 6);
    }
    assert_memory_equal(is->moment_stacks, was->moment_stacks, 24 * sizeof(*was->moment_stacks));
    assert_int_equal(report_document_input(document)->snapshot_count, 4);
    report_document_destroy(document);
}

static void test_source_lines(void **state)
{
    struct fixture *f = *state;
    feed(f);
    use_profile(f);
    struct report_document *document = round_trip(f);
    const struct report_source_reader *lines = &report_document_input(document)->source_reader;
    bool newer = true;
    const char *text = lines->line(lines->arg, "app.py", 2, &newer);
    assert_string_equal(text, "    \"line\" = 2 # \xff \tapp.py");
    assert_false(newer);
    assert_null(lines->line(lines->arg, "app.py", 3, &newer)); // no sample of its own
    assert_null(lines->line(lines->arg, "app.py", 4, &newer)); // could not be read
    assert_null(lines->line(lines->arg, "other.py", 2, &newer));
    report_document_destroy(document);
    thread(f, 0, 1, SNAP_RUNNING, "main:3");
    use_profile(f);
    document = round_trip(f);
    lines = &report_document_input(document)->source_reader;
    assert_non_null(lines->line(lines->arg, "app.py", 3, &newer));
    assert_true(newer);
    report_document_destroy(document);
}

// Where stacks are missing, the document's own tree is taken, and what it left out stays counted.
static void test_dropped(void **state)
{
    struct fixture *f = *state;
    feed(f);
    struct snap_thread *deep = thread(f, 0, 7, SNAP_RUNNING, "");
    for (int i = 0; i < 1000; i++)
        assert_true(vec_push(&deep->frames, make_frame(f->strings, "descend:1")));
    use_profile(f);
    f->report->dropped_stacks = 5;
    f->report->dropped_tree = 1;
    f->report->stack_count -= 2;
    AUTO_FREE char *text = render(&f->input, &f->options, report_json);
    struct report_document *document = read_back(text);
    assert_same(&f->input, report_document_input(document), &f->options, report_json);
    const struct prof_report *is = report_document_input(document)->profile;
    assert_int_equal(is->pruned_nodes, 600);
    assert_int_equal(is->node_count + 600, f->report->node_count);
    assert_int_equal(is->dropped_stacks, 5);
    report_document_destroy(document);
}

// ---- What is added to it ------------------------------------------------------------------------

// A newer pycore may write more fields, in any object.
static void test_unknown_fields(void **state)
{
    struct fixture *f = *state;
    feed(f);
    use_profile(f);
    f->options.snapshots = true;
    f->input.snapshot_count = 4;
    AUTO_FREE char *text = render(&f->input, &f->options, report_json);
    AUTO_FREE char *more = NULL;
    size_t size, added = 0;
    FILE *out = open_memstream(&more, &size);
    bool in_string = false;
    for (const char *at = text; *at; at++) {
        fputc(*at, out);
        if (in_string && *at == '\\')
            fputc(*++at, out);
        else if (*at == '"')
            in_string = !in_string;
        else if (*at == '{' && !in_string) {
            fprintf(out, "\"added\": [{}, null, -1.5e3, \"{\\\"\", [[]]]%s",
                    at[1] == '}' ? "" : ", ");
            added++;
        }
    }
    fclose(out);
    assert_true(added > 100);
    struct report_document *document = read_back(more);
    assert_same(&f->input, report_document_input(document), &f->options, report_json);
    report_document_destroy(document);
}

// The least that the schema promises.
static void test_least(void **state)
{
    (void)state;
    struct report_document *document =
        read_back("{\"source\": {\"kind\": \"core\", \"complete\": true, \"taken_at\": "
                  "\"2026-11-22T03:12:00Z\"},"
                  " \"snapshots\": [{\"threads\": [{\"state\": \"swapped-out\", \"frames\": ["
                  "{\"kind\": \"native\"}, {\"kind\": \"python\", \"function\": \"f\"}]}]}],"
                  " \"schema\": \"pycore/1\"}");
    const struct report_input *input = report_document_input(document);
    assert_true(input->source->of_core);
    assert_true(input->source->taken_at_ns == 1795317120000000000);
    const struct snap_thread *thread = &input->snapshots[0]->threads.items[0];
    assert_int_equal(thread->state, SNAP_UNKNOWN);
    assert_int_equal(thread->interpreter, -1);
    assert_int_equal(thread->frames.items[1].line, -1);
    assert_true(thread->frames.items[0].address == SNAP_NO_ADDRESS);
    struct report_options options = {0};
    for (const struct report_format *format = report_formats; format->name; format++)
        if (!(format->flags & REPORT_OF_PROFILE))
            free(render(input, &options, format->render));
    report_document_destroy(document);
}

// ---- What is refused ----------------------------------------------------------------------------

static void assert_refused(const char *text, size_t size, const char *why)
{
    struct report_document *document = NULL;
    AUTO_FREE char *bytes = malloc(size ? size : 1);
    assert_non_null(bytes);
    memcpy(bytes, text, size);
    AUTO_ERR struct err *err = report_read_json(bytes, size, &document);
    if (!err)
        fail_msg("taken: %.200s", text);
    if (!strstr(err_message(err), why))
        fail_msg("%s: not \"%s\"", err_message(err), why);
    assert_null(strchr(err_message(err), '\n'));
    assert_null(document);
}

static void test_no_report(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "no JSON report: line 1: it ends where an object should be"},
        {"[]", "no JSON report: line 1: an object should be here"},
        {"{}", "\"schema\": \"pycore/1\" is missing"},
        {"{\"a\": 1}", "\"schema\": \"pycore/1\" is missing"},
        {"{\"a\": 1,\n}", "line 2"},
        {"{\"schema\": \"pycore/2\"}", "its schema is \"pycore/2\"; this pycore reads pycore/1"},
        {"{\"schema\": \"pycore/10\"}", "its schema is \"pycore/10\""},
        {"{\"schema\": 1}", "a string should be here"},
        {"{\"schema\": \"pycore/1\"}", "\"source\" is missing"},
        {"{\"schema\": \"pycore/1\", \"source\": null}", "\"source\" is null"},
        {"{\"schema\": \"pycore/1\", \"source\": {\"kind\": \"live\", \"complete\": true}}",
         "neither a profile nor a snapshot"},
        {"{\"schema\": \"pycore/1\", \"source\": {\"kind\": \"live\", \"complete\": true}, "
         "\"snapshots\": [], \"profile\": null}",
         "neither a profile nor a snapshot"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_refused(rows[i][0], strlen(rows[i][0]), rows[i][1]);
}

// One thing of a good document made wrong.
static void test_wrong_values(void **state)
{
    struct fixture *f = *state;
    feed(f);
    feed_processes(f);
    use_profile(f);
    f->options.snapshots = true;
    f->input.snapshot_count = 4;
    AUTO_FREE char *text = render(&f->input, &f->options, report_json);
    static const char *const rows[][3] = {
        {"\"id\": 0,", "\"id\": 1,", "function 0 is said to be 1"},
        {"\"function_id\": 0}", "\"function_id\": 9999}", "refers to number 9999"},
        {"\"function_id\": 0}", "\"function_id\": null}", "without \"function_id\""},
        {"\"caller\": ", "\"caller\": 4294967295, \"x\": ", "edge"},
        {"\"caller\": ", "\"caller\": 4294967296, \"x\": ", "whole number"},
        {"\"caller\": ", "\"caller\": -1, \"x\": ", "whole number"},
        {"\"caller\": ", "\"caller\": 1.5, \"x\": ", "whole number"},
        {"\"caller\": ", "\"x\": ", "\"caller\" is missing"},
        {"\"hottest\": 0", "\"hottest\": 77777", "refers to number 77777"},
        {"\"frames\": [0", "\"frames\": [4294967294, 0", "refers to number 4294967294"},
        {"\"at_ns\": 0, \"stacks\": [", "\"at_ns\": 0, \"stacks\": [888888, ",
         "moment 0 refers to"},
        {"\"pause_max_ns\": 73, \"hottest\": ", "\"hottest\": 66666, \"x\": ",
         "process 1 refers to"},
        {"\"most_seen\": ", "\"most_seen\": 55555, \"x\": ", "process 0 refers to"},
        {"{\"pid\": 100, \"pause_ns\"", "{\"pid\": 4294967296, \"pause_ns\"", "whole number"},
        {"{\"pid\": 100, \"pause_ns\"", "{\"pause_ns\"", "\"pid\" is missing"},
        {"\"waited_for_by\": ", "\"waited_for_by\": 1000, \"x\": ", "pool 0 refers to"},
        {"\"line\": 2", "\"line\": 2147483648", "whole number"},
        {"\"state\": \"running\"", "\"state\": null", "\"state\" is null"},
        {"\"state\": \"running\"", "\"state\": \"running\", \"state\": \"sleep\"", "there twice"},
        {"\"kind\": \"builtin\"", "\"kind\": \"builder\"", "does not know"},
        {"\"address\": \"0x1000\"", "\"address\": \"4096\"", "not an address"},
        {"\"complete\": true", "\"complete\": 1", "true or false should be here"},
        {"\"name\": \"MainThread\"", "\"name\": 1", "a string should be here"},
        {"\"argv\": []", "\"argv\": {}", "a list should be here"},
        {"\"samples\": 4,", "\"samples\": 18446744073709551616,", "whole number"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *found = strstr(text, rows[i][0]);
        if (!found)
            fail_msg("no %s", rows[i][0]);
        AUTO_FREE char *wrong = NULL;
        assert_true(asprintf(&wrong, "%.*s%s%s", (int)(found - text), text, rows[i][1],
                             found + strlen(rows[i][0])) > 0);
        assert_refused(wrong, strlen(wrong), rows[i][2]);
    }
}

// The tree is only looked at where it is needed.
static void test_wrong_tree(void **state)
{
    struct fixture *f = *state;
    feed(f);
    use_profile(f);
    f->report->dropped_stacks = 1;
    AUTO_FREE char *text = render(&f->input, &f->options, report_json);
    static const char *const rows[][3] = {
        {"\"tree\": {\"frame\": null", "\"tree\": {\"frame\": 0", "root has a frame"},
        {"\"children\": [\n    {\"frame\": ", "\"children\": [\n   {\"frame\": 4000, \"x\": ",
         "the tree refers to frame 4000"},
        {"\"children\": [\n    {\"frame\": ", "\"children\": [\n   {\"x\": ", "without \"frame\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *found = strstr(text, rows[i][0]);
        if (!found)
            fail_msg("no %s in %s", rows[i][0], strstr(text, "\"tree\""));
        AUTO_FREE char *wrong = NULL;
        assert_true(asprintf(&wrong, "%.*s%s%s", (int)(found - text), text, rows[i][1],
                             found + strlen(rows[i][0])) > 0);
        assert_refused(wrong, strlen(wrong), rows[i][2]);
    }
}

static void test_cut(void **state)
{
    struct fixture *f = *state;
    feed(f);
    use_profile(f);
    AUTO_FREE char *text = render(&f->input, &f->options, report_json);
    size_t size = strlen(text) - 1; // the last one is a line break
    for (size_t cut = 0; cut < size; cut += 1 + cut / 97)
        assert_refused(text, cut, "line");
    assert_refused(text, size - 1, "line");
    report_document_destroy(read_back(text));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_empty),          TEST(test_no_samples),    TEST(test_source),
        TEST(test_processes),      TEST(test_parts),         TEST(test_threads),
        TEST(test_frames),         TEST(test_hostile_names), TEST(test_profile),
        TEST(test_time_line),      TEST(test_source_lines),  TEST(test_dropped),
        TEST(test_unknown_fields), TEST(test_least),         TEST(test_no_report),
        TEST(test_wrong_values),   TEST(test_wrong_tree),    TEST(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
