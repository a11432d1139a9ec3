// SPDX-License-Identifier: GPL-3.0-or-later
// Finding the runtime: candidates from symbols, sections and memory scans, and the checks that
// tell a live runtime from a look-alike.
#ifndef CPYTHON_FIND_H
#define CPYTHON_FIND_H

#include "cpython/process.h"

// What a candidate claims. `runtime` is 0 for 3.6, whose head is a static of its own.
struct py_candidate {
    uint64_t runtime, head_addr;
    uint32_t hexversion; // 0: to be found out
    bool free_threaded;
    bool says_version;  // hexversion is the runtime's own word, not a guess to be checked
    bool debug_offsets; // _Py_DebugOffsets lies at `runtime`
    const char *found_by;
};

// Fills process->dec, version and addresses when the candidate is a live runtime.
// ERR_NOT_FOUND: a runtime that has not started. ERR_UNSUPPORTED: a version without a layout.
struct err *py_candidate_try(struct py_process *process, const struct py_candidate *candidate,
                             struct strtab *strings);

// Calls `visit` with each candidate that a scan of writable memory turns up, until it returns
// true. Used when no symbol and no section tells. Bounded in bytes.
typedef bool py_candidate_visit(void *arg, const struct py_candidate *candidate);
bool py_scan(struct target *target, py_candidate_visit *visit, void *arg);

#endif
