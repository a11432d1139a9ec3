// SPDX-License-Identifier: GPL-3.0-or-later
// What reports say beyond stacks: verdict, findings, waits and owners, locks, variables, exceptions, a
// crash, the surroundings; in text and Markdown against golden files (PYCORE_GOLDEN=write makes them
// anew), as JSON and read back.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "report/waits.h"
#include "round_trip.h"

#define DB "/srv/shop/app/db.py"

// ---- Values --------------------------------------------------------------------------------------

static struct snap_details *add_details(struct snap_thread *thread)
{
    struct snap_details *details = calloc(1, sizeof(*details));
    assert_non_null(details);
    details->wait.fd = -1;
    details->wait.timeout_ns = details->wait.left_ns = -1;
    details->wait.owner_frame = details->wait.waiting = UINT32_MAX;
    return thread->details = details;
}

static struct snap_wait *add_wait(struct values *v, struct snap_thread *thread,
                                  enum snap_wait_kind kind, const char *what)
{
    struct snap_wait *wait = &add_details(thread)->wait;
    wait->kind = kind;
    wait->what = what ? id_of(v, what) : 0;
    return wait;
}

static void add_local(struct values *v, struct snap_thread *thread, uint32_t frame,
                      const char *name, const char *value, bool hidden)
{
    struct snap_local local = {.frame = frame,
                               .name = id_of(v, name),
                               .kind = frame ? SNAP_LOCAL : SNAP_ARGUMENT,
                               .value = value ? id_of(v, value) : 0,
                               .hidden = hidden};
    assert_true(vec_push(&thread->details->locals, local));
    thread->details->hidden += hidden;
}

static struct snap_exception *add_exception(struct values *v, struct snap_thread *thread,
                                            enum snap_exception_role role, uint32_t of,
                                            const char *type, const char *message)
{
    struct snap_exception exception = {.role = role, .of = of, .type = id_of(v, type)};
    exception.message = message ? id_of(v, message) : 0;
    assert_true(vec_push(&thread->details->exceptions, exception));
    struct snap_exception *added =
        &thread->details->exceptions.items[thread->details->exceptions.count - 1];
    struct snap_traceback_line line = {id_of(v, "price"), id_of(v, "/srv/shop/app/prices.py"), 31};
    assert_true(vec_push(&added->traceback, line));
    return added;
}

// The one that has the lock, and waits for a database.
static void add_holder(struct values *v)
{
    struct snap_thread *thread = add_thread(v, "Thread-7", SNAP_IO_WAIT);
    add_frame(v, thread, "query", DB, 40);
    add_frame(v, thread, "connection", DB, 88);
    struct snap_wait *wait = add_wait(v, thread, SNAP_WAIT_READ, "10.0.3.9:5432");
    wait->fd = 14;
    wait->type = id_of(v, "_socket.socket");
    wait->object = 0x7f0000001000;
    wait->since_ns = 4200 * MS;
    struct snap_held held = {.what = id_of(v, "pool_lock"),
                             .type = id_of(v, "_thread.lock"),
                             .object = 0x7f0000002000,
                             .frame = 1,
                             .known = SNAP_INFERRED};
    assert_true(vec_push(&thread->details->held, held));
    add_local(v, thread, 0, "sql", "'select 1'", false);
    add_local(v, thread, 0, "password", "<hidden str>", true);
    add_local(v, thread, 1, "self", NULL, false);
}

static void add_workers(struct values *v, pid_t holder)
{
    for (int i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof(name), "worker-%d", i);
        struct snap_thread *thread = add_thread(v, name, SNAP_LOCK_WAIT);
        add_frame(v, thread, "connection", DB, 87);
        add_frame(v, thread, "handle", "/srv/shop/app/server.py", 12);
        struct snap_wait *wait = add_wait(v, thread, SNAP_WAIT_LOCK, "pool_lock");
        wait->type = id_of(v, "_thread.lock");
        wait->object = wait->lock = 0x7f0000002000;
        wait->owner = holder;
        wait->owner_known = SNAP_INFERRED;
        wait->owner_frame = 1;
        wait->waiting = 0;
        wait->since_ns = (uint64_t)(4000 + i) * MS;
    }
}

static void add_others(struct values *v)
{
    struct snap_thread *selector = add_thread(v, "selector", SNAP_IO_WAIT);
    add_frame(v, selector, "select", "/usr/lib/python3.11/selectors.py", 468);
    struct snap_wait *wait = add_wait(v, selector, SNAP_WAIT_POLL, NULL);
    wait->fd_count = 3;
    for (int32_t fd = 5; fd < 7; fd++)
        assert_true(vec_push(&wait->fds, fd));
    wait->timeout_ns = 500 * MS;
    struct snap_thread *forked = add_thread(v, "forked", SNAP_LOCK_WAIT);
    wait = add_wait(v, forked, SNAP_WAIT_RLOCK, "log_lock");
    wait->object = 0x7f0000003000;
    wait->owner = 99;
    wait->owner_known = SNAP_OBSERVED;
    wait->owner_gone = true;
    struct snap_thread *unsure = add_thread(v, "unsure", SNAP_LOCK_WAIT);
    add_wait(v, unsure, SNAP_WAIT_LOCK, NULL);
    struct snap_thread *retry = add_thread(v, "retry", SNAP_SLEEP);
    add_frame(v, retry, "again", "/srv/shop/app/prices.py", 50);
    add_wait(v, retry, SNAP_WAIT_SLEEP, "clock_nanosleep")->left_ns = 2500 * MS;
    add_exception(v, retry, SNAP_EXC_HANDLED, UINT32_MAX, "ValueError", "bad price");
    add_exception(v, retry, SNAP_EXC_CAUSE, 0, "KeyError", "'sku'")->cut = true;
    struct snap_exception *own =
        add_exception(v, retry, SNAP_EXC_CONTEXT, 1, "app.errors.Own", NULL);
    own->arguments = id_of(v, "(1, 2)");
    own->hidden = true;
    own->lines_left_out = 7;
    assert_true(vec_push(&own->notes, id_of(v, "a note")));
    struct snap_exception *group =
        add_exception(v, retry, SNAP_EXC_RAISED, UINT32_MAX, "ExceptionGroup", "two");
    group->members = 2;
}

static void set_environment(struct values *v)
{
    struct snap_environment *of = &v->source.environment;
    struct snap_package packages[] = {{id_of(v, "Django"), id_of(v, "4.2.1"), 0},
                                      {id_of(v, "psycopg2"), 0, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
        assert_true(vec_push(&of->packages, packages[i]));
    assert_true(vec_push(&of->variables, id_of(v, "DB_PASSWORD")));
    assert_true(vec_push(&of->variables, id_of(v, "PATH")));
    of->fd_count = 34;
    of->fd_limit = 1024;
    of->processors = 4;
    of->cgroup_processors = 1.5;
    of->cgroup_memory_bytes = 1717986918;
    of->cgroup_memory_limit_bytes = 2147483648;
    of->has_throttling = true;
    of->throttled_ns = 340 * MS;
    of->throttled_periods = 12;
    of->periods = 100;
}

static char *text_of(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

static struct diag_finding *add_finding(struct diagnosis *diagnosis, const char *id,
                                        enum diag_severity severity, const char *title)
{
    struct diag_finding finding = {.id = id,
                                   .severity = severity,
                                   .certainty = SNAP_INFERRED,
                                   .impact = 0.631579,
                                   .title = text_of(title),
                                   .advice = text_of("Give the query a time limit.")};
    assert_true(vec_push(&finding.evidence, text_of("It took it in `connection`.")));
    assert_true(vec_push(&diagnosis->findings, finding));
    return &diagnosis->findings.items[diagnosis->findings.count - 1];
}

static struct diagnosis *make_diagnosis(struct values *v)
{
    static const char title[] =
        "12 of 17 threads wait for lock " DIAG_CODE "pool_lock" DIAG_CODE_END ", held by " DIAG_CODE
        "Thread-7" DIAG_CODE_END ", itself in " DIAG_CODE "recv`from" DIAG_CODE_END ".";
    struct diagnosis *diagnosis = calloc(1, sizeof(*diagnosis));
    assert_non_null(diagnosis);
    diagnosis->word = "HUNG";
    assert_true(asprintf(&diagnosis->verdict, "HUNG - %s", title) > 0);
    diagnosis->bucket = text_of("root-blocker/connection/query");
    diagnosis->fingerprint = text_of("8c1f03aa55e0b1d2");
    struct diag_finding *first = add_finding(diagnosis, "root-blocker", DIAG_HIGH, title);
    // Our own sentences have no backtick outside of code; one is written as an apostrophe.
    free(first->evidence.items[0]);
    first->evidence.items[0] = text_of("It took it in " DIAG_CODE "connection" DIAG_CODE_END
                                       " (" DIAG_CODE "app/db.py:88" DIAG_CODE_END ").");
    first->bucket[0] = id_of(v, "connection");
    first->bucket[1] = id_of(v, "query");
    struct diag_finding *second =
        add_finding(diagnosis, "gc-pressure", DIAG_LOW, "Garbage is collected all the time.");
    free(second->evidence.items[0]);
    vec_clear(&second->evidence);
    second->impact = -1;
    second->certainty = SNAP_OBSERVED;
    struct diag_chain chain = {.certainty = SNAP_INFERRED, .behind = 12};
    assert_true(vec_push(&chain.threads, 1));
    assert_true(vec_push(&chain.threads, 0));
    assert_true(vec_push(&diagnosis->chains, chain));
    return diagnosis;
}

static void make_incident(struct values *v)
{
    add_holder(v);
    add_workers(v, 4711);
    add_others(v);
    set_environment(v);
    v->input.diagnosis = make_diagnosis(v);
}

static void set_crash(struct values *v)
{
    struct snap_crash *crash = &v->source.crash;
    *crash = (struct snap_crash){
        .has = true,
        .fault = SNAP_FAULT_NULL,
        .cause = id_of(v, "read of 0x8, a field of a NULL pointer (rdi is NULL)"),
        .instruction = id_of(v, "48 8b 47 08  mov rax, [rdi + 8]"),
        .mapping = id_of(v, "prices.so"),
        .mapping_offset = 0x1f2a,
        .module = id_of(v, "prices.so"),
        .module_version = id_of(v, "1.2"),
        .build_id = id_of(v, "3fb1c0de"),
        .message = id_of(v, "Fatal Python error: \x1b[31mboom"),
        .recursion = id_of(v, "down (prices.so), 1000 times"),
    };
    struct snap_register registers[] = {{id_of(v, "rdi"), id_of(v, "NULL"), 0},
                                        {id_of(v, "rsi"), 0, 0x7f00}};
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
        assert_true(vec_push(&crash->registers, registers[i]));
    v->source.kind = SNAP_CORE;
    v->source.of_core = true;
    v->source.path = id_of(v, "core.4711");
    v->source.signal = (struct snap_signal){.signo = 11, .name = id_of(v, "SIGSEGV"), .tid = 4711};
    v->snapshot->threads.items[0].crashed = true;
}

static void incident_destroy(struct values *v)
{
    diagnosis_destroy((struct diagnosis *)(uintptr_t)v->input.diagnosis);
    vec_deinit(&v->source.environment.packages);
    vec_deinit(&v->source.environment.variables);
    vec_deinit(&v->source.crash.registers);
}

// ---- Pages ---------------------------------------------------------------------------------------

static void test_golden(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_incident(v);
    check_golden("incident.txt", render(report_text, v));
    check_golden("incident.md", render(report_md, v));
    set_crash(v);
    check_golden("incident_crash.txt", render(report_text, v));
    incident_destroy(v);
}

static void test_golden_run(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    make_incident(v);
    v->input.last = v->snapshot;
    v->input.snapshot_count = 0;
    check_golden("incident_run.txt", render(report_text, v));
    incident_destroy(v);
}

// The answer is there before anything else, whatever else there is.
static void test_first_lines(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_incident(v);
    char *text = render(report_text, v), *end = text;
    for (int line = 0; line < 5; line++)
        end = strchr(end, '\n') + 1;
    *end = '\0';
    assert_non_null(strstr(text, "HUNG - 12 of 17 threads wait for lock pool_lock, held by"));
    assert_non_null(strstr(text, "Fingerprint 8c1f03aa55e0b1d2"));
    free(text);
    incident_destroy(v);
}

static void test_secrets(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_incident(v);
    check_says(v, "1 value that looks like a secret is hidden; --show-secrets shows it.", true);
    v->snapshot->threads.items[3].details->hidden = 4;
    check_says(v, "5 values that look like secrets are hidden", true);
    v->input.shows_secrets = true;
    check_says(v, "are hidden", false);
    check_says(v, "This report may hold passwords and keys", true);
    incident_destroy(v);
}

// Threads in the same stack are one group, but not where they handle different exceptions; with --full
// everybody's variables are there.
static void test_groups(void **state)
{
    (void)state;
    VALUES v = values_create();
    for (int i = 0; i < 4; i++) {
        struct snap_thread *thread = add_thread(v, "same", SNAP_SLEEP);
        add_frame(v, thread, "again", "/srv/shop/app/prices.py", 50);
        add_details(thread);
        add_exception(v, thread, SNAP_EXC_HANDLED, UINT32_MAX, "ValueError",
                      i % 2 ? "odd" : "even");
        char value[16];
        snprintf(value, sizeof(value), "%d", 100 + i);
        add_local(v, thread, 0, "n", value, false);
    }
    check_says(v, "4 threads, 2 distinct stacks.", true);
    check_says(v, "    n = 100\n", true);
    check_says(v, "    n = 102\n", false);
    check_says(v, "(variables and locks: those of same; --full shows them all)", true);
    v->options.full = true;
    check_says(v, "    n = 102\n", true);
    check_says(v, "those of", false);
    v->options.full = false;
    v->options.hide_boilerplate = true; // the frames that are left keep their own variables
    struct snap_thread *thread = &v->snapshot->threads.items[0];
    add_frame(v, thread, "run", "/usr/lib/python3.11/threading.py", 982);
    add_frame(v, thread, "main", "/srv/shop/app/main.py", 5);
    add_local(v, thread, 1, "boiler", "1", false);
    add_local(v, thread, 2, "mine", "2", false);
    check_says(v, "main (/srv/shop/app/main.py:5)\n    mine = 2\n", true);
    check_says(v, "boiler", false);
}

// ---- Documents -----------------------------------------------------------------------------------

static void test_documents(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_incident(v);
    check_round_trip(v);
    v->input.shows_secrets = true;
    set_crash(v);
    check_round_trip(v);
    incident_destroy(v);
}

static void check_same_part(const char *a, const char *b, const char *from, const char *to)
{
    const char *first = strstr(a, from), *second = strstr(b, from);
    assert_true(first && second && strstr(first, to));
    assert_memory_equal(first, second, (size_t)(strstr(first, to) - first));
}

static void test_document_of_run(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    make_incident(v);
    v->input.last = v->snapshot;
    v->input.snapshot_count = 0;
    char *text = render(report_json, v);
    assert_non_null(strstr(text, "\"last_snapshot\": {"));
    struct report_document *document = read_back(text, NULL);
    struct values copy = *v;
    copy.input = *report_document_input(document);
    assert_ptr_equal(report_last(&copy.input), copy.input.last);
    assert_int_equal(copy.input.last->threads.count, v->snapshot->threads.count);
    char *again = render(report_json, &copy);
    // The profile is no real run's; all else of it is the same again.
    check_same_part(text, again, "\"last_snapshot\": {", "\"profile\": {");
    check_same_part(text, again, "\"verdict\": ", "\"notes\": []\n}");
    free(again);
    free(text);
    report_document_destroy(document);
    incident_destroy(v);
}

static char *replaced(const char *text, const char *what, const char *with)
{
    const char *at = strstr(text, what);
    char *changed = NULL;
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, with, at + strlen(what)) >
                0);
    return changed;
}

static void test_wrong_documents(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"\"threads\": [1, 0]", "\"threads\": [1, 17]", "a chain refers to thread number 17 of 17"},
        {"\"role\": \"cause\", \"of\": 0", "\"role\": \"cause\", \"of\": 1",
         "does not stand before it"},
        {"\"owner_known\": \"inferred\"", "\"owner_known\": 1", "line"},
        {"\"waiting_frame\": 0", "\"waiting_frame\": 2", "a frame that is not there"},
        {"\"id\": \"root-blocker\"", "\"id\": null", "\"id\" is null"},
    };
    VALUES v = values_create();
    make_incident(v);
    char *text = render(report_json, v);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *wrong = replaced(text, rows[i][0], rows[i][1]);
        assert_null(read_back(wrong, rows[i][2]));
        free(wrong);
    }
    free(text);
    incident_destroy(v);
}

// A verdict from a document is as hostile as all its text; what a newer pycore says does not stop this
// one.
static void test_hostile_sentences(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_incident(v);
    char *text = render(report_json, v);
    char *changed = replaced(text, "HUNG - 12 of", "\\u0001\\u001b[2J`a\\u0002``b` \\u202e `` of");
    char *newer = replaced(changed, "\"severity\": \"high\"", "\"severity\": \"extreme\"");
    struct report_document *document = read_back(newer, NULL);
    struct values copy = *v;
    copy.input = *report_document_input(document);
    char *shown = render(report_text, &copy);
    assert_non_null(strstr(shown, "\\x01\\x1b[2Ja\\x02`b \\u202e"));
    for (const char *at = shown; *at; at++)
        assert_true(*at == '\n' || (unsigned char)*at >= 0x20);
    assert_int_equal(copy.input.diagnosis->findings.items[0].severity, DIAG_HIGH);
    free(shown);
    report_document_destroy(document);
    free(newer);
    free(changed);
    free(text);
    incident_destroy(v);
}

// ---- Waits ---------------------------------------------------------------------------------------

static void test_waits(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_incident(v);
    struct waits waits;
    assert_true(waits_find(v->snapshot, &waits));
    assert_int_equal(waits.ones.count, 17);
    assert_int_equal(waits.groups.count, 6);
    const struct wait_group *first = &waits.groups.items[0];
    assert_int_equal(first->count, 12);
    assert_true(first->since_ns == 4011 * MS);
    assert_string_equal(strtab_get(v->strings, waits.ones.items[first->first].thread->name),
                        "worker-0");
    waits_deinit(&waits);
    struct lock_uses uses = {0};
    assert_true(lock_uses_find(v->snapshot, &uses));
    assert_int_equal(uses.count, 14); // the holder, 12 who want it, one of the other lock
    assert_int_equal(uses.items[0].waiter, 0);
    assert_int_equal(uses.items[0].holder, 4711);
    vec_deinit(&uses);
    assert_true(waits_find(NULL, &waits));
    assert_int_equal(waits.groups.count, 0);
    waits_deinit(&waits);
    incident_destroy(v);
}

// A row of several threads does not say of all of them that they are where the first one is.
static void test_waits_elsewhere(void **state)
{
    (void)state;
    static const struct {
        int lines[3];
        const char *where;
    } cases[] = {{{50, 50, 50}, "again /srv/app.py:50\n"},
                 {{50, 50, 51}, "again /srv/app.py:50, ...\n"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        VALUES v = values_create();
        for (size_t k = 0; k < ARRAY_SIZE(cases[i].lines); k++) {
            struct snap_thread *thread = add_thread(v, "sleeper", SNAP_SLEEP);
            add_frame(v, thread, "again", "/srv/app.py", cases[i].lines[k]);
            add_wait(v, thread, SNAP_WAIT_SLEEP, NULL);
        }
        v->options.table = true;
        char *text = render(report_text, v);
        const char *row = strstr(text, "  3 threads  sleep ");
        assert_non_null(row);
        const char *end = strchr(row, '\n') + 1, *where = strstr(row, cases[i].where);
        assert_non_null(where);
        assert_true(where + strlen(cases[i].where) == end);
        free(text);
        incident_destroy(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_run),
        cmocka_unit_test(test_first_lines),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_document_of_run),
        cmocka_unit_test(test_wrong_documents),
        cmocka_unit_test(test_hostile_sentences),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_waits_elsewhere),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
