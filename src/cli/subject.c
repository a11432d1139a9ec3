// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/subject.h.
#include "cli/subject.h"

#include "cli/recording.h"
#include "util/guard.h"

#define RETURN_PATIENCE_NS 20000000u // of one snapshot, with those that were stopped in a call

static void tell_surroundings(struct session *session)
{
    fill_environment(&session->source.environment, session->strings, &session->surroundings);
}

void subject_enter(struct subject *subject, size_t process)
{
    subject->process = process;
    struct session *session = subject->session;
    const struct live *live = subject->sampler->live;
    struct snap_process *to = session_process(session, subject->process);
    fill_program(to, session->strings, live->target, subject->sampler->process);
    to->start_time_ns = proc_start_time_ns(live->start_ticks);
    to->why = 0;
    fill_notes(&session->source, session->strings, live->target);
    if (process == 0) {
        surroundings_deinit(&session->surroundings);
        surroundings_read(live->pid, &session->surroundings);
        tell_surroundings(session);
    }
}

struct err *subject_open(struct session *session, pid_t pid, const struct sampler_options *sampling,
                         struct subject **ret)
{
    struct subject *subject = calloc(1, sizeof(*subject));
    if (!subject)
        return err_create(ERR_NO_MEMORY, "process");
    subject->session = session;
    struct err *err = sampler_open(pid, session->strings, sampling, &subject->sampler);
    if (err) {
        free(subject);
        return err;
    }
    session->source.kind = SNAP_LIVE;
    *ret = subject;
    return NULL;
}

void subject_close(struct subject *subject)
{
    if (!subject)
        return;
    snap_natives_destroy(subject->natives);
    snap_memory_destroy(subject->remembered);
    kernel_facts_deinit(&subject->kernel);
    sampler_close(subject->sampler);
    free(subject);
}

// The names of native code are those of the modules that are there now.
static struct err *name_natives(struct subject *subject, struct image *image, bool changed,
                                struct snap_input *input)
{
    if (!subject->natives)
        subject->natives = snap_natives_create(image, subject->session->strings);
    else if (changed || subject->named != image)
        snap_natives_forget(subject->natives, image);
    subject->named = image;
    if (!subject->natives)
        return err_create(ERR_NO_MEMORY, "snapshot");
    input->natives = subject->natives;
    return NULL;
}

// What was read of a thread that has run meanwhile is void, in a replay as well.
static bool stood_still(void *arg, size_t index)
{
    struct subject *subject = arg;
    const struct live *live = subject->sampler->live;
    if (index >= live->threads.count)
        return false;
    const struct live_thread *thread = &live->threads.items[index];
    // Without memory to write it down a replay would not know.
    bool still = thread->state == LIVE_STOPPED ? live_sleeps_on(live, thread, &subject->patience_ns)
                                               : live_held_still(live, thread);
    return still || !vec_push(&subject->facts->moved, thread->tid);
}

static struct err *allow_details(struct subject *subject, struct snap_input *input)
{
    if (!subject->remembered)
        subject->remembered = snap_memory_create();
    if (!subject->remembered)
        return err_create(ERR_NO_MEMORY, "snapshot");
    input->remembered = subject->remembered;
    subject->patience_ns = RETURN_PATIENCE_NS;
    input->still = stood_still;
    input->still_arg = subject;
    subject->facts = input->kernel;
    return NULL;
}

// What the snapshot is built from: what was sampled, or what was recorded of it.
static struct err *gather_input(struct subject *subject, struct sample *sample, bool recorded,
                                struct snap_input *ret)
{
    struct sampler *sampler = subject->sampler;
    struct live *live = sampler->live;
    struct image *image = sampler->image;
    bool changed = sampler->images_changed && !recorded;
    if (recorded) {
        TRY(recording_take_live(subject->recording, sampler, sample, ret, &image, &changed));
    } else {
        *ret = (struct snap_input){
            .strings = subject->session->strings,
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
            .unwinder = sampler->unwinder,
            .raw_native = subject->session->options->raw_native,
            .locals = subject->session->options->locals,
            .generators = subject->session->options->generators,
            .show_secrets = subject->session->options->show_secrets,
            .no_tasks = subject->session->options->no_tasks,
            .stopped = sample->atomic,
            .kernel = &subject->kernel,
            .heap = live->target->mem,
        };
        kernel_facts_renew(&subject->kernel, live->pid);
    }
    TRY(allow_details(subject, ret));
    if (!ret->native_stacks && (recorded || !sampler->unwinder))
        return NULL;
    sampler->images_changed = false;
    return name_natives(subject, image, changed, ret);
}

// What the sampler tells beside the stacks: what the snapshot cost, and the CPU time since the last.
static void fill_numbers(struct subject *subject, const struct sample *sample,
                         struct snapshot *snapshot)
{
    const struct live *live = subject->sampler->live;
    uint64_t now_ns = live_now_ns();
    snapshot->pause_ns = sample->pause_ns;
    snapshot->threads_stopped = sample->threads_stopped;
    snapshot->interrupted_calls = (uint32_t)sample->interrupted_calls;
    snapshot->overran = sample->overran;
    snapshot->cpu_window_ns = now_ns - subject->last_ns;
    if (live->has_process_cpu && subject->had_process_cpu &&
        live->process_cpu_ns >= subject->last_process_cpu_ns) {
        snapshot->has_process_cpu = true;
        snapshot->process_cpu_ns = live->process_cpu_ns - subject->last_process_cpu_ns;
    }
    subject->had_process_cpu = live->has_process_cpu;
    subject->last_process_cpu_ns = live->process_cpu_ns;
    subject->last_ns = now_ns;
}

// Read of the process itself: a capture has what was found, not what it was found in.
static void see_packages(struct subject *subject, const struct sample *sample,
                         const struct snapshot *snapshot)
{
    struct sampler *sampler = subject->sampler;
    bool python = sampler->process && sample->state.threads.count;
    package_finder_see(subject->session->packages, snapshot, python ? &sampler->process->dec : NULL,
                       sampler->live->target->mem,
                       python ? sample->state.threads.items[0].interp : 0);
}

static struct err *build(struct subject *subject, struct sample *sample, bool recorded,
                         bool warm_up, struct snapshot **ret)
{
    struct snapshot *snapshot = snapshot_create();
    if (!snapshot)
        return err_create(ERR_NO_MEMORY, "snapshot");
    struct snap_input input;
    struct err *err = gather_input(subject, sample, recorded, &input);
    input.no_details = warm_up;
    input.tasks_wanted = subject->is_last;
    if (!err)
        err = snapshot_build(&input, snapshot);
    if (!err)
        see_packages(subject, sample, snapshot);
    if (err) {
        snapshot_destroy(snapshot);
        return err;
    }
    fill_numbers(subject, sample, snapshot);
    if (sample->changed_program)
        subject_enter(subject, subject->process);
    if (subject->process == 0 && subject->session->surroundings.has_throttling) {
        surroundings_update(&subject->session->surroundings);
        tell_surroundings(subject->session);
    }
    bool several = subject->session->source.others.count;
    session_note_snapshot(subject->session, snapshot, sample->skipped, sample->changed_program,
                          several ? subject->sampler->live->pid : 0);
    *ret = snapshot;
    return NULL;
}

struct err *subject_take(struct subject *subject, struct snapshot **ret)
{
    struct sample sample;
    TRY(sampler_take(subject->sampler, &sample));
    struct err *err = build(subject, &sample, subject->recording, false, ret);
    sample_deinit(&sample);
    return err;
}

struct err *subject_warm_up(struct subject *subject)
{
    struct sample sample;
    struct snapshot *snapshot = NULL;
    struct sampler *sampler = subject->sampler;
    enum stop_mode mode = sampler->stop;
    subject->warm = true;
    if (!sampler->process)
        return NULL;
    sampler->stop = STOP_NONE;
    struct err *err = sampler_take(sampler, &sample);
    sampler->stop = mode;
    TRY(err);
    err = build(subject, &sample, false, true, &snapshot);
    sample_deinit(&sample);
    snapshot_destroy(snapshot);
    return err;
}

struct err *subject_baseline(struct subject *subject)
{
    struct live *live = subject->sampler->live;
    TRY(live_look(live));
    live_account(live);
    subject->had_process_cpu = live->has_process_cpu;
    subject->last_process_cpu_ns = live->process_cpu_ns;
    subject->last_ns = live_now_ns();
    return NULL;
}

void subject_is_new(struct subject *subject)
{
    subject->last_process_cpu_ns = 0;
}
