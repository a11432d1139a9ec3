// SPDX-License-Identifier: GPL-3.0-or-later
// See report/view.h.
#include "report/view_making.h"

#include <stdlib.h>
#include <string.h>

// ---- Stacks --------------------------------------------------------------------------------------

static uint64_t hash_thread(uint64_t seed, pid_t pid, pid_t tid)
{
    return hash_u64(seed, (uint64_t)(uint32_t)pid << 32 | (uint32_t)tid);
}

static uint32_t thread_of(const struct view_making *making, pid_t pid, pid_t tid)
{
    const struct prof_thread *threads = making->profile->threads;
    struct hash_probe probe = hash_probe(&making->thread_index, hash_thread(HASH_SEED, pid, tid));
    uint32_t id;
    while ((id = hash_probe_next(&probe)) != HASH_NONE)
        if (threads[id].pid == pid && threads[id].tid == tid)
            break;
    return id;
}

static bool index_threads(struct view_making *making)
{
    const struct prof_report *profile = making->profile;
    if (!hash_index_reserve(&making->thread_index, profile->thread_count))
        return false;
    for (size_t i = 0; i < profile->thread_count; i++) {
        const struct prof_thread *thread = &profile->threads[i];
        hash_index_add(&making->thread_index, hash_thread(HASH_SEED, thread->pid, thread->tid),
                       (uint32_t)i);
    }
    return true;
}

// A stack of the profile, or an await site, as the options want it: frames of the profile, innermost
// first, then those of the tasks that wait for it.
struct shown {
    struct view_stack key; // without weight: what tells stacks apart
    const uint32_t *frames, *awaiting;
    size_t count, awaiting_count;
};

static struct shown show_stack(const struct view_making *making, const struct prof_stack *stack)
{
    bool has_task = stack->task < making->profile->task_count;
    struct shown shown = {.key = {.thread = thread_of(making, stack->pid, stack->tid),
                                  .pid = stack->pid,
                                  .tid = stack->tid,
                                  .state = stack->state,
                                  .task = has_task ? stack->task : UINT32_MAX,
                                  .site = UINT32_MAX},
                          .frames = stack->frames,
                          .count = stack->frame_count};
    if (!making->options->async_stacks || !has_task || !stack->task_frames)
        return shown;
    shown.count = stack->task_frames;
    shown.awaiting = stack->frames + stack->frame_count;
    shown.awaiting_count = stack->awaiting_count;
    return shown;
}

static struct shown show_site(const struct view_making *making, uint32_t index)
{
    const struct prof_await_site *site = &making->profile->await_sites[index];
    return (struct shown){.key = {.thread = thread_of(making, site->pid, site->tid),
                                  .pid = site->pid,
                                  .tid = site->tid,
                                  .state = SNAP_UNKNOWN,
                                  .task = UINT32_MAX,
                                  .site = index},
                          .frames = site->frames,
                          .count = site->frame_count};
}

static void add_frames(struct view_making *making, const uint32_t *frames, size_t count,
                       size_t most)
{
    struct frame_ids *path = &making->path;
    for (size_t i = count; i-- > 0 && path->count < most;) {
        uint32_t frame = view_frame_of(making, frames[i]);
        if (frame != VIEW_HIDDEN)
            path->items[path->count++] = frame;
    }
}

// Fills making->path, outermost first.
static bool make_path(struct view_making *making, const struct shown *shown)
{
    const struct report_options *options = making->options;
    struct frame_ids *path = &making->path;
    vec_clear(path);
    if (!vec_reserve(path, shown->count + shown->awaiting_count + 2))
        return false;
    if (options->threads && snap_process_count(making->input->source) > 1) {
        uint32_t root = view_process_root(making, shown->key.pid);
        if (root != VIEW_HIDDEN)
            path->items[path->count++] = root;
    }
    if (options->threads && shown->key.thread != UINT32_MAX)
        path->items[path->count++] = view_thread_root(making, shown->key.thread);
    size_t most = options->max_depth ? path->count + options->max_depth : SIZE_MAX;
    add_frames(making, shown->awaiting, shown->awaiting_count, most);
    add_frames(making, shown->frames, shown->count, most);
    return !making->failed;
}

static bool is_of_site(const struct view_stack *stack)
{
    return stack->site != UINT32_MAX;
}

static bool looks_same(const struct view_making *making, const struct view_stack *have,
                       size_t first, const struct view_stack *stack)
{
    const struct frame_ids *path = &making->path;
    return have->count == path->count &&
           (!(making->split & VIEW_BY_THREAD) ||
            (have->thread == stack->thread && have->pid == stack->pid &&
             have->tid == stack->tid)) &&
           (!(making->split & VIEW_BY_STATE) || have->state == stack->state) &&
           (!making->split || is_of_site(have) == is_of_site(stack)) &&
           (!(making->split & VIEW_BY_TASK) || have->task == stack->task) &&
           (!path->count || memcmp(making->storage.items + first, path->items,
                                   path->count * sizeof(*path->items)) == 0);
}

static uint64_t hash_path(const struct view_making *making, const struct view_stack *stack)
{
    uint64_t hash = HASH_SEED;
    if (making->split & VIEW_BY_THREAD)
        hash = hash_thread(hash, stack->pid, stack->tid);
    if (making->split & VIEW_BY_STATE)
        hash = hash_u64(hash, stack->state);
    if (making->split & VIEW_BY_TASK)
        hash = hash_u64(hash, stack->task);
    vec_foreach (frame, &making->path)
        hash = hash_u64(hash, *frame);
    return hash;
}

// The stack that looks like this one; new ones begin empty. Until all are made, `frames` is not set:
// the storage may move, so a stack's first frame is kept in `firsts`.
static struct view_stack *stack_like(struct view_making *making, struct view_stack stack,
                                     struct frame_ids *firsts)
{
    uint64_t hash = hash_path(making, &stack);
    struct hash_probe probe = hash_probe(&making->stack_index, hash);
    for (uint32_t index; (index = hash_probe_next(&probe)) != HASH_NONE;) {
        if (looks_same(making, &making->stacks.items[index], firsts->items[index], &stack))
            return &making->stacks.items[index];
    }
    stack.count = making->path.count;
    size_t first = making->storage.count;
    if (!vec_push(firsts, (uint32_t)first) || !vec_push(&making->stacks, stack) ||
        !vec_reserve(&making->storage, first + stack.count))
        return NULL;
    if (stack.count)
        memcpy(making->storage.items + first, making->path.items,
               stack.count * sizeof(*making->path.items));
    making->storage.count += stack.count;
    hash_index_add(&making->stack_index, hash, (uint32_t)making->stacks.count - 1);
    return &making->stacks.items[making->stacks.count - 1];
}

static struct view_stack *add_shown(struct view_making *making, const struct shown *shown,
                                    struct frame_ids *firsts, uint64_t weight, uint64_t samples)
{
    struct view_stack *stack =
        make_path(making, shown) ? stack_like(making, shown->key, firsts) : NULL;
    if (!stack)
        return NULL;
    stack->weight += weight;
    stack->samples += samples;
    making->view->weight += weight;
    making->view->samples += samples;
    return stack;
}

static bool add_stacks(struct view_making *making, struct frame_ids *firsts)
{
    struct view *view = making->view;
    for (size_t i = 0; i < making->profile->stack_count; i++) {
        const struct prof_stack *from = &making->profile->stacks[i];
        uint64_t weight = weigh_stack(&view->weigh, from);
        view->stack_of[i] = UINT32_MAX;
        if (!weight)
            continue;
        struct shown shown = show_stack(making, from);
        struct view_stack *stack = add_shown(making, &shown, firsts, weight, from->samples);
        if (!stack)
            return false;
        view->stack_of[i] = (uint32_t)(stack - making->stacks.items);
        stack->cpu_ns += from->cpu_ns;
        stack->gil_samples += from->holds_gil ? from->samples : 0;
        view->cpu_ns += from->cpu_ns;
    }
    return true;
}

// What waits without a thread.
static bool add_sites(struct view_making *making, struct frame_ids *firsts)
{
    const struct prof_report *profile = making->profile;
    for (size_t i = 0; making->options->async_stacks && i < profile->await_site_count; i++) {
        uint64_t samples = profile->await_sites[i].samples;
        uint64_t weight = weigh_await(&making->view->weigh, &profile->await_sites[i]);
        struct shown shown = show_site(making, (uint32_t)i);
        if (weight && !add_shown(making, &shown, firsts, weight, samples))
            return false;
    }
    return true;
}

static int by_weight(const void *left, const void *right)
{
    const struct view_stack *a = left, *b = right;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

// Heaviest first; `stack_of` follows.
static bool sort_stacks(struct view_making *making)
{
    size_t count = making->stacks.count;
    AUTO_FREE uint32_t *place = calloc(count + 1, sizeof(*place));
    if (!place)
        return false;
    for (size_t i = 0; i < count; i++)
        making->stacks.items[i].order = (uint32_t)i;
    if (count)
        qsort(making->stacks.items, count, sizeof(*making->stacks.items), by_weight);
    for (size_t i = 0; i < count; i++)
        place[making->stacks.items[i].order] = (uint32_t)i;
    for (size_t i = 0; i < making->profile->stack_count; i++)
        if (making->view->stack_of[i] != UINT32_MAX)
            making->view->stack_of[i] = place[making->view->stack_of[i]];
    return true;
}

static bool make(struct view_making *making)
{
    const struct prof_report *profile = making->profile;
    size_t processes = snap_process_count(making->input->source);
    struct frame_ids firsts = {0};
    making->of_frame = calloc(profile->frame_count + 1, sizeof(uint32_t));
    making->of_thread = calloc(profile->thread_count + 1, sizeof(uint32_t));
    making->view->stack_of = calloc(profile->stack_count + 1, sizeof(uint32_t));
    if (!making->view->stack_of || !making->of_frame || !making->of_thread ||
        !vec_reserve(&making->processes, processes) ||
        !hash_index_reserve(&making->frame_index, profile->frame_count) ||
        !hash_index_reserve(&making->stack_index,
                            profile->stack_count + profile->await_site_count) ||
        !index_threads(making) || !names_init(&making->names, making->input, making->options))
        return false;
    for (size_t i = 0; i < profile->frame_count; i++)
        making->of_frame[i] = VIEW_NOT_MADE;
    for (size_t i = 0; i < profile->thread_count; i++)
        making->of_thread[i] = VIEW_NOT_MADE;
    for (size_t i = 0; i < processes; i++)
        making->processes.items[i] = VIEW_NOT_MADE;
    bool done = add_stacks(making, &firsts) && add_sites(making, &firsts) && !making->failed;
    for (size_t i = 0; done && i < making->stacks.count; i++)
        making->stacks.items[i].frames =
            making->storage.items ? making->storage.items + firsts.items[i] : NULL;
    vec_deinit(&firsts);
    return done && sort_stacks(making);
}

struct err *view_create(const struct report_input *input, const struct report_options *options,
                        unsigned split, struct view **ret)
{
    struct view_making making = {.input = input,
                                 .options = options,
                                 .profile = input->profile,
                                 .split = split,
                                 .view = calloc(1, sizeof(struct view))};
    if (!making.view)
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    struct view *view = making.view;
    view->profile = input->profile;
    weigh_init(&view->weigh, input->profile, options->weight);
    if (options->async_stacks)
        weigh_add_awaits(&view->weigh, input->profile);
    bool done = make(&making);
    view->frames = making.frames.items;
    view->frame_count = making.frames.count;
    view->stacks = making.stacks.items;
    view->stack_count = making.stacks.count;
    view->frame_storage = making.storage.items;
    view->texts = making.texts.items;
    view->text_count = making.texts.count;
    vec_deinit(&making.path);
    vec_deinit(&making.processes);
    free(making.of_frame);
    free(making.of_thread);
    hash_index_deinit(&making.frame_index);
    hash_index_deinit(&making.stack_index);
    hash_index_deinit(&making.thread_index);
    names_deinit(&making.names);
    if (!done) {
        view_destroy(view);
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    }
    *ret = view;
    return NULL;
}

void view_destroy(struct view *view)
{
    if (!view)
        return;
    for (size_t i = 0; i < view->text_count; i++)
        free(view->texts[i]);
    free(view->texts);
    free(view->frames);
    free(view->stacks);
    free(view->stack_of);
    free(view->frame_storage);
    free(view);
}

void view_label(struct plain *out, const struct view_frame *frame)
{
    const char *place =
        frame->kind == VIEW_NATIVE && frame->module[0] ? frame->module : frame->file;
    plain_str(out, frame->name);
    if (frame->kind == VIEW_BUILTIN || frame->no_symbol || !place[0])
        return;
    plain_add(out, " (%s", place);
    if (frame->line >= 0 && frame->kind == VIEW_PYTHON)
        plain_add(out, ":%d", (int)frame->line);
    plain_str(out, ")");
}

uint64_t view_dropped(const struct view *view)
{
    return view->profile->dropped_stacks + (view->weigh.awaits ? view->profile->dropped_awaits : 0);
}

void view_say_dropped(struct plain *out, const struct view *view)
{
    if (!view_dropped(view))
        return;
    plain_things(out, view_dropped(view), "sample");
    plain_str(out, " beyond the bound on distinct stacks are not in it");
}
