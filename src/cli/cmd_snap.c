// SPDX-License-Identifier: GPL-3.0-or-later
// pycore snap: one snapshot or many of live processes.
#include "cli/choose.h"
#include "cli/loop.h"
#include "cli/moment.h"
#include "cli/signals.h"
#include "util/guard.h"

static void tell_python(const struct subjects *subjects)
{
    vec_foreach (subject, &subjects->items) {
        const struct py_process *process = (*subject)->sampler->process;
        if (process)
            complain("Python %s (%s), found by %s", process->version,
                     py_build_name(process->dec.layout.build), process->found_by);
    }
}

static int run_loop(struct loop *loop, int argc, char **argv)
{
    if (loop->session->options->verbose)
        tell_python(&loop->subjects);
    loop_run(loop);
    return loop_finish(loop, argc, argv);
}

// What is wrong with --when is told before anything else is done.
static int parse_when(const char *text, struct when *ret)
{
    if (!text || when_parse(text, ret))
        return 0;
    complain("--when: \"%s\" is no moment; examples: --when 'cpu>90%%', --when 'rss>2G', "
             "--when 'threads>=100 and cpu<5%%', --when 'cpu>90%% for 5s' (cpu, rss, vms, threads, "
             "fds; in quotes, or the shell takes the > for itself)",
             text);
    return EXIT_USAGE;
}

int run_snap(const struct options *options, int argc, char **argv)
{
    GUARD(choice_deinit) struct choice choice;
    struct when when;
    int code = choose(options, &choice);
    if (!code)
        code = parse_when(options->when, &when);
    if (code)
        return code;
    if (!outputs_look_writable(options))
        return EXIT_NO_REPORT;
    struct session session;
    struct loop loop;
    struct err *err = session_init(&session, options, options->count > 1 || options->duration_ns);
    signals_catch();
    loop_init(&loop, &session);
    loop.argc = argc;
    loop.argv = argv;
    if (!err)
        err = choice_open(&choice, &loop.subjects);
    if (!err && options->when)
        err = moment_wait(&loop.subjects, &when, options->when);
    code = err ? fail(err) : run_loop(&loop, argc, argv);
    loop_deinit(&loop);
    session_deinit(&session);
    return code;
}
