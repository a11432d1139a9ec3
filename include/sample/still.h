// SPDX-License-Identifier: GPL-3.0-or-later
// Decoding a target that stands still: a core, or one snapshot of a capture. There is no stop, no
// copy and no second try: the memory is what it is, and what the kernel said of the threads is told
// by the caller.
#ifndef SAMPLE_STILL_H
#define SAMPLE_STILL_H

#include "sample/sampler.h"

// A thread state whose stack belongs to the snapshot.
struct still_stack {
    uint64_t tstate, interp;
    int64_t interp_id;
    size_t owner;   // index of its thread; SIZE_MAX: none
    bool blocked;   // its thread slept in a system call
    bool not_taken; // its thread never held still: no frame of it is known
    int cut_code;   // enum err_code of why it is known in part only, when `cut` is not NULL
    char *cut;
};
VEC_DEFINE(still_stacks, struct still_stack);

VEC_DEFINE(still_starts, struct unwind_start);
VEC_DEFINE(still_words, uint64_t);

// One moment, as the kernel saw it.
struct still_moment {
    struct live_threads threads;
    struct still_starts starts; // one per thread: the registers its native stack was unwound from;
                                // none known: it has none
    bool all;        // every thread state there is; else those of `stacks`, in that order
    bool list_known; // these are all there were, whatever the list in memory looks like
    struct still_stacks stacks;
    struct still_words lost_codes; // code objects that were replaced meanwhile: no frame's any more
};
// A stack pointer of 0 is one, too: of a thread that went astray.
static inline bool still_start_known(const struct unwind_start *start)
{
    return start->regs.sp || start->regs.raw_count;
}

void still_moment_deinit(struct still_moment *moment);
// Once lost_codes is complete: sorts it.
void still_moment_settle(struct still_moment *moment);

struct still {
    struct py_state state;
    struct py_stacks stacks; // one per thread state, in the order of state.threads
    size_t *owners;          // of each: index of its thread, SIZE_MAX: none
    struct py_thread_names names;
    struct unwind_stacks natives; // one per thread; empty without an unwinder
    size_t natives_left_out;      // threads that have none because those of others are too many
};

// `unwinder` NULL: no native stacks. Everything is read from the process's target->mem, but code
// objects from `codes` (NULL: from there, too). Errors are those that leave nothing to show; all
// others are in the stacks.
struct err *still_decode(struct py_process *process, struct unwinder *unwinder, struct mem *codes,
                         const struct still_moment *moment, struct still *ret);
void still_deinit(struct still *still);
// The native stacks alone, of a target whose Python cannot be read. `ret` is empty.
struct err *still_unwind(struct target *target, struct unwinder *unwinder,
                         const struct still_moment *moment, struct still *ret);

// The moment that a core is: its threads stand still for ever, they look like stopped ones.
struct err *still_moment_of_core(const struct target *target, struct still_moment *ret);

#endif
