// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/session.h.
#include "cli/session.h"

#include <stdlib.h>
#include <time.h>

#include "target/source.h"
#include "util/guard.h"
#include "util/redact.h"

#define NOTES_MAX 100
#define PAUSE_SHARE_MAX 0.01 // above it a note tells

static uint64_t own_cpu_ns(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0
               ? (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec
               : 0;
}

struct err *session_init(struct session *session, const struct options *options, bool aggregate)
{
    *session = (struct session){.options = options, .cpu_begin_ns = own_cpu_ns()};
    session->strings = strtab_create();
    if (session->strings && aggregate)
        session->profile = profile_create(session->strings);
    if (session->strings)
        session->packages = package_finder_create(session->strings);
    if (!session->packages || (aggregate && !session->profile))
        return err_create(ERR_NO_MEMORY, "session");
    fill_source(&session->source, session->strings);
    session->surroundings = surroundings_unknown;
    fill_environment(&session->source.environment, session->strings, &session->surroundings);
    return NULL;
}

void session_deinit(struct session *session)
{
    vec_foreach (snapshot, &session->kept)
        snapshot_destroy(*snapshot);
    vec_deinit(&session->kept);
    snapshot_destroy(session->last);
    snapshot_destroy(session->before);
    diagnosis_destroy(session->diagnosis);
    free(session->line);
    profile_destroy(session->profile);
    profile_destroy(session->unfiltered);
    package_finder_destroy(session->packages);
    snap_source_deinit(&session->source);
    surroundings_deinit(&session->surroundings);
    vec_deinit(&session->notes);
    strtab_destroy(session->strings);
}

// What a length limit cut is no gap, a stack that could not be read to its end is one.
static bool has_gaps(const struct snapshot *snapshot)
{
    vec_foreach (thread, &snapshot->threads)
        if (thread->cut && !thread->left_out)
            return true;
    return false;
}

// A run of hours over threads that come and go must not gather a note for each of them.
static void gather_notes(struct session *session, const struct snapshot *snapshot)
{
    vec_foreach (note, &snapshot->notes) {
        if (session->notes.count >= NOTES_MAX)
            session->notes_left_out++;
        else
            snap_note(session->strings, &session->notes, "%s", strtab_get(session->strings, *note));
    }
    vec_foreach (thread, &snapshot->threads) {
        if (thread->left_out)
            continue;
        vec_foreach (note, &thread->notes) {
            if (session->notes.count >= NOTES_MAX)
                session->notes_left_out++;
            else
                snap_note(session->strings, &session->notes, "thread %d: %s", thread->tid,
                          strtab_get(session->strings, *note));
        }
    }
}

void session_count(struct session *session, struct snapshot *snapshot)
{
    session->taken++;
    filter_mark(session->options, session->strings, snapshot, &session->filtered);
    session->incomplete |= has_gaps(snapshot);
    if (session->profile) {
        if (!profile_add(session->profile, snapshot))
            session->incomplete = true;
        gather_notes(session, snapshot);
    }
}

static struct err *find_what_is_wrong(struct session *session, const struct snapshot *last,
                                      const struct prof_report *profile)
{
    const struct diag_input input = {session->strings, &session->source, last, profile};
    diagnosis_destroy(TAKE(session->diagnosis));
    return last ? diagnose(&input, &session->diagnosis) : NULL;
}

// Threads that a filter leaves out may have what the others wait for: what is wrong is looked for among
// all of them.
static void count_unfiltered(struct session *session, const struct snapshot *snapshot)
{
    if (!filter_is_set(session->options) || !session->profile)
        return;
    if (!session->unfiltered)
        session->unfiltered = profile_create(session->strings);
    if (!session->unfiltered || !profile_add(session->unfiltered, snapshot))
        session->incomplete = true;
}

static struct err *find_before_filter(struct session *session, const struct snapshot *last,
                                      const struct prof_run *run)
{
    struct prof_report *report = NULL;
    if (session->unfiltered && !(report = profile_report(session->unfiltered, run)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    struct err *err = find_what_is_wrong(session, last, report);
    prof_report_destroy(report);
    vec_foreach (chain, session->diagnosis ? &session->diagnosis->chains : &(struct diag_chains){0})
        vec_deinit(&chain->threads); // they name threads by their place
    if (session->diagnosis)
        vec_clear(&session->diagnosis->chains);
    return err;
}

// The last two snapshots have all their threads until the report: it is judged by one of them.
static void drop_of_last(struct session *session)
{
    struct snapshot **kept = session->kept.items;
    for (size_t i = session->kept.count; i > 0 && i + 2 > session->kept.count; i--)
        filter_drop(kept[i - 1]);
    if (session->before)
        filter_drop(session->before);
    if (session->last)
        filter_drop(session->last);
}

// A run is judged by its last snapshot. What was not read for that is known from an earlier one.
static void carry_suspended(struct session *session, struct snapshot *snapshot)
{
    struct snapshot *before = session->kept.count ? session->kept.items[session->kept.count - 1]
                                                  : session->last;
    if (!before || !before->suspended || snapshot->suspended || !snapshot->suspended_unread)
        return;
    snapshot->suspended = before->suspended;
    snapshot->suspended->moment = false;
    before->suspended = NULL;
}

void session_add(struct session *session, struct snapshot *snapshot)
{
    carry_suspended(session, snapshot);
    count_unfiltered(session, snapshot);
    session_count(session, snapshot);
    if ((!session->profile || session->options->report.snapshots) &&
        vec_push(&session->kept, snapshot)) {
        if (session->kept.count > 2)
            filter_drop(session->kept.items[session->kept.count - 3]);
        return;
    }
    snapshot_destroy(session->before);
    session->before = session->last;
    session->last = snapshot;
}

bool session_restart(struct session *session)
{
    struct profile *profile = profile_create(session->strings);
    if (!profile)
        return false;
    profile_destroy(session->profile);
    session->profile = profile;
    session->taken = 0;
    session->filtered = (struct filter_counts){0};
    session->cpu_begin_ns = own_cpu_ns();
    return true;
}

void session_aggregate(struct session *session)
{
    if (!session->profile && !session->kept.count)
        session->profile = profile_create(session->strings);
}

uint64_t session_own_cpu_ns(const struct session *session)
{
    return own_cpu_ns() - session->cpu_begin_ns;
}

struct snap_process *session_process(struct session *session, size_t process)
{
    struct snap_source *source = &session->source;
    return process ? &source->others.items[process - 1] : &source->process;
}

struct err *session_add_process(struct session *session, pid_t pid, size_t *ret)
{
    struct snap_source *source = &session->source;
    *ret = source->process.pid ? 1 + source->others.count : 0;
    if (*ret && !vec_push(&source->others, (struct snap_process){0}))
        return err_create(ERR_NO_MEMORY, "process");
    session_process(session, *ret)->pid = pid;
    if (!*ret)
        source->pid = pid;
    return NULL;
}

static void note_exec(struct session *session, struct snapshot *snapshot, pid_t pid)
{
    unsigned long long next = session->taken + 1;
    if (pid)
        snap_note(session->strings, &snapshot->notes,
                  "process %d executed another program (exec) before snapshot %llu", pid, next);
    else
        snap_note(session->strings, &snapshot->notes,
                  "the process executed another program (exec) before snapshot %llu", next);
}

void session_note_snapshot(struct session *session, struct snapshot *snapshot, uint64_t skipped,
                           bool changed_program, pid_t pid)
{
    if (changed_program)
        note_exec(session, snapshot, pid);
    if (skipped) {
        session->incomplete = true;
        snap_note(session->strings, &snapshot->notes,
                  "%llu stack%s cut: copying took longer than --max-pause allows",
                  (unsigned long long)skipped, skipped == 1 ? "" : "s");
    }
}

static const char *line_of(void *arg, const char *file, int32_t line, bool *ret_newer)
{
    return source_line(arg, file, line, ret_newer);
}

struct report_source_reader session_lines(struct source *source)
{
    return (struct report_source_reader){source ? line_of : NULL, source};
}

// Source text without what looks like a secret; NULL where there is no memory for it.
static const char *shown_line(void *arg, const char *file, int32_t line, bool *ret_newer)
{
    struct session *session = arg;
    size_t hidden = 0;
    const char *text =
        session->lines.line ? session->lines.line(session->lines.arg, file, line, ret_newer) : NULL;
    if (!text || session->options->show_secrets)
        return text;
    free(session->line);
    return session->line = redact_source(text, &hidden);
}

void session_find_packages(struct session *session, struct source *source)
{
    struct snap_crash *crash = &session->source.crash;
    const char *module = strtab_get(session->strings, crash->module_path);
    struct snap_packages *packages = &session->source.environment.packages;
    package_finder_finish(session->packages, source, packages);
    const struct snap_package *of =
        module ? snap_package_of(packages, session->strings, module) : NULL;
    if (of && !crash->module_version)
        crash->module_version = of->version;
}

// What the run cost the target, where it is more than it should.
static void note_pauses(struct session *session, const struct prof_report *report)
{
    if (report->overruns)
        snap_note(session->strings, &session->notes,
                  "%llu of %llu snapshots stopped the target for longer than --max-pause allows",
                  (unsigned long long)report->overruns, (unsigned long long)report->snapshots);
    if (report->pause_share > PAUSE_SHARE_MAX)
        snap_note(session->strings, &session->notes,
                  "the target stood still for %.1f %% of the time: a longer interval (-i) "
                  "disturbs it less",
                  report->pause_share * 100);
}

struct prof_report *session_profile_of(struct strtab *strings,
                                       const struct snapshot *const *snapshots, size_t count,
                                       const struct prof_run *run)
{
    struct prof_report *report = NULL;
    struct profile *profile = profile_create(strings);
    bool added = profile != NULL;
    for (size_t i = 0; i < count; i++)
        added = added && profile_add(profile, snapshots[i]);
    if (added)
        report = profile_report(profile, run);
    profile_destroy(profile);
    return report;
}

struct err *session_report(struct session *session, const struct prof_run *run,
                           struct report_source_reader lines, const char *command,
                           struct report_input *ret)
{
    struct prof_report *report = NULL;
    struct prof_run whole = *run;
    if (session->profile) {
        if (!whole.own_cpu_ns)
            whole.own_cpu_ns = session_own_cpu_ns(session);
        report = profile_report(session->profile, &whole);
        if (!report)
            return err_create(ERR_NO_MEMORY, "out of memory");
        note_pauses(session, report);
    }
    if (session->notes_left_out)
        snap_note(session->strings, &session->notes,
                  "%llu more notes of single threads and snapshots",
                  (unsigned long long)session->notes_left_out);
    filter_note(session->options, &session->filtered, session->strings, &session->notes);
    session->source.complete = !session->incomplete && !session->interrupted;
    session->lines = lines;
    *ret = (struct report_input){
        .tool_version = PACKAGE_VERSION,
        .command = command,
        .strings = session->strings,
        .source = &session->source,
        .snapshots = (const struct snapshot *const *)session->kept.items,
        .snapshot_count = session->kept.count,
        .profile = report,
        .last = report_judged(session->before, session->last),
        .shows_secrets = session->options->show_secrets,
        .notes = &session->notes,
        .interrupted = session->interrupted,
        .interim = session->interim,
        .source_reader = {shown_line, session},
    };
    bool filtered = filter_is_set(session->options);
    struct err *err = filtered ? find_before_filter(session, report_last(ret), &whole)
                               : find_what_is_wrong(session, report_last(ret), report);
    drop_of_last(session);
    if (err)
        prof_report_destroy(report);
    ret->diagnosis = session->diagnosis;
    return err;
}

int session_exit_code(const struct options *options, const struct report_input *input)
{
    if (options->fail_on && input->diagnosis && diagnosis_has(input->diagnosis, options->fail_from))
        return EXIT_FINDING;
    return input->source->complete && !input->interrupted ? EXIT_COMPLETE : EXIT_PARTIAL;
}

int session_finish(struct session *session, const struct prof_run *run,
                   struct report_source_reader lines, const char *command)
{
    struct report_input input;
    struct err *err = session_report(session, run, lines, command, &input);
    if (err)
        return fail(err);
    struct report_input of_profile = input;
    struct prof_report *single = NULL;
    if (!input.profile && outputs_have(session->options, REPORT_OF_PROFILE)) {
        single = session_profile_of(session->strings, input.snapshots, input.snapshot_count, run);
        if (!single) {
            complain("out of memory");
            return EXIT_NO_REPORT;
        }
        of_profile.profile = single;
    }
    bool written = write_report(session->options, &input, &of_profile);
    prof_report_destroy((struct prof_report *)(uintptr_t)input.profile);
    prof_report_destroy(single);
    return written ? session_exit_code(session->options, &input) : EXIT_NO_REPORT;
}
