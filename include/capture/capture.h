// SPDX-License-Identifier: GPL-3.0-or-later
// Captures: what was read of a target in one or many snapshots, in a file that can be decoded again
// anywhere, without the target's binaries.
//
// A capture is a small ELF core. Its first snapshot is what any core is: PT_NOTE with the threads'
// registers, PT_LOADs with the bytes that were read (and no others: a range that was not read is
// not there). Segments of our own types follow, which other readers skip: the facts (what the
// kernel said, names and lines from the modules' files, source lines), and for each later snapshot
// the bytes that were others by then.
//
// Recording is replaying with the target at hand: the same decoder runs over an address space that
// writes down each byte it gives out (src/capture/view.h). What a replay will ask for is therefore
// in the file, and nothing has to be listed twice.
#ifndef CAPTURE_CAPTURE_H
#define CAPTURE_CAPTURE_H

#include "sample/still.h"
#include "target/kernel.h"
#include "target/surroundings.h"

enum { CAPTURE_MAX_LINES = 65536 }; // of source text

// A line of source text that the report may show.
struct capture_line {
    char *file;
    int32_t line;
    bool newer; // than the process
    char *text;
};
VEC_DEFINE(capture_lines, struct capture_line);
VEC_DEFINE(capture_texts, char *);

// An installed package on the stacks: snapshot/details.h has the same.
struct capture_package {
    char *name, *version, *place; // version NULL: not known
};
VEC_DEFINE(capture_packages, struct capture_package);
enum { CAPTURE_MAX_PACKAGES = 1000 };

// Facts of the whole run.
struct capture_facts {
    bool is_core;   // it was recorded from a core
    bool aggregate; // its snapshots are one statistical report, not a thread dump
    pid_t pid;
    char *host, *command;
    int64_t taken_at_ns;
    uint64_t start_time_ns;
    struct target_signal signal;
    uint64_t interval_ns, duration_ns, missed, own_cpu_ns;
    bool interrupted, incomplete;
    struct capture_texts source_notes; // in their order
    struct capture_texts first_notes;  // of the run, from before the first snapshot,
    struct capture_texts last_notes;   // ... and from after the last one
    struct capture_lines lines;
    struct surroundings surroundings;
    struct capture_packages packages;
};
void capture_facts_deinit(struct capture_facts *facts);

// Facts of one snapshot.
struct capture_snapshot {
    struct still_moment moment;
    uint64_t at_ns, cpu_window_ns, pause_ns, process_cpu_ns;
    uint64_t threads_stopped, interrupted_calls, skipped;
    bool overran, atomic, has_process_cpu, changed_program;
    struct kernel_facts kernel; // that were asked for
    struct capture_texts whys;  // what moment.threads[].why points to, in a replay
};
void capture_snapshot_deinit(struct capture_snapshot *snapshot);

// ---- Recording ----------------------------------------------------------------------------------

struct recorder;

// `native`: native stacks are recorded, too. `strings` is borrowed.
struct err *recorder_create(struct strtab *strings, bool native, struct recorder **ret);
void recorder_destroy(struct recorder *recorder);
// Values are kept as well (--locals): nothing is written over that looks like a secret.
void recorder_keep_values(struct recorder *recorder);
// Has all snapshots from now on made of this sampler's copies.
void recorder_attach(struct recorder *recorder, struct sampler *sampler);

// What to build the snapshot from: the same values a replay will give. Valid until the next call.
struct recorded {
    struct target *target;
    struct image *image;
    uint32_t epoch; // another one than before: names found in the image are void. Its address does
                    // not tell: it may be a freed one's
    struct py_process *process;
    struct still *still;
    struct unwinder *unwinder; // NULL: no native stacks
};
// Right after the sampler has taken a snapshot: fills snapshot->moment, decodes and records it.
// `image` is the one that opens files; both may be others than before, after an exec.
struct err *recorder_take_live(struct recorder *recorder, const struct sampler *sampler,
                               const struct sample *sample, struct capture_snapshot *snapshot,
                               struct recorded *ret);
// The same of a core, once.
struct err *recorder_take_core(struct recorder *recorder, struct target *core, struct image *image,
                               struct capture_snapshot *snapshot, struct recorded *ret);
// How many thread states were decoded otherwise than the sampler did; they should be none.
uint64_t recorder_differences(const struct recorder *recorder);

// The last facts of a snapshot are known: it is put away. Once per recorder_take_*().
struct err *recorder_keep(struct recorder *recorder, const struct capture_snapshot *snapshot);
// How many snapshots were not kept, because the capture would have become too large.
uint64_t recorder_left_out(const struct recorder *recorder);
// Writes the file to `fd`, from its start. `gzip`: compressed.
struct err *recorder_write(struct recorder *recorder, const struct capture_facts *facts, int fd,
                           bool gzip);

// ---- Replaying ----------------------------------------------------------------------------------

struct replay;

bool capture_is(const struct target *core);
// `core` is borrowed. ERR_BAD_DATA: damaged so that nothing is left of it. A capture that ends too
// early is replayed as far as it goes, with a note on `core`.
struct err *replay_open(struct target *core, struct strtab *strings, bool native,
                        struct replay **ret);
void replay_close(struct replay *replay);
const struct capture_facts *replay_facts(const struct replay *replay);
size_t replay_count(const struct replay *replay);
// The next snapshot. *ret_snapshot NULL: there are no more; else it is the replay's, valid until
// the next call, as is *ret; ret->process NULL: no Python could be read when it was recorded.
struct err *replay_next(struct replay *replay, struct capture_snapshot **ret_snapshot,
                        struct recorded *ret);

#endif
