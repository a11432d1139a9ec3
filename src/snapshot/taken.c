// SPDX-License-Identifier: GPL-3.0-or-later
// Who took a lock by acquire(): a plain lock does not say, and the frame has nothing of it. The code says
// that acquire() was called on each way to where the frame is, and release() was not. A semaphore may
// be a signal: it counts as taken only where the same code gives it back later.
#include <stdlib.h>

#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "util/guard.h"

#define WANTED_MAX 64 // locks: with more of them waited for, the first are looked for
#define FRAMES_MAX 100000
#define FRAMES_OF_STACK_MAX 64

struct taken {
    const struct snap_wait *wait; // one that waits for it
    bool held, given;             // in the frame that is looked at
};

struct search {
    const struct snap_input *in;
    struct py_decoder *dec;
    struct snapshot *snapshot;
    struct taken wanted[WANTED_MAX];
    size_t count, frames;
};

bool details_may_be_taken(const struct snap_wait *wait)
{
    return wait->kind == SNAP_WAIT_LOCK || wait->kind == SNAP_WAIT_SEMAPHORE;
}

static struct taken *find(struct search *search, uint64_t object)
{
    for (size_t i = 0; i < search->count; i++) {
        const struct snap_wait *wait = search->wanted[i].wait;
        if (object && (object == wait->object || object == wait->lock))
            return &search->wanted[i];
    }
    return NULL;
}

static void find_wanted(struct search *search)
{
    vec_foreach (thread, &search->snapshot->threads) {
        const struct snap_wait *wait = thread->details ? &thread->details->wait : NULL;
        if (!wait || wait->owner_known || !details_may_be_taken(wait) || !wait->object)
            continue;
        if (search->count < WANTED_MAX && !find(search, wait->object))
            search->wanted[search->count++] = (struct taken){.wait = wait};
    }
}

static bool visit(void *arg, uint64_t object, bool gives, enum py_use_when when)
{
    struct taken *taken = find(arg, object);
    if (!taken)
        return true;
    if (gives && when == PY_USE_LATER)
        taken->given = true;
    else if (gives || when == PY_USE_NOW) // in code before it, or it waits for it itself
        taken->held = false;
    else if (when == PY_USE_CERTAIN)
        taken->held = true;
    return true;
}

// One thread state of a thread is enough: with several it is not known which frames are whose.
static uint32_t frame_of(const struct search *search, const struct py_stack *stack,
                         const struct snap_thread *thread, uint32_t index)
{
    const struct details_thread of = {
        .in = search->in, .stacks = &stack, .stack_count = 1, .thread = thread};
    return details_frame(&of, 0, index);
}

static struct err *add(const struct search *search, const struct py_stack *stack, uint32_t index,
                       const struct py_slots *slots, struct snap_thread *thread)
{
    for (size_t i = 0; i < search->count; i++) {
        const struct taken *taken = &search->wanted[i];
        if (!taken->held || (taken->wait->kind == SNAP_WAIT_SEMAPHORE && !taken->given))
            continue;
        struct snap_held held = {
            .what =
                py_path_to(search->dec, &stack->frames.items[index], slots, taken->wait->object),
            .type = taken->wait->type,
            .object = taken->wait->object,
            .frame = frame_of(search, stack, thread, index),
            .known = SNAP_INFERRED,
        };
        if (!vec_push(&thread->details->held, held))
            return err_create(ERR_NO_MEMORY, "locks");
    }
    return NULL;
}

static struct err *look_at(struct search *search, const struct py_stack *stack,
                           struct snap_thread *thread)
{
    static const struct py_taken_names names = {.take = {"acquire"}, .give = {"release"}};
    for (uint32_t i = 0; i < stack->frames.count && i < FRAMES_OF_STACK_MAX; i++) {
        const struct py_frame *frame = &stack->frames.items[i];
        struct py_slots slots;
        if (search->frames++ >= FRAMES_MAX)
            return NULL;
        AUTO_ERR struct err *err = py_slots_read(search->dec, frame, &slots);
        if (err)
            continue;
        for (size_t k = 0; k < search->count; k++)
            search->wanted[k].held = search->wanted[k].given = false;
        py_taken_walk(search->dec, frame, &slots, &names, visit, search);
        TRY(add(search, stack, i, &slots, thread));
    }
    return NULL;
}

struct err *details_find_taken(const struct snap_input *in, struct py_decoder *dec,
                               struct snapshot *snapshot)
{
    struct search search = {.in = in, .dec = dec, .snapshot = snapshot};
    find_wanted(&search);
    for (size_t i = 0; search.count && i < in->stack_count; i++) {
        const struct py_stack *stack = &in->stacks[i];
        vec_foreach (thread, &snapshot->threads)
            if (thread->details && thread->python_id == stack->thread.ident && stack->thread.ident)
                TRY(look_at(&search, stack, thread));
    }
    return NULL;
}
