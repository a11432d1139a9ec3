// SPDX-License-Identifier: GPL-3.0-or-later
// The snapshots of a capture into a session: see replaying.h.
#include "cli/replaying.h"

#include <string.h>

#include "cli/package_facts.h"
#include "snapshot/crash.h"
#include "target/source.h"
#include "util/guard.h"

void replaying_input(const struct session *session, const struct recorded *recorded,
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
        if (*note && strcmp(*note, REPLAYING_LOCALS_NOTE) == 0)
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
    replaying_input(session, recorded, facts, is_core, &input);
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

struct err *replaying_add(struct session *session, struct target *core, const char *path,
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

struct prof_run replaying_run(const struct replay *replay)
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

struct report_source_reader replaying_lines(const struct replay *replay)
{
    return (struct report_source_reader){line_of, (void *)(uintptr_t)replay};
}
