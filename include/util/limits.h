// SPDX-License-Identifier: GPL-3.0-or-later
// Every bound that target data meets, in one place, each with its reason. A chain cut by one of
// these is kept up to that point and gets a note.
#ifndef UTIL_LIMITS_H
#define UTIL_LIMITS_H

// A Python recursion limit of 100,000 is met in the wild; a cycle in damaged memory must end.
#define LIMIT_FRAMES_PER_THREAD 250000
// Of all threads together: 40,000 thread states may share one damaged chain.
#define LIMIT_FRAMES_PER_SNAPSHOT 2000000
// Coroutines that await each other: a recursion limit of some thousand is the usual bound.
#define LIMIT_AWAIT_FRAMES 10000
// A native stack holds more frames than a Python one: an evaluation loop for each up to 3.10, and C code
// between.
#define LIMIT_NATIVE_FRAMES 1000000
// The kernel's own default ceiling (kernel.pid_max on small machines is 32768).
#define LIMIT_THREADS 40000
#define LIMIT_INTERPRETERS 1024
// co_name may be anything that fits in memory; a report line may not.
#define LIMIT_STRING_CHARS 65536
// Line tables over 64 KiB are real (generated code); 64 MiB is not.
#define LIMIT_LINE_TABLE_BYTES (64u << 20)
#define LIMIT_CODE_BYTES (64u << 20)
// 16 KiB chunks: 250,000 frames of 256 bytes are 64 MiB.
#define LIMIT_DATASTACK_BYTES (256u << 20)
#define LIMIT_DATASTACK_CHUNKS 20000
// A dict that is walked (sys.modules, threading._active): 1 M slots.
#define LIMIT_DICT_ENTRIES (1u << 20)
// Type chains: mro of the deepest class anybody wrote.
#define LIMIT_MRO 1024
// /proc/PID/maps: vm.max_map_count is 65530 by default and raised to 262144 by databases.
#define LIMIT_MAPPINGS 1000000
// Libraries of one process, each of which is looked for on disk: a browser has some hundred.
#define LIMIT_MODULES 10000
// Unwind tables and symbols kept of modules without files, all modules together: past this, the
// next one goes without. A process of 500 libraries has some 100 MiB of both.
#define LIMIT_FROM_MEMORY_BYTES (256u << 20)
// C stacks that are searched for who collects, or runs a subinterpreter: each thread's for each
// thread state, if a core says so.
#define LIMIT_STACKS_SEARCHED_BYTES (2ull << 30)
// Memory scanned for a runtime: words that could point to an interpreter, and places that are then
// looked at in full. A program's data has some 100,000 pointers, and few of the latter.
#define LIMIT_SCANNED_POINTERS (1u << 22)
#define LIMIT_SCANNED_CANDIDATES 4096
// Code objects kept for one snapshot, with their tables: those of hostile memory may overlap. An
// application of 100,000 functions has some 100 MiB.
#define LIMIT_CODES_BYTES (256u << 20)
// Tables of code objects over 64 KiB are walked for each frame that is in one: so many bytes in all.
#define LIMIT_TABLES_WALKED_BYTES (2ull << 30)
// Distinct strings of a run: names, files, notes.
#define LIMIT_STRTAB_BYTES (256u << 20)
// A JSON document, unpacked: 1,000 snapshots of 100 threads with all their stacks are some 600 MB.
#define LIMIT_DOCUMENT_BYTES (2ull << 30)
// What is read of it; those snapshots are 300 MB.
#define LIMIT_DOCUMENT_VALUES_BYTES (1ull << 30)
// In a document each task has its frames, also where another one has the same: 50,000 with 20 each, some
// 200 MB of text. Beyond that it says which one has them.
#define LIMIT_DOCUMENT_SAME_FRAMES 1000000
// Variables are shown of the innermost frames, of which each has some ten.
#define LIMIT_LOCALS_FRAMES 200
#define LIMIT_LOCALS_PER_FRAME 100
#define LIMIT_LOCALS 4000
// Past this many bytes of strings in a run, variables are left out: names must still fit.
#define LIMIT_LOCALS_STRINGS_BYTES (64u << 20)
// Slots of a frame's value stack and locals that are looked at.
#define LIMIT_FRAME_SLOTS 65536
// Exceptions of one thread: those it handles, their causes and contexts, first members of groups.
#define LIMIT_EXCEPTIONS_PER_THREAD 64
// Items of the list of what is handled: one for each generator that runs.
#define LIMIT_EXCEPTION_ITEMS 10000
// A RecursionError's traceback is as long as the recursion was deep.
#define LIMIT_TRACEBACK_LINES 250000
#define LIMIT_TRACEBACK_LINES_PER_SNAPSHOT 2000000
// asyncio tasks of one snapshot: a service of 100,000 connections has as many.
#define LIMIT_TASKS 200000
// Their callbacks, and what these hold: some objects of each.
#define LIMIT_CALLBACK_OBJECTS (1u << 21)
// gevent servers have one for each connection.
#define LIMIT_GREENLETS 200000

// Generators that are listed, and all that are suspended, inner ones included.
#define LIMIT_GENERATORS 200000
#define LIMIT_GENERATORS_FOUND 2000000
// Objects of the collector's lists: 50 million are a heap of some 5 GiB at least.
#define LIMIT_HEAP_OBJECTS 50000000

#endif
