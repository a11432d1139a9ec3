// SPDX-License-Identifier: GPL-3.0-or-later
// JSON reports read back. Whatever is taken can be rendered in every format, and is written again as
// a document that is read and written the same.
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "report/document.h"
#include "snap_maker.h"
#include "suspended_maker.h"
#include "util/guard.h"

static struct err *write_json(const struct report_document *document, char **ret_text,
                              size_t *ret_size)
{
    struct report_options options = {.snapshots = report_document_has_snapshots(document)};
    FILE *out = open_memstream(ret_text, ret_size);
    FUZZ_CHECK(out);
    struct err *err = report_json(out, report_document_input(document), &options);
    fclose(out);
    return err;
}

static void render_all(const struct report_document *document)
{
    const struct report_input *input = report_document_input(document);
    for (const struct report_format *format = report_formats; format->name; format++) {
        struct report_options options = {.top = 5};
        AUTO_FREE char *text = NULL;
        size_t size;
        if (!input->profile && format->flags & REPORT_OF_PROFILE)
            continue;
        FILE *out = open_memstream(&text, &size);
        FUZZ_CHECK(out);
        err_destroy(format->render(out, input, &options));
        fclose(out);
    }
}

static void run(const uint8_t *data, size_t size)
{
    struct report_document *first = NULL, *second = NULL;
    AUTO_FREE char *once = NULL, *twice = NULL;
    size_t once_size, twice_size;
    AUTO_ERR struct err *refused = report_read_json((const char *)data, size, &first);
    if (refused) {
        FUZZ_CHECK(!strpbrk(err_message(refused), "\n"));
        return;
    }
    FUZZ_CHECK(!write_json(first, &once, &once_size));
    struct err *lost = report_read_json(once, once_size, &second);
    FUZZ_CHECK(!lost);
    FUZZ_CHECK(!write_json(second, &twice, &twice_size));
    FUZZ_CHECK(once_size == twice_size && memcmp(once, twice, once_size) == 0);
    render_all(first);
    report_document_destroy(first);
    report_document_destroy(second);
}

// ---- Seeds --------------------------------------------------------------------------------------

static const char *source_line(void *arg, const char *file, int32_t line, bool *ret_newer)
{
    (void)arg, (void)file;
    *ret_newer = line == 2;
    return "    x = \xff";
}

static void seed(const struct report_input *input, bool snapshots)
{
    struct report_options options = {.snapshots = snapshots};
    AUTO_FREE char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    FUZZ_CHECK(out && !report_json(out, input, &options));
    fclose(out);
    fuzz_seed(text, size);
}

static void add_threads(struct strtab *strings, struct snapshot *snapshot)
{
    static const char *const stacks[] = {"hot:2 hot:3 main:1", "memcpy~@4096 ~@0 sum! main:2*", ""};
    for (pid_t tid = 0; tid < 3; tid++) {
        struct snap_thread *thread =
            make_thread(strings, snapshot, tid, (enum snap_state)(2 * tid), stacks[tid]);
        FUZZ_CHECK(thread);
        thread->has_cpu = thread->has_holds_gil = thread->holds_gil = tid == 0;
        thread->cpu_ns = 1000000;
        thread->name = strtab_add_cstr(strings, "\xff\xed\xa0\x80\"");
        FUZZ_CHECK(snap_note(strings, &thread->notes, "a note"));
    }
}

// Tasks that wait alike, for each other and in a ring, and greenlets; a thread with the turn of a task.
static void add_suspended(struct strtab *strings, struct snapshot *snapshot)
{
    struct scene scene = {strings, snap_suspended_create(), 1};
    FUZZ_CHECK(scene.suspended);
    scene_loop(&scene, 1, "Loop")->current = 0;
    for (uint32_t i = 0; i < 6; i++)
        scene_task(&scene, i % 2 ? "a\xff" : "b", "main", (enum snap_task_state)i,
                   (enum snap_await_kind)(i / 2), "what", "get /a.py:2 < main /a.py:1");
    scene_edge(&scene, 1, 2);
    scene_edge(&scene, 2, 3);
    scene_edge(&scene, 3, 2);
    scene_edge(&scene, 3, 4);
    FUZZ_CHECK(snap_suspended_link(scene.suspended));
    for (uint32_t i = 0; i < 3; i++)
        scene_greenlet(&scene, 1, "Greenlet", "g", (enum snap_greenlet_state)(1 + i),
                       i ? i - 1 : SNAP_NO_INDEX, SNAP_AWAIT_READ, NULL, "main /a.py:1");
    snapshot->suspended = scene.suspended;
    struct snap_turn *turn = snapshot->threads.items[0].turn = calloc(1, sizeof(*turn));
    FUZZ_CHECK(turn);
    turn->frames = 2;
    FUZZ_CHECK(vec_push(&turn->awaiting, make_frame(strings, "main:1*")));
}

static void seeds(void)
{
    struct strtab *strings = strtab_create();
    struct snapshot *snapshot = snapshot_create();
    struct profile *profile = profile_create(strings);
    struct snap_source source = {.kind = SNAP_CAPTURE, .pid = 1, .taken_at_ns = 1, .of_core = true};
    source.signal = (struct snap_signal){.signo = 11, .has_code = true, .has_fault_address = true};
    source.process.python_version = strtab_add_cstr(strings, "3.12.1");
    struct snap_notes notes = {0};
    FUZZ_CHECK(snapshot && profile && snap_note(strings, &notes, "a note"));
    add_threads(strings, snapshot);
    struct report_input input = {.tool_version = "0.1.0",
                                 .command = "pycore",
                                 .strings = strings,
                                 .source = &source,
                                 .snapshots = (const struct snapshot *const *)&snapshot,
                                 .snapshot_count = 1,
                                 .notes = &notes,
                                 .source_reader = {source_line, NULL}};
    seed(&input, false);
    add_suspended(strings, snapshot);
    seed(&input, false);
    FUZZ_CHECK(vec_push(&source.others, (struct snap_process){.pid = 2, .ended = true}));
    FUZZ_CHECK(profile_add(profile, snapshot) && profile_add(profile, snapshot));
    struct prof_report *report =
        profile_report(profile, &(struct prof_run){.duration_ns = 1000000});
    FUZZ_CHECK(report);
    input.profile = report;
    seed(&input, true);
    input.snapshot_count = 0;
    report->dropped_stacks = 1; // the tree is read
    report->stack_count = 1;
    seed(&input, false);
    prof_report_destroy(report);
    profile_destroy(profile);
    snapshot_destroy(snapshot);
    snap_source_deinit(&source);
    vec_deinit(&notes);
    strtab_destroy(strings);
}

FUZZ_TARGET(document, run, seeds, 4000)
