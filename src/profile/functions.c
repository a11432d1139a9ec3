// SPDX-License-Identifier: GPL-3.0-or-later
// Functions, their lines and their edges: told apart by name, file and line, and counted once for
// each thread sample.
#include "profile/profile_private.h"

static const struct snap_frame blank = {
    .kind = SNAP_PYTHON, .line = -1, .column = -1, .first_line = -1};

// What tells a native function apart is not where it was loaded or how far it had come. Without a
// symbol the module is all that is known of it.
static struct snap_frame key_of(const struct snap_frame *frame)
{
    struct snap_frame key = *frame;
    if (key.kind != SNAP_NATIVE)
        return key;
    key.first_line = -1;
    key.qualname = 0;
    if (!key.function) {
        key.file = 0;
        key.line = -1;
    }
    return key;
}

static uint64_t hash_function(const struct snap_frame *frame)
{
    uint64_t hash =
        hash_u64(HASH_SEED + frame->kind, (uint64_t)frame->function << 32 | frame->qualname);
    hash = hash_u64(hash, (uint64_t)frame->file << 32 | frame->module);
    return hash_u64(hash, (uint32_t)frame->first_line);
}

static bool same_function(const struct prof_function *f, const struct snap_frame *frame)
{
    return f->function == frame->function && f->qualname == frame->qualname &&
           f->file == frame->file && f->module == frame->module && f->line == frame->first_line &&
           f->kind == frame->kind;
}

static uint32_t find_function(const struct profile *profile, const struct snap_frame *frame,
                              uint64_t hash)
{
    struct hash_probe probe = hash_probe(&profile->function_index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (same_function(&profile->functions.items[id].f, frame))
            return id;
    return HASH_NONE;
}

static bool add_function(struct profile *profile, const struct snap_frame *frame, uint64_t hash,
                         uint32_t *ret_function)
{
    struct prof_function_entry entry = {
        .f = {.kind = frame->kind,
              .function = frame->function,
              .qualname = frame->qualname,
              .file = frame->file,
              .module = frame->module,
              .line = frame->first_line},
    };
    if (!hash_index_reserve(&profile->function_index, 1) || !vec_push(&profile->functions, entry))
        return false;
    *ret_function = (uint32_t)profile->functions.count - 1;
    hash_index_add(&profile->function_index, hash, *ret_function);
    return true;
}

static bool same_frame(const struct snap_frame *a, const struct snap_frame *b)
{
    return a->line == b->line && a->function == b->function && a->qualname == b->qualname &&
           a->file == b->file && a->module == b->module && a->first_line == b->first_line &&
           a->kind == b->kind;
}

static uint32_t find_frame(const struct profile *profile, const struct snap_frame *frame,
                           uint64_t hash)
{
    struct hash_probe probe = hash_probe(&profile->frame_index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (same_frame(&profile->frames.items[id].frame, frame))
            return id;
    return HASH_NONE;
}

static bool add_frame(struct profile *profile, const struct snap_frame *frame, uint32_t function,
                      uint64_t hash, uint32_t *ret_frame)
{
    struct prof_frame_entry entry = {.frame = *frame, .function = function};
    entry.frame.activation = 0;
    if (!hash_index_reserve(&profile->frame_index, 1) || !vec_push(&profile->frames, entry))
        return false;
    *ret_frame = (uint32_t)profile->frames.count - 1;
    hash_index_add(&profile->frame_index, hash, *ret_frame);
    return true;
}

// Keeps of a frame what all its samples agree on.
static void agree(struct snap_frame *kept, const struct snap_frame *seen)
{
    kept->flags &= seen->flags;
    if (kept->column != seen->column)
        kept->column = -1;
    if (kept->address != seen->address)
        kept->address = SNAP_NO_ADDRESS;
    if (kept->offset != seen->offset)
        kept->offset = 0;
}

bool prof_frame(struct profile *profile, const struct snap_frame *frame, uint32_t *ret_frame)
{
    struct snap_frame key = key_of(frame);
    for (;;) {
        uint64_t hash = hash_function(&key);
        uint64_t frame_hash = hash_u64(hash, (uint32_t)key.line);
        *ret_frame = find_frame(profile, &key, frame_hash);
        if (*ret_frame != HASH_NONE) {
            agree(&profile->frames.items[*ret_frame].frame, &key);
            return true;
        }
        uint32_t function = find_function(profile, &key, hash);
        if (function == HASH_NONE && profile->functions.count >= PROF_FUNCTIONS_MAX &&
            !same_frame(&key, &blank)) {
            key = blank;
            profile->sum.dropped_functions++;
            continue;
        }
        // A function has one frame without a line, so that these need no bound of their own.
        if (function != HASH_NONE && profile->frames.count >= PROF_FRAMES_MAX && key.line != -1) {
            key.line = key.column = -1;
            continue;
        }
        if (function == HASH_NONE && !add_function(profile, &key, hash, &function))
            return false;
        return add_frame(profile, &key, function, frame_hash, ret_frame);
    }
}

bool prof_suspended_frame(struct profile *profile, const struct snap_frame *frame,
                          uint32_t *ret_frame)
{
    struct snap_frame same = *frame;
    if (same.kind != SNAP_NATIVE)
        same.address = same.offset = 0; // as on a stack
    return prof_frame(profile, &same, ret_frame);
}

static void count_line(struct prof_line *line, const struct prof_sample *sample)
{
    line->total++;
    line->total_working += sample->works;
    line->total_cpu_ns += sample->cpu_ns;
}

static bool count_function(struct profile *profile, struct prof_function_entry *entry,
                           const struct prof_sample *sample)
{
    entry->stamp = profile->stamp;
    entry->f.total++;
    entry->f.total_working += sample->works;
    entry->f.total_cpu_ns += sample->cpu_ns;
    return !sample->works || prof_series_count(profile, &entry->total);
}

static bool count_innermost(struct profile *profile, const struct prof_sample *sample)
{
    struct prof_frame_entry *frame = &profile->frames.items[profile->path.items[0]];
    struct prof_function_entry *entry = &profile->functions.items[frame->function];
    frame->counts.self++;
    frame->counts.self_working += sample->works;
    frame->counts.self_cpu_ns += sample->cpu_ns;
    entry->f.self++;
    entry->f.self_working += sample->works;
    entry->f.self_cpu_ns += sample->cpu_ns;
    entry->f.states[sample->thread->state]++;
    return !sample->works || prof_series_count(profile, &entry->self);
}

static bool count_own(struct profile *profile, const struct prof_sample *sample)
{
    struct prof_frame_entry *frame = &profile->frames.items[profile->path.items[sample->own]];
    struct prof_function_entry *entry = &profile->functions.items[frame->function];
    frame->counts.own++;
    frame->counts.own_working += sample->works;
    frame->counts.own_cpu_ns += sample->cpu_ns;
    entry->f.own++;
    entry->f.own_working += sample->works;
    entry->f.own_cpu_ns += sample->cpu_ns;
    return !sample->works || prof_series_count(profile, &entry->own);
}

bool prof_count_functions(struct profile *profile, const struct prof_sample *sample)
{
    for (size_t i = 0; i < profile->path.count; i++) {
        struct prof_frame_entry *frame = &profile->frames.items[profile->path.items[i]];
        if (frame->stamp == profile->stamp)
            continue; // and so has its function
        frame->stamp = profile->stamp;
        count_line(&frame->counts, sample);
        struct prof_function_entry *entry = &profile->functions.items[frame->function];
        if (entry->stamp != profile->stamp && !count_function(profile, entry, sample))
            return false;
    }
    return !profile->path.count || (count_innermost(profile, sample) && count_own(profile, sample));
}

// HASH_NONE: beyond the bound.
static bool edge_of(struct profile *profile, uint32_t caller, uint32_t callee, uint32_t *ret_edge)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)caller << 32 | callee);
    struct hash_probe probe = hash_probe(&profile->edge_index, hash);
    while ((*ret_edge = hash_probe_next(&probe)) != HASH_NONE) {
        const struct prof_edge *edge = &profile->edges.items[*ret_edge].e;
        if (edge->caller == caller && edge->callee == callee)
            return true;
    }
    if (profile->edges.count >= PROF_EDGES_MAX)
        return true;
    struct prof_edge_entry entry = {.e = {.caller = caller, .callee = callee}};
    if (!hash_index_reserve(&profile->edge_index, 1) || !vec_push(&profile->edges, entry))
        return false;
    *ret_edge = (uint32_t)profile->edges.count - 1;
    hash_index_add(&profile->edge_index, hash, *ret_edge);
    return true;
}

static bool count_edge(struct profile *profile, const struct prof_sample *sample, uint32_t caller,
                       uint32_t callee)
{
    uint32_t edge;
    if (!edge_of(profile, caller, callee, &edge))
        return false;
    if (edge == HASH_NONE) {
        profile->sum.dropped_edges++;
        return true;
    }
    struct prof_edge_entry *entry = &profile->edges.items[edge];
    if (entry->stamp == profile->stamp)
        return true;
    entry->stamp = profile->stamp;
    entry->e.total++;
    entry->e.total_working += sample->works;
    entry->e.cpu_ns += sample->cpu_ns;
    return true;
}

// The same over whatever native code lies between two functions that are none.
static bool count_through(struct profile *profile, const struct prof_sample *sample, size_t inner,
                          size_t outer)
{
    uint32_t edge;
    if (!edge_of(profile, prof_path_function(profile, outer), prof_path_function(profile, inner),
                 &edge))
        return false;
    if (edge == HASH_NONE) {
        profile->sum.dropped_edges += outer - inner > 1; // else it was counted as a direct call
        return true;
    }
    struct prof_edge_entry *entry = &profile->edges.items[edge];
    if (entry->through_stamp == profile->stamp)
        return true;
    entry->through_stamp = profile->stamp;
    entry->e.through++;
    entry->e.through_working += sample->works;
    entry->e.through_cpu_ns += sample->cpu_ns;
    return true;
}

static bool is_native(const struct profile *profile, size_t i)
{
    return profile->frames.items[profile->path.items[i]].frame.kind == SNAP_NATIVE;
}

static bool count_calls_through(struct profile *profile, const struct prof_sample *sample)
{
    uint32_t last_caller = HASH_NONE, last_callee = HASH_NONE;
    size_t inner = SIZE_MAX; // the last one that is not native
    for (size_t i = 0; i < profile->path.count; i++) {
        if (is_native(profile, i))
            continue;
        size_t callee = inner;
        inner = i;
        if (callee == SIZE_MAX || (prof_path_function(profile, i) == last_caller &&
                                   prof_path_function(profile, callee) == last_callee))
            continue;
        last_caller = prof_path_function(profile, i);
        last_callee = prof_path_function(profile, callee);
        if (!count_through(profile, sample, callee, i))
            return false;
    }
    return true;
}

bool prof_count_edges(struct profile *profile, const struct prof_sample *sample)
{
    uint32_t last_caller = HASH_NONE, last_callee = HASH_NONE;
    for (size_t i = 0; i + 1 < profile->path.count; i++) {
        uint32_t callee = prof_path_function(profile, i);
        uint32_t caller = prof_path_function(profile, i + 1);
        if (caller == last_caller && callee == last_callee)
            continue; // simple recursion: counted just now
        last_caller = caller, last_callee = callee;
        if (!count_edge(profile, sample, caller, callee))
            return false;
    }
    return count_calls_through(profile, sample);
}
