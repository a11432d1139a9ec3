// SPDX-License-Identifier: GPL-3.0-or-later
// Saving what a session reads: see recording.h.
#include "cli/recording.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/outfile.h"
#include "cli/package_facts.h"
#include "snapshot/crash.h"
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

// Also how a replay knows.
#define LOCALS_NOTE "the capture holds values of variables, secrets among them (--locals)"

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
        snap_note(session->strings, &session->source.notes, LOCALS_NOTE);
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

// A recorded or replayed snapshot's decoded parts.
static void fill_input(const struct session *session, const struct recorded *recorded,
                       struct capture_snapshot *snapshot, bool is_core, struct snap_input *ret)
{
    const struct still *still = recorded->still;
    *ret = (struct snap_input){
        .strings = session->strings,
        .target = recorded->target,
        .process = recorded->process,
        .unwinder = recorded->unwinder,
        .threads = snapshot->moment.threads.items,
        .thread_count = snapshot->moment.threads.count,
        .raw_native = session->options->raw_native,
        .locals = session->options->locals && !session->without_locals,
        .generators = session->options->generators,
        .show_secrets = session->options->show_secrets,
        .no_tasks = session->options->no_tasks,
        .is_core = is_core,
        .stopped = is_core || snapshot->atomic,
        .kernel = &snapshot->kernel,
    };
    if (!still)
        return;
    ret->state = &still->state;
    ret->stacks = still->stacks.items;
    ret->stack_count = still->stacks.count;
    ret->owners = still->owners;
    ret->names = &still->names;
    ret->native_stacks = still->natives.count ? still->natives.items : NULL;
    // The stacks' bytes of that moment; of a live process not all of them were kept.
    ret->stack_memory = is_core ? recorded->target->mem : NULL;
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
    fill_input(recording->session, &recorded, snapshot, false, ret);
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
    fill_input(recording->session, &recorded, &recording->snapshot, true, ret);
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

// ---- Replaying ----------------------------------------------------------------------------------

static void add_notes(struct session *session, struct snap_notes *to,
                      const struct capture_texts *texts)
{
    vec_foreach (text, texts)
        if (*text)
            snap_note(session->strings, to, "%s", *text);
}

static bool has_locals(const struct capture_facts *facts)
{
    vec_foreach (note, &facts->source_notes)
        if (*note && strcmp(*note, LOCALS_NOTE) == 0)
            return true;
    return false;
}

// What the capture says of its origin is the session's.
static void take_facts(struct session *session, const struct capture_facts *facts, const char *path)
{
    struct snap_source *source = &session->source;
    source->kind = SNAP_CAPTURE;
    source->of_core = facts->is_core;
    source->path = strtab_add_cstr(session->strings, path);
    source->pid = source->process.pid = facts->pid;
    source->host = strtab_add_cstr(session->strings, facts->host);
    source->taken_at_ns = facts->taken_at_ns;
    source->process.start_time_ns = facts->start_time_ns;
    fill_environment(&source->environment, session->strings, &facts->surroundings);
    add_notes(session, &source->notes, &facts->source_notes);
    session->without_locals = !has_locals(facts);
    if (session->options->locals && session->without_locals)
        snap_note(session->strings, &session->notes,
                  "no variables: the capture was made without --locals");
    add_notes(session, &session->notes, &facts->first_notes);
    if (facts->aggregate)
        session_aggregate(session);
}

// A thread whose details were void when it was recorded.
static bool stood_still(void *arg, size_t index)
{
    const struct capture_snapshot *facts = arg;
    vec_foreach (tid, &facts->kernel.moved)
        if (*tid == facts->moment.threads.items[index].tid)
            return false;
    return true;
}

// What is kept from one replayed snapshot to the next.
struct replay_memory {
    struct snap_natives *natives;
    uint32_t last_epoch;
    struct snap_memory *remembered;
};

static struct err *build(struct session *session, const struct recorded *recorded,
                         struct capture_snapshot *facts, bool is_core, struct replay_memory *memory,
                         struct snapshot **ret)
{
    struct snapshot *snapshot = snapshot_create();
    struct snap_input input;
    if (!snapshot)
        return err_create(ERR_NO_MEMORY, "snapshot");
    fill_input(session, recorded, facts, is_core, &input);
    input.still = stood_still;
    input.still_arg = facts;
    input.remembered = is_core ? NULL : memory->remembered;
    struct err *err = NULL;
    if (input.native_stacks) {
        if (!memory->natives)
            memory->natives = snap_natives_create(recorded->image, session->strings);
        else if (memory->last_epoch != recorded->epoch)
            snap_natives_forget(memory->natives, recorded->image);
        memory->last_epoch = recorded->epoch;
        input.natives = memory->natives;
        if (!memory->natives)
            err = err_create(ERR_NO_MEMORY, "snapshot");
    }
    if (!err)
        err = snapshot_build(&input, snapshot);
    if (!err && !session->taken && recorded->image)
        err = snap_crash_build(&input, recorded->image, snapshot, &session->source.crash);
    if (err) {
        snapshot_destroy(snapshot);
        return err;
    }
    snapshot->at_ns = facts->at_ns;
    snapshot->cpu_window_ns = facts->cpu_window_ns;
    snapshot->pause_ns = facts->pause_ns;
    snapshot->process_cpu_ns = facts->process_cpu_ns;
    snapshot->has_process_cpu = facts->has_process_cpu;
    snapshot->threads_stopped = (uint32_t)facts->threads_stopped;
    snapshot->interrupted_calls = (uint32_t)facts->interrupted_calls;
    snapshot->overran = facts->overran;
    session_note_snapshot(session, snapshot, facts->skipped, facts->changed_program, 0);
    *ret = snapshot;
    return NULL;
}

static struct err *add_snapshots(struct session *session, struct replay *replay, const char *path)
{
    const struct capture_facts *facts = replay_facts(replay);
    struct replay_memory memory = {.remembered = snap_memory_create()};
    struct err *err = memory.remembered ? NULL : err_create(ERR_NO_MEMORY, "snapshot");
    bool first = true;
    while (!err) {
        struct capture_snapshot *moment;
        struct recorded recorded;
        struct snapshot *snapshot = NULL;
        err = replay_next(replay, &moment, &recorded);
        if (!err && !moment && first)
            err = err_create(ERR_BAD_DATA, "it holds no snapshot");
        if (err || !moment)
            break;
        // Its facts are the session's only if there is something that they are of.
        if (first && !session->taken)
            take_facts(session, facts, path);
        if ((first && !session->taken) || moment->changed_program)
            fill_subject(&session->source, session->strings, recorded.target, recorded.process);
        first = false;
        err = build(session, &recorded, moment, facts->is_core, &memory, &snapshot);
        if (err)
            break;
        session_add(session, snapshot);
    }
    snap_natives_destroy(memory.natives);
    snap_memory_destroy(memory.remembered);
    return err;
}

static bool is_cut(const struct target *core)
{
    vec_foreach (extra, &core->extras)
        if (extra->cut)
            return true;
    return core->truncated;
}

struct err *recording_replay(struct session *session, struct target *core, const char *path,
                             struct replay **ret_replay)
{
    struct replay *replay;
    TRY(replay_open(core, session->strings, !session->options->no_native, &replay));
    const struct capture_facts *facts = replay_facts(replay);
    uint64_t before = session->taken;
    struct err *err = add_snapshots(session, replay, path);
    if (err && session->taken > before) {
        // What could be replayed is worth having.
        session->incomplete = true;
        snap_note(session->strings, &session->notes, "the capture ends after %llu snapshots: %s",
                  (unsigned long long)(session->taken - before), err_message(err));
        err_destroy(err);
        err = NULL;
    }
    if (err) {
        replay_close(replay);
        return err;
    }
    if (is_cut(core)) {
        session->incomplete = true;
        fill_notes(&session->source, session->strings, core);
        snap_note(session->strings, &session->source.notes,
                  "the capture is cut: what its last snapshots have changed may be missing");
    }
    if (facts->pid != session->source.pid)
        snap_note(session->strings, &session->notes,
                  "%s is of another process (%d): the report mixes them", path, facts->pid);
    packages_from_facts(&session->source, session->strings, facts);
    session->incomplete |= facts->incomplete;
    session->interrupted |= facts->interrupted;
    add_notes(session, &session->notes, &facts->last_notes);
    *ret_replay = replay;
    return NULL;
}

struct prof_run recording_run(const struct replay *replay)
{
    const struct capture_facts *facts = replay_facts(replay);
    return (struct prof_run){.interval_ns = facts->interval_ns,
                             .duration_ns = facts->duration_ns,
                             .missed = facts->missed,
                             .own_cpu_ns = facts->own_cpu_ns};
}

// A report asks for some hundred lines.
static const char *line_of(void *arg, const char *file, int32_t line, bool *ret_newer)
{
    const struct capture_facts *facts = replay_facts(arg);
    vec_foreach (have, &facts->lines) {
        if (have->line == line && have->file && file && strcmp(have->file, file) == 0) {
            *ret_newer = have->newer;
            return have->text;
        }
    }
    return NULL;
}

struct report_source_reader recording_lines(const struct replay *replay)
{
    return (struct report_source_reader){line_of, (void *)(uintptr_t)replay};
}
