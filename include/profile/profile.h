// SPDX-License-Identifier: GPL-3.0-or-later
// Many snapshots of a run, aggregated: functions, lines, stacks, the call tree, threads. Fed one
// snapshot at a time and bounded in memory, so that a run may last for hours.
//
// Two weights are kept side by side: samples (how many thread samples) and CPU nanoseconds.
// CPU time is booked honestly: what a thread used since its last snapshot goes to the stack it is
// seen in only when it is seen working (running, runnable); a thread seen waiting used it
// somewhere between the snapshots, and it is booked there. Sample counts are never calls.
//
// With native frames in the stacks there are two answers to "what was it doing". `self` is the
// innermost frame, whatever it is: memcpy(). `own` is the innermost frame that has a name in
// Python, a function or a builtin: what a Python user can change. Native code below it counts for
// it. In a stack without any the two are the same; so are they all without native frames.
#ifndef PROFILE_PROFILE_H
#define PROFILE_PROFILE_H

#include "snapshot/snapshot.h"
#include "util/err.h"

// A function: one per (kind, name, file, first line); a native one per (name, module, file). Native
// code without a symbol is one per module: where its functions begin is not known.
struct prof_function {
    uint32_t id; // index in prof_report.functions
    enum snap_frame_kind kind;
    bool inferred; // builtin, and always concluded, never read
    uint32_t function, qualname, file, module;
    int32_t line; // first line of the function; -1: none
    // In thread samples. "working": the thread was running or runnable; all: whatever it did.
    uint64_t self, total; // all states
    uint64_t self_working, total_working;
    uint64_t self_cpu_ns, total_cpu_ns; // of working samples
    double self_low, self_high;         // 95 % bounds of self_working / all working samples
    double total_low, total_high;       // the same for total_working
    uint64_t own, own_working, own_cpu_ns;
    double own_low, own_high;          // the same for own_working
    uint64_t activations;              // distinct calls seen: a lower bound of the calls made
    uint64_t longest_snapshots;        // the longest-lived one was seen in so many in a row
    uint64_t longest_ns;               // and over this time
    uint64_t states[SNAP_STATE_COUNT]; // self samples by state
};

struct prof_line {     // a line of a function's body that was executing (innermost or calling)
    uint32_t function; // index
    int32_t line;
    uint64_t self_working, total_working, self, total;
    uint64_t self_cpu_ns, total_cpu_ns;
    uint64_t own, own_working, own_cpu_ns;
};

struct prof_edge {           // caller -> callee, counted once per sample however deep the recursion
    uint32_t caller, callee; // indexes
    uint64_t total, total_working;
    uint64_t cpu_ns;
    // Between two functions that are not native: called by it directly or through native code.
    uint64_t through, through_working;
    uint64_t through_cpu_ns;
};

struct prof_node { // call tree over all threads, outermost function at depth 1; node 0 is the root
    uint32_t function;                          // index; UINT32_MAX for the root
    uint32_t parent, first_child, next_sibling; // indexes; 0: none. Children: hottest first
    uint64_t samples, samples_working, self, self_working;
    uint64_t cpu_ns, self_cpu_ns; // with all below it; booked to it itself
};

// Identical stacks of one thread in one state. Where a task has its turn there are two stacks: the
// thread's, with the event loop below the task; and the async stack, `task_frames` of the former and
// then those of the tasks that wait for it. Stacks that differ in either are distinct.
struct prof_stack {
    pid_t pid, tid;
    enum snap_state state;
    bool holds_gil;
    uint64_t samples, cpu_ns;
    uint32_t *frames; // indexes into prof_report.frames, innermost first
    size_t frame_count;
    uint32_t task;         // index in prof_report.tasks; UINT32_MAX: no task had its turn
    uint32_t task_frames;  // so many of the innermost frames are the task's; 0: not known
    size_t awaiting_count; // behind `frames`: those of the tasks that wait for it
};

// Tasks of one kind: of the same coroutine, with names that differ in a last number only (Task-17 is
// a counter), below the same root.
struct prof_task {
    pid_t pid;
    uint32_t name, coroutine; // of several names "Task-*"
    // The outermost one of those that wait for it; itself where none does; 0: not known, as of tasks that
    // ended before more could be read of them than is on the stack: those have no name, either.
    uint32_t root_name, root_coroutine;
    uint64_t tasks; // distinct ones seen; 0: not known
    // Samples of the threads in which it had its turn.
    uint64_t samples, samples_working, states[SNAP_STATE_COUNT];
    uint64_t cpu_ns;  // of working samples
    double low, high; // 95 % bounds of samples_working / all working samples
    uint32_t hottest; // function with the most working own samples; UINT32_MAX: none, or not
                      // certain, for stacks met a bound
};

// Where tasks wait: a distinct await stack. A task that waits in a snapshot is one sample of one site.
struct prof_await_site {
    pid_t pid, tid; // of the thread that runs their loop; 0: not known
    uint32_t coroutine;
    uint64_t samples;
    uint64_t snapshots; // in which at least one task waited there
    // In which tasks of its process were looked at: samples / of_snapshots wait there on average.
    uint64_t of_snapshots;
    uint64_t most;                    // tasks at once
    uint64_t kinds[SNAP_AWAIT_COUNT]; // samples by what is awaited
    uint64_t since_ns;                // the longest wait: at least so long
    uint32_t *frames; // indexes into prof_report.frames, innermost first: those of the task itself,
                      // then of the tasks that wait for it
    size_t frame_count;
    uint32_t task_frames;
};

// The stacks of one snapshot, for a time line: prof_report.moment_stacks[first, first + count).
struct prof_moment {
    uint64_t at_ns;
    size_t first;
    uint32_t count;
};

struct prof_thread {
    pid_t pid, tid;
    uint32_t name;
    bool name_from_kernel, known_to_python;
    uint64_t python_id;
    uint64_t samples; // snapshots it was seen in
    uint64_t states[SNAP_STATE_COUNT];
    uint64_t gil_held, in_gc, on_cpu; // snapshots
    bool has_cpu;
    uint64_t cpu_ns;         // used during the run
    uint64_t cpu_between_ns; // of that: seen waiting, so between the snapshots
    double cpu_share;        // cpu_ns / duration; 1.0 is one processor
    uint32_t hottest;        // function with the most working own samples; UINT32_MAX: none
    uint32_t top_frame;      // the one with the most own samples in any state
};

// What the threads of a process add up to. The sums over all processes are those of the report.
struct prof_process {
    pid_t pid;          // 0: those beyond a bound
    uint64_t snapshots; // it was in
    uint64_t threads;   // distinct ones
    uint64_t samples, samples_working, states[SNAP_STATE_COUNT];
    bool has_cpu;
    uint64_t cpu_ns;  // of the process where that is known, else of its threads
    double cpu_share; // cpu_ns / duration of the run, however short it lived; 1.0 is one processor
    uint64_t pause_total_ns, pause_max_ns; // how long it stood still
    uint32_t hottest;   // function with the most working own samples; UINT32_MAX: none
    uint32_t top_frame; // the one with the most own samples in any state
};

// Threads that Python does not know (OpenMP, BLAS, torch pools), and the Python call that seems to
// wait for their work: the one that goes on whenever they work, and seldom otherwise. Inferred. Of
// several processes: those of the one whose pool used the most CPU time.
struct prof_pool {
    uint64_t threads, snapshots; // of them; snapshots in which at least one of them worked
    uint64_t samples_working, cpu_ns;
    uint32_t function; // index; UINT32_MAX: no call goes with them
    uint32_t thread;   // index of the thread that makes it, in prof_report.threads
    uint64_t together; // snapshots in which both were seen
};

struct prof_report {
    uint64_t snapshots, interval_ns, duration_ns;
    uint64_t pause_total_ns, pause_max_ns, pause_median_ns, pause_p95_ns; // of snapshot.pause_ns
    double pause_share;         // pause_total_ns / duration_ns
    uint64_t threads_stopped;   // of all snapshots
    uint64_t interrupted_calls; // system calls that stops ended with EINTR
    uint64_t overruns;          // snapshots whose pause was longer than --max-pause
    uint64_t held_still;        // thread samples that stood still over their snapshot's window
    uint64_t missed;            // ticks that came too late
    uint64_t own_cpu_ns;        // of pycore itself
    double own_cpu_share;       // own_cpu_ns / duration_ns; 1.0 is one processor
    uint64_t samples, samples_working, states[SNAP_STATE_COUNT];
    bool has_process_cpu;
    uint64_t process_cpu_ns;   // user + system of the process (of all of them) during the run
    uint64_t cpu_on_stacks_ns; // booked to stacks
    uint64_t cpu_between_ns;   // threads seen waiting
    uint64_t cpu_unseen_ns;    // threads that came and went: process - all threads' shares
    // By self_working, total_working, self, total, name: hottest first.
    struct prof_function *functions;
    size_t function_count;
    struct prof_line *lines; // by self_working
    size_t line_count;
    struct prof_edge *edges; // by total_working
    size_t edge_count;
    struct prof_node *nodes; // in the order of a walk; [0] is the root
    size_t node_count;
    uint64_t pruned_nodes; // of a tree that was read from a document: those that it leaves out
    // Distinct frames (function and line). Column, address and flags are those that all its samples
    // agreed on, otherwise unknown, 0 and unset; activation is 0.
    struct snap_frame *frames;
    uint32_t *frame_function; // the function of each frame
    size_t frame_count;
    struct prof_stack *stacks; // by samples
    size_t stack_count;
    uint32_t *stack_frames;  // of all stacks and await sites: what their .frames point into
    struct prof_task *tasks; // by samples_working, samples
    size_t task_count;
    struct prof_await_site *await_sites; // by samples
    size_t await_site_count;
    uint64_t await_samples;      // of all sites
    struct prof_thread *threads; // by cpu_ns, samples
    size_t thread_count;
    struct prof_process *processes; // by cpu_ns, samples
    size_t process_count;
    // Every snapshot in order, as far as the bound allows; samples without a stack are not in it.
    struct prof_moment *moments;
    size_t moment_count;
    uint32_t *moment_stacks; // indexes into stacks
    // What met a bound of src/profile/bounds.h. All of it is counted in the sums above.
    double unseen_high; // a function never seen at work has at most this share (95 %)
    struct prof_pool pool;
    uint64_t dropped_stacks;    // samples whose stack met the bound: counted in functions only
    uint64_t dropped_tree;      // of these, the ones that the call tree lacks
    uint64_t dropped_functions; // frames booked to a function without any name
    uint64_t dropped_edges;     // caller and callee of a sample that no edge counts
    uint64_t dropped_moments;   // snapshots after those of the time line
    uint64_t dropped_awaits;    // task samples that no await site counts
};

struct profile;

// `strings` is borrowed and must be the table of the snapshots that will be added.
struct profile *profile_create(struct strtab *strings);
void profile_destroy(struct profile *profile);
// Does not keep the snapshot. Threads that are left_out are not counted; their calls are taken to go
// on, as far as nothing speaks against it. False: out of memory (the profile is still valid).
bool profile_add(struct profile *profile, const struct snapshot *snapshot);

struct prof_run { // what only the sampling loop knows
    uint64_t interval_ns, duration_ns, missed;
    uint64_t own_cpu_ns; // pycore's CPU time during the run
};
// Sorts and computes everything; may be called again later (interim reports).
struct prof_report *profile_report(struct profile *profile, const struct prof_run *run);
// All of it was allocated by malloc(), so that others may make reports, too.
void prof_report_destroy(struct prof_report *report);
// What a report has besides what was counted, for those who make one: its shares of the duration ...
void prof_report_shares(struct prof_report *report);
// ... and the call tree of its stacks, as profile_report() gives it when no sample was dropped.
struct err *prof_report_grow_tree(struct prof_report *report);

#endif
