// SPDX-License-Identifier: GPL-3.0-or-later
// pycore gcore: a full core of a process that goes on living. It is stopped while its memory is
// written, or, with --fork, only until a frozen copy of it exists.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/outfile.h"
#include "dump/dump.h"
#include "target/frozen.h"
#include "target/live.h"
#include "util/guard.h"

#define STOP_DEADLINE_NS 1000000000u
#define REHEARSAL_BYTES (32u << 20)
#define PROGRESS_AFTER_NS 300000000u
#define PROGRESS_EVERY_NS 100000000u
#define BAR_WIDTH 24
#define SPARE_BYTES (1u << 20) // headers, notes, and what the file system keeps to itself

static volatile int interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

// Under a stop these wait until the target runs on: then live_asked_to_end() sees them first.
static void catch_signals(void)
{
    static const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal}, now;
    for (size_t i = 0; i < ARRAY_SIZE(asking); i++)
        if (sigaction(asking[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaction(asking[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool asked_to_end(void)
{
    return interrupted || live_asked_to_end() != 0;
}

struct gcore {
    const struct options *options;
    pid_t pid;
    char *path;
    struct live *live;
    struct frozen *frozen;
    struct outfile file;
    struct target_mappings mappings;
    struct dump_input input;
    struct dump_result result;
    uint64_t speed, pause_ns, shown_ns;
    size_t unstopped, nowhere; // threads
    const char *why;
};

// ---- Words --------------------------------------------------------------------------------------

static const char *size_text(uint64_t bytes, char room[static 32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1024;
    snprintf(room, 32, unit && value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return room;
}

static const char *time_text(uint64_t ns, char room[static 32])
{
    double seconds = (double)ns / 1e9;
    if (seconds < 1)
        snprintf(room, 32, "%.*f ms", seconds < 0.01, seconds * 1e3);
    else
        snprintf(room, 32, "%.*f s", seconds < 10, seconds);
    return room;
}

// On a terminal that takes no more (Ctrl-S) nothing is shown: the target may be waiting.
static void show_progress(const struct dump_progress *progress)
{
    struct pollfd terminal = {STDERR_FILENO, POLLOUT, 0};
    uint64_t spent_ns = live_now_ns() - progress->began_ns, done = progress->done_bytes;
    uint64_t total = progress->total_bytes > done ? progress->total_bytes : done;
    if (!total || !spent_ns || poll(&terminal, 1, 0) != 1)
        return;
    char line[160], bar[BAR_WIDTH + 1], size[32];
    double share = (double)done / (double)total, speed = (double)done / ((double)spent_ns / 1e9);
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(share * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    int length = snprintf(line, sizeof(line), "\r\033[K[%s] %3.0f %% of %s, %.0f MB/s, %.0f s left",
                          bar, share * 100, size_text(total, size), speed / 1e6,
                          speed > 0 ? (double)(total - done) / speed : 0.0);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return;
}

static bool on_progress(void *arg, const struct dump_progress *progress)
{
    struct gcore *gcore = arg;
    uint64_t now_ns = live_now_ns();
    bool due = now_ns - progress->began_ns > PROGRESS_AFTER_NS &&
               now_ns - gcore->shown_ns > PROGRESS_EVERY_NS;
    if (due && !gcore->options->quiet && isatty(STDERR_FILENO)) {
        gcore->shown_ns = now_ns;
        progress_mark();
        show_progress(progress);
    }
    return !asked_to_end();
}

// ---- Before -------------------------------------------------------------------------------------

static struct err *check_space(const struct gcore *gcore, uint64_t bytes)
{
    struct statvfs info;
    char want[32], have[32];
    // What compression leaves is not known before.
    if (gcore->options->compression != DUMP_PLAIN || fstatvfs(gcore->file.fd, &info) != 0 ||
        !info.f_blocks)
        return NULL;
    uint64_t blocks = geteuid() == 0 ? info.f_bfree : info.f_bavail;
    uint64_t free_bytes = blocks * info.f_frsize;
    if (free_bytes >= bytes && free_bytes - bytes >= SPARE_BYTES)
        return NULL;
    return err_create(ERR_OS,
                      "%s: the core needs %s, and the disk has %s left; another place, --compress, "
                      "or a smaller --filter would help",
                      gcore->path, size_text(bytes, want), size_text(free_bytes, have));
}

static void announce(struct gcore *gcore, uint64_t bytes)
{
    char size[32], pause[32];
    if (gcore->options->quiet)
        return;
    if (!gcore->speed) {
        complain("process %d waits while %s are written", gcore->pid, size_text(bytes, size));
        return;
    }
    uint64_t pause_ns = (uint64_t)((double)bytes / (double)gcore->speed * 1e9);
    complain("process %d waits while %s are written: about %s at %.0f MB/s (--fork shortens that, "
             "--mini needs next to nothing)",
             gcore->pid, size_text(bytes, size), time_text(pause_ns, pause),
             (double)gcore->speed / 1e6);
}

static struct err *prepare(struct gcore *gcore)
{
    const struct options *options = gcore->options;
    struct dump_input *input = &gcore->input;
    TRY(outfile_check(gcore->path));
    TRY(live_open(gcore->pid, &gcore->live));
    if (!gcore->live->can_stop)
        return err_create(ERR_PERMISSION, "%s", gcore->live->refusal);
    TRY(outfile_begin(gcore->path, OUTFILE_EVIDENCE, &gcore->file));
    if (gcore->file.in_place)
        return err_create(ERR_UNSUPPORTED, "%s is no regular file, and a core cannot go elsewhere",
                          gcore->path);
    input->pid = gcore->pid;
    input->memory_pid = gcore->live->reader;
    input->mem = gcore->live->target->mem;
    input->mappings = &gcore->live->target->mappings;
    TRY(live_look(gcore->live)); // also tells how memory is to be read
    TRY(dump_input_facts(input));
    if (options->filter >= 0)
        input->filter = (unsigned)options->filter;
    uint64_t bytes = dump_expected_bytes(gcore->live->reader, input->filter);
    TRY(check_space(gcore, bytes));
    if (!options->fork) {
        gcore->speed = dump_rehearse(gcore->file.fd, input, options->compression, REHEARSAL_BYTES);
        announce(gcore, bytes);
    }
    return asked_to_end() ? err_create(ERR_OTHER, "interrupted") : NULL;
}

// ---- The dump -----------------------------------------------------------------------------------

static struct err *write_core(struct gcore *gcore)
{
    const struct dump_options options = {
        .compression = gcore->options->compression,
        .progress = on_progress,
        .arg = gcore,
    };
    TRY(dump_look_at_mappings(&gcore->input));
    TRY(check_space(gcore, dump_estimate_bytes(&gcore->input)));
    return dump_write(gcore->file.fd, &gcore->input, &options, &gcore->result);
}

static void count_threads(struct gcore *gcore)
{
    vec_foreach (thread, &gcore->live->threads) {
        if (thread->state == LIVE_STOPPED || thread->state == LIVE_GONE)
            continue;
        gcore->unstopped++;
        gcore->nowhere += !thread->has_regs;
        gcore->why = thread->why ? thread->why : "it did not stop in time";
    }
}

static struct err *dump_stopped(struct gcore *gcore)
{
    struct live *live = gcore->live;
    gcore->input.mappings = &gcore->mappings;
    TRY(regsets_read_all(live, &gcore->input.threads));
    TRY(proc_mappings(live->reader, &gcore->mappings));
    // Once more: it may have called exec since.
    unsigned filter = gcore->input.filter;
    TRY(dump_input_facts(&gcore->input));
    gcore->input.filter = filter;
    return write_core(gcore);
}

static struct err *dump_live(struct gcore *gcore)
{
    struct stop_times times = {0};
    struct live *live = gcore->live;
    struct err *err = live_stop(live, true, STOP_DEADLINE_NS, &times);
    live_stay_stopped(live);
    count_threads(gcore);
    if (!err)
        err = dump_stopped(gcore);
    live_resume(live, &times);
    gcore->pause_ns = times.end_ns - times.begin_ns;
    // Lets go of those that did not stop in time, and takes signals again.
    live_close(TAKE(gcore->live));
    return err;
}

static struct err *dump_forked(struct gcore *gcore)
{
    struct frozen_estimate estimate = {0};
    struct err *err = frozen_estimate(gcore->pid, &estimate);
    if (!err && !estimate.refusal && estimate.text && !gcore->options->quiet)
        complain("%s", estimate.text);
    if (!err && estimate.refusal)
        err = err_create(ERR_UNSUPPORTED, "--fork: %s", estimate.refusal);
    frozen_estimate_deinit(&estimate);
    if (!err)
        err = frozen_create(gcore->pid, NULL, &gcore->frozen);
    if (err)
        return err;
    struct frozen *frozen = gcore->frozen;
    gcore->input.memory_pid = frozen->child;
    gcore->input.mem = frozen->mem;
    gcore->input.mappings = &frozen->mappings;
    gcore->input.threads = frozen->threads;
    frozen->threads = (struct regsets_threads){0};
    regsets_read_names(&gcore->input.threads);
    gcore->pause_ns = frozen->pause_ns;
    err = write_core(gcore);
    vec_foreach (note, &frozen->notes)
        complain("%s", *note);
    struct err *left = frozen_destroy(TAKE(gcore->frozen));
    if (left)
        complain("%s", err_message(left));
    err_destroy(left);
    return err;
}

// ---- After --------------------------------------------------------------------------------------

static int conclude(struct gcore *gcore, uint64_t disk_bytes)
{
    char memory[32], disk[32], pause[32], hole[32];
    const struct dump_result *result = &gcore->result;
    if (!gcore->options->quiet)
        complain("%s: %s of memory, %s on disk; the process waited %s", gcore->path,
                 size_text(result->memory_bytes, memory), size_text(disk_bytes, disk),
                 time_text(gcore->pause_ns, pause));
    if (gcore->unstopped)
        complain("threads that could not be stopped: %zu (%s); the core has of %zu the registers "
                 "that the kernel shows, and nothing of %zu",
                 gcore->unstopped, gcore->why, gcore->unstopped - gcore->nowhere, gcore->nowhere);
    if (result->unreadable_bytes)
        complain("%s at 0x%llx and behind could not be read: the core has zeros there",
                 size_text(result->unreadable_bytes, hole),
                 (unsigned long long)result->first_unreadable);
    return gcore->unstopped || result->unreadable_bytes ? EXIT_PARTIAL : EXIT_COMPLETE;
}

static int take_core(struct gcore *gcore)
{
    struct err *err = prepare(gcore);
    if (!err)
        err = gcore->options->fork ? dump_forked(gcore) : dump_live(gcore);
    if (!gcore->options->quiet)
        progress_end(gcore->options);
    struct stat info = {0};
    bool begun = gcore->file.fd >= 0;
    if (begun)
        fstat(gcore->file.fd, &info);
    if (begun && err)
        outfile_abort(&gcore->file);
    if (!err)
        err = outfile_commit(&gcore->file);
    if (err && asked_to_end())
        err = err_wrap(err, "no core of process %d, which runs on", gcore->pid);
    return err ? fail(err) : conclude(gcore, (uint64_t)info.st_blocks * 512);
}

// Who reads cores looks for core.PID, and so does gcore(1) name them.
static int choose(const struct options *options, struct gcore *ret)
{
    int64_t pid = options->pid;
    char *end = NULL;
    if (pid < 0 && options->file_count == 1) {
        errno = 0;
        pid = strtoll(options->files[0], &end, 10);
        if (errno || *end)
            pid = 0;
    } else if (options->file_count > 0) {
        pid = -1;
    }
    if (pid < 1 || pid > INT32_MAX || options->output_count > 1) {
        complain("gcore takes one process number and at most one -o; \"pycore help gcore\" shows "
                 "the options");
        return EXIT_USAGE;
    }
    ret->pid = (pid_t)pid;
    if (options->output_count)
        ret->path = strdup(options->outputs[0]);
    else if (asprintf(&ret->path, "core.%d", ret->pid) < 0)
        ret->path = NULL;
    return ret->path ? 0 : fail(err_create(ERR_NO_MEMORY, "out of memory"));
}

// --mini: what snap --save keeps, and nothing is printed.
static int run_mini(const struct gcore *gcore, int argc, char **argv)
{
    struct options snap = *gcore->options;
    if (snap.fork || snap.compression != DUMP_PLAIN || snap.filter >= 0) {
        complain(
            "--mini goes with none of --fork, --compress, --filter (a FILE that ends in .gz is "
            "compressed)");
        return EXIT_USAGE;
    }
    snap.pid = gcore->pid;
    snap.file_count = 0;
    snap.save = gcore->path;
    snap.outputs[0] = "/dev/null";
    snap.output_count = 1;
    return run_snap(&snap, argc, argv);
}

int run_gcore(const struct options *options, int argc, char **argv)
{
    struct gcore gcore = {.options = options, .file = {.fd = -1, .folder = -1}};
    int code = choose(options, &gcore);
    const char *missing = dump_compression_missing(options->compression);
    if (!code && missing)
        code = fail(err_create(ERR_UNSUPPORTED, "%s", missing));
    if (!code && options->mini)
        code = run_mini(&gcore, argc, argv);
    else if (!code) {
        catch_signals();
        code = take_core(&gcore);
    }
    dump_input_deinit(&gcore.input);
    proc_mappings_clear(&gcore.mappings);
    live_close(gcore.live);
    free(gcore.path);
    return code;
}
