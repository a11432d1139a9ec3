// SPDX-License-Identifier: GPL-3.0-or-later
// Python frames of suspended greenlets.
//
// Up to 3.10 frames are objects. From 3.11 on they lie in the thread's data stack, of which each
// greenlet has chunks of its own, but the shims between them (3.12+) lie on the C stack. Releases
// from 3.0.2 on unlink these when they switch (Greenlet::expose_frames); for others they are read
// where the stack was moved to.
//
// Native frames of suspended greenlets are not made: the innermost are those of greenlet's switch and
// of gevent's wait, which the Python frame above them names, and the registers to begin with lie at a
// place that depends on how the compiler laid out slp_switch() (platform/switch_amd64_unix.h).
#include "cpython/greenlet.h"
#include "util/guard.h"

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
    view->start = greenlet->stack_start;
    view->size = greenlet->stack_copy ? greenlet->stack_saved : 0;
    view->copy = greenlet->stack_copy;
    dec->mem = view->mem;
    py_stack_init(stack, &thread, true);
    stack->cut = innermost(dec, greenlet, &stack->next);
    if (stack->cut)
        stack->next = 0;
    (void)py_stack_step(process, stack); // without a copy it never lacks bytes
    py_stack_finish(process, stack);
    dec->mem = mem;
}
