// SPDX-License-Identifier: GPL-3.0-or-later
// Python frames of suspended greenlets.
//
// Up to 3.10 frames are objects. From 3.11 on they lie in the thread's data stack, of which each
// greenlet has chunks of its own, but the shims between them (3.12+) lie on the C stack. Releases
// from 3.0.2 on unlink these when they switch (Greenlet::expose_frames); for those before, which cut
// the innermost frame off the others, they are read where the stack was moved to.
#include "cpython/greenlet.h"

#include <string.h>

#include "cpython/stack_walk.h"
#include "util/guard.h"
#include "util/limits.h"

// What lies at `addr` now, and how many of `size` bytes lie there together.
static uint64_t bend(const struct py_greenlet_view *view, uint64_t addr, size_t *size)
{
    uint64_t left = UINT64_MAX;
    bool moved = addr - view->start < view->size;
    if (moved)
        left = view->start + view->size - addr;
    else if (addr < view->start && view->size)
        left = view->start - addr;
    *size = *size < left ? *size : (size_t)left;
    return moved ? view->copy + (addr - view->start) : addr;
}

static size_t read_bent(void *arg, uint64_t addr, void *buffer, size_t size)
{
    const struct py_greenlet_view *view = arg;
    size_t done = 0;
    while (done < size) {
        size_t want = size - done;
        uint64_t from = bend(view, addr + done, &want);
        size_t got = mem_read_some(view->below, from, (unsigned char *)buffer + done, want);
        done += got;
        if (got < want)
            break;
    }
    uint64_t at = view->patch_addr - addr;
    if (view->patch_addr && at < done && done - at >= sizeof(view->patch_value))
        memcpy((unsigned char *)buffer + at, &view->patch_value, sizeof(view->patch_value));
    return done;
}

struct err *py_greenlet_view_init(struct py_greenlet_view *view, struct mem *below)
{
    *view = (struct py_greenlet_view){.mem = mem_create(), .below = below};
    if (!view->mem)
        return err_create(ERR_NO_MEMORY, "greenlets");
    return mem_add(view->mem, 0, UINT64_MAX, MEM_COPY, read_bent, view, false);
}

void py_greenlet_view_deinit(struct py_greenlet_view *view)
{
    mem_destroy(view->mem);
    view->mem = NULL;
}

void py_greenlet_view_bend(struct py_greenlet_view *view, const struct py_greenlet *greenlet)
{
    view->start = greenlet->stack_start;
    view->size = greenlet->stack_copy ? greenlet->stack_saved : 0;
    view->copy = greenlet->stack_copy;
}

// Where its chain begins.
static struct err *innermost(struct py_decoder *dec, const struct py_greenlet *greenlet,
                             uint64_t *ret)
{
    *ret = greenlet->frame;
    if (dec->layout.version < 0x030b || !greenlet->frame)
        return NULL;
    return py_read(dec->mem, &dec->layout, greenlet->frame, PY_FO_frame, ret);
}

void py_greenlet_stack(struct py_process *process, struct py_greenlet_view *view,
                       const struct py_greenlet *greenlet, struct py_stack *stack)
{
    struct py_decoder *dec = &process->dec;
    struct py_thread thread = {.tstate = greenlet->object};
    struct mem *mem = dec->mem;
    py_greenlet_view_bend(view, greenlet);
    dec->mem = view->mem;
    py_stack_init(stack, &thread, true);
    stack->cut = innermost(dec, greenlet, &stack->next);
    if (stack->cut)
        stack->next = 0;
    stack->cframe_next = greenlet->cframe;
    stack->shims_hidden = dec->layout.version >= 0x030c && !greenlet->cut_off;
    view->patch_value = greenlet->cut_off;
    view->patch_addr = greenlet->cut_off && stack->next
                           ? stack->next + py_offset(&dec->layout, PY_IF_previous)
                           : 0;
    (void)py_stack_step(process, stack); // without a copy it never lacks bytes
    py_stack_finish(process, stack);
    view->patch_addr = 0;
    dec->mem = mem;
}

static struct err *walk_out(struct py_process *process, struct py_stack *stack)
{
    bool modern = process->dec.layout.version >= 0x030b;
    stack->next = stack->thread.root;
    if (modern)
        TRY(py_walk_root(process, stack));
    stack->chunk_next = 0;
    // A chain that bites its tail ends here, too.
    for (size_t i = 0; stack->next && i < LIMIT_FRAMES_PER_THREAD; i++)
        TRY(modern ? py_walk_iframe(process, stack) : py_walk_frame_object(process, stack));
    return NULL;
}

uint64_t py_thread_outermost(struct py_process *process, const struct py_thread *thread)
{
    struct py_stack stack;
    py_stack_init(&stack, thread, false);
    AUTO_ERR struct err *err = walk_out(process, &stack);
    size_t count = stack.frames.count;
    uint64_t ret = !err && count ? stack.frames.items[count - 1].addr : 0;
    py_stack_deinit(&stack);
    return ret;
}
