// SPDX-License-Identifier: GPL-3.0-or-later
// asyncio: where it keeps its tasks, what futures and tasks say of themselves, the loops, and what a
// task awaits. Both implementations are read, the one in C (Modules/_asynciomodule.c) and the one in
// Python (Lib/asyncio/futures.py, tasks.py), and classes derived from them.
#ifndef CPYTHON_TASK_H
#define CPYTHON_TASK_H

#include "cpython/stack.h"

VEC_DEFINE(py_objects, uint64_t);

// ---- Where things are ---------------------------------------------------------------------------

// Of one interpreter. Addresses are 0 where a version has no such thing.
struct py_asyncio {
    uint64_t interp;
    uint64_t modules, modules_used; // sys.modules, and its size when it was looked at
    bool imported;                  // asyncio.tasks is there
    // WeakSets: of all tasks (up to 3.11), of those of the loops' own turns (3.12, 3.13), of those
    // in Python (3.14+). 3.6 has one for each implementation.
    uint64_t weak_tasks, weak_tasks_c;
    uint64_t eager_tasks;                    // set, 3.12+
    uint64_t current_tasks, current_tasks_c; // dict {loop: task}, up to 3.13
    // 3.14+: circular lists of tasks in C, of each thread and of the interpreter (threads that
    // ended); what a thread runs. Offsets that the extension module itself tells; 0: not known.
    uint64_t node, interp_head, thread_head, running_loop, running_task;
};

// NULL: nobody has imported asyncio there. What was found is kept with the process. Errors: it
// could not be found out.
struct err *py_asyncio_find(struct py_process *process, uint64_t interp,
                            const struct py_asyncio **ret);

// Appends all that the registries of one interpreter have, done ones and such that died meanwhile
// included; in the registry's order, which is by age where it is a list. *ret_cut: there may be
// more.
struct err *py_tasks_list(struct py_process *process, const struct py_asyncio *asyncio,
                          const struct py_state *state, struct py_objects *ret, bool *ret_cut);

struct py_running {      // a loop that runs, or a task whose turn it is
    uint64_t tstate;     // 0: not known
    uint64_t loop, task; // 0: none, or not known
};
VEC_DEFINE(py_runnings, struct py_running);
// Appends. `idle`: loops that run no task are looked for, too, which up to 3.13 takes longer.
struct err *py_running_list(struct py_process *process, const struct py_asyncio *asyncio,
                            const struct py_state *state, bool idle, struct py_runnings *ret);

// ---- Futures and tasks --------------------------------------------------------------------------

enum py_future_kind { PY_FUTURE_NONE, PY_FUTURE, PY_TASK };
enum py_future_state { PY_FUTURE_PENDING, PY_FUTURE_CANCELLED, PY_FUTURE_FINISHED };

struct py_future {
    uint64_t object;
    enum py_future_kind kind;
    enum py_future_state state;
    uint32_t type;            // tp_name
    bool gathering;           // asyncio.gather()'s
    bool unretrieved;         // its exception was never retrieved
    uint64_t loop, exception; // 0: none
    uint64_t callback0, callbacks;
    // Tasks only.
    uint64_t coro;   // 0: done (3.8+)
    uint64_t waiter; // a future; 0: none
    uint32_t name;   // 0: it has none (up to 3.7)
    bool cancelling;
};

// What one reading knows of classes and names: made for it, and not kept, as classes come and go.
struct py_futures;
struct py_futures *py_futures_create(struct py_decoder *dec); // NULL: no memory
void py_futures_destroy(struct py_futures *futures);
// ret->kind is PY_FUTURE_NONE for every other object.
struct err *py_future_read(struct py_futures *futures, uint64_t object, struct py_future *ret);
// Tasks that are woken when it is done, be it through futures that pass its result on: gather(),
// wait(), shield(), a TaskGroup. Appends. *ret_job: an object of concurrent.futures.Future that has to
// do with it; 0: none. NULL: nobody wants to know.
struct err *py_future_awaiters(struct py_futures *futures, const struct py_future *future,
                               struct py_objects *ret, uint64_t *ret_job);
// A budget of callbacks and of objects that they lead to: LIMIT_CALLBACK_OBJECTS.
bool py_futures_may_look(struct py_futures *futures);
// Many futures have one callback, that of gather() or wait(): whom it leads to is searched for once.
struct py_closure {
    uint64_t function; // 0: none is known
    uint64_t tasks[4], job;
    size_t count;
};
struct py_closure *py_futures_closure(struct py_futures *futures);
// Where a place of the program is kept at which frames are known to have no `async with`.
uint64_t *py_futures_plain_site(struct py_futures *futures, uint64_t site);
struct py_decoder *py_futures_decoder(const struct py_futures *futures);
// What is 0 or None.
bool py_is_none(struct py_futures *futures, uint64_t object);
// True, and numbers that are not 0.
bool py_is_true(struct py_decoder *dec, uint64_t object);

// ---- What a task awaits -------------------------------------------------------------------------

enum py_await_kind {
    PY_AWAIT_NONE,
    PY_AWAIT_TASK,
    PY_AWAIT_SEVERAL,
    PY_AWAIT_FUTURE,
    PY_AWAIT_SLEEP,
    PY_AWAIT_LOCK,
    PY_AWAIT_EVENT,
    PY_AWAIT_CONDITION,
    PY_AWAIT_SEMAPHORE,
    PY_AWAIT_BARRIER,
    PY_AWAIT_QUEUE_GET,
    PY_AWAIT_QUEUE_PUT,
    PY_AWAIT_QUEUE_JOIN,
    PY_AWAIT_READ,
    PY_AWAIT_WRITE,
    PY_AWAIT_CONNECT,
    PY_AWAIT_ACCEPT,
    PY_AWAIT_EXECUTOR,
    PY_AWAIT_CHILD,
    PY_AWAIT_YIELD,
    PY_AWAIT_OTHER,
};

struct py_await {
    enum py_await_kind kind;
    uint64_t object; // the lock, the queue, the future; 0: not known
    uint32_t type;   // tp_name of it
    int32_t fd;      // -1: none
    bool has_when;
    double when_s;    // of a sleep or time limit, by the loop's clock
    uint64_t job;     // object of concurrent.futures.Future; 0: none
    uint32_t waiting; // frame of the program that waits: the library's own are passed over;
                      // UINT32_MAX: there is none
};
// `frames` and `end` are what py_await_chain() gave for the task's coroutine.
void py_await_read(struct py_futures *futures, const struct py_future *task,
                   const struct py_frames *frames, uint64_t end, struct py_await *ret);

// Locks that the frames of a chain have taken by `async with`. Appends.
struct err *py_await_held(struct py_futures *futures, const struct py_await *await,
                          const struct py_frames *frames, struct py_objects *ret);

// ---- trio -----------------------------------------------------------------------------------------

// The object that runs trio's loop in a thread (class Runner); 0: none.
uint64_t py_trio_runner(struct py_decoder *dec, const struct py_stack *stack);
struct err *py_trio_list(struct py_decoder *dec, uint64_t runner, struct py_objects *ret);

struct py_trio_task {
    struct py_future task; // as far as there is something of the kind
    uint64_t nursery;      // that it runs in; 0: none
    bool ready;            // it waits for its turn
};
// ERR_BAD_DATA: it is none.
struct err *py_trio_read(struct py_futures *futures, uint64_t object, struct py_trio_task *ret);

// ---- Loops --------------------------------------------------------------------------------------

struct py_loop {
    uint64_t object;
    uint32_t type;            // tp_name
    uint64_t ident;           // thread that runs it; 0: none, or not known
    int64_t ready, scheduled; // -1: not known
    int64_t watched;          // descriptors, without those by which other threads wake it; -1
    int64_t signals;          // handlers of signals; -1: not known
};
void py_loop_read(struct py_decoder *dec, uint64_t object, struct py_loop *ret);

#endif
