// SPDX-License-Identifier: GPL-3.0-or-later
// From what was read to the value: threads of the kernel and of Python put together, their states
// told, errors turned into notes.
#ifndef SNAPSHOT_BUILD_H
#define SNAPSHOT_BUILD_H

#include "cpython/stack.h"
#include "snapshot/snapshot.h"
#include "target/kernel.h"
#include "target/live.h"
#include "unwind/unwind.h"

// Names of native program counters, found once: one for the whole run.
struct snap_natives;
struct snap_natives *snap_natives_create(struct image *image, struct strtab *strings);
void snap_natives_destroy(struct snap_natives *natives);
// After an exec, or modules that were unloaded.
void snap_natives_forget(struct snap_natives *natives, struct image *image);

// Details of threads that have not run since the last snapshot: one for each process of a run. With
// it details are read in the first snapshot, and then of threads that stood still for long enough to
// be seen twice, so that a profile costs what it did.
struct snap_memory;
struct snap_memory *snap_memory_create(void); // NULL: no memory
void snap_memory_destroy(struct snap_memory *memory);

struct snap_input {
    struct strtab *strings;
    struct target *target;
    struct py_process *process;   // NULL: Python could not be read; only the thread table
    const struct py_state *state; // NULL with it
    struct py_stack *stacks;      // one per state->threads
    size_t stack_count;
    const size_t *owners; // of each stack, the index of its thread, SIZE_MAX: none; NULL: not known
    const struct py_thread_names *names;
    const struct live_thread *threads; // the kernel's: live, or made from a core's notes
    size_t thread_count;
    const struct unwind_stack *native_stacks; // one per thread, no frames: none; NULL: not wanted
    struct snap_natives *natives;             // NULL with it
    struct unwinder *unwinder;                // over target->mem, for stacks that are no thread's; NULL: they
                                              // have no native frames
    struct mem *stack_memory;                 // the stacks' bytes of that moment, as unwound; NULL:
                                              // gone. Up to 3.10 evidence may be looked for there
    bool raw_native;                          // keep the frames of the interpreter's own machinery
    bool locals;                              // read the values of variables
    bool generators;                          // list those that are suspended
    bool show_secrets;                        // also of what looks like one
    bool is_core;
    bool stopped;
    // Details (snapshot/details.h) are read while a live process runs. False: thread `index` has run
    // since it was looked at. NULL: it cannot have.
    bool (*still)(void *arg, size_t index);
    void *still_arg;
    struct kernel_facts *kernel; // NULL: none
    struct mem *heap;  // the target's memory, of which what is read here is not recorded; NULL: a
                       // replay, which has what was found in `kernel`
    bool no_details;   // none are read
    bool no_tasks;     // neither tasks nor greenlets are read
    bool tasks_wanted; // all tasks and greenlets are read, whatever that costs: it is the last snapshot
    struct snap_memory *remembered; // NULL: details are read of every thread
};

// Fills threads and notes of *ret.
struct err *snapshot_build(const struct snap_input *input, struct snapshot *ret);

// What a thread is doing, from its registers or the kernel's word, and the GILs' addresses.
enum snap_state snap_thread_state(const struct live_thread *thread, const struct py_gils *gils,
                                  bool is_core);

#endif
