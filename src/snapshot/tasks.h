// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks of event loops, read while a snapshot is put together, after the target was let go: from
// input->target->mem, which a recording writes down.
#ifndef SNAPSHOT_TASKS_H
#define SNAPSHOT_TASKS_H

#include "cpython/coroutine.h"
#include "cpython/task.h"
#include "snapshot/build.h"
#include "util/index.h"

// What is known of a task beyond the value that is made of it.
struct task_entry {
    struct py_future future;
    uint64_t rank;  // its place in the registries
    uint64_t frame; // address of its coroutine's frame; 0: not known
    uint64_t end;   // what the innermost coroutine awaits and what has no frame; 0: not known
    struct py_objects awaited_by; // tasks
    struct py_await await;
    struct py_objects held; // locks
    struct snap_task value;
};
VEC_DEFINE(task_entries, struct task_entry);

// How a place in the program calls an object.
struct task_path {
    uint64_t code, object;
    int32_t offset_bytes;
    uint32_t name;
};
enum { TASK_PATHS = 1024 };

struct task_job {
    uint64_t future;
    pid_t thread;
};

struct tasks {
    const struct snap_input *in;
    struct snapshot *snapshot;
    struct py_decoder *dec;
    struct py_futures *futures;
    const size_t *owners; // of in->stacks, the index in in->threads; SIZE_MAX: none
    struct snap_suspended *out;
    struct task_entries entries;
    struct hash_index by_object; // entries by address
    struct py_runnings running;
    struct py_frames frames; // of the task that is being read
    struct snap_frames shown;
    struct task_path *paths; // TASK_PATHS; code 0: empty
    size_t paths_looked_for;
    VEC(struct task_job) jobs; // what threads of executors run
};

// ---- tasks.c ------------------------------------------------------------------------------------

// Fills snapshot->suspended, and the threads' turns.
struct err *tasks_build(const struct snap_input *in, const size_t *owners,
                        struct snapshot *snapshot);

// ---- tasks_read.c -------------------------------------------------------------------------------

// Reads the tasks of one interpreter; appends entries.
struct err *tasks_read(struct tasks *tasks, const struct py_asyncio *asyncio);
uint32_t tasks_loop(struct tasks *tasks, uint64_t object); // its index; SNAP_NO_INDEX: no memory
uint32_t tasks_find(const struct tasks *tasks, uint64_t object); // SNAP_NO_INDEX: it is none
// "Task" of "_asyncio.Task"
uint32_t tasks_short_type(const struct tasks *tasks, uint32_t type);
uint32_t tasks_coroutine_name(const struct tasks *tasks, uint64_t coroutine);

// ---- tasks_await.c ------------------------------------------------------------------------------

// Before the first task is read.
struct err *tasks_find_jobs(struct tasks *tasks);
// What a task awaits, while its chain is in tasks->frames.
struct err *tasks_await(struct tasks *tasks, struct task_entry *entry);
// Once all are known: who awaits whom, and who has the locks.
struct err *tasks_link(struct tasks *tasks);

// ---- tasks_turn.c -------------------------------------------------------------------------------

// A coroutine's frame on the stack of a thread.
struct task_place {
    struct snap_thread *thread; // NULL: on none
    uint32_t frames;            // so many of its innermost frames belong to the coroutine
};
struct task_place tasks_place(const struct tasks *tasks, uint64_t frame);
// Whose turn it is in each thread.
struct err *tasks_turns(struct tasks *tasks);

#endif
