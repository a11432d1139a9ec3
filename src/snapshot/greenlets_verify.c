// SPDX-License-Identifier: GPL-3.0-or-later
// Whether what was read of a running process is of one moment: see greenlets.h.
#include <string.h>

#include "snapshot/greenlets.h"
#include "util/guard.h"

// ---- Facts --------------------------------------------------------------------------------------

struct err *greenlets_tell_change(struct greenlets *g, uint64_t addr)
{
    struct kernel_facts *facts = g->in->kernel;
    return !facts || vec_push(&facts->changed, addr) ? NULL
                                                     : err_create(ERR_NO_MEMORY, "greenlets");
}

bool greenlets_told_of(struct greenlets *g, uint64_t addr)
{
    const struct kernel_facts *facts = g->in->kernel;
    if (!facts || g->changed_next >= facts->changed.count ||
        facts->changed.items[g->changed_next] != addr)
        return false;
    g->changed_next++;
    return true;
}

// ---- Switches -----------------------------------------------------------------------------------

// Always another value where it cannot be read.
static uint64_t count_of(const struct greenlets *g, const struct greenlet_group *group)
{
    uint64_t count;
    AUTO_ERR struct err *err = mem_read_u64(g->in->heap, group->counter, &count);
    return err ? group->seen + 2 : count;
}

void greenlets_begin(struct greenlets *g, struct greenlet_group *group, bool again)
{
    bool recorded = g->in->heap && g->in->heap != g->in->target->mem;
    if (again && g->cached) {
        mem_destroy(g->cached);
        g->cached = mem_create_cached(g->in->target->mem);
        g->view.below = g->cached ? g->cached : g->in->target->mem;
    }
    // What is recorded is read once, now.
    if (group && group->counter && (again || recorded))
        group->seen = count_of(g, group);
}

// ---- One greenlet -------------------------------------------------------------------------------

static bool same_bytes(const struct greenlets *g, uint64_t addr, const void *bytes, size_t size)
{
    unsigned char now[512];
    return size <= sizeof(now) && mem_read_some(g->in->heap, addr, now, size) == size &&
           memcmp(now, bytes, size) == 0;
}

// Up to 3.10 the frames of code that has returned are linked by f_back, too (Objects/frameobject.c,
// free_list), but nobody refers to them.
static bool is_dead(const struct py_decoder *dec, const struct py_frame *frame)
{
    uint64_t refcount = 0;
    uint64_t at = frame->addr + py_offset(&dec->layout, PY_OB_type) - 8;
    AUTO_ERR struct err *err = mem_read_u64(dec->mem, at, &refcount);
    return err || !refcount;
}

// Where each frame stands: its code, its instruction and who called it.
static bool same_frames(const struct greenlets *g, const struct py_stack *stack)
{
    const struct py_decoder *dec = &g->process->dec;
    bool modern = dec->layout.version >= 0x030b;
    enum py_field_id last = modern ? PY_IF_instr : PY_FO_lasti;
    enum py_field_id first = modern ? PY_IF_code : PY_FO_back;
    uint64_t at = py_offset(&dec->layout, first);
    uint64_t size = py_offset(&dec->layout, last) + (modern ? 8 : 4) - at;
    unsigned char bytes[512];
    vec_foreach (frame, &stack->frames)
        if (size > sizeof(bytes) ||
            mem_read_some(dec->mem, frame->addr + at, bytes, size) != size ||
            (!modern && is_dead(dec, frame)) || !same_bytes(g, frame->addr + at, bytes, size))
            return false;
    return true;
}

static bool same_words(const struct greenlets *g, const struct py_greenlet *greenlet)
{
    return same_bytes(g, greenlet->words_addr, greenlet->words, 8 * greenlet->word_count);
}

static bool same_contents(struct greenlets *g, const struct py_greenlet *greenlet,
                          const struct py_stack *stack, const struct unwind_stack *native)
{
    return (!native->frames.count || greenlets_same_natives(g, greenlet, native)) &&
           same_frames(g, stack) && same_words(g, greenlet);
}

bool greenlets_hold(struct greenlets *g, const struct greenlet_group *group,
                    const struct py_greenlet *greenlet, const struct py_stack *stack,
                    const struct unwind_stack *native)
{
    if (g->in->is_core || !g->in->heap)
        return true;
    bool counted = group && group->counter && group->group == greenlet->group;
    if (!counted || greenlet->state != PY_GREENLET_SUSPENDED)
        return same_contents(g, greenlet, stack, native);
    // What was recorded when others were read may be older than the count.
    bool recorded = g->in->heap != g->in->target->mem;
    if (recorded && !same_contents(g, greenlet, stack, native))
        return false;
    // Into it and away from it are two. It is asked again, as the second one may have been made just before
    // the words were looked at.
    uint64_t count = count_of(g, group);
    return count == group->seen || (count - group->seen == 1 && same_words(g, greenlet) &&
                                    count_of(g, group) == count);
}

// ---- The running one ----------------------------------------------------------------------------

static uint64_t outermost(const struct py_stack *stack)
{
    return stack->frames.count ? stack->frames.items[stack->frames.count - 1].addr : 0;
}

struct err *greenlets_hold_thread(struct greenlets *g, const struct py_stack *stack,
                                  const struct py_greenlet *greenlet, bool *ret)
{
    struct py_decoder *dec = &g->process->dec;
    struct py_thread thread = stack->thread;
    *ret = g->in->is_core;
    if (g->in->is_core)
        return NULL;
    if (!g->in->heap) {
        *ret = !greenlets_told_of(g, thread.tstate);
        return NULL;
    }
    struct mem *mem = dec->mem;
    dec->mem = g->in->heap;
    AUTO_ERR struct err *err = py_thread_refresh(g->process, &thread);
    *ret = !err && py_thread_outermost(g->process, &thread) == outermost(stack) &&
           same_words(g, greenlet);
    dec->mem = mem;
    return *ret ? NULL : greenlets_tell_change(g, thread.tstate);
}

// ---- All ----------------------------------------------------------------------------------------

struct err *greenlets_hold_all(struct greenlets *g, bool *ret)
{
    *ret = true;
    vec_foreach (group, &g->groups) {
        if (group->gone || g->in->is_core)
            continue;
        bool same = !g->in->heap ? !greenlets_told_of(g, group->group)
                                 : group->counter && count_of(g, group) == group->first;
        if (!same && g->in->heap)
            TRY(greenlets_tell_change(g, group->group));
        *ret = *ret && same;
    }
    return NULL;
}
