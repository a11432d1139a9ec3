// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of threads beyond their stacks, read while a snapshot is put together: the one place
// from which details are read, so that live processes, cores, recordings and replays agree.
//
// A live process runs meanwhile. So only threads are read that were asleep and held still, and what
// was read of one that has run by then is dropped (snap_input.still). Every byte comes from
// input->target->mem, which a recording writes down.
#ifndef SNAPSHOT_DETAILS_BUILD_H
#define SNAPSHOT_DETAILS_BUILD_H

#include "snapshot/build.h"

// One thread, as those that read details see it.
struct details_thread {
    const struct snap_input *in;
    struct py_decoder *dec;               // over in->target->mem; NULL: Python could not be read
    const struct live_thread *kernel;     // NULL: a thread state without a thread
    const struct py_stack *const *stacks; // its thread states', innermost first
    size_t stack_count;
    const struct snap_thread *thread; // its frames and facts
    struct snap_details *ret;         // to be filled
};

// Index in thread->frames of frame `index` of stacks[stack]; UINT32_MAX: it is not shown.
uint32_t details_frame(const struct details_thread *of, size_t stack, size_t index);

// To add a kind of details: a function of this type, and its line in details_build.c. What could not
// be read is left out; errors are those that end the run (no memory).
typedef struct err *details_reader(const struct details_thread *of);

details_reader details_exceptions;
// NULL: Python could not be read.
struct py_decoder *details_decoder(const struct snap_input *in);
// The process has ended meanwhile: that something could not be read is nothing to tell of.
bool details_ended(const struct snap_input *in);

// ---- Readers ------------------------------------------------------------------------------------

details_reader details_read_wait;   // waits.c
details_reader details_read_held;   // held.c
details_reader details_read_locals; // locals.c
details_reader details_exceptions;  // details_exceptions.c
// The thread with that threading.get_ident(); NULL: none.
struct snap_thread *details_by_ident(const struct snapshot *snapshot, uint64_t ident);
// Who has what the threads wait for (owners.c). Once all threads are known.
struct err *details_find_owners(const struct snap_input *in, struct snapshot *snapshot);

// ---- ThreadPoolExecutors (executors.c) -----------------------------------------------------------

// The concurrent.futures.Future whose job this thread of an executor runs; 0: none.
uint64_t details_future_run(const struct snap_input *in, const struct py_stack *stack);
// Its thread works for an executor that has fewer threads than it may have.
bool details_pool_has_room(const struct snap_input *in, const struct py_stack *stack);
// Which threads of executors wait for jobs that no thread has begun. Once owners are known.
struct err *details_find_queued(const struct snap_input *in, struct snapshot *snapshot);

// ---- Details of earlier snapshots (memory.c) ----------------------------------------------------

// False: the thread ran since the last snapshot, and nothing is to be read of it this time. True with
// *ret NULL: read it.
bool details_recall(const struct snap_input *in, const struct live_thread *kernel,
                    struct snap_details **ret);
void details_remember(const struct snap_input *in, const struct live_thread *kernel,
                      const struct snap_details *details);
// Around each snapshot.
void details_memory_begin(struct snap_memory *memory);
void details_memory_end(const struct snap_input *in);
struct snap_details *details_copy(const struct snap_details *from); // NULL: no memory
void details_destroy(struct snap_details *details);

// ---- Tasks (tasks.h) ----------------------------------------------------------------------------

struct tasks_known;
struct tasks_known **tasks_known_of(struct snap_memory *memory); // memory.c
void tasks_known_destroy(struct tasks_known *known);

// ---- Greenlets (greenlets.c) --------------------------------------------------------------------

// Those that are known from earlier snapshots.
struct greenlets_known;
struct greenlets_known **greenlets_known_of(struct snap_memory *memory); // memory.c
void greenlets_known_destroy(struct greenlets_known *known);
// Once all threads are known. Fills snapshot->suspended.
struct err *greenlets_read(const struct snap_input *in, struct snapshot *snapshot);

// ---- Generators (generators.c) ------------------------------------------------------------------

// Those that are suspended, if they are wanted. Once tasks are known: their coroutines are none of them.
struct err *generators_read(const struct snap_input *in, struct snapshot *snapshot);

// ---- For build.c --------------------------------------------------------------------------------

// Once the thread's frames are known. *kernel NULL: an orphan.
struct err *details_read(const struct snap_input *in, size_t kernel,
                         const struct py_stack *const *stacks, size_t count,
                         struct snap_thread *thread);
// Once all threads are known: who has what the others wait for.
struct err *details_settle(const struct snap_input *in, struct snapshot *snapshot);

#endif
