// SPDX-License-Identifier: GPL-3.0-or-later
// See report/view.h.
#include "report/view.h"

#include <stdlib.h>
#include <string.h>

#include "report/names.h"
#include "report/plain.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"
#include "util/vec.h"

#define HIDDEN UINT32_MAX
#define NOT_MADE (UINT32_MAX - 1)

VEC_DEFINE(view_frames, struct view_frame);
VEC_DEFINE(view_stacks, struct view_stack);
VEC_DEFINE(frame_ids, uint32_t);
VEC_DEFINE(texts, char *);

struct making {
    const struct report_input *input;
    const struct report_options *options;
    const struct prof_report *profile;
    unsigned split;
    struct view *view;
    struct view_frames frames;
    struct view_stacks stacks;
    struct frame_ids storage; // frames of all stacks, one after the other
    struct frame_ids path;    // of the stack being made
    struct texts texts;
    uint32_t *of_frame;         // by profile frame: its view frame, HIDDEN, NOT_MADE
    uint32_t *of_thread;        // by thread: its view frame
    struct frame_ids processes; // view frames
    struct names names;
    struct hash_index frame_index, stack_index, thread_index;
    bool failed;
};

// ---- Names ---------------------------------------------------------------------------------------

// Takes the text over; "" when memory is out.
static const char *keep(struct making *making, struct plain *text)
{
    char *bytes = text->failed ? NULL : text->bytes;
    if (bytes && vec_push(&making->texts, bytes)) {
        *text = (struct plain){0};
        return bytes;
    }
    making->failed |= text->failed || bytes;
    plain_deinit(text);
    *text = (struct plain){0};
    return "";
}

static const char *clean(struct making *making, uint32_t id)
{
    struct plain text = {0};
    if (id)
        plain_id(&text, making->input->strings, id, 0, PLAIN_KEEP_START);
    return keep(making, &text);
}

static const char *clean_path(struct making *making, uint32_t id)
{
    const char *path = strtab_get(making->input->strings, id);
    size_t size = path ? strtab_size(making->input->strings, id) : 0;
    size_t cut = path ? names_stripped(making->options, path, size) : 0;
    struct plain text = {0};
    if (path)
        plain_safe(&text, path + cut, size - cut);
    return keep(making, &text);
}

static const char *function_name(struct making *making, const struct prof_function *function)
{
    struct plain text = {0};
    names_function(&text, &making->names, function, 0);
    if (!text.size)
        plain_str(&text, "(no name)");
    return keep(making, &text);
}

// ---- Frames --------------------------------------------------------------------------------------

// A view frame that is the same as this one but for its texts, or a new one with them.
static uint32_t add_frame(struct making *making, struct view_frame frame,
                          const struct prof_function *function)
{
    uint64_t hash = hash_u64(hash_u64(HASH_SEED, frame.function), (uint32_t)frame.line);
    struct hash_probe probe = hash_probe(&making->frame_index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;) {
        struct view_frame *have = &making->frames.items[id];
        if (have->function == frame.function && have->line == frame.line) {
            have->inferred &= frame.inferred;
            if (have->address != frame.address)
                have->address = SNAP_NO_ADDRESS;
            return id;
        }
    }
    frame.name = function_name(making, function);
    frame.file = clean_path(making, function->file);
    frame.module = clean(making, function->module);
    if (!vec_push(&making->frames, frame)) {
        making->failed = true;
        return HIDDEN;
    }
    uint32_t id = (uint32_t)making->frames.count - 1;
    hash_index_add(&making->frame_index, hash, id);
    return id;
}

static uint32_t frame_of(struct making *making, uint32_t index)
{
    static const enum view_kind kinds[] = {
        [SNAP_PYTHON] = VIEW_PYTHON, [SNAP_BUILTIN] = VIEW_BUILTIN, [SNAP_NATIVE] = VIEW_NATIVE};
    if (making->of_frame[index] != NOT_MADE)
        return making->of_frame[index];
    const struct prof_report *profile = making->profile;
    const struct report_options *options = making->options;
    const struct snap_frame *from = &profile->frames[index];
    const struct prof_function *function = &profile->functions[profile->frame_function[index]];
    if (options->hide_boilerplate && names_is_boilerplate(making->input->strings, function->kind,
                                                          function->file, function->function))
        return making->of_frame[index] = HIDDEN;
    struct view_frame frame = {
        .kind = kinds[function->kind],
        .inferred = from->flags & SNAP_FRAME_INFERRED,
        .no_symbol = function->kind == SNAP_NATIVE && !function->function && !function->qualname,
        .function = profile->frame_function[index],
        .line = options->no_lines      ? -1
                : options->by_function ? function->line
                                       : from->line,
        .first_line = options->no_lines ? -1 : function->line,
        .address = function->kind == SNAP_NATIVE ? from->address : SNAP_NO_ADDRESS,
    };
    return making->of_frame[index] = add_frame(making, frame, function);
}

static uint32_t add_root(struct making *making, enum view_kind kind, struct plain *name)
{
    struct view_frame frame = {.kind = kind,
                               .function = UINT32_MAX,
                               .file = "",
                               .module = "",
                               .line = -1,
                               .first_line = -1,
                               .address = SNAP_NO_ADDRESS};
    frame.name = keep(making, name);
    if (vec_push(&making->frames, frame))
        return (uint32_t)making->frames.count - 1;
    making->failed = true;
    return HIDDEN;
}

static uint32_t thread_root(struct making *making, uint32_t index)
{
    if (making->of_thread[index] != NOT_MADE)
        return making->of_thread[index];
    const struct prof_thread *thread = &making->profile->threads[index];
    struct plain name = {0};
    plain_str(&name, "thread ");
    if (thread->name)
        plain_id(&name, making->input->strings, thread->name, 0, PLAIN_KEEP_START);
    else
        plain_str(&name, "?");
    if (thread->tid)
        plain_add(&name, " (%d)", (int)thread->tid);
    return making->of_thread[index] = add_root(making, VIEW_THREAD, &name);
}

static uint32_t process_root(struct making *making, pid_t pid)
{
    const struct snap_source *source = making->input->source;
    for (size_t i = 0; i < snap_process_count(source); i++) {
        const struct snap_process *process = snap_process_at(source, i);
        if (process->pid != pid)
            continue;
        if (making->processes.items[i] == NOT_MADE) {
            struct plain name = {0};
            plain_add(&name, "process %d", (int)pid);
            making->processes.items[i] = add_root(making, VIEW_PROCESS, &name);
        }
        return making->processes.items[i];
    }
    return HIDDEN;
}

// ---- Stacks --------------------------------------------------------------------------------------

static uint64_t hash_thread(uint64_t seed, pid_t pid, pid_t tid)
{
    return hash_u64(seed, (uint64_t)(uint32_t)pid << 32 | (uint32_t)tid);
}

static uint32_t thread_of(const struct making *making, const struct prof_stack *stack)
{
    const struct prof_thread *threads = making->profile->threads;
    struct hash_probe probe =
        hash_probe(&making->thread_index, hash_thread(HASH_SEED, stack->pid, stack->tid));
    uint32_t id;
    while ((id = hash_probe_next(&probe)) != HASH_NONE)
        if (threads[id].pid == stack->pid && threads[id].tid == stack->tid)
            break;
    return id;
}

static bool index_threads(struct making *making)
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

// Fills making->path, outermost first.
static bool make_path(struct making *making, const struct prof_stack *stack, uint32_t thread)
{
    const struct report_options *options = making->options;
    struct frame_ids *path = &making->path;
    vec_clear(path);
    if (!vec_reserve(path, stack->frame_count + 2))
        return false;
    if (options->threads && snap_process_count(making->input->source) > 1) {
        uint32_t root = process_root(making, stack->pid);
        if (root != HIDDEN)
            path->items[path->count++] = root;
    }
    if (options->threads && thread != UINT32_MAX)
        path->items[path->count++] = thread_root(making, thread);
    size_t roots = path->count;
    for (size_t i = stack->frame_count; i-- > 0;) {
        uint32_t frame = frame_of(making, stack->frames[i]);
        if (frame == HIDDEN)
            continue;
        if (options->max_depth && path->count - roots >= options->max_depth)
            break;
        path->items[path->count++] = frame;
    }
    return !making->failed;
}

static bool looks_same(const struct making *making, const struct view_stack *have, size_t first,
                       const struct view_stack *stack)
{
    const struct frame_ids *path = &making->path;
    return have->count == path->count &&
           (!(making->split & VIEW_BY_THREAD) ||
            (have->thread == stack->thread && have->pid == stack->pid &&
             have->tid == stack->tid)) &&
           (!(making->split & VIEW_BY_STATE) || have->state == stack->state) &&
           (!path->count || memcmp(making->storage.items + first, path->items,
                                   path->count * sizeof(*path->items)) == 0);
}

static uint64_t hash_path(const struct making *making, const struct view_stack *stack)
{
    uint64_t hash = HASH_SEED;
    if (making->split & VIEW_BY_THREAD)
        hash = hash_thread(hash, stack->pid, stack->tid);
    if (making->split & VIEW_BY_STATE)
        hash = hash_u64(hash, stack->state);
    vec_foreach (frame, &making->path)
        hash = hash_u64(hash, *frame);
    return hash;
}

// The stack that looks like this one; new ones begin empty. Until all are made, `frames` is not set:
// the storage may move, so a stack's first frame is kept in `firsts`.
static struct view_stack *stack_like(struct making *making, struct view_stack stack,
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

static bool add_stacks(struct making *making, struct frame_ids *firsts)
{
    struct view *view = making->view;
    for (size_t i = 0; i < making->profile->stack_count; i++) {
        const struct prof_stack *from = &making->profile->stacks[i];
        uint64_t weight = weigh_stack(&view->weigh, from);
        view->stack_of[i] = UINT32_MAX;
        if (!weight)
            continue;
        uint32_t thread = thread_of(making, from);
        struct view_stack key = {
            .thread = thread, .pid = from->pid, .tid = from->tid, .state = from->state};
        if (!make_path(making, from, thread))
            return false;
        struct view_stack *stack = stack_like(making, key, firsts);
        if (!stack)
            return false;
        view->stack_of[i] = (uint32_t)(stack - making->stacks.items);
        stack->weight += weight;
        stack->samples += from->samples;
        stack->cpu_ns += from->cpu_ns;
        stack->gil_samples += from->holds_gil ? from->samples : 0;
        view->weight += weight;
        view->samples += from->samples;
        view->cpu_ns += from->cpu_ns;
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
static bool sort_stacks(struct making *making)
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

static bool make(struct making *making)
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
        !hash_index_reserve(&making->stack_index, profile->stack_count) || !index_threads(making) ||
        !names_init(&making->names, making->input, making->options))
        return false;
    for (size_t i = 0; i < profile->frame_count; i++)
        making->of_frame[i] = NOT_MADE;
    for (size_t i = 0; i < profile->thread_count; i++)
        making->of_thread[i] = NOT_MADE;
    for (size_t i = 0; i < processes; i++)
        making->processes.items[i] = NOT_MADE;
    bool done = add_stacks(making, &firsts) && !making->failed;
    for (size_t i = 0; done && i < making->stacks.count; i++)
        making->stacks.items[i].frames =
            making->storage.items ? making->storage.items + firsts.items[i] : NULL;
    vec_deinit(&firsts);
    return done && sort_stacks(making);
}

struct err *view_create(const struct report_input *input, const struct report_options *options,
                        unsigned split, struct view **ret)
{
    struct making making = {.input = input,
                            .options = options,
                            .profile = input->profile,
                            .split = split,
                            .view = calloc(1, sizeof(struct view))};
    if (!making.view)
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    struct view *view = making.view;
    view->profile = input->profile;
    weigh_init(&view->weigh, input->profile, options->weight);
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

void view_say_dropped(struct plain *out, const struct view *view)
{
    if (!view->profile->dropped_stacks)
        return;
    plain_things(out, view->profile->dropped_stacks, "sample");
    plain_str(out, " beyond the bound on distinct stacks are not in it");
}
