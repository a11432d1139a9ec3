// SPDX-License-Identifier: GPL-3.0-or-later
// The lists of the collector: each object that it knows has a PyGC_Head {next, prev} before it, and each
// generation is a ring of them (Modules/gcmodule.c up to 3.12, Python/gc.c). Free-threaded builds have no
// lists: there, objects are only found through mimalloc's pages (Python/gc_free_threading.c).
#include "cpython/coroutine.h"
#include "util/guard.h"
#include "util/limits.h"

#define GENERATIONS 3
#define FLAG_BITS 3ull // of both words: NEXT_MASK_UNREACHABLE, PREV_MASK_COLLECTING, FINALIZED

struct walk {
    struct py_process *process;
    bool collecting; // prev counts references meanwhile
    bool ended;      // the visitor wants no more
    size_t seen;
    py_heap_visit *visit;
    void *arg;
};

struct links {
    uint64_t next, prev;
};

static struct err *read_links(const struct walk *walk, uint64_t head, struct links *ret)
{
    if (head % 4)
        return err_create(ERR_BAD_DATA, "0x%llx is no object's head", (unsigned long long)head);
    TRY(mem_read(walk->process->dec.mem, head, ret, sizeof(*ret)));
    ret->next &= ~FLAG_BITS;
    ret->prev &= ~FLAG_BITS;
    return NULL;
}

// Its head is known to belong to the list.
static struct err *take(struct walk *walk, uint64_t head)
{
    if (walk->seen++ >= LIMIT_HEAP_OBJECTS)
        return err_create(ERR_LIMIT, "more than %d objects", LIMIT_HEAP_OBJECTS);
    walk->ended =
        !walk->visit(walk->arg, head + py_offset(&walk->process->dec.layout, PY_GC_head_size));
    return NULL;
}

static struct err *broken(uint64_t head)
{
    return err_create(ERR_BAD_DATA, "a list of the collector is broken at 0x%llx",
                      (unsigned long long)head);
}

// *ret_last: the last one that could be trusted.
static struct err *forwards(struct walk *walk, uint64_t list, uint64_t *ret_last)
{
    struct links links;
    uint64_t mark = list;
    *ret_last = list;
    TRY(read_links(walk, list, &links));
    for (size_t steps = 1; links.next != list && !walk->ended; steps++) {
        uint64_t at = links.next;
        TRY(read_links(walk, at, &links));
        // Backward links rule out a ring. Without them one comes back to a mark that moves on at each
        // power of two.
        if (walk->collecting ? at == mark : links.prev != *ret_last)
            return broken(at);
        if ((steps & (steps - 1)) == 0)
            mark = at;
        TRY(take(walk, at));
        *ret_last = at;
    }
    return NULL;
}

// The other side of a broken place.
static struct err *backwards(struct walk *walk, uint64_t list, uint64_t last)
{
    struct links links;
    uint64_t following = list;
    TRY(read_links(walk, list, &links));
    while (links.prev != list && links.prev != last && !walk->ended) {
        uint64_t at = links.prev;
        TRY(read_links(walk, at, &links));
        if (links.next != following)
            return broken(at);
        TRY(take(walk, at));
        following = at;
    }
    return NULL;
}

static struct err *walk_list(struct walk *walk, uint64_t list)
{
    uint64_t last;
    struct err *err = forwards(walk, list, &last);
    bool limit = err && (err_code(err) == ERR_LIMIT || err_code(err) == ERR_NO_MEMORY);
    if (err && !limit && !walk->collecting)
        err_destroy(backwards(walk, list, last));
    return err;
}

// ---- Where the lists begin ----------------------------------------------------------------------

static size_t count_rings(const struct walk *walk, uint64_t generations)
{
    const struct py_layout *lay = &walk->process->dec.layout;
    size_t count = 0;
    for (unsigned i = 0; i < GENERATIONS; i++) {
        uint64_t list = generations + i * py_offset(lay, PY_GC_generation_size);
        struct links links, next, prev;
        AUTO_ERR struct err *err = read_links(walk, list, &links);
        AUTO_ERR struct err *unread = err ? NULL : read_links(walk, links.next, &next);
        AUTO_ERR struct err *lost = err ? NULL : read_links(walk, links.prev, &prev);
        count += !err && !unread && !lost && next.prev == list && prev.next == list;
    }
    return count;
}

// 3.13 releases differ in how PyGC_Head is aligned, which moves the array by 4 bytes. The lists of the
// generations that are not being collected are whole, mostly empty.
static struct err *find_generations(struct walk *walk, uint64_t expected, uint64_t *ret)
{
    static const int shifts[] = {0, -4, 4};
    size_t best = 0;
    for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
        uint64_t at = expected + (uint64_t)(int64_t)shifts[i];
        size_t rings = count_rings(walk, at);
        if (rings > best) {
            best = rings;
            *ret = at;
        }
    }
    if (!best)
        return err_create(ERR_BAD_DATA, "the collector's lists are not where they should be");
    return NULL;
}

// The _gc_runtime_state; 3.6 has none.
static uint64_t collector_of(const struct py_process *process, uint64_t interp)
{
    const struct py_layout *lay = &process->dec.layout;
    if (py_layout_has(lay, PY_IS_gc))
        return interp + py_offset(lay, PY_IS_gc);
    return py_layout_has(lay, PY_RT_gc) ? process->runtime + py_offset(lay, PY_RT_gc) : 0;
}

static struct err *read_collecting(struct walk *walk, uint64_t interp)
{
    struct py_process *process = walk->process;
    const struct py_layout *lay = &process->dec.layout;
    uint64_t collecting = 0;
    if (py_layout_has(lay, PY_IS_gc_collecting))
        TRY(py_read(process->dec.mem, lay, interp, PY_IS_gc_collecting, &collecting));
    else if (py_layout_has(lay, PY_RT_gc_collecting))
        TRY(py_read(process->dec.mem, lay, process->runtime, PY_RT_gc_collecting, &collecting));
    walk->collecting = collecting;
    return NULL;
}

struct err *py_heap_walk(struct py_process *process, uint64_t interp, py_heap_visit *visit,
                         void *arg)
{
    const struct py_layout *lay = &process->dec.layout;
    struct walk walk = {.process = process, .visit = visit, .arg = arg};
    uint64_t state = collector_of(process, interp), generations;
    if (!py_layout_has(lay, PY_GC_head_size))
        return err_create(ERR_UNSUPPORTED, "a free-threaded CPython has no list of its objects");
    if (state)
        generations = state + py_offset(lay, PY_GC_generations);
    else if (process->generation0_addr)
        TRY(mem_read_u64(process->dec.mem, process->generation0_addr, &generations));
    else
        return err_create(ERR_NOT_FOUND, "the collector's lists could not be found");
    TRY(read_collecting(&walk, interp));
    TRY(find_generations(&walk, generations, &generations));
    struct err *first = NULL;
    for (unsigned i = 0; i <= GENERATIONS && !walk.ended; i++) {
        uint64_t list = generations + i * py_offset(lay, PY_GC_generation_size);
        if (i == GENERATIONS && (!state || !py_layout_has(lay, PY_GC_permanent)))
            break;
        if (i == GENERATIONS)
            list = state + py_offset(lay, PY_GC_permanent);
        struct err *err = walk_list(&walk, list);
        if (first)
            err_destroy(err);
        else
            first = err;
    }
    return first;
}

// ---- All interpreters ---------------------------------------------------------------------------

struct err *py_heap_walk_all(struct py_process *process, const struct py_state *state,
                             py_heap_visit *visit, void *arg)
{
    struct err *first = NULL;
    const struct py_threads *threads = &state->threads;
    for (size_t i = 0; i < threads->count; i++) {
        uint64_t interp = threads->items[i].interp;
        // An interpreter's threads stand together. Up to 3.8 all interpreters share one collector.
        bool known = i > 0 && (threads->items[i - 1].interp == interp ||
                               !py_layout_has(&process->dec.layout, PY_IS_gc));
        struct err *err = known ? NULL : py_heap_walk(process, interp, visit, arg);
        if (first)
            err_destroy(err);
        else
            first = err;
    }
    return first;
}
