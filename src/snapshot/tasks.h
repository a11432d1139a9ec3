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
    uint64_t rank;    // its place in the registries
    uint64_t frame;   // address of its coroutine's frame; 0: not known
    uint64_t end;     // what the innermost coroutine awaits and what has no frame; 0: not known
    uint64_t place;   // hash of where it stands, and for what it waits; 0: not known
    uint64_t nursery; // of a task of trio; 0: it is none, or in none
    bool trio;
    bool dropped;                 // it changed while it was read
    bool again;                   // and was read once more, later than the others
    bool gone;                    // and is no more
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

// A generator's frame on the stack of a thread.
struct task_frame {
    uint64_t addr;
    uint32_t stack, index; // in->stacks[stack].frames.items[index]
};

struct task_runner { // of trio, in a thread
    uint64_t runner;
    size_t stack; // of in->stacks
};

struct task_job {
    uint64_t future;
    pid_t thread;
};

struct tasks_known; // what is kept from one snapshot to the next

struct tasks {
    const struct snap_input *in;
    struct tasks_known *known; // NULL: nothing is kept
    bool all;                  // all tasks are read; else only whose turn it is
    bool imported;             // asyncio is there
    bool calm;                 // no thread of Python ran: nothing changes while it is read
    size_t verified;           // so many times tasks_verify() had something to look at
    struct snapshot *snapshot;
    struct py_decoder *dec;
    struct py_decoder unrecorded; // caches of what is read from in->heap while all else is recorded
    struct py_futures *futures;
    const size_t *owners; // of in->stacks, the index in in->threads; SIZE_MAX: none
    struct snap_suspended *out;
    struct task_entries entries;
    struct hash_index by_object; // entries by address
    struct py_runnings running;
    VEC(struct task_frame) on_stacks; // by address
    struct py_frames frames;          // of the task that is being read
    struct snap_frames shown;
    struct task_path *paths; // TASK_PATHS; code 0: empty
    size_t paths_looked_for;
    VEC(struct task_runner) runners;
    VEC(struct task_job) jobs; // what threads of executors run
};

// ---- tasks.c ------------------------------------------------------------------------------------

// Fills snapshot->suspended, and the threads' turns.
struct err *tasks_build(const struct snap_input *in, const size_t *owners,
                        struct snapshot *snapshot);

// ---- tasks_verify.c -----------------------------------------------------------------------------

// Reads entries from `first` on again, and drops those that have changed: each task that is kept is
// true for itself.
struct err *tasks_verify(struct tasks *tasks, size_t first);
void tasks_sort_torn(struct tasks *tasks);
bool tasks_told_torn(const struct tasks *tasks, uint64_t object); // a replay's fact

// ---- tasks_read.c -------------------------------------------------------------------------------

// Reads the tasks of one interpreter; appends entries.
struct err *tasks_read(struct tasks *tasks, const struct py_asyncio *asyncio);
// One task. *ret_shown: it is one that is to be shown.
struct err *tasks_read_entry(struct tasks *tasks, uint64_t object, uint64_t rank,
                             struct task_entry *ret, bool *ret_shown);
// Those that are not done, and those whose exceptions nobody has retrieved.
bool tasks_is_shown(const struct py_future *future);
void task_entry_clear(struct task_entry *entry);
// Where a task stands: the frames in tasks->frames, and what it waits for.
uint64_t tasks_hash_place(const struct tasks *tasks, const struct task_entry *entry);
uint32_t tasks_loop(struct tasks *tasks, uint64_t object); // its index; SNAP_NO_INDEX: no memory
// Its coroutine's chain, from `task` on, into entry->value.
struct err *tasks_read_chain(struct tasks *tasks, struct task_entry *entry);
// Appends it. It is the callee's from then on.
struct err *tasks_add(struct tasks *tasks, struct task_entry *entry);
uint32_t tasks_find(const struct tasks *tasks, uint64_t object); // SNAP_NO_INDEX: it is none
// "Task" of "_asyncio.Task"
// A name that the program gave, without what looks like a secret.
uint32_t tasks_name(const struct tasks *tasks, uint32_t name);
uint32_t tasks_short_type(const struct tasks *tasks, uint32_t type);
uint32_t tasks_coroutine_name(const struct tasks *tasks, uint64_t coroutine);

// ---- tasks_heap.c -------------------------------------------------------------------------------

// Appends tasks that the registries may lack; some that they have, too.
struct err *tasks_find_unlisted(struct tasks *tasks, const struct py_asyncio *asyncio,
                                struct py_objects *ret);

// ---- tasks_trio.c -------------------------------------------------------------------------------

// Does trio run in some thread?
bool tasks_have_trio(struct tasks *tasks);
// Likewise, of all loops of trio.
struct err *tasks_read_trio(struct tasks *tasks);
// What a task says of itself.
struct err *tasks_read_future(struct tasks *tasks, const struct task_entry *entry,
                              struct py_future *ret);

// ---- tasks_await.c ------------------------------------------------------------------------------

// Before the first task is read.
struct err *tasks_find_jobs(struct tasks *tasks);
// What a task awaits, while its chain is in tasks->frames.
struct err *tasks_await(struct tasks *tasks, struct task_entry *entry);
// Once all are known: who awaits whom, and who has the locks.
struct err *tasks_link(struct tasks *tasks);

// ---- tasks_exception.c --------------------------------------------------------------------------

// Its text, with what looks like a secret hidden; *ret stays as it is where it cannot be read.
struct err *tasks_exception(struct tasks *tasks, uint64_t object, uint32_t *ret);

// ---- tasks_turn.c -------------------------------------------------------------------------------

// A coroutine's frame on the stack of a thread.
struct task_place {
    struct snap_thread *thread; // NULL: on none
    uint32_t frames;            // so many of its innermost frames belong to the coroutine
};
struct err *tasks_find_frames(struct tasks *tasks); // before it is asked for places
struct task_place tasks_place(const struct tasks *tasks, uint64_t frame);
// Whose turn it is in each thread.
struct err *tasks_turns(struct tasks *tasks);

// ---- tasks_memory.c -----------------------------------------------------------------------------

struct tasks_known *tasks_known_create(void); // NULL: no memory
// May all tasks be read this time? In a run of many snapshots they are read only while that takes a
// small part of the time. What was decided is a fact that captures keep.
bool tasks_due(const struct tasks *tasks);
void tasks_account(struct tasks *tasks, uint64_t begun_ns);
// Index of the kernel's thread that runs the loop; SIZE_MAX: none, or not known.
size_t tasks_thread_of(const struct tasks *tasks, const struct snap_loop *loop);
// The task whose coroutine had this frame when all were read last; 0: not known.
uint64_t tasks_known_by_frame(const struct tasks *tasks, uint64_t frame);
// What a thread's turn says of its loop's step: the same one as in the last snapshot?
struct err *tasks_step(struct tasks *tasks, uint64_t loop, const struct snap_thread *thread);
// Fills same_snapshots of loops and since_ns of tasks, and keeps what the next snapshot needs.
struct err *tasks_remember(struct tasks *tasks);

#endif
