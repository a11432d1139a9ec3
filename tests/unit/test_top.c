// SPDX-License-Identifier: GPL-3.0-or-later
// The screens of pycore top, without a terminal and without a process: what stands where, what keys do
// to it, what the last ten seconds add up to.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/top_keys.h"
#include "cli/top_window.h"
#include "report_values.h"
#include "snap_maker.h"
#include "suspended_maker.h"

// ---- Helpers -------------------------------------------------------------------------------------

struct shown {
    char *text;
    struct screen *screen;
};

static void shown_deinit(struct shown *shown)
{
    free(shown->text);
    screen_destroy(shown->screen);
}
#define SHOWN __attribute__((cleanup(shown_deinit), unused)) struct shown

static struct shown draw(struct values *v, struct top_state *state, unsigned rows, unsigned columns,
                         bool ascii)
{
    struct shown shown = {.screen = screen_create(rows, columns, ascii)};
    struct top_values values = {.input = &v->input, .suspended = v->snapshot->suspended};
    size_t size;
    assert_null(top_draw(shown.screen, &values, state));
    FILE *out = open_memstream(&shown.text, &size);
    screen_print(out, shown.screen, false);
    fclose(out);
    for (unsigned row = 0; row < rows; row++)
        assert_true(plain_columns(plain_text(&shown.screen->lines[row].text)) <= columns);
    return shown;
}

static const char *row_of(const struct shown *shown, unsigned row)
{
    return plain_text(&shown->screen->lines[row].text);
}

// The first row with this text; fails when there is none.
static unsigned row_with(const struct shown *shown, const char *text)
{
    for (unsigned row = 0; row < shown->screen->rows; row++)
        if (strstr(row_of(shown, row), text))
            return row;
    print_error("no \"%s\" in:\n%s", text, shown->text);
    fail();
    return 0;
}

static bool has(const struct shown *shown, const char *text)
{
    return strstr(shown->text, text) != NULL;
}

// Which row is drawn as the selected one; rows: none.
static unsigned selected_row(const struct shown *shown)
{
    unsigned row = 0;
    for (; row < shown->screen->rows; row++)
        vec_foreach (piece, &shown->screen->lines[row].pieces)
            if (piece->style == SCREEN_SELECTED)
                return row;
    return row;
}

static void press(struct top_state *state, const char *keys)
{
    for (; *keys; keys++)
        top_press(state, (unsigned char)*keys);
}

// ---- Screens -------------------------------------------------------------------------------------

static void test_overview(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    v->threads[0].gil_held = 45;
    add_thread(v, "pricing", SNAP_RUNNING);
    struct top_state state = {.native = true};
    SHOWN shown = draw(v, &state, 24, 80, false);
    assert_true(has(&shown, "python3 serve.py '--name=a b'"));
    assert_true(has(&shown, "pid 4711, Python 3.11.7"));
    assert_true(has(&shown, "CPU 102 %"));
    assert_true(has(&shown, "1.0 work"));
    assert_true(has(&shown, "GIL 90 % (pricing), 0.1 wait"));
    assert_true(has(&shown, "last 10 s: 50 snapshots, one per 200 ms   pause 0.04 %"));
    unsigned titles = row_with(&shown, "MOSTLY IN");
    assert_int_equal(row_with(&shown, "pricing  "), titles + 1);
    assert_non_null(strstr(row_of(&shown, titles + 1), "98.0 running    90 hot app.py:10"));
    unsigned functions = row_with(&shown, "SELF%");
    const char *hot = row_of(&shown, functions + 1);
    assert_non_null(strstr(hot, "  70.0   70.0   70.0"));
    assert_non_null(strstr(hot, " hot "));
    assert_int_equal(selected_row(&shown), titles + 1);
    assert_non_null(strstr(row_of(&shown, 23), "q quit"));
}

static void test_sizes(void **unused)
{
    (void)unused;
    static const unsigned sizes[][2] = {{12, 60},  {13, 61},  {24, 80},
                                        {50, 132}, {60, 200}, {200, 500}};
    (void)render; // report_values.h has it for others
    VALUES v = values_create();
    set_profile(v);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (enum top_page page = TOP_OVERVIEW; page <= TOP_HELP; page++) {
            struct top_state state = {.native = true, .page = page};
            SHOWN shown = draw(v, &state, sizes[i][0], sizes[i][1], i % 2);
            assert_true(has(&shown, "CPU 102 %"));
        }
    for (unsigned rows = 1; rows < 12; rows++) {
        struct top_state state = {.native = true};
        SHOWN shown = draw(v, &state, rows, 40, false);
        assert_true(has(&shown, "is too small"));
    }
}

static void test_nothing_yet(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    struct top_state state = {.native = true};
    v->input.snapshot_count = 0;
    for (enum top_page page = TOP_OVERVIEW; page <= TOP_HELP; page++) {
        state.page = page;
        SHOWN shown = draw(v, &state, 24, 80, false);
        assert_true(has(&shown, "the first snapshots are being taken"));
    }
}

static void test_names(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    v->threads[0].name = id_of(v, "预订-\xf0\x9f\x90\x8d-\x1b[31m\n");
    v->functions[HOT].qualname =
        id_of(v, "größe_プライス_計算_of_a_very_long_name_that_never_ends");
    struct top_state state = {.native = true};
    SHOWN wide = draw(v, &state, 24, 80, false);
    assert_true(has(&wide, "预订-\xf0\x9f\x90\x8d-\\x1b[31m"));
    assert_true(has(&wide, "größe_プライス_計算"));
    SHOWN ascii = draw(v, &state, 24, 120, true);
    for (const char *at = ascii.text; *at; at++)
        assert_true((unsigned char)*at < 0x80 && (*at == '\n' || *at >= 0x20));
    assert_true(has(&ascii, "\\u9884\\u8ba2-\\U0001f40d-"));
    assert_true(has(&ascii, "gr\\u00f6\\u00dfe_"));
}

static void test_status(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.paused = true};
    struct top_values values = {.input = &v->input, .status = "process 4711 has ended\x1b[2J"};
    SHOWN shown = {.screen = screen_create(24, 100, false)};
    assert_null(top_draw(shown.screen, &values, &state));
    assert_non_null(strstr(row_of(&shown, 3), "process 4711 has ended\\x1b[2J"));
    assert_non_null(strstr(row_of(&shown, 3), "held: p goes on"));
    assert_non_null(strstr(row_of(&shown, 3), "without native frames"));
}

// What a long status ends with is what mends it: it goes on in further lines, and the tables begin below.
static void test_long_status(void **unused)
{
    (void)unused;
    static const char words[] =
        "no stacks: process 4711 belongs to user 0 and you are user 65534: run \"sudo pycore ...\" "
        "(capability CAP_SYS_PTRACE)";
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.native = true};
    struct top_values values = {.input = &v->input, .status = words};
    SHOWN shown = {.screen = screen_create(24, 80, false)};
    assert_null(top_draw(shown.screen, &values, &state));
    assert_string_equal(row_of(&shown, 3),
                        "no stacks: process 4711 belongs to user 0 and you are user 65534: run \"sudo ");
    assert_string_equal(row_of(&shown, 4), "pycore ...\" (capability CAP_SYS_PTRACE)  ");
    assert_non_null(strstr(row_of(&shown, 5), "MOSTLY IN"));
    SHOWN table = {0};
    assert_null(top_table(100, false, 5, 2, &values, &state, &table.screen));
    assert_non_null(strstr(row_of(&table, 4), "CAP_SYS_PTRACE)"));
    assert_non_null(strstr(row_of(&table, 5), "MOSTLY IN"));
    assert_int_equal(table.screen->rows, 5 + 1 + 5 + 1 + 2);
}

// Each line of the help fits into one of a usual terminal.
static void test_help_fits(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.native = true, .page = TOP_HELP};
    SHOWN usual = draw(v, &state, 100, 80, false), wide = draw(v, &state, 100, 300, false);
    for (unsigned row = 5; row < 99; row++)
        assert_string_equal(row_of(&usual, row), row_of(&wide, row));
}

static void test_plain_table(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.native = true};
    struct top_values values = {.input = &v->input};
    SHOWN shown = {0};
    assert_null(top_table(100, false, 5, 2, &values, &state, &shown.screen));
    // Header, titles and five threads, titles and two functions; nothing is selected.
    assert_int_equal(shown.screen->rows, 4 + 1 + 5 + 1 + 2);
    assert_int_equal(row_with(&shown, "MOSTLY IN"), 4);
    assert_non_null(strstr(row_of(&shown, 4), "1-5 of 20"));
    assert_int_equal(row_with(&shown, "SELF%"), 10);
    assert_int_equal(selected_row(&shown), shown.screen->rows);
}

// ---- Keys ----------------------------------------------------------------------------------------

static void test_cursor_follows(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.native = true, .page = TOP_THREADS};
    SHOWN first = draw(v, &state, 24, 80, false);
    unsigned top = row_with(&first, "MOSTLY IN") + 1;
    assert_int_equal(selected_row(&first), top);
    press(&state, "j");
    SHOWN second = draw(v, &state, 24, 80, false);
    assert_int_equal(selected_row(&second), row_with(&second, "cache-reader"));
    // It becomes the busiest: the cursor goes along.
    v->threads[1].cpu_ns = v->threads[0].cpu_ns + 1;
    SHOWN third = draw(v, &state, 24, 80, false);
    assert_int_equal(row_with(&third, "cache-reader"), top);
    assert_int_equal(selected_row(&third), top);
    // On the first row it stays there.
    press(&state, "jkk");
    SHOWN back = draw(v, &state, 24, 80, false);
    v->threads[2].cpu_ns = v->threads[1].cpu_ns + 1;
    SHOWN other = draw(v, &state, 24, 80, false);
    assert_int_equal(row_with(&other, "poller"), top);
    assert_int_equal(selected_row(&other), top);
    top_press(&state, TOP_KEY_END);
    SHOWN end = draw(v, &state, 14, 80, false);
    assert_int_equal(selected_row(&end), 12);
    assert_true(has(&end, "13-20 of 20"));
    top_press(&state, TOP_KEY_PAGE_UP);
    SHOWN page = draw(v, &state, 14, 80, false);
    assert_int_equal(selected_row(&page), 5);
    (void)back;
}

static void test_sorting(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.native = true, .page = TOP_FUNCTIONS};
    v->functions[SLEEP].own = 900;
    SHOWN own = draw(v, &state, 24, 80, false);
    assert_int_equal(row_with(&own, " hot "), 5);
    press(&state, "s");
    assert_int_equal(state.function_sort, REPORT_SORT_TOTAL);
    SHOWN total = draw(v, &state, 24, 80, false);
    assert_true(row_with(&total, "Service.loop") < row_with(&total, " hot "));
    state.function_sort = REPORT_SORT_WAITING;
    SHOWN waiting = draw(v, &state, 24, 80, false);
    assert_int_equal(row_with(&waiting, "time.sleep"), 5);
    state.function_sort = REPORT_SORT_NAME;
    SHOWN name = draw(v, &state, 24, 80, false);
    assert_int_equal(row_with(&name, "Cache.lookup"), 5);
    for (int i = 0; i < 20; i++)
        press(&state, "s");
    state.page = TOP_THREADS;
    state.thread_sort = TOP_BY_NAME;
    SHOWN threads = draw(v, &state, 24, 80, false);
    assert_int_equal(row_with(&threads, "MainThread"), 5);
}

static void test_filter(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.native = true};
    press(&state, "/");
    assert_int_equal(state.prompt, TOP_ASK_FILTER);
    press(&state, "CACHEx\x7f");
    SHOWN typing = draw(v, &state, 24, 80, false);
    assert_true(has(&typing, "Show only: CACHE"));
    assert_true(typing.screen->cursor);
    assert_int_equal(typing.screen->cursor_column, strlen("Show only: CACHE"));
    assert_true(has(&typing, "cache-reader"));
    assert_true(has(&typing, "Cache.lookup"));
    assert_false(has(&typing, "worker-"));
    press(&state, "\r");
    assert_int_equal(state.prompt, TOP_NO_PROMPT);
    assert_string_equal(state.filter, "CACHE");
    press(&state, "\x1b");
    assert_string_equal(state.filter, "");
    // q is a letter while typing; what is beyond ASCII is kept whole.
    press(&state, "/q");
    top_press(&state, 0xe9);
    top_press(&state, 0x4e2d);
    top_press(&state, 0x1f40d);
    assert_string_equal(state.input, "qé中\xf0\x9f\x90\x8d");
    press(&state, "\x7f");
    assert_string_equal(state.input, "qé中");
    for (int i = 0; i < 2 * TOP_INPUT_BYTES; i++)
        top_press(&state, 0x4e2d);
    assert_true(strlen(state.input) < TOP_INPUT_BYTES);
    SHOWN full = draw(v, &state, 24, 80, false);
    assert_true(full.screen->cursor_column < 80);
}

static void test_pages(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    v->lines[0].total_working = 30;
    struct snap_thread *thread = add_thread(v, "pricing", SNAP_RUNNING);
    thread->has_holds_gil = thread->holds_gil = true;
    add_frame(v, thread, "hot", "/srv/shop/shop/app.py", 12);
    add_frame(v, thread, "work", "/srv/shop/shop/app.py", 44);
    struct snap_frame *native = add_frame(v, thread, NULL, NULL, -1);
    *native = (struct snap_frame){.kind = SNAP_NATIVE,
                                  .function = id_of(v, "start_thread"),
                                  .module = id_of(v, "libc.so.6"),
                                  .line = -1};
    struct top_state state = {.native = true};
    SHOWN first = draw(v, &state, 24, 80, false);
    // Threads that are not in the last snapshot have ended.
    assert_non_null(strstr(row_of(&first, row_with(&first, "cache-reader")), "ended"));
    press(&state, "\r");
    assert_int_equal(state.page, TOP_STACK);
    SHOWN stack = draw(v, &state, 24, 80, false);
    assert_true(has(&stack, "pricing (4711)  running, holds the GIL, 98.0 % CPU"));
    unsigned hot = row_with(&stack, "hot (/srv/shop/shop/app.py:12)");
    assert_int_equal(row_with(&stack, "work (/srv/shop/shop/app.py:44)"), hot + 1);
    assert_int_equal(row_with(&stack, "start_thread (libc.so.6)"), hot + 2);
    press(&state, "n");
    SHOWN python = draw(v, &state, 24, 80, false);
    assert_false(has(&python, "start_thread"));
    press(&state, "?");
    SHOWN help = draw(v, &state, 60, 80, false);
    assert_true(has(&help, "q, Ctrl-C"));
    assert_true(has(&help, "save a report"));
    press(&state, "\x1b");
    assert_int_equal(state.page, TOP_STACK);
    press(&state, "\x1b");
    assert_int_equal(state.page, TOP_OVERVIEW);
    press(&state, "\t");
    SHOWN lower = draw(v, &state, 24, 80, false);
    assert_int_equal(selected_row(&lower), row_with(&lower, "SELF%") + 1);
    press(&state, "\r");
    assert_int_equal(state.page, TOP_FUNCTION);
    SHOWN function = draw(v, &state, 40, 80, false);
    assert_true(has(&function, "70.0 % itself, 70.0 % with all it calls"));
    assert_true(row_with(&function, "Called by") < row_with(&function, "100.0 %  work app.py:44"));
    assert_true(has(&function, "line 12          price = (price * 31) % 10007"));
    press(&state, "g");
    assert_int_equal(state.page, TOP_OVERVIEW);
    press(&state, "ggg");
    assert_int_equal(state.page, TOP_LINES);
    SHOWN lines = draw(v, &state, 24, 120, false);
    unsigned line = row_with(&lines, "app.py:12");
    assert_non_null(strstr(row_of(&lines, line), "60.0"));
    assert_non_null(strstr(row_of(&lines, line), "price = (price * 31) % 10007"));
    press(&state, "\r");
    assert_int_equal(state.page, TOP_FUNCTION);
    SHOWN again = draw(v, &state, 24, 80, false);
    assert_true(has(&again, "70.0 % itself"));
}

static void make_tasks(struct values *v)
{
    struct scene scene = scene_in(v->strings, v->snapshot);
    add_thread(v, "MainThread", SNAP_RUNNING);
    struct snap_loop *loop = scene_loop(&scene, 4711, "Loop");
    loop->current = 0;
    loop->same_snapshots = 5;
    scene_task(&scene, "worker-3", "worker", SNAP_TASK_RUNNING, SNAP_AWAIT_NONE, NULL,
               "worker /srv/jobs.py:17");
    for (int i = 0; i < 600; i++) {
        char name[32];
        snprintf(name, sizeof(name), "conn-%d", i);
        scene_task(&scene, name, "serve", SNAP_TASK_WAITING, SNAP_AWAIT_READ, "10.0.3.9:5432",
                   "readline " ASYNCIO "streams.py:561 < serve /srv/server.py:33");
    }
    scene_task(&scene, "poll", "poll", SNAP_TASK_WAITING, SNAP_AWAIT_SLEEP, NULL,
               "poll /srv/jobs.py:40");
    scene_greenlet(&scene, 4711, "Greenlet", "green", SNAP_GREENLET_SUSPENDED, SNAP_NO_INDEX,
                   SNAP_AWAIT_NONE, NULL, "handle /srv/green.py:7");
}

static void test_tasks(void **unused)
{
    (void)unused;
    VALUES v = values_create();
    set_profile(v);
    struct top_state state = {.native = true};
    SHOWN none = draw(v, &state, 24, 100, false);
    press(&state, "a");
    assert_int_equal(state.page, TOP_OVERVIEW);
    assert_string_equal(state.message, "there are no tasks or greenlets");
    press(&state, "gggg"); // nor is the view one of those that g goes through
    assert_int_equal(state.page, TOP_OVERVIEW);
    make_tasks(v);
    SHOWN overview = draw(v, &state, 24, 160, false);
    assert_true(has(&overview, "602 tasks   1 greenlet, runs worker-3 (5 snapshots)"));
    press(&state, "gggg");
    assert_int_equal(state.page, TOP_TASKS);
    SHOWN tasks = draw(v, &state, 24, 120, false);
    unsigned first = row_with(&tasks, "WAITS FOR") + 1;
    assert_non_null(strstr(row_of(&tasks, first), "worker jobs.py:17"));
    assert_non_null(strstr(row_of(&tasks, first + 1), "    600 waiting   read 10.0.3.9:5432"));
    assert_non_null(strstr(row_of(&tasks, first + 1), "conn-0, conn-1 and 598"));
    assert_non_null(strstr(row_of(&tasks, first + 2), "poll"));
    assert_non_null(strstr(row_of(&tasks, first + 3), "handle green.py:7"));
    press(&state, "j");
    SHOWN moved = draw(v, &state, 24, 100, false);
    press(&state, "\r");
    assert_int_equal(state.page, TOP_TASK);
    SHOWN task = draw(v, &state, 40, 100, false);
    assert_true(has(&task, "600 tasks of serve(), each waits [read 10.0.3.9:5432]: conn-0"));
    assert_int_equal(row_with(&task, "serve (/srv/server.py:33)"),
                     row_with(&task, "readline (") + 1);
    assert_true(has(&task, "conn-17  read 10.0.3.9:5432"));
    // They are gone.
    snap_suspended_destroy(v->snapshot->suspended);
    v->snapshot->suspended = NULL;
    SHOWN gone = draw(v, &state, 24, 100, false);
    assert_true(has(&gone, "None is there any more."));
    press(&state, "\x1b");
    SHOWN empty = draw(v, &state, 24, 100, false);
    assert_true(has(&empty, "no task and no greenlet"));
    (void)none;
}

static void test_actions(void **unused)
{
    (void)unused;
    struct top_state state = {.native = true};
    static const struct {
        uint32_t key;
        enum top_action action;
    } rows[] = {{'q', TOP_LEAVE},    {'w', TOP_COUNT},          {'r', TOP_RESTART},
                {0x0c, TOP_REPAINT}, {'p', TOP_DRAW},           {'p', TOP_COUNT},
                {' ', TOP_DRAW},     {TOP_KEY_QUIT, TOP_LEAVE}, {'S', TOP_NAME_FILE}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(top_press(&state, rows[i].key), rows[i].action);
    assert_true(state.whole && state.paused);
    press(&state, "a.svg");
    assert_int_equal(top_press(&state, '\r'), TOP_SAVE);
    assert_string_equal(state.input, "a.svg");
    press(&state, "S");
    assert_int_equal(top_press(&state, '\r'), TOP_DRAW); // no name, no file
    press(&state, "S");
    assert_int_equal(top_press(&state, '\x1b'), TOP_DRAW);
    // Whatever is pressed, nothing breaks.
    VALUES v = values_create();
    set_profile(v);
    make_tasks(v);
    uint32_t seed = 1;
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        top_press(&state, seed >> 16 & 1 ? TOP_KEY_NONE + seed % 26 : seed >> 8 & 0xff);
        if (i % 10)
            continue;
        SHOWN shown = draw(v, &state, 12 + seed % 30, 60 + seed / 7 % 100, seed >> 20 & 1);
    }
}

// ---- The last seconds ----------------------------------------------------------------------------

#define STEP_NS 100000000ull

static struct snapshot *moment(struct strtab *strings, unsigned number)
{
    struct snapshot *snapshot = snapshot_create();
    bool early = number < 100;
    snapshot->at_ns = number * STEP_NS;
    snapshot->cpu_window_ns = STEP_NS;
    snapshot->pause_ns = 1000000;
    struct snap_thread *thread =
        make_thread(strings, snapshot, 1, SNAP_RUNNING, early ? "early:2 main:9" : "late:3 main:9");
    thread->has_cpu = true;
    thread->cpu_ns = STEP_NS;
    return snapshot;
}

static uint64_t samples_in(const struct strtab *strings, const struct prof_report *report,
                           const char *name)
{
    for (size_t i = 0; i < report->function_count; i++)
        if (strcmp(strtab_get(strings, report->functions[i].function), name) == 0)
            return report->functions[i].self_working;
    return 0;
}

static void test_window(void **unused)
{
    (void)unused;
    struct strtab *strings = strtab_create();
    struct top_window window = {0};
    assert_null(top_window_report(&window, strings, STEP_NS));
    assert_null(top_window_show(&window));
    // 5 s of `late` after 10 s of `early`: half and half are in the last 10 s.
    for (unsigned i = 0; i < 150; i++)
        top_window_add(&window, moment(strings, i), 2000000);
    struct prof_report *report = top_window_report(&window, strings, STEP_NS);
    assert_int_equal(report->snapshots, 100);
    assert_int_equal(report->duration_ns, 100 * STEP_NS);
    assert_int_equal(samples_in(strings, report, "early"), 50);
    assert_int_equal(samples_in(strings, report, "late"), 50);
    assert_true(report->threads[0].cpu_share > 0.999 && report->threads[0].cpu_share < 1.001);
    assert_true(report->own_cpu_share > 0.0199 && report->own_cpu_share < 0.0201);
    assert_true(report->pause_share > 0.0099 && report->pause_share < 0.0101);
    prof_report_destroy(report);
    // What is shown stays there, also when it has left the window.
    const struct snapshot *shown = top_window_show(&window);
    assert_int_equal(shown->at_ns, 149 * STEP_NS);
    for (unsigned i = 150; i < 400; i++)
        top_window_add(&window, moment(strings, i), 2000000);
    assert_int_equal(shown->at_ns, 149 * STEP_NS);
    assert_string_equal(strtab_get(strings, shown->threads.items[0].frames.items[0].function),
                        "late");
    top_window_clear(&window);
    assert_null(top_window_report(&window, strings, STEP_NS));
    assert_int_equal(top_window_show(&window)->at_ns, 149 * STEP_NS);
    top_window_deinit(&window);
    strtab_destroy(strings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overview),       cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_nothing_yet),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_status),         cmocka_unit_test(test_long_status),
        cmocka_unit_test(test_help_fits),      cmocka_unit_test(test_plain_table),
        cmocka_unit_test(test_cursor_follows), cmocka_unit_test(test_sorting),
        cmocka_unit_test(test_filter),         cmocka_unit_test(test_pages),
        cmocka_unit_test(test_tasks),          cmocka_unit_test(test_actions),
        cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
