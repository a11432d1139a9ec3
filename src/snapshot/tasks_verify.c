// SPDX-License-Identifier: GPL-3.0-or-later
// Do tasks still stand where they were read? See tasks.h.
#include "snapshot/tasks.h"
#include "util/guard.h"

#define TRIES 2 // for those that changed

static bool no_memory(const struct err *err)
{
    return err && err_code(err) == ERR_NO_MEMORY;
}

static int by_address(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

void tasks_sort_torn(struct tasks *tasks)
{
    struct kernel_facts *facts = tasks->in->kernel;
    if (facts && !tasks->in->heap && facts->torn_tasks.count)
        qsort(facts->torn_tasks.items, facts->torn_tasks.count, sizeof(uint64_t), by_address);
}

bool tasks_told_torn(const struct tasks *tasks, uint64_t object)
{
    const struct kernel_facts *facts = tasks->in->kernel;
    return facts && !tasks->in->heap && facts->torn_tasks.count &&
           bsearch(&object, facts->torn_tasks.items, facts->torn_tasks.count, sizeof(object),
                   by_address);
}

// The memory itself, as it is now: what was recorded already is not asked.
static void look_anew(const struct tasks *tasks)
{
    py_futures_closure(tasks->futures)->function = 0;
    mem_cache_end(tasks->in->heap);
    mem_cache_begin(tasks->in->heap);
    py_decoder_still(tasks->dec, true);
}

static struct err *holds(struct tasks *tasks, const struct task_entry *entry, bool *ret)
{
    struct task_entry now = {0};
    bool running = false;
    *ret = false;
    struct err *err = tasks_read_future(tasks, entry, &now.future);
    bool same = !err && now.future.state == entry->future.state &&
                now.future.coro == entry->future.coro && now.future.waiter == entry->future.waiter;
    if (same && entry->place) {
        vec_clear(&tasks->frames);
        err =
            py_await_chain(tasks->in->process, now.future.coro, &tasks->frames, &now.end, &running);
        same = !running && tasks_hash_place(tasks, &now) == entry->place;
    }
    if (no_memory(err))
        return err;
    err_destroy(err);
    *ret = same;
    return NULL;
}

// What is cached is not read again, and what is not read is not in the recording: what was met here first,
// a replay would lack.
static struct err *swap_caches(struct tasks *tasks)
{
    struct py_decoder *dec = tasks->dec, *other = &tasks->unrecorded;
    if (tasks->in->heap == tasks->in->target->mem)
        return NULL;
    if (!other->types)
        TRY(py_decoder_init(other, &dec->layout, tasks->in->heap, dec->strings));
    struct py_types *types = dec->types;
    struct py_codes *codes = dec->codes;
    dec->types = other->types;
    dec->codes = other->codes;
    other->types = types;
    other->codes = codes;
    return NULL;
}

// Marks as dropped those from `first` on that have changed.
static struct err *mark_changed(struct tasks *tasks, size_t first, bool only_dropped,
                                size_t *ret_count)
{
    struct mem *mem = tasks->dec->mem;
    struct err *err = NULL;
    *ret_count = 0;
    TRY(swap_caches(tasks));
    tasks->dec->mem = tasks->in->heap;
    for (size_t i = first; i < tasks->entries.count && !err; i++) {
        struct task_entry *entry = &tasks->entries.items[i];
        bool same;
        if (entry->gone || (only_dropped && !entry->dropped))
            continue;
        err = holds(tasks, entry, &same);
        entry->dropped = !same;
        *ret_count += !same;
    }
    tasks->dec->mem = mem;
    err_destroy(swap_caches(tasks)); // back: the others are there
    return err;
}

static struct err *read_changed(struct tasks *tasks, size_t first)
{
    for (size_t i = first; i < tasks->entries.count; i++) {
        struct task_entry *entry = &tasks->entries.items[i], again;
        bool shown;
        if (!entry->dropped || entry->gone)
            continue;
        TRY(tasks_read_entry(tasks, entry->future.object, entry->rank, &again, &shown));
        task_entry_clear(entry);
        *entry = again;
        entry->again = true;
        entry->dropped = true; // until it is known to hold
        entry->gone = !shown;
    }
    return NULL;
}

static struct err *give_up(struct tasks *tasks, size_t first)
{
    for (size_t i = first; i < tasks->entries.count; i++) {
        const struct task_entry *entry = &tasks->entries.items[i];
        if (!entry->dropped)
            continue;
        tasks->out->tasks_left_out += !entry->gone;
        if (tasks->in->kernel && !vec_push(&tasks->in->kernel->torn_tasks, entry->future.object))
            return err_create(ERR_NO_MEMORY, "tasks");
    }
    return NULL;
}

struct err *tasks_verify(struct tasks *tasks, size_t first)
{
    size_t changed;
    tasks->verified += first < tasks->entries.count;
    if (!tasks->in->heap || tasks->in->is_core)
        return NULL;
    look_anew(tasks);
    TRY(mark_changed(tasks, first, false, &changed));
    // What is recorded is so once: there it is as it was.
    bool once = tasks->in->heap != tasks->in->target->mem ||
                (first < tasks->entries.count && tasks->entries.items[first].trio);
    for (int i = 0; i < TRIES && changed && !once; i++) {
        look_anew(tasks);
        TRY(read_changed(tasks, first));
        look_anew(tasks);
        TRY(mark_changed(tasks, first, true, &changed));
    }
    look_anew(tasks);
    return give_up(tasks, first);
}
