// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/top_run.h.
#include "cli/top_run.h"

#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/loop.h"
#include "cli/top_keys.h"
#include "target/source.h"
#include "util/guard.h"

#define FIRST_INTERVAL_NS 100000000u
#define SHORTEST_INTERVAL_NS 50000000u
#define LONGEST_INTERVAL_NS 500000000u // 20 snapshots in the window are few enough
#define PAUSE_SHARE_MAX 0.008          // of the time; a report warns of 0.01
#define OWN_SHARE_MAX 0.04             // of a processor
#define EXEC_PATIENCE_NS 5000000000u
#define END_PATIENCE_NS 1000000000u

// ---- Begin and end -------------------------------------------------------------------------------

// The one process that is looked at; of one alone the subject stays when it has ended.
static const struct live *live_of(const struct top_run *run)
{
    return run->subjects.items.items[0]->sampler->live;
}

struct err *top_run_open(struct top_run *run, const struct options *options, pid_t pid, int argc,
                         char **argv)
{
    struct sampler_options sampling = sampling_of(options);
    *run = (struct top_run){
        .interval_ns = options->interval_ns ? options->interval_ns : FIRST_INTERVAL_NS,
        .adapts = !options->interval_ns,
        .state = {.native = !options->no_native, .function_sort = options->report.sort},
        .command = command_text(argc, argv)};
    struct err *err = session_init(&run->session, options, true);
    subjects_init(&run->subjects, &run->session, &sampling);
    TRY(err);
    loop_allow_descriptors();
    TRY(subjects_add(&run->subjects, pid));
    const struct live *live = live_of(run);
    run->pid = pid;
    run->start_ticks = live->start_ticks;
    if (live->refusal && asprintf(&run->status, "no stacks: %s", live->refusal) < 0)
        run->status = NULL;
    run->lines = source_create_live(pid);
    if (run->lines)
        source_set_start(run->lines, run->session.source.process.start_time_ns);
    return NULL;
}

void top_run_close(struct top_run *run)
{
    prof_report_destroy(run->report);
    top_window_deinit(&run->window);
    source_destroy(run->lines);
    subjects_deinit(&run->subjects);
    session_deinit(&run->session);
    free(run->command);
    free(run->status);
}

struct err *top_run_begin(struct top_run *run)
{
    TRY(subjects_begin(&run->subjects));
    uint64_t counted_ns = run->last_ns - run->begin_ns;
    run->last_ns = run->slot_ns = run->next_ns = run->look_ns = live_now_ns();
    run->begin_ns = run->last_ns - counted_ns;
    run->own_cpu_ns = run->look_own_ns = session_own_cpu_ns(&run->session);
    run->look_pause_ns = 0;
    return NULL;
}

// ---- Snapshots -----------------------------------------------------------------------------------

// A random moment of the next interval, so that a periodic program is not seen at one phase only.
static void plan_next(struct top_run *run)
{
    uint64_t now_ns = live_now_ns();
    uint32_t random = UINT32_MAX / 2;
    if (getrandom(&random, sizeof(random), 0) < 0)
        random = UINT32_MAX / 2;
    if (run->slot_ns < now_ns && now_ns - run->slot_ns > run->interval_ns)
        run->slot_ns = now_ns; // intervals that were missed are not made up for
    run->next_ns =
        run->slot_ns + (uint64_t)((double)random / UINT32_MAX * (double)run->interval_ns);
    run->slot_ns += run->interval_ns;
}

static void say(struct top_run *run, char *status)
{
    free(run->status);
    run->status = status;
}

// Its memory goes before the last one of its threads does, and only then it is a zombie.
static bool is_ending(const struct top_run *run)
{
    struct proc_stat stat;
    AUTO_ERR struct err *err = proc_thread_stat(run->pid, run->pid, &stat);
    return !err && stat.start_ticks == run->start_ticks && stat.state != 'Z' && stat.state != 'X';
}

// Its exit status can be told only as long as nobody has asked for it: it is a zombie.
static char *how_it_ended(const struct top_run *run)
{
    char *text = NULL;
    int status, size;
    uint64_t until_ns = live_now_ns() + END_PATIENCE_NS;
    while (is_ending(run) && live_now_ns() < until_ns)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    if (!proc_wait_status(run->pid, run->start_ticks, &status))
        size = asprintf(&text, "process %d has ended", run->pid);
    else if (WIFSIGNALED(status))
        size = asprintf(&text, "process %d has ended (killed by signal %d, %s)", run->pid,
                        WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        size =
            asprintf(&text, "process %d has ended (exit status %d)", run->pid, WEXITSTATUS(status));
    return size < 0 ? NULL : text;
}

// After an exec it takes a moment until there is a Python again.
static bool may_come_back(struct top_run *run, const struct err *err)
{
    uint64_t now_ns = live_now_ns();
    if (err_code(err) != ERR_NOT_FOUND || !run->subjects.first_ns)
        return false;
    if (!run->lost_ns)
        run->lost_ns = now_ns;
    return now_ns - run->lost_ns < EXEC_PATIENCE_NS;
}

static void note_end(struct top_run *run, const struct err *err)
{
    run->ended = true;
    say(run, err_code(err) == ERR_GONE ? how_it_ended(run) : strdup(err_message(err)));
}

void top_run_sample(struct top_run *run)
{
    struct snapshot *snapshot = NULL;
    if (run->ended)
        return;
    plan_next(run);
    AUTO_ERR struct err *err = subjects_take(&run->subjects, &snapshot);
    if (err) {
        if (!may_come_back(run, err))
            note_end(run, err);
        return;
    }
    run->lost_ns = 0;
    run->last_ns = run->subjects.first_ns + snapshot->at_ns;
    run->look_pause_ns += snapshot->pause_ns;
    session_count(&run->session, snapshot);
    uint64_t own_ns = session_own_cpu_ns(&run->session);
    top_window_add(&run->window, snapshot, own_ns - run->own_cpu_ns);
    run->own_cpu_ns = own_ns;
}

void top_run_adapt(struct top_run *run)
{
    uint64_t now_ns = live_now_ns(), own_ns = session_own_cpu_ns(&run->session);
    double time_ns = (double)(now_ns - run->look_ns);
    double pause = (double)run->look_pause_ns / time_ns / PAUSE_SHARE_MAX;
    double own = (double)(own_ns - run->look_own_ns) / time_ns / OWN_SHARE_MAX;
    double load = pause > own ? pause : own;
    run->look_ns = now_ns;
    run->look_own_ns = own_ns;
    run->look_pause_ns = 0;
    if (!run->adapts || time_ns <= 0)
        return;
    if (load > 1)
        run->interval_ns = (uint64_t)((double)run->interval_ns * (load < 4 ? load : 4));
    else if (load < 0.4)
        run->interval_ns = run->interval_ns * 4 / 5;
    if (run->interval_ns < SHORTEST_INTERVAL_NS)
        run->interval_ns = SHORTEST_INTERVAL_NS;
    if (run->interval_ns > LONGEST_INTERVAL_NS)
        run->interval_ns = LONGEST_INTERVAL_NS;
}

// ---- Counting ------------------------------------------------------------------------------------

static struct prof_report *count_all(const struct top_run *run)
{
    struct prof_run all = {.interval_ns = run->interval_ns,
                           .duration_ns = run->last_ns - run->begin_ns,
                           .own_cpu_ns = session_own_cpu_ns(&run->session)};
    return run->session.taken ? profile_report(run->session.profile, &all) : NULL;
}

void top_run_count(struct top_run *run)
{
    if (run->state.paused)
        return;
    struct prof_report *report =
        run->state.whole ? count_all(run)
                         : top_window_report(&run->window, run->session.strings, run->interval_ns);
    if (!report && run->session.taken)
        return; // out of memory: what was shown stays
    prof_report_destroy(run->report);
    run->report = report;
    run->latest = top_window_show(&run->window);
}

void top_run_restart(struct top_run *run)
{
    run->state.paused = false;
    if (run->ended || !session_restart(&run->session))
        return;
    run->begin_ns = run->last_ns;
    run->own_cpu_ns = run->look_own_ns = 0;
    top_window_clear(&run->window);
    top_run_count(run);
}

// ---- Showing and saving --------------------------------------------------------------------------

static struct report_input input_of(const struct top_run *run, const struct prof_report *profile)
{
    return (struct report_input){.tool_version = PACKAGE_VERSION,
                                 .command = run->command,
                                 .strings = run->session.strings,
                                 .source = &run->session.source,
                                 .profile = profile,
                                 .notes = &run->session.notes,
                                 .source_reader = session_lines(run->lines)};
}

struct top_values top_run_values(const struct top_run *run, struct report_input *ret_input)
{
    *ret_input = input_of(run, run->report);
    ret_input->snapshots = &run->latest;
    ret_input->snapshot_count = run->latest != NULL;
    return (struct top_values){
        .input = ret_input, .suspended = top_window_suspended(&run->window), .status = run->status};
}

static void say_result(struct top_state *state, bool alert, const char *before, const char *text)
{
    GUARD(plain_deinit) struct plain line = {0};
    plain_str(&line, before);
    plain_safe(&line, text, strlen(text));
    snprintf(state->message, sizeof(state->message), "%s", plain_text(&line));
    state->alert = alert;
}

void top_run_save(struct top_run *run, const char *path)
{
    char before[96];
    struct session *session = &run->session;
    struct prof_report *report = count_all(run);
    if (!report) {
        say_result(&run->state, true, "not saved: there is no snapshot so far", "");
        return;
    }
    session->source.complete = !session->incomplete;
    struct report_input input = input_of(run, report);
    AUTO_ERR struct err *err = write_report_to(session->options, path, &input);
    snprintf(before, sizeof(before),
             "saved, %llu snapshots over %.1f s: ", (unsigned long long)report->snapshots,
             (double)report->duration_ns / 1e9);
    say_result(&run->state, err != NULL, err ? "not saved: " : before,
               err ? err_message(err) : path);
    prof_report_destroy(report);
}
