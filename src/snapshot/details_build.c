// SPDX-License-Identifier: GPL-3.0-or-later
// Which threads details are read of, and when: see details_build.h.
#include "snapshot/details_build.h"

#include <stdlib.h>

#include "snapshot/python.h"
#include "util/guard.h"

// In this order. To add a kind of details: its line here.
static details_reader *const readers[] = {
    details_read_wait,
    details_read_held,
    details_exceptions,
    details_read_locals,
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

struct py_decoder *details_decoder(const struct snap_input *in)
{
    return in->process && in->process->dec.strings ? &in->process->dec : NULL;
}

bool details_ended(const struct snap_input *in)
{
    uint64_t word;
    return in->heap && !in->is_core && in->process &&
           mem_read_some(in->heap, in->process->head_addr, &word, sizeof(word)) != sizeof(word);
}

// It cannot change while it is looked at, or it will be seen that it did.
static bool may_read(const struct snap_input *in, const struct live_thread *kernel)
{
    bool stopped = kernel && kernel->state == LIVE_STOPPED && kernel->has_regs &&
                   arch_blocked_in_syscall(&kernel->regs);
    return in->is_core || stopped || (kernel && kernel->asleep && kernel->held_still);
}

static struct err *read_all(const struct details_thread *of)
{
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
        TRY(readers[i](of));
    return NULL;
}

struct snap_thread *details_by_ident(const struct snapshot *snapshot, uint64_t ident)
{
    vec_foreach (thread, &snapshot->threads)
        if (ident && thread->tid && thread->python_id == ident)
            return thread;
    return NULL;
}

static struct snap_details *details_create(void)
{
    struct snap_details *details = calloc(1, sizeof(*details));
    if (!details)
        return NULL;
    details->wait.fd = -1;
    details->wait.timeout_ns = details->wait.left_ns = -1;
    details->wait.owner_frame = details->wait.waiting = details->wait.loop = UINT32_MAX;
    return details;
}

static struct err *read_now(struct details_thread *of, size_t kernel, struct snap_details **ret)
{
    const struct snap_input *in = of->in;
    of->ret = details_create();
    if (!of->ret)
        return err_create(ERR_NO_MEMORY, "details");
    struct mem *mem = of->dec ? of->dec->mem : NULL;
    if (of->dec)
        of->dec->mem = in->target->mem;
    struct err *err = read_all(of);
    if (of->dec)
        of->dec->mem = mem;
    if (!err && (!in->still || !of->kernel || in->still(in->still_arg, kernel)))
        *ret = of->ret;
    else
        details_destroy(of->ret);
    return err;
}

struct err *details_read(const struct snap_input *in, size_t kernel,
                         const struct py_stack *const *stacks, size_t count,
                         struct snap_thread *thread)
{
    struct details_thread of = {.in = in,
                                .dec = details_decoder(in),
                                .kernel = kernel == SIZE_MAX ? NULL : &in->threads[kernel],
                                .stacks = stacks,
                                .stack_count = count,
                                .thread = thread};
    if (in->no_details || !in->target->mem)
        return NULL;
    if (may_read(in, of.kernel) && details_recall(in, of.kernel, &thread->details) &&
        !thread->details) {
        TRY(read_now(&of, kernel, &thread->details));
        if (thread->details)
            details_remember(in, of.kernel, thread->details);
    }
    if (in->locals && count && !thread->details)
        snap_note(in->strings, &thread->notes,
                  "its variables are not known, as it ran; a core (pycore gcore) has them");
    return NULL;
}

struct err *details_settle(const struct snap_input *in, struct snapshot *snapshot)
{
    if (in->no_details || !in->target->mem)
        return NULL;
    details_memory_end(in);
    return details_find_owners(in, snapshot);
}
