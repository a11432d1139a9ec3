// SPDX-License-Identifier: GPL-3.0-or-later
// pycore snap: one snapshot or many of a live process. The sampling loop keeps a fixed schedule:
// one snapshot at a random moment of each interval, intervals that were missed are counted.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "cli/recording.h"
#include "cli/session.h"
#include "sample/sampler.h"
#include "target/source.h"
#include "util/guard.h"

#define DEFAULT_INTERVAL_NS 200000000u
#define ONE_SHOT_WINDOW_NS 100000000u // over which a single snapshot's CPU % is measured
#define EXEC_PATIENCE_NS 5000000000u
#define PROGRESS_AFTER_NS 1000000000u

static volatile int interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    // A reader that went away must not end us in the middle of a stop.
    signal(SIGPIPE, SIG_IGN);
}

// Two descriptors for each thread of the target.
static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct loop {
    const struct options *options;
    struct session *session;
    struct sampler *sampler;
    struct snap_natives *natives; // NULL: no native stacks
    struct image *named;          // whose names they are
    struct recording *recording;  // --save; NULL: none
    uint64_t count, interval_ns, limit_ns;
    uint64_t begin_ns, last_ns, first_ns;
    uint64_t last_process_cpu_ns;
    bool had_process_cpu;
    uint64_t lost_ns; // since when there is no Python in the process; 0: there is
    uint64_t random;
    struct prof_run run;
};

// xorshift64*, seeded by the kernel: the moments need to be unpredictable to the target's own
// periods, not to an adversary.
static double random_share(struct loop *loop)
{
    loop->random ^= loop->random >> 12;
    loop->random ^= loop->random << 25;
    loop->random ^= loop->random >> 27;
    return (double)(loop->random * 0x2545f4914f6cdd1dull >> 11) / 9007199254740992.0;
}

static void note_refusal(struct session *session, const struct live *live)
{
    if (!live->refusal)
        return;
    session->incomplete = true;
    snap_note(session->strings, &session->notes,
              "no stacks: the process's memory may not be read. %s", live->refusal);
}

// The names of native code are those of the modules that are there now.
static struct err *name_natives(struct loop *loop, struct image *image, bool changed,
                                struct snap_input *input)
{
    if (!loop->natives)
        loop->natives = snap_natives_create(image, loop->session->strings);
    else if (changed || loop->named != image)
        snap_natives_forget(loop->natives, image);
    loop->named = image;
    if (!loop->natives)
        return err_create(ERR_NO_MEMORY, "snapshot");
    input->natives = loop->natives;
    return NULL;
}

// What the snapshot is built from: what was sampled, or what was recorded of it.
static struct err *gather_input(struct loop *loop, struct sample *sample, bool recorded,
                                struct snap_input *ret)
{
    struct sampler *sampler = loop->sampler;
    struct live *live = sampler->live;
    struct image *image = sampler->image;
    bool changed = sampler->images_changed && !recorded;
    if (recorded) {
        TRY(recording_take_live(loop->recording, sampler, sample, ret, &image));
    } else {
        *ret = (struct snap_input){
            .strings = loop->session->strings,
            .target = live->target,
            .process = sampler->process,
            .state = sampler->process ? &sample->state : NULL,
            .stacks = sample->stacks,
            .stack_count = sample->stack_count,
            .owners = sample->owners,
            .names = sample->names,
            .threads = live->threads.items,
            .thread_count = live->threads.count,
            .native_stacks = sample->natives,
            .raw_native = loop->options->raw_native,
            .stopped = sample->atomic,
        };
    }
    if (!ret->native_stacks && (recorded || !sampler->unwinder))
        return NULL;
    sampler->images_changed = false;
    return name_natives(loop, image, changed, ret);
}

static struct err *build(struct loop *loop, struct sample *sample, bool recorded, uint64_t at_ns,
                         struct snapshot **ret)
{
    struct live *live = loop->sampler->live;
    struct snapshot *snapshot = snapshot_create();
    if (!snapshot)
        return err_create(ERR_NO_MEMORY, "snapshot");
    struct snap_input input;
    struct err *err = gather_input(loop, sample, recorded, &input);
    if (!err)
        err = snapshot_build(&input, snapshot);
    if (err) {
        snapshot_destroy(snapshot);
        return err;
    }
    if (!loop->first_ns)
        loop->first_ns = at_ns;
    snapshot->at_ns = at_ns - loop->first_ns;
    snapshot->pause_ns = sample->pause_ns;
    snapshot->threads_stopped = sample->threads_stopped;
    snapshot->interrupted_calls = (uint32_t)sample->interrupted_calls;
    snapshot->overran = sample->overran;
    snapshot->cpu_window_ns = at_ns - loop->last_ns;
    if (live->has_process_cpu && loop->had_process_cpu &&
        live->process_cpu_ns >= loop->last_process_cpu_ns) {
        snapshot->has_process_cpu = true;
        snapshot->process_cpu_ns = live->process_cpu_ns - loop->last_process_cpu_ns;
    }
    loop->had_process_cpu = live->has_process_cpu;
    loop->last_process_cpu_ns = live->process_cpu_ns;
    loop->last_ns = at_ns;
    if (sample->changed_program)
        fill_process(&loop->session->source, loop->session->strings, live->target,
                     loop->sampler->process);
    session_note_snapshot(loop->session, snapshot, sample->skipped, sample->changed_program);
    err = recorded ? recording_keep(loop->recording, snapshot) : NULL;
    if (err) {
        snapshot_destroy(snapshot);
        return err;
    }
    *ret = snapshot;
    return NULL;
}

static struct err *take_one(struct loop *loop)
{
    struct sample sample;
    struct snapshot *snapshot = NULL;
    TRY(sampler_take(loop->sampler, &sample));
    struct err *err = build(loop, &sample, loop->recording, live_now_ns(), &snapshot);
    sample_deinit(&sample);
    TRY(err);
    session_add(loop->session, snapshot);
    loop->lost_ns = 0;
    return NULL;
}

// Fills the caches (symbols, unwind tables, code objects), so that the first snapshot does not come
// late; nothing is stopped for it, and what it shows is not used.
static struct err *warm_up(struct loop *loop)
{
    struct sample sample;
    struct snapshot *snapshot = NULL;
    enum stop_mode mode = loop->sampler->stop;
    if (!loop->sampler->process)
        return NULL;
    loop->sampler->stop = STOP_NONE;
    struct err *err = sampler_take(loop->sampler, &sample);
    loop->sampler->stop = mode;
    TRY(err);
    err = build(loop, &sample, false, live_now_ns(), &snapshot);
    sample_deinit(&sample);
    snapshot_destroy(snapshot);
    loop->first_ns = 0;
    return err;
}

// The clocks as they are before the first snapshot, so that it can tell CPU shares, too.
static struct err *baseline(struct loop *loop)
{
    TRY(live_look(loop->sampler->live));
    live_account(loop->sampler->live);
    loop->had_process_cpu = loop->sampler->live->has_process_cpu;
    loop->last_process_cpu_ns = loop->sampler->live->process_cpu_ns;
    loop->begin_ns = loop->last_ns = live_now_ns();
    return NULL;
}

// After an exec it takes a moment until there is a Python again: those intervals are missed.
static bool is_between_programs(struct loop *loop, const struct err *err)
{
    uint64_t now_ns = live_now_ns();
    if (err_code(err) != ERR_NOT_FOUND || !loop->session->taken)
        return false;
    if (!loop->lost_ns)
        loop->lost_ns = now_ns;
    loop->run.missed++;
    return now_ns - loop->lost_ns < EXEC_PATIENCE_NS;
}

static struct err *sample_many(struct loop *loop)
{
    uint64_t slot = 0; // interval number since the start; never falls behind the clock
    for (uint64_t k = 0; k < loop->count && !interrupted; k++, slot++) {
        uint64_t now_ns = live_now_ns();
        uint64_t current = (now_ns - loop->begin_ns) / loop->interval_ns;
        if (current > slot) {
            loop->run.missed += current - slot;
            slot = current;
        }
        double share = loop->options->no_jitter ? 0.5 : random_share(loop);
        // Of an interval that has begun already, the rest.
        uint64_t from_ns = loop->begin_ns + slot * loop->interval_ns;
        uint64_t end_ns = from_ns + loop->interval_ns;
        if (!loop->options->no_jitter && from_ns < now_ns)
            from_ns = now_ns < end_ns ? now_ns : end_ns;
        uint64_t tick_ns = from_ns + (uint64_t)(share * (double)(end_ns - from_ns));
        if (loop->limit_ns && tick_ns - loop->begin_ns > loop->limit_ns)
            break;
        if (!live_sleep(loop->sampler->live, tick_ns, &interrupted))
            break;
        struct err *err = take_one(loop);
        if (err && !is_between_programs(loop, err))
            return err;
        if (!err && loop->session->taken == 1 && loop->options->verbose)
            complain("the first snapshot is taken");
        err_destroy(err);
        uint64_t spent_ns = live_now_ns() - loop->begin_ns;
        if (spent_ns > PROGRESS_AFTER_NS)
            progress(loop->options, k + 1, loop->count, (loop->count - k - 1) * loop->interval_ns);
    }
    return NULL;
}

static void plan(struct loop *loop)
{
    const struct options *options = loop->options;
    loop->interval_ns = options->interval_ns ? options->interval_ns : DEFAULT_INTERVAL_NS;
    loop->count = options->count ? options->count : 1;
    if (options->duration_ns) {
        uint64_t fits = options->duration_ns / loop->interval_ns;
        loop->limit_ns = options->duration_ns;
        if (!options->count)
            loop->count = fits ? fits : 1;
    }
    if (getrandom(&loop->random, sizeof(loop->random), 0) != sizeof(loop->random) || !loop->random)
        loop->random = live_now_ns() | 1;
}

static struct err *sample_one(struct loop *loop)
{
    live_sleep(loop->sampler->live, loop->begin_ns + ONE_SHOT_WINDOW_NS, &interrupted);
    return take_one(loop);
}

static int finish(struct loop *loop, struct err *err, int argc, char **argv)
{
    struct session *session = loop->session;
    progress_end(loop->options);
    if (err && !session->taken)
        return fail(err);
    if (loop->recording)
        recording_mark(loop->recording);
    if (err) {
        session->incomplete = true;
        snap_note(session->strings, &session->notes, "ended after %llu of %llu snapshots: %s",
                  (unsigned long long)session->taken, (unsigned long long)loop->count,
                  err_message(err));
        err_destroy(err);
    } else if (interrupted && session->taken < loop->count) {
        session->interrupted = true;
        snap_note(session->strings, &session->notes, "interrupted after %llu of %llu snapshots",
                  (unsigned long long)session->taken, (unsigned long long)loop->count);
        if (!session->taken) {
            complain("interrupted before the first snapshot");
            return EXIT_NO_REPORT;
        }
    }
    fill_notes(&session->source, session->strings, loop->sampler->live->target);
    loop->run.interval_ns = loop->interval_ns;
    loop->run.duration_ns = loop->last_ns - loop->begin_ns;
    AUTO_FREE char *command = command_text(argc, argv);
    struct source *lines = source_create_live(loop->sampler->live->pid);
    session->source.process.start_time_ns = proc_start_time_ns(loop->sampler->live->start_ticks);
    if (lines)
        source_set_start(lines, session->source.process.start_time_ns);
    loop->run.own_cpu_ns = session_own_cpu_ns(session);
    bool saved = !loop->recording || recording_write(loop->recording, &loop->run, lines, command);
    int code = session_finish(session, &loop->run, session_lines(lines), command);
    source_destroy(lines);
    return saved ? code : EXIT_NO_REPORT;
}

static int run_loop(struct loop *loop, int argc, char **argv)
{
    struct session *session = loop->session;
    struct live *live = loop->sampler->live;
    session->source.kind = SNAP_LIVE;
    fill_process(&session->source, session->strings, live->target, loop->sampler->process);
    note_refusal(session, live);
    if (loop->options->verbose && loop->sampler->process)
        complain("Python %s (%s), found by %s", loop->sampler->process->version,
                 py_build_name(loop->sampler->process->dec.layout.build),
                 loop->sampler->process->found_by);
    struct err *err = NULL;
    if (loop->options->save && !loop->sampler->process)
        complain("nothing can be saved of a process whose memory may not be read");
    else if (loop->options->save)
        err = recording_create(session, false, &loop->recording);
    if (!err && loop->recording)
        recorder_attach(recording_recorder(loop->recording), loop->sampler);
    if (!err)
        err = warm_up(loop);
    if (!err)
        err = baseline(loop);
    if (!err && loop->options->verbose)
        complain("caches are filled: the first snapshot comes now");
    if (!err)
        err = session->profile ? sample_many(loop) : sample_one(loop);
    return finish(loop, err, argc, argv);
}

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

int run_snap(const struct options *options, int argc, char **argv)
{
    pid_t pid;
    int code = pid_of(options, &pid);
    if (code)
        return code;
    if (!outputs_look_writable(options))
        return EXIT_NO_REPORT;
    struct session session;
    struct loop loop = {.options = options, .session = &session};
    plan(&loop);
    struct err *err = session_init(&session, options, options->count > 1 || options->duration_ns);
    catch_signals();
    allow_descriptors();
    struct sampler_options sampling = {
        .stop = options->stop,
        .no_native = options->no_native,
        .debuginfod = options->debuginfod,
        .max_pause_ns = options->max_pause_ns,
    };
    if (!err)
        err = sampler_open(pid, session.strings, &sampling, &loop.sampler);
    code = err ? fail(err) : run_loop(&loop, argc, argv);
    snap_natives_destroy(loop.natives);
    recording_destroy(loop.recording);
    sampler_close(loop.sampler);
    session_deinit(&session);
    return code;
}
