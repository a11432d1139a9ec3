// SPDX-License-Identifier: GPL-3.0-or-later
// What a profile keeps at most, each bound with its reason. Whatever the target does, all of them
// together stay below some 600 MB; an ordinary program needs a few. Beside them only the calls of
// the last snapshot are kept, which are as many as its frames.
#ifndef PROFILE_BOUNDS_H
#define PROFILE_BOUNDS_H

// The largest programs known have some 100,000 functions in all; code that is generated anew
// forever (exec in a loop) must end. Further ones share one function without a name.
#define PROF_FUNCTIONS_MAX 100000
// Lines seen executing. Further ones are counted at their function, line not known.
#define PROF_FRAMES_MAX 300000
// Pairs of caller and callee; a function has a handful of callers.
#define PROF_EDGES_MAX 300000
// The deepest recursion there is in practice (a recursion limit of 100,000), with up to five native
// functions between two of Python's.
#define PROF_NODES_MAX 600000
// More distinct stacks than anybody reads; the tree holds what they have in common.
#define PROF_STACKS_MAX 50000
// Their frames: 320 each, Python's and native ones, or 160 stacks of 100,000. 64 MB.
#define PROF_STACK_FRAMES_MAX 16000000
// The time line: thread samples of all its snapshots. 100 threads, twice each second for 11 hours;
// 32 MB. Later snapshots are counted, but not in it.
#define PROF_MOMENT_STACKS_MAX 8000000
// A server with a thread per request, for hours. Further ones share one thread without TID.
#define PROF_THREADS_MAX 100000
// Short-lived children of a server that runs for hours. Further ones share one process without PID.
#define PROF_PROCESSES_MAX 10000
// (thread, innermost function): what says which function was a thread's hottest.
#define PROF_PAIRS_MAX 300000
// Points of the series behind the confidence bounds (48 MB). When there are more, neighbouring
// snapshots are summed before interval_group() asks for it: coarser bounds, never wrong ones.
#define PROF_POINTS_MAX 6000000
// interval.h: more items than these are never used.
#define PROF_ITEMS_MAX 512
// Pauses are kept exactly up to here (8 MB, two days at the usual 200 ms); then every second one.
#define PROF_PAUSES_MAX 1000000
// Generators, coroutines and tasks that may come back: twice as many are remembered, the latest ones.
#define PROF_GENERATORS_MAX 65536
// Kinds of tasks. Names are made of counters; what is made of anything else must end. Further ones
// share one task without a name.
#define PROF_TASKS_MAX 10000
// Places where tasks wait, and their frames: 100 each. Task samples at further ones are dropped. 16 MB.
#define PROF_AWAIT_SITES_MAX 40000
#define PROF_AWAIT_FRAMES_MAX 4000000
// Tasks of which one waits for the next. Past this the outermost are left out of the stack.
#define PROF_AWAIT_CHAIN_MAX 1000

#endif
