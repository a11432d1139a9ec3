// SPDX-License-Identifier: GPL-3.0-or-later
// One live process of a run: what takes its snapshots, and what is known of it from one to the next.
#ifndef CLI_SUBJECT_H
#define CLI_SUBJECT_H

#include "cli/session.h"
#include "sample/sampler.h"
#include "target/kernel.h"

struct recording;

struct subject {
    struct session *session; // borrowed
    struct sampler *sampler;
    struct recording *recording;    // borrowed, set by the caller; NULL: its memory is not recorded
    struct snap_natives *natives;   // NULL: no native stacks so far
    struct snap_memory *remembered; // NULL: not made yet
    struct kernel_facts kernel;     // of the last snapshot that was not recorded
    struct kernel_facts *facts;     // of the snapshot that is being built, recorded or not
    struct image *named;            // whose names they are
    size_t process;                 // of session_process(), once it is entered
    uint64_t last_ns;               // CLOCK_MONOTONIC: of its last snapshot, or of its baseline
    uint64_t last_process_cpu_ns;
    uint64_t patience_ns; // that is left for this snapshot; see live_sleeps_on()
    bool had_process_cpu;
    bool warm;        // subject_warm_up() is done
    bool taken;       // by whoever takes snapshots of several: it is in the last one
    bool is_last;     // the next snapshot is the run's last one
    uint64_t lost_ns; // since when there is no Python in it; 0: there is
};

// Errors: those of sampler_open().
struct err *subject_open(struct session *session, pid_t pid, const struct sampler_options *sampling,
                         struct subject **ret);
// Fills in that entry of the source, which is its own from here on.
void subject_enter(struct subject *subject, size_t process);
void subject_close(struct subject *subject);
// Fills the caches (symbols, unwind tables, code objects), so that the first snapshot does not come
// late; nothing is stopped for it, and what it shows is not used.
struct err *subject_warm_up(struct subject *subject);
// The clocks as they are before the first snapshot, so that it can tell CPU shares, too.
struct err *subject_baseline(struct subject *subject);
// It began during the run: all the CPU time it has used so far is the run's.
void subject_is_new(struct subject *subject);
// Its next snapshot; `at_ns` is left to the caller. Errors: those of sampler_take().
struct err *subject_take(struct subject *subject, struct snapshot **ret);

#endif
