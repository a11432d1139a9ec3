// SPDX-License-Identifier: GPL-3.0-or-later
// Reading cores and captures into a session: see evidence.h.
#include "cli/evidence.h"

#include <string.h>

#include "image/elf.h"
#include "snapshot/crash.h"
#include "util/guard.h"
#include "util/limits.h"

// A core while it is decoded. With --save it is the recorded one that is decoded.
struct core {
    struct target *target;
    struct image *image;
    struct py_process *process;
    struct unwinder *unwinder;
    struct still_moment moment;
    struct still still;
    struct snap_natives *natives;
    bool no_python; // it cannot be read; the native stacks can
};

static void core_deinit(struct core *core)
{
    snap_natives_destroy(core->natives);
    still_deinit(&core->still);
    still_moment_deinit(&core->moment);
    unwinder_destroy(core->unwinder);
    py_process_close(core->process);
    image_destroy(core->image);
}

static void note_left_out(const struct core *core)
{
    size_t count = core->still.natives_left_out;
    if (count)
        target_note(core->target,
                    "%zu thread%s without native frames: those of the others are more than %d",
                    count, count == 1 ? " is" : "s are", LIMIT_FRAMES_PER_SNAPSHOT);
}

// Native frames beyond the one that the registers give.
static bool has_native_stacks(const struct core *core)
{
    vec_foreach (native, &core->still.natives)
        if (native->frames.count > 1)
            return true;
    return false;
}

// By the names of its files: what is in them may be what was lost.
static bool looks_like_python(const struct core *core)
{
    for (size_t i = 0; i < image_module_count(core->image); i++) {
        const char *path = image_module(core->image, i)->path;
        const char *slash = path ? strrchr(path, '/') : NULL;
        if (slash && (strncmp(slash, "/python", 7) == 0 || strncmp(slash, "/libpython", 10) == 0))
            return true;
    }
    return false;
}

// A core that has lost what Python's threads are found by may still have their native stacks. `why`
// is passed on where it has not, or where there is no Python in it.
static struct err *decode_natives(struct core *core, struct err *why)
{
    struct target *target = core->target;
    struct err *err = NULL;
    if (!core->unwinder || !(target->truncated || target->absent_bytes) || !looks_like_python(core))
        return why;
    err = still_unwind(target, core->unwinder, &core->moment, &core->still);
    if (err || !has_native_stacks(core)) {
        err_destroy(err);
        return why;
    }
    core->no_python = true;
    target_note(target, "native stacks only: %s", err_message(why));
    err_destroy(why);
    return NULL;
}

static struct err *decode(struct core *core, const struct options *options, struct strtab *strings,
                          struct snap_input *ret)
{
    struct target *target = core->target;
    TRY(still_moment_of_core(target, &core->moment));
    if (!options->no_native)
        TRY(unwinder_create(target, core->image, &core->unwinder));
    struct err *err = py_process_open(target, core->image, strings, &core->process);
    if (!err)
        err = still_decode(core->process, core->unwinder, NULL, &core->moment, &core->still);
    if (err)
        TRY(decode_natives(core, err));
    note_left_out(core);
    *ret = (struct snap_input){
        .strings = strings,
        .target = target,
        .process = core->no_python ? NULL : core->process,
        .state = core->no_python ? NULL : &core->still.state,
        .stacks = core->still.stacks.items,
        .stack_count = core->still.stacks.count,
        .owners = core->still.owners,
        .names = &core->still.names,
        .threads = core->moment.threads.items,
        .thread_count = core->moment.threads.count,
        .native_stacks = core->unwinder ? core->still.natives.items : NULL,
        .unwinder = core->unwinder,
        .stack_memory = target->mem,
        .raw_native = options->raw_native,
        .locals = options->locals,
        .generators = options->generators,
        .show_secrets = options->show_secrets,
        .no_tasks = options->no_tasks,
        .is_core = true,
        .stopped = true,
        .heap = target->mem,
    };
    return NULL;
}

// Names and callers may be missing where code is.
static bool lacks_code(const struct core *core, const struct snap_input *input)
{
    for (size_t i = 0; input->native_stacks && i < input->thread_count; i++)
        vec_foreach (frame, &input->native_stacks[i].frames)
            if (image_lacks_code(core->image, frame->pc))
                return true;
    return false;
}

static void see_packages(struct session *session, const struct target *target,
                         const struct snap_input *input, const struct snapshot *snapshot)
{
    bool python = input->process && input->state && input->state->threads.count;
    struct py_decoder *dec = python ? &input->process->dec : NULL;
    uint64_t interp = python ? input->state->threads.items[0].interp : 0;
    package_finder_see(session->packages, snapshot, dec, target->mem, interp);
    package_finder_see_file(session->packages, session->source.crash.module_path, dec, target->mem,
                            interp);
}

static struct err *build(struct core *core, struct session *session, struct recording *recording,
                         struct snapshot *ret)
{
    const struct options *options = session->options;
    struct image_options images = {.exe = options->exe,
                                   .sysroot = options->sysroot,
                                   .debug_dir = options->debug_dir,
                                   .debuginfod = options->debuginfod};
    struct snap_input input;
    TRY(image_open(core->target, &images, &core->image));
    struct image *image = core->image;
    struct err *unsaved =
        recording ? recording_take_core(recording, core->target, image, &input, &image) : NULL;
    if (unsaved) {
        // What cannot be decoded as a capture may still have native stacks.
        AUTO_ERR struct err *why = unsaved;
        recording_give_up(recording, err_message(why));
        recording = NULL;
        image = core->image;
        TRY(decode(core, options, session->strings, &input));
    } else if (!recording) {
        TRY(decode(core, options, session->strings, &input));
    }
    if (input.native_stacks) {
        core->natives = snap_natives_create(image, session->strings);
        if (!core->natives)
            return err_create(ERR_NO_MEMORY, "native stacks");
        input.natives = core->natives;
    }
    TRY(snapshot_build(&input, ret));
    if (!session->taken)
        TRY(snap_crash_build(&input, image, ret, &session->source.crash));
    see_packages(session, core->target, &input, ret);
    session->incomplete |= lacks_code(core, &input);
    if (!session->taken) {
        session->source.kind = SNAP_CORE;
        session->source.of_core = true;
        session->source.path = strtab_add_cstr(session->strings, core->target->path);
        session->source.taken_at_ns = core->target->taken_at_ns;
        session->source.host = strtab_add_cstr(session->strings, core->target->host);
        fill_process(&session->source, session->strings, core->target, input.process);
    }
    return recording ? recording_keep(recording, ret) : NULL;
}

static struct err *add_core(struct session *session, struct target *target,
                            struct recording *recording)
{
    struct core core = {.target = target};
    struct snapshot *snapshot = snapshot_create();
    struct err *err = snapshot ? build(&core, session, recording, snapshot)
                               : err_create(ERR_NO_MEMORY, "snapshot");
    if (err) {
        snapshot_destroy(snapshot);
    } else {
        // The target's own note says how much is missing, and why.
        session->incomplete |= target->truncated || core.no_python;
        session_add(session, snapshot);
    }
    core_deinit(&core);
    return err;
}

void evidence_close(struct evidence *evidence)
{
    vec_foreach (replay, &evidence->replays)
        replay_close(*replay);
    vec_deinit(&evidence->replays);
    vec_foreach (target, &evidence->targets)
        target_destroy(*target);
    vec_deinit(&evidence->targets);
    source_destroy(evidence->source);
}

static void show_unpacking(void *arg, const char *path, uint64_t done_bytes, uint64_t total_bytes)
{
    progress_bytes(arg, path, done_bytes, total_bytes);
}

static void tell_reading(const struct options *options, const char *path)
{
    AUTO_FREE char *text = NULL;
    const char *slash = strrchr(path, '/');
    if (asprintf(&text, "reading %s (Ctrl-C ends)", slash ? slash + 1 : path) < 0)
        text = NULL;
    if (text)
        progress_later(options, text);
}

static struct err *add(struct evidence *evidence, struct session *session,
                       struct recording *recording, const char *path)
{
    struct target *target;
    struct replay *replay = NULL;
    struct target_core_options opening = {.progress = show_unpacking,
                                          .progress_arg = (void *)(uintptr_t)session->options};
    struct err *unreadable = target_open_core_with(path, &opening, &target);
    progress_end(session->options);
    TRY(unreadable);
    tell_reading(session->options, path);
    if (!vec_push(&evidence->targets, target)) {
        target_destroy(target);
        return err_create(ERR_NO_MEMORY, "out of memory");
    }
    if (!capture_is(target))
        return err_wrap(add_core(session, target, recording), "%s", path);
    if (recording)
        return err_create(ERR_UNSUPPORTED, "%s is a capture already: copy it instead of --save",
                          path);
    struct err *err = replaying_add(session, target, path, &replay);
    if (err && (err_code(err) == ERR_BAD_DATA || err_code(err) == ERR_OS)) {
        // Without its facts it still is a core, of its first snapshot.
        session->incomplete = true;
        snap_note(session->strings, &session->notes,
                  "%s; its first snapshot was read as a core is, with the files of this machine",
                  err_message(err));
        err_destroy(err);
        return err_wrap(add_core(session, target, NULL), "%s", path);
    }
    TRY(err_wrap(err, "%s", path));
    if (!vec_push(&evidence->replays, replay)) {
        replay_close(replay);
        return err_create(ERR_NO_MEMORY, "out of memory");
    }
    return NULL;
}

struct err *evidence_add(struct evidence *evidence, struct session *session,
                         struct recording *recording, const char *path)
{
    struct err *err = add(evidence, session, recording, path);
    progress_end(session->options);
    return err;
}

// What is installed on this machine says nothing of a core's: only what lies below a root that was
// given does.
static void find_packages(struct session *session)
{
    const struct options *options = session->options;
    const char *root = options->sysroot ? options->sysroot : options->source_root;
    struct source *source = root ? source_create_root(root) : NULL;
    session_find_packages(session, source);
    source_destroy(source);
}

struct evidence_facts evidence_facts(struct evidence *evidence, struct session *session)
{
    const struct options *options = session->options;
    struct evidence_facts facts = {0};
    find_packages(session);
    if (!evidence->source)
        evidence->source = source_create_root(options->source_root);
    facts.lines = session_lines(evidence->source);
    if (evidence->replays.count && evidence->targets.count == 1) {
        const struct replay *replay = evidence->replays.items[0];
        facts.run = replaying_run(replay);
        facts.command = replay_facts(replay)->command;
    }
    if (evidence->replays.count && !options->source_root)
        facts.lines = replaying_lines(evidence->replays.items[0]);
    return facts;
}
