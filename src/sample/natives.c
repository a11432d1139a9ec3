// SPDX-License-Identifier: GPL-3.0-or-later
// Native stacks of a snapshot: how much of each stack to copy, and unwinding the copies.
#include "image/elf.h"
#include "sample/sample_private.h"
#include "util/guard.h"

#define RED_ZONE 128u // below the stack pointer, System V psABI AMD64, section 3.2.2
#define SLACK 256u
#define UNKNOWN_STOPPED (1u << 20) // copied when a thread's depth is not known yet
#define UNKNOWN_ASLEEP (64u << 10)
#define UNKNOWN_MAPPING (32u << 10)
#define WINDOW_MAX (64u << 20)
#define MORE_TRIES 12 // each twice as large: 64 KiB to 128 MiB
#define MORE_STOPS 3  // of a thread in one snapshot, to get at all of its stack
#define MAPS_EVERY_NS 200000000u
#define MAPS_ANYWAY_NS 1000000000u // a library in another's place is no failure to unwind

struct mem_range native_window(const struct pass *pass, size_t index)
{
    const struct live_thread *thread = &pass->sampler->live->threads.items[index];
    const struct track *track = track_of(pass->sampler, index);
    struct mem_range none = {0};
    if (!pass->sampler->unwinder || !thread->has_regs || thread->regs.sp < RED_ZONE)
        return none;
    uint64_t start = thread->regs.sp - RED_ZONE;
    const struct target_mapping *mapping =
        target_mapping_at(pass->sampler->live->target, thread->regs.sp);
    // The list of mappings is older than a new thread's stack; what lies behind its end is not read.
    if (!mapping)
        return (struct mem_range){start, UNKNOWN_MAPPING};
    if (start < mapping->start)
        start = mapping->start;
    size_t size = pass->stopped ? UNKNOWN_STOPPED : UNKNOWN_ASLEEP;
    if (track->window_bytes)
        size = track->window_bytes;
    if (track->top > start && track->top - start < WINDOW_MAX)
        size = track->top - start + SLACK;
    if (size > mapping->end - start)
        size = mapping->end - start;
    return (struct mem_range){start, size};
}

struct mem_range native_extra(const struct pass *pass, size_t index)
{
    const struct mem_range none = {0};
    return pass->stopped && pass->sampler->unwinder ? track_of(pass->sampler, index)->extra : none;
}

bool native_wants_more(struct pass *pass, size_t index)
{
    const struct unwind_stack *native = &pass->sampler->tracks->natives.items[index];
    const struct live_thread *thread = &pass->sampler->live->threads.items[index];
    struct track *track = track_of(pass->sampler, index);
    if (thread->state != LIVE_STOPPED || native->end != UNWIND_END_MEMORY || pass->out_of_budget ||
        track->retries >= MORE_STOPS || track->window_bytes > pass->window_limit)
        return false;
    const struct target_mapping *there =
        target_mapping_at(pass->sampler->live->target, native->end_addr);
    if (!there)
        return false;
    track->retries++;
    // A stack that goes on: window_bytes has grown. Stacks may share one mapping.
    if (native->end_addr >= thread->regs.sp &&
        native->end_addr - thread->regs.sp <= track->window_bytes)
        return true;
    size_t size = there->end - native->end_addr;
    track->extra = (struct mem_range){native->end_addr & ~(uint64_t)4095,
                                      size < UNKNOWN_STOPPED ? size : UNKNOWN_STOPPED};
    if (track->extra.addr < there->start)
        track->extra.addr = there->start;
    return true;
}

// More of a sleeper's stack. False: it ran meanwhile, or nothing more is there.
static bool fetch_more(struct pass *pass, const struct live_thread *thread, uint64_t addr,
                       size_t size)
{
    const struct target_mapping *mapping = target_mapping_at(pass->sampler->live->target, addr);
    struct mem_range range = {addr, size};
    if (mapping && mapping->end - addr < size)
        range.size = mapping->end - addr;
    mem_copy_clear_misses(pass->copy);
    AUTO_ERR struct err *err = live_read_batch(pass->sampler->live, &range, 1, pass->copy);
    return !err && mem_copy_has(pass->copy, addr, 8) &&
           live_held_still(pass->sampler->live, thread);
}

// Does it go on to another stack somewhere?
static bool crosses(const struct unwind_stack *native)
{
    for (size_t i = 0; i < native->frames.count; i++)
        if (native->frames.items[i].signal)
            return true;
    return false;
}

static void remember_depth(struct track *track, const struct unwind_stack *native,
                           const struct mem_range *window)
{
    const struct unwind_frame *last = &native->frames.items[native->frames.count - 1];
    switch (native->end) {
    case UNWIND_END_BASE:
        track->top = last->cfa ? last->cfa : last->sp + SLACK;
        if (track->top - native->frames.items[0].sp < WINDOW_MAX && !crosses(native))
            track->extra = (struct mem_range){0};
        break;
    case UNWIND_END_MEMORY:
        track->top = 0;
        track->window_bytes = window->size < WINDOW_MAX / 2 ? 2 * window->size : WINDOW_MAX;
        break;
    default:
        track->top = 0;
    }
}

// A debugger that opens a capture wants the used part of the stack, not only what we read of it.
static void log_stack(struct pass *pass, const struct unwind_stack *native)
{
    const struct unwind_frame *last = &native->frames.items[native->frames.count - 1];
    uint64_t start = native->frames.items[0].sp - RED_ZONE, end = last->cfa ? last->cfa : last->sp;
    if (end > start && end - start < WINDOW_MAX)
        mem_copy_log_range(pass->copy, start, end - start);
}

bool native_unwind(struct pass *pass, size_t index)
{
    struct sampler *sampler = pass->sampler;
    struct unwind_stack *native = &sampler->tracks->natives.items[index];
    const struct live_thread *thread = &sampler->live->threads.items[index];
    struct track *track = track_of(sampler, index);
    vec_clear(&native->frames);
    if (!sampler->unwinder || !thread->has_regs || !thread->regs.sp)
        return true;
    bool stopped = thread->state == LIVE_STOPPED;
    struct unwind_start start = {thread->regs, stopped};
    struct mem_range window = native_window(pass, index);
    mem_copy_set_fallback(pass->copy, NULL);
    for (size_t more = UNKNOWN_ASLEEP, i = 0; i < MORE_TRIES; i++, more *= 2) {
        unwind(sampler->unwinder, mem_copy_view(pass->copy), &start, native);
        if (native->end != UNWIND_END_MEMORY || stopped)
            break;
        if (!fetch_more(pass, thread, native->end_addr, more))
            break;
    }
    mem_copy_clear_misses(pass->copy);
    if (native->frames.count) {
        remember_depth(track, native, &window);
        log_stack(pass, native);
    }
    if (native->end == UNWIND_END_NO_INFO || native->end == UNWIND_END_CORRUPT)
        sampler->maps_stale = true; // perhaps code of a library that was loaded since
    return native->end != UNWIND_END_REGISTER || stopped || sampler->stop == STOP_NONE;
}

void native_refresh(struct sampler *sampler)
{
    uint64_t now_ns = live_now_ns();
    struct target *target = sampler->live->target;
    uint64_t age_ns = now_ns - sampler->maps_read_ns;
    if (age_ns >= (sampler->maps_stale ? MAPS_EVERY_NS : MAPS_ANYWAY_NS)) {
        sampler->maps_stale = false;
        sampler->maps_read_ns = now_ns;
        // What cannot be listed now leaves the older list, which is still of use. A main thread that
        // has ended has no mappings.
        struct target_mappings fresh = {0};
        AUTO_ERR struct err *err = proc_mappings(sampler->live->reader, &fresh);
        if (!err && fresh.count) {
            proc_mappings_clear(&target->mappings);
            target->mappings = fresh;
            uint64_t generation = image_generation(sampler->image);
            err = image_refresh(sampler->image);
            sampler->images_changed |= image_generation(sampler->image) != generation;
        }
    }
    if (!sampler->unwinder)
        return;
    image_jit_refresh(sampler->image, target->mem);
    unwinder_refresh(sampler->unwinder);
}
