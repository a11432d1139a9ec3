// SPDX-License-Identifier: GPL-3.0-or-later
// What the rules are given, and how they say what they found.
#ifndef DIAGNOSE_DIAG_H
#define DIAGNOSE_DIAG_H

#include "diagnose/diagnose.h"
#include "util/plain.h"

#define DIAG_NONE UINT32_MAX

// Fewer snapshots than these are a glimpse: no share of them is told. With 10, a share of 20 % or
// more is missed by one run in ten, and one of 2 % is seen twice in one of fifty.
#define DIAG_SNAPSHOTS_MIN 10
// So many findings of one rule are told: the same trouble 100 times over is one trouble.
#define DIAG_TOLD_MAX 8

// What somebody has waited for so long is no accident: nobody keeps others from a lock for a second on
// purpose, or a callback's turn ten times as long as what asyncio's debug mode warns of. What comes before
// that, a nap, will be over soon.
#define DIAG_LASTING_NS 1000000000ull

// A thread of the snapshot or of the profile, or a stack of one.
struct diag_number {
    pid_t pid, tid;
    uint32_t index;
};
void numbers_sort(struct diag_number *numbers, size_t count);
// The first one with these numbers; DIAG_NONE: there is none.
uint32_t numbers_find(const struct diag_number *numbers, size_t count, pid_t pid, pid_t tid);

// Who waits for whom: each thread waits for one other at most, so all rings are apart.
struct diag_graph {
    uint32_t *next;    // the thread that has what this one waits for; DIAG_NONE
    uint32_t *behind;  // how many wait for this one, directly or through others; rings not counted
    uint32_t *deepest; // the one through which its longest chain comes; DIAG_NONE
};

// Threads of one process that wait for the same object.
struct diag_group {
    pid_t pid;
    uint64_t object;
    enum snap_wait_kind kind;
    size_t first, count; // in diag.waiters
    uint32_t owner;      // a thread; DIAG_NONE: not known, or it did not hold still
};
VEC_DEFINE(diag_groups, struct diag_group);

struct diag {
    const struct strtab *strings;
    const struct snap_source *source;
    const struct snapshot *last;
    const struct snap_thread *threads; // of `last`
    size_t count;
    const struct prof_report *profile; // NULL: none, or not long enough for shares
    struct diag_number *profiled;      // its threads, sorted
    struct diag_graph graph;
    struct diag_number *numbers; // the threads of `last`, sorted
    struct diag_groups groups;   // most threads first
    uint32_t *group_of;          // of each thread; DIAG_NONE: it waits for nothing with an address
    VEC(uint32_t) waiters;       // indexes of threads, by group
    const struct diag_rule *now; // whose turn it is
    struct diagnosis *out;
    bool failed; // out of memory
};

typedef void diag_rule_fn(struct diag *diag);
#define RULE(id, word, milder, function, help) diag_rule_fn function;
#include "diagnose/rules.def"
#undef RULE

// ---- The graph -----------------------------------------------------------------------------------

bool graph_build(struct diag *diag);
void graph_deinit(struct diag *diag);
// What the thread waits for; NULL: it is not known, or it did not hold still, and nothing may be
// concluded from it.
const struct snap_wait *diag_wait(const struct diag *diag, uint32_t thread);
// A time limit ends it.
bool diag_has_limit(const struct snap_wait *wait);
// It used the processor between the two readings of its clock: it is not hung, it takes turns.
bool diag_ran_lately(const struct diag *diag, uint32_t thread);
// Those it waits for, directly and through others, wait for each other.
bool diag_ends_in_ring(const struct diag *diag, uint32_t thread);
// What it waits for now it has waited for since long: see diag_is_lasting().
bool diag_lasts(const struct diag *diag, uint32_t thread);
// It lasts, or did so for most of a run that is shorter than that.
bool diag_is_lasting(const struct diag *diag, uint64_t since_ns);
// How long the first of a group's waiters waits at least. 0: not known.
uint64_t diag_longest_wait(const struct diag *diag, const struct diag_group *group);
// What one thread has at a time, and the others wait until it lets go.
bool diag_is_lock(enum snap_wait_kind kind);
// What the profile has of a thread; NULL: nothing.
const struct prof_thread *diag_profiled(const struct diag *diag, pid_t pid, pid_t tid);
size_t diag_python_threads(const struct diag *diag, pid_t pid);
// It sleeps, and for less than a second: what others want of it they will have soon.
bool diag_naps(const struct diag *diag, uint32_t thread);
// A lock between processes, as the workers of a multiprocessing pool have one for their common pipe: who
// has it is another process, mostly one that waits for work.
bool diag_is_shared(const struct diag *diag, const struct snap_wait *wait);
// All threads of the process wait, without a time limit, for what only another one of them can do.
bool diag_nobody_left(const struct diag *diag, pid_t pid);
// Like that, but this one does not do it to pass the time: it waits for room in a queue, at a barrier, or for a
// lock whose holder is not known. A semaphore that the code which waits does not release again is a signal.
bool diag_is_stuck(const struct diag *diag, uint32_t thread);
// Python knows the thread, and no other one of its process.
bool diag_is_alone(const struct diag *diag, uint32_t thread);

// ---- Making a finding ----------------------------------------------------------------------------

struct draft {
    struct diag *diag;
    struct diag_finding finding;
    struct plain text; // the sentence that is being written
};

void draft_begin(struct draft *draft, struct diag *diag, enum diag_severity severity,
                 enum snap_certainty certainty, double impact);
// What was written becomes the title, or a piece of evidence.
void draft_title(struct draft *draft);
void draft_evidence(struct draft *draft);
void draft_advice(struct draft *draft, const char *advice);
// Adds a name to the fingerprint, once; the first four count.
void draft_name(struct draft *draft, uint32_t name);
void draft_end(struct draft *draft);
// A rule further up in rules.def has found something already.
bool diag_has_told(const struct diag *diag, const char *rule);

// ---- Words ---------------------------------------------------------------------------------------

void say_code(struct plain *out, const struct diag *diag, uint32_t id);
void say_thread(struct plain *out, const struct diag *diag, uint32_t thread); // `worker-3`
void say_profiled(struct plain *out, const struct diag *diag, const struct prof_thread *thread);
// `query` (app/db.py:88); builtins and native code by name and module
void say_frame(struct plain *out, const struct diag *diag, const struct snap_frame *frame);
void say_function(struct plain *out, const struct diag *diag, const struct prof_function *function);
// lock `pool_lock`, an item of queue `q`, the GIL
void say_wanted(struct plain *out, const struct diag *diag, const struct snap_wait *wait);
// in `recvfrom` on `10.0.3.9:5432`, called by `query` (app/db.py:91)
void say_doing(struct plain *out, const struct diag *diag, uint32_t thread);
// itself in `recvfrom` ...
void say_itself(struct plain *out, const struct diag *diag, uint32_t thread);
// ", called by `load` (app/main.py:7)": whoever of the program calls a function of the profile, by its index,
// that is not the program's own. False: nothing was said, as if it is.
bool say_own_caller(struct plain *out, struct diag *diag, uint32_t function);
// "31 of 33 threads"
void say_of_threads(struct plain *out, size_t count, size_t all);

#endif
