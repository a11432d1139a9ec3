// SPDX-License-Identifier: GPL-3.0-or-later
// The processes of a run, and the snapshots of all: see cli/subjects.h. Who comes and goes is in
// cli/follow.c.
#include "cli/subjects.h"

#include "cli/follow.h"
#include "util/guard.h"

struct sampler_options sampling_of(const struct options *options)
{
    return (struct sampler_options){
        .stop = options->stop,
        .no_native = options->no_native,
        .debuginfod = options->debuginfod,
        .max_pause_ns = options->max_pause_ns,
    };
}

void subjects_init(struct subjects *subjects, struct session *session,
                   const struct sampler_options *sampling)
{
    *subjects = (struct subjects){.session = session, .sampling = *sampling};
    // Without it each of them opens the files for itself.
    subjects->files = subjects->sampling.files = image_files_create();
    subjects->pythons = pythons_create();
}

void subjects_deinit(struct subjects *subjects)
{
    vec_foreach (subject, &subjects->items)
        subject_close(*subject);
    image_files_destroy(subjects->files);
    pythons_destroy(subjects->pythons);
    vec_deinit(&subjects->items);
    vec_deinit(&subjects->bystanders);
    vec_deinit(&subjects->starts);
}

static void note_refusal(struct session *session, const struct live *live)
{
    if (!live->refusal)
        return;
    session->incomplete = true;
    snap_note(session->strings, &session->notes,
              "no stacks: the process's memory may not be read. %s", live->refusal);
}

struct err *subjects_add(struct subjects *subjects, pid_t pid)
{
    struct subject *subject;
    size_t process;
    if (!vec_reserve(&subjects->items, subjects->items.count + 1))
        return err_create(ERR_NO_MEMORY, "process");
    TRY(subject_open(subjects->session, pid, &subjects->sampling, &subject));
    subjects->items.items[subjects->items.count++] = subject;
    TRY(follow_enter(subjects, pid, &process));
    subject_enter(subject, process);
    note_refusal(subjects->session, subject->sampler->live);
    return NULL;
}

struct err *subjects_gather(struct subjects *subjects)
{
    for (bool more = true; more;)
        TRY(subjects_follow(subjects, &more));
    return NULL;
}

struct err *subjects_begin(struct subjects *subjects)
{
    TRY(subjects_gather(subjects));
    for (size_t i = 0; i < subjects->items.count;) {
        struct subject *subject = subjects->items.items[i];
        struct err *err = subject->warm ? NULL : subject_warm_up(subject);
        if (!err)
            err = subject_baseline(subject);
        if (!err)
            i++;
        else if (!subjects->several)
            return err;
        else
            TRY(follow_leave(subjects, i, err));
    }
    subjects->begin_ns = live_now_ns();
    return NULL;
}

// ---- Snapshots -----------------------------------------------------------------------------------

static bool add_part(struct snapshot *whole, pid_t pid, const struct snapshot *snapshot)
{
    struct snap_part part = {
        .pid = pid,
        .pause_ns = snapshot->pause_ns,
        .cpu_window_ns = snapshot->cpu_window_ns,
        .has_process_cpu = snapshot->has_process_cpu,
        .process_cpu_ns = snapshot->process_cpu_ns,
    };
    return vec_push(&whole->parts, part);
}

static bool merge_suspended(struct snapshot *whole, struct snapshot *one)
{
    whole->suspended_unread |= one->suspended_unread;
    if (!one->suspended)
        return true;
    if (!whole->suspended)
        whole->suspended = snap_suspended_create();
    return whole->suspended && snap_suspended_take(whole->suspended, one->suspended);
}

// The threads of `one` process become those of `whole`, its notes and numbers are added.
static bool merge(struct snapshot *whole, pid_t pid, struct snapshot *one)
{
    whole->stopped = one->stopped && !whole->parts.count; // each at a moment of its own
    if (!add_part(whole, pid, one) ||
        !vec_reserve(&whole->threads, whole->threads.count + one->threads.count))
        return false;
    vec_foreach (thread, &one->threads) {
        thread->held_still |= one->stopped;
        whole->threads.items[whole->threads.count++] = *thread;
    }
    vec_clear(&one->threads);
    if (!merge_suspended(whole, one))
        return false;
    vec_foreach (note, &one->notes)
        if (!vec_push(&whole->notes, *note))
            return false;
    if (one->pause_ns > whole->pause_ns)
        whole->pause_ns = one->pause_ns;
    if (one->cpu_window_ns > whole->cpu_window_ns)
        whole->cpu_window_ns = one->cpu_window_ns;
    whole->threads_stopped += one->threads_stopped;
    whole->interrupted_calls += one->interrupted_calls;
    whole->overran |= one->overran;
    whole->has_process_cpu |= one->has_process_cpu;
    whole->process_cpu_ns += one->process_cpu_ns;
    return true;
}

// When the snapshot was taken, and which processes are in it.
static void enter_time(struct subjects *subjects, struct snapshot *snapshot)
{
    uint64_t now_ns = live_now_ns();
    if (!subjects->first_ns)
        subjects->first_ns = now_ns;
    snapshot->at_ns = now_ns - subjects->first_ns;
    vec_foreach (item, &subjects->items) {
        struct snap_process *process = session_process(subjects->session, (*item)->process);
        if (!(*item)->taken)
            continue;
        if (!process->snapshots++)
            process->first_ns = snapshot->at_ns;
        process->last_ns = snapshot->at_ns;
    }
}

static struct err *take_part(struct subject *subject, bool whole_is_last,
                             struct snapshot *whole)
{
    struct snapshot *one = NULL;
    subject->taken = false;
    subject->is_last = whole_is_last;
    TRY(subject_take(subject, &one));
    subject->taken = true;
    subject->lost_ns = 0;
    bool done = merge(whole, subject->sampler->live->pid, one);
    snapshot_destroy(one);
    return done ? NULL : err_create(ERR_NO_MEMORY, "snapshot");
}

static struct err *take_all(struct subjects *subjects, struct snapshot *whole)
{
    for (size_t i = 0; i < subjects->items.count;) {
        struct subject *subject = subjects->items.items[i];
        struct err *err = take_part(subject, subjects->is_last, whole);
        if (!err || follow_is_between(subject, err)) {
            err_destroy(err);
            i++;
        } else {
            TRY(follow_leave(subjects, i, err));
        }
    }
    return NULL;
}

struct err *subjects_take(struct subjects *subjects, struct snapshot **ret)
{
    if (!subjects->several) {
        subjects->items.items[0]->is_last = subjects->is_last;
        TRY(subject_take(subjects->items.items[0], ret));
        subjects->items.items[0]->taken = true;
        enter_time(subjects, *ret);
        return NULL;
    }
    struct snapshot *whole = snapshot_create();
    if (!whole)
        return err_create(ERR_NO_MEMORY, "snapshot");
    struct err *err = take_all(subjects, whole);
    if (!err && !subjects->items.count && !subjects->bystanders.count)
        err = err_create(ERR_GONE, "all processes have ended");
    if (err) {
        snapshot_destroy(whole);
        return err;
    }
    enter_time(subjects, whole);
    if (!subjects->session->source.others.count)
        vec_deinit(&whole->parts);
    *ret = whole;
    return NULL;
}
