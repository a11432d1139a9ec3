// SPDX-License-Identifier: GPL-3.0-or-later
// What is kept of tasks from one snapshot to the next: see tasks.h.
#include <string.h>

#include "snapshot/details_build.h"
#include "snapshot/tasks.h"
#include "util/guard.h"
#include "util/hash.h"

#define READ_SHARE 20 // at most one part in so many of the time goes into reading tasks

// A step of a loop: what it has run since it looked for the next callback.
struct step {
    uint64_t loop, task, key;
    uint64_t snapshots; // in a row
    int64_t since_ns;   // CLOCK_MONOTONIC; 0: not known
};

struct stay { // of a task at one place
    uint64_t object, place, frame;
    int64_t since_ns;
    bool timed; // the place tells one sleep from the next
};
VEC_DEFINE(stays, struct stay);

struct loop_clock {
    uint64_t loop;
    struct proc_clock clock;
};

struct tasks_known {
    uint64_t next_ns;                    // CLOCK_MONOTONIC; no tasks are read before
    int64_t all_ns;                      // when all were read last
    VEC(struct step) steps, fresh_steps; // of the last snapshot, and of this one
    struct stays stays;                  // by object
    VEC(struct loop_clock) clocks;       // of loops whose thread slept
};

struct tasks_known *tasks_known_create(void)
{
    return calloc(1, sizeof(struct tasks_known));
}

void tasks_known_destroy(struct tasks_known *known)
{
    if (!known)
        return;
    vec_deinit(&known->steps);
    vec_deinit(&known->fresh_steps);
    vec_deinit(&known->stays);
    vec_deinit(&known->clocks);
    free(known);
}

static struct err *out_of_memory(void)
{
    return err_create(ERR_NO_MEMORY, "tasks");
}

static int64_t now_of(const struct tasks *tasks)
{
    return tasks->in->kernel ? tasks->in->kernel->clocks.monotonic_ns : 0;
}

// ---- When ---------------------------------------------------------------------------------------

bool tasks_due(const struct tasks *tasks)
{
    const struct snap_input *in = tasks->in;
    if (in->is_core)
        return true;
    if (!in->heap) // a replay
        return in->kernel && in->kernel->read_tasks;
    bool due = !tasks->known || in->tasks_wanted || live_now_ns() >= tasks->known->next_ns;
    if (in->kernel)
        in->kernel->read_tasks = due;
    return due;
}

void tasks_account(struct tasks *tasks, uint64_t begun_ns)
{
    uint64_t now_ns = live_now_ns();
    if (tasks->known)
        tasks->known->next_ns = now_ns + READ_SHARE * (now_ns - begun_ns);
}

// ---- Loops --------------------------------------------------------------------------------------

size_t tasks_thread_of(const struct tasks *tasks, const struct snap_loop *loop)
{
    for (size_t i = 0; loop->tid && i < tasks->in->thread_count; i++)
        if (tasks->in->threads[i].tid == loop->tid)
            return i;
    return SIZE_MAX;
}

static bool is_python(const struct tasks *tasks, const struct snap_frame *frame,
                      const char *function, const char *file)
{
    const char *name = strtab_get(tasks->in->strings, frame->function);
    const char *path = strtab_get(tasks->in->strings, frame->file);
    return frame->kind == SNAP_PYTHON && name && path && strcmp(name, function) == 0 &&
           strstr(path, file);
}

// Handle._run is called anew for each step. A loop that is not in Python shows no such frame: then the
// first call that the task makes tells, or what its innermost frame does.
static uint64_t step_key(const struct tasks *tasks, const struct snap_thread *thread)
{
    const struct snap_frames *frames = &thread->frames;
    size_t own = thread->turn->frames;
    for (size_t i = own; i < frames->count; i++)
        if (is_python(tasks, &frames->items[i], "_run", "asyncio/events.py"))
            return frames->items[i].activation;
    for (size_t i = own; i-- > 0;)
        if (frames->items[i].kind == SNAP_PYTHON &&
            !(frames->items[i].flags & SNAP_FRAME_GENERATOR))
            return frames->items[i].activation;
    const struct snap_frame *inner = &frames->items[0];
    return hash_u64(hash_u64(HASH_SEED, inner->activation), (uint64_t)inner->line);
}

struct err *tasks_step(struct tasks *tasks, uint64_t loop, const struct snap_thread *thread)
{
    struct tasks_known *known = tasks->known;
    if (!known || !thread->turn->task || !thread->frames.count)
        return NULL;
    struct step step = {loop, thread->turn->task, step_key(tasks, thread), 1, now_of(tasks)};
    vec_foreach (before, &known->steps) {
        if (before->loop != loop || before->task != step.task || before->key != step.key)
            continue;
        step.snapshots = before->snapshots + 1;
        step.since_ns = before->since_ns;
    }
    return vec_push(&known->fresh_steps, step) ? NULL : out_of_memory();
}

static const struct step *step_of(const struct tasks *tasks, const struct snap_loop *loop)
{
    const struct tasks_known *known = tasks->known;
    for (size_t i = 0; i < known->fresh_steps.count; i++)
        if (known->fresh_steps.items[i].loop == loop->object)
            return &known->fresh_steps.items[i];
    return NULL;
}

static void fill_loops(struct tasks *tasks)
{
    vec_foreach (loop, &tasks->out->loops) {
        const struct step *step = step_of(tasks, loop);
        if (!step)
            continue;
        loop->same_snapshots = step->snapshots;
        loop->same_ns = step->since_ns ? (uint64_t)(now_of(tasks) - step->since_ns) : 0;
    }
}

// ---- How long -----------------------------------------------------------------------------------

// Nothing has run in the loop since the last time: its thread has not, or it is in the same step.
static bool stood(const struct tasks *tasks, const struct snap_loop *loop)
{
    size_t thread = tasks_thread_of(tasks, loop);
    if (loop->same_ns && now_of(tasks) - (int64_t)loop->same_ns <= tasks->known->all_ns)
        return true;
    for (size_t i = 0; thread != SIZE_MAX && i < tasks->known->clocks.count; i++) {
        const struct loop_clock *before = &tasks->known->clocks.items[i];
        const struct live_thread *now = &tasks->in->threads[thread];
        if (before->loop == loop->object)
            return now->has_clock && now->clock.cpu_ns == before->clock.cpu_ns &&
                   now->clock.slices == before->clock.slices;
    }
    return false;
}

static int by_object(const void *left, const void *right)
{
    const struct stay *a = left, *b = right;
    return a->object < b->object ? -1 : a->object > b->object;
}

static const struct stay *stay_of(const struct stays *stays, uint64_t object)
{
    struct stay key = {.object = object};
    return stays->count ? bsearch(&key, stays->items, stays->count, sizeof(key), by_object) : NULL;
}

static struct err *fill_tasks(struct tasks *tasks, const bool *loop_stood)
{
    struct stays fresh = {0};
    if (!vec_reserve(&fresh, tasks->entries.count + 1))
        return out_of_memory();
    vec_foreach (entry, &tasks->entries) {
        struct snap_task *task = &entry->value;
        bool timed = entry->await.has_when;
        uint64_t place = entry->place;
        if (timed)
            place = hash_bytes(place, &entry->await.when_s, sizeof(entry->await.when_s));
        // From the moment its time is over it waits for its turn.
        bool due = task->state == SNAP_TASK_READY || (timed && task->await.left_ns == 0);
        if (due && place)
            place = hash_u64(place, SNAP_TASK_READY);
        struct stay stay = {entry->future.object, place, entry->frame, now_of(tasks), timed};
        const struct stay *before = stay_of(&tasks->known->stays, stay.object);
        bool same_wait = timed || (task->loop != SNAP_NO_INDEX && loop_stood[task->loop]);
        if (before && before->place == place && place && same_wait)
            stay.since_ns = before->since_ns;
        if (stay.since_ns)
            task->since_ns = (uint64_t)(now_of(tasks) - stay.since_ns);
        fresh.items[fresh.count++] = stay;
    }
    qsort(fresh.items, fresh.count, sizeof(*fresh.items), by_object);
    vec_deinit(&tasks->known->stays);
    tasks->known->stays = fresh;
    return NULL;
}

static struct err *keep_clocks(struct tasks *tasks)
{
    vec_clear(&tasks->known->clocks);
    vec_foreach (loop, &tasks->out->loops) {
        size_t thread = tasks_thread_of(tasks, loop);
        if (thread == SIZE_MAX || !tasks->in->threads[thread].has_clock)
            continue;
        struct loop_clock clock = {loop->object, tasks->in->threads[thread].clock};
        if (!vec_push(&tasks->known->clocks, clock))
            return out_of_memory();
    }
    return NULL;
}

static struct err *remember_all(struct tasks *tasks)
{
    fill_loops(tasks);
    AUTO_FREE bool *loop_stood = calloc(tasks->out->loops.count + 1, sizeof(*loop_stood));
    if (!loop_stood)
        return out_of_memory();
    for (size_t i = 0; i < tasks->out->loops.count; i++)
        loop_stood[i] = stood(tasks, &tasks->out->loops.items[i]);
    TRY(fill_tasks(tasks, loop_stood));
    tasks->known->all_ns = now_of(tasks);
    return keep_clocks(tasks);
}

struct err *tasks_remember(struct tasks *tasks)
{
    struct tasks_known *known = tasks->known;
    if (!known)
        return NULL;
    struct err *err = tasks->all ? remember_all(tasks) : NULL;
    __typeof__(known->steps.items) items = known->steps.items;
    size_t capacity = known->steps.capacity;
    known->steps.items = known->fresh_steps.items;
    known->steps.count = known->fresh_steps.count;
    known->steps.capacity = known->fresh_steps.capacity;
    known->fresh_steps.items = items;
    known->fresh_steps.count = 0;
    known->fresh_steps.capacity = capacity;
    return err;
}

// ---- Whose frame --------------------------------------------------------------------------------

uint64_t tasks_known_by_frame(const struct tasks *tasks, uint64_t frame)
{
    if (tasks->known)
        vec_foreach (stay, &tasks->known->stays)
            if (stay->frame == frame)
                return stay->object;
    return 0;
}
