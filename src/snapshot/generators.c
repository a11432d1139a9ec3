// SPDX-License-Identifier: GPL-3.0-or-later
// Generators, coroutines and async generators that are suspended, listed on request.
//
// Nobody has a list of them: all objects that the collector knows are gone through, in memory of which
// nothing is recorded. Of those found only the outermost are kept: neither what another one delegates to,
// nor a task's coroutine. They are then read as a replay reads them, which has their addresses as facts.
// A process that runs meanwhile may have resumed some: what reads otherwise afterwards is left out.
#include <stdlib.h>

#include "cpython/coroutine.h"
#include "cpython/task.h"
#include "snapshot/details_build.h"
#include "snapshot/python.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"

#define TYPE_SLOTS 256u

VEC_DEFINE(addresses, uint64_t);

struct generators {
    const struct snap_input *in;
    struct snapshot *snapshot;
    struct snap_suspended *out;
    struct py_process found_by; // as in->process, with a decoder of its own: nothing is recorded
    struct {
        uint64_t type;
        bool wanted;
    } types[TYPE_SLOTS];    // met lately
    struct addresses found; // all that are suspended; then the outermost, which are to be read
    struct addresses inner; // what others have
    struct addresses signs; // one for each of out->generators from `first` on: where it stood
    size_t first;
    uint64_t left_out;
    bool no_memory;
    struct py_frames frames;
    struct snap_frames shown;
};

static struct err *out_of_memory(void)
{
    return err_create(ERR_NO_MEMORY, "generators");
}

static bool no_memory(const struct err *err)
{
    return err && err_code(err) == ERR_NO_MEMORY;
}

// ---- Which there are ----------------------------------------------------------------------------

static bool is_generator(struct generators *g, uint64_t object)
{
    struct py_decoder *dec = &g->found_by.dec;
    struct py_type_info info;
    uint64_t type;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, object, PY_OB_type, &type);
    if (err)
        return false;
    size_t slot = hash_u64(HASH_SEED, type) % TYPE_SLOTS;
    if (g->types[slot].type != type) {
        AUTO_ERR struct err *unknown = py_type_info(dec, type, &info);
        g->types[slot].type = type;
        g->types[slot].wanted = !unknown && info.kind == PY_KIND_GENERATOR;
    }
    return g->types[slot].wanted;
}

static bool visit(void *arg, uint64_t object)
{
    struct generators *g = arg;
    enum py_generator_state state;
    if (!is_generator(g, object))
        return true;
    AUTO_ERR struct err *err = py_generator_state(&g->found_by.dec, object, &state);
    if (err || (state != PY_GEN_SUSPENDED && state != PY_GEN_CREATED))
        return true;
    if (g->found.count >= LIMIT_GENERATORS_FOUND)
        g->left_out++;
    else
        g->no_memory = !vec_push(&g->found, object);
    return !g->no_memory;
}

static int compare_addresses(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

// A task's coroutine is shown with the task.
static struct err *find_coroutines(struct generators *g)
{
    struct py_futures *futures = py_futures_create(&g->found_by.dec);
    bool ok = futures;
    for (size_t i = 0; ok && i < g->out->tasks.count; i++) {
        const struct snap_task *task = &g->out->tasks.items[i];
        struct py_future read;
        if (task->pid != g->in->target->pid)
            continue;
        struct err *err = py_future_read(futures, task->object, &read);
        ok = !no_memory(err) && (err || !read.coro || vec_push(&g->inner, read.coro));
        err_destroy(err);
    }
    py_futures_destroy(futures);
    return ok ? NULL : out_of_memory();
}

static struct err *find_inner(struct generators *g)
{
    TRY(find_coroutines(g));
    vec_foreach (object, &g->found) {
        uint64_t inner = 0;
        struct err *err = py_generator_inner(&g->found_by.dec, *object, &inner);
        if (no_memory(err))
            return err;
        err_destroy(err);
        if (inner && !vec_push(&g->inner, inner))
            return out_of_memory();
    }
    if (g->inner.count)
        qsort(g->inner.items, g->inner.count, sizeof(*g->inner.items), compare_addresses);
    return NULL;
}

static void keep_outermost(struct generators *g)
{
    size_t kept = 0;
    vec_foreach (object, &g->found) {
        if (g->inner.count && bsearch(object, g->inner.items, g->inner.count,
                                      sizeof(*g->inner.items), compare_addresses))
            continue;
        if (kept < LIMIT_GENERATORS)
            g->found.items[kept++] = *object;
        else
            g->left_out++;
    }
    g->found.count = kept;
}

static struct err *search(struct generators *g)
{
    struct err *err = py_heap_walk_all(&g->found_by, g->in->state, visit, g);
    if (err && !no_memory(err)) {
        snap_note(g->in->strings, &g->snapshot->notes, "generators may be missing: %s",
                  err_message(err));
        err_destroy(err);
        err = NULL;
    }
    if (!err && g->no_memory)
        err = out_of_memory();
    if (!err)
        err = find_inner(g);
    if (!err)
        keep_outermost(g);
    return err;
}

static struct err *recall(struct generators *g)
{
    const struct kernel_facts *facts = g->in->kernel;
    if (!facts || !facts->has_generators) {
        snap_note(g->in->strings, &g->snapshot->notes,
                  "no generators: the capture was made without --generators");
        return NULL;
    }
    g->left_out = facts->generators_left_out;
    vec_foreach (object, &facts->generators)
        if (!vec_push(&g->found, *object))
            return out_of_memory();
    return NULL;
}

// ---- What they are ------------------------------------------------------------------------------

// Where each of its frames stands. *ret_sign is 0 when it is not suspended any more.
static struct err *read_chain(struct generators *g, struct py_process *process, uint64_t object,
                              struct py_generator *ret, uint64_t *ret_sign)
{
    uint64_t end, sign = HASH_SEED;
    bool running;
    *ret_sign = 0;
    vec_clear(&g->frames);
    struct err *err = py_generator_read(&process->dec, object, ret);
    if (!err && ret->state != PY_GEN_SUSPENDED && ret->state != PY_GEN_CREATED)
        return NULL;
    if (!err)
        err = py_await_chain(process, object, &g->frames, &end, &running);
    if (no_memory(err))
        return err;
    err_destroy(err);
    vec_foreach (frame, &g->frames)
        sign = hash_u64(hash_u64(hash_u64(sign, frame->addr), frame->code_addr), frame->instr);
    *ret_sign = g->frames.count ? sign | 1 : 0;
    return NULL;
}

static struct err *read_one(struct generators *g, uint64_t object)
{
    struct snap_generator to = {.pid = g->in->target->pid, .object = object};
    struct py_generator generator;
    uint64_t sign;
    TRY(read_chain(g, g->in->process, object, &generator, &sign));
    if (!sign) {
        g->left_out++;
        return NULL;
    }
    struct py_stack stack = {.frames = g->frames};
    AUTO_FREE uint64_t *tokens = calloc(g->frames.count, sizeof(*tokens));
    vec_clear(&g->shown);
    to.kind = generator.kind == PY_COROUTINE         ? SNAP_COROUTINE
              : generator.kind == PY_ASYNC_GENERATOR ? SNAP_ASYNC_GENERATOR
                                                     : SNAP_GENERATOR;
    to.begun = generator.state == PY_GEN_SUSPENDED;
    if (!tokens || !snap_python_push(&g->shown, &stack, tokens, 0, g->frames.count) ||
        !snap_suspended_stack(g->out, g->shown.items, g->shown.count, &to.stack) ||
        !vec_push(&g->out->generators, to) || !vec_push(&g->signs, sign))
        return out_of_memory();
    return NULL;
}

// Nothing has run since it was looked at.
static bool all_still(const struct snap_input *in)
{
    for (size_t i = 0; i < in->thread_count; i++) {
        const struct live_thread *thread = &in->threads[i];
        bool still = thread->state == LIVE_GONE || (thread->asleep && thread->held_still &&
                                                    (!in->still || in->still(in->still_arg, i)));
        if (!still)
            return false;
    }
    return in->thread_count > 0;
}

// Of those that were read, the ones that read the same now.
static struct err *drop_changed(struct generators *g)
{
    struct snap_generators *list = &g->out->generators;
    size_t kept = g->first;
    for (size_t i = g->first; i < list->count; i++) {
        struct py_generator generator;
        uint64_t sign;
        TRY(read_chain(g, &g->found_by, list->items[i].object, &generator, &sign));
        if (sign == g->signs.items[i - g->first])
            list->items[kept++] = list->items[i];
        else
            g->left_out++;
    }
    list->count = kept;
    return NULL;
}

static struct err *read_found(struct generators *g)
{
    struct py_decoder *dec = &g->in->process->dec;
    struct mem *mem = dec->mem, *code_mem = dec->code_mem;
    struct mem_copy *copy = dec->copy;
    struct err *err = NULL;
    dec->mem = g->in->target->mem;
    dec->code_mem = NULL;
    dec->copy = NULL;
    g->first = g->out->generators.count;
    for (size_t i = 0; !err && i < g->found.count; i++)
        err = read_one(g, g->found.items[i]);
    dec->mem = mem;
    dec->code_mem = code_mem;
    dec->copy = copy;
    return err;
}

static struct err *remember(const struct generators *g)
{
    struct kernel_facts *facts = g->in->kernel;
    if (!facts)
        return NULL;
    facts->has_generators = true;
    facts->generators_left_out = g->left_out;
    for (size_t i = g->first; i < g->out->generators.count; i++)
        if (!vec_push(&facts->generators, g->out->generators.items[i].object))
            return out_of_memory();
    return NULL;
}

// ---- Together -----------------------------------------------------------------------------------

static struct err *find_and_read(struct generators *g)
{
    if (g->in->heap)
        TRY(search(g));
    else
        TRY(recall(g));
    return read_found(g);
}

static struct err *read_all(struct generators *g)
{
    struct mem *heap = g->in->heap;
    if (heap)
        mem_cache_begin(heap);
    struct err *err = find_and_read(g);
    if (heap)
        mem_cache_end(heap);
    if (!err && heap && !g->in->is_core && !all_still(g->in))
        err = drop_changed(g);
    g->out->generators_left_out += g->left_out;
    return err || !heap ? err : remember(g);
}

static void generators_deinit(struct generators *g)
{
    py_decoder_deinit(&g->found_by.dec);
    vec_deinit(&g->found);
    vec_deinit(&g->inner);
    vec_deinit(&g->signs);
    vec_deinit(&g->frames);
    vec_deinit(&g->shown);
}

struct err *generators_read(const struct snap_input *in, struct snapshot *snapshot)
{
    struct py_decoder *dec = details_decoder(in);
    if (!in->generators || !dec || !in->state || !in->target->mem)
        return NULL;
    // Of a run: not all tasks were read this time, so that their coroutines are not known.
    if (snapshot->suspended_unread)
        return NULL;
    struct generators *g = calloc(1, sizeof(*g));
    if (!g)
        return out_of_memory();
    if (!snapshot->suspended)
        snapshot->suspended = snap_suspended_create();
    g->in = in;
    g->snapshot = snapshot;
    g->out = snapshot->suspended;
    g->found_by = *in->process;
    struct err *err = py_decoder_init(&g->found_by.dec, &dec->layout, in->heap, in->strings);
    if (!err)
        err = g->out ? read_all(g) : out_of_memory();
    generators_deinit(g);
    free(g);
    return err;
}
