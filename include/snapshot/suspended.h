// SPDX-License-Identifier: GPL-3.0-or-later
// What waits without a thread: tasks of event loops, greenlets, generators. Plain values, like the
// rest of a snapshot: names are ids in the run's string table, 0 is a fact that could not be had.
// Of several processes everything is in one list each, with its pid.
#ifndef SNAPSHOT_SUSPENDED_H
#define SNAPSHOT_SUSPENDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot/frame.h"

#define SNAP_NO_INDEX UINT32_MAX

VEC_DEFINE(snap_stacks, struct snap_frames);

// ---- What a task awaits --------------------------------------------------------------------------

enum snap_await_kind {
    SNAP_AWAIT_NONE,    // nothing, or that is not known
    SNAP_AWAIT_TASK,    // one other task
    SNAP_AWAIT_SEVERAL, // tasks and futures together: gather(), wait(), a TaskGroup
    SNAP_AWAIT_FUTURE,  // one that nobody says more of
    SNAP_AWAIT_SLEEP,   // asyncio.sleep() and time limits
    SNAP_AWAIT_LOCK,    // asyncio.Lock
    SNAP_AWAIT_EVENT,
    SNAP_AWAIT_CONDITION,
    SNAP_AWAIT_SEMAPHORE,
    SNAP_AWAIT_BARRIER,
    SNAP_AWAIT_QUEUE_GET,
    SNAP_AWAIT_QUEUE_PUT,
    SNAP_AWAIT_QUEUE_JOIN,
    SNAP_AWAIT_READ,  // data of a socket or stream
    SNAP_AWAIT_WRITE, // room in one
    SNAP_AWAIT_CONNECT,
    SNAP_AWAIT_ACCEPT,   // a server's close, a new connection
    SNAP_AWAIT_EXECUTOR, // a job of a thread or process pool
    SNAP_AWAIT_CHILD,    // a child process
    SNAP_AWAIT_YIELD,    // the next turn of the loop: sleep(0)
    SNAP_AWAIT_OTHER,    // an awaitable that is none of these: `type` says of what class
    SNAP_AWAIT_COUNT
};
// "task", "several", "queue-get", ...; "none"
const char *snap_await_name(enum snap_await_kind kind);

struct snap_await {
    enum snap_await_kind kind;
    uint32_t what;   // how the program calls it, or what it is: "self._queue", "10.0.3.9:5432"
    uint32_t type;   // of `object`: "_asyncio.Future", "Lock"
    uint64_t object; // what it is about: the lock, the queue, the future; 0: not known
    int32_t fd;      // -1: none
    int64_t left_ns; // of a sleep or time limit; negative: none, or not known
    pid_t thread;    // SNAP_AWAIT_EXECUTOR: the one that runs the job; 0: none does, or not known
    uint32_t holder; // of a lock: the task that has it, by inference; SNAP_NO_INDEX
    VEC(uint32_t) tasks; // indexes of the tasks that it waits for, directly or through futures
    size_t task_count;   // how many there are
};

// ---- Tasks ---------------------------------------------------------------------------------------

enum snap_task_state {
    SNAP_TASK_UNKNOWN,
    SNAP_TASK_CREATED, // no step of it has run
    SNAP_TASK_RUNNING, // its loop runs it now
    SNAP_TASK_READY,   // it waits for its turn only
    SNAP_TASK_WAITING,
    SNAP_TASK_FINISHED, // kept by somebody: its exception was never retrieved
    SNAP_TASK_STATE_COUNT
};
// "created", "running", "ready", "waiting", "finished"; "unknown"
const char *snap_task_state_name(enum snap_task_state state);

struct snap_task {
    pid_t pid;
    uint64_t object;    // id() of it
    uint32_t name;      // Task.get_name() (3.8+); 0: it has none
    uint32_t type;      // "Task", of a class of its own its name
    uint32_t coroutine; // qualified name of what it was made of
    uint32_t loop;      // index; SNAP_NO_INDEX: not known
    enum snap_task_state state;
    bool cancelling; // somebody asked it to end
    uint32_t stack;  // index in `stacks`: its await chain, innermost first; SNAP_NO_INDEX: none. Of
                     // a running one: the frames of its thread that belong to it
    struct snap_await await;  // what the innermost one awaits
    VEC(uint32_t) awaited_by; // indexes of tasks
    uint64_t answers;         // the concurrent.futures.Future that gets its result, for which a
                              // thread may wait: run_coroutine_threadsafe(); 0: none, or not known
    uint64_t since_ns;        // it waits at least so long at that place; for its turn, once that
                              // is all it waits for; 0: not known
    uint32_t exception;       // of a finished one: "ValueError: ...", hidden like others
    bool cut;                 // its stack may be incomplete
    bool stood; // there was one moment at which it and all others of its process that have this were
                // as they are here
};
VEC_DEFINE(snap_tasks, struct snap_task);

struct snap_loop {
    pid_t pid, tid; // tid of the thread that runs it; 0: nobody does, or not known
    uint64_t object;
    uint32_t type;     // "_UnixSelectorEventLoop", "uvloop.Loop"
    uint32_t library;  // "asyncio", "trio"
    uint32_t current;  // the task that it runs; SNAP_NO_INDEX: none, or not known
    int64_t ready;     // callbacks whose turn has come; -1: not known
    int64_t scheduled; // timers; -1: not known
    int64_t watched;   // descriptors, without its own for waking it; -1: not known. Not in documents
    int64_t signals;   // handlers of signals; -1: not known. Not in documents, either
    // In so many in a row, over so long, it ran the same step of the same task; 0: it runs none.
    uint64_t same_snapshots, same_ns;
};
VEC_DEFINE(snap_loops, struct snap_loop);

// ---- Greenlets -----------------------------------------------------------------------------------

enum snap_greenlet_state {
    SNAP_GREENLET_UNKNOWN,
    SNAP_GREENLET_CREATED,
    SNAP_GREENLET_RUNNING, // it is its thread's stack now
    SNAP_GREENLET_SUSPENDED,
    SNAP_GREENLET_STATE_COUNT
};
// "created", "running", "suspended"; "unknown"
const char *snap_greenlet_state_name(enum snap_greenlet_state state);

struct snap_greenlet {
    pid_t pid, tid; // tid of its thread; 0: not known
    uint64_t object;
    uint32_t type; // "greenlet", "Greenlet", "Hub"
    uint32_t name; // what it runs, or what gevent calls it; 0: not known
    enum snap_greenlet_state state;
    bool is_main;    // its thread's first one
    bool is_hub;     // it runs the event loop of gevent or eventlet
    uint32_t parent; // index; SNAP_NO_INDEX: none
    uint32_t stack;  // index in `stacks`, innermost first; SNAP_NO_INDEX: none. Of a running one:
                     // its thread's frames. Of suspended ones not all have their native frames
    struct snap_await await; // as far as its frames and objects say; its indexes are of greenlets
    uint64_t since_ns;
    bool cut;
};
VEC_DEFINE(snap_greenlets, struct snap_greenlet);

// ---- Generators ----------------------------------------------------------------------------------

enum snap_generator_kind { SNAP_GENERATOR, SNAP_COROUTINE, SNAP_ASYNC_GENERATOR };
const char *snap_generator_kind_name(enum snap_generator_kind kind);

struct snap_generator { // listed on request: one that is suspended, and neither task nor on a stack
    pid_t pid;
    uint64_t object;
    enum snap_generator_kind kind;
    bool begun;     // else no instruction of it has run
    uint32_t stack; // it and what it delegates to, innermost first
};
VEC_DEFINE(snap_generators, struct snap_generator);

// ---- Together ------------------------------------------------------------------------------------

struct snap_stack_index;

struct snap_suspended {
    struct snap_stacks stacks; // distinct ones: what waits at the same place has the same index
    struct snap_stack_index *index; // of them; private
    struct snap_loops loops;
    struct snap_tasks tasks; // by loop, then as old as their registry says
    struct snap_greenlets greenlets;
    struct snap_generators generators;
    uint64_t tasks_left_out, greenlets_left_out, generators_left_out; // beyond a bound
    bool moment; // all of it holds at one moment; else each task for itself
};

struct snap_suspended *snap_suspended_create(void); // NULL: no memory
void snap_suspended_destroy(struct snap_suspended *suspended);
// The index of the stack with these frames (innermost first), which is added if there is none. The
// frames' addresses and activations do not count, and are not kept. False: out of memory.
bool snap_suspended_stack(struct snap_suspended *suspended, const struct snap_frame *frames,
                          size_t count, uint32_t *ret);
// Which stacks are the same but for native frames, which not all that wait at a place have: of each, the
// first such one. `ret` has room for all. False: out of memory.
bool snap_suspended_places(const struct snap_suspended *suspended, uint32_t *ret);
// Of several processes: moves all of `from` behind what is in `to`. False: out of memory, and nothing
// was moved.
bool snap_suspended_take(struct snap_suspended *to, struct snap_suspended *from);
// Fills awaited_by of all tasks from what they await. False: out of memory.
bool snap_suspended_link(struct snap_suspended *suspended);

// The turn of a task: what a thread's event loop runs now.
struct snap_turn {
    uint64_t task; // id() of it
    uint32_t name, coroutine;
    uint32_t frames; // so many of the thread's innermost frames are the task's
    uint32_t root;   // name of the outermost task that waits for it; its own where none does
    struct snap_frames awaiting; // frames of those that wait for it, one task after the other,
                                 // innermost first; empty: nobody does
};
void snap_turn_destroy(struct snap_turn *turn);

#endif
