// SPDX-License-Identifier: GPL-3.0-or-later
// pycore top: the live view on a terminal; in a pipe, one table a second.
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/signals.h"
#include "cli/top_keys.h"
#include "cli/top_run.h"
#include "cli/top_terminal.h"
#include "util/guard.h"

#define REFRESH_NS 1000000000u
#define FIRST_REFRESH_NS 400000000u // an empty screen helps nobody
#define NAP_NS 50000000u
#define REST_FACTOR 20 // between two refreshes, times what one took
#define PLAIN_COLUMNS 100
#define PLAIN_THREADS 20
#define PLAIN_FUNCTIONS 15

struct view {
    struct top_run run;
    const struct options *options;
    uint64_t shown_ns;  // when the next refresh is due
    uint64_t refreshes; // so far
    uint64_t end_ns;    // -d; 0: none
    bool repaint, leave;
};

// -n and -d.
static bool is_enough(const struct view *view)
{
    return (view->options->count && view->refreshes >= view->options->count) ||
           (view->end_ns && live_now_ns() >= view->end_ns);
}

static uint64_t next_event_ns(const struct view *view)
{
    uint64_t next_ns = view->shown_ns;
    if (!view->run.ended && view->run.next_ns < next_ns)
        next_ns = view->run.next_ns;
    return view->end_ns && view->end_ns < next_ns ? view->end_ns : next_ns;
}

// What is due: a snapshot, new numbers. True: what is shown has changed.
static bool do_what_is_due(struct view *view)
{
    struct top_run *run = &view->run;
    bool ended = run->ended;
    if (!ended && live_now_ns() >= run->next_ns)
        top_run_sample(run);
    ended = run->ended && !ended;
    if (!ended && live_now_ns() < view->shown_ns)
        return false;
    view->refreshes++;
    top_run_adapt(run);
    uint64_t begin_ns = live_now_ns();
    if (ended || !run->ended)
        top_run_count(run);
    // What takes long to count (all of a long run) is counted less often.
    uint64_t now_ns = live_now_ns(), rest_ns = (now_ns - begin_ns) * REST_FACTOR;
    view->shown_ns = now_ns + (rest_ns > REFRESH_NS ? rest_ns : REFRESH_NS);
    return true;
}

// ---- On a terminal -------------------------------------------------------------------------------

static struct err *draw(struct view *view)
{
    struct report_input input;
    struct screen *screen = terminal_screen();
    if (!screen)
        return err_create(ERR_NO_MEMORY, "no memory for the screen");
    struct top_values values = top_run_values(&view->run, &input);
    struct err *err = top_draw(screen, &values, &view->run.state);
    if (!err)
        terminal_show(screen, view->repaint);
    view->repaint = false;
    screen_destroy(screen);
    return err;
}

static void name_file(struct view *view)
{
    char when[32] = "now";
    struct tm parts;
    time_t now = time(NULL);
    if (localtime_r(&now, &parts))
        strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &parts);
    snprintf(view->run.state.input, sizeof(view->run.state.input), "pycore-%d-%s.md",
             (int)view->run.session.source.pid, when);
}

static void press(struct view *view, uint32_t key)
{
    struct top_run *run = &view->run;
    switch (top_press(&run->state, key)) {
    case TOP_DRAW:
        break;
    case TOP_COUNT:
        top_run_count(run);
        break;
    case TOP_RESTART:
        top_run_restart(run);
        break;
    case TOP_NAME_FILE:
        name_file(view);
        break;
    case TOP_SAVE:
        top_run_save(run, run->state.input);
        break;
    case TOP_REPAINT:
        view->repaint = true;
        break;
    case TOP_LEAVE:
        view->leave = true;
        break;
    }
}

// pycore stood still itself: what was used meanwhile belongs to no stack.
static struct err *resume(struct view *view)
{
    struct top_run *run = &view->run;
    view->repaint = true;
    if (run->ended)
        return NULL;
    top_window_clear(&run->window);
    AUTO_ERR struct err *err = top_run_begin(run);
    run->ended = err != NULL;
    return NULL;
}

static struct err *handle_event(struct view *view, enum terminal_event event, uint32_t key)
{
    switch (event) {
    case TERMINAL_NOTHING:
        return NULL;
    case TERMINAL_KEY:
        press(view, key);
        break;
    case TERMINAL_RESIZED:
        break;
    case TERMINAL_RESUMED:
        TRY(resume(view));
        break;
    case TERMINAL_GONE:
        view->leave = true;
        return NULL;
    }
    return draw(view);
}

static struct err *watch(struct view *view)
{
    TRY(draw(view));
    while (!view->leave && !interrupted && !is_enough(view)) {
        uint32_t key = 0;
        enum terminal_event event = terminal_wait(next_event_ns(view), &key);
        TRY(handle_event(view, event, key));
        if (do_what_is_due(view))
            TRY(draw(view));
    }
    return NULL;
}

// ---- In a pipe -----------------------------------------------------------------------------------

static struct err *print(struct view *view)
{
    struct report_input input;
    struct screen *screen = NULL;
    const struct report_options *options = &view->options->report;
    struct top_values values = top_run_values(&view->run, &input);
    TRY(top_table(options->width ? options->width : PLAIN_COLUMNS, !terminal_is_utf8(),
                  PLAIN_THREADS, PLAIN_FUNCTIONS, &values, &view->run.state, &screen));
    screen_print(stdout, screen, options->color);
    putchar('\n');
    screen_destroy(screen);
    if (fflush(stdout) != 0 || ferror(stdout))
        view->leave = true; // who reads it has gone
    return NULL;
}

static struct err *list(struct view *view)
{
    while (!view->leave && !interrupted && !is_enough(view)) {
        uint64_t now_ns = live_now_ns(), next_ns = next_event_ns(view);
        uint64_t left_ns = next_ns > now_ns ? next_ns - now_ns : 0;
        nanosleep(&(struct timespec){0, (long)(left_ns < NAP_NS ? left_ns : NAP_NS)}, NULL);
        if (do_what_is_due(view))
            TRY(print(view));
        view->leave |= view->run.ended;
    }
    return NULL;
}

// ---- The command ---------------------------------------------------------------------------------

static int pid_of(const struct options *options, pid_t *ret)
{
    int64_t pid = options->pid;
    char *end = "";
    errno = 0;
    if (pid < 0 && options->file_count == 1)
        pid = strtoll(options->files[0], &end, 10);
    else if (options->file_count)
        pid = -1;
    if (errno || *end || pid < 1 || pid > INT32_MAX) {
        complain("top takes one process number; \"pycore help top\" shows the options");
        return EXIT_USAGE;
    }
    *ret = (pid_t)pid;
    return 0;
}

static struct err *show(struct view *view)
{
    const char *why = NULL;
    TRY(top_run_begin(&view->run));
    uint64_t now_ns = live_now_ns();
    bool on_terminal = terminal_open(view->options->report.color, &why);
    if (why && !view->options->quiet)
        complain("%s: plain tables instead, one a second", why);
    view->shown_ns = now_ns + (on_terminal ? FIRST_REFRESH_NS : REFRESH_NS);
    view->end_ns = view->options->duration_ns ? now_ns + view->options->duration_ns : 0;
    struct err *err = on_terminal ? watch(view) : list(view);
    terminal_close();
    return err;
}

static int exit_code_of(const struct view *view)
{
    const struct options *options = view->options;
    if (view->run.ended && !view->run.latest)
        return EXIT_NO_REPORT;
    // Without -n and -d it goes on until somebody ends it.
    bool cut = (options->count || options->duration_ns) && !is_enough(view) &&
               (interrupted || view->run.ended);
    return cut || view->run.session.incomplete ? EXIT_PARTIAL : EXIT_COMPLETE;
}

int run_top(const struct options *options, int argc, char **argv)
{
    pid_t pid;
    struct view view = {.options = options};
    int code = pid_of(options, &pid);
    if (code)
        return code;
    signals_catch();
    struct err *err = top_run_open(&view.run, options, pid, argc, argv);
    if (!err)
        err = show(&view);
    if (!err && view.run.status && view.run.ended && !options->quiet)
        complain("%s", view.run.status);
    code = err ? fail(err) : exit_code_of(&view);
    top_run_close(&view.run);
    return code;
}
