// SPDX-License-Identifier: GPL-3.0-or-later
// Which threads details are read of, and when: see details_build.h.
#include "snapshot/details_build.h"

#include <stdlib.h>

#include "snapshot/python.h"
#include "util/guard.h"

// In this order. To add a kind of details: its line here.
static details_reader *const readers[] = {
    details_exceptions,
};

uint32_t details_frame(const struct details_thread *of, size_t stack, size_t index)
{
    size_t before = 0;
    if (stack >= of->stack_count || index >= of->stacks[stack]->frames.count ||
        snap_python_hidden(of->stacks[stack], index))
        return UINT32_MAX;
    for (size_t s = 0; s <= stack; s++)
        for (size_t i = 0; i < (s < stack ? of->stacks[s]->frames.count : index); i++)
            before += !snap_python_hidden(of->stacks[s], i);
    for (size_t i = 0; i < of->thread->frames.count; i++)
        if (of->thread->frames.items[i].kind == SNAP_PYTHON && before-- == 0)
            return (uint32_t)i;
    return UINT32_MAX;
}

// It cannot change while it is looked at, or it will be seen that it did.
static bool may_read(const struct snap_input *in, const struct live_thread *kernel)
{
    return in->is_core || (kernel && kernel->asleep && kernel->held_still);
}

static struct err *read_all(const struct details_thread *of)
{
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
        if (readers[i])
            TRY(readers[i](of));
    return NULL;
}

static void details_destroy(struct snap_details *details)
{
    if (details)
        snap_details_deinit(details);
    free(details);
}

struct err *details_read(const struct snap_input *in, size_t kernel,
                         const struct py_stack *const *stacks, size_t count,
                         struct snap_thread *thread)
{
    struct py_decoder *dec = in->process ? &in->process->dec : NULL;
    struct details_thread of = {.in = in,
                                .dec = dec,
                                .kernel = kernel == SIZE_MAX ? NULL : &in->threads[kernel],
                                .stacks = stacks,
                                .stack_count = count,
                                .thread = thread};
    if (!may_read(in, of.kernel))
        return NULL;
    of.ret = calloc(1, sizeof(*of.ret));
    if (!of.ret)
        return err_create(ERR_NO_MEMORY, "details");
    of.ret->wait.fd = -1;
    of.ret->wait.timeout_ns = of.ret->wait.left_ns = -1;
    of.ret->wait.owner_frame = of.ret->wait.waiting = UINT32_MAX;
    struct mem *mem = dec ? dec->mem : NULL;
    if (dec)
        dec->mem = in->target->mem;
    struct err *err = read_all(&of);
    if (dec)
        dec->mem = mem;
    bool kept = !err && (!in->still || !of.kernel || in->still(in->still_arg, kernel));
    if (kept)
        thread->details = of.ret;
    else
        details_destroy(of.ret);
    return err;
}

struct err *details_settle(const struct snap_input *in, struct snapshot *snapshot)
{
    (void)in;
    (void)snapshot;
    return NULL;
}
