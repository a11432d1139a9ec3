// SPDX-License-Identifier: GPL-3.0-or-later
// See snapshot/suspended.h.
#include "snapshot/suspended.h"

#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"

struct snap_stack_index {
    struct hash_index by_frames;
};

const char *snap_await_name(enum snap_await_kind kind)
{
    static const char *const names[SNAP_AWAIT_COUNT] = {
        [SNAP_AWAIT_NONE] = "none",
        [SNAP_AWAIT_TASK] = "task",
        [SNAP_AWAIT_SEVERAL] = "several",
        [SNAP_AWAIT_FUTURE] = "future",
        [SNAP_AWAIT_SLEEP] = "sleep",
        [SNAP_AWAIT_LOCK] = "lock",
        [SNAP_AWAIT_EVENT] = "event",
        [SNAP_AWAIT_CONDITION] = "condition",
        [SNAP_AWAIT_SEMAPHORE] = "semaphore",
        [SNAP_AWAIT_BARRIER] = "barrier",
        [SNAP_AWAIT_QUEUE_GET] = "queue-get",
        [SNAP_AWAIT_QUEUE_PUT] = "queue-put",
        [SNAP_AWAIT_QUEUE_JOIN] = "queue-join",
        [SNAP_AWAIT_READ] = "read",
        [SNAP_AWAIT_WRITE] = "write",
        [SNAP_AWAIT_CONNECT] = "connect",
        [SNAP_AWAIT_ACCEPT] = "accept",
        [SNAP_AWAIT_EXECUTOR] = "executor",
        [SNAP_AWAIT_CHILD] = "child",
        [SNAP_AWAIT_YIELD] = "yield",
        [SNAP_AWAIT_OTHER] = "other",
    };
    return names[kind];
}

const char *snap_task_state_name(enum snap_task_state state)
{
    static const char *const names[SNAP_TASK_STATE_COUNT] = {
        [SNAP_TASK_UNKNOWN] = "unknown", [SNAP_TASK_CREATED] = "created",
        [SNAP_TASK_RUNNING] = "running", [SNAP_TASK_READY] = "ready",
        [SNAP_TASK_WAITING] = "waiting", [SNAP_TASK_FINISHED] = "finished",
    };
    return names[state];
}

const char *snap_greenlet_state_name(enum snap_greenlet_state state)
{
    static const char *const names[SNAP_GREENLET_STATE_COUNT] = {
        [SNAP_GREENLET_UNKNOWN] = "unknown",
        [SNAP_GREENLET_CREATED] = "created",
        [SNAP_GREENLET_RUNNING] = "running",
        [SNAP_GREENLET_SUSPENDED] = "suspended",
    };
    return names[state];
}

const char *snap_generator_kind_name(enum snap_generator_kind kind)
{
    static const char *const names[] = {
        [SNAP_GENERATOR] = "generator",
        [SNAP_COROUTINE] = "coroutine",
        [SNAP_ASYNC_GENERATOR] = "async-generator",
    };
    return names[kind];
}

struct snap_suspended *snap_suspended_create(void)
{
    struct snap_suspended *suspended = calloc(1, sizeof(*suspended));
    struct snap_stack_index *index = calloc(1, sizeof(*index));
    if (!suspended || !index) {
        free(suspended);
        free(index);
        return NULL;
    }
    suspended->index = index;
    return suspended;
}

void snap_suspended_destroy(struct snap_suspended *suspended)
{
    if (!suspended)
        return;
    vec_foreach (stack, &suspended->stacks)
        vec_deinit(stack);
    vec_deinit(&suspended->stacks);
    hash_index_deinit(&suspended->index->by_frames);
    free(suspended->index);
    vec_deinit(&suspended->loops);
    vec_foreach (task, &suspended->tasks) {
        vec_deinit(&task->await.tasks);
        vec_deinit(&task->awaited_by);
    }
    vec_deinit(&suspended->tasks);
    vec_foreach (greenlet, &suspended->greenlets)
        vec_deinit(&greenlet->await.tasks);
    vec_deinit(&suspended->greenlets);
    vec_deinit(&suspended->generators);
    free(suspended);
}

void snap_turn_destroy(struct snap_turn *turn)
{
    if (!turn)
        return;
    vec_deinit(&turn->awaiting);
    free(turn);
}

// ---- Stacks -------------------------------------------------------------------------------------

static uint64_t hash_frame(uint64_t hash, const struct snap_frame *frame)
{
    hash = hash_u64(hash, (uint64_t)frame->kind << 8 | frame->flags);
    hash = hash_u64(hash, (uint64_t)frame->function << 32 | frame->qualname);
    hash = hash_u64(hash, (uint64_t)frame->file << 32 | frame->module);
    hash = hash_u64(hash, (uint64_t)(uint32_t)frame->line << 32 | (uint32_t)frame->column);
    return hash_u64(hash, (uint64_t)(uint32_t)frame->first_line);
}

static bool same_frame(const struct snap_frame *a, const struct snap_frame *b)
{
    return a->kind == b->kind && a->flags == b->flags && a->function == b->function &&
           a->qualname == b->qualname && a->file == b->file && a->module == b->module &&
           a->line == b->line && a->column == b->column && a->first_line == b->first_line;
}

static bool same_frames(const struct snap_frames *stack, const struct snap_frame *frames,
                        size_t count)
{
    if (stack->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!same_frame(&stack->items[i], &frames[i]))
            return false;
    return true;
}

bool snap_suspended_stack(struct snap_suspended *suspended, const struct snap_frame *frames,
                          size_t count, uint32_t *ret)
{
    struct hash_index *index = &suspended->index->by_frames;
    struct snap_frames stack = {0};
    uint64_t hash = hash_u64(HASH_SEED, count);
    for (size_t i = 0; i < count; i++)
        hash = hash_frame(hash, &frames[i]);
    struct hash_probe probe = hash_probe(index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;) {
        if (same_frames(&suspended->stacks.items[id], frames, count)) {
            *ret = id;
            return true;
        }
    }
    if (suspended->stacks.count >= SNAP_NO_INDEX || !vec_reserve(&stack, count) ||
        !hash_index_reserve(index, 1) || !vec_push(&suspended->stacks, stack)) {
        vec_deinit(&stack);
        return false;
    }
    struct snap_frames *kept = &suspended->stacks.items[suspended->stacks.count - 1];
    for (size_t i = 0; i < count; i++) {
        struct snap_frame frame = frames[i];
        frame.address = SNAP_NO_ADDRESS;
        frame.offset = frame.activation = 0;
        kept->items[kept->count++] = frame;
    }
    *ret = (uint32_t)(suspended->stacks.count - 1);
    hash_index_add(index, hash, *ret);
    return true;
}

static bool without_natives(const struct snap_frames *frames, struct snap_frames *ret)
{
    vec_clear(ret);
    vec_foreach (frame, frames)
        if (frame->kind != SNAP_NATIVE && !vec_push(ret, *frame))
            return false;
    return true;
}

bool snap_suspended_places(const struct snap_suspended *suspended, uint32_t *ret)
{
    struct snap_suspended *places = snap_suspended_create();
    struct snap_frames frames = {0};
    VEC(uint32_t) firsts = {0}; // of each place
    bool ok = places != NULL;
    for (uint32_t i = 0; ok && i < suspended->stacks.count; i++) {
        const struct snap_frames *whole = &suspended->stacks.items[i];
        uint32_t place;
        ok = without_natives(whole, &frames);
        // Where there is nothing else they are what tells.
        const struct snap_frames *kept = frames.count ? &frames : whole;
        ok = ok && snap_suspended_stack(places, kept->items, kept->count, &place) &&
             (place < firsts.count || vec_push(&firsts, i));
        if (ok)
            ret[i] = firsts.items[place];
    }
    vec_deinit(&firsts);
    vec_deinit(&frames);
    snap_suspended_destroy(places);
    return ok;
}

// ---- Who awaits whom ----------------------------------------------------------------------------

bool snap_suspended_link(struct snap_suspended *suspended)
{
    vec_foreach (task, &suspended->tasks)
        vec_clear(&task->awaited_by);
    for (uint32_t i = 0; i < suspended->tasks.count; i++) {
        const struct snap_await *await = &suspended->tasks.items[i].await;
        vec_foreach (of, &await->tasks)
            if (*of < suspended->tasks.count &&
                !vec_push(&suspended->tasks.items[*of].awaited_by, i))
                return false;
    }
    return true;
}
