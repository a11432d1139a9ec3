// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the sampler: what it remembers of each thread, and the steps of a snapshot.
#ifndef SAMPLE_PRIVATE_H
#define SAMPLE_PRIVATE_H

#include "sample/sampler.h"

// A thread of the kernel.
struct track {
    pid_t tid;
    bool pending;    // still to be taken in this snapshot
    bool kept;       // its stacks are those of an earlier snapshot: it has not run since
    bool decoded;    // its stacks are those of `clock`
    bool needs_stop; // it sleeps, but unwinding needs more registers than the kernel tells of it
    struct proc_clock clock;
    uint64_t top;           // the end of what unwinding read of its stack; 0: not known
    struct mem_range extra; // of the stack that a signal handler on another one interrupted
    unsigned retries;       // in this snapshot, with more of its stack
    size_t window_bytes;    // how much of its stack to copy when that is not known
};

// A thread state of Python in this snapshot.
struct job {
    size_t owner; // index of its track; SIZE_MAX: no thread of the kernel runs it
    bool fresh;   // its py_thread is of the moment that is being read
    bool begun;   // its stack's walk has begun
    bool lost;    // another thread has it now, or none
    bool done;
};

struct sampler_tracks {
    VEC(struct track) tracks;     // parallel to live->threads
    struct unwind_stacks natives; // parallel to tracks
    VEC(struct job) jobs;         // parallel to state.threads
    struct py_stacks stacks;      // the same
    VEC(size_t) indexes;          // the same: job.owner, for those who build the snapshot
    struct proc_tids owners;      // of stacks: the tid it belongs to, 0: none
    struct py_stacks last;        // of the last snapshot
    struct proc_tids last_owners;
};

// One way through the steps.
struct pass {
    struct sampler *sampler;
    struct sample *sample;
    struct mem_copy *copy; // where the decoder reads now
    unsigned number;
    bool whole;             // all threads are to be stopped
    bool stopped;           // the step is under a stop
    uint64_t budget_end_ns; // when that has to end
    size_t window_limit;    // more of native stacks would not fit, either
    bool out_of_budget;     // what is still missing would not fit
    bool listed, settled;   // steps of the walk under the stop
    bool gils_known;        // in this snapshot: who holds them is told of one moment
};

// In the last one, what still does not sleep through its reading is stopped.
#define PASS_COUNT 6

// ---- pass.c -------------------------------------------------------------------------------------

struct err *pass_run(struct pass *pass);
// Once all others are taken.
void pass_check_orphans(struct pass *pass);

// ---- tracks.c: what is remembered from one snapshot to the next ---------------------------------

bool tracks_create(struct sampler *sampler);
void tracks_destroy(struct sampler *sampler);
// Makes tracks and natives parallel to live->threads.
struct err *tracks_sync(struct sampler *sampler);
// Forgets all stacks: another program runs there now.
void tracks_forget(struct sampler *sampler);
// Makes jobs and stacks parallel to sample->state.threads, and finds the owners.
struct err *tracks_assign(struct sampler *sampler, struct sample *sample);
// What was read of a thread state is thrown away: it is to be read anew.
void tracks_reset_job(struct sampler *sampler, const struct sample *sample, size_t index);
// Once all stacks are known: owners of those that do not say themselves who runs them.
struct err *tracks_find_runners(struct sampler *sampler, struct sample *sample);
// Takes over from the last snapshot what a thread that has not run since keeps.
void tracks_keep(struct sampler *sampler, const struct sample *sample);

// Shows a copy to whoever records the run.
static inline void show(const struct sampler *sampler, struct mem_copy *copy)
{
    if (sampler->watch)
        sampler->watch(sampler->watcher, copy);
}

static inline struct track *track_of(const struct sampler *sampler, size_t thread)
{
    return &sampler->tracks->tracks.items[thread];
}

// ---- gather.c: copying and walking --------------------------------------------------------------

// Which threads a step is about.
typedef bool pass_select(const struct pass *pass, size_t thread);

// The decoder reads from the pass's copy; fallback: what is not in it comes from the running target.
void gather_use(struct pass *pass, struct mem_copy *copy, bool fallback);
// Without a fallback, and code objects that the rehearsal compared are believed until
// gather_check_codes().
void gather_use_rehearsed(struct pass *pass, struct mem_copy *copy);
// What was needed under this stop will be looked at before the next, and be in its first batch.
void gather_remember(struct pass *pass, pass_select *select);
// Frames whose code objects have changed since the rehearsal lose them.
void gather_check_codes(struct pass *pass, pass_select *select);
// Fills the copy until the walks of all selected threads find what they need.
struct err *gather(struct pass *pass, pass_select *select);
// Walks the selected threads while they run, to learn what to copy.
struct err *gather_rehearse(struct pass *pass, pass_select *select);
// Thread states and who runs them, while the target runs.
struct err *gather_list(struct sampler *sampler, struct sample *sample);
// How much of native stacks may be copied under the stop: they must not cost the Python stacks.
size_t gather_affordable_bytes(const struct pass *pass);
// Reads ranges into the pass's copy, as far as the budget allows.
struct err *gather_read(struct pass *pass, struct mem_ranges *ranges);

// ---- natives.c: native stacks -------------------------------------------------------------------

// How much of a thread's stack to copy; size 0: nothing.
struct mem_range native_window(const struct pass *pass, size_t thread);
// The same for the other stack of a thread in a signal handler.
struct mem_range native_extra(const struct pass *pass, size_t thread);
// A stopped thread whose stack went on where nothing was copied: what to copy in the next pass is
// remembered then.
bool native_wants_more(struct pass *pass, size_t thread);
// Unwinds one thread from the pass's copy. False: it sleeps, and all its registers are needed.
bool native_unwind(struct pass *pass, size_t thread);
// Lists mappings and modules again when something new has shown up.
void native_refresh(struct sampler *sampler);

#endif
