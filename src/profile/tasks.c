// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks of the run, by kind: samples of a thread whose event loop runs a task are that task's.
//
// A kind is the coroutine, the name without a last number (Task-17 is a counter), and the same of the
// root, the outermost task that waits for it: what a request handler costs is not told by 10,000
// rows, but for whom fetch() was run is worth two.
#include <stdio.h>

#include "profile/profile_private.h"

struct key { // of a kind
    pid_t pid;
    uint32_t coroutine, root_coroutine;
    struct prof_stem stem, root_stem;
};

static struct prof_stem stem_of(const struct profile *profile, uint32_t name)
{
    const char *text = strtab_get(profile->strings, name);
    size_t size = text ? strtab_size(profile->strings, name) : 0;
    while (size && text[size - 1] >= '0' && text[size - 1] <= '9')
        size--;
    return (struct prof_stem){name, size};
}

static uint64_t hash_stem(const struct profile *profile, uint64_t hash, struct prof_stem stem)
{
    return stem.name ? hash_bytes(hash, strtab_get(profile->strings, stem.name), stem.size)
                     : hash_u64(hash, 1);
}

static bool same_stem(const struct profile *profile, struct prof_stem a, struct prof_stem b)
{
    if (a.name == b.name || !a.name || !b.name)
        return a.name == b.name;
    return a.size == b.size && memcmp(strtab_get(profile->strings, a.name),
                                      strtab_get(profile->strings, b.name), a.size) == 0;
}

// The coroutine of a task is the outermost of its frames.
static uint32_t outermost_name(const struct snap_frames *frames)
{
    const struct snap_frame *last = &frames->items[frames->count - 1];
    return last->qualname ? last->qualname : last->function;
}

static struct key key_of(const struct profile *profile, pid_t pid, const struct snap_turn *turn)
{
    bool is_root = !turn->awaiting.count;
    if (!turn->task) // it ended before more could be read of it than is on the stack
        return (struct key){.pid = pid, .coroutine = turn->coroutine};
    return (struct key){
        .pid = pid,
        .coroutine = turn->coroutine,
        .root_coroutine = is_root ? turn->coroutine : outermost_name(&turn->awaiting),
        .stem = stem_of(profile, turn->name),
        .root_stem = stem_of(profile, is_root ? turn->name : turn->root),
    };
}

static uint64_t hash_key(const struct profile *profile, const struct key *key)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint32_t)key->pid);
    hash = hash_u64(hash, (uint64_t)key->coroutine << 32 | key->root_coroutine);
    return hash_stem(profile, hash_stem(profile, hash, key->stem), key->root_stem);
}

static bool is_of(const struct profile *profile, const struct prof_task_entry *entry,
                  const struct key *key)
{
    return entry->t.pid == key->pid && entry->t.coroutine == key->coroutine &&
           entry->t.root_coroutine == key->root_coroutine &&
           same_stem(profile, entry->stem, key->stem) &&
           same_stem(profile, entry->root_stem, key->root_stem);
}

// A second name makes "Task-*" of the first one. Without memory for it the first one stands.
static void learn_name(const struct profile *profile, uint32_t *name, struct prof_stem stem,
                       struct prof_stem seen)
{
    char text[256];
    if (*name != stem.name || seen.name == stem.name)
        return;
    int shown = stem.size < sizeof(text) - 2 ? (int)stem.size : (int)sizeof(text) - 2;
    int size =
        snprintf(text, sizeof(text), "%.*s*", shown, strtab_get(profile->strings, stem.name));
    uint32_t id = size > 0 ? strtab_add(profile->strings, text, (size_t)size) : 0;
    *name = id ? id : *name;
}

static bool add_task(struct profile *profile, const struct key *key, uint32_t *ret_task)
{
    struct prof_task_entry entry = {
        .t = {.pid = key->pid,
              .name = key->stem.name,
              .coroutine = key->coroutine,
              .root_name = key->root_stem.name,
              .root_coroutine = key->root_coroutine},
        .stem = key->stem,
        .root_stem = key->root_stem,
    };
    if (!vec_push(&profile->tasks, entry))
        return false;
    *ret_task = (uint32_t)profile->tasks.count - 1;
    return true;
}

static bool find_or_add(struct profile *profile, const struct key *key, uint32_t *ret_task)
{
    uint64_t hash = hash_key(profile, key);
    struct hash_probe probe = hash_probe(&profile->task_index, hash);
    while ((*ret_task = hash_probe_next(&probe)) != HASH_NONE)
        if (is_of(profile, &profile->tasks.items[*ret_task], key))
            return true;
    if (profile->task_index.count < PROF_TASKS_MAX) {
        if (!hash_index_reserve(&profile->task_index, 1) || !add_task(profile, key, ret_task))
            return false;
        hash_index_add(&profile->task_index, hash, *ret_task);
        return true;
    }
    const struct key none = {0};
    if (profile->spare_task == HASH_NONE && !add_task(profile, &none, &profile->spare_task))
        return false;
    *ret_task = profile->spare_task;
    return true;
}

bool prof_task(struct profile *profile, const struct snap_thread *thread, uint32_t *ret_task)
{
    const struct snap_turn *turn = thread->turn;
    *ret_task = HASH_NONE;
    if (!turn)
        return true;
    struct key key = key_of(profile, thread->pid, turn);
    if (!find_or_add(profile, &key, ret_task))
        return false;
    if (*ret_task == profile->spare_task)
        return true;
    struct prof_task_entry *entry = &profile->tasks.items[*ret_task];
    learn_name(profile, &entry->t.name, entry->stem, key.stem);
    learn_name(profile, &entry->t.root_name, entry->root_stem, key.root_stem);
    return true;
}

// An object's address is used again after its death; a name counts on.
static uint64_t hash_object(const struct snap_thread *thread)
{
    uint64_t hash = hash_u64(hash_u64(HASH_SEED, (uint32_t)thread->pid), thread->turn->task);
    return hash_u64(hash, (uint64_t)thread->turn->name << 32 | thread->turn->coroutine);
}

bool prof_count_task(struct profile *profile, const struct prof_sample *sample)
{
    if (sample->task_id == HASH_NONE)
        return true;
    struct prof_task_entry *entry = &profile->tasks.items[sample->task_id];
    bool met = !sample->thread->turn->task;
    if (!met && !prof_meet(&profile->tasks_met, hash_object(sample->thread), &met))
        return false;
    entry->t.tasks += !met;
    entry->t.samples++;
    entry->t.samples_working += sample->works;
    entry->t.states[sample->thread->state]++;
    entry->t.cpu_ns += sample->cpu_ns;
    return !sample->works || prof_series_count(profile, &entry->working);
}
