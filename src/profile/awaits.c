// SPDX-License-Identifier: GPL-3.0-or-later
// Where tasks wait. A site is a task's own frames, and the site of the task that waits for it: so a
// chain of tasks is looked at once, however many of them wait.
#include "profile/profile_private.h"

#define NOT_MADE (UINT32_MAX - 1) // no site yet
#define MAKING (UINT32_MAX - 2)   // it is being made: who comes here again has found a cycle
#define DROPPED (UINT32_MAX - 3)  // beyond the bounds

struct own { // frames of a distinct stack of the snapshot: awaits.frames[first...]
    size_t first, count;
    uint64_t hash;
    bool made;
};

struct awaits {
    struct profile *profile;
    const struct snap_suspended *suspended;
    VEC(struct own) own;   // by stack
    VEC(uint32_t) frames;  // of profile.frames
    VEC(uint32_t) site_of; // by task
    VEC(uint32_t) chain;   // tasks, from the one that waits outwards
    VEC(bool) loop_counts; // by loop: no filter left its thread out
    bool filtered;         // a filter left a thread out
};

static void awaits_deinit(struct awaits *awaits)
{
    vec_deinit(&awaits->own);
    vec_deinit(&awaits->frames);
    vec_deinit(&awaits->site_of);
    vec_deinit(&awaits->chain);
    vec_deinit(&awaits->loop_counts);
}

// ---- Which tasks count ---------------------------------------------------------------------------

static bool counts(const struct awaits *awaits, pid_t pid, pid_t tid)
{
    const struct snap_thread wanted = {.pid = pid, .tid = tid};
    if (!awaits->filtered)
        return true;
    uint32_t id = tid ? prof_find_thread(awaits->profile, &wanted) : HASH_NONE;
    return id != HASH_NONE &&
           awaits->profile->threads.items[id].counted == awaits->profile->sum.snapshots;
}

static bool prepare(struct awaits *awaits, const struct snapshot *snapshot)
{
    const struct snap_suspended *suspended = awaits->suspended;
    vec_foreach (thread, &snapshot->threads)
        awaits->filtered |= thread->left_out;
    if (!vec_reserve(&awaits->own, suspended->stacks.count) ||
        !vec_reserve(&awaits->site_of, suspended->tasks.count) ||
        !vec_reserve(&awaits->loop_counts, suspended->loops.count + 1))
        return false;
    awaits->own.count = suspended->stacks.count;
    for (size_t i = 0; i < suspended->stacks.count; i++)
        awaits->own.items[i] = (struct own){0};
    awaits->site_of.count = suspended->tasks.count;
    for (size_t i = 0; i < suspended->tasks.count; i++)
        awaits->site_of.items[i] = NOT_MADE;
    vec_foreach (loop, &suspended->loops)
        awaits->loop_counts.items[awaits->loop_counts.count++] =
            counts(awaits, loop->pid, loop->tid);
    return true;
}

static pid_t thread_of(const struct awaits *awaits, const struct snap_task *task)
{
    const struct snap_loops *loops = &awaits->suspended->loops;
    return task->loop < loops->count ? loops->items[task->loop].tid : 0;
}

static bool is_counted(const struct awaits *awaits, const struct snap_task *task)
{
    if (task->state != SNAP_TASK_WAITING)
        return false;
    return task->loop < awaits->suspended->loops.count ? awaits->loop_counts.items[task->loop]
                                                       : counts(awaits, task->pid, 0);
}

// ---- Sites ---------------------------------------------------------------------------------------

static bool resolve(struct awaits *awaits, uint32_t stack, struct own *ret)
{
    *ret = (struct own){.hash = HASH_SEED};
    if (stack >= awaits->own.count)
        return true;
    struct own *own = &awaits->own.items[stack];
    if (!own->made) {
        const struct snap_frames *frames = &awaits->suspended->stacks.items[stack];
        *own = (struct own){.first = awaits->frames.count, .hash = HASH_SEED, .made = true};
        if (!vec_reserve(&awaits->frames, own->first + frames->count))
            return false;
        vec_foreach (frame, frames) {
            uint32_t *place = &awaits->frames.items[awaits->frames.count];
            if (!prof_suspended_frame(awaits->profile, frame, place))
                return false;
            own->hash = hash_u64(own->hash, *place);
            awaits->frames.count++;
        }
        own->count = frames->count;
    }
    *ret = *own;
    return true;
}

static bool is_of(const struct profile *profile, const struct prof_await_entry *entry,
                  const struct prof_await_entry *key, const uint32_t *own)
{
    return entry->parent == key->parent && entry->s.pid == key->s.pid &&
           entry->s.tid == key->s.tid && entry->s.coroutine == key->s.coroutine &&
           entry->s.task_frames == key->s.task_frames &&
           (!key->s.task_frames || memcmp(profile->await_frames.items + entry->first, own,
                                          key->s.task_frames * sizeof(*own)) == 0);
}

// Its own frames, and all of its parent's. HASH_NONE: beyond the bounds.
static bool add_site(struct profile *profile, struct prof_await_entry *entry, const uint32_t *own,
                     uint64_t hash, uint32_t *ret_site)
{
    const struct prof_await_entry *parent =
        entry->parent == HASH_NONE ? NULL : &profile->awaits.items[entry->parent];
    size_t above = parent ? parent->s.frame_count : 0, parent_first = parent ? parent->first : 0;
    entry->first = profile->await_frames.count;
    entry->s.frame_count = entry->s.task_frames + above;
    *ret_site = HASH_NONE;
    if (profile->awaits.count >= PROF_AWAIT_SITES_MAX ||
        entry->first + entry->s.frame_count > PROF_AWAIT_FRAMES_MAX)
        return true;
    if (!hash_index_reserve(&profile->await_index, 1) ||
        !vec_reserve(&profile->await_frames, entry->first + entry->s.frame_count) ||
        !vec_push(&profile->awaits, *entry))
        return false;
    uint32_t *frames = profile->await_frames.items;
    if (entry->s.task_frames)
        memcpy(frames + entry->first, own, entry->s.task_frames * sizeof(*own));
    if (above)
        memcpy(frames + entry->first + entry->s.task_frames, frames + parent_first,
               above * sizeof(*frames));
    profile->await_frames.count += entry->s.frame_count;
    *ret_site = (uint32_t)profile->awaits.count - 1;
    hash_index_add(&profile->await_index, hash, *ret_site);
    return true;
}

static bool make_site(struct awaits *awaits, const struct snap_task *task, uint32_t parent,
                      uint32_t *ret_site)
{
    struct profile *profile = awaits->profile;
    struct own own;
    if (!resolve(awaits, task->stack, &own))
        return false;
    struct prof_await_entry key = {.s = {.pid = task->pid,
                                         .tid = thread_of(awaits, task),
                                         .coroutine = task->coroutine,
                                         .task_frames = (uint32_t)own.count},
                                   .parent = parent};
    const uint32_t *frames = awaits->frames.items ? awaits->frames.items + own.first : NULL;
    uint64_t hash = hash_u64(own.hash, (uint64_t)(uint32_t)key.s.pid << 32 | (uint32_t)key.s.tid);
    hash = hash_u64(hash, (uint64_t)key.s.coroutine << 32 | parent);
    struct hash_probe probe = hash_probe(&profile->await_index, hash);
    while ((*ret_site = hash_probe_next(&probe)) != HASH_NONE)
        if (is_of(profile, &profile->awaits.items[*ret_site], &key, frames))
            return true;
    return add_site(profile, &key, frames, hash, ret_site);
}

// The first of those that wait for it, as in a thread's turn; HASH_NONE: nobody does.
static uint32_t awaiter_of(const struct awaits *awaits, uint32_t task)
{
    const struct snap_task *of = &awaits->suspended->tasks.items[task];
    return of->awaited_by.count && of->awaited_by.items[0] < awaits->suspended->tasks.count
               ? of->awaited_by.items[0]
               : HASH_NONE;
}

// Outwards to a task whose site is known, or that nobody waits for, or where a cycle closes; and back.
static bool find_site(struct awaits *awaits, uint32_t task)
{
    uint32_t *site_of = awaits->site_of.items, parent = HASH_NONE;
    vec_clear(&awaits->chain);
    for (uint32_t at = task; at != HASH_NONE && awaits->chain.count < PROF_AWAIT_CHAIN_MAX;
         at = awaiter_of(awaits, at)) {
        if (site_of[at] != NOT_MADE) {
            parent = site_of[at] == MAKING ? HASH_NONE : site_of[at];
            break;
        }
        if (!vec_push(&awaits->chain, at))
            return false;
        site_of[at] = MAKING;
    }
    while (awaits->chain.count) {
        uint32_t at = awaits->chain.items[--awaits->chain.count], site = DROPPED;
        if (parent != DROPPED &&
            !make_site(awaits, &awaits->suspended->tasks.items[at], parent, &site))
            return false;
        site_of[at] = parent = site == HASH_NONE ? DROPPED : site;
    }
    return true;
}

// ---- Counting ------------------------------------------------------------------------------------

static void count(struct profile *profile, uint32_t site, const struct snap_task *task)
{
    if (site == DROPPED) {
        profile->sum.dropped_awaits++;
        return;
    }
    struct prof_await_entry *entry = &profile->awaits.items[site];
    if (entry->seen != profile->sum.snapshots) {
        entry->seen = profile->sum.snapshots;
        entry->s.snapshots++;
        entry->now = 0;
    }
    entry->now++;
    entry->s.samples++;
    entry->s.kinds[task->await.kind]++;
    profile->sum.await_samples++;
    if (entry->now > entry->s.most)
        entry->s.most = entry->now;
    if (task->since_ns > entry->s.since_ns)
        entry->s.since_ns = task->since_ns;
}

// In a run of many snapshots tasks are not read in each: loops alone say nothing of that.
static bool see_process(struct profile *profile, pid_t pid)
{
    uint32_t id;
    if (!prof_process(profile, pid, &id))
        return false;
    struct prof_process_entry *entry = &profile->processes.items[id];
    entry->task_snapshots += entry->tasks_seen != profile->sum.snapshots;
    entry->tasks_seen = profile->sum.snapshots;
    return true;
}

static bool count_tasks(struct awaits *awaits)
{
    const struct snap_suspended *suspended = awaits->suspended;
    for (uint32_t i = 0; i < suspended->tasks.count; i++) {
        const struct snap_task *task = &suspended->tasks.items[i];
        if (!see_process(awaits->profile, task->pid))
            return false;
        if (!is_counted(awaits, task))
            continue;
        if (!find_site(awaits, i))
            return false;
        count(awaits->profile, awaits->site_of.items[i], task);
    }
    return true;
}

bool prof_count_awaits(struct profile *profile, const struct snapshot *snapshot)
{
    struct awaits awaits = {.profile = profile, .suspended = snapshot->suspended};
    if (!snapshot->suspended)
        return true;
    bool done = prepare(&awaits, snapshot) && count_tasks(&awaits);
    awaits_deinit(&awaits);
    return done;
}
