// SPDX-License-Identifier: GPL-3.0-or-later
// A view in the making: what view.c, which has the stacks, and view_frames.c share.
#ifndef REPORT_VIEW_MAKING_H
#define REPORT_VIEW_MAKING_H

#include "report/names.h"
#include "report/plain.h"
#include "report/view.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"
#include "util/vec.h"

#define VIEW_HIDDEN UINT32_MAX // a frame that the options leave out
#define VIEW_NOT_MADE (UINT32_MAX - 1)

VEC_DEFINE(view_frames, struct view_frame);
VEC_DEFINE(view_stacks, struct view_stack);
VEC_DEFINE(frame_ids, uint32_t);
VEC_DEFINE(texts, char *);

struct view_making {
    const struct report_input *input;
    const struct report_options *options;
    const struct prof_report *profile;
    unsigned split;
    struct view *view;
    struct view_frames frames;
    struct view_stacks stacks;
    struct frame_ids storage; // frames of all stacks, one after the other
    struct frame_ids path;    // of the stack being made
    struct texts texts;
    uint32_t *of_frame;         // by profile frame: its view frame, VIEW_HIDDEN, VIEW_NOT_MADE
    uint32_t *of_thread;        // by thread: its view frame
    struct frame_ids processes; // view frames
    struct names names;
    struct hash_index frame_index, stack_index, thread_index;
    bool failed;
};

// View frames: of a frame of the profile, of one of its threads, of a process.
uint32_t view_frame_of(struct view_making *making, uint32_t index);
uint32_t view_thread_root(struct view_making *making, uint32_t index);
uint32_t view_process_root(struct view_making *making, pid_t pid);

#endif
