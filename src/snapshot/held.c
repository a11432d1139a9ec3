// SPDX-License-Identifier: GPL-3.0-or-later
// What locks a thread has.
#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "util/guard.h"

static void helds_deinit(struct py_helds *helds)
{
    vec_deinit(helds);
}

// A lock that its own thread waits for serves as a signal, which another one gives: but not where the frame
// that waits is to release it, and then the one further out that took it.
static bool gives_back_twice(const struct details_thread *of, size_t stack, const struct py_held *held)
{
    const struct snap_wait *wait = &of->ret->wait;
    uint32_t frame = details_frame(of, stack, held->frame);
    return held->given_back && wait->gives_back && wait->waiting != UINT32_MAX && frame != UINT32_MAX &&
           frame > wait->waiting;
}

struct err *details_read_held(const struct details_thread *of)
{
    for (size_t s = 0; of->dec && s < of->stack_count; s++) {
        GUARD(helds_deinit) struct py_helds helds = {0};
        TRY(py_held_read(of->dec, of->stacks[s], &helds));
        vec_foreach (held, &helds) {
            if (held->lent) {
                struct snap_lent lent = {held->lock};
                if (held->lock != of->ret->wait.object && !vec_push(&of->ret->lent, lent))
                    return err_create(ERR_NO_MEMORY, "queues");
                continue;
            }
            if (held->by_call && held->lock == of->ret->wait.lock) {
                of->ret->wait.taken_here = true;
                if (!gives_back_twice(of, s, held))
                    continue;
            }
            struct snap_held lock = {
                .what = held->what,
                .type = held->type,
                .object = held->lock,
                .frame = details_frame(of, s, held->frame),
                .known = held->observed ? SNAP_OBSERVED : SNAP_INFERRED,
                .by_call = held->by_call,
            };
            if (!vec_push(&of->ret->held, lock))
                return err_create(ERR_NO_MEMORY, "locks");
        }
    }
    return NULL;
}
