// SPDX-License-Identifier: GPL-3.0-or-later
// pycore snap: one snapshot or many of a live process.
#include <errno.h>
#include <stdlib.h>

#include "cli/loop.h"
#include "cli/moment.h"
#include "cli/signals.h"

static int pid_of(const struct options *options, pid_t *ret)
{
    int64_t pid = options->pid;
    if (options->file_count > (pid < 0 ? 1 : 0) || (pid < 0 && options->file_count == 0)) {
        complain("snap takes one process number; \"pycore help snap\" shows the options");
        return EXIT_USAGE;
    }
    if (pid < 0) {
        char *end;
        errno = 0;
        pid = strtoll(options->files[0], &end, 10);
        if (errno || *end || pid < 1 || pid > INT32_MAX) {
            complain("\"%s\" is no process number (a core file is read by \"pycore analyze\")",
                     options->files[0]);
            return EXIT_USAGE;
        }
    }
    *ret = (pid_t)pid;
    return 0;
}

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
    pid_t pid;
    struct when when;
    int code = pid_of(options, &pid);
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
        err = subjects_add(&loop.subjects, pid);
    if (!err && options->when)
        err = moment_wait(&loop.subjects, &when, options->when);
    code = err ? fail(err) : run_loop(&loop, argc, argv);
    loop_deinit(&loop);
    session_deinit(&session);
    return code;
}
