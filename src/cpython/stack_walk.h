// SPDX-License-Identifier: GPL-3.0-or-later
// What the two kinds of frame chains provide, and what they share.
#ifndef CPYTHON_STACK_WALK_H
#define CPYTHON_STACK_WALK_H

#include "cpython/stack.h"

// enum _frameowner, Include/internal/pycore_frame.h. 3 is FRAME_OWNED_BY_CSTACK (3.12, 3.13) or
// FRAME_OWNED_BY_INTERPRETER (3.14+).
enum py_frame_owner {
    PY_OWNED_BY_THREAD,
    PY_OWNED_BY_GENERATOR,
    PY_OWNED_BY_FRAME_OBJECT,
    PY_OWNED_BY_C,
    PY_OWNED_MAX = 4
};

struct py_iframe { // _PyInterpreterFrame, 3.11+
    struct py_frame frame;
    uint64_t previous;
    enum py_frame_owner owner;
    int32_t stacktop; // slots in use, 3.11-3.13; only of a suspended frame
};
struct err *py_iframe_read(struct py_decoder *dec, uint64_t addr, struct py_iframe *ret);

struct py_frame_object { // PyFrameObject, up to 3.10
    struct py_frame frame;
    uint64_t back, generator;
    int8_t state;      // 3.10: enum _framestate
    uint64_t stacktop; // address behind the last slot in use; only of a suspended frame
};
struct err *py_frame_object_read(struct py_decoder *dec, uint64_t addr,
                                 struct py_frame_object *ret);

// Reads the frame at stack->next, appends it (unless it is a shim) and advances stack->next; 0 ends
// the chain.
struct err *py_walk_frame_object(struct py_process *process, struct py_stack *stack); // <= 3.10
struct err *py_walk_iframe(struct py_process *process, struct py_stack *stack);       // 3.11+
// 3.11+: asks for the data stack chunks, which hold most frames.
struct err *py_walk_datastack(struct py_process *process, struct py_stack *stack);
// The first frame: from thread.root.
struct err *py_walk_root(struct py_process *process, struct py_stack *stack);

// 3.11 and 3.12: a thread stopped right after it entered an evaluation loop has a _PyCFrame that is
// linked, but not filled yet (Python/ceval.c, _PyEval_EvalFrameDefault: tstate->cframe is set some
// instructions before cframe.current_frame), and what lies there is an old stack's. After an error
// in the first loop's frames the walk may begin anew one _PyCFrame further out: *ret says so.
struct err *py_walk_step_back(struct py_process *process, struct py_stack *stack, bool *ret);

// 3.11: goes on with the chain of _PyCFrames, beside that of frames: what both miss is then fetched
// together. An error is a miss; whatever else goes wrong ends the chain.
struct err *py_walk_cframes(struct py_process *process, struct py_stack *stack);
// When both chains are done: gives the entries their addresses.
void py_pair_cframes(struct py_stack *stack);

// 3.11+, when the chain ended in memory that is not there: appends the older frames that lie in the
// data stack. Those of generators do not. How many there were.
size_t py_stack_salvage(struct py_process *process, struct py_stack *stack);

// After a step from `from` to stack->next: does the chain come back to a place it has passed? What was
// taken more than once is then dropped.
bool py_walk_comes_round(struct py_stack *stack, uint64_t from);

// The frame's code object, and where in it the frame is. ERR_FAULT: bytes are missing.
struct err *py_frame_locate(struct py_decoder *dec, struct py_frame *frame);
// What is known of a located frame without reading any more: names, file and line.
void py_frame_name(struct py_decoder *dec, struct py_frame *frame);
// Slots of its locals and value stack.
size_t py_frame_slot_count(const struct py_decoder *dec, const struct py_frame *frame);

// The byte offset of the frame's instruction in its bytecode.
struct err *py_frame_offset(struct py_decoder *dec, const struct py_frame *frame,
                            const struct py_code *code, int32_t *ret);

// The C callable that the frame is inside of: fills call_name, call_qualname and the inferred
// flag, or leaves them 0. `innermost`: nothing was called from Python code.
struct err *py_frame_call(struct py_process *process, const struct py_stack *stack,
                          struct py_frame *frame, struct py_code *code, bool innermost);

// Describes a callable object: *ret_name is its __name__, *ret_qualname what profilers print
// ("{built-in method time.sleep}"); both 0 when it is no C callable.
struct err *py_describe_callable(struct py_decoder *dec, uint64_t object, uint32_t *ret_name,
                                 uint32_t *ret_qualname);
// By the name of an object's type: it is a function of Cython's, which begins like a PyCFunctionObject.
bool py_is_cython_function(const char *type);
// A special method ("__enter__") that is called on an object of a C type.
struct err *py_describe_special(struct py_decoder *dec, uint64_t object, const char *method,
                                uint32_t *ret_name, uint32_t *ret_qualname);

#endif
