// SPDX-License-Identifier: GPL-3.0-or-later
// The tasks of one process: see tasks.h.
#include "snapshot/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot/details_build.h"
#include "util/guard.h"
#include "util/hash.h"

static struct err *out_of_memory(void)
{
    return err_create(ERR_NO_MEMORY, "tasks");
}

// ---- From entries to the value -------------------------------------------------------------------

static int by_loop_and_rank(const void *left, const void *right)
{
    const struct task_entry *a = left, *b = right;
    if (a->value.loop != b->value.loop)
        return a->value.loop < b->value.loop ? -1 : 1;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static bool sort_entries(struct tasks *tasks)
{
    struct task_entries *entries = &tasks->entries;
    if (entries->count)
        qsort(entries->items, entries->count, sizeof(*entries->items), by_loop_and_rank);
    if (!hash_index_reset(&tasks->by_object, entries->count))
        return false;
    for (size_t i = 0; i < entries->count; i++)
        hash_index_add(&tasks->by_object, hash_u64(HASH_SEED, entries->items[i].future.object),
                       (uint32_t)i);
    return true;
}

// The threads that run loops, and what they run. A task that runs has its thread's frames.
static struct err *settle_loops(struct tasks *tasks)
{
    vec_foreach (running, &tasks->running) {
        uint32_t loop = tasks_loop(tasks, running->loop);
        if (loop == SNAP_NO_INDEX)
            continue;
        struct snap_loop *to = &tasks->out->loops.items[loop];
        for (size_t i = 0; running->tstate && i < tasks->in->stack_count; i++)
            if (tasks->in->stacks[i].thread.tstate == running->tstate &&
                tasks->owners[i] != SIZE_MAX)
                to->tid = tasks->in->threads[tasks->owners[i]].tid;
        if (running->task)
            to->current = tasks_find(tasks, running->task);
    }
    return NULL;
}

static struct err *place_running(struct tasks *tasks)
{
    vec_foreach (entry, &tasks->entries) {
        struct snap_task *task = &entry->value;
        if (task->state != SNAP_TASK_RUNNING)
            continue;
        struct task_place place = tasks_place(tasks, entry->frame);
        task->cut = !place.thread;
        if (!place.thread)
            continue;
        if (!snap_suspended_stack(tasks->out, place.thread->frames.items, place.frames,
                                  &task->stack))
            return out_of_memory();
        if (task->loop != SNAP_NO_INDEX && !tasks->out->loops.items[task->loop].tid)
            tasks->out->loops.items[task->loop].tid = place.thread->tid;
    }
    return NULL;
}

static struct err *keep(struct tasks *tasks)
{
    vec_foreach (entry, &tasks->entries) {
        if (!vec_push(&tasks->out->tasks, entry->value))
            return out_of_memory();
        memset(&entry->value.await.tasks, 0, sizeof(entry->value.await.tasks));
    }
    return snap_suspended_link(tasks->out) ? NULL : out_of_memory();
}

// ---- All ----------------------------------------------------------------------------------------

static bool first_of_interpreter(const struct py_state *state, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (state->threads.items[i].interp == state->threads.items[index].interp)
            return false;
    return true;
}

static struct err *read_interpreter(struct tasks *tasks, uint64_t interp)
{
    const struct py_asyncio *asyncio;
    struct err *err = py_asyncio_find(tasks->in->process, interp, &asyncio);
    if (err && err_code(err) != ERR_NO_MEMORY) {
        err_destroy(err);
        return NULL;
    }
    if (err || !asyncio)
        return err;
    TRY(py_running_list(tasks->in->process, asyncio, tasks->in->state, &tasks->running));
    return tasks_read(tasks, asyncio);
}

static struct err *read_all(struct tasks *tasks)
{
    const struct py_state *state = tasks->in->state;
    TRY(tasks_find_jobs(tasks));
    for (size_t i = 0; i < state->threads.count; i++)
        if (first_of_interpreter(state, i))
            TRY(read_interpreter(tasks, state->threads.items[i].interp));
    if (!sort_entries(tasks))
        return out_of_memory();
    TRY(settle_loops(tasks));
    TRY(place_running(tasks));
    TRY(tasks_link(tasks));
    TRY(tasks_turns(tasks));
    return keep(tasks);
}

static void tasks_deinit(struct tasks *tasks)
{
    vec_foreach (entry, &tasks->entries) {
        vec_deinit(&entry->awaited_by);
        vec_deinit(&entry->held);
        vec_deinit(&entry->value.await.tasks);
    }
    vec_deinit(&tasks->entries);
    hash_index_deinit(&tasks->by_object);
    vec_deinit(&tasks->running);
    vec_deinit(&tasks->frames);
    vec_deinit(&tasks->shown);
    vec_deinit(&tasks->jobs);
    free(tasks->paths);
    py_futures_destroy(tasks->futures);
}

struct err *tasks_build(const struct snap_input *in, const size_t *owners,
                        struct snapshot *snapshot)
{
    struct py_decoder *dec = details_decoder(in);
    if (!dec || !in->state || in->no_details || !in->target->mem)
        return NULL;
    struct tasks tasks = {.in = in, .snapshot = snapshot, .dec = dec, .owners = owners};
    struct mem *mem = dec->mem;
    dec->mem = in->target->mem;
    tasks.futures = py_futures_create(dec);
    tasks.out = snapshot->suspended ? snapshot->suspended : snap_suspended_create();
    snapshot->suspended = tasks.out;
    struct err *err = tasks.futures && tasks.out ? read_all(&tasks) : out_of_memory();
    dec->mem = mem;
    if (tasks.out && !tasks.out->tasks.count && !tasks.out->loops.count &&
        !tasks.out->greenlets.count) {
        snap_suspended_destroy(tasks.out);
        snapshot->suspended = NULL;
    }
    tasks_deinit(&tasks);
    return err;
}
