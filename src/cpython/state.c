// SPDX-License-Identifier: GPL-3.0-or-later
// Interpreters, thread states, and who holds the GIL. See cpython/process.h.
#include <string.h>

#include "cpython/process.h"
#include "util/guard.h"
#include "util/limits.h"

#define TSTATE_MAX_BYTES 8192

void py_state_deinit(struct py_state *state)
{
    vec_deinit(&state->threads);
    vec_deinit(&state->gils);
    err_destroy(state->cut);
    state->cut = NULL;
}

struct gil {
    uint64_t addr;
    uint64_t holder; // thread state; 0: free
    bool known;
};

// last_holder stays set after a release, so `locked` decides; -1 is a GIL not created yet.
static struct err *read_holder(struct py_process *process, uint64_t addr, uint64_t *ret)
{
    const struct py_layout *lay = &process->dec.layout;
    uint64_t locked;
    TRY(py_read(process->dec.mem, lay, addr, PY_GIL_locked, &locked));
    TRY(py_read(process->dec.mem, lay, addr, PY_GIL_last_holder, ret));
    if ((int32_t)locked != 1)
        *ret = 0;
    return NULL;
}

static struct err *read_gil(struct py_process *process, struct py_state *state, uint64_t addr,
                            struct gil *ret)
{
    const struct py_layout *lay = &process->dec.layout;
    struct mem *mem = process->dec.mem;
    uint64_t enabled = 1;
    *ret = (struct gil){.addr = addr};
    if (!addr)
        return NULL;
    if ((lay->build & PY_BUILD_FREE_THREADED) && py_layout_has(lay, PY_GIL_enabled))
        TRY(py_read(mem, lay, addr, PY_GIL_enabled, &enabled));
    ret->known = enabled != 0;
    if (enabled)
        TRY(read_holder(process, addr, &ret->holder));
    vec_foreach (known, &state->gils)
        if (known->start == addr)
            return NULL; // another interpreter uses it, too
    struct py_gil gil = {addr, addr + py_offset(lay, PY_GIL_end), true, ret->holder != 0,
                         ret->holder};
    if (enabled && !vec_push(&state->gils, gil))
        return err_create(ERR_NO_MEMORY, "GIL");
    return NULL;
}

// The GIL that the threads of one interpreter take.
static struct err *gil_of(struct py_process *process, struct py_state *state, uint64_t interp,
                          const struct gil *shared, struct gil *ret)
{
    const struct py_layout *lay = &process->dec.layout;
    *ret = *shared;
    if (!py_layout_has(lay, PY_IS_ceval_gil))
        return NULL;
    uint64_t addr;
    TRY(py_read(process->dec.mem, lay, interp, PY_IS_ceval_gil, &addr));
    if (addr == shared->addr && addr)
        return NULL;
    return read_gil(process, state, addr, ret);
}

// Before 3.12 there is one GIL: in _PyRuntime, in 3.6 in statics.
static struct err *shared_gil(struct py_process *process, struct py_state *state, struct gil *ret)
{
    const struct py_layout *lay = &process->dec.layout;
    *ret = (struct gil){0};
    if (process->runtime && py_layout_has(lay, PY_RT_gil))
        return read_gil(process, state, process->runtime + py_offset(lay, PY_RT_gil), ret);
    if (process->current_addr) {
        // Python/ceval.c, 3.6: _PyThreadState_Current is NULL while nobody holds the GIL.
        TRY(mem_read_u64(process->dec.mem, process->current_addr, &ret->holder));
        ret->known = true;
        ret->addr = process->current_addr;
        struct py_gil gil = {process->gil_cond, process->gil_end, process->gil_cond != 0,
                             ret->holder != 0, ret->holder};
        if (!vec_push(&state->gils, gil))
            return err_create(ERR_NO_MEMORY, "GIL");
    }
    return NULL;
}

// What read_thread() asks of a thread state. Its count of contexts lies behind all that, where captures
// have nothing that were made before it was asked for: who wants it reads it alone.
static size_t tstate_bytes(const struct py_layout *lay)
{
    size_t size = 0;
    for (enum py_field_id field = PY_TS_next; field < PY_TS_size; field++)
        if (field != PY_TS_context_ver && py_layout_has(lay, field) &&
            py_offset(lay, field) + 8 > size)
            size = py_offset(lay, field) + 8;
    return size;
}

static struct err *read_thread(struct py_process *process, uint64_t tstate, uint64_t interp,
                               struct py_thread *ret, uint64_t *ret_next)
{
    const struct py_layout *lay = &process->dec.layout;
    unsigned char bytes[TSTATE_MAX_BYTES];
    size_t size = tstate_bytes(lay);
    if (size > sizeof(bytes))
        return err_create(ERR_UNSUPPORTED, "a thread state of %zu bytes", size);
    TRY(mem_read(process->dec.mem, tstate, bytes, size));
    if (py_pick_or_0(lay, bytes, size, PY_TS_interp) != interp)
        return err_create(ERR_BAD_DATA, "0x%llx is no thread state of its interpreter",
                          (unsigned long long)tstate);
    enum py_field_id root = lay->version <= 0x030a   ? PY_TS_frame
                            : lay->version <= 0x030c ? PY_TS_cframe
                                                     : PY_TS_current_frame;
    *ret = (struct py_thread){
        .tstate = tstate,
        .interp = interp,
        .ident = py_pick_or_0(lay, bytes, size, PY_TS_thread_id),
        .native_id = py_pick_or_0(lay, bytes, size, PY_TS_native_thread_id),
        .root = py_pick_or_0(lay, bytes, size, root),
        .base_frame = py_pick_or_0(lay, bytes, size, PY_TS_base_frame),
        .datastack_chunk = py_pick_or_0(lay, bytes, size, PY_TS_datastack_chunk),
        .datastack_top = py_pick_or_0(lay, bytes, size, PY_TS_datastack_top),
        .wants_gil = py_pick_or_0(lay, bytes, size, PY_TS_gil_requested) == 1,
    };
    *ret_next = py_pick_or_0(lay, bytes, size, PY_TS_next);
    return NULL;
}

// Does the list, whose newest thread is the last one, come back to one that was met? *mark moves on
// at each power of two, as in stack.c. What was taken more than once is dropped.
static bool comes_round(struct py_threads *threads, size_t first, size_t *mark)
{
    size_t last = threads->count - 1, steps = last - first;
    if (last == *mark || threads->items[last].tstate != threads->items[*mark].tstate) {
        if (steps && (steps & (steps - 1)) == 0)
            *mark = last;
        return false;
    }
    size_t round = last - *mark;
    for (size_t i = first; i + round < threads->count; i++)
        if (threads->items[i].tstate == threads->items[i + round].tstate)
            threads->count = i + round;
    return true;
}

static struct err *read_collecting(struct py_process *process, uint64_t interp, bool *ret)
{
    const struct py_layout *lay = &process->dec.layout;
    uint64_t collecting = 0;
    if (py_layout_has(lay, PY_IS_gc_collecting))
        TRY(py_read(process->dec.mem, lay, interp, PY_IS_gc_collecting, &collecting));
    else if (process->runtime && py_layout_has(lay, PY_RT_gc_collecting))
        TRY(py_read(process->dec.mem, lay, process->runtime, PY_RT_gc_collecting, &collecting));
    *ret = (uint32_t)collecting == 1;
    return NULL;
}

static struct err *read_interpreter(struct py_process *process, struct py_state *state,
                                    uint64_t interp, const struct gil *shared)
{
    const struct py_layout *lay = &process->dec.layout;
    struct mem *mem = process->dec.mem;
    uint64_t id = 0, tstate;
    bool collecting;
    struct gil gil;
    if (py_layout_has(lay, PY_IS_id))
        TRY(py_read(mem, lay, interp, PY_IS_id, &id));
    TRY(gil_of(process, state, interp, shared, &gil));
    TRY(read_collecting(process, interp, &collecting));
    TRY(py_read(mem, lay, interp, PY_IS_threads_head, &tstate));
    size_t first = state->threads.count, mark = first;
    while (tstate) {
        struct py_thread thread;
        if (state->threads.count >= LIMIT_THREADS)
            return err_create(ERR_LIMIT, "more than %d thread states", LIMIT_THREADS);
        TRY(read_thread(process, tstate, interp, &thread, &tstate));
        thread.interp_id = (int64_t)id;
        thread.gil_known = gil.known;
        thread.holds_gil = gil.known && gil.holder == thread.tstate;
        thread.gil = gil.addr;
        thread.collecting = collecting;
        if (!vec_push(&state->threads, thread))
            return err_create(ERR_NO_MEMORY, "threads");
        if (comes_round(&state->threads, first, &mark))
            return err_create(ERR_BAD_DATA, "the list of thread states bites its tail");
    }
    return NULL;
}

static struct err *read_all(struct py_process *process, struct py_state *state)
{
    const struct py_layout *lay = &process->dec.layout;
    uint64_t interp, seen[LIMIT_INTERPRETERS];
    struct gil shared;
    TRY(shared_gil(process, state, &shared));
    TRY(mem_read_u64(process->dec.mem, process->head_addr, &interp));
    if (!interp)
        return err_create(ERR_NOT_FOUND, "the interpreter has not started, or has finished");
    for (; interp; state->interpreters++) {
        if (state->interpreters >= LIMIT_INTERPRETERS)
            return err_create(ERR_LIMIT, "more than %d interpreters", LIMIT_INTERPRETERS);
        for (size_t i = 0; i < state->interpreters; i++)
            if (seen[i] == interp)
                return err_create(ERR_BAD_DATA, "the list of interpreters bites its tail");
        seen[state->interpreters] = interp;
        TRY(err_wrap(read_interpreter(process, state, interp, &shared), "interpreter at 0x%llx",
                     (unsigned long long)interp));
        TRY(py_read(process->dec.mem, lay, interp, PY_IS_next, &interp));
    }
    return NULL;
}

void py_state_read(struct py_process *process, struct py_state *state)
{
    vec_clear(&state->threads);
    vec_clear(&state->gils);
    state->interpreters = 0;
    process->frames_walked = 0;
    process->tracebacks_walked = 0;
    process->awaits_walked = 0;
    err_destroy(state->cut);
    state->cut = read_all(process, state);
}

struct err *py_thread_refresh(struct py_process *process, struct py_thread *thread)
{
    struct py_thread now;
    uint64_t next;
    TRY(read_thread(process, thread->tstate, thread->interp, &now, &next));
    if (now.ident != thread->ident)
        return err_create(ERR_BAD_DATA, "0x%llx is another thread's state now",
                          (unsigned long long)thread->tstate);
    TRY(read_collecting(process, thread->interp, &thread->collecting));
    thread->root = now.root;
    thread->datastack_chunk = now.datastack_chunk;
    thread->datastack_top = now.datastack_top;
    thread->wants_gil = now.wants_gil;
    return NULL;
}

struct err *py_thread_read(struct py_process *process, const struct py_state *state,
                           uint64_t interp, int64_t interp_id, uint64_t tstate,
                           struct py_thread *ret)
{
    uint64_t next;
    TRY(read_thread(process, tstate, interp, ret, &next));
    ret->interp_id = interp_id;
    TRY(read_collecting(process, interp, &ret->collecting));
    // What is said of its GIL is what is said of its neighbours'.
    vec_foreach (other, &state->threads) {
        if (other->interp != interp)
            continue;
        ret->gil = other->gil;
        ret->gil_known = other->gil_known;
        vec_foreach (gil, &state->gils)
            if (gil->start == ret->gil || state->gils.count == 1)
                ret->holds_gil = ret->gil_known && gil->holder == tstate;
        break;
    }
    return NULL;
}

struct err *py_gils_refresh(struct py_process *process, struct py_state *state)
{
    vec_foreach (gil, &state->gils) {
        uint64_t addr = gil->start;
        if (process->current_addr) { // 3.6
            addr = process->current_addr;
            TRY(mem_read_u64(process->dec.mem, addr, &gil->holder));
        } else {
            TRY(read_holder(process, addr, &gil->holder));
        }
        gil->locked = gil->holder != 0;
        vec_foreach (thread, &state->threads)
            if (thread->gil == addr && thread->gil_known)
                thread->holds_gil = thread->tstate == gil->holder;
    }
    return NULL;
}
