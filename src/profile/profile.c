// SPDX-License-Identifier: GPL-3.0-or-later
// A profile's life, and one snapshot's way into it: each thread's frames become numbers once, and
// every table counts those.
#include "profile/profile_private.h"

struct profile *profile_create(struct strtab *strings)
{
    struct profile *profile = calloc(1, sizeof(*profile));
    if (!profile)
        return NULL;
    profile->strings = strings;
    profile->group = 1;
    profile->pause_stride = 1;
    profile->spare_thread = profile->spare_process = profile->spare_task = HASH_NONE;
    if (!vec_push(&profile->nodes, (struct prof_node){.function = UINT32_MAX})) {
        profile_destroy(profile);
        return NULL;
    }
    return profile;
}

void profile_destroy(struct profile *profile)
{
    if (!profile)
        return;
    vec_foreach (function, &profile->functions) {
        vec_deinit(&function->self);
        vec_deinit(&function->total);
        vec_deinit(&function->own);
    }
    vec_foreach (thread, &profile->threads)
        vec_deinit(&thread->calls);
    vec_foreach (task, &profile->tasks)
        vec_deinit(&task->working);
    vec_deinit(&profile->functions);
    vec_deinit(&profile->frames);
    vec_deinit(&profile->edges);
    vec_deinit(&profile->nodes);
    vec_deinit(&profile->stacks);
    vec_deinit(&profile->stack_frames);
    vec_deinit(&profile->moments);
    vec_deinit(&profile->moment_stacks);
    vec_deinit(&profile->threads);
    vec_deinit(&profile->processes);
    vec_deinit(&profile->pairs);
    vec_deinit(&profile->tasks);
    vec_deinit(&profile->awaits);
    vec_deinit(&profile->await_frames);
    vec_deinit(&profile->pauses);
    vec_deinit(&profile->path);
    vec_deinit(&profile->awaiting);
    vec_deinit(&profile->calls);
    vec_deinit(&profile->present);
    struct hash_index *indexes[] = {
        &profile->function_index, &profile->frame_index, &profile->edge_index,
        &profile->node_index,     &profile->stack_index, &profile->thread_index,
        &profile->pair_index,     &profile->call_index,  &profile->process_index,
        &profile->task_index,     &profile->await_index,
    };
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
        hash_index_deinit(indexes[i]);
    free(profile->generators.now.slots);
    free(profile->generators.before.slots);
    free(profile->tasks_met.now.slots);
    free(profile->tasks_met.before.slots);
    free(profile);
}

// When there are too many, every second one is dropped, and from then on only half as many kept.
static bool add_pause(struct profile *profile, uint64_t pause_ns)
{
    struct prof_report *sum = &profile->sum;
    sum->pause_total_ns += pause_ns;
    if (pause_ns > sum->pause_max_ns)
        sum->pause_max_ns = pause_ns;
    if ((sum->snapshots - 1) % profile->pause_stride)
        return true;
    if (profile->pauses.count >= PROF_PAUSES_MAX) {
        for (size_t i = 0; 2 * i < profile->pauses.count; i++)
            profile->pauses.items[i] = profile->pauses.items[2 * i];
        profile->pauses.count = (profile->pauses.count + 1) / 2;
        profile->pause_stride *= 2;
        if ((sum->snapshots - 1) % profile->pause_stride)
            return true;
    }
    return vec_push(&profile->pauses, pause_ns);
}

static bool resolve_path(struct profile *profile, const struct snap_thread *thread)
{
    vec_clear(&profile->path);
    if (!vec_reserve(&profile->path, thread->frames.count))
        return false;
    vec_foreach (frame, &thread->frames) {
        if (!prof_frame(profile, frame, &profile->path.items[profile->path.count]))
            return false;
        profile->path.count++;
    }
    return true;
}

// The task whose turn it is: which of the path's frames are its own, and what waits for it.
static bool resolve_turn(struct profile *profile, struct prof_sample *sample)
{
    const struct snap_turn *turn = sample->thread->turn;
    vec_clear(&profile->awaiting);
    if (!prof_task(profile, sample->thread, &sample->task_id))
        return false;
    if (!turn || !turn->frames)
        return true;
    sample->task_frames =
        turn->frames < profile->path.count ? turn->frames : (uint32_t)profile->path.count;
    if (!sample->task_frames || !vec_reserve(&profile->awaiting, turn->awaiting.count))
        return !sample->task_frames;
    vec_foreach (frame, &turn->awaiting) {
        if (!prof_suspended_frame(profile, frame,
                                  &profile->awaiting.items[profile->awaiting.count]))
            return false;
        profile->awaiting.count++;
    }
    return true;
}

static bool add_thread(struct profile *profile, const struct snapshot *snapshot,
                       const struct snap_thread *thread)
{
    struct prof_report *sum = &profile->sum;
    struct prof_sample sample = {
        .thread = thread, .works = snap_state_works(thread->state), .at_ns = snapshot->at_ns};
    if (!prof_process(profile, thread->pid, &sample.process_id) ||
        !prof_thread(profile, thread, &sample.thread_id) || !resolve_path(profile, thread) ||
        !resolve_turn(profile, &sample))
        return false;
    if (thread->has_cpu && sample.works)
        sample.cpu_ns = thread->cpu_ns;
    while (sample.own < thread->frames.count &&
           thread->frames.items[sample.own].kind == SNAP_NATIVE)
        sample.own++;
    if (sample.own == thread->frames.count)
        sample.own = 0;
    profile->stamp++;
    sum->samples++;
    sum->held_still += thread->held_still || snapshot->stopped;
    sum->states[thread->state]++;
    sum->cpu_on_stacks_ns += sample.cpu_ns;
    if (thread->has_cpu && !sample.works)
        sum->cpu_between_ns += thread->cpu_ns;
    if (sample.works) {
        sum->samples_working++;
        profile->working[profile->items - 1]++;
    }
    prof_count_process(profile, &sample);
    return prof_count_functions(profile, &sample) && prof_count_edges(profile, &sample) &&
           prof_count_calls(profile, &sample) && prof_count_stack(profile, &sample) &&
           prof_count_thread(profile, &sample) && prof_count_task(profile, &sample);
}

bool profile_add(struct profile *profile, const struct snapshot *snapshot)
{
    profile->sum.snapshots++;
    prof_series_next(profile);
    bool done = add_pause(profile, snapshot->pause_ns);
    done = prof_begin_moment(profile, snapshot->at_ns) && done;
    profile->sum.threads_stopped += snapshot->threads_stopped;
    profile->sum.interrupted_calls += snapshot->interrupted_calls;
    profile->sum.overruns += snapshot->overran;
    if (snapshot->has_process_cpu) {
        profile->sum.has_process_cpu = true;
        profile->sum.process_cpu_ns += snapshot->process_cpu_ns;
    }
    done = prof_count_parts(profile, snapshot) && done;
    done = prof_count_pool(profile, snapshot) && done;
    vec_foreach (thread, &snapshot->threads) {
        if (thread->left_out)
            prof_keep_calls(profile, thread);
        else
            done = add_thread(profile, snapshot, thread) && done;
    }
    done = prof_count_awaits(profile, snapshot) && done;
    prof_threads_gone(profile);
    prof_series_bound(profile);
    return done;
}
