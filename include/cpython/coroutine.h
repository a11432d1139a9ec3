// SPDX-License-Identifier: GPL-3.0-or-later
// Generators, coroutines and async generators, and what waits inside of what: a suspended one keeps
// its frame, and on that frame's value stack lies what it delegates to (yield from, await).
#ifndef CPYTHON_COROUTINE_H
#define CPYTHON_COROUTINE_H

#include "cpython/stack.h"

enum py_generator_kind { PY_GENERATOR, PY_COROUTINE, PY_ASYNC_GENERATOR };
enum py_generator_state { PY_GEN_CREATED, PY_GEN_SUSPENDED, PY_GEN_RUNNING, PY_GEN_DONE };

struct py_generator {
    uint64_t object;
    enum py_generator_kind kind;
    enum py_generator_state state;
    uint32_t name, qualname; // its own, which a program may change
    uint64_t code;           // of its frame; 0: it is done
    uint64_t frame;          // address of the frame: up to 3.10 a frame object, else inside of it
    uint64_t awaits;         // suspended: what it delegates to; 0: nothing (a plain yield)
};
// Its state alone; what lies at `object` is known to be one of the three.
struct err *py_generator_state(struct py_decoder *dec, uint64_t object,
                               enum py_generator_state *ret);
// How it is called, and no more: of one that is known to be one of the three. 0: not readable.
uint32_t py_generator_name(struct py_decoder *dec, uint64_t object);
// ERR_BAD_DATA: it is none of the three.
struct err *py_generator_read(struct py_decoder *dec, uint64_t object, struct py_generator *ret);

// The chain from `object` (a coroutine, a generator, an awaitable that wraps one) inwards: frames of
// everything that is suspended, innermost first, with names and lines as py_stack_finish() gives
// them. *ret_end is what the innermost one awaits and what has no frame: a future, an iterator of the
// program's own; 0: a plain yield, or not known. *ret_running: the chain ends at one that runs now,
// whose frames are on a thread's stack. What was reached before an error is in `ret`, to which frames
// are added. Their code objects live until py_codes_trim(); `content` is not filled. One that has not
// begun has its frame, too, at its first line.
struct err *py_await_chain(struct py_process *process, uint64_t object, struct py_frames *ret,
                           uint64_t *ret_end, bool *ret_running);

// The coroutine for which an object of asyncio's debug mode stands; 0: it is none of the kind.
uint64_t py_debug_coroutine(struct py_decoder *dec, uint64_t object);

// What a suspended one delegates to or, through a wrapper, awaits, and what is a generator, coroutine or
// async generator itself; 0: nothing of the kind.
struct err *py_generator_inner(struct py_decoder *dec, uint64_t object, uint64_t *ret);

// Every object that the collector of an interpreter knows, each once; return false to end the walk. Of a
// process that runs, or in damaged memory, some may be missed, and others be none any more; an error says
// that a list was broken, after the rest was visited. ERR_UNSUPPORTED: a free-threaded build. Many small
// reads: through mem_create_cached(), unless each byte is written down.
typedef bool py_heap_visit(void *arg, uint64_t object);
struct err *py_heap_walk(struct py_process *process, uint64_t interp, py_heap_visit *visit,
                         void *arg);
// The same of all interpreters that have threads.
struct err *py_heap_walk_all(struct py_process *process, const struct py_state *state,
                             py_heap_visit *visit, void *arg);

#endif
