// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/loop.h.
#include "cli/loop.h"

#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "cli/recording.h"
#include "cli/signals.h"
#include "target/source.h"
#include "util/guard.h"

#define DEFAULT_INTERVAL_NS 200000000u
#define ONE_SHOT_WINDOW_NS 100000000u // over which a single snapshot's CPU % is measured
#define EXEC_PATIENCE_NS 5000000000u
#define PROGRESS_AFTER_NS 1000000000u
#define NAP_NS 50000000u

void loop_allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void loop_init(struct loop *loop, struct session *session)
{
    const struct options *options = session->options;
    struct sampler_options sampling = sampling_of(options);
    *loop = (struct loop){.session = session};
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
    loop_allow_descriptors();
    subjects_init(&loop->subjects, session, &sampling);
}

void loop_deinit(struct loop *loop)
{
    recording_destroy(loop->recording);
    subjects_deinit(&loop->subjects);
    source_destroy(loop->lines);
    err_destroy(loop->err);
    loop->err = NULL;
}

// xorshift64*, seeded by the kernel: the moments need to be unpredictable to the target's own
// periods, not to an adversary.
static double random_share(struct loop *loop)
{
    loop->random ^= loop->random >> 12;
    loop->random ^= loop->random << 25;
    loop->random ^= loop->random >> 27;
    return (double)(loop->random * 0x2545f4914f6cdd1dull >> 11) / 9007199254740992.0;
}

// The numbers of the run so far. A capture and its report have the same.
static void settle_run(struct loop *loop)
{
    loop->run.interval_ns = loop->interval_ns;
    loop->run.duration_ns = loop->last_ns - loop->begin_ns;
    loop->run.own_cpu_ns = session_own_cpu_ns(loop->session);
}

static int report(struct loop *loop, const char *command)
{
    session_find_packages(loop->session, loop->lines);
    return session_finish(loop->session, &loop->run, session_lines(loop->lines), command);
}

// To all outputs, while the run goes on. What it says of itself is forgotten afterwards.
static void write_interim(struct loop *loop)
{
    struct session *session = loop->session;
    const struct options *options = session->options;
    interim_wanted = 0;
    progress_end(options);
    if (!loop->argv || !session->taken) {
        complain("no snapshot has been taken yet: there is nothing to report");
        return;
    }
    size_t count = session->notes.count;
    AUTO_FREE char *command = command_text(loop->argc, loop->argv);
    session->interim = true;
    snap_note(session->strings, &session->notes,
              "interim report after %llu snapshots: the run goes on",
              (unsigned long long)session->taken);
    complain("interim report after %llu snapshots: the run goes on",
             (unsigned long long)session->taken);
    settle_run(loop);
    report(loop, command);
    session->interim = false;
    session->notes.count = count;
}

// Until `until_ns` (CLOCK_MONOTONIC). False: the run is to end.
static bool wait_until(struct loop *loop, uint64_t until_ns)
{
    for (;;) {
        bool more;
        if (interrupted || (loop->idle && !loop->idle(loop->idle_arg, loop)))
            return false;
        if (interim_wanted)
            write_interim(loop);
        loop->err = subjects_follow(&loop->subjects, &more);
        if (loop->err)
            return false;
        uint64_t now_ns = live_now_ns();
        if (now_ns >= until_ns)
            return true;
        if (more)
            continue;
        // A signal between the test above and the wait would be missed: hence the short naps.
        uint64_t left_ns = until_ns - now_ns < NAP_NS ? until_ns - now_ns : NAP_NS;
        nanosleep(&(struct timespec){0, (long)left_ns}, NULL);
    }
}

static struct err *take_one(struct loop *loop)
{
    struct snapshot *snapshot = NULL;
    TRY(subjects_take(&loop->subjects, &snapshot));
    struct err *err = loop->recording ? recording_keep(loop->recording, snapshot) : NULL;
    if (err) {
        snapshot_destroy(snapshot);
        return err;
    }
    loop->last_ns = loop->subjects.first_ns + snapshot->at_ns;
    session_add(loop->session, snapshot);
    loop->lost_ns = 0;
    return NULL;
}

// After an exec it takes a moment until there is a Python again: those intervals are missed.
static bool is_between_programs(struct loop *loop, const struct err *err)
{
    uint64_t now_ns = live_now_ns();
    if (loop->until_idle && err_code(err) == ERR_GONE)
        return true;
    if (err_code(err) != ERR_NOT_FOUND || (!loop->session->taken && !loop->until_idle))
        return false;
    if (!loop->lost_ns)
        loop->lost_ns = now_ns;
    loop->run.missed++;
    return loop->until_idle || now_ns - loop->lost_ns < EXEC_PATIENCE_NS;
}

// The moment of the next snapshot, in interval `slot` or, when that is over, in a later one.
static uint64_t next_tick(struct loop *loop, uint64_t *slot)
{
    bool jitter = !loop->session->options->no_jitter;
    uint64_t now_ns = live_now_ns();
    uint64_t current = (now_ns - loop->begin_ns) / loop->interval_ns;
    // What passed after the end of the run was not missed.
    if (loop->limit_ns && current > loop->limit_ns / loop->interval_ns)
        current = loop->limit_ns / loop->interval_ns;
    if (current > *slot) {
        loop->run.missed += current - *slot;
        *slot = current;
    }
    double share = jitter ? random_share(loop) : 0.5;
    // Of an interval that has begun already, the rest.
    uint64_t from_ns = loop->begin_ns + *slot * loop->interval_ns;
    uint64_t end_ns = from_ns + loop->interval_ns;
    if (jitter && from_ns < now_ns)
        from_ns = now_ns < end_ns ? now_ns : end_ns;
    return from_ns + (uint64_t)(share * (double)(end_ns - from_ns));
}

static struct err *sample_many(struct loop *loop)
{
    const struct options *options = loop->session->options;
    uint64_t slot = 0; // interval number since the start; never falls behind the clock
    for (uint64_t k = 0; k < loop->count && !interrupted; k++, slot++) {
        uint64_t tick_ns = next_tick(loop, &slot);
        if (loop->limit_ns && tick_ns - loop->begin_ns > loop->limit_ns)
            break;
        if (!wait_until(loop, tick_ns))
            break;
        loop->subjects.is_last = k + 1 == loop->count ||
                                 (loop->limit_ns && live_now_ns() - loop->begin_ns +
                                                            loop->interval_ns > loop->limit_ns);
        struct err *err = take_one(loop);
        if (err && !is_between_programs(loop, err))
            return err;
        if (!err && loop->session->taken == 1 && options->verbose)
            complain("the first snapshot is taken");
        err_destroy(err);
        if (!loop->until_idle && live_now_ns() - loop->begin_ns > PROGRESS_AFTER_NS)
            progress(options, k + 1, loop->count, (loop->count - k - 1) * loop->interval_ns);
    }
    return NULL;
}

static struct err *sample_one(struct loop *loop)
{
    wait_until(loop, loop->begin_ns + ONE_SHOT_WINDOW_NS);
    return loop->err ? NULL : take_one(loop);
}

static struct err *begin_recording(struct loop *loop)
{
    if (!loop->session->options->save)
        return NULL;
    struct subject *subject = loop->subjects.items.items[0];
    if (!subject->sampler->process) {
        complain("nothing can be saved of a process whose memory may not be read");
        return NULL;
    }
    TRY(recording_create(loop->session, false, &loop->recording));
    recorder_attach(recording_recorder(loop->recording), subject->sampler);
    subject->recording = loop->recording;
    return NULL;
}

void loop_run(struct loop *loop)
{
    struct session *session = loop->session;
    struct err *err = begin_recording(loop);
    if (!err)
        err = subjects_begin(&loop->subjects);
    loop->begin_ns = loop->last_ns = live_now_ns();
    loop->lines = source_create_live(loop->subjects.items.count
                                         ? loop->subjects.items.items[0]->sampler->live->pid
                                         : session->source.pid);
    if (loop->lines)
        source_set_start(loop->lines, session->source.process.start_time_ns);
    if (!err && session->options->verbose)
        complain("caches are filled: the first snapshot comes now");
    if (!err)
        err = session->profile ? sample_many(loop) : sample_one(loop);
    if (!loop->err)
        loop->err = err;
    progress_end(session->options);
}

// Why there are fewer snapshots than were asked for.
static void note_end(struct loop *loop)
{
    struct session *session = loop->session;
    unsigned long long taken = session->taken, count = loop->count;
    if (loop->err) {
        session->incomplete = true;
        snap_note(session->strings, &session->notes, "ended after %llu of %llu snapshots: %s",
                  taken, count, err_message(loop->err));
    } else if (interrupted && taken < count) {
        session->interrupted = true;
        snap_note(session->strings, &session->notes, "interrupted after %llu of %llu snapshots",
                  taken, count);
    }
}

int loop_finish(struct loop *loop, int argc, char **argv)
{
    struct session *session = loop->session;
    if (loop->err && !session->taken)
        return fail(TAKE(loop->err));
    if (loop->recording)
        recording_mark(loop->recording);
    note_end(loop);
    if (!session->taken) {
        complain("interrupted before the first snapshot");
        return EXIT_NO_REPORT;
    }
    vec_foreach (subject, &loop->subjects.items)
        fill_notes(&session->source, session->strings, (*subject)->sampler->live->target);
    AUTO_FREE char *command = command_text(argc, argv);
    settle_run(loop);
    session_find_packages(session, loop->lines);
    bool saved =
        !loop->recording || recording_write(loop->recording, &loop->run, loop->lines, command);
    int code = report(loop, command);
    return saved ? code : EXIT_NO_REPORT;
}
