// SPDX-License-Identifier: GPL-3.0-or-later
// One snapshot of a live process: see sample/sampler.h.
#include "sample/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

#define STOP_DEADLINE_NS 250000000u // a busy machine may take that long to schedule 100 threads
#define STOP_LIMIT_NS 2000000000u   // 250,000 frame objects of 3.6-3.10 are read in less

static void close_python(struct sampler *sampler)
{
    py_process_close(sampler->process);
    image_destroy(sampler->image);
    sampler->process = NULL;
    sampler->image = NULL;
}

static struct err *open_python(struct sampler *sampler)
{
    struct image_options options = {0};
    TRY(image_open(sampler->live->target, &options, &sampler->image));
    struct err *err =
        py_process_open(sampler->live->target, sampler->image, sampler->strings, &sampler->process);
    if (err)
        close_python(sampler);
    return err;
}

struct err *sampler_open(pid_t pid, struct strtab *strings, struct sampler **ret)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler));
    if (!sampler)
        return err_create(ERR_NO_MEMORY, "sampler");
    sampler->strings = strings;
    sampler->deadline_ns = STOP_DEADLINE_NS;
    sampler->stop_limit_ns = STOP_LIMIT_NS;
    sampler->copy = mem_copy_create();
    struct err *err =
        sampler->copy ? live_open(pid, &sampler->live) : err_create(ERR_NO_MEMORY, "sampler");
    if (!err && sampler->live->can_read)
        err = open_python(sampler);
    if (err) {
        sampler_close(sampler);
        return err;
    }
    *ret = sampler;
    return NULL;
}

void sampler_close(struct sampler *sampler)
{
    if (!sampler)
        return;
    close_python(sampler);
    live_close(sampler->live);
    mem_copy_destroy(sampler->copy);
    vec_deinit(&sampler->prefetch);
    vec_deinit(&sampler->names);
    free(sampler);
}

static void drop_stacks(struct sample *sample)
{
    vec_foreach (stack, &sample->stacks)
        py_stack_deinit(stack);
    vec_clear(&sample->stacks);
}

void sample_deinit(struct sample *sample)
{
    drop_stacks(sample);
    vec_deinit(&sample->stacks);
    py_state_deinit(&sample->state);
}

static bool sleeps(const struct sampler *sampler, const struct py_thread *thread)
{
    vec_foreach (os, &sampler->live->threads)
        if (os->has_regs && os->state == LIVE_STOPPED && os->regs.tls == thread->ident)
            return arch_blocked_in_syscall(&os->regs);
    return false;
}

static void settle(struct sampler *sampler, struct sample *sample)
{
    const struct live_threads *threads = &sampler->live->threads;
    AUTO_FREE struct py_native_thread *natives = calloc(threads->count + 1, sizeof(*natives));
    size_t count = 0;
    for (size_t i = 0; natives && i < threads->count; i++) {
        const struct live_thread *thread = &threads->items[i];
        if (thread->state == LIVE_STOPPED && thread->has_regs)
            natives[count++] = (struct py_native_thread){thread->regs.tls, thread->regs.sp};
    }
    if (natives)
        py_state_settle(sampler->process, &sample->state, natives, count);
}

// True: every stack was walked to its end. False: the copy lacks bytes.
static bool walk(struct sampler *sampler, struct sample *sample)
{
    struct py_process *process = sampler->process;
    if (!sample->stacks.count) {
        py_state_read(process, &sample->state);
        settle(sampler, sample);
        if (mem_copy_misses(sampler->copy)->count)
            return false;
        vec_foreach (thread, &sample->state.threads) {
            struct py_stack stack;
            py_stack_init(&stack, thread, sleeps(sampler, thread));
            if (!vec_push(&sample->stacks, stack))
                return true;
        }
    }
    bool all = true;
    vec_foreach (stack, &sample->stacks)
        all &= py_stack_step(process, stack);
    return all;
}

// The decoder reads from the copy; fallback: what is not in it comes from the running target.
static void use_copy(struct sampler *sampler, bool fallback)
{
    struct py_decoder *dec = &sampler->process->dec;
    dec->copy = fallback ? NULL : sampler->copy;
    dec->mem = mem_copy_view(sampler->copy);
    py_codes_recheck(dec->codes);
    mem_copy_set_fallback(sampler->copy, fallback ? sampler->live->target->mem : NULL);
}

// Walks the running target: what it finds may be torn and is thrown away, but it tells what to
// copy, and the code objects are in the cache afterwards.
static struct err *rehearse(struct sampler *sampler)
{
    struct sample sample = {0};
    mem_copy_clear(sampler->copy);
    struct err *err = live_read_batch(sampler->live, sampler->prefetch.items,
                                      sampler->prefetch.count, sampler->copy);
    if (!err) {
        use_copy(sampler, true);
        walk(sampler, &sample);
        if (!mem_copy_used(sampler->copy, &sampler->prefetch))
            err = err_create(ERR_NO_MEMORY, "snapshot buffer");
    }
    sample_deinit(&sample);
    return err;
}

static int range_compare(const void *left, const void *right)
{
    const struct mem_range *a = left, *b = right;
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

// The misses, widened, sorted and merged.
static struct err *fetch_misses(struct sampler *sampler)
{
    const struct mem_ranges *misses = mem_copy_misses(sampler->copy);
    struct mem_ranges ranges = {0};
    struct err *err = NULL;
    if (!vec_reserve(&ranges, misses->count))
        return err_create(ERR_NO_MEMORY, "snapshot buffer");
    for (size_t i = 0; i < misses->count; i++)
        ranges.items[ranges.count++] = mem_copy_window(misses->items[i]);
    qsort(ranges.items, ranges.count, sizeof(*ranges.items), range_compare);
    size_t kept = 0;
    for (size_t i = 0; i < ranges.count; i++) {
        struct mem_range range = ranges.items[i];
        struct mem_range *last = kept ? &ranges.items[kept - 1] : NULL;
        if (last && range.addr < last->addr + last->size) {
            if (range.addr + range.size > last->addr + last->size)
                last->size = range.addr + range.size - last->addr;
        } else {
            ranges.items[kept++] = range;
        }
    }
    mem_copy_clear_misses(sampler->copy);
    err = live_read_batch(sampler->live, ranges.items, kept, sampler->copy);
    vec_deinit(&ranges);
    return err;
}

// Under the stop: fill the copy until the walks find all they need.
static struct err *gather(struct sampler *sampler, struct sample *ret)
{
    uint64_t limit_ns = live_now_ns() + sampler->stop_limit_ns;
    mem_copy_clear(sampler->copy);
    TRY(live_read_batch(sampler->live, sampler->prefetch.items, sampler->prefetch.count,
                        sampler->copy));
    use_copy(sampler, false);
    ret->rounds = 1;
    while (!walk(sampler, ret)) {
        if (!mem_copy_misses(sampler->copy)->count || live_now_ns() > limit_ns)
            break;
        TRY(fetch_misses(sampler));
        ret->rounds++;
    }
    return NULL;
}

static void finish_stacks(struct sampler *sampler, struct sample *ret)
{
    vec_foreach (stack, &ret->stacks)
        py_stack_finish(sampler->process, stack);
}

// What a cut-off gather left over ends where it is, with a note.
static void close_stacks(struct sampler *sampler, struct sample *ret)
{
    vec_foreach (stack, &ret->stacks) {
        if (stack->chain_done)
            continue;
        stack->chain_done = true;
        ret->skipped++;
        if (!stack->cut)
            stack->cut = err_create(ERR_TIMEOUT, "copying it took too long");
    }
    mem_copy_clear_misses(sampler->copy);
}

static bool has_name(const struct sampler *sampler, uint64_t ident)
{
    vec_foreach (name, &sampler->names)
        if (name->ident == ident)
            return true;
    return false;
}

// Names, once the target runs again. They are kept until a thread shows up that was not there
// before: idents and thread states are used again by the threads that follow, TIDs are not.
static void read_names(struct sampler *sampler, struct sample *ret)
{
    size_t nameless = 0;
    bool changed = false;
    vec_foreach (thread, &sampler->live->threads)
        changed |= thread->fresh;
    vec_foreach (thread, &ret->state.threads)
        nameless += !has_name(sampler, thread->ident);
    ret->names = &sampler->names;
    // A thread enters threading's table a moment after it has started.
    if (!changed && nameless == sampler->nameless && sampler->names.count)
        return;
    uint64_t last = 0;
    vec_clear(&sampler->names);
    use_copy(sampler, true);
    vec_foreach (thread, &ret->state.threads) {
        if (thread->interp == last)
            continue;
        last = thread->interp;
        // Without names the stacks are still worth having.
        err_destroy(py_thread_names(sampler->process, thread->interp, &sampler->names));
    }
    sampler->nameless = 0;
    vec_foreach (thread, &ret->state.threads)
        sampler->nameless += !has_name(sampler, thread->ident);
}

static struct err *take_once(struct sampler *sampler, struct sample *ret)
{
    struct live *live = sampler->live;
    if (!sampler->process)
        return live_look(live);
    if (sampler->never_stop) {
        TRY(live_look(live));
        mem_copy_clear(sampler->copy);
        use_copy(sampler, true);
        walk(sampler, ret);
        finish_stacks(sampler, ret);
        read_names(sampler, ret);
        return NULL;
    }
    TRY(rehearse(sampler));
    struct err *err = live_stop(live, sampler->deadline_ns, &ret->times);
    if (!err)
        err = gather(sampler, ret);
    live_resume(live, &ret->times);
    TRY(err);
    ret->stopped = false;
    vec_foreach (thread, &live->threads)
        ret->stopped |= thread->state == LIVE_STOPPED;
    ret->pause_ns = ret->stopped ? ret->times.end_ns - ret->times.begin_ns : 0;
    ret->copied_bytes = mem_copy_bytes(sampler->copy);
    close_stacks(sampler, ret);
    finish_stacks(sampler, ret);
    if (!mem_copy_used(sampler->copy, &sampler->prefetch))
        return err_create(ERR_NO_MEMORY, "snapshot buffer");
    read_names(sampler, ret);
    py_codes_trim(sampler->process->dec.codes);
    return NULL;
}

struct err *sampler_take(struct sampler *sampler, struct sample *ret)
{
    memset(ret, 0, sizeof(*ret));
    sampler->live->woken_ns = live_now_ns();
    bool between = !sampler->process && sampler->live->can_read;
    struct err *err = between ? NULL : take_once(sampler, ret);
    bool lost = !err && sampler->process && ret->state.cut && !ret->state.threads.count;
    if (lost || between) {
        // The runtime is not where it was: another program runs there now, or Python has ended.
        sample_deinit(ret);
        memset(ret, 0, sizeof(*ret));
        close_python(sampler);
        vec_clear(&sampler->prefetch);
        err = live_refresh(sampler->live);
        if (!err)
            err = open_python(sampler);
        if (!err)
            err = take_once(sampler, ret);
        ret->changed_program = !err;
    }
    if (err) {
        sample_deinit(ret);
        return err;
    }
    live_account(sampler->live);
    return NULL;
}
