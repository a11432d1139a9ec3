// SPDX-License-Identifier: GPL-3.0-or-later
// pycore analyze: the stacks in one or more cores.
#include <stdlib.h>

#include "cli/session.h"
#include "image/elf.h"
#include "target/source.h"
#include "util/guard.h"
#include "util/limits.h"

struct core {
    struct target *target;
    struct image *image;
    struct py_process *process;
    struct py_state state;
    struct py_stack *stacks;
    size_t stack_count;
    struct py_thread_names names;
    struct live_thread *threads;
    struct unwind_stack *native_stacks; // NULL: not wanted
    struct snap_natives *natives;
};

static void core_deinit(struct core *core)
{
    for (size_t i = 0; i < core->stack_count; i++)
        py_stack_deinit(&core->stacks[i]);
    for (size_t i = 0; core->native_stacks && i < core->target->threads.count; i++)
        unwind_stack_deinit(&core->native_stacks[i]);
    free(core->native_stacks);
    snap_natives_destroy(core->natives);
    free(core->stacks);
    free(core->threads);
    vec_deinit(&core->names);
    py_state_deinit(&core->state);
    py_process_close(core->process);
    image_destroy(core->image);
    target_destroy(core->target);
}

// A core's threads stand still for ever: they look like threads that were stopped.
static struct err *threads_of(struct core *core)
{
    size_t count = core->target->threads.count;
    core->threads = calloc(count + 1, sizeof(*core->threads));
    if (!core->threads)
        return err_create(ERR_NO_MEMORY, "threads");
    for (size_t i = 0; i < count; i++) {
        const struct target_thread *from = &core->target->threads.items[i];
        core->threads[i] = (struct live_thread){.tid = from->tid,
                                                .ns_tid = from->tid,
                                                .state = LIVE_STOPPED,
                                                .has_regs = from->has_regs,
                                                .regs = from->regs};
    }
    return NULL;
}

static bool is_blocked(const struct core *core, uint64_t ident)
{
    for (size_t i = 0; i < core->target->threads.count; i++) {
        const struct live_thread *thread = &core->threads[i];
        if (thread->has_regs && thread->regs.tls == ident)
            return arch_blocked_in_syscall(&thread->regs);
    }
    return false;
}

static void settle(struct core *core)
{
    size_t count = core->target->threads.count;
    AUTO_FREE struct py_native_thread *natives = calloc(count + 1, sizeof(*natives));
    for (size_t i = 0; natives && i < count; i++)
        natives[i] = (struct py_native_thread){core->threads[i].regs.tls, core->threads[i].regs.sp};
    if (natives)
        py_state_settle(core->process, &core->state, natives, count);
}

static struct err *decode(struct core *core)
{
    TRY(threads_of(core));
    py_state_read(core->process, &core->state);
    if (core->state.cut && !core->state.threads.count)
        return err_create(err_code(core->state.cut), "%s", err_message(core->state.cut));
    core->stacks = calloc(core->state.threads.count + 1, sizeof(*core->stacks));
    if (!core->stacks)
        return err_create(ERR_NO_MEMORY, "stacks");
    settle(core);
    uint64_t last_interp = 0;
    vec_foreach (thread, &core->state.threads) {
        struct py_stack *stack = &core->stacks[core->stack_count++];
        py_stack_init(stack, thread, is_blocked(core, thread->ident));
        py_stack_step(core->process, stack);
        py_stack_finish(core->process, stack);
        if (thread->interp != last_interp) {
            last_interp = thread->interp;
            // Without names the stacks are still worth having.
            err_destroy(py_thread_names(core->process, thread->interp, &core->names));
        }
    }
    return NULL;
}

// Native stacks. A core has all registers of every thread, and all that is left of its memory.
static struct err *unwind_all(struct core *core, struct strtab *strings)
{
    size_t count = core->target->threads.count, frames = 0, left_out = 0;
    struct unwinder *unwinder;
    core->native_stacks = calloc(count + 1, sizeof(*core->native_stacks));
    core->natives = snap_natives_create(core->image, strings);
    if (!core->native_stacks || !core->natives)
        return err_create(ERR_NO_MEMORY, "native stacks");
    image_jit_refresh(core->image, core->target->mem);
    TRY(unwinder_create(core->target, core->image, &unwinder));
    for (size_t i = 0; i < count; i++) {
        struct unwind_start start = {.regs = core->threads[i].regs, .complete = true};
        // 40,000 threads may share one damaged stack of a million frames.
        bool room = frames < LIMIT_FRAMES_PER_SNAPSHOT;
        left_out += core->threads[i].has_regs && !room;
        if (core->threads[i].has_regs && room)
            unwind(unwinder, core->target->mem, &start, &core->native_stacks[i]);
        frames += core->native_stacks[i].frames.count;
    }
    unwinder_destroy(unwinder);
    if (left_out)
        target_note(core->target,
                    "%zu thread%s without native frames: those of the others are more than %d",
                    left_out, left_out == 1 ? " is" : "s are", LIMIT_FRAMES_PER_SNAPSHOT);
    return NULL;
}

static struct err *open_core(struct core *core, const char *path, const struct options *options,
                             struct strtab *strings)
{
    struct image_options image = {options->exe, options->sysroot, options->debug_dir,
                                  options->debuginfod};
    TRY(target_open_core(path, &core->target));
    TRY(err_wrap(image_open(core->target, &image, &core->image), "%s", path));
    TRY(err_wrap(py_process_open(core->target, core->image, strings, &core->process), "%s", path));
    TRY(err_wrap(decode(core), "%s", path));
    return options->no_native ? NULL : err_wrap(unwind_all(core, strings), "%s", path);
}

static struct err *add(struct session *session, const char *path)
{
    struct core core = {0};
    struct snapshot *snapshot = NULL;
    struct err *err = open_core(&core, path, session->options, session->strings);
    if (!err && !(snapshot = snapshot_create()))
        err = err_create(ERR_NO_MEMORY, "snapshot");
    if (!err) {
        struct snap_input input = {
            .strings = session->strings,
            .target = core.target,
            .process = core.process,
            .state = &core.state,
            .stacks = core.stacks,
            .stack_count = core.stack_count,
            .names = &core.names,
            .threads = core.threads,
            .thread_count = core.target->threads.count,
            .native_stacks = core.native_stacks,
            .natives = core.natives,
            .stack_memory = core.target->mem,
            .raw_native = session->options->raw_native,
            .is_core = true,
            .stopped = true,
        };
        err = snapshot_build(&input, snapshot);
    }
    if (!err) {
        if (!session->taken) {
            session->source.kind = SNAP_CORE;
            session->source.path = strtab_add_cstr(session->strings, path);
            session->source.taken_at_ns = core.target->taken_at_ns;
            session->source.host = 0; // a core does not say where it was made
            fill_process(&session->source, session->strings, core.target, core.process);
        }
        // The target's own note says how much is missing, and why.
        session->incomplete |= core.target->truncated;
        session_add(session, snapshot);
    } else {
        snapshot_destroy(snapshot);
    }
    core_deinit(&core);
    return err;
}

int run_analyze(const struct options *options, int argc, char **argv)
{
    if (options->file_count < 1) {
        complain("analyze takes a core file; \"pycore help analyze\" shows the options");
        return EXIT_USAGE;
    }
    if (!outputs_look_writable(options))
        return EXIT_NO_REPORT;
    struct session session;
    struct err *err = session_init(&session, options, options->file_count > 1);
    for (int i = 0; !err && i < options->file_count; i++)
        err = add(&session, options->files[i]);
    int code;
    if (err) {
        code = fail(err);
    } else {
        AUTO_FREE char *command = command_text(argc, argv);
        struct source *lines = source_create_root(options->source_root);
        struct prof_run run = {0};
        code = session_finish(&session, &run, lines, command);
        source_destroy(lines);
    }
    session_deinit(&session);
    return code;
}
