// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/choose.h.
#include "cli/choose.h"

#include <errno.h>
#include <stdlib.h>

#include "util/clean.h"
#include "util/guard.h"

#define PIDS_MAX 1000

static bool add_pid(struct choice *choice, int64_t pid)
{
    vec_foreach (have, &choice->pids)
        if (*have == pid)
            return true;
    return vec_push(&choice->pids, (pid_t)pid);
}

// "4711,4712"; false: it is no list of numbers.
static bool parse_pids(const char *text, struct choice *ret)
{
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long long pid = strtoll(at, &end, 10);
        if (errno || end == at || pid < 1 || pid > INT32_MAX || ret->pids.count >= PIDS_MAX ||
            !add_pid(ret, pid))
            return false;
        at = end;
        if (!*at)
            return true;
        if (*at != ',')
            return false;
    }
}

static int choose_one(const struct options *options, struct choice *ret)
{
    if (options->pid >= 0)
        return add_pid(ret, options->pid) ? 0 : EXIT_NO_REPORT;
    if (parse_pids(options->files[0], ret) && ret->pids.count == 1)
        return 0;
    complain("\"%s\" is no process number (a core file is read by \"pycore analyze\")",
             options->files[0]);
    return EXIT_USAGE;
}

int choose(const struct options *options, struct choice *ret)
{
    *ret = (struct choice){.name = options->name, .children = options->children};
    bool one = options->pid >= 0 || options->file_count;
    if (one + !!options->pids + !!options->name != 1 ||
        options->file_count > (options->pid < 0 ? 1 : 0)) {
        complain("snap takes one process number, or --pids A,B,C, or --name PATTERN; "
                 "\"pycore help snap\" shows the options");
        return EXIT_USAGE;
    }
    if (options->save && (options->pids || options->name || options->children)) {
        complain("a capture holds one process: run \"pycore snap PID --save FILE\" for each");
        return EXIT_USAGE;
    }
    if (options->pids && !parse_pids(options->pids, ret)) {
        complain("--pids takes process numbers with commas between them: --pids 4711,4712");
        return EXIT_USAGE;
    }
    if (options->name && !*options->name) {
        complain("--name takes a pattern: gunicorn, '*worker*'");
        return EXIT_USAGE;
    }
    return one ? choose_one(options, ret) : 0;
}

void choice_deinit(struct choice *choice)
{
    vec_deinit(&choice->pids);
}

// The process, and what it has of children: it may be a shell whose child is the Python.
static struct err *open_family(pid_t pid, struct subjects *subjects)
{
    GUARD(guard_err) struct err *refusal = subjects_add(subjects, pid);
    subjects->several = subjects->children = true;
    if (refusal && err_code(refusal) != ERR_NOT_FOUND && err_code(refusal) != ERR_UNSUPPORTED)
        return TAKE(refusal);
    if (refusal) {
        GUARD(guard_err) struct err *err = subjects_meet(subjects, pid);
        if (err)
            return err_code(err) == ERR_NOT_FOUND ? TAKE(refusal) : TAKE(err);
    }
    TRY(subjects_gather(subjects));
    return subjects->items.count ? NULL : TAKE(refusal);
}

// Of those that were asked for by number all should be in the report.
static void note_missing(struct session *session)
{
    for (size_t i = 0; i < snap_process_count(&session->source); i++) {
        const struct snap_process *process = snap_process_at(&session->source, i);
        if (!process->why)
            continue;
        session->incomplete = true;
        snap_note(session->strings, &session->notes, "no stacks of process %d: %s", process->pid,
                  strtab_get(session->strings, process->why));
    }
}

static struct err *open_listed(const struct choice *choice, struct subjects *subjects)
{
    struct session *session = subjects->session;
    struct err *why = NULL;
    vec_foreach (pid, &choice->pids) {
        struct err *err = subjects_meet(subjects, *pid);
        if (err && err_code(err) != ERR_NOT_FOUND)
            return err;
        if (!err)
            continue;
        session->incomplete = true;
        snap_note(session->strings, &session->notes, "there is no process %d", *pid);
        err_destroy(why);
        why = err;
    }
    subjects->children = choice->children;
    struct err *err = subjects_gather(subjects);
    if (!err && !subjects->items.count && subjects->bystanders.count) {
        const struct bystander *first = &subjects->bystanders.items[0];
        const struct snap_process *process = session_process(session, first->process);
        const char *text = strtab_get(session->strings, process->why);
        err = err_create(ERR_NOT_FOUND, "none of these processes can be looked at; process %d: %s",
                         first->pid, text ? text : "?");
    } else if (!err && !subjects->items.count) {
        err = err_create(ERR_NOT_FOUND, "none of these processes is there any more");
    }
    if (!err)
        note_missing(session);
    err_destroy(why);
    return err;
}

static struct err *open_named(const struct choice *choice, struct subjects *subjects)
{
    subjects->several = true;
    subjects->name = choice->name;
    subjects->children = choice->children;
    TRY(subjects_gather(subjects));
    if (subjects->items.count)
        return NULL;
    if (subjects->bystanders.count)
        return err_create(ERR_NOT_FOUND,
                          "no Python process that may be read has a command line that \"%s\" "
                          "matches; process %d has, and others may: \"pycore snap %d\" says more",
                          choice->name, subjects->bystanders.items[0].pid,
                          subjects->bystanders.items[0].pid);
    return err_create(ERR_NOT_FOUND,
                      "no process has a name, or a word in its command line, that \"%s\" matches; "
                      "\"pycore ps\" lists the Python processes, and '*%s*' matches within words",
                      choice->name, choice->name);
}

struct err *choice_open(const struct choice *choice, struct subjects *subjects)
{
    if (choice->name)
        return open_named(choice, subjects);
    if (choice->pids.count > 1 || subjects->session->options->pids)
        return open_listed(choice, subjects);
    return choice->children ? open_family(choice->pids.items[0], subjects)
                            : subjects_add(subjects, choice->pids.items[0]);
}
