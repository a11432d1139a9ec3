// SPDX-License-Identifier: GPL-3.0-or-later
// Which objects are greenlets: see greenlets.h.
//
// Nobody has a list of them: the module keeps, for each thread, the first and the current one. So
// the objects that the garbage collector knows are gone through. That takes some 20 ms for 100,000
// of them, so that in a run of many snapshots it is not done in each.
#include <string.h>

#include "cpython/coroutine.h"
#include "snapshot/greenlets.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"

// Of the time that passes, what may be used for looking through the heap, and for reading.
#define WALK_SHARE 50
#define READ_SHARE 20
// A process that runs may change a list under the walk. That takes moments, so that the list is mostly
// whole the next time.
#define WALKS 3

void greenlets_known_destroy(struct greenlets_known *known)
{
    if (known)
        vec_deinit(&known->items);
    free(known);
}

// ---- The heap -----------------------------------------------------------------------------------

// It has a decoder of its own: what is read here is not recorded, and must not be in a cache from
// which it would not be read again.
struct walk {
    struct greenlets *g;
    struct py_decoder dec;
    struct py_greenlet_build build;
    VEC(struct greenlet_known) found;
    bool failed;
};

static bool visit(void *arg, uint64_t object)
{
    struct walk *walk = arg;
    struct py_decoder *dec = &walk->dec;
    uint64_t type;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, object, PY_OB_type, &type);
    if (err || !py_greenlet_type(dec, &walk->build, type))
        return true;
    walk->failed = !vec_push(&walk->found, (struct greenlet_known){.object = object});
    return !walk->failed && walk->found.count < LIMIT_GREENLETS;
}

// What is known of those that were there before.
static bool carry_over(const struct greenlets_known *known, struct greenlet_known *found,
                       size_t count)
{
    struct hash_index index = {0};
    bool ok = hash_index_reserve(&index, known->items.count);
    for (uint32_t i = 0; ok && i < known->items.count; i++)
        hash_index_add(&index, hash_u64(HASH_SEED, known->items.items[i].object), i);
    for (size_t i = 0; ok && i < count; i++) {
        struct hash_probe probe = hash_probe(&index, hash_u64(HASH_SEED, found[i].object));
        for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
            if (known->items.items[id].object == found[i].object)
                found[i] = known->items.items[id];
    }
    hash_index_deinit(&index);
    return ok;
}

static bool replace(struct greenlets_known *known, struct walk *walk)
{
    bool ok = !walk->failed && carry_over(known, walk->found.items, walk->found.count);
    vec_clear(&known->items);
    for (size_t i = 0; ok && i < walk->found.count; i++)
        ok = vec_push(&known->items, walk->found.items[i]);
    return ok;
}

static struct err *walk_interpreter(struct walk *walk, uint64_t interp)
{
    bool imported;
    TRY(py_greenlet_imported(&walk->dec, interp, &imported));
    return imported ? py_heap_walk(walk->g->process, interp, visit, walk) : NULL;
}

// *ret: why some may be missing; NULL: all were found.
static void walk_all(struct walk *walk, struct err **ret)
{
    const struct py_threads *threads = &walk->g->in->state->threads;
    for (size_t i = 0; i < threads->count && !walk->failed; i++) {
        // Threads of an interpreter follow each other.
        if (i && threads->items[i].interp == threads->items[i - 1].interp)
            continue;
        struct err *err = walk_interpreter(walk, threads->items[i].interp);
        if (*ret)
            err_destroy(err);
        else
            *ret = err;
    }
}

static struct err *walk_once(struct walk *walk, struct err **ret)
{
    struct greenlets *g = walk->g;
    struct py_decoder *dec = &g->process->dec;
    struct mem *mem = mem_create_cached(g->in->heap);
    if (!mem)
        return err_create(ERR_NO_MEMORY, "greenlets");
    struct err *err = py_decoder_init(&walk->dec, &dec->layout, mem, dec->strings);
    dec->mem = mem;
    if (!err)
        walk_all(walk, ret);
    dec->mem = g->in->target->mem;
    py_decoder_deinit(&walk->dec);
    mem_destroy(mem);
    // Types come and go.
    memset(g->known->build.types, 0, sizeof(g->known->build.types));
    return err;
}

static struct err *walk_heap(struct greenlets *g)
{
    struct walk walk = {.g = g};
    AUTO_ERR struct err *missing = NULL;
    bool torn = true;
    struct err *err = NULL;
    for (int i = 0; i < (g->in->is_core ? 1 : WALKS) && torn && !err; i++) {
        err_destroy(missing);
        missing = NULL;
        vec_clear(&walk.found);
        err = walk_once(&walk, &missing);
        torn = missing && err_code(missing) == ERR_BAD_DATA;
    }
    if (missing && !details_ended(g->in))
        snap_note(g->in->strings, &g->snapshot->notes, "greenlets may be missing: %s",
                  err_message(missing));
    if (!err && !replace(g->known, &walk))
        err = err_create(ERR_NO_MEMORY, "greenlets");
    vec_deinit(&walk.found);
    return err;
}

// ---- When ---------------------------------------------------------------------------------------

static struct err *replay(struct greenlets *g)
{
    struct walk walk = {.g = g};
    vec_foreach (object, &g->in->kernel->greenlets)
        walk.failed =
            walk.failed || !vec_push(&walk.found, (struct greenlet_known){.object = *object});
    bool ok = replace(g->known, &walk);
    vec_deinit(&walk.found);
    return ok ? NULL : err_create(ERR_NO_MEMORY, "greenlets");
}

static struct err *tell(const struct greenlets *g)
{
    struct kernel_facts *facts = g->in->kernel;
    if (!facts)
        return NULL;
    facts->read_greenlets = true;
    vec_foreach (item, &g->known->items)
        if (!vec_push(&facts->greenlets, item->object))
            return err_create(ERR_NO_MEMORY, "greenlets");
    return NULL;
}

struct err *greenlets_find(struct greenlets *g, bool *ret)
{
    struct greenlets_known *known = g->known;
    uint64_t now_ns = live_now_ns();
    bool found = !g->in->heap && g->in->kernel && g->in->kernel->read_greenlets;
    if (found)
        TRY(replay(g));
    if (g->in->heap && now_ns >= known->next_walk_ns) {
        TRY(walk_heap(g));
        known->next_walk_ns = live_now_ns() + WALK_SHARE * (live_now_ns() - now_ns);
    }
    // That there are none is told, too.
    bool now = now_ns >= known->next_read_ns || !known->items.count || g->in->tasks_wanted;
    bool due = g->in->heap ? now : found;
    *ret = due && known->items.count;
    g->snapshot->suspended_unread |= !due && known->items.count;
    return due && g->in->heap ? tell(g) : NULL;
}

void greenlets_account(struct greenlets *g, uint64_t begun_ns)
{
    uint64_t now_ns = live_now_ns();
    g->known->next_read_ns = now_ns + READ_SHARE * (now_ns - begun_ns);
}
