// SPDX-License-Identifier: GPL-3.0-or-later
// The address space that a capture is recorded from and replayed in: one for all of it. What is
// read through it while recording is what the capture will hold.
#ifndef CAPTURE_VIEW_H
#define CAPTURE_VIEW_H

#include "mem/blocks.h"

struct capture_view {
    struct mem *mem; // what the decoders read
    // Asked in this order; each may be NULL.
    struct mem_blocks *fresh;  // copied for this snapshot
    struct mem_blocks *known;  // recorded so far
    struct mem *below;         // the target itself
    bool skip_known;           // what is asked for may have changed since
    struct mem_blocks *record; // what is read gets known here; NULL: replaying
    struct mem_blocks *keep;   // ... and gets here, so that it is read once; NULL: nowhere
    // [start, end) is never read: the environment, and what lies above it.
    uint64_t hidden_start, hidden_end;
    bool failed; // out of memory: the record has holes
    // Strings are read byte by byte, not to record what lies behind them: what was fetched of the
    // target for the last byte, and the bytes behind it.
    uint64_t ahead_addr;
    size_t ahead_bytes;
    unsigned char ahead[64];
};

// What mem_read_some() of its memory does, of a view as it is.
size_t capture_view_read(struct capture_view *view, uint64_t addr, void *ret, size_t size);
struct err *capture_view_init(struct capture_view *view);
void capture_view_deinit(struct capture_view *view);

#endif
