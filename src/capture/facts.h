// SPDX-License-Identifier: GPL-3.0-or-later
// Facts as records of a byte stream (util/wire.h). One description of each serves both directions:
// what is written and what is read cannot drift apart.
#ifndef CAPTURE_FACTS_H
#define CAPTURE_FACTS_H

#include "capture/capture.h"
#include "util/wire.h"

// Segments of a capture besides those of any core: in the range that is the system's own (elf(5),
// PT_LOOS), where readers skip what they do not know.
#define PT_PYCORE_FACTS 0x65507901u  // the stream of records
#define PT_PYCORE_MEMORY 0x65507902u // bytes of snapshot p_paddr (1, 2, ...): see below

// The memory of a later snapshot: address, size (u64 each), bytes; again and again.

enum { CAPTURE_VERSION = 1 };
// A run of hours would fill the disk; what comes later is not saved, and that is said.
#define CAPTURE_MAX_BYTES (256u << 20)
// What a replay may take: the bytes of a capture lie scattered.
#define REPLAY_MAX_BYTES (1u << 30)
#define REPLAY_MAX_FRAMES 20000000u // of all snapshots together
#define REPLAY_MAX_EPOCHS 10000u

enum capture_record {
    RECORD_VERSION = 1, // u32
    RECORD_RUN = 2,
    RECORD_EPOCH = 3,    // before the first snapshot it is true for
    RECORD_SNAPSHOT = 4, // in order
    RECORD_IMAGES = 5,
};

// What holds until another program runs, or modules come and go.
struct capture_epoch {
    struct target_mappings mappings;
    uint64_t auxv_phdr, auxv_entry;
    char *exe;
    struct capture_texts argv;
    bool has_argv;
    bool new_program; // nothing that was recorded before is true any more
    bool native;      // native stacks were recorded
};
void capture_epoch_deinit(struct capture_epoch *epoch);

// Exactly one of both is set. After reading, in->bad tells whether all of it is there.
struct facts_io {
    struct wire_out *out;
    struct wire_in *in;
};
void facts_run(struct facts_io *io, struct capture_facts *facts);
void facts_epoch(struct facts_io *io, struct capture_epoch *epoch);
void facts_snapshot(struct facts_io *io, struct capture_snapshot *snapshot);

#endif
