// SPDX-License-Identifier: GPL-3.0-or-later
// Unpacks a compressed file: from fixed buffers through a decoder into the temporary file. What
// came before a cut or damage is kept, and it is said where that was.
#include "target/packed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/guard.h"

#define BUFFER_BYTES (256u << 10)
#define MAGIC_BYTES_MAX 8u
#define FIRST_LOOK_BYTES 4096u
// What may follow the part of the file that is wanted, to be unpacked for its checksum's sake.
#define SLACK_BYTES (64ull << 20)
#define DEFAULT_MAX_BYTES (128ull << 30)
#define DEFAULT_MAX_RATIO 200u
#define PROGRESS_NS 100000000
#define SKIPPABLE 0x184d2a50u // and fifteen more
#define SKIPPABLE_MAX 64      // frames before the first one

#ifdef HAVE_LIBZSTD
#define ZSTD_DECODER &packed_zstd
#else
#define ZSTD_DECODER NULL
#endif
#ifdef HAVE_LIBLZ4
#define LZ4_DECODER &packed_lz4
#else
#define LZ4_DECODER NULL
#endif
#ifdef HAVE_LIBLZMA
#define XZ_DECODER &packed_xz
#else
#define XZ_DECODER NULL
#endif

static const struct packed_format formats[] = {
    {"gzip", "\x1f\x8b", 2, "zlib", "gzip -dk", &packed_gzip},
    {"zstd", "\x28\xb5\x2f\xfd", 4, "libzstd", "zstd -d --long=31", ZSTD_DECODER},
    {"lz4", "\x04\x22\x4d\x18", 4, "liblz4", "lz4 -d", LZ4_DECODER},
    {"xz", "\xfd\x37\x7a\x58\x5a\x00", 6, "liblzma", "xz -dk", XZ_DECODER},
    {"lz4 (legacy form)", "\x02\x21\x4c\x18", 4, NULL, "lz4 -d", NULL},
    {"bzip2", "BZh", 3, NULL, "bzip2 -dk", NULL},
};

const struct packed_format *packed_format_of(const uint8_t *head, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (size >= formats[i].magic_bytes &&
            memcmp(head, formats[i].magic, formats[i].magic_bytes) == 0)
            return &formats[i];
    return NULL;
}

static bool is_skippable(const uint8_t *head, size_t size)
{
    uint32_t magic;
    if (size < sizeof(magic))
        return false;
    memcpy(&magic, head, sizeof(magic));
    return (magic & ~0xfu) == SKIPPABLE;
}

const struct packed_format *packed_format_of_file(int fd)
{
    uint64_t at = 0;
    for (int i = 0; i < SKIPPABLE_MAX; i++) {
        uint8_t head[MAGIC_BYTES_MAX];
        ssize_t got = pread(fd, head, sizeof(head), (off_t)at);
        if (got <= 0)
            return NULL;
        if (!is_skippable(head, (size_t)got))
            return packed_format_of(head, (size_t)got);
        uint32_t bytes;
        if (got < 8)
            return NULL;
        memcpy(&bytes, head + 4, sizeof(bytes));
        at += 8 + (uint64_t)bytes;
    }
    return NULL;
}

// One file on its way.
struct job {
    int fd;
    const char *path;
    const struct packed_format *format;
    const struct packed_request *request;
    uint64_t read_bytes, total_bytes; // of the input; how much is in the buffer or behind it
    uint8_t *in, *out;
    struct packed_io io;
    struct packed_sink sink;
    uint64_t next_look, end;
    struct timespec last_progress;
    char *note;
    bool cut;
};

static void note(struct job *job, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct job *job, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    free(job->note);
    if (vasprintf(&job->note, fmt, args) < 0)
        job->note = NULL;
    va_end(args);
}

static void tell_progress(struct job *job)
{
    struct timespec now;
    if (!job->request->progress || clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        return;
    int64_t passed_ns = (now.tv_sec - job->last_progress.tv_sec) * 1000000000ll + now.tv_nsec -
                        job->last_progress.tv_nsec;
    if (passed_ns < PROGRESS_NS)
        return;
    job->last_progress = now;
    job->request->progress(job->request->progress_arg, job->path,
                           job->read_bytes - job->io.in_bytes, job->total_bytes);
}

// Moves what is left to the front and fills up. False: the file cannot be read.
static bool refill(struct job *job)
{
    memmove(job->in, job->io.in, job->io.in_bytes);
    job->io.in = job->in;
    while (!job->io.last && job->io.in_bytes < BUFFER_BYTES) {
        ssize_t got = pread(job->fd, job->in + job->io.in_bytes, BUFFER_BYTES - job->io.in_bytes,
                            (off_t)job->read_bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        job->io.last = got == 0;
        job->io.in_bytes += (size_t)got;
        job->read_bytes += (uint64_t)got;
    }
    return true;
}

static void unreadable(struct job *job)
{
    job->cut = true;
    note(job, "only the first %" PRIu64 " of %" PRIu64 " bytes of the %s data could be read: %s",
         job->read_bytes, job->total_bytes, job->format->name, strerror(errno));
}

// Between two members: is there another one? Zeros between and behind them are padding.
static bool next_member(struct job *job)
{
    for (;;) {
        if (job->io.in_bytes < MAGIC_BYTES_MAX && !refill(job)) {
            unreadable(job);
            return false;
        }
        if (!job->io.in_bytes || *job->io.in)
            break;
        job->io.in++;
        job->io.in_bytes--;
    }
    if (!job->io.in_bytes)
        return false;
    if (packed_format_of(job->io.in, job->io.in_bytes) == job->format ||
        is_skippable(job->io.in, job->io.in_bytes))
        return true;
    note(job, "%" PRIu64 " bytes behind the %s data are not part of it and were not looked at",
         job->total_bytes - (job->read_bytes - job->io.in_bytes), job->format->name);
    return false;
}

static struct err *look(struct job *job, bool whole)
{
    char *why = NULL;
    if (!job->request->look || (!whole && job->sink.bytes < job->next_look))
        return NULL;
    job->next_look = job->sink.bytes * 2;
    if (!packed_sink_finish(&job->sink, &why)) {
        job->cut = true;
        free(job->note);
        job->note = why;
    }
    return job->request->look(job->request->look_arg, job->sink.fd, job->sink.bytes, whole,
                              &job->end);
}

// What was unpacked in one step goes into the file. False: that was all.
static bool keep(struct job *job, size_t bytes)
{
    char *why = NULL;
    if (!packed_sink_write(&job->sink, job->out, bytes, &why)) {
        job->cut = true;
        note(job, "only the first %" PRIu64 " bytes of the core could be unpacked: %s",
             job->sink.bytes, why ? why : "out of memory");
        free(why);
        return false;
    }
    if (job->end < UINT64_MAX - SLACK_BYTES && job->sink.bytes > job->end + SLACK_BYTES) {
        note(job, "what follows the core in the %s data was not unpacked", job->format->name);
        return false;
    }
    return true;
}

// Ends the job with a note on why. Where nothing was unpacked, that is an error.
static struct err *stop(struct job *job, enum packed_step step)
{
    const char *name = job->format->name;
    uint64_t at = job->read_bytes - job->io.in_bytes;
    if (step == PACKED_MEMORY)
        return err_create(ERR_NO_MEMORY, "%s: out of memory for %s", job->path, name);
    if (step == PACKED_WINDOW && !job->sink.bytes)
        return err_create(ERR_LIMIT,
                          "%s needs more than the %u MiB of memory that pycore gives to %s: "
                          "decompress it first (%s) and give the result",
                          job->path, 1u << (PACKED_WINDOW_LOG_MAX - 20), name,
                          job->format->command);
    if (!job->sink.bytes)
        return err_create(ERR_BAD_DATA, "%s %s: nothing of it could be unpacked", job->path,
                          step == PACKED_MORE
                              ? "ends at the beginning of its compressed data"
                              : "is damaged at the beginning of its compressed data");
    job->cut = true;
    if (step == PACKED_CHECK)
        note(job,
             "the %s checksum of the core is wrong: some of what was unpacked may not be what was "
             "packed",
             name);
    else
        note(job,
             "the %s data of the core %s after %" PRIu64 " of %" PRIu64 " bytes: the %" PRIu64
             " bytes that could be unpacked are used",
             name,
             step == PACKED_MORE     ? "is cut off"
             : step == PACKED_WINDOW ? "needs too much memory"
                                     : "is damaged",
             at, job->total_bytes, job->sink.bytes);
    return NULL;
}

static struct err *run(struct job *job, void *state)
{
    bool within = true;
    for (;;) {
        if (!within && !next_member(job))
            break;
        within = true;
        if (!job->io.in_bytes && !job->io.last && !refill(job)) {
            if (!job->sink.bytes)
                return err_os(errno, "%s", job->path);
            unreadable(job);
            break;
        }
        job->io.out = job->out;
        job->io.out_bytes = BUFFER_BYTES;
        const uint8_t *in_before = job->io.in;
        enum packed_step step = job->format->decoder->step(state, &job->io);
        size_t made = BUFFER_BYTES - job->io.out_bytes;
        if (made && !keep(job, made))
            break;
        TRY(look(job, false));
        tell_progress(job);
        bool moved = made || job->io.in != in_before;
        bool starved = step == PACKED_MORE && !moved && (job->io.last || job->io.in_bytes);
        if (starved || (step != PACKED_MORE && step != PACKED_END)) {
            // Input that is left and not taken is damage; none left is a cut.
            TRY(stop(job, starved && job->io.in_bytes ? PACKED_BAD : step));
            break;
        }
        within = step == PACKED_MORE;
    }
    return look(job, true);
}

static uint64_t max_bytes(const struct packed_request *request, uint64_t total_bytes)
{
    if (request->max_bytes)
        return request->max_bytes;
    uint64_t by_ratio =
        total_bytes < INT64_MAX / DEFAULT_MAX_RATIO ? total_bytes * DEFAULT_MAX_RATIO : INT64_MAX;
    return by_ratio > DEFAULT_MAX_BYTES ? by_ratio : DEFAULT_MAX_BYTES;
}

static struct err *no_decoder(const char *path, const struct packed_format *format)
{
    if (!format->library)
        return err_create(ERR_UNSUPPORTED,
                          "%s is compressed with %s: decompress it first (%s) and give the result",
                          path, format->name, format->command);
    return err_create(ERR_UNSUPPORTED,
                      "%s is compressed with %s, and this pycore was built without %s: decompress "
                      "it first (%s) and give the result",
                      path, format->name, format->library, format->command);
}

struct err *packed_open(int fd, const char *path, const struct packed_format *format,
                        const struct packed_request *request, struct packed_result *ret)
{
    struct stat stat;
    if (!format->decoder)
        return no_decoder(path, format);
    if (fstat(fd, &stat) < 0)
        return err_os(errno, "%s", path);
    AUTO_FREE uint8_t *in = malloc(BUFFER_BYTES), *out = malloc(BUFFER_BYTES);
    void *state = in && out ? format->decoder->create() : NULL;
    if (!state)
        return err_create(ERR_NO_MEMORY, "%s: out of memory for %s", path, format->name);
    struct job job = {.fd = fd,
                      .path = path,
                      .format = format,
                      .request = request,
                      .total_bytes = (uint64_t)stat.st_size,
                      .in = in,
                      .out = out,
                      .io = {.in = in},
                      .sink = {.fd = -1, .max_bytes = max_bytes(request, (uint64_t)stat.st_size)},
                      .next_look = FIRST_LOOK_BYTES,
                      .end = UINT64_MAX};
    struct err *err = err_wrap(packed_sink_open(&job.sink), "%s", path);
    if (!err)
        err = run(&job, state);
    format->decoder->destroy(state);
    if (err) {
        if (job.sink.fd >= 0)
            close(job.sink.fd);
        free(job.note);
        return err;
    }
    *ret = (struct packed_result){job.sink.fd, job.sink.bytes, job.cut, job.note};
    return NULL;
}
