// SPDX-License-Identifier: GPL-3.0-or-later
// Activations: which frames of a thread's stack are the calls that were there a snapshot ago. What
// is counted is a lower bound of the calls made, and how long the longest of them was seen.
#include "profile/profile_private.h"

#define ID_SLOTS (2 * PROF_GENERATORS_MAX)

// Puts a key in; true when it was there.
static bool id_set_meet(struct prof_id_set *set, uint64_t key, bool add)
{
    size_t at = key & (ID_SLOTS - 1);
    for (; set->slots && set->slots[at]; at = (at + 1) & (ID_SLOTS - 1))
        if (set->slots[at] == key)
            return true;
    if (add) {
        set->slots[at] = key;
        set->count++;
    }
    return false;
}

// Two sets take turns, and the older one is emptied when the younger is full.
bool prof_meet(struct prof_id_sets *sets, uint64_t key, bool *ret_met)
{
    struct prof_id_set *now = &sets->now, *before = &sets->before;
    if (now->count >= PROF_GENERATORS_MAX) {
        struct prof_id_set oldest = *before;
        *before = *now;
        *now = oldest;
        if (now->slots)
            memset(now->slots, 0, ID_SLOTS * sizeof(*now->slots));
        now->count = 0;
    }
    if (!now->slots && !(now->slots = calloc(ID_SLOTS, sizeof(*now->slots))))
        return false;
    key += !key;
    *ret_met = id_set_meet(now, key, true) || id_set_meet(before, key, false);
    return true;
}

// A frame that has no activation of its own (builtins, native functions) is the same call when its
// caller is, at the same place: a caller that went on to another line has seen it return.
static uint64_t inherited(const struct prof_call *caller, const struct snap_frame *caller_frame)
{
    if (!caller)
        return HASH_SEED;
    uint64_t id = hash_u64(hash_u64(HASH_SEED, caller->id), caller->function);
    if (caller_frame->kind == SNAP_PYTHON)
        id = hash_u64(id, (uint32_t)caller_frame->column);
    else if (caller_frame->kind == SNAP_NATIVE)
        id = hash_u64(id, caller_frame->address);
    return hash_u64(id, (uint32_t)caller_frame->line);
}

static uint64_t hash_call(const struct prof_call *call)
{
    return hash_u64(hash_u64(HASH_SEED, call->id), call->function);
}

static bool same_call(const struct prof_call *a, const struct prof_call *b)
{
    return a->id == b->id && a->function == b->function;
}

// The calls of the thread's last stack and of the new one, as one array: what the index numbers.
static const struct prof_call *call_at(const struct profile *profile,
                                       const struct prof_calls *before, uint32_t id)
{
    return id < before->count ? &before->items[id] : &profile->calls.items[id - before->count];
}

static const struct prof_call *find_call(const struct profile *profile,
                                         const struct prof_calls *before,
                                         const struct prof_call *call)
{
    struct hash_probe probe = hash_probe(&profile->call_index, hash_call(call));
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (same_call(call_at(profile, before, id), call))
            return call_at(profile, before, id);
    return NULL;
}

// Only what lies above `depth` is looked for: below it, every call was found where it stood.
static bool index_calls(struct profile *profile, const struct prof_calls *before, size_t depth,
                        size_t more)
{
    size_t left = before->count > depth ? before->count - depth : 0;
    if (!hash_index_reset(&profile->call_index, left + more))
        return false;
    for (size_t i = depth; i < before->count; i++)
        hash_index_add(&profile->call_index, hash_call(&before->items[i]), (uint32_t)i);
    return true;
}

static void count_longest(struct prof_function *f, uint64_t snapshots, uint64_t ns)
{
    if (snapshots > f->longest_snapshots ||
        (snapshots == f->longest_snapshots && ns > f->longest_ns)) {
        f->longest_snapshots = snapshots;
        f->longest_ns = ns;
    }
}

// Begins a run of `call` or goes on with the one of `same`.
static bool count_call(struct profile *profile, const struct prof_sample *sample,
                       const struct snap_frame *frame, const struct prof_call *same,
                       struct prof_call *call)
{
    struct prof_function *f = &profile->functions.items[call->function].f;
    bool met = false;
    if ((frame->flags & SNAP_FRAME_GENERATOR) && frame->activation &&
        !prof_meet(&profile->generators, hash_u64(hash_call(call), (uint32_t)sample->thread->pid),
                   &met))
        return false;
    if (!same && !met)
        f->activations++;
    call->since_snapshot = same ? same->since_snapshot : profile->sum.snapshots;
    call->since_ns = same ? same->since_ns : sample->at_ns;
    uint64_t ns = sample->at_ns > call->since_ns ? sample->at_ns - call->since_ns : 0;
    count_longest(f, profile->sum.snapshots - call->since_snapshot + 1, ns);
    return true;
}

// Fills profile->calls, outermost first. Frames mostly stand where they stood; from the first one
// on that does not, they are looked up, which also keeps an id that comes twice from counting so.
static bool match_calls(struct profile *profile, const struct prof_sample *sample,
                        const struct prof_calls *before)
{
    const struct snap_frames *frames = &sample->thread->frames;
    bool aligned = true;
    for (size_t depth = 0; depth < frames->count; depth++) {
        size_t i = frames->count - 1 - depth;
        const struct snap_frame *frame = &frames->items[i];
        struct prof_call call = {.function = prof_path_function(profile, i),
                                 .id = frame->activation};
        if (!call.id)
            call.id = depth ? inherited(&profile->calls.items[depth - 1], frame + 1)
                            : inherited(NULL, NULL);
        const struct prof_call *same = NULL;
        if (aligned && depth < before->count && same_call(&before->items[depth], &call)) {
            same = &before->items[depth];
        } else {
            if (aligned && !index_calls(profile, before, depth, frames->count - depth))
                return false;
            aligned = false;
            same = find_call(profile, before, &call);
            if (!same)
                hash_index_add(&profile->call_index, hash_call(&call),
                               (uint32_t)(before->count + depth));
        }
        if (!count_call(profile, sample, frame, same, &call))
            return false;
        profile->calls.items[depth] = call;
        profile->calls.count = depth + 1;
    }
    return true;
}

bool prof_count_calls(struct profile *profile, const struct prof_sample *sample)
{
    static const struct prof_calls none;
    struct prof_thread_entry *thread = &profile->threads.items[sample->thread_id];
    if (sample->thread_id == profile->spare_thread || thread->seen == profile->sum.snapshots)
        return true; // several threads in one entry: which call is whose is not known
    bool neighbour = thread->seen == profile->sum.snapshots - 1;
    vec_clear(&profile->calls);
    if (!vec_reserve(&profile->calls, sample->thread->frames.count) ||
        !match_calls(profile, sample, neighbour ? &thread->calls : &none))
        return false;
    vec_clear(&thread->calls);
    if (!vec_reserve(&thread->calls, profile->calls.count))
        return false;
    if (profile->calls.count)
        memcpy(thread->calls.items, profile->calls.items,
               profile->calls.count * sizeof(*profile->calls.items));
    thread->calls.count = profile->calls.count;
    return true;
}
