// SPDX-License-Identifier: GPL-3.0-or-later
// Saving what a session reads: see recording.h.
#include "cli/recording.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/outfile.h"
#include "cli/package_facts.h"
#include "cli/replaying.h"
#include "target/source.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/redact.h"

#define LINES_MAX CAPTURE_MAX_LINES

struct line_key {
    uint32_t file;
    int32_t line;
};

struct recording {
    struct session *session; // borrowed
    struct recorder *recorder;
    struct capture_facts facts;
    struct capture_snapshot snapshot; // being built
    VEC(struct line_key) lines;       // that a report may show
    uint32_t *line_index;             // of these, + 1
    size_t first_notes;               // of the session, from before the first snapshot
    size_t seen_notes;                // ... and up to the last snapshot
    uint32_t last_epoch;              // of the recorder
    bool begun, given_up;
};

struct err *recording_create(struct session *session, bool is_core, struct recording **ret)
{
    struct recording *recording = calloc(1, sizeof(*recording));
    if (!recording)
        return err_create(ERR_NO_MEMORY, "capture");
    recording->session = session;
    recording->facts.is_core = is_core;
    recording->line_index = calloc(2 * LINES_MAX, sizeof(*recording->line_index));
    struct err *err =
        recording->line_index
            ? recorder_create(session->strings, !session->options->no_native, &recording->recorder)
            : err_create(ERR_NO_MEMORY, "capture");
    if (err) {
        recording_destroy(recording);
        return err;
    }
    if (session->options->locals) {
        recorder_keep_values(recording->recorder);
        snap_note(session->strings, &session->source.notes, REPLAYING_LOCALS_NOTE);
    }
    *ret = recording;
    return NULL;
}

void recording_destroy(struct recording *recording)
{
    if (!recording)
        return;
    recorder_destroy(recording->recorder);
    capture_facts_deinit(&recording->facts);
    capture_snapshot_deinit(&recording->snapshot);
    vec_deinit(&recording->lines);
    free(recording->line_index);
    free(recording);
}

struct recorder *recording_recorder(struct recording *recording)
{
    return recording->recorder;
}

// ---- Snapshots ----------------------------------------------------------------------------------

static void begin_snapshot(struct recording *recording)
{
    struct kernel_sockets *sockets = TAKE(recording->snapshot.kernel.sockets);
    capture_snapshot_deinit(&recording->snapshot);
    recording->snapshot = (struct capture_snapshot){.kernel = {.sockets = sockets}};
    if (!recording->begun)
        recording->first_notes = recording->session->notes.count;
    recording->begun = true;
}

struct err *recording_take_live(struct recording *recording, const struct sampler *sampler,
                                const struct sample *sample, struct snap_input *ret,
                                struct image **ret_image, bool *ret_new_image)
{
    struct recorded recorded;
    begin_snapshot(recording);
    struct capture_snapshot *snapshot = &recording->snapshot;
    snapshot->atomic = sample->atomic;
    snapshot->skipped = sample->skipped;
    snapshot->changed_program = sample->changed_program;
    kernel_facts_renew(&snapshot->kernel, sampler->live->pid);
    TRY(recorder_take_live(recording->recorder, sampler, sample, snapshot, &recorded));
    replaying_input(recording->session, &recorded, snapshot, false, ret);
    ret->heap = sampler->live->target->mem;
    *ret_image = recorded.image;
    *ret_new_image = recorded.epoch != recording->last_epoch;
    recording->last_epoch = recorded.epoch;
    return NULL;
}

struct err *recording_take_core(struct recording *recording, struct target *core,
                                struct image *image, struct snap_input *ret,
                                struct image **ret_image)
{
    struct recorded recorded;
    begin_snapshot(recording);
    recording->facts.signal = core->signal;
    TRY(recorder_take_core(recording->recorder, core, image, &recording->snapshot, &recorded));
    replaying_input(recording->session, &recorded, &recording->snapshot, true, ret);
    ret->heap = core->mem;
    *ret_image = recorded.image;
    return NULL;
}

static bool add_line(struct recording *recording, struct line_key key)
{
    size_t mask = 2 * LINES_MAX - 1;
    size_t slot = hash_u64(HASH_SEED, (uint64_t)key.file << 32 | (uint32_t)key.line) & mask;
    for (; recording->line_index[slot]; slot = (slot + 1) & mask) {
        const struct line_key *have = &recording->lines.items[recording->line_index[slot] - 1];
        if (have->file == key.file && have->line == key.line)
            return true;
    }
    if (recording->lines.count >= LINES_MAX)
        return true;
    if (!vec_push(&recording->lines, key))
        return false;
    recording->line_index[slot] = (uint32_t)recording->lines.count;
    return true;
}

struct err *recording_keep(struct recording *recording, const struct snapshot *snapshot)
{
    struct capture_snapshot *facts = &recording->snapshot;
    facts->at_ns = snapshot->at_ns;
    facts->cpu_window_ns = snapshot->cpu_window_ns;
    facts->pause_ns = snapshot->pause_ns;
    facts->process_cpu_ns = snapshot->process_cpu_ns;
    facts->has_process_cpu = snapshot->has_process_cpu;
    facts->threads_stopped = snapshot->threads_stopped;
    facts->interrupted_calls = snapshot->interrupted_calls;
    facts->overran = snapshot->overran;
    vec_foreach (thread, &snapshot->threads)
        vec_foreach (frame, &thread->frames)
            if (frame->file && frame->line > 0 &&
                !add_line(recording, (struct line_key){frame->file, frame->line}))
                return err_create(ERR_NO_MEMORY, "capture");
    return recorder_keep(recording->recorder, facts);
}

// ---- The file -----------------------------------------------------------------------------------

static bool add_texts(const struct strtab *strings, const struct snap_notes *notes, size_t first,
                      size_t end, struct capture_texts *ret)
{
    for (size_t i = first; i < end && i < notes->count; i++) {
        const char *text = strtab_get(strings, notes->items[i]);
        char *copy = strdup(text ? text : "");
        if (!copy || !vec_push(ret, copy)) {
            free(copy);
            return false;
        }
    }
    return true;
}

static bool add_source_lines(struct recording *recording, struct source *lines)
{
    const struct strtab *strings = recording->session->strings;
    size_t hidden = 0;
    vec_foreach (key, &recording->lines) {
        struct capture_line line = {.line = key->line};
        const char *file = strtab_get(strings, key->file);
        const char *text = lines ? source_line(lines, file, key->line, &line.newer) : NULL;
        if (!text)
            continue;
        line.text = redact_source(text, &hidden);
        line.file = strdup(file);
        if (!line.text || !line.file || !vec_push(&recording->facts.lines, line)) {
            free(line.text);
            free(line.file);
            return false;
        }
    }
    return true;
}

void recording_give_up(struct recording *recording, const char *why)
{
    recording->given_up = true;
    recording->session->incomplete = true;
    snap_note(recording->session->strings, &recording->session->notes, "nothing was saved: %s",
              why);
}

void recording_mark(struct recording *recording)
{
    recording->seen_notes = recording->session->notes.count;
}

static struct err *fill_facts(struct recording *recording, const struct prof_run *run,
                              struct source *lines, const char *command)
{
    const struct session *session = recording->session;
    struct capture_facts *facts = &recording->facts;
    const char *host = strtab_get(session->strings, session->source.host);
    facts->aggregate = session->profile != NULL;
    facts->pid = session->source.pid;
    facts->host = host ? strdup(host) : NULL;
    facts->command = command ? strdup(command) : NULL;
    facts->taken_at_ns = session->source.taken_at_ns;
    facts->start_time_ns = session->source.process.start_time_ns;
    facts->interval_ns = run->interval_ns;
    facts->duration_ns = run->duration_ns;
    facts->missed = run->missed;
    facts->own_cpu_ns = run->own_cpu_ns;
    facts->interrupted = session->interrupted;
    facts->incomplete = session->incomplete;
    if (!add_texts(session->strings, &session->source.notes, 0, SIZE_MAX, &facts->source_notes) ||
        !add_texts(session->strings, &session->notes, 0, recording->first_notes,
                   &facts->first_notes) ||
        !add_texts(session->strings, &session->notes, recording->seen_notes, SIZE_MAX,
                   &facts->last_notes) ||
        !add_source_lines(recording, lines) ||
        !packages_to_facts(&session->source, session->strings, facts))
        return err_create(ERR_NO_MEMORY, "capture");
    return NULL;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t size = strlen(text), want = strlen(ending);
    return size > want && strcmp(text + size - want, ending) == 0;
}

bool recording_write(struct recording *recording, const struct prof_run *run, struct source *lines,
                     const char *command)
{
    const struct options *options = recording->session->options;
    struct outfile file;
    if (recording->given_up)
        return true;
    uint64_t left_out = recorder_left_out(recording->recorder);
    if (left_out) {
        recording->session->incomplete = true;
        snap_note(recording->session->strings, &recording->session->notes,
                  "the capture is full: its last %llu snapshots are not in it",
                  (unsigned long long)left_out);
    }
    struct err *err = fill_facts(recording, run, lines, command);
    if (!err && options->verbose)
        complain("%llu stacks could not be kept in the capture as they were sampled",
                 (unsigned long long)recorder_differences(recording->recorder));
    if (!err)
        err = outfile_begin(options->save, OUTFILE_EVIDENCE, &file);
    if (err) {
        fail(err);
        return false;
    }
    bool gzip = ends_with(options->save, ".gz");
    recording->facts.surroundings = recording->session->surroundings; // lent
    err = recorder_write(recording->recorder, &recording->facts, file.fd, gzip);
    recording->facts.surroundings = surroundings_unknown;
    if (err)
        outfile_abort(&file);
    else
        err = outfile_commit(&file);
    if (err)
        fail(err_wrap(err, "%s", options->save));
    return !err;
}
