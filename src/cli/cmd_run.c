// SPDX-License-Identifier: GPL-3.0-or-later
// pycore run: starts a program and observes it until it exits (cli/child.h says what passes between
// them). pycore ends as the program ended. The report is printed when the program has ended, or when
// -n and -d have enough; then pycore waits on.
#include <stdlib.h>
#include <time.h>

#include "cli/child.h"
#include "cli/loop.h"
#include "cli/pythons.h"
#include "cli/signals.h"
#include "target/live.h"
#include "util/guard.h"

#define DEFAULT_INTERVAL_NS 100000000u // a program may be short
#define LOOK_FIRST_NS 2000000u         // for its Python; twice as long each time, up to
#define LOOK_LAST_NS 50000000u
#define EXEC_WITHIN_NS 100000000u // what is a script by then is one whose children are meant
#define PATIENCE_NS 3000000000u   // then it is searched, whatever its symbols say

struct run {
    pid_t pid;
    struct loop *loop;
    struct pythons *pythons;
    uint64_t begin_ns;
};

static bool goes_on(void *arg, struct loop *loop)
{
    const struct run *run = arg;
    (void)loop;
    return !child_has_ended(run->pid);
}

enum sight { NO_PYTHON, PYTHON_STARTS, PYTHON_RUNS };

// A full search is not cheap, and an interpreter is some 20 ms on its way.
static enum sight look(struct run *run)
{
    struct image_options none = {0};
    struct proc_usage usage;
    struct live *live = NULL;
    struct image *image = NULL;
    AUTO_ERR struct err *gone = proc_usage(run->pid, &usage);
    if (gone || pythons_guess(run->pythons, run->pid, usage.comm) == PYTHON_NONE)
        return NO_PYTHON;
    AUTO_ERR struct err *err = live_open(run->pid, &live);
    AUTO_ERR struct err *closed =
        !err && live->can_read ? image_open(live->target, &none, &image) : NULL;
    bool begun = !image || live_now_ns() - run->begin_ns > PATIENCE_NS ||
                 py_process_may_have_begun(live->target, image, run->loop->session->strings);
    image_destroy(image);
    live_close(live);
    return begun ? PYTHON_RUNS : PYTHON_STARTS;
}

// Its children are looked at, too; `met`: the program itself is no Python so far.
static struct err *look_at_family(struct run *run, bool met)
{
    struct subjects *subjects = &run->loop->subjects;
    bool more;
    subjects->several = subjects->children = true;
    if (!met)
        TRY(subjects_meet(subjects, run->pid));
    return subjects_follow(subjects, &more);
}

// Opens what runs Python by now, if anything does.
static struct err *try_open(struct run *run)
{
    struct subjects *subjects = &run->loop->subjects;
    bool children = run->loop->session->options->children, met = subjects->several;
    enum sight sight = met ? NO_PYTHON : look(run);
    if (sight == PYTHON_RUNS) {
        TRY(subjects_add(subjects, run->pid));
        return children ? look_at_family(run, true) : NULL;
    }
    bool patient = live_now_ns() - run->begin_ns < EXEC_WITHIN_NS;
    return sight == NO_PYTHON && children && !patient ? look_at_family(run, met) : NULL;
}

// Until there is a Python to be looked at. What is before that is no error: an interpreter that
// starts, a script that will execute one. False: there was none up to the end, or pycore is to end.
static bool wait_for_python(struct run *run, struct err **ret_why)
{
    uint64_t nap_ns = LOOK_FIRST_NS;
    run->begin_ns = live_now_ns();
    *ret_why = NULL;
    while (!interrupted && !child_has_ended(run->pid)) {
        err_destroy(*ret_why);
        *ret_why = try_open(run);
        if (run->loop->subjects.items.count)
            return true;
        nanosleep(&(struct timespec){0, (long)nap_ns}, NULL);
        nap_ns = nap_ns * 2 < LOOK_LAST_NS ? nap_ns * 2 : LOOK_LAST_NS;
    }
    return false;
}

static int tell_nothing(struct err *why, bool children)
{
    AUTO_ERR struct err *owned = why;
    bool short_lived = !owned || err_code(owned) == ERR_GONE || err_code(owned) == ERR_NOT_FOUND;
    const char *ended = children
                            ? "the program ended before a Python could be seen in it, or below it"
                            : "the program ended before a Python could be seen in it (one that "
                              "starts Python in a process of its own: --children)";
    complain("no report: %s", short_lived ? ended : err_message(owned));
    return EXIT_NO_REPORT;
}

static int observe(struct run *run, int argc, char **argv)
{
    struct err *why;
    struct loop *loop = run->loop;
    bool children = loop->session->options->children;
    if (!wait_for_python(run, &why))
        return tell_nothing(why, children);
    err_destroy(why);
    loop->idle = goes_on;
    loop->idle_arg = run;
    loop->until_idle = true;
    loop_run(loop);
    bool ended = !loop->err || err_code(loop->err) == ERR_GONE;
    if (!loop->session->taken && ended && !interrupted)
        return tell_nothing(NULL, children);
    return loop_finish(loop, argc, argv);
}

static struct err *prepare(struct run *run, struct session *session, const struct options *options)
{
    struct loop *loop = run->loop;
    struct err *err = session_init(session, options, true);
    loop_init(loop, session);
    if (!options->interval_ns)
        loop->interval_ns = DEFAULT_INTERVAL_NS;
    if (!options->count)
        loop->count =
            options->duration_ns ? (options->duration_ns - 1) / loop->interval_ns + 1 : UINT64_MAX;
    if (!err && !(run->pythons = pythons_create()))
        err = err_create(ERR_NO_MEMORY, "run");
    return err;
}

int run_run(const struct options *options, int argc, char **argv)
{
    struct session session;
    struct loop loop;
    struct run run = {.loop = &loop};
    int status;
    if (!options->file_count) {
        complain("run takes a program: \"pycore run -- python3 app.py\"; \"pycore help run\" shows "
                 "the options");
        return EXIT_USAGE;
    }
    if (options->save && options->children) {
        complain("a capture holds one process: --save and --children exclude each other");
        return EXIT_USAGE;
    }
    if (!outputs_look_writable(options))
        return EXIT_NO_REPORT;
    int code = child_start(options->files, &run.pid);
    if (code)
        return code;
    struct err *err = prepare(&run, &session, options);
    loop.argc = argc;
    loop.argv = argv;
    code = err ? fail(err) : observe(&run, argc, argv);
    pythons_destroy(run.pythons);
    loop_deinit(&loop);
    session_deinit(&session);
    bool ended = child_wait(run.pid, &status);
    if (code == EXIT_FINDING) // --fail-on: asked for, so it goes before what the program says
        return code;
    return ended ? child_exit_code(status) : code ? code : EXIT_PARTIAL;
}
