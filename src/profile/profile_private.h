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
    struct prof_stack s; // .frames is not set: they are stack_frames[first...]; then the awaiting
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
    uint64_t counted;        // and of the last one in which no filter left it out
    struct prof_calls calls; // in the last one that had it, outermost first
};

struct prof_process_entry {
    struct prof_process p;
    uint64_t seen;        // number of the last snapshot that had it, from 1
    bool has_process_cpu; // .p.cpu_ns is the process's; else:
    uint64_t thread_cpu_ns;
    struct prof_pool pool; // samples_working, snapshots
    bool pool_works;       // in the snapshot being added: a thread that Python does not know
    // Snapshots in which its tasks were looked at, and the number of the last one.
    uint64_t task_snapshots, tasks_seen;
};

struct prof_stem { // a name, and how much of it is left without a last number
    uint32_t name;
    size_t size;
};

struct prof_task_entry {
    struct prof_task t; // names are the first ones, or "Task-*"
    struct prof_stem stem, root_stem;
    struct prof_series working; // samples
};

struct prof_await_entry {
    struct prof_await_site s; // .frames is not set: they are await_frames[first...]
    size_t first;
    uint32_t parent;    // the site of the task that waits for those that wait here; HASH_NONE
    uint64_t seen, now; // number of the last snapshot that had it, and how many tasks in that
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

struct prof_id_sets { // the latest ones: two sets take turns
    struct prof_id_set now, before;
};

struct profile {
    struct strtab *strings;
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
    VEC(struct prof_task_entry) tasks;
    VEC(struct prof_await_entry) awaits;
    VEC(uint32_t) await_frames;
    struct hash_index function_index, frame_index, edge_index, node_index, stack_index,
        thread_index, pair_index, process_index, task_index, await_index;
    // That stand for all beyond the bound; HASH_NONE: not needed yet.
    uint32_t spare_thread, spare_process, spare_task;

    // Series: each item is the sum of `group` snapshots.
    uint32_t working[PROF_ITEMS_MAX];
    size_t group, items;
    size_t points; // of all functions

    VEC(uint64_t) pauses;
    uint64_t pause_stride; // every so many snapshots one of `pauses`

    struct prof_id_sets generators, tasks_met;

    // Of the thread sample being added.
    VEC(uint32_t) path;     // its frames, innermost first
    VEC(uint32_t) awaiting; // those of the tasks that wait for the one whose turn it is
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
    size_t own;       // which frame of the path is its own: the innermost that is not native, or 0
    uint32_t task_id; // in profile.tasks; UINT32_MAX: none has its turn
    uint32_t task_frames; // of the path
};

static inline uint32_t prof_path_function(const struct profile *profile, size_t i)
{
    return profile->frames.items[profile->path.items[i]].function;
}

// All of these return false when memory is out.

// functions.c: which function and which frame (an item of profile.frames) a snapshot's frame is
bool prof_frame(struct profile *profile, const struct snap_frame *frame, uint32_t *ret_frame);
// The same of a frame that is on no thread's stack.
bool prof_suspended_frame(struct profile *profile, const struct snap_frame *frame,
                          uint32_t *ret_frame);
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
// HASH_NONE: not known
uint32_t prof_find_thread(const struct profile *profile, const struct snap_thread *thread);
bool prof_count_thread(struct profile *profile, const struct prof_sample *sample);
void prof_threads_gone(struct profile *profile);
void prof_keep_calls(struct profile *profile, const struct snap_thread *thread);
// processes.c: the one with that pid; what the snapshot says of each; one more sample of it
bool prof_process(struct profile *profile, pid_t pid, uint32_t *ret_process);
bool prof_count_parts(struct profile *profile, const struct snapshot *snapshot);
void prof_count_process(struct profile *profile, const struct prof_sample *sample);
// calls.c: was this key met in the run? Remembers it.
bool prof_meet(struct prof_id_sets *sets, uint64_t key, bool *ret_met);
// tasks.c: the kind of the task whose turn it is; one more sample of it
bool prof_task(struct profile *profile, const struct snap_thread *thread, uint32_t *ret_task);
bool prof_count_task(struct profile *profile, const struct prof_sample *sample);
// awaits.c: where tasks wait in a snapshot whose threads have been counted
bool prof_count_awaits(struct profile *profile, const struct snapshot *snapshot);
// pool.c: whether native threads work in this snapshot; which call goes with them. order[i] is the
// entry that report->threads[i] comes from, place[f] the index of function f in the report.
bool prof_count_pool(struct profile *profile, const struct snapshot *snapshot);
bool prof_find_pool(struct profile *profile, const uint32_t *order, const uint32_t *place,
                    struct prof_report *report);

// confidence.c: the 95 % bounds of `count` functions, and of tasks; from[i] is the entry that ret[i]
// comes from
bool prof_function_bounds(const struct profile *profile, const uint32_t *from, size_t count,
                          struct prof_function *ret, double *ret_unseen_high);
bool prof_task_bounds(const struct profile *profile, const uint32_t *from, size_t count,
                      struct prof_task *ret);

#endif
