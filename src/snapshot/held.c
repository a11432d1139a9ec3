// SPDX-License-Identifier: GPL-3.0-or-later
// What locks a thread has.
#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "util/guard.h"

static void helds_deinit(struct py_helds *helds)
{
    vec_deinit(helds);
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
            // A lock that its own thread waits for serves as a signal.
            if (held->by_call && held->lock == of->ret->wait.lock)
                continue;
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
