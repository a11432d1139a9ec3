// SPDX-License-Identifier: GPL-3.0-or-later
// Takes snapshots of a live Python process: which threads to stop, which bytes to copy, what is
// still known from the last one. Everything that happens under a stop happens here.
//
// One snapshot: (1) while the target runs, walk its stacks once to learn what will be needed and
// to fill the caches of what never changes; (2) stop; (3) read all of that in one batch, walk the
// copy, fetch what moved meanwhile, until nothing is missing; (4) resume; (5) clocks and names.
// What came out of step 3 is one consistent moment.
#ifndef SAMPLE_SAMPLER_H
#define SAMPLE_SAMPLER_H

#include "cpython/stack.h"
#include "target/live.h"

VEC_DEFINE(py_stacks, struct py_stack);

struct sample {
    struct py_state state;
    struct py_stacks stacks;             // one per thread state, in the order of state.threads
    const struct py_thread_names *names; // the sampler's
    struct stop_times times;
    uint64_t pause_ns; // first interrupt to last detach; 0 when nothing was stopped
    bool stopped;
    unsigned rounds; // batches read under the stop
    size_t copied_bytes;
    size_t skipped;       // stacks cut off because the stop took too long
    bool changed_program; // exec since the last snapshot
};

struct sampler {
    struct live *live;
    struct image *image;        // NULL until Python was found
    struct py_process *process; // NULL: memory cannot be read (see live->refusal)
    struct strtab *strings;     // borrowed
    bool never_stop;
    uint64_t deadline_ns;   // of waiting for threads to stop
    uint64_t stop_limit_ns; // of copying under the stop
    // Private.
    struct mem_copy *copy;
    struct mem_ranges prefetch;
    struct py_thread_names names;
    size_t nameless; // thread states that had no name when the names were read
};

// Opens the process and finds its Python. When memory may not be read, `process` is NULL and the
// thread table from /proc is all that samples hold; that is no error here.
struct err *sampler_open(pid_t pid, struct strtab *strings, struct sampler **ret);
void sampler_close(struct sampler *sampler);

// ERR_GONE: the process ended. ERR_NOT_FOUND: it became a program without Python, or one whose
// Python is just starting; the next call looks again.
struct err *sampler_take(struct sampler *sampler, struct sample *ret);
void sample_deinit(struct sample *sample);

#endif
