// SPDX-License-Identifier: GPL-3.0-or-later
// Copying what the decoder needs, and walking the copy: see sample/sampler.h. A read that misses in
// a copy is remembered (mem/copy.h), so the walk itself finds out what to fetch next, for all
// threads in one batch.
#include <stdlib.h>

#include "sample/sample_private.h"
#include "util/guard.h"
#include "util/hash.h"

// What a batch costs, before it was measured here: one call, each range, each byte.
#define BATCH_NS 3000u
#define RANGE_NS 1300u
#define KIB_NS 400u
#define LIST_TRIES 3
#define RECENT_STOPS 16
#define LAST_USED_MAX 8192u
#define PIECE_BYTES 1024u
#define PAGE_BYTES 4096u
#define DATA_STACK_SLACK 1024u
#define DATA_STACK_MAX (64u << 10) // of what is read before it is known to be needed

static void use(struct pass *pass, struct mem_copy *copy, bool fallback)
{
    struct py_decoder *dec = &pass->sampler->process->dec;
    pass->copy = copy;
    dec->copy = fallback ? NULL : copy;
    dec->mem = mem_copy_view(copy);
    dec->code_mem = NULL;
    mem_copy_set_fallback(copy, fallback ? pass->sampler->live->target->mem : NULL);
}

void gather_use(struct pass *pass, struct mem_copy *copy, bool fallback)
{
    use(pass, copy, fallback);
    py_codes_recheck(pass->sampler->process->dec.codes);
}

void gather_use_rehearsed(struct pass *pass, struct mem_copy *copy)
{
    use(pass, copy, false);
    py_codes_begin_proof(pass->sampler->process->dec.codes);
}

// From now on code objects are read from the running target, those of last time in one batch.
static struct err *use_live_codes(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    mem_copy_clear(sampler->codes);
    TRY(live_read_batch(sampler->live, sampler->code_prefetch.items, sampler->code_prefetch.count,
                        sampler->codes));
    mem_copy_set_fallback(sampler->codes, sampler->live->target->mem);
    sampler->process->dec.code_mem = mem_copy_view(sampler->codes);
    py_codes_recheck(sampler->process->dec.codes);
    return NULL;
}

void gather_remember(struct pass *pass, pass_select *select)
{
    struct sampler *sampler = pass->sampler;
    struct sampler_tracks *all = sampler->tracks;
    sampler->stop_count++;
    for (size_t i = 0; i < all->jobs.count; i++) {
        const struct job *job = &all->jobs.items[i];
        if (job->owner == SIZE_MAX || job->done || !select(pass, job->owner))
            continue;
        vec_foreach (frame, &all->stacks.items[i].frames) {
            size_t slot = hash_u64(HASH_SEED, frame->code_addr) % ARRAY_SIZE(sampler->recent_codes);
            sampler->recent_codes[slot].addr = frame->code_addr;
            sampler->recent_codes[slot].stop = sampler->stop_count;
        }
    }
    if (!mem_copy_used(sampler->copy, &sampler->last_used))
        vec_clear(&sampler->last_used);
    // Of a native stack some words were read: next time as much of it is copied as is needed then.
    size_t kept = 0;
    vec_foreach (range, &sampler->last_used)
        if (range->size <= LAST_USED_MAX)
            sampler->last_used.items[kept++] = *range;
    sampler->last_used.count = kept;
}

// In small pieces, so that what is not used any more is not read for ever.
static bool split_ranges(struct mem_ranges *ranges)
{
    size_t count = ranges->count;
    for (size_t i = 0; i < count; i++) {
        while (ranges->items[i].size > PIECE_BYTES) {
            struct mem_range *range = &ranges->items[i];
            range->size -= PIECE_BYTES;
            struct mem_range piece = {range->addr + range->size, PIECE_BYTES};
            if (!vec_push(ranges, piece))
                return false;
        }
    }
    return true;
}

// Code objects that were on the stacks lately and may be again in a moment.
static void rehearse_codes(struct sampler *sampler)
{
    for (size_t i = 0; i < ARRAY_SIZE(sampler->recent_codes); i++) {
        struct py_code *code;
        if (sampler->recent_codes[i].addr &&
            sampler->recent_codes[i].stop + RECENT_STOPS > sampler->stop_count)
            err_destroy(py_code_get(&sampler->process->dec, sampler->recent_codes[i].addr, &code));
    }
}

void gather_check_codes(struct pass *pass, pass_select *select)
{
    struct sampler_tracks *all = pass->sampler->tracks;
    struct py_decoder *dec = &pass->sampler->process->dec;
    AUTO_ERR struct err *err = use_live_codes(pass);
    for (size_t i = 0; i < all->jobs.count; i++) {
        const struct job *job = &all->jobs.items[i];
        if (!job->begun || job->done || (job->owner != SIZE_MAX && !select(pass, job->owner)))
            continue;
        vec_foreach (frame, &all->stacks.items[i].frames) {
            if (!frame->code || (!err && py_code_still(dec, frame->code)))
                continue;
            frame->code = NULL;
            frame->call_name = frame->call_qualname = 0;
        }
    }
    show(pass->sampler, pass->sampler->codes);
    dec->code_mem = NULL;
}

struct err *gather_list(struct sampler *sampler, struct sample *sample)
{
    struct pass pass = {.sampler = sampler};
    for (int i = 0; i < LIST_TRIES; i++) {
        mem_copy_clear(sampler->list);
        TRY(live_read_batch(sampler->live, sampler->list_prefetch.items,
                            sampler->list_prefetch.count, sampler->list));
        gather_use(&pass, sampler->list, true);
        py_state_read(sampler->process, &sample->state);
        // A thread that starts or ends at this moment may have torn the list.
        if (!sample->state.cut || err_code(sample->state.cut) == ERR_LIMIT)
            break;
    }
    TRY(tracks_assign(sampler, sample));
    return mem_copy_used(sampler->list, &sampler->list_prefetch)
               ? NULL
               : err_create(ERR_NO_MEMORY, "snapshot buffer");
}

static uint64_t estimate_ns(const struct sampler *sampler, size_t ranges, size_t bytes)
{
    uint64_t plain_ns = BATCH_NS + ranges * RANGE_NS + bytes / 1024 * KIB_NS;
    return plain_ns * sampler->read_cost / 1024;
}

// What this machine needs for a batch, told from those before.
static void learn_cost(struct sampler *sampler, size_t ranges, size_t bytes, uint64_t spent_ns)
{
    uint64_t plain_ns = BATCH_NS + ranges * RANGE_NS + bytes / 1024 * KIB_NS;
    uint64_t cost = spent_ns * 1024 / plain_ns;
    cost = (3 * sampler->read_cost + cost) / 4;
    sampler->read_cost = cost < 128 ? 128 : cost > 16384 ? 16384 : cost;
}

size_t gather_affordable_bytes(const struct pass *pass)
{
    uint64_t now_ns = live_now_ns();
    if (now_ns >= pass->budget_end_ns)
        return 0;
    uint64_t plain_ns = (pass->budget_end_ns - now_ns) / 2 * 1024 / pass->sampler->read_cost;
    return plain_ns / KIB_NS * 1024;
}

struct err *gather_read(struct pass *pass, struct mem_ranges *ranges)
{
    struct sampler *sampler = pass->sampler;
    uint64_t begin_ns = pass->stopped ? live_now_ns() : 0;
    size_t bytes = 0, fit = 0;
    for (; fit < ranges->count; fit++) {
        bytes += ranges->items[fit].size;
        // Without the list nothing is known: it is read whatever it takes.
        if (pass->stopped && (pass->listed || !pass->whole) &&
            begin_ns + estimate_ns(sampler, fit + 1, bytes) > pass->budget_end_ns) {
            pass->out_of_budget = true;
            bytes -= ranges->items[fit].size;
            break;
        }
    }
    if (!fit) {
        // One slow batch must not make all later ones look impossible.
        if (sampler->read_cost > 1024)
            sampler->read_cost = 3 * sampler->read_cost / 4 + 256;
        return NULL;
    }
    TRY(live_read_batch(sampler->live, ranges->items, fit, pass->copy));
    if (pass->stopped)
        learn_cost(sampler, fit, bytes, live_now_ns() - begin_ns);
    return NULL;
}

// The part of a thread's data stack that is in use (3.11+): most of its frames. It was read while
// the thread ran; by now it may have made some more calls.
static struct mem_range data_stack(const struct py_thread *thread)
{
    uint64_t start = thread->datastack_chunk, end = thread->datastack_top + DATA_STACK_SLACK;
    // Not past the page: the next one may never have been touched.
    uint64_t page_end = (thread->datastack_top + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (!start || thread->datastack_top < start || thread->datastack_top - start > DATA_STACK_MAX)
        return (struct mem_range){0};
    return (struct mem_range){start, (end < page_end ? end : page_end) - start};
}

static int range_compare(const void *left, const void *right)
{
    const struct mem_range *a = left, *b = right;
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static void merge_ranges(struct mem_ranges *ranges)
{
    size_t kept = 0;
    if (ranges->count)
        qsort(ranges->items, ranges->count, sizeof(*ranges->items), range_compare);
    vec_foreach (range, ranges) {
        struct mem_range *last = kept ? &ranges->items[kept - 1] : NULL;
        if (last && range->addr <= last->addr + last->size) {
            if (range->addr + range->size > last->addr + last->size)
                last->size = range->addr + range->size - last->addr;
        } else {
            ranges->items[kept++] = *range;
        }
    }
    ranges->count = kept;
}

// The misses, widened, sorted and merged.
static struct err *fetch_misses(struct pass *pass)
{
    const struct mem_ranges *misses = mem_copy_misses(pass->copy);
    struct mem_ranges ranges = {0};
    if (!vec_reserve(&ranges, misses->count))
        return err_create(ERR_NO_MEMORY, "snapshot buffer");
    for (size_t i = 0; i < misses->count; i++)
        ranges.items[ranges.count++] = mem_copy_window(misses->items[i]);
    merge_ranges(&ranges);
    mem_copy_clear_misses(pass->copy);
    struct err *err = gather_read(pass, &ranges);
    vec_deinit(&ranges);
    return err;
}

static bool missed(const struct pass *pass)
{
    return mem_copy_misses(pass->copy)->count;
}

// Which threads stand still, and where, for those who ask their C stacks.
static void settle(struct pass *pass)
{
    const struct live_threads *threads = &pass->sampler->live->threads;
    AUTO_FREE struct py_native_thread *natives = calloc(threads->count + 1, sizeof(*natives));
    size_t count = 0;
    for (size_t i = 0; natives && i < threads->count; i++) {
        // Those that were taken in an earlier pass run again.
        const struct live_thread *thread = &threads->items[i];
        if (thread->state == LIVE_STOPPED && thread->has_regs &&
            track_of(pass->sampler, i)->pending)
            natives[count++] = (struct py_native_thread){thread->regs.tls, thread->regs.sp};
    }
    if (natives)
        py_state_settle(pass->sampler->process, &pass->sample->state, natives, count);
}

// What concerns all threads. False: bytes are missing.
static bool step_state(struct pass *pass)
{
    struct sampler *sampler = pass->sampler;
    struct py_state *state = &pass->sample->state;
    if (pass->whole && !pass->listed) {
        py_state_read(sampler->process, state);
        settle(pass); // before anything is told by whose thread state it is
        if (missed(pass))
            return false;
        AUTO_ERR struct err *err = tracks_assign(sampler, pass->sample);
        if (err) {
            vec_clear(&sampler->tracks->jobs);
            return true;
        }
        vec_foreach (job, &sampler->tracks->jobs)
            job->fresh = true;
        pass->listed = pass->gils_known = pass->settled = true;
    }
    if (!pass->gils_known) {
        err_destroy(py_gils_refresh(sampler->process, state));
        if (missed(pass))
            return false;
        pass->gils_known = true;
    }
    return true;
}

static bool sleeps(const struct live_thread *thread)
{
    if (thread->asleep)
        return thread->regs.syscall >= 0;
    return thread->state == LIVE_STOPPED && thread->has_regs &&
           arch_blocked_in_syscall(&thread->regs);
}

// False: bytes are missing.
static bool step_job(struct pass *pass, size_t index)
{
    struct sampler *sampler = pass->sampler;
    struct job *job = &sampler->tracks->jobs.items[index];
    struct py_stack *stack = &sampler->tracks->stacks.items[index];
    struct py_thread *thread = &pass->sample->state.threads.items[index];
    struct err *err = NULL;
    if (!job->fresh) {
        err = py_thread_refresh(sampler->process, thread);
        if (err && missed(pass)) {
            err_destroy(err);
            return false;
        }
        job->fresh = true;
    }
    if (!job->begun) {
        const struct live_thread *owner =
            job->owner == SIZE_MAX ? NULL : &sampler->live->threads.items[job->owner];
        py_stack_deinit(stack);
        py_stack_init(stack, thread, owner && sleeps(owner));
        job->begun = true;
        job->lost = err;
        stack->chain_done = err;
    }
    err_destroy(err);
    return py_stack_step(sampler->process, stack);
}

static bool is_selected(const struct pass *pass, pass_select *select, const struct job *job)
{
    // What no thread runs (left behind by fork) changes no more: it is read with the sleepers.
    return !job->done &&
           (job->owner == SIZE_MAX ? pass->whole || !pass->stopped : select(pass, job->owner));
}

static bool step_all(struct pass *pass, pass_select *select)
{
    const struct sampler_tracks *all = pass->sampler->tracks;
    if (pass->stopped && !step_state(pass))
        return false;
    bool complete = true;
    for (size_t i = 0; i < all->jobs.count; i++)
        if (is_selected(pass, select, &all->jobs.items[i]))
            complete &= step_job(pass, i);
    if (complete && pass->stopped && !pass->settled) {
        settle(pass);
        for (size_t i = 0; i < all->jobs.count; i++)
            if (!all->jobs.items[i].done)
                all->stacks.items[i].thread.in_gc = pass->sample->state.threads.items[i].in_gc;
        complete = pass->settled = !missed(pass);
    }
    return complete;
}

struct err *gather_rehearse(struct pass *pass, pass_select *select)
{
    struct sampler *sampler = pass->sampler;
    struct sampler_tracks *all = sampler->tracks;
    mem_copy_clear(sampler->copy);
    TRY(live_read_batch(sampler->live, sampler->prefetch.items, sampler->prefetch.count,
                        sampler->copy));
    gather_use(pass, sampler->copy, true);
    TRY(use_live_codes(pass));
    if (!pass->gils_known)
        err_destroy(py_gils_refresh(sampler->process, &pass->sample->state));
    for (size_t i = 0; i < all->jobs.count; i++)
        if (is_selected(pass, select, &all->jobs.items[i]) && all->jobs.items[i].owner != SIZE_MAX)
            step_job(pass, i);
    rehearse_codes(sampler);
    show(sampler, sampler->codes);
    // Torn perhaps, and not used: the walk begins anew under the stop.
    for (size_t i = 0; i < all->jobs.count; i++)
        if (is_selected(pass, select, &all->jobs.items[i]) && all->jobs.items[i].owner != SIZE_MAX)
            tracks_reset_job(sampler, pass->sample, i);
    if (!mem_copy_used(sampler->copy, &sampler->prefetch) || !split_ranges(&sampler->prefetch) ||
        !mem_copy_used(sampler->codes, &sampler->code_prefetch))
        return err_create(ERR_NO_MEMORY, "snapshot buffer");
    return NULL;
}

// What a gathering that had to end left over ends where it is, with a note.
static void close_stacks(struct pass *pass, pass_select *select)
{
    struct sampler_tracks *all = pass->sampler->tracks;
    for (size_t i = 0; i < all->jobs.count; i++) {
        struct py_stack *stack = &all->stacks.items[i];
        if (!is_selected(pass, select, &all->jobs.items[i]) || stack->chain_done)
            continue;
        stack->chain_done = true;
        pass->sample->skipped++;
        if (!stack->cut)
            stack->cut = err_create(
                ERR_TIMEOUT, "copying the rest would have taken longer than --max-pause allows");
    }
    mem_copy_clear_misses(pass->copy);
}

// What is not affordable of it is left out: unwinding then ends there, with a note.
static bool push_window(struct mem_ranges *ranges, struct mem_range window, size_t *affordable)
{
    if (window.size > *affordable)
        window.size = *affordable;
    *affordable -= window.size;
    return !window.size || vec_push(ranges, window);
}

struct err *gather(struct pass *pass, pass_select *select)
{
    struct sampler *sampler = pass->sampler;
    struct mem_ranges ranges = {0};
    bool ok = true;
    if (!pass->stopped)
        pass->out_of_budget = false; // that of the last stop
    for (size_t i = 0; pass->stopped && ok && i < sampler->prefetch.count; i++)
        ok = vec_push(&ranges, sampler->prefetch.items[i]);
    for (size_t i = 0; pass->stopped && ok && i < sampler->last_used.count; i++)
        ok = vec_push(&ranges, sampler->last_used.items[i]);
    size_t affordable = pass->stopped ? gather_affordable_bytes(pass) : SIZE_MAX;
    pass->window_limit = affordable;
    for (size_t i = 0; ok && i < sampler->live->threads.count; i++) {
        if (!select(pass, i))
            continue;
        ok = push_window(&ranges, native_window(pass, i), &affordable) &&
             push_window(&ranges, native_extra(pass, i), &affordable);
    }
    const struct sampler_tracks *all = sampler->tracks;
    for (size_t i = 0; pass->stopped && ok && i < all->jobs.count; i++) {
        if (!is_selected(pass, select, &all->jobs.items[i]))
            continue;
        struct mem_range range = data_stack(&pass->sample->state.threads.items[i]);
        if (range.size)
            ok = vec_push(&ranges, range);
    }
    merge_ranges(&ranges);
    struct err *err =
        ok ? gather_read(pass, &ranges) : err_create(ERR_NO_MEMORY, "snapshot buffer");
    vec_deinit(&ranges);
    while (!err && !step_all(pass, select) && missed(pass) && !pass->out_of_budget)
        err = fetch_misses(pass);
    close_stacks(pass, select);
    return err;
}
