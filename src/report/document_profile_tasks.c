// SPDX-License-Identifier: GPL-3.0-or-later
// The tasks of a document's profile, and where they wait.
#include "report/document_in.h"
#include "util/guard.h"

static const struct field task_fields[] = {
    FIELD(struct prof_task, "pid", FIELD_INT, pid),
    FIELD(struct prof_task, "name", FIELD_NAME, name),
    FIELD(struct prof_task, "coroutine", FIELD_NAME, coroutine),
    FIELD(struct prof_task, "root_name", FIELD_NAME, root_name),
    FIELD(struct prof_task, "root_coroutine", FIELD_NAME, root_coroutine),
    FIELD(struct prof_task, "tasks", FIELD_U64, tasks),
    FIELD_REQUIRED(struct prof_task, "samples", FIELD_U64, samples),
    FIELD(struct prof_task, "samples_working", FIELD_U64, samples_working),
    FIELD(struct prof_task, "states", FIELD_STATES, states),
    FIELD(struct prof_task, "cpu_ns", FIELD_U64, cpu_ns),
    FIELD(struct prof_task, "low", FIELD_DOUBLE, low),
    FIELD(struct prof_task, "high", FIELD_DOUBLE, high),
    FIELD(struct prof_task, "hottest", FIELD_U32, hottest),
};

void document_read_profile_tasks(struct document_in *in, void *into)
{
    struct profile_in *profile = into;
    struct prof_task *task;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (task = document_push(in, &profile->tasks))) {
        task->hottest = UINT32_MAX;
        document_fields(in, task_fields, ARRAY_SIZE(task_fields), task);
    }
}

// One that is not known counts as one of none of the others.
static void read_kinds(struct document_in *in, void *into)
{
    struct prof_await_site *site = into;
    const char *key;
    size_t size;
    if (!json_read_object(&in->json))
        return;
    while (json_read_key(&in->json, &key, &size)) {
        int kind = 0;
        while (kind < SNAP_AWAIT_COUNT &&
               (strlen(snap_await_name((enum snap_await_kind)kind)) != size ||
                memcmp(key, snap_await_name((enum snap_await_kind)kind), size) != 0))
            kind++;
        if (kind == SNAP_AWAIT_COUNT)
            kind = SNAP_AWAIT_OTHER;
        site->kinds[kind] += json_read_u64(&in->json, UINT64_MAX);
    }
}

static void read_site_frames(struct document_in *in, void *into)
{
    struct prof_await_site *site = into;
    site->frame_count = document_read_indexes(in, &in->profile->stack_frames);
}

// The mean is computed again.
static const struct field site_fields[] = {
    FIELD(struct prof_await_site, "pid", FIELD_INT, pid),
    FIELD(struct prof_await_site, "tid", FIELD_INT, tid),
    FIELD(struct prof_await_site, "coroutine", FIELD_NAME, coroutine),
    FIELD_REQUIRED(struct prof_await_site, "samples", FIELD_U64, samples),
    FIELD(struct prof_await_site, "snapshots", FIELD_U64, snapshots),
    FIELD(struct prof_await_site, "of_snapshots", FIELD_U64, of_snapshots),
    FIELD(struct prof_await_site, "most", FIELD_U64, most),
    FIELD_READ("kinds", read_kinds),
    FIELD(struct prof_await_site, "since_ns", FIELD_U64, since_ns),
    FIELD(struct prof_await_site, "task_frames", FIELD_U32, task_frames),
    {.key = "frames", .kind = FIELD_OTHER, .required = true, .read = read_site_frames},
};

void document_read_await_sites(struct document_in *in, void *into)
{
    struct profile_in *profile = into;
    struct prof_await_site *site;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (site = document_push(in, &profile->awaits))) {
        size_t *first = document_push(in, &profile->await_first);
        if (first)
            *first = profile->stack_frames.count;
        document_fields(in, site_fields, ARRAY_SIZE(site_fields), site);
    }
}

static void check_frames(struct document_in *in, const char *what, size_t item, uint32_t frames,
                         size_t count)
{
    if (frames > count)
        json_fault(&in->json, "%s %zu has %u frames of a task, and %zu in all", what, item, frames,
                   count);
}

void document_check_profile_tasks(struct document_in *in, const struct profile_in *profile)
{
    for (size_t i = 0; i < profile->tasks.count; i++)
        document_index_or_none(in, "task", i, profile->tasks.items[i].hottest,
                               profile->functions.count);
    for (size_t i = 0; i < profile->stacks.count; i++) {
        const struct prof_stack *stack = &profile->stacks.items[i];
        document_index_or_none(in, "stack", i, stack->task, profile->tasks.count);
        check_frames(in, "stack", i, stack->task_frames, stack->frame_count);
    }
    for (size_t i = 0; i < profile->awaits.count; i++) {
        const struct prof_await_site *site = &profile->awaits.items[i];
        check_frames(in, "await site", i, site->task_frames, site->frame_count);
    }
}
