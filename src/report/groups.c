// SPDX-License-Identifier: GPL-3.0-or-later
// Grouping by what is printed of a frame: two stacks that read alike are the same.
#include "report/groups.h"

#include <stdlib.h>

#include "util/guard.h"
#include "util/hash.h"

#define LONGEST_PERIOD 24 // functions that call each other in turn
#define LEAST_TIMES 3

struct keyed {
    uint64_t hash;
    uint32_t index;
};

// Where a native frame is without a symbol: printed as module+offset, or as an address. With one,
// how far the function had come makes no difference.
static uint64_t place_of(const struct snap_frame *frame)
{
    if (frame->kind != SNAP_NATIVE || frame->function)
        return 0;
    return frame->module ? frame->offset : frame->address;
}

static bool same_frame(const struct snap_frame *a, const struct snap_frame *b)
{
    return a->kind == b->kind && a->flags == b->flags && a->function == b->function &&
           a->qualname == b->qualname && a->file == b->file && a->module == b->module &&
           a->line == b->line && place_of(a) == place_of(b);
}

static const struct snap_exceptions *exceptions_of(const struct snap_thread *thread)
{
    static const struct snap_exceptions none = {0};
    return thread->details ? &thread->details->exceptions : &none;
}

static bool same_exceptions(const struct snap_thread *a, const struct snap_thread *b)
{
    const struct snap_exceptions *x = exceptions_of(a), *y = exceptions_of(b);
    if (x->count != y->count)
        return false;
    for (size_t i = 0; i < x->count; i++)
        if (x->items[i].type != y->items[i].type || x->items[i].message != y->items[i].message ||
            x->items[i].role != y->items[i].role)
            return false;
    return true;
}

static uint64_t hash_thread(const struct snap_thread *thread)
{
    uint64_t hash = hash_u64(HASH_SEED, thread->known_to_python);
    vec_foreach (frame, &thread->frames) {
        hash = hash_u64(hash, (uint64_t)frame->kind << 40 | (uint64_t)frame->flags << 32 |
                                  frame->function);
        hash = hash_u64(hash, (uint64_t)frame->file << 32 | (uint32_t)frame->line);
        hash = hash_u64(hash, (uint64_t)frame->qualname << 32 | frame->module);
        hash = hash_u64(hash, place_of(frame));
    }
    vec_foreach (exception, exceptions_of(thread))
        hash = hash_u64(hash, (uint64_t)exception->type << 32 | exception->message);
    return hash;
}

static bool same_stack(const struct snap_thread *a, const struct snap_thread *b)
{
    if (a->frames.count != b->frames.count || a->known_to_python != b->known_to_python ||
        !same_exceptions(a, b))
        return false;
    for (size_t i = 0; i < a->frames.count; i++)
        if (!same_frame(&a->frames.items[i], &b->frames.items[i]))
            return false;
    return true;
}

static int by_hash(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static int by_importance(const void *left, const void *right, void *arg)
{
    const struct group *a = left, *b = right;
    const uint32_t *order = arg;
    if (a->crashed != b->crashed)
        return a->crashed ? -1 : 1;
    if (a->works != b->works)
        return a->works ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return order[a->first] < order[b->first] ? -1 : 1;
}

static void look_at(struct group *group, const struct snap_thread *thread)
{
    group->crashed |= thread->crashed;
    // Who waits for the GIL would work if it could.
    group->works |= snap_state_works(thread->state) || thread->state == SNAP_GIL_WAIT;
    group->known_to_python |= thread->known_to_python;
}

static bool has_variables(const struct snap_thread *thread)
{
    return thread->details && thread->details->locals.count;
}

bool groups_init(struct groups *groups, const struct snapshot *snapshot, bool apart)
{
    *groups = (struct groups){0};
    size_t count = snapshot->threads.count;
    const struct snap_thread *threads = snapshot->threads.items;
    AUTO_FREE struct keyed *keyed = calloc(count + 1, sizeof(*keyed));
    groups->order = calloc(count + 1, sizeof(*groups->order));
    if (!keyed || !groups->order)
        return false;
    for (size_t i = 0; i < count; i++)
        keyed[i] = (struct keyed){hash_thread(&threads[i]), (uint32_t)i};
    qsort(keyed, count, sizeof(*keyed), by_hash);
    for (size_t i = 0; i < count; i++) {
        const struct snap_thread *thread = &threads[keyed[i].index];
        groups->order[i] = keyed[i].index;
        bool fresh = i == 0 || (apart && has_variables(thread)) ||
                     keyed[i].hash != keyed[i - 1].hash ||
                     !same_stack(&threads[keyed[i - 1].index], thread);
        if (fresh && !vec_push(&groups->list, (struct group){.first = (uint32_t)i}))
            return false;
        groups->list.items[groups->list.count - 1].count++;
        look_at(&groups->list.items[groups->list.count - 1], thread);
    }
    if (groups->list.count)
        qsort_r(groups->list.items, groups->list.count, sizeof(*groups->list.items), by_importance,
                groups->order);
    return true;
}

void groups_deinit(struct groups *groups)
{
    free(groups->order);
    vec_deinit(&groups->list);
}

static size_t times_of(const struct snap_frames *frames, size_t start, size_t period)
{
    size_t same = 0;
    while (start + period + same < frames->count &&
           same_frame(&frames->items[start + same], &frames->items[start + period + same]))
        same++;
    return 1 + same / period;
}

bool repetitions_find(const struct snap_frames *frames, struct repetitions *ret)
{
    vec_clear(ret);
    for (size_t at = 0; at < frames->count;) {
        struct repetition run = {at, 1, 1};
        for (size_t period = 1; period <= LONGEST_PERIOD && run.times == 1; period++) {
            size_t times = times_of(frames, at, period);
            if (times >= LEAST_TIMES)
                run = (struct repetition){at, period, times};
        }
        if (!vec_push(ret, run))
            return false;
        at += run.period * run.times;
    }
    return true;
}
