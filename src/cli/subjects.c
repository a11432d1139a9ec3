// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/subjects.h.
#include "cli/subjects.h"

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
}

void subjects_deinit(struct subjects *subjects)
{
    vec_foreach (subject, &subjects->items)
        subject_close(*subject);
    vec_deinit(&subjects->items);
}

struct live *subjects_first(const struct subjects *subjects)
{
    return subjects->items.items[0]->sampler->live;
}

struct err *subjects_add(struct subjects *subjects, pid_t pid)
{
    struct subject *subject;
    if (!vec_reserve(&subjects->items, subjects->items.count + 1))
        return err_create(ERR_NO_MEMORY, "process");
    TRY(subject_open(subjects->session, pid, &subjects->sampling, &subject));
    subjects->items.items[subjects->items.count++] = subject;
    return NULL;
}

struct err *subjects_begin(struct subjects *subjects)
{
    vec_foreach (subject, &subjects->items)
        TRY(subject_warm_up(*subject));
    vec_foreach (subject, &subjects->items)
        TRY(subject_baseline(*subject));
    return NULL;
}

// The threads of `part` become those of `whole`, its notes and numbers are added.
static bool merge(struct snapshot *whole, struct snapshot *part)
{
    if (!vec_reserve(&whole->threads, whole->threads.count + part->threads.count))
        return false;
    vec_foreach (thread, &part->threads) {
        thread->held_still |= part->stopped;
        whole->threads.items[whole->threads.count++] = *thread;
    }
    vec_clear(&part->threads);
    vec_foreach (note, &part->notes)
        if (!vec_push(&whole->notes, *note))
            return false;
    if (part->pause_ns > whole->pause_ns)
        whole->pause_ns = part->pause_ns;
    if (part->cpu_window_ns > whole->cpu_window_ns)
        whole->cpu_window_ns = part->cpu_window_ns;
    whole->stopped = false; // each of them at a moment of its own
    whole->threads_stopped += part->threads_stopped;
    whole->interrupted_calls += part->interrupted_calls;
    whole->overran |= part->overran;
    whole->has_process_cpu |= part->has_process_cpu;
    whole->process_cpu_ns += part->process_cpu_ns;
    return true;
}

// Adds one process's snapshot to that of all.
static struct err *add_part(struct subject *subject, struct snapshot **whole)
{
    struct snapshot *part = NULL;
    TRY(subject_take(subject, &part));
    if (!*whole) {
        *whole = part;
        return NULL;
    }
    bool done = merge(*whole, part);
    snapshot_destroy(part);
    return done ? NULL : err_create(ERR_NO_MEMORY, "snapshot");
}

struct err *subjects_take(struct subjects *subjects, struct snapshot **ret)
{
    struct snapshot *whole = NULL;
    struct err *last = NULL;
    vec_foreach (item, &subjects->items) {
        struct subject *subject = *item;
        if (subject->ended)
            continue;
        struct err *err = add_part(subject, &whole);
        subject->ended = err && err_code(err) == ERR_GONE;
        if (err) {
            err_destroy(last);
            last = err;
        }
    }
    if (!whole)
        return last ? last : err_create(ERR_GONE, "all processes have ended");
    err_destroy(last);
    uint64_t now_ns = live_now_ns();
    if (!subjects->first_ns)
        subjects->first_ns = now_ns;
    whole->at_ns = now_ns - subjects->first_ns;
    *ret = whole;
    return NULL;
}
