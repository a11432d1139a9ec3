// SPDX-License-Identifier: GPL-3.0-or-later
// From a coroutine inwards to what it waits for in the end: see py_await_chain, cpython/coroutine.h.
#include <string.h>

#include "cpython/coroutine_read.h"
#include "util/guard.h"
#include "util/limits.h"

// What stands between two that have frames, or between the last one and a future: objects whose first
// field behind the head is what they stand for. Objects/genobject.c (PyCoroWrapper.cw_coroutine,
// PyAsyncGenASend.ags_gen, PyAsyncGenAThrow.agt_gen), Objects/iterobject.c (anextawaitableobject.wrapped),
// Modules/_asynciomodule.c (futureiterobject.future).
static const struct wrapper {
    const char *name; // tp_name
    bool ends;        // what it stands for has no frame
} wrappers[] = {
    {"coroutine_wrapper", false},      {"async_generator_asend", false},
    {"async_generator_athrow", false}, {"anext_awaitable", false},
    {"_asyncio.FutureIter", true},
};

static const struct wrapper *wrapper_of(const struct py_decoder *dec,
                                        const struct py_type_info *type)
{
    const char *name = strtab_get(dec->strings, type->name);
    for (size_t i = 0; name && i < ARRAY_SIZE(wrappers); i++)
        if (strcmp(name, wrappers[i].name) == 0)
            return &wrappers[i];
    return NULL;
}

// Lib/asyncio/coroutines.py up to 3.10, class CoroWrapper: in debug mode it stands for a coroutine (3.6: for
// each, later for those of @asyncio.coroutine).
uint64_t py_debug_coroutine(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info type;
    uint64_t inner = 0;
    if (!object || dec->layout.version > 0x030a)
        return 0;
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    if (err || !type.heap || !strtab_is(dec->strings, type.name, "CoroWrapper"))
        return 0;
    AUTO_ERR struct err *bare = py_instance_attr(dec, object, "gen", &inner);
    return bare ? 0 : inner;
}

// What an object without a frame stands for. *ret_ends: nothing further is to be had; *ret is then
// what it is all about, which may be the object itself.
static struct err *unwrap(struct py_decoder *dec, uint64_t object, const struct py_type_info *type,
                          uint64_t *ret, bool *ret_ends)
{
    const struct wrapper *wrapper = wrapper_of(dec, type);
    *ret = object;
    *ret_ends = true;
    if (!wrapper) {
        uint64_t inner = py_debug_coroutine(dec, object);
        if (inner)
            *ret = inner;
        *ret_ends = !inner;
        return NULL;
    }
    uint64_t inner;
    TRY(mem_read_u64(dec->mem, object + py_head_bytes(dec), &inner));
    if (inner)
        *ret = inner;
    *ret_ends = wrapper->ends || !inner;
    return NULL;
}

struct err *py_generator_inner(struct py_decoder *dec, uint64_t object, uint64_t *ret)
{
    enum { WRAPPERS_MAX = 8 }; // an async generator's step in a coroutine's wrapper is the most
    struct py_generator generator;
    struct py_frame frame;
    struct py_type_info type;
    *ret = 0;
    TRY(py_generator_read_frame(dec, object, &generator, &frame));
    uint64_t at = generator.awaits;
    bool ends = !at;
    for (int i = 0; i < WRAPPERS_MAX && !ends; i++) {
        TRY(py_type_of(dec, at, &type));
        if (type.kind == PY_KIND_GENERATOR) {
            *ret = at;
            return NULL;
        }
        TRY(unwrap(dec, at, &type, &at, &ends));
    }
    return NULL;
}

// One step from stack->next; 0 there ends the chain.
static struct err *step(struct py_process *process, struct py_stack *stack, uint64_t *ret_end,
                        bool *ret_running)
{
    struct py_decoder *dec = &process->dec;
    uint64_t object = stack->next;
    struct py_type_info type;
    struct py_generator generator;
    struct py_frame frame;
    bool ends;
    stack->next = 0;
    struct err *err = py_type_of(dec, object, &type);
    if (!err && type.kind != PY_KIND_GENERATOR) {
        TRY(unwrap(dec, object, &type, ret_end, &ends));
        if (!ends) {
            stack->next = *ret_end;
            *ret_end = 0;
        }
        return NULL;
    }
    if (!err)
        err = py_generator_read_frame(dec, object, &generator, &frame);
    if (err)
        return err;
    *ret_running = generator.state == PY_GEN_RUNNING;
    if (generator.state == PY_GEN_DONE)
        *ret_end = object;
    if (generator.state != PY_GEN_SUSPENDED && generator.state != PY_GEN_CREATED)
        return NULL;
    py_frame_name(dec, &frame);
    if (!vec_push(&stack->frames, frame))
        return err_create(ERR_NO_MEMORY, "frames");
    stack->next = generator.awaits;
    return NULL;
}

static struct err *follow(struct py_process *process, struct py_stack *stack, uint64_t *ret_end,
                          bool *ret_running)
{
    while (stack->next) {
        uint64_t here = stack->next;
        if (stack->steps >= 2 * LIMIT_AWAIT_FRAMES || stack->frames.count >= LIMIT_AWAIT_FRAMES)
            return err_create(ERR_LIMIT, "more than %d frames that wait for each other",
                              LIMIT_AWAIT_FRAMES);
        if (process->awaits_walked++ >= LIMIT_FRAMES_PER_SNAPSHOT)
            return err_create(ERR_LIMIT, "more than %d frames of what waits",
                              LIMIT_FRAMES_PER_SNAPSHOT);
        TRY(step(process, stack, ret_end, ret_running));
        if (stack->next && py_walk_comes_round(stack, here))
            return err_create(ERR_BAD_DATA, "the chain of what awaits what bites its tail");
    }
    return NULL;
}

struct err *py_await_chain(struct py_process *process, uint64_t object, struct py_frames *ret,
                           uint64_t *ret_end, bool *ret_running)
{
    struct py_stack stack = {.next = object};
    *ret_end = 0;
    *ret_running = false;
    struct err *err = follow(process, &stack, ret_end, ret_running);
    // Innermost first, behind what `ret` has.
    for (size_t i = stack.frames.count; i-- > 0;)
        if (!vec_push(ret, stack.frames.items[i])) {
            err_destroy(err);
            err = err_create(ERR_NO_MEMORY, "frames");
            break;
        }
    vec_deinit(&stack.frames);
    return err;
}
