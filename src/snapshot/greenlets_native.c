// SPDX-License-Identifier: GPL-3.0-or-later
// Native frames of suspended greenlets: see greenlets.h.
//
// A greenlet is suspended inside of the module's slp_switch() (platform/switch_<machine>_*.h), which has
// left its stack pointer in the object. Where it will go on is one place in that function's code, which is
// found by its instructions; the frame pointer lies in a local of the function. From there call frame
// information leads outwards, over the stack's bytes where they were moved to, to the activation that
// the greenlet was started from, g_switch(): stack_stop is the address of a local of that one
// ("dummymarker", greenlet 0.4 to 3.5). A walk that does not arrive exactly there, in the module's own
// code, is no stack of it, and none is shown; nor is one in which a Python frame has no certain place.
#include <stdlib.h>
#include <string.h>

#include "snapshot/greenlets.h"
#include "snapshot/merge.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"

#define CODE_BYTES_MAX (8u << 20) // greenlet 3.5 has 60 KiB
#define LOCALS_BYTES 256          // of slp_switch()
// A thousand that wait at the same place have the same frames: some of them tell, and a capture holds the
// stack bytes of these.
#define PER_PLACE_MAX 20
#define STACKS_MAX 2000

// ---- Where they go on ---------------------------------------------------------------------------

static uint64_t base_type(const struct py_greenlet_build *build)
{
    for (size_t i = 0; i < PY_GREENLET_TYPES; i++)
        if (build->types[i].base)
            return build->types[i].base;
    return 0;
}

// Where in this code, which begins at `start`, stacks are switched, and how often.
static void scan(const struct arch_unwind *arch, const uint8_t *code, size_t size, uint64_t start,
                 uint64_t *ret, size_t *ret_count)
{
    struct arch_switch found;
    for (size_t at = 0; at < size; at++)
        if (arch->switches_stack(code, size, at, &found)) {
            *ret = start + at;
            ++*ret_count;
        }
}

// Of the module that has the greenlets' own type. All of its code is read, which no capture is to hold.
static uint64_t find_switch(const struct greenlets *g, const struct arch_unwind *arch)
{
    const struct target *target = g->in->target;
    uint64_t base = base_type(&g->known->build), ret = 0;
    const struct module *module = base ? image_module_at(g->process->image, base) : NULL;
    size_t count = 0, left = CODE_BYTES_MAX;
    vec_foreach (mapping, &target->mappings) {
        if (!module || !mapping->executable || mapping->start < module->start ||
            mapping->end > module->end)
            continue;
        size_t size = mapping->end - mapping->start;
        AUTO_FREE uint8_t *code = size <= left ? malloc(size) : NULL;
        if (!code)
            return 0;
        left -= size;
        size = mem_read_some(g->in->heap, mapping->start, code, size);
        scan(arch, code, size, mapping->start, &ret, &count);
    }
    return count == 1 ? ret : 0;
}

// Once, or as a capture says.
static bool know_switch(struct greenlets *g, const struct arch_unwind *arch)
{
    struct greenlets_known *known = g->known;
    struct kernel_facts *facts = g->in->kernel;
    uint8_t code[ARCH_SWITCH_BEFORE + ARCH_SWITCH_BEHIND];
    if (!g->in->heap) {
        known->switch_pc = facts ? facts->greenlet_switch : 0;
    } else if (!known->looked) {
        known->looked = base_type(&known->build) != 0;
        known->switch_pc = find_switch(g, arch);
    }
    if (g->in->heap && facts)
        facts->greenlet_switch = known->switch_pc;
    // A capture has this much of the code.
    uint64_t from = known->switch_pc - ARCH_SWITCH_BEFORE;
    if (known->switch_pc < ARCH_SWITCH_BEFORE)
        return false;
    size_t size = mem_read_some(g->in->target->mem, from, code, sizeof(code));
    return arch->switches_stack(code, size, ARCH_SWITCH_BEFORE, &g->at_switch);
}

// ---- One ----------------------------------------------------------------------------------------

static const struct module *module_of(const struct greenlets *g, const struct unwind_frame *frame)
{
    return image_module_at(g->process->image, frame->exact_pc ? frame->pc : frame->pc - 1);
}

// The activation that it was started from belongs to another greenlet.
static bool is_arrived(const struct greenlets *g, const struct py_greenlet *greenlet,
                       const struct unwind_frames *frames)
{
    const struct module *own = module_of(g, &frames->items[0]);
    return greenlet->is_main ||
           (own && frames->count > 1 && module_of(g, &frames->items[frames->count - 1]) == own);
}

static bool walk_from(struct greenlets *g, const struct py_greenlet *greenlet, struct mem *mem,
                      uint64_t fp, struct unwind_stack *ret)
{
    struct arch_regs regs = {
        .ip = g->known->switch_pc, .sp = greenlet->stack_start, .fp = fp, .syscall = -1};
    bool arrived = unwind_suspended(g->in->unwinder, mem, &regs, greenlet->stack_stop, ret);
    g->native_frames += ret->frames.count;
    return arrived && is_arrived(g, greenlet, &ret->frames);
}

// In code with frame pointers the local holds its own one: a word that is where it says it is, and from
// which alone the walk arrives.
static bool walk(struct greenlets *g, const struct py_greenlet *greenlet, struct mem *mem,
                 struct unwind_stack *ret)
{
    uint64_t words[LOCALS_BYTES / 8], fp = 0;
    uint64_t sp = greenlet->stack_start, offset = (uint64_t)(int64_t)g->at_switch.fp_at;
    size_t count = 0, proofs = 0;
    if (g->at_switch.fp_base == arch_host()->unwind->sp) {
        AUTO_ERR struct err *err = mem_read_u64(mem, sp + offset, &fp);
        return !err && walk_from(g, greenlet, mem, fp, ret);
    }
    count = mem_read_some(mem, sp, words, sizeof(words)) / 8;
    for (size_t i = 0; i < count; i++)
        if (words[i] + offset == sp + 8 * i && walk_from(g, greenlet, mem, words[i], ret)) {
            fp = words[i];
            proofs++;
        }
    return proofs == 1 && walk_from(g, greenlet, mem, fp, ret);
}

static uint8_t *place_of(struct greenlets *g, const struct py_greenlet *greenlet,
                         const struct py_stack *stack)
{
    uint64_t bytes = greenlet->is_main ? 0 : greenlet->stack_stop - greenlet->stack_start;
    uint64_t hash = hash_u64(HASH_SEED, bytes);
    vec_foreach (frame, &stack->frames) {
        hash = hash_u64(hash, frame->code_addr);
        hash = hash_u64(hash, (uint64_t)frame->offset_bytes);
    }
    return &g->places[hash % ARRAY_SIZE(g->places)];
}

bool greenlets_unwind(struct greenlets *g, const struct py_greenlet *greenlet,
                      const struct py_stack *stack, struct unwind_stack *ret)
{
    const struct arch_unwind *arch = arch_host()->unwind;
    if (!g->in->natives || !g->in->unwinder || !arch->switches_stack || stack->cut)
        return false;
    if (!g->asked_switch) {
        g->asked_switch = true;
        g->has_switch = know_switch(g, arch);
    }
    if (!g->has_switch)
        return false;
    if (*place_of(g, greenlet, stack) >= PER_PLACE_MAX)
        return false;
    if (g->native_stacks >= STACKS_MAX || g->native_frames >= LIMIT_FRAMES_PER_SNAPSHOT) {
        g->natives_left_out++;
        return false;
    }
    bool arrived = walk(g, greenlet, g->view.mem, ret);
    if (!arrived)
        vec_clear(&ret->frames);
    return arrived;
}

bool greenlets_same_natives(struct greenlets *g, const struct py_greenlet *greenlet,
                            const struct unwind_stack *native)
{
    GUARD(py_greenlet_view_deinit) struct py_greenlet_view view = {0};
    GUARD(unwind_stack_deinit) struct unwind_stack again = {0};
    AUTO_ERR struct err *err = py_greenlet_view_init(&view, g->in->heap);
    if (err)
        return false;
    py_greenlet_view_bend(&view, greenlet);
    if (!walk(g, greenlet, view.mem, &again) || again.frames.count != native->frames.count)
        return false;
    for (size_t i = 0; i < native->frames.count; i++)
        if (again.frames.items[i].pc != native->frames.items[i].pc ||
            again.frames.items[i].sp != native->frames.items[i].sp)
            return false;
    return true;
}

// gevent's Greenlet.run() is compiled by Cython; it calls what was given to spawn(). gevent 1.3 to 26.
static bool is_starter(const struct strtab *strings, const struct snap_frame *frame, uint32_t own)
{
    static const char module[] = "_gevent_cgreenlet.";
    const char *name = strtab_get(strings, frame->module);
    return frame->module == own || (name && strncmp(name, module, sizeof(module) - 1) == 0);
}

// How the module switches and starts is nothing that a reader wants to see, where Python's frames say
// what was called. A starter may be called in roundabout ways.
static void hide_switch(const struct greenlets *g, const struct py_greenlet *greenlet,
                        struct snap_frames *frames)
{
    uint32_t own = frames->items[0].module;
    size_t first = 0, end = frames->count;
    for (size_t i = end; i-- > 0 && frames->items[i].kind == SNAP_NATIVE && !greenlet->is_main;)
        if (is_starter(g->in->strings, &frames->items[i], own))
            end = i;
    while (first < end && frames->items[first].kind == SNAP_NATIVE &&
           frames->items[first].module == own)
        first++;
    frames->count = end - first;
    memmove(frames->items, frames->items + first, frames->count * sizeof(*frames->items));
}

bool greenlets_merge(struct greenlets *g, const struct py_greenlet *greenlet,
                     const struct py_stack *stack, struct unwind_stack *native,
                     struct snap_frames *ret)
{
    const struct py_stack *const stacks[] = {stack};
    struct snap_thread thread = {.tid = g->in->target->pid};
    struct merge merge = {
        .strings = g->in->strings,
        .target = g->in->target,
        .natives = g->in->natives,
        .version = g->process->dec.layout.version,
        .memory = g->view.mem,
        .raw = g->in->raw_native,
        .native = native,
        .stacks = stacks,
        .stack_count = 1,
    };
    native->frames.count -= !greenlet->is_main;
    bool ok = snap_merge(&merge, &thread);
    if (ok && stack->frames.count && !g->in->raw_native)
        hide_switch(g, greenlet, &thread.frames);
    // A note says that a place is not certain.
    if (ok && !thread.notes.count) {
        *ret = thread.frames;
        thread.frames = (struct snap_frames){0};
        ++*place_of(g, greenlet, stack);
        g->native_stacks++;
    }
    snap_thread_deinit(&thread);
    return ok;
}

void greenlets_tell_natives_left_out(const struct greenlets *g)
{
    if (g->natives_left_out)
        snap_note(g->in->strings, &g->snapshot->notes,
                  "%zu suspended greenlet%s without native frames: they wait at more places than are "
                  "looked at, which is %d stacks",
                  g->natives_left_out, g->natives_left_out == 1 ? "" : "s", STACKS_MAX);
}
