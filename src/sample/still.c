// SPDX-License-Identifier: GPL-3.0-or-later
// Decoding what stands still: see sample/still.h.
#include "sample/still.h"

#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "util/guard.h"
#include "util/limits.h"

void still_moment_deinit(struct still_moment *moment)
{
    vec_foreach (stack, &moment->stacks)
        free(stack->cut);
    vec_deinit(&moment->stacks);
    vec_deinit(&moment->threads);
    vec_deinit(&moment->starts);
    vec_deinit(&moment->lost_codes);
}

static int compare_words(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

void still_moment_settle(struct still_moment *moment)
{
    struct still_words *codes = &moment->lost_codes;
    size_t kept = 0;
    if (codes->count)
        qsort(codes->items, codes->count, sizeof(*codes->items), compare_words);
    vec_foreach (code, codes)
        if (!kept || codes->items[kept - 1] != *code)
            codes->items[kept++] = *code;
    codes->count = kept;
}

void still_deinit(struct still *still)
{
    vec_foreach (stack, &still->stacks)
        py_stack_deinit(stack);
    vec_deinit(&still->stacks);
    vec_foreach (native, &still->natives)
        unwind_stack_deinit(native);
    vec_deinit(&still->natives);
    free(still->owners);
    vec_deinit(&still->names);
    py_state_deinit(&still->state);
}

struct err *still_moment_of_core(const struct target *target, struct still_moment *ret)
{
    size_t count = target->threads.count;
    ret->all = true;
    if (!vec_reserve(&ret->threads, count + 1) || !vec_reserve(&ret->starts, count + 1))
        return err_create(ERR_NO_MEMORY, "threads");
    vec_foreach (from, &target->threads) {
        struct live_thread thread = {.tid = from->tid,
                                     .ns_tid = from->tid,
                                     .state = LIVE_STOPPED,
                                     .has_regs = from->has_regs,
                                     .regs = from->regs};
        memcpy(thread.comm, from->comm, sizeof(thread.comm));
        struct unwind_start start = {.complete = true};
        if (from->has_regs)
            start.regs = from->regs;
        ret->threads.items[ret->threads.count++] = thread;
        ret->starts.items[ret->starts.count++] = start;
    }
    return NULL;
}

// ---- thread states ------------------------------------------------------------------------------

static void settle(struct py_process *process, const struct still_moment *moment,
                   struct py_state *state)
{
    AUTO_FREE struct py_native_thread *natives =
        calloc(moment->threads.count + 1, sizeof(*natives));
    size_t count = 0;
    for (size_t i = 0; natives && i < moment->threads.count; i++) {
        const struct unwind_start *start = &moment->starts.items[i];
        if (start->complete && start->regs.sp)
            natives[count++] = (struct py_native_thread){start->regs.tls, start->regs.sp};
    }
    if (natives)
        py_state_settle(process, state, natives, count);
}

static int compare_tstates(const void *left, const void *right)
{
    const struct py_thread *a = *(const struct py_thread *const *)left;
    const struct py_thread *b = *(const struct py_thread *const *)right;
    return a->tstate < b->tstate ? -1 : a->tstate > b->tstate;
}

// Leaves the thread states that belong to the moment, in its order. Those that the list in memory
// has lost (it went on changing while the stacks were read) are read for themselves.
static struct err *choose(struct py_process *process, const struct still_moment *moment,
                          struct py_state *state)
{
    size_t count = state->threads.count;
    if (moment->all)
        return NULL;
    AUTO_FREE const struct py_thread **sorted = calloc(count + 1, sizeof(*sorted));
    struct py_threads chosen = {0};
    if (!sorted || !vec_reserve(&chosen, moment->stacks.count + 1))
        return err_create(ERR_NO_MEMORY, "threads");
    for (size_t i = 0; i < count; i++)
        sorted[i] = &state->threads.items[i];
    if (count)
        qsort(sorted, count, sizeof(*sorted), compare_tstates);
    vec_foreach (stack, &moment->stacks) {
        struct py_thread thread = {.tstate = stack->tstate}, *key = &thread;
        const struct py_thread **found =
            bsearch(&key, sorted, count, sizeof(*sorted), compare_tstates);
        if (found)
            thread = **found;
        else
            err_destroy(py_thread_read(process, state, stack->interp, stack->interp_id,
                                       stack->tstate, &thread));
        chosen.items[chosen.count++] = thread;
    }
    vec_deinit(&state->threads);
    state->threads = chosen;
    if (moment->list_known) {
        err_destroy(state->cut);
        state->cut = NULL;
    }
    return NULL;
}

static struct err *find_owners(const struct py_process *process, const struct still_moment *moment,
                               struct still *ret)
{
    size_t count = moment->threads.count;
    AUTO_FREE struct py_kernel_thread *kernel = calloc(count + 1, sizeof(*kernel));
    ret->owners = calloc(ret->state.threads.count + 1, sizeof(*ret->owners));
    if (!kernel || !ret->owners)
        return err_create(ERR_NO_MEMORY, "threads");
    for (size_t i = 0; i < count; i++) {
        const struct live_thread *thread = &moment->threads.items[i];
        if (thread->state != LIVE_GONE)
            kernel[i] = (struct py_kernel_thread){(uint64_t)thread->ns_tid,
                                                  thread->has_regs ? thread->regs.tls : 0,
                                                  thread->has_regs ? thread->regs.sp : 0};
    }
    for (size_t i = 0; i < ret->state.threads.count; i++) {
        const struct still_stack *said = moment->all ? NULL : &moment->stacks.items[i];
        ret->owners[i] = said ? said->owner
                              : py_owner_of(process->target, NULL, &ret->state.threads.items[i], 0,
                                            kernel, count);
        if (ret->owners[i] >= count)
            ret->owners[i] = SIZE_MAX;
    }
    return NULL;
}

// ---- stacks -------------------------------------------------------------------------------------

static bool is_lost(const struct still_moment *moment, uint64_t code)
{
    return moment->lost_codes.count &&
           bsearch(&code, moment->lost_codes.items, moment->lost_codes.count, sizeof(code),
                   compare_words);
}

static bool is_blocked(const struct still_moment *moment, const struct still_stack *said,
                       size_t owner)
{
    if (said)
        return said->blocked;
    const struct live_thread *thread = owner == SIZE_MAX ? NULL : &moment->threads.items[owner];
    return thread && thread->has_regs && arch_blocked_in_syscall(&thread->regs);
}

static void walk(struct py_process *process, const struct still_moment *moment, size_t index,
                 struct still *ret)
{
    const struct still_stack *said = moment->all ? NULL : &moment->stacks.items[index];
    struct py_stack *stack = &ret->stacks.items[index];
    py_stack_init(stack, &ret->state.threads.items[index],
                  is_blocked(moment, said, ret->owners[index]));
    if (!said || !said->not_taken) {
        py_stack_step(process, stack);
        vec_foreach (frame, &stack->frames) {
            if (is_lost(moment, frame->code_addr)) {
                frame->code = NULL;
                frame->call_name = frame->call_qualname = 0;
            }
        }
        py_stack_finish(process, stack);
        // A stack may be kept for longer than the cache keeps its code objects.
        vec_foreach (frame, &stack->frames)
            frame->code = NULL;
    }
    if (said && said->cut) {
        err_destroy(stack->cut);
        stack->cut = err_create((enum err_code)said->cut_code, "%s", said->cut);
    }
}

// In a core a subinterpreter's thread state may say only by its stack who runs it (up to 3.12).
static struct err *find_runners(const struct py_process *process, const struct still_moment *moment,
                                struct still *ret)
{
    size_t count = moment->threads.count;
    AUTO_FREE struct py_kernel_thread *kernel = calloc(count + 1, sizeof(*kernel));
    if (!kernel)
        return err_create(ERR_NO_MEMORY, "threads");
    for (size_t i = 0; i < count; i++) {
        const struct live_thread *thread = &moment->threads.items[i];
        kernel[i] = (struct py_kernel_thread){(uint64_t)thread->ns_tid,
                                              thread->has_regs ? thread->regs.tls : 0,
                                              thread->has_regs ? thread->regs.sp : 0};
    }
    for (size_t i = 0; i < ret->stacks.count; i++)
        ret->owners[i] = py_owner_of(process->target, NULL, &ret->stacks.items[i].thread,
                                     ret->stacks.items[i].outermost_shim, kernel, count);
    return NULL;
}

struct err *still_unwind(struct target *target, struct unwinder *unwinder,
                         const struct still_moment *moment, struct still *ret)
{
    size_t frames = 0, count = moment->threads.count;
    if (!vec_reserve(&ret->natives, count + 1))
        return err_create(ERR_NO_MEMORY, "stacks");
    memset(ret->natives.items, 0, (count + 1) * sizeof(*ret->natives.items));
    ret->natives.count = count;
    unwinder_refresh(unwinder);
    for (size_t i = 0; i < count && i < moment->starts.count; i++) {
        struct unwind_stack *native = &ret->natives.items[i];
        const struct unwind_start *start = &moment->starts.items[i];
        if (!still_start_known(start))
            continue;
        // 40,000 threads may share one damaged stack of a million frames.
        if (frames >= LIMIT_FRAMES_PER_SNAPSHOT) {
            ret->natives_left_out++;
            continue;
        }
        unwind(unwinder, target->mem, start, native);
        frames += native->frames.count;
    }
    return NULL;
}

struct err *still_decode(struct py_process *process, struct unwinder *unwinder, struct mem *codes,
                         const struct still_moment *moment, struct still *ret)
{
    *ret = (struct still){0};
    process->dec.mem = process->target->mem;
    process->dec.copy = NULL;
    process->dec.code_mem = codes;
    py_codes_recheck(process->dec.codes);
    py_state_read(process, &ret->state);
    if (ret->state.cut && !ret->state.threads.count && moment->all)
        return err_create(err_code(ret->state.cut), "%s", err_message(ret->state.cut));
    TRY(choose(process, moment, &ret->state));
    settle(process, moment, &ret->state);
    size_t count = ret->state.threads.count;
    if (!vec_reserve(&ret->stacks, count + 1))
        return err_create(ERR_NO_MEMORY, "stacks");
    TRY(find_owners(process, moment, ret));
    uint64_t last_interp = 0;
    for (size_t i = 0; i < count; i++) {
        const struct py_thread *thread = &ret->state.threads.items[i];
        ret->stacks.count++;
        walk(process, moment, i, ret);
        if (thread->interp != last_interp) {
            last_interp = thread->interp;
            // Without names the stacks are still worth having.
            err_destroy(py_thread_names(process, thread->interp, &ret->names));
        }
    }
    if (moment->all)
        TRY(find_runners(process, moment, ret));
    process->dec.code_mem = NULL;
    py_codes_trim(process->dec.codes);
    if (!unwinder)
        return NULL;
    image_jit_refresh(process->image, codes ? codes : process->target->mem);
    return still_unwind(process->target, unwinder, moment, ret);
}
