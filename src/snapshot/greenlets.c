// SPDX-License-Identifier: GPL-3.0-or-later
// Reading all greenlets: see greenlets.h.
#include "snapshot/greenlets.h"

#include "cpython/lock.h"
#include "snapshot/python.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"

#define TRIES 8 // a loop that switches 10,000 times a second leaves time for some

static enum snap_greenlet_state state_of(enum py_greenlet_state state)
{
    static const enum snap_greenlet_state states[] = {
        [PY_GREENLET_CREATED] = SNAP_GREENLET_CREATED,
        [PY_GREENLET_RUNNING] = SNAP_GREENLET_RUNNING,
        [PY_GREENLET_SUSPENDED] = SNAP_GREENLET_SUSPENDED,
        [PY_GREENLET_DEAD] = SNAP_GREENLET_UNKNOWN,
    };
    return states[state];
}

// ---- One ----------------------------------------------------------------------------------------

static bool push_python(const struct py_stack *stack, struct snap_frames *ret)
{
    AUTO_FREE uint64_t *tokens = calloc(stack->frames.count + 1, sizeof(*tokens));
    if (!tokens)
        return false;
    snap_python_tokens(stack, tokens);
    return snap_python_push(ret, stack, tokens, 0, stack->frames.count);
}

static struct err *keep_stack(struct greenlets *g, const struct py_greenlet *greenlet,
                              const struct py_stack *stack, struct unwind_stack *native,
                              uint32_t *ret)
{
    struct snap_frames frames = {0};
    bool ok = !native->frames.count || greenlets_merge(g, greenlet, stack, native, &frames);
    *ret = SNAP_NO_INDEX;
    if (ok && !frames.count && stack->frames.count)
        ok = push_python(stack, &frames);
    if (ok && frames.count)
        ok = snap_suspended_stack(g->out, frames.items, frames.count, ret);
    vec_deinit(&frames);
    return ok ? NULL : err_create(ERR_NO_MEMORY, "greenlets");
}

// So long it has been suspended at this place, as far as earlier snapshots tell.
static uint64_t since(const struct greenlets *g, const struct py_greenlet *greenlet,
                      const struct py_stack *stack, struct greenlet_known *known)
{
    int64_t now_ns = g->in->kernel ? g->in->kernel->clocks.monotonic_ns : 0;
    uint64_t token = hash_bytes(HASH_SEED, greenlet->words, 8 * greenlet->word_count);
    if (stack->frames.count)
        token = hash_u64(token, (uint64_t)stack->frames.items[0].offset_bytes);
    if (token != known->token) {
        known->token = token;
        known->since_ns = now_ns;
    }
    return known->since_ns && now_ns > known->since_ns ? (uint64_t)(now_ns - known->since_ns) : 0;
}

static struct err *add(struct greenlets *g, const struct py_greenlet *greenlet,
                       const struct py_stack *stack, struct unwind_stack *native,
                       const struct snap_greenlet *value)
{
    struct greenlet_extra extra = {
        .group = greenlet->group,
        .parent = greenlet->parent,
    };
    struct snap_greenlet kept = *value;
    struct greenlet_running running = {(uint32_t)g->out->greenlets.count, *greenlet};
    TRY(keep_stack(g, greenlet, stack, native, &kept.stack));
    if (!vec_reserve(&g->out->greenlets, g->out->greenlets.count + 1) ||
        !hash_index_reserve(&g->by_object, 1) || !vec_push(&g->extras, extra) ||
        (greenlet->state == PY_GREENLET_RUNNING && !vec_push(&g->running, running)))
        return err_create(ERR_NO_MEMORY, "greenlets");
    hash_index_add(&g->by_object, hash_u64(HASH_SEED, greenlet->object), running.index);
    g->out->greenlets.items[g->out->greenlets.count++] = kept;
    return NULL;
}

enum outcome { TAKEN, TORN, NONE };

static struct err *read_once(struct greenlets *g, struct greenlet_known *known, enum outcome *ret)
{
    struct py_decoder *dec = &g->process->dec;
    struct py_greenlet greenlet;
    struct py_stack stack = {0};
    GUARD(unwind_stack_deinit) struct unwind_stack native = {0};
    g->view.size = 0;
    *ret = NONE;
    AUTO_ERR struct err *none = py_greenlet_read(dec, &g->known->build, known->object, &greenlet);
    if (none || greenlet.state == PY_GREENLET_DEAD)
        return NULL;
    if (greenlet.state == PY_GREENLET_SUSPENDED) {
        py_greenlet_stack(g->process, &g->view, &greenlet, &stack);
        (void)greenlets_unwind(g, &greenlet, &stack, &native);
    }
    struct snap_greenlet value = {
        .pid = g->in->target->pid,
        .object = known->object,
        .type = greenlets_short_name(dec->strings, py_type_name(dec, known->object)),
        .name = py_greenlet_name(dec, &g->known->build, &greenlet, &stack),
        .state = state_of(greenlet.state),
        .is_main = greenlet.is_main,
        .is_hub = py_greenlet_is_hub(dec, &greenlet, &stack),
        .parent = SNAP_NO_INDEX,
        .await = {.fd = -1, .left_ns = -1, .holder = SNAP_NO_INDEX},
        .cut = stack.cut != NULL,
    };
    size_t held = g->held.count;
    struct err *err = NULL;
    if (greenlet.state == PY_GREENLET_SUSPENDED) {
        greenlets_read_await(g, &stack, &value.await);
        err = greenlets_read_held(g, &stack, &value.await);
    }
    *ret = TORN;
    if (!err && greenlets_hold(g, greenlets_group(g, known->group), &greenlet, &stack, &native)) {
        if (greenlet.state == PY_GREENLET_SUSPENDED)
            value.since_ns = since(g, &greenlet, &stack, known);
        *ret = TAKEN;
        err = add(g, &greenlet, &stack, &native, &value);
    } else {
        g->held.count = held;
    }
    py_stack_deinit(&stack);
    return err;
}

static struct err *read_one(struct greenlets *g, struct greenlet_known *known)
{
    struct greenlet_group *group = greenlets_group(g, known->group);
    enum outcome outcome = TORN;
    // What was recorded once is not read again.
    int tries = !g->in->heap || g->in->heap != g->in->target->mem || g->in->is_core ? 1 : TRIES;
    if (group && (group->gone || !(group->switches || g->strays)))
        return NULL;
    if (!g->in->heap && greenlets_told_of(g, known->object))
        tries = 0;
    for (int i = 0; i < tries && outcome == TORN; i++) {
        greenlets_begin(g, group, i > 0);
        TRY(read_once(g, known, &outcome));
    }
    if (outcome != TORN)
        return NULL;
    g->out->greenlets_left_out++;
    return g->in->heap ? greenlets_tell_change(g, known->object) : NULL;
}

static struct err *read_all(struct greenlets *g)
{
    g->known->build.visits = 0;
    TRY(greenlets_know_groups(g));
    vec_foreach (known, &g->known->items)
        TRY(read_one(g, known));
    g->view.size = 0;
    greenlets_tell_natives_left_out(g);
    return greenlets_settle(g);
}

static struct err *look(struct greenlets *g)
{
    const struct snap_input *in = g->in;
    uint64_t begun_ns = live_now_ns();
    bool any;
    TRY(greenlets_find(g, &any));
    if (!any || !g->known->items.count)
        return NULL;
    if (!g->snapshot->suspended) {
        g->snapshot->suspended = snap_suspended_create();
        if (!g->snapshot->suspended)
            return err_create(ERR_NO_MEMORY, "greenlets");
        g->snapshot->suspended->moment = true;
    }
    g->out = g->snapshot->suspended;
    g->first = g->out->greenlets.count;
    bool live = !in->is_core && in->heap == in->target->mem;
    g->cached = live ? mem_create_cached(in->target->mem) : NULL;
    TRY(py_greenlet_view_init(&g->view, g->cached ? g->cached : in->target->mem));
    g->process->dec.mem = g->view.mem;
    TRY(read_all(g));
    greenlets_account(g, begun_ns);
    return NULL;
}

static struct greenlets_known *know(const struct snap_input *in)
{
    struct greenlets_known **place = in->remembered ? greenlets_known_of(in->remembered) : NULL;
    if (place && *place && (*place)->process == in->process)
        return *place;
    struct greenlets_known *known = calloc(1, sizeof(*known));
    if (known)
        known->process = in->process;
    if (known && place) {
        greenlets_known_destroy(*place);
        *place = known;
    }
    return known;
}

struct err *greenlets_read(const struct snap_input *in, struct snapshot *snapshot)
{
    struct py_decoder *dec = details_decoder(in);
    if (!dec || !in->state || in->no_details || !in->target->mem)
        return NULL;
    struct greenlets g = {
        .in = in, .snapshot = snapshot, .process = in->process, .known = know(in)};
    if (!g.known)
        return err_create(ERR_NO_MEMORY, "greenlets");
    struct mem *mem = dec->mem, *code_mem = dec->code_mem;
    struct mem_copy *copy = dec->copy;
    dec->copy = NULL;
    dec->code_mem = NULL;
    struct err *err = look(&g);
    dec->mem = mem;
    dec->code_mem = code_mem;
    dec->copy = copy;
    py_greenlet_view_deinit(&g.view);
    mem_destroy(g.cached);
    vec_deinit(&g.held);
    vec_deinit(&g.extras);
    vec_deinit(&g.running);
    vec_deinit(&g.groups);
    hash_index_deinit(&g.by_group);
    hash_index_deinit(&g.by_object);
    if (!in->remembered)
        greenlets_known_destroy(g.known);
    return err;
}
