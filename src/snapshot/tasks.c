// SPDX-License-Identifier: GPL-3.0-or-later
// The tasks of one process: see tasks.h.
#include "snapshot/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot/details_build.h"
#include "util/guard.h"
#include "util/hash.h"

#define INTERPRETERS_MAX 64

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

static void leave_out_dropped(struct tasks *tasks)
{
    struct task_entries *entries = &tasks->entries;
    size_t kept = 0;
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->items[i].dropped)
            task_entry_clear(&entries->items[i]);
        else if (kept++ != i)
            entries->items[kept - 1] = entries->items[i];
    }
    entries->count = kept;
}

static bool sort_entries(struct tasks *tasks)
{
    struct task_entries *entries = &tasks->entries;
    leave_out_dropped(tasks);
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
    if (!vec_reserve(&tasks->out->tasks, tasks->entries.count))
        return out_of_memory();
    vec_foreach (entry, &tasks->entries) {
        if (!vec_push(&tasks->out->tasks, entry->value))
            return out_of_memory();
        memset(&entry->value.await.tasks, 0, sizeof(entry->value.await.tasks));
    }
    return snap_suspended_link(tasks->out) ? NULL : out_of_memory();
}

// ---- All ----------------------------------------------------------------------------------------

// What is looked for on the threads' stacks, once something may wait for it.
static struct err *find_on_stacks(struct tasks *tasks)
{
    TRY(tasks_find_frames(tasks));
    return tasks->all ? tasks_find_jobs(tasks) : NULL;
}

// There is something to read: a program without event loops does not pay for the cache.
static void found(struct tasks *tasks)
{
    tasks->imported = true;
    if (!tasks->all)
        return;
    if (tasks->in->heap)
        mem_cache_begin(tasks->in->heap);
    py_decoder_still(tasks->dec, true);
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
    if (!tasks->imported)
        TRY(find_on_stacks(tasks));
    found(tasks);
    // Nobody's turn where no thread runs a coroutine.
    if (!tasks->all && !tasks->on_stacks.count)
        return NULL;
    TRY(py_running_list(tasks->in->process, asyncio, tasks->in->state, tasks->all,
                        &tasks->running));
    return tasks->all ? tasks_read(tasks, asyncio) : NULL;
}

// A thread that slept when it was looked at. A core's stand still.
static bool slept(const struct snap_input *in, size_t thread)
{
    const struct live_thread *kernel = &in->threads[thread];
    return in->is_core || (kernel->asleep && kernel->held_still);
}

static bool is_calm(const struct tasks *tasks)
{
    const struct snap_input *in = tasks->in;
    for (size_t i = 0; i < in->stack_count; i++)
        if (tasks->owners[i] != SIZE_MAX && !slept(in, tasks->owners[i]))
            return false;
    return true;
}

// The threads of all loops have slept until now.
static bool is_moment(const struct tasks *tasks)
{
    const struct snap_input *in = tasks->in;
    vec_foreach (loop, &tasks->out->loops) {
        size_t thread = tasks_thread_of(tasks, loop);
        if (in->is_core)
            continue;
        if (thread == SIZE_MAX || !slept(in, thread) ||
            (in->still && !in->still(in->still_arg, thread)))
            return false;
    }
    return true;
}

// All were read before the first one was looked at again: those that had not changed by then stood as
// they were read, all at once.
static void mark_stood(struct tasks *tasks)
{
    vec_foreach (entry, &tasks->entries)
        entry->value.stood = tasks->verified <= 1 && !entry->again;
}

static struct err *settle(struct tasks *tasks)
{
    bool moment = is_moment(tasks);
    if (tasks->calm && !moment)
        TRY(tasks_verify(tasks, 0));
    mark_stood(tasks);
    if (!sort_entries(tasks))
        return out_of_memory();
    TRY(settle_loops(tasks));
    TRY(place_running(tasks));
    TRY(tasks_link(tasks));
    tasks->out->moment = moment;
    if (tasks->out->tasks_left_out)
        snap_note(tasks->in->strings, &tasks->snapshot->notes,
                  "%llu task%s changed while being read, and %s left out",
                  (unsigned long long)tasks->out->tasks_left_out,
                  tasks->out->tasks_left_out == 1 ? "" : "s",
                  tasks->out->tasks_left_out == 1 ? "is" : "are");
    return NULL;
}

static struct err *read_all(struct tasks *tasks)
{
    const struct py_state *state = tasks->in->state;
    size_t interpreters = 0;
    if (tasks_have_trio(tasks)) {
        found(tasks);
        TRY(find_on_stacks(tasks));
    }
    for (size_t i = 0; i < state->threads.count; i++) {
        // Threads of an interpreter follow each other.
        uint64_t interp = state->threads.items[i].interp;
        if (i && interp == state->threads.items[i - 1].interp)
            continue;
        if (interpreters++ < INTERPRETERS_MAX)
            TRY(read_interpreter(tasks, interp));
    }
    if (tasks->all) {
        if (tasks->runners.count)
            TRY(tasks_read_trio(tasks));
        TRY(settle(tasks));
    }
    TRY(tasks_turns(tasks));
    TRY(tasks_remember(tasks));
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
    vec_deinit(&tasks->on_stacks);
    vec_deinit(&tasks->runners);
    free(tasks->paths);
    py_decoder_deinit(&tasks->unrecorded);
    py_futures_destroy(tasks->futures);
}

static struct tasks_known *know(const struct snap_input *in)
{
    struct tasks_known **place = in->remembered ? tasks_known_of(in->remembered) : NULL;
    if (place && !*place)
        *place = tasks_known_create();
    return place ? *place : NULL;
}

// Memory as it is now, and code objects likewise.
static struct err *look(struct tasks *tasks)
{
    const struct snap_input *in = tasks->in;
    uint64_t begun_ns = live_now_ns();
    tasks->all = tasks_due(tasks);
    tasks->calm = is_calm(tasks);
    tasks_sort_torn(tasks);
    tasks->futures = py_futures_create(tasks->dec);
    tasks->out = snap_suspended_create();
    if (!tasks->futures || !tasks->out)
        return out_of_memory();
    struct err *err = read_all(tasks);
    py_decoder_still(tasks->dec, false);
    if (in->heap)
        mem_cache_end(in->heap);
    if (tasks->all)
        tasks_account(tasks, begun_ns);
    return err;
}

struct err *tasks_build(const struct snap_input *in, const size_t *owners,
                        struct snapshot *snapshot)
{
    struct py_decoder *dec = details_decoder(in);
    if (!dec || !in->state || in->no_details || !in->target->mem)
        return NULL;
    struct tasks tasks = {
        .in = in, .known = know(in), .snapshot = snapshot, .dec = dec, .owners = owners};
    struct mem *mem = dec->mem, *code_mem = dec->code_mem;
    struct mem_copy *copy = dec->copy;
    dec->mem = in->target->mem;
    dec->code_mem = NULL;
    dec->copy = NULL;
    struct err *err = look(&tasks);
    snapshot->suspended_unread |= tasks.imported && !tasks.all;
    dec->mem = mem;
    dec->code_mem = code_mem;
    dec->copy = copy;
    if (!err && (tasks.out->tasks.count || tasks.out->loops.count))
        snapshot->suspended = tasks.out;
    else
        snap_suspended_destroy(tasks.out);
    tasks_deinit(&tasks);
    return err;
}
