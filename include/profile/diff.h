// SPDX-License-Identifier: GPL-3.0-or-later
// Two runs compared: what got hotter and colder, by function, stack, thread and place of waiting,
// and whether that is more than noise.
//
// Noise. Only shares of the working samples have bounds, so only they are tested. A difference has
// a 95 % interval by Newcombe's square-and-add method from the bounds of both runs, which account
// for correlated snapshots (profile/interval.h, src/profile/difference.h). Whether it is called
// more than noise takes into account how many are compared: by Holm's step-down, two runs of one
// program have any difference at all called so in at most 5 % of comparisons. A function's
// `own` and `total` are two hypotheses, or one where they count the same samples. What is so rare
// that it could not stand out whatever its difference is DIFF_RARE, and takes no part. Native code
// below Python is a family of its own, with a fifth of the 5 %, functions have the rest. Stacks are
// one more; they are looked at only when something else stands out, so two equal runs still have a
// difference anywhere in at most 5 % of comparisons. (1,000 comparisons of simulated runs of one
// program: 0.3 % to 3.5 %, and 5.2 % where threads are mostly idle and phases long. A change of 20
// points among eight functions, independent snapshots: found in 45-55 % of 50 snapshots of one
// thread, 83 % of two threads, 99 % of four; tests/unit/test_diff.c.)
// Holm and not Bonferroni: it never finds less and assumes as little; and shares depend on each
// other, since they are parts of one whole.
// Load, CPU time and waiting are stated, not tested: a run has one number of each.
//
// Functions are the same when kind, name and file are; the first line may have moved. Files are the
// same when their paths are, but for version numbers of Python in them ("python3.11"); of the rest,
// those whose paths have the longest common tail, if they are the only two that have it. Where one
// of the runs has no qualified names (up to Python 3.10), functions go by their plain ones.
#ifndef PROFILE_DIFF_H
#define PROFILE_DIFF_H

#include "profile/profile.h"
#include "util/err.h"

#define DIFF_ALPHA 0.05
#define DIFF_ALPHA_NATIVE 0.01  // of it
#define DIFF_LEAST_SNAPSHOTS 10 // of both runs; fewer tell nothing of noise
#define DIFF_NONE UINT32_MAX

enum diff_verdict {
    DIFF_UNKNOWN, // there are no bounds: too few snapshots, or nothing worked
    DIFF_RARE,    // too few samples: no difference of it could stand out
    DIFF_NOISE,
    DIFF_MORE, // after the change more than before, beyond noise
    DIFF_LESS,
};

enum { DIFF_BEFORE, DIFF_AFTER, DIFF_SIDES };

struct diff_share {               // of all working samples
    uint64_t samples[DIFF_SIDES]; // working ones
    double share[DIFF_SIDES];
    double change;    // after - before, -1..1
    double low, high; // 95 % of this one alone; meaningless with DIFF_UNKNOWN
    double p_value;   // of this one alone; 1 with DIFF_UNKNOWN and DIFF_RARE
    enum diff_verdict verdict;
};

// A difference of two rates: processors kept busy, threads on average. NAN: not known.
struct diff_rate {
    double side[DIFF_SIDES];
};

struct diff_function {
    uint32_t index[DIFF_SIDES]; // in each report's functions; DIFF_NONE: not seen there
    bool moved;                 // its first line is another one
    struct diff_share own, total;
    uint64_t self[DIFF_SIDES]; // working samples
    struct diff_rate own_cpu, total_cpu, waiting;
};

// Of functions and builtins of Python, and of native code where there are none; direct recursion is
// one frame.
struct diff_stack {
    const uint32_t *functions; // indexes in prof_diff.functions, innermost first
    size_t count;
    struct diff_share work;
    struct diff_rate cpu, waiting;
};

// Threads of one name; one thread as a rule. Where no such name is in the other run, numbers in
// names do not count: "Thread-7 (serve)" and "Thread-12 (serve)".
struct diff_thread {
    uint32_t first[DIFF_SIDES]; // index in each report's threads; DIFF_NONE: none of that name
    size_t threads[DIFF_SIDES];
    bool numbered; // their names without the numbers: none of them is in the other run as it is
    struct diff_rate cpu;
    uint64_t samples[DIFF_SIDES], states[DIFF_SIDES][SNAP_STATE_COUNT];
};

// Where threads wait: the innermost Python function, else the innermost one.
struct diff_wait {
    enum snap_state state;
    uint32_t function; // index in prof_diff.functions
    uint64_t samples[DIFF_SIDES];
    struct diff_rate threads; // on average
};

struct prof_diff {
    bool testable;                                          // both runs have bounds
    size_t tested, natives_tested, stacks_tested, rejected; // differences
    struct diff_rate processors;     // kept busy; by the process, else by the threads seen
    struct diff_rate threads, works; // on average
    size_t files_by_tail; // pairs of files that only the ends of their paths have in common
    size_t ambiguous;     // functions left alone since several of a name could not be told apart
    // Most growth of `own` first, most shrinkage last: swapping the runs turns it around.
    struct diff_function *functions;
    size_t function_count;
    struct diff_stack *stacks; // the same by `work`
    size_t stack_count;
    struct diff_thread *threads_by_name; // the same by CPU
    size_t thread_count;
    struct diff_wait *waits; // the same by threads
    size_t wait_count;
    uint32_t *function_of[DIFF_SIDES]; // index in functions of each function of the reports
    uint32_t *stack_functions;         // private
};

struct diff_input {
    const struct prof_report *report;
    const struct strtab *strings;
};

// Both must outlive the result.
struct err *prof_diff_create(const struct diff_input runs[DIFF_SIDES], struct prof_diff **ret);
void prof_diff_destroy(struct prof_diff *diff);

// ---- Two snapshots -------------------------------------------------------------------------------

// What a thread did between two snapshots of one process, or of two.
enum diff_motion {
    DIFF_SAME_CALLS, // in the same calls at the same lines: nothing speaks for any progress
    DIFF_SAME_PLACE, // at the same lines, and at least one call is another one, or it is not known
    DIFF_MOVED,
    DIFF_APPEARED,
    DIFF_ENDED,
};

struct diff_motion_thread {
    uint32_t thread[DIFF_SIDES]; // in each snapshot's threads; DIFF_NONE: not there
    enum diff_motion motion;
    size_t common; // outermost frames that stand at the same lines
    bool has_cpu;
    uint64_t cpu_ns; // that it used between them
};

struct diff_dump_input {
    const struct snapshot *snapshot;
    const struct strtab *strings;
};

// `same_process`: both are of one process, so that threads go by tid, and calls can be told apart;
// else by name. Threads that moved come first, those that stood still in the same calls last.
// `ret` holds ret_count items, to be freed.
struct err *diff_dumps(const struct diff_dump_input dumps[DIFF_SIDES], bool same_process,
                       struct diff_motion_thread **ret, size_t *ret_count);

#endif
