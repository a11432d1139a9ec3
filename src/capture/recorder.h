// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the capture layer: what a recorder has gathered, and what recording and replaying share.
#ifndef CAPTURE_RECORDER_H
#define CAPTURE_RECORDER_H

#include "dump/corefile.h"
#include "facts.h"
#include "image/record.h"
#include "view.h"

// What one epoch is decoded with, in recording as in replaying.
struct epoch_parts {
    struct target *target; // its memory is a view's
    struct image *image;
    struct py_process *process;
    struct unwinder *unwinder;
    struct still still; // of the last snapshot
};

struct recorder {
    struct strtab *strings; // borrowed
    bool native, is_core, as_they_are;
    struct mem_blocks *fresh;  // what the sampler copied for this snapshot
    struct mem_blocks *known;  // what is recorded, as of this snapshot
    struct capture_view view;  // everything,
    struct capture_view codes; // ... but code objects: a cached one may be another's place by now
    struct image_record *names;
    struct epoch_parts parts; // as a replay has them
    uint64_t modules_hash;
    bool new_program; // since the last epoch that could be opened
    uint32_t epochs;
    uint64_t differences;
    // The file's parts.
    uint64_t count, left_out;      // snapshots put away; those that came too late
    struct mem_ranges base;        // memory of the first snapshot
    struct wire_out base_bytes;    // the bytes of these, one behind the other
    struct corefile_bytes notes;   // of the first snapshot
    VEC(struct wire_out) memories; // of each later one
    struct wire_out facts;
    uint64_t bytes; // of all of that
};

// Fills what is missing besides ret->target. What was opened before an error stays.
struct err *epoch_open(struct epoch_parts *ret, struct image_record *names, struct strtab *strings,
                       bool native);
void epoch_close(struct epoch_parts *parts);
// Modules have changed: what was known of their memory, and of that of those before, is void.
bool epoch_forget(struct mem_blocks *known, const struct target_mappings *mappings);

// ---- linkmap.c ----------------------------------------------------------------------------------

// Reads the list of loaded objects through `mem`, which records it.
void record_link_map(struct mem *mem, uint64_t phdr_addr);

#endif
