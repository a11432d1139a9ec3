// SPDX-License-Identifier: GPL-3.0-or-later
// Takes snapshots of a live Python process: which threads to stop, which bytes to copy, what is
// still known from the last one. Everything that happens under a stop happens here.
//
// One snapshot, when only running threads are stopped:
//   1. Look at every thread: its clock and, when it sleeps, its registers (/proc, no stop).
//      A thread that has not run since the last snapshot keeps its stacks: nothing is read again.
//   2. Copy the stacks of the other sleepers while they sleep.
//   3. Walk the threads that run, while they run: the result may be torn and is thrown away, but it
//      tells what to copy. Stop them; copy that and their native stacks in one batch, walk the copy,
//      fetch what moved meanwhile; resume.
//   4. Read the clocks again: a sleeper that ran meanwhile is taken once more (step 1 to 4, alone).
//   5. Compare the code objects of the stopped threads once more: they are as they were before the
//      stop, and so they were during it. Decode, unwind, names: all from the copies.
#ifndef SAMPLE_SAMPLER_H
#define SAMPLE_SAMPLER_H

#include "cpython/stack.h"
#include "target/live.h"
#include "unwind/unwind.h"

enum stop_mode {
    STOP_RUNNING, // only threads that run: a sleeping one is read as it sleeps
    STOP_ALL,     // one consistent moment
    STOP_NONE,    // what runs may be torn, and has no native stack
};

VEC_DEFINE(py_stacks, struct py_stack);
VEC_DEFINE(unwind_stacks, struct unwind_stack);

// Borrows from its sampler, until the next snapshot: stacks, natives, names.
struct sample {
    struct py_state state;
    struct py_stack *stacks; // one per thread state, in the order of state.threads
    size_t stack_count;
    const size_t *owners;               // of each: index in live->threads; SIZE_MAX: none
    const struct unwind_stack *natives; // one per live->threads; NULL: not wanted
    const struct py_thread_names *names;
    uint64_t pause_ns; // sum over its stops: first interrupt to last detach
    unsigned threads_stopped;
    uint64_t interrupted_calls; // system calls that these stops ended with EINTR
    bool atomic;                // all threads stood still at one moment
    size_t skipped;             // stacks that did not fit in the allowed pause
    bool overran;               // a stop took longer than allowed
    bool changed_program;       // exec since the last snapshot
};

struct sampler_tracks;

struct sampler {
    struct live *live;
    struct image *image;        // NULL until Python was found
    struct py_process *process; // NULL: memory cannot be read (see live->refusal)
    struct unwinder *unwinder;  // NULL with them, or when no native stacks are wanted
    struct strtab *strings;     // borrowed
    bool images_changed;        // modules were unloaded or replaced since the last snapshot
    // Whoever records the run: told of a copy before it is cleared, and at the end of its use. What
    // was read of it is in its log; later bytes replace earlier ones. NULL: nobody. See sampler_watch.
    void (*watch)(void *watcher, struct mem_copy *copy);
    void *watcher;
    // Private.
    enum stop_mode stop;
    bool no_native, debuginfod;
    uint64_t max_pause_ns;
    struct image_files *files;
    struct mem_copy *list, *still, *copy; // thread states; sleepers; the stopped
    struct mem_copy *codes;               // code objects, before a stop and after it
    struct mem_ranges list_prefetch, prefetch, code_prefetch;
    struct mem_ranges last_used; // under the last stop
    struct {
        uint64_t addr, stop;
    } recent_codes[256]; // that were on the stacks of the last stops; by address
    uint64_t stop_count;
    struct sampler_tracks *tracks;
    struct py_thread_names names;
    size_t nameless;         // thread states that had no name when the names were read
    uint64_t names_until_ns; // they are looked for until then
    uint64_t read_cost;      // of a batch under a stop, in 1/1024 of what was estimated
    uint64_t maps_read_ns;   // when the mappings were listed
    bool maps_stale;
};

struct sampler_options {
    enum stop_mode stop;
    bool no_native, debuginfod;
    uint64_t max_pause_ns;     // of one stop
    struct image_files *files; // borrowed; NULL: nothing is shared with other samplers
};

// Opens the process and finds its Python. When memory may not be read, `process` is NULL and the
// thread table from /proc is all that samples hold; that is no error here.
struct err *sampler_open(pid_t pid, struct strtab *strings, const struct sampler_options *options,
                         struct sampler **ret);
void sampler_close(struct sampler *sampler);
void sampler_watch(struct sampler *sampler, void (*watch)(void *watcher, struct mem_copy *copy),
                   void *watcher);

// ERR_GONE: the process ended. ERR_NOT_FOUND: it became a program without Python, or one whose
// Python is just starting; the next call looks again.
struct err *sampler_take(struct sampler *sampler, struct sample *ret);
void sample_deinit(struct sample *sample);

#endif
