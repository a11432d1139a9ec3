// SPDX-License-Identifier: GPL-3.0-or-later
// The call tree over all threads and the distinct stacks of each thread, both bounded. Never by
// recursion: stacks of 100,000 frames are real.
#include "profile/profile_private.h"

static uint64_t hash_child(uint32_t parent, uint32_t function)
{
    return hash_u64(HASH_SEED, (uint64_t)parent << 32 | function);
}

static uint32_t find_child(const struct profile *profile, uint32_t parent, uint32_t function)
{
    struct hash_probe probe = hash_probe(&profile->node_index, hash_child(parent, function));
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (profile->nodes.items[id].parent == parent &&
            profile->nodes.items[id].function == function)
            return id;
    return HASH_NONE;
}

// The node of the innermost function, made with all above it; HASH_NONE, and nothing is made, when
// that would be too many.
static bool find_leaf(struct profile *profile, uint32_t *ret_leaf)
{
    uint32_t node = 0, child;
    size_t left = profile->path.count;
    while (left && (child = find_child(profile, node, prof_path_function(profile, left - 1))) !=
                       HASH_NONE) {
        node = child;
        left--;
    }
    *ret_leaf = HASH_NONE;
    if (profile->nodes.count + left > PROF_NODES_MAX)
        return true;
    if (!hash_index_reserve(&profile->node_index, left) ||
        !vec_reserve(&profile->nodes, profile->nodes.count + left))
        return false;
    for (; left; left--) {
        uint32_t function = prof_path_function(profile, left - 1);
        child = (uint32_t)profile->nodes.count++;
        profile->nodes.items[child] = (struct prof_node){.function = function, .parent = node};
        hash_index_add(&profile->node_index, hash_child(node, function), child);
        node = child;
    }
    *ret_leaf = node;
    return true;
}

static void count_nodes(struct profile *profile, const struct prof_sample *sample, uint32_t leaf)
{
    struct prof_node *node = &profile->nodes.items[leaf];
    node->self++;
    node->self_working += sample->works;
    node->self_cpu_ns += sample->cpu_ns;
    for (uint32_t i = leaf;; i = node->parent) {
        node = &profile->nodes.items[i];
        node->samples++;
        node->samples_working += sample->works;
        node->cpu_ns += sample->cpu_ns;
        if (i == 0)
            return;
    }
}

static bool holds_gil(const struct snap_thread *thread)
{
    return thread->has_holds_gil && thread->holds_gil;
}

static bool same_frames(const struct profile *profile, size_t first, const uint32_t *frames,
                        size_t count)
{
    return !count ||
           memcmp(profile->stack_frames.items + first, frames, count * sizeof(*frames)) == 0;
}

static bool same_stack(const struct profile *profile, const struct prof_stack_entry *entry,
                       const struct prof_sample *sample, uint64_t hash)
{
    const struct snap_thread *thread = sample->thread;
    const struct prof_stack *s = &entry->s;
    return entry->hash == hash && s->pid == thread->pid && s->tid == thread->tid &&
           s->state == thread->state && s->holds_gil == holds_gil(thread) &&
           s->task == sample->task_id && s->task_frames == sample->task_frames &&
           s->frame_count == profile->path.count && s->awaiting_count == profile->awaiting.count &&
           same_frames(profile, entry->first, profile->path.items, s->frame_count) &&
           same_frames(profile, entry->first + s->frame_count, profile->awaiting.items,
                       s->awaiting_count);
}

static uint64_t hash_stack(const struct profile *profile, const struct prof_sample *sample)
{
    const struct snap_thread *thread = sample->thread;
    uint64_t hash =
        hash_u64(HASH_SEED, (uint64_t)(uint32_t)thread->pid << 32 | (uint32_t)thread->tid);
    hash = hash_u64(hash, 2 * (uint64_t)thread->state + holds_gil(thread));
    hash = hash_u64(hash, (uint64_t)sample->task_id << 32 | (uint32_t)sample->task_frames);
    vec_foreach (frame, &profile->path)
        hash = hash_u64(hash, *frame);
    vec_foreach (frame, &profile->awaiting)
        hash = hash_u64(hash, *frame);
    return hash;
}

static void push_frames(struct profile *profile, const uint32_t *frames, size_t count)
{
    if (count)
        memcpy(profile->stack_frames.items + profile->stack_frames.count, frames,
               count * sizeof(*frames));
    profile->stack_frames.count += count;
}

// HASH_NONE: beyond the bounds.
static bool stack_of(struct profile *profile, const struct prof_sample *sample, uint32_t *ret_stack)
{
    const struct snap_thread *thread = sample->thread;
    uint64_t hash = hash_stack(profile, sample);
    struct hash_probe probe = hash_probe(&profile->stack_index, hash);
    while ((*ret_stack = hash_probe_next(&probe)) != HASH_NONE)
        if (same_stack(profile, &profile->stacks.items[*ret_stack], sample, hash))
            return true;
    size_t first = profile->stack_frames.count;
    size_t end = first + profile->path.count + profile->awaiting.count;
    if (profile->stacks.count >= PROF_STACKS_MAX || end > PROF_STACK_FRAMES_MAX)
        return true;
    struct prof_stack_entry entry = {
        .s = {.pid = thread->pid,
              .tid = thread->tid,
              .state = thread->state,
              .holds_gil = holds_gil(thread),
              .frame_count = profile->path.count,
              .task = sample->task_id,
              .task_frames = sample->task_frames,
              .awaiting_count = profile->awaiting.count},
        .first = first,
        .hash = hash,
    };
    if (!hash_index_reserve(&profile->stack_index, 1) ||
        !vec_reserve(&profile->stack_frames, end) || !vec_push(&profile->stacks, entry))
        return false;
    push_frames(profile, profile->path.items, profile->path.count);
    push_frames(profile, profile->awaiting.items, profile->awaiting.count);
    *ret_stack = (uint32_t)profile->stacks.count - 1;
    hash_index_add(&profile->stack_index, hash, *ret_stack);
    return true;
}

bool prof_begin_moment(struct profile *profile, uint64_t at_ns)
{
    if (profile->sum.dropped_moments || profile->moment_stacks.count >= PROF_MOMENT_STACKS_MAX) {
        profile->sum.dropped_moments++;
        return true;
    }
    return vec_push(&profile->moments,
                    (struct prof_moment){at_ns, profile->moment_stacks.count, 0});
}

static bool count_moment(struct profile *profile, uint32_t stack)
{
    if (profile->sum.dropped_moments || !profile->moments.count)
        return true;
    profile->moments.items[profile->moments.count - 1].count++;
    return vec_push(&profile->moment_stacks, stack);
}

bool prof_count_stack(struct profile *profile, const struct prof_sample *sample)
{
    uint32_t leaf, stack;
    if (!find_leaf(profile, &leaf) || !stack_of(profile, sample, &stack))
        return false;
    if (leaf != HASH_NONE)
        count_nodes(profile, sample, leaf);
    if (stack != HASH_NONE) {
        struct prof_stack *counts = &profile->stacks.items[stack].s;
        counts->samples++;
        counts->cpu_ns += sample->cpu_ns;
        if (!count_moment(profile, stack))
            return false;
    }
    profile->sum.dropped_tree += leaf == HASH_NONE;
    profile->sum.dropped_stacks += leaf == HASH_NONE || stack == HASH_NONE;
    return true;
}
