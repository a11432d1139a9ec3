// SPDX-License-Identifier: GPL-3.0-or-later
// The frames of a view: names and paths clean and as the options want them, each of them once.
#include "report/view_making.h"

// ---- Names ---------------------------------------------------------------------------------------

// Takes the text over; "" when memory is out.
static const char *keep(struct view_making *making, struct plain *text)
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

static const char *clean(struct view_making *making, uint32_t id)
{
    struct plain text = {0};
    if (id)
        plain_id(&text, making->input->strings, id, 0, PLAIN_KEEP_START);
    return keep(making, &text);
}

static const char *clean_path(struct view_making *making, uint32_t id)
{
    const char *path = strtab_get(making->input->strings, id);
    size_t size = path ? strtab_size(making->input->strings, id) : 0;
    size_t cut = path ? names_stripped(making->options, path, size) : 0;
    struct plain text = {0};
    if (path)
        plain_safe(&text, path + cut, size - cut);
    return keep(making, &text);
}

static const char *function_name(struct view_making *making, const struct prof_function *function)
{
    struct plain text = {0};
    names_function(&text, &making->names, function, 0);
    if (!text.size)
        plain_str(&text, "(no name)");
    return keep(making, &text);
}

// ---- Frames --------------------------------------------------------------------------------------

// A view frame that is the same as this one but for its texts, or a new one with them.
static uint32_t add_frame(struct view_making *making, struct view_frame frame,
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
        return VIEW_HIDDEN;
    }
    uint32_t id = (uint32_t)making->frames.count - 1;
    hash_index_add(&making->frame_index, hash, id);
    return id;
}

uint32_t view_frame_of(struct view_making *making, uint32_t index)
{
    static const enum view_kind kinds[] = {
        [SNAP_PYTHON] = VIEW_PYTHON, [SNAP_BUILTIN] = VIEW_BUILTIN, [SNAP_NATIVE] = VIEW_NATIVE};
    if (making->of_frame[index] != VIEW_NOT_MADE)
        return making->of_frame[index];
    const struct prof_report *profile = making->profile;
    const struct report_options *options = making->options;
    const struct snap_frame *from = &profile->frames[index];
    const struct prof_function *function = &profile->functions[profile->frame_function[index]];
    if (options->hide_boilerplate && names_is_boilerplate(making->input->strings, function->kind,
                                                          function->file, function->function))
        return making->of_frame[index] = VIEW_HIDDEN;
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

static uint32_t add_root(struct view_making *making, enum view_kind kind, struct plain *name)
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
    return VIEW_HIDDEN;
}

uint32_t view_thread_root(struct view_making *making, uint32_t index)
{
    if (making->of_thread[index] != VIEW_NOT_MADE)
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

uint32_t view_process_root(struct view_making *making, pid_t pid)
{
    const struct snap_source *source = making->input->source;
    for (size_t i = 0; i < snap_process_count(source); i++) {
        const struct snap_process *process = snap_process_at(source, i);
        if (process->pid != pid)
            continue;
        if (making->processes.items[i] == VIEW_NOT_MADE) {
            struct plain name = {0};
            plain_add(&name, "process %d", (int)pid);
            making->processes.items[i] = add_root(making, VIEW_PROCESS, &name);
        }
        return making->processes.items[i];
    }
    return VIEW_HIDDEN;
}
