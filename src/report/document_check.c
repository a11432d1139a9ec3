// SPDX-License-Identifier: GPL-3.0-or-later
// What the parts of a document's profile, and what its tasks say of each other: every index is that of
// something.
#include "report/document_in.h"

void document_index(struct document_in *in, const char *what, size_t item, uint32_t index,
                    size_t count)
{
    if (index >= count)
        json_fault(&in->json, "%s %zu refers to number %u of %zu", what, item, index, count);
}

void document_index_or_none(struct document_in *in, const char *what, size_t item, uint32_t index,
                            size_t count)
{
    if (index != UINT32_MAX)
        document_index(in, what, item, index, count);
}

static void check_functions(struct document_in *in, const struct profile_in *profile)
{
    size_t functions = profile->functions.count;
    for (size_t i = 0; i < profile->frame_function.count; i++)
        document_index(in, "frame", i, profile->frame_function.items[i], functions);
    for (size_t i = 0; i < profile->lines.count; i++)
        document_index(in, "line", i, profile->lines.items[i].function, functions);
    for (size_t i = 0; i < profile->edges.count; i++) {
        document_index(in, "edge", i, profile->edges.items[i].caller, functions);
        document_index(in, "edge", i, profile->edges.items[i].callee, functions);
    }
    for (size_t i = 0; i < profile->threads.count; i++) {
        document_index_or_none(in, "thread", i, profile->threads.items[i].hottest, functions);
        document_index_or_none(in, "thread", i, profile->threads.items[i].top_frame, functions);
    }
    for (size_t i = 0; i < profile->processes.count; i++) {
        document_index_or_none(in, "process", i, profile->processes.items[i].hottest, functions);
        document_index_or_none(in, "process", i, profile->processes.items[i].top_frame, functions);
    }
    const struct prof_pool *pool = &profile->report.pool;
    document_index_or_none(in, "pool", 0, pool->function, functions);
    document_index_or_none(in, "pool", 0, pool->thread, profile->threads.count);
}

bool document_check(struct document_in *in, const struct profile_in *profile)
{
    if (in->json.err)
        return false;
    check_functions(in, profile);
    // Those of all stacks and await sites.
    for (size_t i = 0; i < profile->stack_frames.count; i++)
        document_index(in, "frame of the stacks", i, profile->stack_frames.items[i],
                       profile->frames.count);
    for (size_t i = 0; i < profile->moments.count; i++)
        for (size_t k = 0; k < profile->moments.items[i].count; k++)
            document_index(in, "moment", i,
                           profile->moment_stacks.items[profile->moments.items[i].first + k],
                           profile->stacks.count);
    document_check_profile_tasks(in, profile);
    return !in->json.err;
}

static void check_await(struct document_in *in, const char *what, size_t item,
                        const struct snap_await *await, size_t count)
{
    document_index_or_none(in, what, item, await->holder, count);
    vec_foreach (task, &await->tasks)
        document_index(in, what, item, *task, count);
}

void document_check_suspended(struct document_in *in, const struct snap_suspended *suspended)
{
    size_t loops = suspended->loops.count, tasks = suspended->tasks.count;
    size_t greenlets = suspended->greenlets.count;
    for (size_t i = 0; i < loops; i++)
        document_index_or_none(in, "loop", i, suspended->loops.items[i].current, tasks);
    for (size_t i = 0; i < tasks; i++) {
        const struct snap_task *task = &suspended->tasks.items[i];
        document_index_or_none(in, "task", i, task->loop, loops);
        check_await(in, "task", i, &task->await, tasks);
        vec_foreach (by, &task->awaited_by)
            document_index(in, "task", i, *by, tasks);
    }
    for (size_t i = 0; i < greenlets; i++) {
        const struct snap_greenlet *greenlet = &suspended->greenlets.items[i];
        document_index_or_none(in, "greenlet", i, greenlet->parent, greenlets);
        check_await(in, "greenlet", i, &greenlet->await, greenlets);
    }
}
