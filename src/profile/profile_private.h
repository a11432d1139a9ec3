// SPDX-License-Identifier: GPL-3.0-or-later
// What a profile keeps while it is fed, and the files that feed it. Tables only ever grow, so that
// an item's number stands for it everywhere; the report sorts copies.
#ifndef PROFILE_PROFILE_PRIVATE_H
#define PROFILE_PROFILE_PRIVATE_H

#include "profile/bounds.h"
#include "profile/profile.h"
#include "util/hash.h"
#include "util/index.h"

// A series over the snapshots of which only the items that are not zero are kept, in order.
struct prof_point {
    uint32_t at, count;
};
VEC_DEFINE(prof_series, struct prof_point);

// `stamp` of an entry is the number of the thread sample that counted it last: a function that is
// on a stack many times counts once.
struct prof_function_entry {
    struct prof_function f;
    uint64_t stamp;
    struct prof_series self, total, own; // working samples
};

struct prof_frame_entry { // a function at a line
    struct snap_frame frame;
    uint32_t function;
    uint64_t stamp;
    struct prof_line counts;
};

struct prof_edge_entry {
    struct prof_edge e;
    uint64_t stamp, through_stamp;
};

struct prof_stack_entry {
    struct prof_stack s; // .frames is not set: they are stack_frames[first...]
    size_t first;
    uint64_t hash;
};

struct prof_call { // an activation that is on a thread's stack
    uint32_t function;
    uint64_t id;
    uint64_t since_snapshot, since_ns;
};
VEC_DEFINE(prof_calls, struct prof_call);

struct prof_thread_entry {
    struct prof_thread t;
    uint64_t seen;           // number of the last snapshot that had it, from 1
    struct prof_calls calls; // in that snapshot, outermost first
};

struct prof_process_entry {
    struct prof_process p;
    uint64_t seen;        // number of the last snapshot that had it, from 1
    bool has_process_cpu; // .p.cpu_ns is the process's; else:
    uint64_t thread_cpu_ns;
    struct prof_pool pool; // samples_working, snapshots
    bool pool_works;       // in the snapshot being added: a thread that Python does not know
};

struct prof_pair { // a thread and a function that was its own, or its innermost of Python
    uint32_t thread, function;
    uint64_t own, own_working;
    uint64_t active, with_pool; // working or waiting for a lock; of that, beside a working pool
};

struct prof_id_set { // of 64-bit keys
    uint64_t *slots; // 0: empty
    size_t count;
};

struct profile {
    const struct strtab *strings;
    struct prof_report sum; // the plain sums, which need no more than adding up

    VEC(struct prof_function_entry) functions;
    VEC(struct prof_frame_entry) frames;
    VEC(struct prof_edge_entry) edges;
    VEC(struct prof_node) nodes; // first_child, next_sibling: set in the report only
    VEC(struct prof_stack_entry) stacks;
    VEC(uint32_t) stack_frames;
    VEC(struct prof_moment) moments;
    VEC(uint32_t) moment_stacks;
    VEC(struct prof_thread_entry) threads;
    VEC(struct prof_process_entry) processes;
    VEC(struct prof_pair) pairs;
    struct hash_index function_index, frame_index, edge_index, node_index, stack_index,
        thread_index, pair_index, process_index;
    // That stand for all beyond the bound; HASH_NONE: not needed yet.
    uint32_t spare_thread, spare_process;

    // Series: each item is the sum of `group` snapshots.
    uint32_t working[PROF_ITEMS_MAX];
    size_t group, items;
    size_t points; // of all functions

    VEC(uint64_t) pauses;
    uint64_t pause_stride; // every so many snapshots one of `pauses`

    struct prof_id_set generators, generators_before;

    // Of the thread sample being added.
    VEC(uint32_t) path; // its frames, innermost first
    uint64_t stamp;
    struct prof_calls calls;
    struct hash_index call_index;

    VEC(uint32_t) present; // threads of the last snapshot, which have `calls`
};

struct prof_sample {
    const struct snap_thread *thread;
    uint32_t thread_id;  // in profile.threads
    uint32_t process_id; // in profile.processes
    bool works;
    uint64_t cpu_ns; // to be booked to the stack
    uint64_t at_ns;
    size_t own; // which frame of the path is its own: the innermost that is not native, or 0
};

static inline uint32_t prof_path_function(const struct profile *profile, size_t i)
{
    return profile->frames.items[profile->path.items[i]].function;
}

// All of these return false when memory is out.

// functions.c: which function and which frame (an item of profile.frames) a snapshot's frame is
bool prof_frame(struct profile *profile, const struct snap_frame *frame, uint32_t *ret_frame);
// functions.c: counts functions, lines and edges of profile->path
bool prof_count_functions(struct profile *profile, const struct prof_sample *sample);
bool prof_count_edges(struct profile *profile, const struct prof_sample *sample);
// series.c: begins the item of the next snapshot; one more of a series at that item; all of them
// summed in pairs until their points are few enough
void prof_series_next(struct profile *profile);
bool prof_series_count(struct profile *profile, struct prof_series *series);
void prof_series_bound(struct profile *profile);
// calls.c: activations of the thread's stack against those of its last one
bool prof_count_calls(struct profile *profile, const struct prof_sample *sample);
// stacks.c: the call tree and the distinct stacks
bool prof_count_stack(struct profile *profile, const struct prof_sample *sample);
bool prof_begin_moment(struct profile *profile, uint64_t at_ns);
// threads.c
bool prof_thread(struct profile *profile, const struct snap_thread *thread, uint32_t *ret_thread);
bool prof_count_thread(struct profile *profile, const struct prof_sample *sample);
void prof_threads_gone(struct profile *profile);
void prof_keep_calls(struct profile *profile, const struct snap_thread *thread);
// processes.c: the one with that pid; what the snapshot says of each; one more sample of it
bool prof_process(struct profile *profile, pid_t pid, uint32_t *ret_process);
bool prof_count_parts(struct profile *profile, const struct snapshot *snapshot);
void prof_count_process(struct profile *profile, const struct prof_sample *sample);
// pool.c: whether native threads work in this snapshot; which call goes with them. order[i] is the
// entry that report->threads[i] comes from, place[f] the index of function f in the report.
bool prof_count_pool(struct profile *profile, const struct snapshot *snapshot);
bool prof_find_pool(struct profile *profile, const uint32_t *order, const uint32_t *place,
                    struct prof_report *report);

// bounds.c: the 95 % bounds of `count` functions; from[i] is the entry that ret[i] comes from
bool prof_function_bounds(const struct profile *profile, const uint32_t *from, size_t count,
                          struct prof_function *ret, double *ret_unseen_high);

#endif
